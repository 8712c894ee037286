//! What goes on without the identity: retention, deletes, the next run, copies off the machine, and a lost catalog.

use super::*;

#[test]
fn deletes_and_retention_take_every_file_and_never_the_last_good_one() {
    let vault = Vault::new();
    for _ in 0..4 {
        vault.app.create();
    }
    vault.app.cofre(&["delete", "2"]).exits(0);
    vault.assert_sealed();
    let text = std::fs::read_to_string(vault.app.path("cofre.toml")).unwrap();
    vault.app.config(&format!("max_backups = 1\n{text}"));
    vault.app.cofre(&["prune"]).exits(0).says("removed 2");
    vault.assert_sealed();
    assert_eq!(vault.app.history().len(), 1);
    vault
        .app
        .cofre(&["delete", "4"])
        .exits(10)
        .says("newest good backup");
    vault.assert_sealed();
    let next = vault.app.create();
    assert_eq!(next["id"], 5);
    vault.assert_sealed();
    assert_eq!(vault.app.history().len(), 1, "a run prunes what is encrypted");
}

#[test]
fn the_next_run_says_why_nothing_was_reused() {
    let vault = Vault::plain();
    vault.configure("", "");
    // Files of the last seconds are read again in any case.
    for file in ["static/app.js", "static/css/style.css"] {
        crate::support::set_mtime(&vault.app.path(file), 1_600_000_000, 0);
    }
    vault.app.create();
    vault.turn_on();
    let first = vault.app.cofre(&["create"]).exits(0);
    assert!(
        !first.stderr.contains("is encrypted"),
        "the previous one was not: {first}"
    );
    let second = vault.app.cofre(&["create"]).exits(0);
    second.says("the previous archive is encrypted, so nothing of");
    assert_eq!(vault.row(3)["reused_bytes"], 0);
    let full = vault.app.cofre(&["create", "--full"]).exits(0);
    assert!(!full.stderr.contains("is encrypted"), "{full}");
}

#[test]
fn turning_it_on_encrypts_what_is_there_and_turning_it_off_leaves_it() {
    let vault = Vault::plain();
    vault.configure("", "");
    let plain = vault.app.create();
    vault.app.create();
    let bytes = std::fs::read(vault.app.archive(&plain)).unwrap();
    vault.turn_on();
    vault.app.cofre(&["doctor"]).says("2 archives are not encrypted");
    vault
        .app
        .cofre(&["create"])
        .exits(0)
        .says("2 older archives (")
        .says("are encrypted now, once");
    vault.assert_sealed();
    assert_eq!(vault.opened(&plain), bytes);
    vault.configure("", "");
    let later = vault.app.create();
    assert_eq!(later["encrypted"], false);
    let rows = vault.app.json(&["list"]);
    let encrypted: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["encrypted"].clone())
        .collect();
    assert_eq!(encrypted, [true, true, true, false]);
    vault.app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn a_damaged_archive_is_not_encrypted_over_its_damage() {
    let vault = Vault::plain();
    vault.configure("", "");
    let record = vault.app.create();
    flip(&vault.app.archive(&record));
    vault.turn_on();
    let next = vault.app.cofre(&["create"]).exits(0);
    next.says("is not encrypted, and the next run tries it again")
        .says("is not what the catalog says");
    assert!(vault.app.archive(&record).exists());
    assert!(!vault.sealed(&record).exists());
    assert_eq!(vault.row(2)["encrypted"], true);
    vault.app.assert_no_leftovers();
}

#[test]
fn no_room_for_the_encrypted_archive_leaves_the_plain_one_and_a_warning() {
    let vault = Vault::new();
    vault
        .app
        .write("static/foto.jpg", &crate::support::Rng::fixed(7).bytes(300_000));
    let record = vault.app.create();
    let room = record["size"].as_u64().unwrap() + 100;
    assert!(std::fs::metadata(vault.sealed(&record)).unwrap().len() > room);
    vault.app.cofre(&["delete", "1", "--force"]).exits(0);
    let command = vault.app.command(&["create"]);
    let mut limited = Command::new(tool("prlimit"));
    limited
        .arg(format!("--fsize={room}"))
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(key, value),
            None => limited.env_remove(key),
        };
    }
    let run = run(&mut limited).exits(0);
    let run = run
        .says("completed")
        .says("is not encrypted, and the next run tries it again");
    let row = vault.row(2);
    assert_eq!(row["status"], "completed", "{run}");
    assert_eq!(row["encrypted"], false, "{run}");
    vault.app.assert_no_leftovers();
    vault.app.cofre(&["verify"]).exits(0).says("verified, ");
    vault.app.create();
    vault.assert_sealed();
}

#[test]
fn a_lost_catalog_comes_back_with_the_identity_and_without_it_nothing_is_touched() {
    let vault = Vault::new();
    vault.app.create();
    vault.app.cofre(&["pin", "1"]).exits(0);
    vault.app.write("static/new.txt", b"new");
    vault.app.create();
    let rows = vault.app.history();
    // With its rows it needs no identity.
    vault.app.cofre(&["rebuild"]).exits(0);
    assert_eq!(vault.app.history(), rows);
    for name in ["backup_history.json", ".catalog.json"] {
        std::fs::remove_file(vault.app.backups().join(name)).unwrap();
    }
    vault.app.cofre(&["list"]).exits(10).says("cofre rebuild");
    let before: Vec<_> = rows
        .iter()
        .map(|row| std::fs::read(vault.sealed(row)).unwrap())
        .collect();
    vault
        .app
        .cofre(&["rebuild"])
        .exits(5)
        .says("is encrypted and has no row")
        .says("cofre rebuild --identity FILE");
    let other = Vault::plain();
    let wrong = ["rebuild", "--identity", &other.identity()];
    vault
        .app
        .cofre(&wrong)
        .exits(5)
        .says("the identity does not open");
    let after: Vec<_> = rows
        .iter()
        .map(|row| std::fs::read(vault.sealed(row)).unwrap())
        .collect();
    assert_eq!(before, after, "left alone");
    vault
        .opening(&["rebuild"])
        .exits(0)
        .says("the catalog has 2 backups");
    for row in &rows {
        let now = vault.row(row["id"].as_u64().unwrap());
        for field in [
            "name",
            "type",
            "timestamp",
            "status",
            "size",
            "sha256",
            "plan",
            "file_count",
        ] {
            assert_eq!(now[field], row[field], "{field}");
        }
    }
    vault.opening(&["verify", "--all"]).exits(0);
    assert_eq!(vault.app.create()["id"], 3);
    vault.assert_sealed();
    // One that was deleted does not come back.
    let third = vault.app.history().pop().unwrap();
    let kept = std::fs::read(vault.sealed(&third)).unwrap();
    vault.app.cofre(&["delete", "3", "--force"]).exits(0);
    std::fs::write(vault.sealed(&third), kept).unwrap();
    vault
        .opening(&["rebuild"])
        .exits(0)
        .says("was deleted, so it is left out");
    assert_eq!(vault.app.history().len(), 2);
}

#[test]
fn backups_go_on_after_a_lost_catalog_and_the_old_ones_come_back_later() {
    let vault = Vault::new();
    let old = [vault.app.create(), vault.app.create()];
    for name in ["backup_history.json", ".catalog.json"] {
        std::fs::remove_file(vault.app.backups().join(name)).unwrap();
    }
    vault
        .app
        .cofre(&["rebuild"])
        .exits(5)
        .says("is encrypted and has no row");
    // Nobody knows here which ids the old ones had.
    let new = vault.app.create();
    vault
        .opening(&["rebuild"])
        .exits(0)
        .says("the catalog has 3 backups");
    let rows = vault.app.history();
    let names: Vec<_> = rows.iter().map(|row| row["name"].clone()).collect();
    let expected = [&old[0], &old[1], &new].map(|row| row["name"].clone());
    assert_eq!(names, expected, "oldest first");
    let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| row["id"].as_u64()).collect();
    assert_eq!(ids.len(), 3, "{rows:?}");
    assert_eq!(rows[2]["id"], new["id"], "an id that was given out stays");
    vault.opening(&["verify", "--all"]).exits(0);
    vault.assert_sealed();
}

#[test]
fn what_is_encrypted_leaves_as_it_is_and_comes_back() {
    for encrypt in ["", "encrypt = false"] {
        let vault = Vault::plain();
        std::fs::create_dir(vault.app.path("offsite")).unwrap();
        let remote = format!("[[remotes]]\nname = \"offsite\"\nurl = \"offsite\"\n{encrypt}");
        let keys = "signing_key_file = \"keys/cofre-signing.key\"\nencrypt_local = true";
        vault.configure(keys, &remote);
        let record = vault.app.create();
        let name = record["name"].as_str().unwrap();
        let object = vault.app.path(format!("offsite/archives/{name}.zip.age"));
        assert_eq!(
            std::fs::read(&object).unwrap(),
            std::fs::read(vault.sealed(&record)).unwrap()
        );
        assert!(!listing(&vault.app.path("offsite")).contains(&format!("{name}.zip\n")));
        vault
            .app
            .cofre(&["remote", "verify", "offsite"])
            .exits(0)
            .says("1 copy is good");
        let row =
            std::fs::read_to_string(vault.app.path(format!("offsite/rows/0000000001-{name}.json"))).unwrap();
        let envelope: Value = serde_json::from_str(&row).unwrap();
        let row: Value = serde_json::from_str(envelope["payload"].as_str().unwrap()).unwrap();
        assert_eq!(row["backup"]["sha256"], record["sha256"], "{row}");
        assert_eq!(row["backup"]["size"], record["size"], "{row}");
        assert_eq!(row["object"]["encrypted"], true, "{row}");
        // Not a damaged one.
        vault.app.write("static/new.txt", b"of the second");
        std::fs::rename(vault.app.path("offsite"), vault.app.path("away")).unwrap();
        let second = vault.app.create();
        std::fs::rename(vault.app.path("away"), vault.app.path("offsite")).unwrap();
        let good = std::fs::read(vault.sealed(&second)).unwrap();
        flip(&vault.sealed(&second));
        vault
            .app
            .cofre(&["remote", "push", "offsite"])
            .exits(5)
            .says("is not copied");
        std::fs::write(vault.sealed(&second), good).unwrap();
        vault
            .app
            .cofre(&["remote", "push", "offsite"])
            .exits(0)
            .says("0 still to be copied");

        // The machine is gone.
        std::fs::remove_dir_all(vault.app.backups()).unwrap();
        std::fs::remove_dir_all(vault.app.path(".cofre")).unwrap();
        let to = vault.app.path("out");
        let restore = [
            "restore",
            "latest",
            "--from",
            "offsite",
            "--to",
            to.to_str().unwrap(),
        ];
        vault.opening(&restore).exits(0);
        same_tree(&vault.app.path("static"), &vault.app.path("out/static"));
        assert_eq!(
            vault.row(2)["encrypted"],
            false,
            "a pulled archive is plain until the next run"
        );
        vault.app.create();
        vault.assert_sealed();
    }
}

#[test]
fn a_configuration_without_recipients_or_with_drills_that_nobody_can_hold_is_told() {
    let app = App::small();
    app.config("[sources.static]\npath = \"static\"\n[encryption]\nencrypt_local = true\n");
    app.cofre(&["create"]).exits(2).says("`recipients` is missing");
    let vault = Vault::plain();
    vault.configure("encrypt_local = true", "[drill]\nat = \"sunday 05:00\"");
    let check = vault.app.cofre(&["config", "check"]).exits(0);
    check.says("no drill can be held here");
    vault.app.cofre(&["doctor"]).says("no drill can be held here");
    vault.configure(
        "encrypt_local = true\nidentity_file = \"keys/cofre-identity.txt\"",
        "[drill]\nat = \"sunday 05:00\"",
    );
    let check = vault.app.cofre(&["config", "check"]).exits(0);
    check.never_says("no drill can be held");
}

#[test]
fn another_file_with_a_checksum_of_its_own_is_not_whole() {
    let vault = Vault::new();
    let record = vault.app.create();
    super::interrupted::forge(&vault, &record);
    vault
        .app
        .cofre(&["verify"])
        .exits(5)
        .says("can't hold the archive");
    assert_eq!(vault.row(1)["verify_status"], "failed");
}

#[test]
fn who_only_looks_at_the_file_takes_no_verification_of_the_content_away() {
    let vault = Vault::new();
    let record = vault.app.create();
    vault.app.create();
    vault.opening(&["verify", "1"]).exits(0);
    vault.app.cofre(&["verify", "--all"]).exits(0).says("not opened");
    assert_eq!(vault.row(1)["verify_status"], "verified (then whole)");
    assert_eq!(vault.row(2)["verify_status"], "whole (not opened)");
    vault.configure("encrypt_local = true", "");
    let config = std::fs::read_to_string(vault.app.path("cofre.toml")).unwrap();
    vault.app.config(&format!("max_backups = 1\n{config}"));
    vault.app.cofre(&["prune"]).exits(0);
    assert!(vault.sealed(&record).exists(), "the newest that verified stays");
}
