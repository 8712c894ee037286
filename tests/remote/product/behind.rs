//! What somebody with the right to delete and to write does behind our back, and what the older versions in the bucket
//! still say.

use serde_json::Value;

use super::Machine;
use crate::server::server;
use crate::site::Site;
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
        .says("1 copies are good");
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
