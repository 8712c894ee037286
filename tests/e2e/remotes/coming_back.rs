//! Archives that come back: in which order, in place of what, and what keeps them from it.

use super::{Site, flip};
use crate::support::same_tree;

/// Backups so many, and a machine that has none of them.
fn lost(count: usize) -> (Site, Vec<serde_json::Value>, Site) {
    let site = Site::new();
    let records = (0..count).map(|_| site.app.create()).collect();
    let fresh = site.fresh();
    (site, records, fresh)
}

#[test]
fn one_bad_copy_keeps_no_other_from_coming_and_the_newest_comes_first() {
    let (_site, records, fresh) = lost(3);
    flip(&fresh.object(&records[1]));
    let pulled = fresh
        .remote(&["pull", "offsite", "--all", "--json"])
        .exits(5)
        .stdout;
    let pulled: serde_json::Value = serde_json::from_str(&pulled).unwrap();
    let ids: Vec<_> = pulled["fetched"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [3, 1], "{pulled}");
    let problem = pulled["problems"][0].as_str().unwrap();
    assert!(problem.contains("was changed or exchanged"), "{pulled}");
    // What is asked for alone fails with its own reason.
    fresh
        .remote(&["pull", "offsite", "2"])
        .exits(5)
        .says("was changed or exchanged");
    fresh.app.assert_no_leftovers();
}

#[test]
fn copies_begin_no_history_where_one_is_missing() {
    let (_site, _, fresh) = lost(2);
    fresh.remote(&["pull", "offsite", "latest"]).exits(0);
    std::fs::rename(fresh.app.backups(), fresh.app.path("away")).unwrap();
    std::fs::create_dir(fresh.app.backups()).unwrap();
    for command in [
        &["remote", "pull", "offsite", "latest"][..],
        &["restore", "latest", "--from", "offsite"],
        &["rebuild", "--from", "offsite"],
        &["create"],
    ] {
        fresh.app.cofre(command).exits(10).says("had a history");
    }
    assert!(fresh.app.backup_files().is_empty());
    fresh
        .app
        .cofre(&["rebuild", "--from", "offsite", "--new-history"])
        .exits(0)
        .says("the catalog got 2 of 2");
    fresh.remote(&["pull", "offsite", "latest"]).exits(0);
}

#[test]
fn a_damaged_archive_is_replaced_by_its_copy_and_kept_aside() {
    let site = Site::new();
    let record = site.app.create();
    let good = std::fs::read(site.app.archive(&record)).unwrap();
    flip(&site.app.archive(&record));
    let bad = std::fs::read(site.app.archive(&record)).unwrap();
    site.write_config(
        "signing_key_file = \"keys/cofre-signing.key\"\nidentity_file = \"keys/cofre-identity.txt\"",
        "",
    );
    let out = site.app.path("out");
    site.app
        .cofre(&[
            "restore",
            "latest",
            "--from",
            "offsite",
            "--to",
            out.to_str().unwrap(),
        ])
        .exits(0)
        .says("is damaged and is kept as");
    same_tree(&site.app.path("static"), &out.join("static"));
    assert_eq!(std::fs::read(site.app.archive(&record)).unwrap(), good);
    let aside = format!("{}.zip.damaged", record["name"].as_str().unwrap());
    assert_eq!(std::fs::read(site.app.backups().join(aside)).unwrap(), bad);
    site.app.cofre(&["verify", "--all"]).exits(0);
    // A fetch that was stopped after the archive had its name: its checksum comes with the next.
    let checksum = site
        .app
        .backups()
        .join(format!("{}.zip.sha256", record["name"].as_str().unwrap()));
    let beside = std::fs::read(&checksum).unwrap();
    for _ in 0..2 {
        site.remote(&["pull", "offsite", "latest"])
            .exits(0)
            .says("was here");
        assert_eq!(std::fs::read(&checksum).unwrap(), beside);
        std::fs::remove_file(&checksum).unwrap();
    }
}

#[test]
fn a_history_that_goes_on_from_an_older_copy_gives_no_id_twice() {
    let (site, _, fresh) = lost(3);
    fresh.remote(&["pull", "offsite", "1"]).exits(0);
    std::fs::copy(
        site.app.path("keys/cofre-signing.key"),
        fresh.app.path("keys/cofre-signing.key"),
    )
    .unwrap();
    fresh.configure("");
    fresh.app.write("static/app.js", b"later");
    // Those of the test are made within seconds, and names have seconds.
    assert_eq!(fresh.app.json(&["create", "--type", "later"])["id"], 4);
    assert_eq!(fresh.copies().len(), 4);
    fresh.remote(&["verify", "offsite"]).exits(0);
    fresh.app.cofre(&["rebuild", "--from", "offsite"]).exits(0);
}

#[test]
fn rows_that_somebody_made_up_hide_no_id_that_is_given_out() {
    let (_, records, fresh) = lost(3);
    // Whoever can write there can write any number of them.
    for id in 100..200 {
        let name = records[0]["name"].as_str().unwrap();
        let row = fresh.remote.join(format!("rows/{id:010}-{name}.json"));
        std::fs::write(row, "junk").unwrap();
    }
    fresh.remote(&["pull", "offsite", "1"]).exits(0);
    fresh.app.write("static/app.js", b"later");
    assert_eq!(fresh.app.json(&["create", "--type", "later"])["id"], 4);
}

#[test]
fn a_folder_that_is_busy_is_said_before_anything_comes() {
    let (_site, records, fresh) = lost(2);
    fresh.remote(&["pull", "offsite", "2"]).exits(0);
    // Only after a transfer would it be noticed that the archive is gone.
    std::fs::remove_file(fresh.object(&records[0])).unwrap();
    let held = std::fs::File::open(fresh.app.backups()).unwrap();
    held.lock().unwrap();
    fresh
        .remote(&["pull", "offsite", "1"])
        .exits(6)
        .says("another run");
    drop(held);
    fresh.remote(&["pull", "offsite", "1"]).exits(4);
}

#[test]
fn what_is_signed_elsewhere_or_lies_in_the_future_is_not_the_latest() {
    let (_site, records, fresh) = lost(2);
    let row = std::fs::read_to_string(fresh.row(&records[1])).unwrap();
    let name = records[1]["name"].as_str().unwrap();
    let later = "backup_29990101_000000_manual";
    let started = records[1]["started_at"].as_str().unwrap();
    let forged = row
        .replace(name, later)
        .replace(&started[..4], "2999")
        .replace("\\\"id\\\":2", "\\\"id\\\":9");
    assert_ne!(forged, row);
    std::fs::write(fresh.remote.join(format!("rows/0000000009-{later}.json")), forged).unwrap();
    fresh
        .remote(&["pull", "offsite", "latest"])
        .exits(0)
        .says(&format!("fetched: {name}"));
    // Nor does it take the ids.
    assert_eq!(fresh.app.history().len(), 1);
}
