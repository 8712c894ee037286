//! `encrypt_local`: the backups folder of a machine that can't read its own archives. What age makes of them judges.

mod exchanged;
mod interrupted;
mod without;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::{App, Run, listing, run, same_tree, tool};

/// An application whose archives are encrypted, and the identity beside it.
struct Vault {
    app: App,
    recipient: String,
}

impl Vault {
    /// One that has no backup yet.
    fn new() -> Self {
        let vault = Self::plain();
        vault.turn_on();
        vault
    }

    /// The same before it is turned on.
    fn plain() -> Self {
        let app = App::small();
        app.cofre(&["key", "new", app.path("keys").to_str().unwrap()])
            .exits(0);
        let identity = std::fs::read_to_string(app.path("keys/cofre-identity.txt")).unwrap();
        let line = identity
            .lines()
            .find_map(|line| line.strip_prefix("# public key: "));
        let recipient = line.expect("the public key").to_owned();
        Self { app, recipient }
    }

    fn turn_on(&self) {
        self.configure("encrypt_local = true", "");
    }

    /// Writes the configuration: further keys of `[encryption]`, and further tables.
    fn configure(&self, keys: &str, tables: &str) {
        self.app.config(&format!(
            "[sources.static]\npath = \"static\"\n[encryption]\nrecipients = [\"{}\"]\n{keys}\n{tables}\n",
            self.recipient
        ));
    }

    fn identity(&self) -> String {
        self.app
            .path("keys/cofre-identity.txt")
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// `cofre ARGS --identity FILE`.
    #[track_caller]
    fn opening(&self, args: &[&str]) -> Run {
        let identity = self.identity();
        let mut all = args.to_vec();
        all.extend(["--identity", identity.as_str()]);
        self.app.cofre(&all)
    }

    /// The encrypted archive of a record.
    fn sealed(&self, record: &Value) -> PathBuf {
        let plain = self.app.archive(record);
        PathBuf::from(format!("{}.age", plain.to_str().unwrap()))
    }

    /// What age makes of it.
    fn opened(&self, record: &Value) -> Vec<u8> {
        let to = self.app.path("opened.zip");
        run(Command::new(tool("age"))
            .arg("-d")
            .arg("-i")
            .arg(self.identity())
            .arg("-o")
            .arg(&to)
            .arg(self.sealed(record)))
        .exits(0);
        let bytes = std::fs::read(&to).unwrap();
        std::fs::remove_file(to).unwrap();
        bytes
    }

    /// The row of a backup as the program gives it.
    fn row(&self, id: u64) -> Value {
        let rows = self.app.json(&["list"]);
        let row = rows.as_array().unwrap().iter().find(|row| row["id"] == id);
        row.unwrap_or_else(|| panic!("no row {id}: {rows}")).clone()
    }

    /// Only encrypted archives are there, with their checksums, and each is what its row says.
    #[track_caller]
    fn assert_sealed(&self) {
        let rows = self.app.history();
        let mut expected = Vec::new();
        for row in rows.iter().filter(|row| row["status"] == "completed") {
            let name = row["name"].as_str().unwrap();
            expected.extend([format!("{name}.zip.age"), format!("{name}.zip.age.sha256")]);
            assert_eq!(row["sha256"], digest(&self.opened(row)), "{row}");
            run(Command::new(tool("sha256sum"))
                .current_dir(self.app.backups())
                .args(["-c", &format!("{name}.zip.age.sha256")]))
            .exits(0);
        }
        expected.sort();
        let mut files = self.app.backup_files();
        files.retain(|name| name.contains("backup_2"));
        assert_eq!(files, expected);
        self.app.assert_no_leftovers();
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = bytes.len() - 40;
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_leaves_the_encrypted_archive_alone_and_age_opens_it() {
    let vault = Vault::new();
    let record = vault.app.create();
    assert_eq!(record["encrypted"], true, "{record}");
    assert_eq!(record["archive_present"], true, "{record}");
    vault.assert_sealed();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(vault.sealed(&record)).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let shown = run(Command::new(tool("grep"))
        .args(["-r", "-a", "-l", "style.css"])
        .arg(vault.app.backups()));
    assert_eq!(shown.stdout, "", "the name of a file: {shown}");
    vault.app.cofre(&["list"]).exits(0).says("encrypted");
    let status = vault.app.json(&["status"]);
    assert_eq!(status["archives_missing"], serde_json::json!([]), "{status}");
    assert_eq!(status["archives_unknown"], serde_json::json!([]), "{status}");
    assert_eq!(status["total_size_bytes"], record["size"], "{status}");
    vault
        .app
        .cofre(&["doctor"])
        .never_says("not encrypted")
        .never_says(".zip.age has");
}

#[test]
fn a_restore_takes_the_identity_and_gives_the_source_back() {
    let vault = Vault::new();
    vault.app.create();
    let to = vault.app.path("out");
    let to = to.to_str().unwrap();
    vault
        .app
        .cofre(&["restore", "1", "--to", to])
        .exits(8)
        .says("is encrypted, and there is no identity here")
        .says("--identity FILE")
        .says("age -d -i FILE");
    let error = vault
        .app
        .cofre(&["--json", "restore", "1", "--to", to])
        .exits(8)
        .json();
    assert_eq!(error["code"], "encrypted", "{error}");
    assert!(!vault.app.path("out").exists());
    vault.opening(&["restore", "1", "--to", to]).exits(0);
    same_tree(&vault.app.path("static"), &vault.app.path("out/static"));
    let part = vault.app.path("part");
    let part = part.to_str().unwrap();
    vault
        .opening(&["restore", "latest", "--only", "static/css/**", "--to", part])
        .exits(0);
    assert!(!vault.app.path("part/static/app.js").exists());
    assert!(vault.row(1)["restored_at"].is_string());
    // As it is on a machine that restores.
    vault.configure(
        "encrypt_local = true\nidentity_file = \"keys/cofre-identity.txt\"",
        "",
    );
    let again = vault.app.path("again");
    let restored = vault.app.json(&["restore", "1", "--to", again.to_str().unwrap()]);
    assert_eq!(restored["backup"]["encrypted"], true, "{restored}");
    same_tree(&vault.app.path("static"), &vault.app.path("again/static"));
    vault.assert_sealed();
    let staging = listing(&vault.app.path(".cofre"));
    assert!(!staging.contains(".zip"), "nothing stays open: {staging}");
}

#[test]
fn a_database_comes_out_of_an_encrypted_archive_too() {
    let vault = Vault::new();
    let sql = "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)";
    run(Command::new(tool("sqlite3"))
        .arg(vault.app.path("app.db"))
        .arg(sql))
    .exits(0);
    vault.configure("encrypt_local = true", "[databases.app]\nurl = \"sqlite:app.db\"");
    vault.app.create();
    let into = format!("sqlite:{}", vault.app.path("new.db").to_str().unwrap());
    let args = ["restore", "1", "--database", "app", "--into", into.as_str()];
    vault.app.cofre(&args).exits(8).says("is encrypted");
    vault.opening(&args).exits(0).says("2 rows");
    vault.app.cofre(&["drill"]).exits(8).says("is encrypted");
    let drilled = vault.opening(&["drill"]).exits(0);
    assert!(drilled.stdout.contains("passed"), "{drilled}");
    assert_eq!(vault.row(1)["drill_status"], "passed");
    vault.app.assert_no_leftovers();
}

#[test]
fn another_identity_and_damage_are_told_apart() {
    let vault = Vault::new();
    let record = vault.app.create();
    let other = Vault::plain();
    let to = vault.app.path("out");
    let to = to.to_str().unwrap();
    let wrong = ["restore", "1", "--to", to, "--identity", &other.identity()];
    vault
        .app
        .cofre(&wrong)
        .exits(8)
        .says("the identity does not open the encrypted file");
    let wrong = ["verify", "1", "--identity", &other.identity()];
    vault.app.cofre(&wrong).exits(8);
    assert!(
        vault.row(1)["verify_status"].is_null(),
        "a wrong key proves no damage"
    );

    let whole = std::fs::read(vault.sealed(&record)).unwrap();
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("cut short", whole[..whole.len() - 20].to_vec(), "cut short"),
        ("cut in its header", whole[..60].to_vec(), "cut short"),
        ("empty", Vec::new(), "is empty"),
        (
            "flipped",
            {
                let mut bytes = whole.clone();
                let at = bytes.len() - 40;
                bytes[at] ^= 1;
                bytes
            },
            "damaged",
        ),
    ];
    for (what, bytes, says) in cases {
        std::fs::write(vault.sealed(&record), bytes).unwrap();
        vault.opening(&["restore", "1", "--to", to]).exits(5).says(says);
        assert!(!vault.app.path("out").exists(), "{what}");
        vault.app.cofre(&["verify", "1"]).exits(5).says("SHA-256");
        assert_eq!(vault.row(1)["verify_status"], "failed", "{what}");
        vault.opening(&["verify", "1"]).exits(5).says(says);
        vault.opening(&["drill", "1"]).exits(5).says("archive_damaged");
    }
    std::fs::write(vault.sealed(&record), &whole).unwrap();
    vault.opening(&["verify", "1"]).exits(0).says("verified");
    // Another good archive in its place is not this one.
    vault.app.write("static/app.js", b"another");
    let second = vault.app.create();
    std::fs::copy(vault.sealed(&second), vault.sealed(&record)).unwrap();
    vault
        .opening(&["restore", "1", "--to", to])
        .exits(5)
        .says("is not backup_");
    vault.app.assert_no_leftovers();
}

#[test]
fn a_verification_says_what_it_has_seen() {
    let vault = Vault::new();
    let record = vault.app.create();
    vault
        .app
        .cofre(&["verify"])
        .exits(0)
        .says("whole (not opened)")
        .says("the encrypted file is whole; its content needs --identity FILE");
    let row = vault.row(1);
    assert_eq!(row["verify_status"], "whole (not opened)", "{row}");
    assert!(row["verified_at"].is_string(), "{row}");
    let found = vault.app.json(&["verify", "--all"]);
    assert_eq!(found["results"][0]["status"], "whole (not opened)", "{found}");
    assert_eq!(found["results"][0]["entries"], 0, "{found}");
    let run = vault.opening(&["verify"]).exits(0);
    assert!(run.stdout.contains("verified, "), "{run}");
    assert_eq!(vault.row(1)["verify_status"], "verified");
    vault
        .opening(&["verify", "--quick"])
        .exits(0)
        .says("whole (not opened)");
    assert_eq!(
        vault.row(1)["verify_status"],
        "verified",
        "a quick look proves less"
    );
    // Nothing vouches for it without its checksum but the identity, which also says that this is missing.
    let sidecar = format!("{}.sha256", vault.sealed(&record).to_str().unwrap());
    std::fs::remove_file(&sidecar).unwrap();
    vault.app.cofre(&["verify"]).exits(5).says("nothing says whether");
    vault.app.cofre(&["doctor"]).says("nothing says whether");
    let sum = run_sum(&vault, &record);
    std::fs::write(sidecar, sum).unwrap();
    vault.app.cofre(&["verify"]).exits(0);
}

fn run_sum(vault: &Vault, record: &Value) -> String {
    let name = format!("{}.zip.age", record["name"].as_str().unwrap());
    run(Command::new(tool("sha256sum"))
        .current_dir(vault.app.backups())
        .arg(name))
    .exits(0)
    .stdout
}

#[test]
fn what_is_in_it_is_shown_and_compared_with_the_identity() {
    let vault = Vault::new();
    vault.app.create();
    vault.app.write("static/new.txt", b"new");
    vault.app.create();
    let shown = vault.app.cofre(&["show", "1"]).exits(0);
    assert!(
        shown
            .stdout
            .contains("its content is encrypted: --identity FILE shows it"),
        "{shown}"
    );
    assert!(!shown.stdout.contains("style.css"), "{shown}");
    assert!(vault.app.json(&["show", "1"])["entries"].is_null());
    vault
        .opening(&["show", "1"])
        .exits(0)
        .says("static/css/style.css");
    vault.app.cofre(&["diff", "1", "2"]).exits(8).says("is encrypted");
    vault
        .opening(&["diff", "1", "2"])
        .exits(0)
        .says("+ static/new.txt");
    vault
        .opening(&["diff", "1", "1"])
        .exits(0)
        .says("have the same content");
    // A plain one beside an encrypted one.
    vault.configure("", "");
    vault.app.write("static/more.txt", b"more");
    assert_eq!(vault.app.create()["encrypted"], false);
    vault
        .opening(&["diff", "2", "3"])
        .exits(0)
        .says("+ static/more.txt");
    vault.app.assert_no_leftovers();
}
