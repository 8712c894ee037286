//! What somebody with the right to delete and to write does behind our back, and what the older versions in the bucket
//! still say.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use cofre::config::LockMode;
use serde_json::Value;

use super::Machine;
use crate::proxy::Action;
use crate::server::server;
use crate::site::{PREFIX, Site, open, write_random};
use crate::support::{App, same_tree};

fn row(record: &Value) -> String {
    let (id, name) = (record["id"].as_u64().unwrap(), record["name"].as_str().unwrap());
    format!("rows/{id:010}-{name}.json")
}

fn object(record: &Value) -> String {
    format!("archives/{}.zip.age", record["name"].as_str().unwrap())
}

#[track_caller]
fn restore(fresh: &App, id: &str, code: i32) {
    let out = fresh.path("out");
    fresh
        .cofre(&["restore", id, "--from", "offsite", "--to", out.to_str().unwrap()])
        .exits(code);
}

#[test]
fn rows_that_were_deleted_in_spite_of_their_lock_are_found_and_told_apart() {
    let machine = Machine::new(Site::with_locks());
    machine.configure("lock = \"compliance\"\nlock_for = \"1d\"");
    let one = machine.app.create();
    machine.app.write("static/more.txt", b"more");
    let two = machine.app.create();
    for record in [&one, &two] {
        server().delete(&machine.path(&row(record)));
        server().delete(&machine.path(&object(record)));
    }
    let fresh = machine.fresh();
    fresh
        .cofre(&["remote", "list", "offsite"])
        .exits(5)
        .says("HIDDEN");
    fresh
        .cofre(&["remote", "verify", "offsite"])
        .exits(5)
        .says("it was deleted at the remote");
    fresh
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(0)
        .says("the catalog got 2 of 2");
    restore(&fresh, "latest", 0);
    same_tree(&machine.app.path("static"), &fresh.path("out/static"));
    // The machine that made them makes the hidden ones anew.
    machine.remote(&["verify", "offsite"]).exits(5);
    machine.remote(&["push", "offsite"]).exits(0);
    machine
        .remote(&["verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
}

#[test]
fn what_retention_removed_in_a_bucket_with_versions_is_no_copy_any_more() {
    // Without a lock nothing says that it was too early.
    let machine = Machine::new(Site::with_locks());
    machine.configure("max_backups = 1");
    let one = machine.app.create();
    machine.app.create();
    let fresh = machine.fresh();
    fresh
        .cofre(&["remote", "verify", "offsite"])
        .exits(0)
        .says("1 copy is good");
    fresh
        .cofre(&["remote", "list", "offsite"])
        .exits(0)
        .says("removed there");
    fresh
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(0)
        .says("the catalog got 1 of 1");
    // Whoever asks for it still gets it.
    restore(&fresh, one["name"].as_str().unwrap(), 0);
}

#[test]
fn a_remote_without_any_copy_proves_nothing() {
    let machine = Machine::new(Site::new());
    let record = machine.app.create();
    let fresh = machine.fresh();
    server().delete(&machine.path(&row(&record)));
    for command in [
        &["remote", "verify", "offsite"][..],
        &["rebuild", "--from", "offsite"],
    ] {
        fresh.cofre(command).exits(4).says("there are no copies");
    }
    assert!(!fresh.history_path().exists());
}

#[test]
fn a_marker_that_was_exchanged_or_deleted_is_read_from_its_older_version() {
    let machine = Machine::new(Site::with_locks());
    machine.configure("lock = \"compliance\"\nlock_for = \"1d\"");
    machine.app.create();
    let key = "cofre-repository.json";
    let mut remote = machine.site.remote();
    if let cofre::config::Place::Bucket(bucket) = &mut remote.place {
        bucket.prefix = PREFIX.replace(' ', "-");
    }
    let lock = open(&remote).lock_of(key, None).unwrap().unwrap();
    assert_eq!(lock.mode, LockMode::Compliance);
    let evil = machine.app.path("evil");
    std::fs::write(
        &evil,
        r#"{"format": 1, "repository": "evil", "created_at": "2026-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    for exchanged in [true, false] {
        match exchanged {
            true => server().put(&machine.path(key), &evil),
            false => server().delete(&machine.path(key)),
        }
        let fresh = machine.fresh();
        restore(&fresh, "latest", 0);
        fresh.cofre(&["rebuild", "--from", "offsite"]).exits(0).says(key);
        machine.remote(&["push", "offsite"]).exits(0);
        machine.remote(&["verify", "offsite"]).exits(0);
        let lock = open(&remote).lock_of(key, None).unwrap();
        assert!(lock.is_some(), "the new one is locked too");
    }
}

#[test]
fn of_a_larger_object_in_the_place_of_a_copy_no_more_is_taken_than_the_copy_has() {
    let machine = Machine::new(Site::with_locks());
    let record = machine.app.create();
    let large = machine.app.path("large");
    write_random(&large, 40 << 20);
    server().put(&machine.path(&object(&record)), &large);
    // Whoever wants all of it waits for ever.
    let stall = Action::StallAnswer(20 << 20);
    machine.site.proxy.on("GET", ".zip.age", 0..usize::MAX, stall);
    let fresh = machine.fresh();
    restore(&fresh, "1", 0);
    same_tree(&machine.app.path("static"), &fresh.path("out/static"));
    machine
        .remote(&["verify", "offsite"])
        .exits(5)
        .says("was changed or exchanged");
}

#[test]
fn what_was_fetched_waits_for_a_run_that_began_meanwhile() {
    let machine = Machine::new(Site::new());
    machine.app.create();
    let fresh = machine.fresh();
    std::fs::create_dir(fresh.backups()).unwrap();
    let held: Arc<Mutex<Option<std::fs::File>>> = Arc::default();
    let (hold, folder) = (Arc::clone(&held), fresh.backups());
    machine.site.proxy.on(
        "GET",
        ".zip.age",
        0..1,
        Action::Before(Box::new(move || {
            let file = std::fs::File::open(&folder).unwrap();
            file.lock().unwrap();
            *hold.lock().unwrap() = Some(file);
        })),
    );
    let mut child = fresh
        .command(&["remote", "pull", "offsite", "latest"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start cofre");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let waits = lines.any(|line| line.unwrap().contains("waits for its end"));
    assert!(waits, "it says that it waits");
    drop(held.lock().unwrap().take());
    // Nobody stops reading what it says.
    assert_eq!(lines.map_while(Result::ok).count(), 0);
    assert!(child.wait().unwrap().success());
    assert_eq!(fresh.archives().len(), 1);
}

#[test]
fn a_store_that_does_not_list_versions_still_gives_what_it_has() {
    let machine = Machine::new(Site::new());
    let one = machine.app.create();
    let two = machine.app.create();
    let junk = machine.app.path("junk");
    std::fs::write(&junk, b"not what was copied").unwrap();
    server().put(&machine.path(&object(&one)), &junk);
    server().put(&machine.path(&row(&two)), &junk);
    for status in [501, 403] {
        machine.site.proxy.clear();
        let refuses = Action::Answer(status, &[], String::new());
        machine.site.proxy.on("GET", "versions", 0..usize::MAX, refuses);
        let fresh = machine.fresh();
        fresh
            .cofre(&["rebuild", "--from", "offsite"])
            .exits(5)
            .says("the catalog got 1 of 2")
            .says("is not the row of a copy");
        // The cause is what is wrong with the object, not that there is nothing behind it.
        fresh
            .cofre(&["remote", "pull", "offsite", "1"])
            .exits(5)
            .says("was changed or exchanged");
    }
}

#[test]
fn a_locked_archive_behind_a_mark_or_another_one_is_told_from_one_that_is_gone() {
    let machine = Machine::new(Site::with_locks());
    machine.configure("lock = \"compliance\"\nlock_for = \"1d\"");
    let (deleted, exchanged, covered) = (machine.app.create(), machine.app.create(), machine.app.create());
    let junk = machine.app.path("junk");
    std::fs::write(&junk, b"not what was copied").unwrap();
    server().delete(&machine.path(&object(&deleted)));
    server().put(&machine.path(&object(&exchanged)), &junk);
    // Its archive is untouched, its row is not.
    server().put(&machine.path(&row(&covered)), &junk);
    let fresh = machine.fresh();
    let list = fresh.cofre(&["remote", "list", "offsite", "--json"]).exits(5);
    let list: Value = serde_json::from_str(&list.stdout).unwrap();
    let archives: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["archive"])
        .collect();
    assert_eq!(archives, ["behind", "behind", "whole"], "{list}");
    fresh
        .cofre(&["remote", "list", "offsite"])
        .exits(5)
        .says("HIDDEN: an older version may be good");
    fresh
        .cofre(&["remote", "verify", "offsite", "--quick"])
        .exits(5)
        .says("gone from the remote; an older version of it has the right size");
    for on in [&machine.app, &fresh] {
        // One opens what it reads, and one can't.
        on.cofre(&["remote", "verify", "offsite"])
            .exits(5)
            .says("gone from the remote; an older version of it is good")
            .says("changed or exchanged: it has 19 bytes")
            .says("an older version of it is good; its archive is good");
    }
    // What can still be had is not given up.
    let name = deleted["name"].as_str().unwrap();
    std::fs::remove_file(machine.app.backups().join(format!("{name}.zip"))).unwrap();
    machine
        .remote(&["prune", "offsite", "--lost"])
        .exits(5)
        .says("an older version of it is good: `cofre remote pull offsite 1`");
    for id in ["1", "2", "3"] {
        restore(&fresh, id, 0);
        same_tree(&machine.app.path("static"), &fresh.path("out/static"));
        std::fs::remove_dir_all(fresh.path("out")).unwrap();
    }
}
