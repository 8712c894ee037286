//! The program itself at a store that can't do everything, refuses something, or loses something.

use std::process::{Command, Stdio};

use crate::product::Machine;
use crate::proxy::Action;
use crate::server::server;
use crate::site::{PREFIX, Site};

const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

fn deny(machine: &Machine, method: &'static str, fragment: &str, which: std::ops::Range<usize>) {
    machine.site.proxy.on(
        method,
        fragment,
        which,
        Action::Answer(403, &[], DENIED.to_owned()),
    );
}

#[test]
fn without_rights_to_versions_and_locks_prune_and_verify_still_do_their_work() {
    let machine = Machine::new(Site::new());
    let records: Vec<_> = (0..3).map(|_| machine.app.create()).collect();
    let name = records[0]["name"].as_str().unwrap();
    let junk = machine.app.path("junk");
    std::fs::write(&junk, b"junk").unwrap();
    let prefix = PREFIX.replace(' ', "-");
    let row = format!("{}/{prefix}/rows/0000000001-{name}.json", machine.site.bucket);
    server().put(&row, &junk);
    deny(&machine, "GET", "versions", 0..1_000);
    deny(&machine, "GET", "retention", 0..1_000);
    machine
        .remote(&["verify", "offsite"])
        .exits(5)
        .says("is not the row of a copy")
        .says("2 copies are good");
    machine.configure("max_backups = 1");
    machine.remote(&["prune", "offsite"]).exits(0).says("removed");
    machine.site.proxy.clear();
    machine
        .remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied");
    machine
        .remote(&["verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
}

#[test]
fn verify_goes_on_after_a_copy_that_can_not_be_read() {
    let machine = Machine::new(Site::new());
    let records: Vec<_> = (0..3).map(|_| machine.app.create()).collect();
    let first = format!("archives/{}.zip", records[0]["name"].as_str().unwrap());
    deny(&machine, "GET", &first, 0..1_000);
    machine
        .remote(&["verify", "offsite"])
        .exits(5)
        .says("the server refuses access")
        .says("2 copies are good");
    // That it could not be read does not make it a bad one.
    assert_eq!(machine.app.json(&["status"])["remotes"][0]["lost"], 0);
    deny(&machine, "GET", "archives/", 0..1_000);
    machine
        .remote(&["verify", "offsite"])
        .exits(8)
        .says("the server refuses access");
}

#[test]
fn a_removal_that_broke_off_is_finished_by_the_next() {
    let machine = Machine::new(Site::new());
    (0..3).for_each(|_| drop(machine.app.create()));
    machine.configure("max_backups = 1");
    deny(&machine, "DELETE", "archives/", 0..1);
    machine.remote(&["prune", "offsite"]).exits(8);
    machine.site.proxy.clear();
    machine.remote(&["verify", "offsite"]).exits(0);
    let pushed = machine.remote(&["push", "offsite"]).exits(0);
    assert!(!pushed.stdout.contains("copied: "), "{pushed}");
    machine.remote(&["prune", "offsite"]).exits(0);
    let mut remote = machine.site.remote();
    if let cofre::config::Place::Bucket(bucket) = &mut remote.place {
        bucket.prefix = PREFIX.replace(' ', "-");
    }
    let store = crate::site::open(&remote);
    assert_eq!(store.list("archives").unwrap().len(), 2);
    assert_eq!(store.list("rows").unwrap().len(), 1);

    // Where not even the row could go, nothing was removed.
    machine.app.create();
    machine.configure("");
    machine.app.create();
    machine.configure("max_backups = 1");
    deny(&machine, "DELETE", "rows/", 0..1);
    machine.remote(&["prune", "offsite"]).exits(8);
    machine
        .remote(&["verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
}

#[test]
fn a_lock_without_object_lock_is_explained_before_anything_is_sent() {
    let machine = Machine::new(Site::new());
    machine.configure("lock = \"governance\"\nlock_for = \"1d\"");
    machine
        .app
        .cofre(&["create"])
        .exits(0)
        .says("its bucket has no Object Lock");
    machine
        .app
        .cofre(&["doctor"])
        .says("its bucket has no Object Lock");
    assert_eq!(machine.site.proxy.count("PUT", ""), 0);
}

#[test]
fn an_archive_that_retention_removes_before_its_turn_is_no_failure() {
    let machine = Machine::new(Site::new());
    let with_remote = std::fs::read_to_string(machine.app.path("cofre.toml")).unwrap();
    machine.app.config("[sources.static]\npath = \"static\"\n");
    let older = machine.app.archive(&machine.app.create());
    machine.app.create();
    machine.app.config(&with_remote);
    machine.site.proxy.on(
        "PUT",
        "rows/",
        0..1,
        Action::Before(Box::new(move || std::fs::remove_file(&older).unwrap())),
    );
    machine
        .remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied");
    assert_eq!(machine.app.json(&["status"])["remotes"][0]["failures"], 0);
}

#[test]
fn an_archive_of_the_same_size_in_the_place_of_another_is_noticed_by_what_the_store_calls_it() {
    let machine = Machine::new(Site::new());
    let record = machine.app.create();
    let name = record["name"].as_str().unwrap();
    let prefix = PREFIX.replace(' ', "-");
    let path = format!("{}/{prefix}/archives/{name}.zip.age", machine.site.bucket);
    let object = machine.app.path("object");
    server().fetch(&path, &object);
    let mut bytes = std::fs::read(&object).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    server().put(&path, &object);
    machine.remote(&["push", "offsite"]).exits(0).says("copied: ");
    machine
        .remote(&["verify", "offsite"])
        .exits(0)
        .says("1 copy is good");
}

#[test]
fn a_command_that_waits_for_a_server_that_hangs_ends_when_it_is_told_to() {
    let machine = Machine::new(Site::new());
    machine.app.create();
    machine
        .site
        .proxy
        .on("GET", "list-type=2", 0..1_000, Action::Stall);
    for command in [
        &["list", "offsite"][..],
        &["verify", "offsite"],
        &["push", "offsite"],
    ] {
        let args: Vec<&str> = ["remote"].iter().chain(command).copied().collect();
        let before = machine.site.proxy.count("GET", "list-type=2");
        let mut child = machine
            .app
            .command(&args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The signal is to meet it while it waits, not while it begins.
        while machine.site.proxy.count("GET", "list-type=2") == before {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let told = Command::new("kill")
            .arg("-INT")
            .arg(child.id().to_string())
            .status()
            .unwrap();
        assert!(told.success());
        assert_eq!(child.wait().unwrap().code(), Some(9), "{command:?}");
    }
}
