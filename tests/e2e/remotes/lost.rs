//! Copies that are gone or damaged: nobody counts them, nobody relies on them, and the next push makes them again.

use serde_json::Value;

use super::{Site, flip};
use crate::support::copy_tree;

fn remove(site: &Site, record: &Value) {
    std::fs::remove_file(site.object(record)).unwrap();
}

/// What the machine remembers of a copy.
fn noted(site: &Site, id: u64) -> Value {
    let text = std::fs::read_to_string(site.app.path(".cofre/remotes/offsite.json")).unwrap();
    let state: Value = serde_json::from_str(&text).unwrap();
    state["copies"][id.to_string()].clone()
}

#[test]
fn prune_counts_no_copy_whose_archive_is_gone_or_changed() {
    let site = Site::new();
    let records: Vec<Value> = (0..4).map(|_| site.app.create()).collect();
    remove(&site, &records[1]);
    remove(&site, &records[2]);
    std::fs::write(site.object(&records[3]), b"garbage!").unwrap();
    site.configure("max_backups = 1");
    site.remote(&["prune", "offsite", "--dry-run"])
        .exits(5)
        .says("it has 8 bytes instead of")
        .says("gone from the remote");
    site.remote(&["prune", "offsite"]).exits(5);
    assert!(site.object(&records[0]).exists(), "the last good copy stays");
    assert!(site.row(&records[0]).exists());
    assert_eq!(site.app.json(&["status"])["remotes"][0]["lost"], 3);
    site.remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied");
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("4 copies are good");
    site.remote(&["prune", "offsite"]).exits(0).says("last 1");
    assert_eq!(site.copies().len(), 1);
}

#[test]
fn nothing_is_removed_before_the_newest_that_stays_was_read() {
    let site = Site::new();
    let records: Vec<Value> = (0..3).map(|_| site.app.create()).collect();
    // The size does not tell.
    flip(&site.object(&records[2]));
    site.configure("max_backups = 1");
    site.remote(&["prune", "offsite"])
        .exits(5)
        .says("changed or exchanged");
    assert!(!site.object(&records[0]).exists());
    assert!(site.object(&records[1]).exists(), "the newest good one stays");
    flip(&site.object(&records[1]));
    let only = site.remote(&["prune", "offsite"]).exits(5);
    assert!(
        site.object(&records[1]).exists(),
        "there is nothing to remove: {only}"
    );
}

#[test]
fn copies_of_another_repository_are_none_of_prune_s() {
    let site = Site::new();
    let ours: Vec<Value> = (0..2).map(|_| site.app.create()).collect();
    // With the very same keys.
    let other = Site::new();
    std::fs::remove_dir_all(other.app.path("keys")).unwrap();
    copy_tree(&site.app.path("keys"), &other.app.path("keys"));
    other.configure("");
    let theirs: Vec<Value> = (0..4).map(|_| other.app.create()).collect();
    for record in &theirs[2..] {
        std::fs::copy(other.object(record), site.object(record)).unwrap();
        std::fs::copy(other.row(record), site.row(record)).unwrap();
    }
    site.configure("max_backups = 1");
    site.remote(&["prune", "offsite"]).exits(0);
    assert!(!site.object(&ours[0]).exists());
    assert!(site.object(&ours[1]).exists(), "theirs don't count");
    assert!(theirs[2..].iter().all(|record| site.object(record).exists()));
}

#[test]
fn an_archive_that_is_gone_or_cut_is_named_and_copied_again() {
    let site = Site::new();
    let records: Vec<Value> = (0..2).map(|_| site.app.create()).collect();
    remove(&site, &records[0]);
    std::fs::write(site.object(&records[1]), b"short").unwrap();
    site.remote(&["list", "offsite"])
        .exits(5)
        .says("GONE")
        .says("CHANGED");
    let pushed = site.remote(&["push", "offsite"]).exits(0);
    assert_eq!(pushed.stdout.matches("copied: ").count(), 2, "{pushed}");
    site.remote(&["list", "offsite"]).exits(0);
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
    // One whose archive is no longer here can't be.
    let third = site.app.create();
    remove(&site, &third);
    std::fs::remove_file(
        site.app
            .backups()
            .join(format!("{}.zip", third["name"].as_str().unwrap())),
    )
    .unwrap();
    site.remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied")
        .says("1 lost there, with no archive here");
    site.remote(&["prune", "offsite", "--lost"])
        .exits(0)
        .says("no archive here");
    // Also by name, and where this machine remembers nothing.
    remove(&site, &records[0]);
    std::fs::remove_file(site.app.path(".cofre/remotes/offsite.json")).unwrap();
    site.remote(&["push", "offsite", "1"]).exits(0).says("copied: ");
    site.remote(&["push", "offsite", "1"])
        .exits(0)
        .says("was there: ");
    site.remote(&["verify", "offsite", "1"]).exits(0);
}

#[test]
fn what_verify_finds_bad_is_copied_again() {
    let site = Site::new();
    let record = site.app.create();
    flip(&site.object(&record));
    site.remote(&["push", "offsite"]).exits(0);
    site.remote(&["verify", "offsite"])
        .exits(5)
        .says("changed or exchanged");
    let status = site.app.json(&["status"]);
    assert_eq!(status["remotes"][0]["lost"], 1, "{status}");
    assert_eq!(status["remotes"][0]["copies"], 0, "{status}");
    assert_eq!(status["remotes"][0]["pending"], 1, "{status}");
    site.app.cofre(&["status"]).says("1 LOST there");
    site.app.cofre(&["doctor"]).says("is gone or was changed");
    site.remote(&["push", "offsite"]).exits(0).says("copied: ");
    site.remote(&["verify", "offsite"]).exits(0);
    assert_eq!(site.app.json(&["status"])["remotes"][0]["lost"], 0);
    // Its row too.
    std::fs::write(site.row(&record), b"junk").unwrap();
    site.remote(&["verify", "offsite"]).exits(5);
    site.remote(&["push", "offsite"]).exits(0).says("copied: ");
    site.remote(&["verify", "offsite"]).exits(0);
}

#[test]
fn a_checksum_that_is_gone_is_noticed_and_written_again() {
    let site = Site::new();
    let record = site.app.create();
    let checksum = site.object(&record).with_extension("age.sha256");
    let before = std::fs::read(&checksum).unwrap();
    std::fs::remove_file(&checksum).unwrap();
    site.remote(&["verify", "offsite"])
        .exits(5)
        .says("the checksum beside its archive is gone");
    site.remote(&["push", "offsite"]).exits(0);
    assert_eq!(std::fs::read(&checksum).unwrap(), before);
    site.remote(&["verify", "offsite"]).exits(0);
}

#[test]
fn a_link_in_the_place_of_one_archive_keeps_no_other_from_being_verified() {
    let site = Site::new();
    let one = site.app.create();
    site.app.create();
    let away = site.app.path("elsewhere");
    std::fs::rename(site.object(&one), &away).unwrap();
    std::os::unix::fs::symlink(&away, site.object(&one)).unwrap();
    site.remote(&["verify", "offsite"])
        .exits(5)
        .says("1 copy is good");
    std::fs::rename(site.row(&one), site.app.path("row")).unwrap();
    std::os::unix::fs::symlink(site.app.path("row"), site.row(&one)).unwrap();
    site.remote(&["verify", "offsite"])
        .exits(5)
        .says("1 copy is good");
}

#[test]
fn a_row_that_somebody_made_up_holds_up_no_copy() {
    let site = Site::new();
    site.app.create();
    std::fs::rename(&site.remote, site.app.path("away")).unwrap();
    (0..2).for_each(|_| drop(site.app.create()));
    std::fs::rename(site.app.path("away"), &site.remote).unwrap();
    let bogus = site
        .remote
        .join("rows/0000000003-backup_29990101_000000_manual.json");
    std::fs::write(bogus, b"{}").unwrap();
    site.remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied");
    assert_eq!(site.copies().len(), 3);
    // It hides nothing of what is there either.
    site.remote(&["push", "offsite", "3"]).exits(0).says("was there");
}

#[test]
fn a_refused_archive_holds_up_no_other() {
    let site = Site::new();
    site.app.create();
    let clone = site.app.copy();
    std::fs::remove_dir_all(clone.path("offsite")).unwrap();
    site.app.create();
    clone.write("static/app.js", b"of the clone");
    let ids: Vec<u64> = (0..2)
        .map(|_| clone.json(&["create"])["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [2, 3]);
    // Only 2 is another's.
    copy_tree(&site.remote, &clone.path("offsite"));
    let pushed = clone.cofre(&["remote", "push", "offsite"]).exits(10);
    assert!(pushed.stdout.contains("(id 3, "), "{pushed}");
    pushed.says("another machine copies as the same repository");
}

#[test]
fn a_copy_that_was_there_before_keeps_its_time() {
    let site = Site::new();
    site.app.create();
    let before = noted(&site, 1);
    site.remote(&["push", "offsite", "1"]).exits(0).says("was there");
    assert_eq!(noted(&site, 1), before);
}

#[test]
fn both_tables_say_when_with_the_zone() {
    let site = Site::new();
    site.app.create();
    let has_zone = |text: &str| {
        let mut words = text.split_whitespace();
        words.any(|word| word.len() == 9 && word.contains(':') && word.ends_with('Z'))
    };
    for args in [&["list"][..], &["list", "offsite"]] {
        let table = site.remote(args).exits(0);
        assert!(has_zone(&table.stdout), "{table}");
    }
}

#[test]
fn a_machine_that_only_restores_is_not_told_to_make_new_keys() {
    let site = Site::new();
    site.app.create();
    let fresh = site.fresh();
    let says = fresh.app.cofre(&["doctor"]).says("restore only");
    says.never_says("cofre key new");
}

#[test]
fn an_upload_that_was_given_up_is_taken_away_and_a_whole_copy_stays() {
    let site = Site::new();
    let records: Vec<Value> = (0..2).map(|_| site.app.create()).collect();
    site.app.create();
    // As if a push had died, of 1 before its row was written and of 2 after it, and the archives had gone here since.
    std::fs::remove_file(site.row(&records[0])).unwrap();
    let file = site.app.path(".cofre/remotes/offsite.json");
    for record in &records {
        let mut state: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        let (id, name) = (record["id"].as_u64().unwrap(), record["name"].as_str().unwrap());
        state["copies"].as_object_mut().unwrap().remove(&id.to_string());
        let key = format!("archives/{name}.zip.age");
        state["sending"] = serde_json::json!({
            "id": id, "name": name, "staged": null,
            "object": {"key": key, "size": 1, "sha256": "", "encrypted": true},
            "upload": {"key": key, "size": 1, "part_bytes": 1, "upload_id": null, "parts": []},
        });
        std::fs::write(&file, serde_json::to_vec(&state).unwrap()).unwrap();
        site.app.cofre(&["delete", &id.to_string()]).exits(0);
        site.remote(&["push", "offsite"]).exits(0);
    }
    assert!(site.object(&records[0]).exists());
    site.configure("max_backups = 9");
    site.remote(&["prune", "offsite"]).exits(0);
    assert!(!site.object(&records[0]).exists());
    assert!(site.object(&records[1]).exists());
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
}

#[test]
fn what_is_lost_for_good_is_given_up_on_request_and_nothing_else() {
    let site = Site::new();
    let records: Vec<Value> = (0..4).map(|_| site.app.create()).collect();
    let [gone, here, healed, whole] = records.as_slice() else {
        panic!("four of them")
    };
    let good = std::fs::read(site.object(healed)).unwrap();
    flip(&site.object(healed));
    remove(&site, gone);
    remove(&site, here);
    for record in [gone, healed] {
        let name = record["name"].as_str().unwrap();
        std::fs::remove_file(site.app.backups().join(format!("{name}.zip"))).unwrap();
    }
    site.remote(&["verify", "offsite"]).exits(5);
    assert_eq!(noted(&site, 1)["lost"], true);
    std::fs::write(site.object(healed), good).unwrap();
    let before = std::fs::read(site.app.path(".cofre/remotes/offsite.json")).unwrap();
    for args in [
        &["prune", "offsite", "--lost", "--dry-run"][..],
        &["prune", "offsite", "--lost"],
    ] {
        // There is no retention there: nothing else is looked at.
        let pruned = site.remote(args).exits(5).says("no archive here to copy again");
        assert!(
            pruned.stdout.contains("the next push copies it again"),
            "{pruned}"
        );
        assert!(pruned.stdout.contains("found whole again"), "{pruned}");
        assert!(
            !pruned.stdout.contains(whole["name"].as_str().unwrap()),
            "{pruned}"
        );
        let now = std::fs::read(site.app.path(".cofre/remotes/offsite.json")).unwrap();
        assert_eq!(now == before, args.contains(&"--dry-run"));
    }
    assert!(!site.row(gone).exists() && site.row(healed).exists());
    site.remote(&["push", "offsite"]).exits(0);
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("3 copies are good");
    assert_eq!(site.app.json(&["status"])["remotes"][0]["lost"], 0);
}
