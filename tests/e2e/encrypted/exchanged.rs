//! Encrypted archives that were exchanged for something else with a checksum of its own, that have lost their checksum, or
//! that have something else beside them: what is good is kept and used, what is not is named.

use super::*;
use crate::support::copy_tree;

/// What of the configuration names the keys.
const SIGNS: &str = "signing_key_file = \"keys/cofre-signing.key\"\nencrypt_local = true";
const READS: &str = "identity_file = \"keys/cofre-identity.txt\"\nencrypt_local = true";

/// A backup with a copy at a remote called `offsite`; `encrypt_local` on from then on where it is `later`.
fn copied(of_remote: &str, later: bool) -> (Vault, Value) {
    let vault = Vault::plain();
    std::fs::create_dir(vault.app.path("offsite")).unwrap();
    let signs = if later {
        SIGNS.lines().next().unwrap()
    } else {
        SIGNS
    };
    vault.configure(signs, &remote(of_remote));
    let record = vault.app.create();
    if later {
        // A second run encrypts the first one's archive.
        vault.configure(SIGNS, &remote(of_remote));
        vault.app.create();
    }
    (vault, record)
}

fn remote(keys: &str) -> String {
    format!("[[remotes]]\nname = \"offsite\"\nurl = \"offsite\"\n{keys}")
}

/// What age makes for the same key.
fn encrypted(vault: &Vault, content: &[u8]) -> Vec<u8> {
    let (from, to) = (vault.app.path("from"), vault.app.path("to"));
    std::fs::write(&from, content).unwrap();
    run(Command::new(tool("age"))
        .args(["-r", &vault.recipient, "-o"])
        .args([&to, &from]))
    .exits(0);
    let bytes = std::fs::read(&to).unwrap();
    std::fs::remove_file(to).unwrap();
    bytes
}

/// Puts these bytes into the place of the encrypted archive, with a checksum that fits.
fn exchange(vault: &Vault, record: &Value, bytes: &[u8]) {
    std::fs::write(vault.sealed(record), bytes).unwrap();
    std::fs::write(sidecar(vault, record), run_sum(vault, record)).unwrap();
}

fn sidecar(vault: &Vault, record: &Value) -> PathBuf {
    PathBuf::from(format!("{}.sha256", vault.sealed(record).to_str().unwrap()))
}

/// An encrypted file that has the size of the archive's, and something else in it.
fn forgery(vault: &Vault, record: &Value) -> Vec<u8> {
    let size = usize::try_from(record["size"].as_u64().unwrap()).unwrap();
    encrypted(vault, &vec![b'x'; size])
}

fn kept_aside(vault: &Vault, record: &Value, ending: &str) -> Vec<u8> {
    let name = record["name"].as_str().unwrap();
    std::fs::read(vault.app.backups().join(format!("{name}{ending}"))).unwrap()
}

#[test]
fn what_was_exchanged_with_a_fitting_checksum_is_replaced_by_its_copy() {
    let (vault, record) = copied("", false);
    let forged = forgery(&vault, &record);
    exchange(&vault, &record, &forged);
    // Nothing but the identity tells.
    vault.app.cofre(&["verify"]).exits(0).says("whole (not opened)");
    let out = vault.app.path("out");
    let to = out.to_str().unwrap();
    vault
        .opening(&["restore", "latest", "--from", "offsite", "--to", to])
        .exits(0)
        .says(".zip.age is damaged and is kept as");
    same_tree(&vault.app.path("static"), &out.join("static"));
    assert_eq!(kept_aside(&vault, &record, ".zip.age.damaged"), forged);
    assert_eq!(vault.row(1)["encrypted"], false);
    vault.app.cofre(&["verify"]).exits(0).says("verified, ");

    // The same by `remote pull`, with something else in the way as well.
    std::fs::remove_file(vault.app.archive(&record)).unwrap();
    std::fs::create_dir(vault.app.archive(&record)).unwrap();
    exchange(&vault, &record, &forged);
    vault.configure(READS, &remote(""));
    vault
        .app
        .cofre(&["remote", "pull", "offsite", "1"])
        .exits(0)
        .says("fetched");
    vault.app.cofre(&["verify"]).exits(0).says("verified, ");
    assert_eq!(kept_aside(&vault, &record, ".zip.age.damaged-1"), forged);
    assert!(
        vault
            .app
            .backups()
            .join(format!("{}.zip.damaged", record["name"].as_str().unwrap()))
            .is_dir()
    );
}

#[test]
fn without_an_identity_nothing_is_replaced_and_what_can_not_be_told_is_no_success() {
    let (vault, record) = copied("", false);
    let pull = ["remote", "pull", "offsite", "1"];
    vault.app.cofre(&pull).exits(0).says("was here");
    let forged = forgery(&vault, &record);
    exchange(&vault, &record, &forged);
    vault
        .app
        .cofre(&pull)
        .exits(8)
        .says("is not the file that the remote has a copy of")
        .says("encryption.identity_file");
    assert_eq!(std::fs::read(vault.sealed(&record)).unwrap(), forged);
    assert!(!vault.app.archive(&record).exists());
}

#[test]
fn the_same_archive_encrypted_another_time_stays() {
    let (vault, record) = copied("", false);
    let again = encrypted(&vault, &vault.opened(&record));
    assert_ne!(again, std::fs::read(vault.sealed(&record)).unwrap());
    exchange(&vault, &record, &again);
    // Not even its checksum is needed where the content tells.
    std::fs::remove_file(sidecar(&vault, &record)).unwrap();
    vault.configure(READS, &remote(""));
    vault
        .app
        .cofre(&["remote", "pull", "offsite", "1"])
        .exits(0)
        .says("was here");
    assert_eq!(std::fs::read(vault.sealed(&record)).unwrap(), again);
}

#[test]
fn a_copy_that_can_be_read_takes_the_place_of_what_can_not() {
    let (vault, record) = copied("encrypt = false", true);
    let sealed = std::fs::read(vault.sealed(&record)).unwrap();
    let to = vault.app.path("out");
    vault
        .app
        .cofre(&["restore", "1", "--from", "offsite", "--to", to.to_str().unwrap()])
        .exits(0)
        .says("can't be opened here to prove what it holds, and is kept as");
    same_tree(&vault.app.path("static"), &to.join("static"));
    assert_eq!(kept_aside(&vault, &record, ".zip.age.unproved"), sealed);
    vault.app.cofre(&["verify", "1"]).exits(0).says("verified, ");
}

#[test]
fn the_identity_vouches_for_an_archive_without_its_checksum_and_writes_it_anew() {
    type Break = fn(&Vault, &Value);
    let breaks: [Break; 3] = [
        |vault, record| std::fs::remove_file(sidecar(vault, record)).unwrap(),
        |vault, record| std::fs::write(sidecar(vault, record), b"").unwrap(),
        |vault, record| {
            let name = format!("{}.zip.age", record["name"].as_str().unwrap());
            std::fs::write(sidecar(vault, record), format!("{}  {name}\n", "0".repeat(64))).unwrap();
        },
    ];
    let (vault, record) = copied("", false);
    std::fs::rename(vault.app.path("offsite"), vault.app.path("away")).unwrap();
    let second = vault.app.create();
    std::fs::rename(vault.app.path("away"), vault.app.path("offsite")).unwrap();
    let name = second["name"].as_str().unwrap();
    let ways = format!("`cofre verify {name} --identity FILE`");
    for spoil in breaks {
        spoil(&vault, &second);
        vault.app.cofre(&["verify", "2"]).exits(5).says(&ways);
        vault
            .app
            .cofre(&["remote", "push", "offsite"])
            .exits(5)
            .says("is not copied")
            .says(&ways);
        // No quick look opens it.
        vault.opening(&["verify", "2", "--quick"]).exits(5);
        vault
            .opening(&["verify", name])
            .exits(0)
            .says("verified, ")
            .says("it was written anew");
        assert_eq!(vault.row(2)["verify_status"], "verified");
        vault.assert_sealed();
        vault.opening(&["verify", "2"]).exits(0).never_says("anew");
    }
    vault
        .app
        .cofre(&["remote", "push", "offsite"])
        .exits(0)
        .says("copied");
    vault.app.cofre(&["remote", "verify", "offsite"]).exits(0);

    // What it can't vouch for stays as it is.
    let forged = forgery(&vault, &record);
    std::fs::write(vault.sealed(&record), forged).unwrap();
    let before = std::fs::read(sidecar(&vault, &record)).unwrap();
    vault.opening(&["verify", "1"]).exits(5).says("SHA-256");
    assert_eq!(std::fs::read(sidecar(&vault, &record)).unwrap(), before);
    // Nor is a good one failed because nothing can be written.
    std::fs::remove_file(sidecar(&vault, &second)).unwrap();
    let held = std::fs::File::open(vault.app.backups()).unwrap();
    held.lock().unwrap();
    vault
        .opening(&["verify", "2"])
        .exits(0)
        .says("could not be written anew");
}

#[test]
fn what_lies_beside_a_good_archive_under_the_plain_name_is_named_and_not_read() {
    type Put = fn(&Path);
    let puts: [(Put, &str); 4] = [
        (|path| std::fs::create_dir(path).unwrap(), "is a folder"),
        (
            |path| std::os::unix::fs::symlink("elsewhere", path).unwrap(),
            "is a symbolic link",
        ),
        (
            |path| drop(run(Command::new(tool("mkfifo")).arg(path)).exits(0)),
            "is no regular file",
        ),
        (
            |path| std::fs::write(path, b"something else").unwrap(),
            "has 14 bytes instead of",
        ),
    ];
    for (put, says) in puts {
        let vault = Vault::new();
        let record = vault.app.create();
        put(&vault.app.archive(&record));
        assert_eq!(vault.row(1)["encrypted"], true, "{says}");
        let whole = vault.app.cofre(&["verify"]).exits(0);
        whole.says("whole (not opened)").says(says);
        vault.app.cofre(&["doctor"]).says(says);
        vault.opening(&["verify"]).exits(0).says("verified, ").says(says);
        vault
            .opening(&["show", "1"])
            .exits(0)
            .says("static/css/style.css");
        let to = vault.app.path("out");
        vault
            .opening(&["restore", "1", "--to", to.to_str().unwrap()])
            .exits(0);
        same_tree(&vault.app.path("static"), &to.join("static"));
        // The next run leaves both alone, and says so.
        let sealed = std::fs::read(vault.sealed(&record)).unwrap();
        vault.app.cofre(&["create"]).exits(0).says("is not encrypted");
        assert_eq!(std::fs::read(vault.sealed(&record)).unwrap(), sealed);
        assert!(vault.app.archive(&record).symlink_metadata().is_ok());
    }
}

#[test]
fn a_plain_file_of_the_right_size_that_fails_points_to_the_encrypted_one() {
    let vault = Vault::new();
    let record = vault.app.create();
    let size = usize::try_from(record["size"].as_u64().unwrap()).unwrap();
    std::fs::write(vault.app.archive(&record), vec![b'x'; size]).unwrap();
    let name = record["name"].as_str().unwrap();
    let way = format!("and counts once {name}.zip is moved away");
    let may_be = format!("{name}.zip.age beside it may be good, {way}");
    // Before and after somebody has verified it.
    for _ in 0..2 {
        let doctor = vault.app.cofre(&["doctor"]).says(&may_be);
        let doctor = doctor.never_says("delete").never_says("make a new backup");
        doctor.says("then `cofre verify 1`");
        vault.app.cofre(&["verify"]).exits(5).says(&may_be);
    }
    vault
        .app
        .cofre(&["doctor"])
        .says("did not verify")
        .never_says("not encrypted, and");
    let proved = format!("{name}.zip.age beside it is good, as the identity proves, {way}");
    vault.opening(&["verify"]).exits(5).says(&proved);
    let out = vault.app.path("out");
    vault
        .opening(&["restore", "latest", "--to", out.to_str().unwrap()])
        .exits(5)
        .says(&may_be);
    assert!(!out.exists());
    std::fs::remove_file(vault.app.archive(&record)).unwrap();
    vault.opening(&["verify"]).exits(0);
    // What is no backup either is not recommended.
    std::fs::write(vault.app.archive(&record), vec![b'x'; size]).unwrap();
    std::fs::write(vault.sealed(&record), forgery(&vault, &record)).unwrap();
    vault.opening(&["verify"]).exits(5).never_says("beside it");
}

#[test]
fn an_archive_of_another_size_than_the_row_s_is_not_shown_as_the_backup() {
    let vault = Vault::plain();
    vault.configure("", "");
    let record = vault.app.create();
    vault.app.write("static/other.txt", b"of the other one");
    let other = vault.app.create();
    std::fs::copy(vault.app.archive(&other), vault.app.archive(&record)).unwrap();
    for command in [&["show", "1"][..], &["diff", "1", "2"]] {
        let refused = vault.app.cofre(command).exits(5);
        refused.says("the catalog says").never_says("static/other.txt");
    }
}

#[test]
fn doctor_claims_nothing_of_what_nobody_opened() {
    let vault = Vault::new();
    vault.app.create();
    let found = vault.app.cofre(&["doctor"]);
    found
        .says("nobody looked into it")
        .never_says("checksum and structure");
}

#[test]
fn a_renamed_archive_is_told_by_a_rebuild_and_takes_nobody_s_id() {
    let vault = Vault::new();
    let record = vault.app.create();
    // Before the other by its name.
    let renamed = "backup_20200101_020000_manual";
    let path = vault.app.backups().join(format!("{renamed}.zip.age"));
    std::fs::copy(vault.sealed(&record), path).unwrap();
    for name in ["backup_history.json", ".catalog.json"] {
        std::fs::remove_file(vault.app.backups().join(name)).unwrap();
    }
    let rebuilt = vault.opening(&["rebuild"]).exits(5);
    rebuilt
        .says(&format!("{renamed}: its manifest is that of"))
        .says("copied or renamed");
    let rows = vault.app.history();
    let id_of = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.and_then(|row| row["id"].as_u64())
    };
    assert_eq!(id_of(record["name"].as_str().unwrap()), Some(1), "{rows:?}");
    assert_eq!(id_of(renamed), Some(2), "{rows:?}");
}

#[test]
fn an_identity_file_that_was_mistyped_is_wrong_usage() {
    let vault = Vault::new();
    vault.app.create();
    let keys = vault.app.path("keys");
    copy_tree(&keys, &vault.app.path("bad"));
    let signing = vault.app.path("bad/cofre-signing.key");
    let locked = vault.app.path("bad/locked.age");
    std::fs::write(&locked, b"age-encryption.org/v1\n-> scrypt x 18\n").unwrap();
    let text = vault.app.path("bad/text.txt");
    std::fs::write(&text, b"no key\n").unwrap();
    let cases = [
        (vault.app.path("nowhere.txt"), "bring the identity file"),
        (vault.app.path("keys"), "bring the identity file"),
        (signing, "is the other one"),
        (locked, "decrypt it into memory"),
        (text, "give the identity file"),
    ];
    for (file, remedy) in cases {
        let file = file.to_str().unwrap();
        for command in [&["verify"][..], &["show", "1"], &["rebuild"], &["drill"]] {
            let mut args = command.to_vec();
            args.extend(["--identity", file]);
            vault.app.cofre(&args).exits(2).says(file).says(remedy);
        }
    }
    assert!(vault.row(1)["verify_status"].is_null());
    // That of the configuration stays a mistake of that.
    vault.configure("encrypt_local = true\nidentity_file = \"nowhere.txt\"", "");
    vault.app.cofre(&["verify"]).exits(10).says("nowhere.txt");
}
