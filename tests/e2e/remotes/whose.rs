//! Whose copies a remote holds: what the signed rows say, whatever lies beside them.

use super::{Site, copy_tree, listing};

const MARKER: &str = "cofre-repository.json";

fn restores(fresh: &Site) {
    let out = fresh.app.path("out");
    fresh
        .app
        .cofre(&[
            "restore",
            "latest",
            "--from",
            "offsite",
            "--to",
            out.to_str().unwrap(),
        ])
        .exits(0)
        .says(MARKER);
    fresh
        .app
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(0)
        .says("of 2 backups");
    fresh.remote(&["list", "offsite"]).exits(0);
    fresh.remote(&["verify", "offsite"]).exits(5).says(MARKER);
}

#[test]
fn the_signed_rows_say_whose_the_copies_are_where_the_marker_is_gone_or_lies() {
    let site = Site::new();
    site.app.create();
    site.app.create();
    let path = site.remote.join(MARKER);
    let good = std::fs::read_to_string(&path).unwrap();
    let fields: serde_json::Value = serde_json::from_str(&good).unwrap();
    let own = fields["repository"].as_str().unwrap();
    for bad in [None, Some("junk"), Some("{}"), Some(&*good.replace(own, "evil"))] {
        match bad {
            None => std::fs::remove_file(&path).unwrap(),
            Some(text) => std::fs::write(&path, text).unwrap(),
        }
        restores(&site.fresh());
        // The machine that made them writes it anew.
        site.remote(&["push", "offsite"])
            .exits(0)
            .says("0 still to be copied");
        let now = std::fs::read_to_string(&path).unwrap();
        assert!(now.contains(own), "{now}");
        site.remote(&["verify", "offsite"]).exits(0);
    }
}

#[test]
fn nothing_is_removed_where_somebody_has_removed_the_marker() {
    let site = Site::new();
    site.configure("max_backups = 1");
    (0..2).for_each(|_| drop(site.app.create()));
    std::fs::remove_file(site.remote.join(MARKER)).unwrap();
    let before = site.copies();
    site.remote(&["prune", "offsite"])
        .exits(10)
        .says("cofre-repository.json is missing at `offsite`: somebody has removed it");
    assert_eq!(site.copies(), before);
    site.remote(&["push", "offsite"]).exits(0);
    site.remote(&["prune", "offsite"]).exits(0);
}

#[test]
fn a_forged_marker_makes_no_catalog_its_own() {
    let site = Site::new();
    let record = site.app.create();
    let fresh = site.fresh();
    let (path, row) = (fresh.remote.join(MARKER), fresh.row(&record));
    let good = (std::fs::read(&path).unwrap(), std::fs::read(&row).unwrap());
    std::fs::write(
        &path,
        r#"{"format": 1, "repository": "evil", "created_at": "2026-01-01T00:00:00Z"}"#,
    )
    .unwrap();
    std::fs::write(&row, "junk").unwrap();
    fresh.app.cofre(&["rebuild", "--from", "offsite"]).exits(5);
    std::fs::write(&path, good.0).unwrap();
    std::fs::write(&row, good.1).unwrap();
    fresh
        .app
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(0)
        .says("the catalog got 1 of 1");
}

#[test]
fn a_machine_with_the_same_keys_takes_over_no_remote_without_a_marker() {
    let site = Site::new();
    site.app.create();
    let other = Site::new();
    std::fs::remove_dir_all(other.app.path("keys")).unwrap();
    copy_tree(&site.app.path("keys"), &other.app.path("keys"));
    let other = Site {
        recipient: site.recipient.clone(),
        ..other
    };
    other.configure("");
    other.app.create();
    let own = std::fs::read(other.remote.join(MARKER)).unwrap();
    // Its own copies and its memory of them are gone; those of the first machine lie there.
    std::fs::remove_dir_all(&other.remote).unwrap();
    std::fs::remove_dir_all(other.app.path(".cofre/remotes")).unwrap();
    copy_tree(&site.remote, &other.remote);
    std::fs::remove_file(other.remote.join(MARKER)).unwrap();
    let before = listing(&other.remote);
    other
        .remote(&["push", "offsite"])
        .exits(10)
        .says("two are never mixed");
    assert_eq!(listing(&other.remote), before);
    // Nor do its backups come into this one's folder, whatever the marker says.
    std::fs::write(other.remote.join(MARKER), own).unwrap();
    for wanted in [&["pull", "offsite", "1"][..], &["pull", "offsite", "--all"]] {
        other
            .remote(wanted)
            .exits(10)
            .says("is not the repository that `offsite` has copies of");
    }
    assert_eq!(other.app.history().len(), 1);
}

#[test]
fn a_new_signing_key_goes_on_where_the_old_one_is_named() {
    let site = Site::new();
    site.app.create();
    let text = std::fs::read_to_string(site.identity()).unwrap();
    let old = text
        .lines()
        .find_map(|line| line.strip_prefix("# cofre verify key: "))
        .unwrap()
        .to_owned();
    site.app
        .cofre(&["key", "new", site.app.path("new").to_str().unwrap()])
        .exits(0);
    site.write_config("signing_key_file = \"new/cofre-signing.key\"", "");
    // The state is lost with the machine, so that each copy is looked at again.
    std::fs::remove_dir_all(site.app.path(".cofre/remotes")).unwrap();
    site.remote(&["push", "offsite"])
        .exits(10)
        .says("that no key here proves")
        .says("`encryption.verify_keys`");
    site.write_config(
        &format!("signing_key_file = \"new/cofre-signing.key\"\nverify_keys = [\"{old}\"]"),
        "",
    );
    site.remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied");
    site.app.create();
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
    site.remote(&["list", "offsite"]).exits(0);
}

#[test]
fn a_row_that_nobody_signed_takes_no_id_away() {
    let site = Site::new();
    site.app.create();
    let two = site.app.create();
    std::fs::remove_file(site.row(&two)).unwrap();
    std::fs::remove_file(site.object(&two)).unwrap();
    std::fs::write(
        site.remote
            .join("rows/0000000002-backup_29990101_000000_manual.json"),
        "junk",
    )
    .unwrap();
    site.remote(&["push", "offsite"]).exits(0).says("copied");
    assert_eq!(site.copies().len(), 2);
}

#[test]
fn a_row_of_another_history_keeps_no_other_from_a_takeover() {
    let site = Site::new();
    site.app.create();
    let clone = site.app.copy();
    let two = site.app.create();
    clone.write("static/app.js", b"of the clone");
    let stray = clone.json(&["create", "--type", "clone"]);
    assert_eq!(stray["id"], two["id"]);
    let row = format!("rows/0000000002-{}.json", stray["name"].as_str().unwrap());
    std::fs::copy(clone.path("offsite").join(&row), site.remote.join(&row)).unwrap();
    let unpadded = format!("rows/2-{}.json", two["name"].as_str().unwrap());
    std::fs::copy(site.row(&two), site.remote.join(unpadded)).unwrap();
    let fresh = site.fresh();
    fresh
        .app
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(5)
        .says("the catalog got 2 of 3")
        .says("they are of two histories");
}

/// A run after the catalog was lost: its rows come from the archives.
fn lose_catalog(site: &Site) {
    std::fs::remove_file(site.app.backups().join(".catalog.json")).unwrap();
    site.app.cofre(&["create"]);
}

#[test]
fn a_lost_catalog_stops_no_copies() {
    let site = Site::new();
    site.app.create();
    site.app.create();
    let marker = std::fs::read(site.remote.join(MARKER)).unwrap();
    // As this machine remembers it, and as the signed rows say it; what nobody signed says nothing.
    for remembers in [true, false] {
        let junk = "rows/0000000001-backup_29990101_000000_manual.json";
        std::fs::write(site.remote.join(junk), "junk").unwrap();
        if !remembers {
            std::fs::remove_dir_all(site.app.path(".cofre/remotes")).unwrap();
        }
        lose_catalog(&site);
        site.remote(&["push", "offsite"])
            .exits(0)
            .says("0 still to be copied");
        assert_eq!(site.copies().len(), site.app.history().len());
        assert_eq!(std::fs::read(site.remote.join(MARKER)).unwrap(), marker);
        std::fs::remove_file(site.remote.join(junk)).unwrap();
        site.remote(&["verify", "offsite"]).exits(0);
    }
}

#[test]
fn a_catalog_that_is_of_no_history_there_takes_over_none() {
    let site = Site::new();
    site.app.create();
    let other = Site::new();
    // Without copies its catalog has no identity.
    other.app.config("[sources.static]\npath = \"static\"\n");
    other.app.create();
    std::fs::remove_dir_all(other.app.path("keys")).unwrap();
    copy_tree(&site.app.path("keys"), &other.app.path("keys"));
    copy_tree(&site.remote, &other.remote);
    let other = Site {
        recipient: site.recipient.clone(),
        ..other
    };
    other.configure("");
    let before = listing(&other.remote);
    for _ in 0..2 {
        other
            .remote(&["push", "offsite"])
            .exits(10)
            .says("two are never mixed");
        other
            .app
            .cofre(&["rebuild", "--from", "offsite"])
            .exits(10)
            .says("is not the repository that `offsite` has copies of");
    }
    assert_eq!(listing(&other.remote), before);
    assert_eq!(other.app.history().len(), 1);
    // It was refused, and stays nobody's: what is said to do then works.
    std::fs::remove_dir_all(other.app.backups()).unwrap();
    other
        .app
        .cofre(&["rebuild", "--from", "offsite", "--new-history"])
        .exits(0)
        .says("the catalog got 1 of 1");
}

#[test]
fn a_history_that_went_on_without_its_catalog_takes_its_rows_back() {
    let site = Site::new();
    site.app.create();
    site.app.create();
    site.app.create();
    // The oldest is only at the remote; backups go on before anybody thinks of it.
    site.app.cofre(&["delete", "1"]).exits(0);
    let without = site.fresh();
    copy_tree(&site.app.path("static"), &without.app.path("static"));
    std::fs::create_dir(without.app.backups()).unwrap();
    for file in site.app.backup_files() {
        if file.contains(".zip") {
            std::fs::copy(site.app.backups().join(&file), without.app.backups().join(&file)).unwrap();
        }
    }
    without.app.cofre(&["rebuild"]).exits(0);
    // In the same second it would have the name of the one that is gone.
    without.app.cofre(&["create", "--type", "later"]);
    assert_eq!(without.app.history().len(), 3);
    without
        .app
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(0)
        .says("the catalog got 1 of 3");
    without.remote(&["pull", "offsite", "1"]).exits(0).says("fetched");
}

#[test]
fn who_has_the_identity_needs_no_signing_key_to_read() {
    let site = Site::new();
    site.app.create();
    // The configuration of the machine that is lost, as it was; the keys that are kept elsewhere are back.
    let fresh = site.fresh();
    let signing = "signing_key_file = \"keys/cofre-signing.key\"";
    let both = format!("{signing}\nidentity_file = \"keys/cofre-identity.txt\"");
    let restore = |to: &str| {
        let to = fresh.app.path(to).to_str().unwrap().to_owned();
        ["restore", "latest", "--from", "offsite", "--to"]
            .map(str::to_owned)
            .into_iter()
            .chain([to])
            .collect::<Vec<_>>()
    };
    fresh.write_config(signing, "");
    let args = restore("first");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    for without in [&["remote", "list", "offsite"][..], &args] {
        fresh
            .app
            .cofre(without)
            .exits(2)
            .says("nothing here says who may sign the copies")
            .says("`encryption.verify_keys`");
    }
    let identity = fresh.identity();
    let with: Vec<&str> = args
        .iter()
        .copied()
        .chain(["--identity", identity.to_str().unwrap()])
        .collect();
    fresh.app.cofre(&with).exits(0);
    fresh.write_config(&both, "");
    for reading in [
        &["remote", "list", "offsite"][..],
        &["rebuild", "--from", "offsite"],
        &["remote", "verify", "offsite"],
        &["remote", "pull", "offsite", "1"],
    ] {
        fresh.app.cofre(reading).exits(0);
    }
    fresh
        .app
        .cofre(&["remote", "push", "offsite"])
        .exits(2)
        .says("keys/cofre-signing.key, the `encryption.signing_key_file`, is not there")
        .says("bring the signing key back");
    // One that is there and can't be used is no key that is kept elsewhere.
    fresh.app.write("keys/cofre-signing.key", b"junk");
    fresh
        .app
        .cofre(&["remote", "list", "offsite"])
        .exits(2)
        .says("keys/cofre-signing.key");
    // A machine that has copied proves what it removes without it, too.
    std::fs::remove_file(site.app.path("keys/cofre-signing.key")).unwrap();
    site.write_config(&both, "max_backups = 3");
    site.remote(&["prune", "offsite", "--dry-run"]).exits(0);
}
