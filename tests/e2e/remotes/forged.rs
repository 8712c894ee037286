//! Copies that somebody changed, exchanged or made: found, and never restored.

use super::{Site, flip};
use crate::support::same_tree;

#[test]
fn a_changed_or_exchanged_copy_is_found_and_never_restored() {
    let site = Site::new();
    let one = site.app.create();
    site.app.write("static/more.txt", b"more");
    let two = site.app.create();
    let good = std::fs::read(site.object(&two)).unwrap();
    let restore = |fresh: &Site, code, says: &str| {
        let out = fresh.app.path("out");
        fresh
            .app
            .cofre(&["restore", "2", "--from", "offsite", "--to", out.to_str().unwrap()])
            .exits(code)
            .says(says);
        assert!(
            !out.exists() && fresh.app.archives().is_empty(),
            "nothing of it is kept"
        );
    };

    flip(&site.object(&two));
    site.remote(&["verify", "offsite"])
        .exits(5)
        .says("was changed or exchanged");
    site.remote(&["verify", "offsite", "1"]).exits(0);
    restore(&site.fresh(), 5, "was changed or exchanged");

    std::fs::write(site.object(&two), &good[..good.len() - 1]).unwrap();
    site.remote(&["verify", "offsite", "--quick"])
        .exits(5)
        .says("bytes");
    restore(&site.fresh(), 5, "was changed or exchanged");

    // An old archive in the place of the new one: genuine, and still not what the row means.
    std::fs::copy(site.object(&one), site.object(&two)).unwrap();
    site.remote(&["verify", "offsite"]).exits(5);
    restore(&site.fresh(), 5, "was changed or exchanged");

    // Its row too: signed, but that of another backup.
    std::fs::copy(site.row(&one), site.row(&two)).unwrap();
    site.remote(&["verify", "offsite"])
        .exits(5)
        .says("put in another's place");
    restore(&site.fresh(), 5, "put in another's place");

    std::fs::remove_file(site.row(&two)).unwrap();
    site.remote(&["verify", "offsite"])
        .exits(5)
        .says("gone from the remote");
    std::fs::remove_file(site.object(&two)).unwrap();
    site.remote(&["push", "offsite"]).exits(0);
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
}

#[test]
fn a_copy_that_somebody_else_signed_is_refused_unless_forced() {
    let site = Site::new();
    let record = site.app.create();
    // Whoever can write there has the public key, and makes an archive of their own with keys of their own.
    let other = Site::new();
    other.app.write("static/app.js", b"evil");
    let forged = other.app.create();
    std::fs::copy(other.object(&forged), site.object(&record)).unwrap();
    let theirs = std::fs::read_to_string(other.row(&forged)).unwrap();
    let forged_row = theirs.replace(forged["name"].as_str().unwrap(), record["name"].as_str().unwrap());
    std::fs::write(site.row(&record), forged_row).unwrap();
    site.remote(&["list", "offsite"])
        .exits(5)
        .says("somebody else wrote it");
    let fresh = site.fresh();
    fresh
        .app
        .cofre(&["restore", "1", "--from", "offsite"])
        .exits(10)
        .says("not signed by this repository");
    fresh
        .app
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(5)
        .says("not signed by this repository");
    assert!(
        !fresh.app.history_path().exists(),
        "nothing of it gets into a catalog"
    );
    // Without any key that proves something nothing is taken for granted either.
    let identity = std::fs::read_to_string(fresh.identity()).unwrap();
    let mute: Vec<&str> = identity
        .lines()
        .filter(|line| !line.contains("verify key"))
        .collect();
    std::fs::write(fresh.identity(), mute.join("\n")).unwrap();
    fresh
        .app
        .cofre(&["restore", "1", "--from", "offsite"])
        .exits(10)
        .says("nothing here says who may sign");
}

#[test]
fn a_good_copy_without_a_known_signer_can_be_forced() {
    let site = Site::new();
    site.app.create();
    let fresh = site.fresh();
    let identity = std::fs::read_to_string(fresh.identity()).unwrap();
    let mute: Vec<&str> = identity
        .lines()
        .filter(|line| !line.contains("verify key"))
        .collect();
    std::fs::write(fresh.identity(), mute.join("\n")).unwrap();
    let out = fresh.app.path("out");
    let to = out.to_str().unwrap();
    fresh
        .app
        .cofre(&["restore", "1", "--from", "offsite", "--to", to])
        .exits(10);
    fresh
        .app
        .cofre(&["restore", "1", "--from", "offsite", "--unsigned", "--to", to])
        .exits(0);
    same_tree(&site.app.path("static"), &out.join("static"));
}

#[test]
fn unsigned_rows_are_taken_one_by_one_and_name_no_repository() {
    let site = Site::new();
    let one = site.app.create();
    site.app.create();
    let fresh = site.fresh();
    let identity = std::fs::read_to_string(fresh.identity()).unwrap();
    let mute: Vec<&str> = identity
        .lines()
        .filter(|line| !line.contains("verify key"))
        .collect();
    std::fs::write(fresh.identity(), mute.join("\n")).unwrap();
    std::fs::write(fresh.remote.join("cofre-repository.json"), "junk").unwrap();
    let row = std::fs::read_to_string(fresh.row(&one)).unwrap();
    let bad = row.replace(one["sha256"].as_str().unwrap(), "no sum");
    assert_ne!(bad, row);
    std::fs::write(fresh.row(&one), bad).unwrap();
    fresh
        .app
        .cofre(&["rebuild", "--from", "offsite", "--unsigned"])
        .exits(5)
        .says("the catalog got 1 of 2")
        .says("`offsite`: cofre-repository.json at the remote is not cofre's");
    let out = fresh.app.path("out");
    let to = out.to_str().unwrap();
    fresh
        .app
        .cofre(&["restore", "2", "--from", "offsite", "--unsigned", "--to", to])
        .exits(0);
    // With the key again it is what it was: nothing unsigned has said whose the catalog is.
    std::fs::write(fresh.identity(), identity).unwrap();
    std::fs::write(fresh.row(&one), row).unwrap();
    fresh
        .app
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(0)
        .says("the catalog got 1 of 2");
}
