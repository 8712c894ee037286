//! Links, deep trees and odd names met by the small tools.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn names_in_messages_have_no_control_characters() {
    assert_eq!(show("a\x1b[31m\nb"), "a\\x1b[31m\\nb");
    assert_eq!(show("relatório final.txt"), "relatório final.txt");
    assert_eq!(show("a\u{202e}txt"), "a\\u{202e}txt");
    assert_eq!(show(OsStr::from_bytes(b"m_\xf3.txt")), "m_\\xf3.txt");
}

#[test]
fn times_before_1970_keep_their_nanoseconds() {
    assert_eq!(nanoseconds(-1, 500_000_000), -500_000_000);
    let times = timestamps(-500_000_000).last_modification;
    assert_eq!((times.tv_sec, times.tv_nsec), (-1, 500_000_000));
    assert_eq!(nanoseconds(i64::MAX / 2, 1), i64::MAX, "clamped, not wrapped");
}

#[test]
fn opening_beneath_follows_no_link_and_never_leaves() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(temp.path().join("in/side")).unwrap();
    std::fs::write(temp.path().join("in/side/file"), "x").unwrap();
    symlink("side", temp.path().join("in/link")).unwrap();
    symlink("/etc", temp.path().join("in/side/etc")).unwrap();
    let root = std::fs::File::open(temp.path().join("in")).unwrap();
    for open in [open_beneath, open_stepwise] {
        assert!(open(root.as_fd(), b"side/file", file_flags()).is_ok());
        for path in [
            &b"link/file"[..],
            b"side/etc/passwd",
            b"../in/side/file",
            b"/etc/passwd",
            b"link",
        ] {
            assert!(
                open(root.as_fd(), path, file_flags()).is_err(),
                "{}",
                show_bytes(path)
            );
        }
    }
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    let temp = tempfile::tempdir().unwrap();
    let top = std::fs::File::open(temp.path()).unwrap();
    let mut at: OwnedFd = rustix::fs::openat(&top, ".", dir_flags(), Mode::empty()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&at, "deep", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "deep", dir_flags(), Mode::empty()).unwrap();
    }
    drop(rustix::fs::openat(&at, "f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
    remove_tree(top.as_fd(), OsStr::new("deep")).unwrap();
    assert!(is_empty(top.as_fd()).unwrap());
}

#[test]
fn removing_a_tree_spares_what_its_links_point_to() {
    crate::testing::as_nobody(
        "fsutil::tests::removing_a_tree_spares_what_its_links_point_to",
        |temp| {
            std::fs::create_dir_all(temp.join("tree/a/b")).unwrap();
            std::fs::create_dir(temp.join("kept")).unwrap();
            std::fs::write(temp.join("kept/file"), "x").unwrap();
            symlink("../../kept", temp.join("tree/a/link")).unwrap();
            symlink(temp.join("kept"), temp.join("tree/link")).unwrap();
            std::fs::set_permissions(temp.join("tree/a/b"), PermissionsExt::from_mode(0o000)).unwrap();
            std::fs::set_permissions(temp.join("tree/a"), PermissionsExt::from_mode(0o500)).unwrap();
            let parent = std::fs::File::open(temp).unwrap();
            remove_tree(parent.as_fd(), OsStr::new("tree")).unwrap();
            assert!(!temp.join("tree").exists());
            assert_eq!(std::fs::read(temp.join("kept/file")).unwrap(), b"x");
            remove_tree(parent.as_fd(), OsStr::new("tree")).unwrap();
        },
    );
}

#[test]
fn a_small_file_is_replaced_whole_and_for_its_owner_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = std::fs::File::open(temp.path()).unwrap();
    // What a crash in the middle of an earlier write left behind.
    std::fs::write(temp.path().join(".state.json.tmp"), "half").unwrap();
    std::fs::write(temp.path().join("other"), "kept").unwrap();
    symlink("other", temp.path().join("state.json")).unwrap();
    for content in [&b"first"[..], b"", b"second"] {
        write_file(dir.as_fd(), "state.json", content).unwrap();
        assert_eq!(std::fs::read(temp.path().join("state.json")).unwrap(), content);
    }
    let meta = std::fs::symlink_metadata(temp.path().join("state.json")).unwrap();
    assert_eq!((meta.is_file(), meta.permissions().mode() & 0o777), (true, 0o600));
    assert_eq!(std::fs::read(temp.path().join("other")).unwrap(), b"kept");
    assert!(!temp.path().join(".state.json.tmp").exists());
}

#[test]
fn a_small_file_that_cant_be_written_stays_as_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let dir = std::fs::File::open(temp.path()).unwrap();
    std::fs::create_dir(temp.path().join("name")).unwrap();
    assert!(
        write_file(dir.as_fd(), "name", b"x").is_err(),
        "a folder is in its place"
    );
    assert!(temp.path().join("name").is_dir() && !temp.path().join(".name.tmp").exists());
}
