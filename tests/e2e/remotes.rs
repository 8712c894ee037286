//! Copies off the machine, in a folder of "another disk": made, encrypted, proved, taken over, pruned. What only a server
//! can do wrong is in `tests/remote`.

mod coming_back;
mod forged;
mod lost;
mod sending;
mod whose;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{App, Run, copy_tree, listing, run, same_tree, tool};

/// An application with keys and a remote called `offsite`.
struct Site {
    app: App,
    /// The other disk.
    remote: PathBuf,
    /// The public key.
    recipient: String,
}

impl Site {
    fn new() -> Self {
        let app = App::small();
        std::fs::create_dir(app.path("offsite")).unwrap();
        let remote = app.path("offsite");
        app.cofre(&["key", "new", app.path("keys").to_str().unwrap()])
            .exits(0);
        let identity = std::fs::read_to_string(app.path("keys/cofre-identity.txt")).unwrap();
        let line = identity
            .lines()
            .find_map(|line| line.strip_prefix("# public key: "));
        let recipient = line.expect("the public key").to_owned();
        let site = Self {
            app,
            remote,
            recipient,
        };
        site.configure("");
        site
    }

    /// The configuration of the machine that makes backups: it can't read its copies.
    fn configure(&self, of_remote: &str) {
        self.write_config("signing_key_file = \"keys/cofre-signing.key\"", of_remote);
    }

    fn write_config(&self, keys: &str, of_remote: &str) {
        self.app.config(&format!(
            "[sources.static]\npath = \"static\"\n\
             [encryption]\nrecipients = [\"{}\"]\n{keys}\n\
             [[remotes]]\nname = \"offsite\"\nurl = \"offsite\"\n{of_remote}\n",
            self.recipient
        ));
    }

    fn identity(&self) -> PathBuf {
        self.app.path("keys/cofre-identity.txt")
    }

    /// A new machine with nothing but the configuration and the identity.
    fn fresh(&self) -> Self {
        let app = App::blank();
        std::fs::create_dir(app.path("keys")).unwrap();
        std::fs::copy(self.identity(), app.path("keys/cofre-identity.txt")).unwrap();
        copy_tree(&self.remote, &app.path("offsite"));
        let remote = app.path("offsite");
        let site = Self {
            app,
            remote,
            recipient: self.recipient.clone(),
        };
        site.write_config("identity_file = \"keys/cofre-identity.txt\"", "");
        site
    }

    fn object(&self, record: &Value) -> PathBuf {
        let name = record["name"].as_str().unwrap();
        self.remote.join(format!("archives/{name}.zip.age"))
    }

    fn row(&self, record: &Value) -> PathBuf {
        let (id, name) = (record["id"].as_u64().unwrap(), record["name"].as_str().unwrap());
        self.remote.join(format!("rows/{id:010}-{name}.json"))
    }

    #[track_caller]
    fn remote(&self, args: &[&str]) -> Run {
        let all: Vec<&str> = ["remote"].iter().chain(args).copied().collect();
        self.app.cofre(&all)
    }

    fn copies(&self) -> Vec<String> {
        let folder = self.remote.join("archives");
        let Ok(list) = std::fs::read_dir(folder) else {
            return Vec::new();
        };
        let names = list.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.ends_with(".zip.age")).collect();
        names.sort();
        names
    }
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_is_copied_once_and_age_alone_opens_the_copy() {
    let site = Site::new();
    let record = site.app.create();
    assert_eq!(site.copies().len(), 1);
    let opened = site.app.path("opened.zip");
    run(Command::new(tool("age"))
        .arg("-d")
        .arg("-i")
        .arg(site.identity())
        .arg("-o")
        .arg(&opened)
        .arg(site.object(&record)))
    .exits(0);
    assert_eq!(
        std::fs::read(&opened).unwrap(),
        std::fs::read(site.app.archive(&record)).unwrap()
    );
    run(Command::new(tool("sha256sum"))
        .current_dir(site.remote.join("archives"))
        .arg("-c")
        .arg(format!("{}.zip.age.sha256", record["name"].as_str().unwrap())))
    .exits(0);
    // Nothing there shows the name of a file.
    let everything = run(Command::new(tool("grep"))
        .args(["-r", "-a", "-l", "style.css"])
        .arg(&site.remote));
    assert_eq!(everything.stdout, "", "{everything}");

    let before = listing(&site.remote);
    let again = site.remote(&["push", "offsite"]).exits(0);
    assert!(again.stdout.contains("0 still to be copied"), "{again}");
    assert_eq!(listing(&site.remote), before, "nothing is sent twice");
    site.app.create();
    assert_eq!(site.copies().len(), 2);
    let status = site.app.json(&["status"]);
    assert_eq!(status["remotes"][0]["copies"], 2, "{status}");
    assert_eq!(status["remotes"][0]["pending"], 0, "{status}");
    site.app.assert_no_leftovers();
    let left = listing(&site.app.path(".cofre/remotes"));
    assert!(!left.contains(".age"), "{left}");
}

#[test]
fn a_machine_that_lost_everything_gets_it_back_from_the_copies_and_the_key() {
    let site = Site::new();
    site.app.create();
    site.app.write("static/new.txt", b"of the second backup");
    let newest = site.app.create();
    let fresh = site.fresh();
    fresh
        .app
        .cofre(&[
            "restore",
            "latest",
            "--from",
            "offsite",
            "--to",
            fresh.app.path("out").to_str().unwrap(),
        ])
        .exits(0);
    same_tree(&site.app.path("static"), &fresh.app.path("out/static"));
    fresh
        .app
        .cofre(&["rebuild", "--from", "offsite"])
        .exits(0)
        .says("the catalog got 1 of 2");
    let ids: Vec<_> = fresh
        .app
        .history()
        .iter()
        .map(|row| row["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [1, 2]);
    fresh.remote(&["pull", "offsite", "1"]).exits(0).says("fetched");
    assert_eq!(fresh.app.archives().len(), 2);
    fresh.app.cofre(&["verify", "--all"]).exits(0);
    assert_eq!(
        std::fs::read(fresh.app.archive(&newest)).unwrap(),
        std::fs::read(site.app.archive(&newest)).unwrap()
    );
    // It goes on where the old machine was, as the same repository, once it has the signing key again.
    std::fs::copy(
        site.app.path("keys/cofre-signing.key"),
        fresh.app.path("keys/cofre-signing.key"),
    )
    .unwrap();
    fresh.configure("");
    fresh.app.write("static/app.js", b"later");
    assert_eq!(fresh_source(&fresh)["id"], 3);
    assert_eq!(fresh.copies().len(), 3);
    fresh.app.assert_no_leftovers();
}

/// A backup of a machine that has no sources yet.
fn fresh_source(site: &Site) -> Value {
    let record = site.app.json(&["create"]);
    assert_eq!(record["status"], "completed", "{record}");
    record
}

#[test]
fn keys_that_do_not_fit_are_named_and_nothing_is_left() {
    let site = Site::new();
    site.app.create();
    let fresh = site.fresh();
    fresh.write_config("", "");
    fresh
        .app
        .cofre(&["restore", "1", "--from", "offsite"])
        .exits(10)
        .says("nothing here says who may sign");
    fresh
        .app
        .cofre(&["restore", "1", "--from", "offsite", "--unsigned"])
        .exits(2)
        .says("encryption.identity_file");
    let other = Site::new();
    let keys = std::fs::read_to_string(fresh.identity()).unwrap();
    let verify = keys.lines().find(|line| line.contains("verify key")).unwrap();
    let theirs = std::fs::read_to_string(other.identity()).unwrap();
    let secret = theirs
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY"))
        .unwrap();
    std::fs::write(fresh.identity(), format!("{verify}\n{secret}\n")).unwrap();
    fresh.write_config("identity_file = \"keys/cofre-identity.txt\"", "");
    let wrong = fresh.app.cofre(&["restore", "1", "--from", "offsite"]);
    assert_ne!(wrong.code, Some(0));
    wrong.says("identity").never_says(secret);
    assert!(fresh.app.archives().is_empty());
    fresh.app.assert_no_leftovers();

    site.write_config("", "");
    let run = site.app.cofre(&["create"]).exits(0).says("signing_key_file");
    run.says("the copy to offsite failed");
    assert_eq!(site.copies().len(), 1);
    assert_eq!(site.app.json(&["status"])["remotes"][0]["pending"], 1);
}

#[test]
fn two_repositories_never_share_a_remote() {
    let site = Site::new();
    site.app.create();
    let other = Site::new();
    // The very same keys and the very same place.
    std::fs::remove_dir_all(other.app.path("keys")).unwrap();
    copy_tree(&site.app.path("keys"), &other.app.path("keys"));
    std::fs::remove_dir_all(&other.remote).unwrap();
    std::os::unix::fs::symlink(&site.remote, &other.remote).unwrap();
    let place = site.remote.to_str().unwrap();
    other.app.config(&format!(
        "[sources.static]\npath = \"static\"\n[encryption]\nrecipients = [\"{}\"]\n\
         signing_key_file = \"keys/cofre-signing.key\"\n[[remotes]]\nname = \"offsite\"\nurl = \"{place}\"\n",
        site.recipient
    ));
    let before = listing(&site.remote);
    other
        .app
        .cofre(&["create"])
        .exits(0)
        .says("copies of another repository");
    other
        .remote(&["push", "offsite"])
        .exits(10)
        .says("two are never mixed");
    assert_eq!(listing(&site.remote), before);
}

#[test]
fn a_clone_of_the_machine_is_told_apart_when_both_go_on() {
    let site = Site::new();
    site.app.create();
    let clone = site.app.copy();
    std::fs::remove_dir_all(clone.path("offsite")).unwrap();
    let text = std::fs::read_to_string(site.app.path("cofre.toml")).unwrap();
    clone.config(&text.replace(
        "url = \"offsite\"",
        &format!("url = \"{}\"", site.remote.to_str().unwrap()),
    ));
    site.app.create();
    clone.write("static/app.js", b"of the clone");
    // A run of the same second would have the same name, and then another archive.
    let own = clone.cofre(&["create"]).exits(0);
    assert!(
        own.stderr
            .contains("another machine copies as the same repository"),
        "{own}"
    );
    assert_eq!(site.copies().len(), 2);
    site.remote(&["verify", "offsite"]).exits(0);
}

#[test]
fn retention_of_the_remote_is_its_own_and_says_why() {
    let site = Site::new();
    (0..4).for_each(|_| drop(site.app.create()));
    site.remote(&["prune", "offsite"])
        .exits(2)
        .says("nothing says what is kept");
    site.configure("max_backups = 2");
    let dry = site
        .remote(&["prune", "offsite", "--dry-run"])
        .exits(0)
        .says("remove");
    assert_eq!(site.copies().len(), 4, "{dry}");
    site.remote(&["prune", "offsite"]).exits(0).says("last 2");
    assert_eq!(site.copies().len(), 2);
    site.remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied");
    assert_eq!(
        site.copies().len(),
        2,
        "what was removed on purpose does not come back"
    );
    assert_eq!(
        site.app.archives().len(),
        4,
        "the backups folder has its own retention"
    );
    site.app.create();
    assert_eq!(site.copies().len(), 2, "a run prunes at the remote too");
    site.remote(&["verify", "offsite"]).exits(0);
}

#[test]
fn a_damaged_archive_is_not_copied_and_keeps_no_other_from_it() {
    let site = Site::new();
    std::fs::rename(&site.remote, site.app.path("away")).unwrap();
    let run = site.app.cofre(&["create"]).exits(0);
    assert!(run.stderr.contains("the copy to offsite failed"), "{run}");
    site.app.cofre(&["create"]).exits(0);
    let status = site.app.json(&["status"]);
    assert_eq!(status["remotes"][0]["pending"], 2, "{status}");
    assert_eq!(status["remotes"][0]["failures"], 2, "{status}");
    assert!(
        status["remotes"][0]["last_error"]
            .as_str()
            .is_some_and(|text| text.contains("offsite")),
        "{status}"
    );
    std::fs::rename(site.app.path("away"), &site.remote).unwrap();
    flip(&site.app.archives()[0]);
    site.remote(&["push", "offsite"])
        .exits(5)
        .says("is not what the catalog says");
    assert_eq!(site.copies().len(), 1);
    let status = site.app.json(&["status"]);
    assert_eq!(status["remotes"][0]["pending"], 1, "{status}");
    assert_eq!(site.app.cofre(&["remote", "list"]).exits(0).code, Some(0));
    // It is kept in mind as bad for as long as it is here.
    let suspects = || -> Value {
        let state = std::fs::read(site.app.path(".cofre/remotes/offsite.json")).unwrap();
        serde_json::from_slice::<Value>(&state).unwrap()["suspects"].clone()
    };
    assert_eq!(suspects(), serde_json::json!([1]));
    site.app.cofre(&["delete", "1"]).exits(0);
    site.remote(&["push", "offsite"]).exits(0);
    assert_eq!(suspects(), serde_json::json!([]));
}

#[test]
fn an_emptied_remote_is_refused_and_a_lost_copy_is_made_again() {
    let site = Site::new();
    let one = site.app.create();
    site.app.create();
    std::fs::remove_file(site.row(&one)).unwrap();
    std::fs::remove_file(site.object(&one)).unwrap();
    site.remote(&["push", "offsite"]).exits(0).says("copied");
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("2 copies are good");
    std::fs::remove_dir_all(&site.remote).unwrap();
    std::fs::create_dir(&site.remote).unwrap();
    site.remote(&["push", "offsite"]).exits(10).says("is it mounted");
    assert!(site.copies().is_empty(), "no new copies on a bare mount point");
}

#[test]
fn copies_without_encryption_are_signed_all_the_same() {
    let site = Site::new();
    site.configure("encrypt = false");
    let record = site.app.create();
    let name = record["name"].as_str().unwrap();
    let object = site.remote.join(format!("archives/{name}.zip"));
    assert_eq!(
        std::fs::read(&object).unwrap(),
        std::fs::read(site.app.archive(&record)).unwrap()
    );
    site.remote(&["verify", "offsite"])
        .exits(0)
        .says("1 copy is good");
    let fresh = site.fresh();
    fresh
        .app
        .cofre(&[
            "restore",
            "latest",
            "--from",
            "offsite",
            "--to",
            fresh.app.path("out").to_str().unwrap(),
        ])
        .exits(0);
    same_tree(&site.app.path("static"), &fresh.app.path("out/static"));
    flip(&object);
    site.remote(&["verify", "offsite"]).exits(5);
}
