//! The folder: what it keeps, for how long, and what it does with what it can't read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::notify::tests::{ping, to_hook};

#[test]
fn a_delivery_comes_back_as_it_was_put_and_once_only() {
    let temp = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(temp.path()).unwrap();
    let (first, second) = (to_hook("ops", "msg_1"), to_hook("ops", "msg_2"));
    outbox.put(&first).unwrap();
    outbox.put(&second).unwrap();
    // The same event found again after a crash.
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    let names = outbox.names().unwrap();
    assert_eq!(names.len(), 2);
    assert_eq!(outbox.read(&names[0]).unwrap(), Some(first));
    outbox.remove(&names[0]).unwrap();
    outbox.remove(&names[0]).unwrap();
    assert_eq!(outbox.read(&names[0]).unwrap(), None);
    // Another receiver of the same event, and another signal of the same run, are others.
    outbox.put(&to_hook("dev", "msg_2")).unwrap();
    outbox.put(&ping(7, Signal::Start)).unwrap();
    outbox.put(&ping(7, Signal::Fail)).unwrap();
    assert_eq!(outbox.names().unwrap().len(), 4);
}

#[test]
fn folder_and_files_are_for_the_owner_alone() {
    let temp = tempfile::tempdir().unwrap();
    let state = temp.path().join("state");
    let outbox = Outbox::open(&state).unwrap();
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("outbox")), 0o700);
    let file = state.join("outbox").join(&outbox.names().unwrap()[0]);
    assert_eq!(mode(&file), 0o600);
    std::fs::set_permissions(state.join("outbox"), PermissionsExt::from_mode(0o777)).unwrap();
    let error = Outbox::open(&state).unwrap_err();
    assert!(
        error.code == Code::AccessDenied && error.message.contains("outbox"),
        "{error}"
    );
}

#[test]
fn the_oldest_go_when_there_are_too_many() {
    let temp = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(temp.path()).unwrap();
    for n in 0..5 {
        outbox
            .put_within(&to_hook("ops", &format!("msg_{n}")), 3)
            .unwrap();
    }
    let ids: Vec<String> = outbox
        .names()
        .unwrap()
        .iter()
        .map(|name| outbox.read(name).unwrap().unwrap().id)
        .collect();
    assert_eq!(ids, ["msg_2", "msg_3", "msg_4"]);
}

#[test]
fn what_can_not_be_read_is_kept_aside_and_holds_up_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(temp.path()).unwrap();
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    let dir = temp.path().join("outbox");
    let good = outbox.names().unwrap()[0].clone();
    let text = std::fs::read_to_string(dir.join(&good)).unwrap();
    std::fs::write(dir.join("1-half.json"), &text[..text.len() / 2]).unwrap();
    std::fs::write(dir.join("2-empty.json"), "").unwrap();
    std::fs::write(
        dir.join("3-later.json"),
        text.replace("\"format\": 1", "\"format\": 9"),
    )
    .unwrap();
    std::fs::write(dir.join("4-long.json"), vec![b' '; 300 << 10]).unwrap();
    std::fs::write(dir.join("5-binary.json"), [0xff, 0xfe]).unwrap();
    symlink("/etc/passwd", dir.join("6-link.json")).unwrap();
    std::fs::create_dir(dir.join("7-folder.json")).unwrap();
    let fifo = dir.join("8-fifo.json");
    std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
    let read: Vec<Option<Entry>> = outbox
        .names()
        .unwrap()
        .iter()
        .map(|name| outbox.read(name).unwrap())
        .collect();
    assert_eq!(read.iter().flatten().count(), 1);
    assert_eq!(outbox.names().unwrap(), [good]);
    assert!(dir.join("1-half.json.corrupt").exists() && dir.join("8-fifo.json.corrupt").exists());
}

#[test]
fn what_a_crash_left_half_written_is_swept_when_it_is_old() {
    let temp = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(temp.path()).unwrap();
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    let dir = temp.path().join("outbox");
    for name in [".old.json.tmp", ".new.json.tmp"] {
        std::fs::write(dir.join(name), "{").unwrap();
    }
    let old = std::fs::File::open(dir.join(".old.json.tmp")).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(7200))
        .unwrap();
    outbox.sweep().unwrap();
    assert!(!dir.join(".old.json.tmp").exists() && dir.join(".new.json.tmp").exists());
    assert_eq!(outbox.names().unwrap().len(), 1);
}

#[test]
fn one_sends_at_a_time() {
    let temp = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(temp.path()).unwrap();
    let first = outbox.try_lock().unwrap();
    assert!(first.is_some());
    assert!(Outbox::open(temp.path()).unwrap().try_lock().unwrap().is_none());
    drop(first);
    assert!(outbox.try_lock().unwrap().is_some());
}
