//! The program itself against the server: a machine that is lost and comes back by the README's runbook, a push that is
//! killed at every request, and what nobody may read anywhere.

mod behind;
mod reached;
mod sent;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use cofre::config::Place;
use cofre::remote::store::Store;

use crate::proxy::Action;
use crate::server::{ADMIN, READER, server};
use crate::site::{PREFIX, Site, write_random};
use crate::support::{App, Run, cofre_binary, copy_tree, exporter_binary, run, same_tree, tool};

/// An application whose remote is a bucket behind a proxy.
pub(crate) struct Machine {
    pub(crate) app: App,
    pub(crate) site: Site,
}

impl Machine {
    pub(crate) fn new(site: Site) -> Self {
        let app = App::small();
        app.cofre(&["key", "new", app.path("keys").to_str().unwrap()])
            .exits(0);
        let machine = Self { app, site };
        machine.credentials(ADMIN);
        machine.configure("");
        machine
    }

    pub(crate) fn credentials(&self, (id, secret): (&str, &str)) {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        self.app.write("s3.credentials", text.as_bytes());
    }

    pub(crate) fn configure(&self, of_remote: &str) {
        let keys = "signing_key_file = \"keys/cofre-signing.key\"";
        self.app
            .config(&config(&self.site, &recipient(&self.app), keys, of_remote));
    }

    /// The path of a key at the server, for a URL.
    fn path(&self, key: &str) -> String {
        format!("{}/{}/{key}", self.site.bucket, PREFIX.replace(' ', "-"))
    }

    /// Another machine with the identity, the credentials and the configuration of one that restores.
    fn fresh(&self) -> App {
        let fresh = App::blank();
        copy_tree(&self.app.path("keys"), &fresh.path("keys"));
        std::fs::remove_file(fresh.path("keys/cofre-signing.key")).unwrap();
        std::fs::copy(self.app.path("s3.credentials"), fresh.path("s3.credentials")).unwrap();
        let keys = "identity_file = \"keys/cofre-identity.txt\"";
        fresh.config(&config(&self.site, &recipient(&fresh), keys, ""));
        fresh
    }

    #[track_caller]
    pub(crate) fn remote(&self, args: &[&str]) -> Run {
        let all: Vec<&str> = ["remote"].iter().chain(args).copied().collect();
        self.app.cofre(&all)
    }
}

pub(crate) fn recipient(app: &App) -> String {
    let identity = std::fs::read_to_string(app.path("keys/cofre-identity.txt")).unwrap();
    let line = identity
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    line.expect("the public key").to_owned()
}

fn config(site: &Site, recipient: &str, keys: &str, of_remote: &str) -> String {
    format!(
        "[sources.static]\npath = \"static\"\n\
         [encryption]\nrecipients = [\"{recipient}\"]\n{keys}\n\
         [[remotes]]\nname = \"offsite\"\nurl = \"s3://{}/{}\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\n\
         credentials_file = \"s3.credentials\"\npart_mib = 5\n{of_remote}\n",
        site.bucket,
        PREFIX.replace(' ', "-"),
        site.proxy.url()
    )
}

/// The commands of the README for a machine that is gone.
fn runbook() -> String {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(readme).expect("README.md");
    let (_, after) = text
        .split_once("<!-- runbook -->\n```sh\n")
        .expect("the runbook in the README");
    after.split_once("```").expect("its end").0.to_owned()
}

#[test]
fn the_runbook_brings_back_a_machine_that_is_gone_database_included() {
    let machine = Machine::new(Site::new());
    let app = &machine.app;
    let sqlite = |file: &Path, sql: &str| {
        run(Command::new(tool("sqlite3")).arg(file).arg(sql))
            .exits(0)
            .stdout
    };
    let database = app.path("app.db");
    sqlite(
        &database,
        "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES(1,'um'),(2,'dois');",
    );
    let of_database = "[databases.app]\nurl = \"sqlite:app.db\"";
    let text = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    app.config(&format!("{text}\n{of_database}\n"));
    app.create();
    app.write("static/later.bin", &[7; 100_000]);
    sqlite(&database, "INSERT INTO t VALUES(3,'três');");
    app.create();
    // What is kept elsewhere, and what is lost.
    let wanted = App::blank();
    copy_tree(&app.path("static"), &wanted.path("static"));
    let dump = sqlite(&database, ".dump");
    let fresh = App::blank();
    copy_tree(&app.path("keys"), &fresh.path("keys"));
    std::fs::remove_file(fresh.path("keys/cofre-signing.key")).unwrap();
    std::fs::copy(app.path("s3.credentials"), fresh.path("s3.credentials")).unwrap();
    let keys = "identity_file = \"keys/cofre-identity.txt\"";
    fresh.config(&format!(
        "{}\n{of_database}\n",
        config(&machine.site, &recipient(&fresh), keys, "")
    ));
    let site = machine.site;
    drop(machine.app);

    let path = std::env::join_paths(
        [cofre_binary().parent().unwrap().to_path_buf()]
            .into_iter()
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())),
    );
    let done = run(Command::new(tool("sh"))
        .arg("-e")
        .arg("-c")
        .arg(runbook())
        .current_dir(fresh.root())
        .env("PATH", path.unwrap()));
    let done = done.exits(0);
    same_tree(&wanted.path("static"), &fresh.path("restored/static"));
    let loaded = fresh.path("loaded.db");
    fresh
        .cofre(&[
            "restore",
            "latest",
            "--database",
            "app",
            "--into",
            &format!("sqlite:{}", loaded.display()),
        ])
        .exits(0);
    assert_eq!(sqlite(&loaded, ".dump"), dump, "{done}");
    assert_eq!(fresh.archives().len(), 2, "{done}");
    drop(site);
}

/// The store that the program is configured with, asked without it.
fn store_of(site: &Site) -> Store {
    let mut remote = site.remote();
    if let Place::Bucket(bucket) = &mut remote.place {
        bucket.prefix = PREFIX.replace(' ', "-");
    }
    crate::site::open(&remote)
}

/// Every request of a push in its turn: the process is killed as it asks, and the next one brings it to its end.
#[test]
fn a_push_that_is_killed_at_any_request_ends_with_one_whole_object_and_no_unfinished_upload() {
    let machine = Machine::new(Site::new());
    write_random(&machine.app.path("static/random.bin"), 58 << 20);
    // Made without a remote, so that nothing is sent yet.
    let with_remote = std::fs::read_to_string(machine.app.path("cofre.toml")).unwrap();
    machine.app.config("[sources.static]\npath = \"static\"\n");
    let record = machine.app.create();
    let name = record["name"].as_str().unwrap();
    let mut moments = 0;
    for request in 0.. {
        let site = Site::new();
        let app = machine.app.copy();
        app.config(
            &with_remote
                .replace(&machine.site.bucket, &site.bucket)
                .replace(&machine.site.proxy.url(), &site.proxy.url()),
        );
        let killed = push_until(&app, &site, request);
        app.cofre(&["remote", "push", "offsite"])
            .exits(0)
            .says("0 still to be copied");
        let store = store_of(&site);
        let archives: Vec<_> = store
            .list("archives")
            .unwrap()
            .into_iter()
            .map(|object| object.key)
            .collect();
        let mut wanted = vec![
            format!("archives/{name}.zip.age"),
            format!("archives/{name}.zip.age.sha256"),
        ];
        let mut found = archives.clone();
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "after request {request}");
        assert_eq!(store.list("rows").unwrap().len(), 1, "after request {request}");
        assert_eq!(
            store.unfinished("archives").unwrap(),
            [],
            "after request {request}"
        );
        app.cofre(&["remote", "verify", "offsite"])
            .exits(0)
            .says("1 copy is good");
        let left = std::fs::read_dir(app.path(".cofre/remotes")).unwrap();
        let staged = left.filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains(".staged.")
        });
        assert_eq!(staged.count(), 0, "after request {request}");
        if !killed {
            break;
        }
        moments += 1;
    }
    assert!(
        moments >= 20,
        "a push is to be killed at 20 moments at least, and it was at {moments}"
    );
}

/// Pushes, and kills the process as its request of this number arrives; false if there was none.
fn push_until(app: &App, site: &Site, request: usize) -> bool {
    let pid: Arc<Mutex<Option<u32>>> = Arc::default();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
        let (pid, count) = (Arc::clone(&pid), Arc::clone(&count));
        site.proxy.on(
            method,
            "",
            0..usize::MAX,
            Action::Before(Box::new(move || {
                if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) != request {
                    return;
                }
                let pid = loop {
                    // The process may ask before its number is noted.
                    if let Some(pid) = *pid.lock().unwrap() {
                        break pid;
                    }
                    std::thread::yield_now();
                };
                let killed = Command::new("kill").arg("-9").arg(pid.to_string()).status();
                assert!(killed.is_ok_and(|status| status.success()));
            })),
        );
    }
    let mut child = app
        .command(&["remote", "push", "offsite"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("start cofre");
    *pid.lock().unwrap() = Some(child.id());
    let status = child.wait().expect("wait for cofre");
    site.proxy.clear();
    assert!(status.success() || status.code().is_none(), "{status}");
    status.code().is_none()
}

#[test]
fn what_breaks_on_the_way_fails_no_backup_and_is_made_up_for() {
    let machine = Machine::new(Site::new());
    write_random(&machine.app.path("static/random.bin"), 12 << 20);
    // Two parts are cut, a request is answered with 503, and the last answer is lost.
    machine
        .site
        .proxy
        .on("PUT", "partNumber=2", 0..2, Action::CutRequest(1 << 20));
    machine.site.proxy.on(
        "POST",
        "uploads",
        0..1,
        Action::Answer(503, &[("Retry-After", "1")], String::new()),
    );
    machine
        .site
        .proxy
        .on("POST", "uploadId", 0..1, Action::LoseAnswer);
    machine.app.create();
    machine
        .remote(&["verify", "offsite"])
        .exits(0)
        .says("1 copy is good");
    assert_eq!(machine.app.json(&["status"])["remotes"][0]["pending"], 0);

    machine.credentials(READER);
    let denied = machine
        .app
        .cofre(&["create"])
        .exits(0)
        .says("the copy to offsite failed");
    crate::site::clean(&denied.stderr);
    let status = machine.app.json(&["status"]);
    assert_eq!(status["remotes"][0]["pending"], 1, "{status}");
    assert_eq!(status["remotes"][0]["failures"], 1, "{status}");
    machine.credentials(ADMIN);
    machine
        .remote(&["push", "offsite"])
        .exits(0)
        .says("0 still to be copied");
}

#[test]
fn an_object_that_was_exchanged_or_deleted_is_found_among_the_older_versions() {
    let machine = Machine::new(Site::with_locks());
    machine.configure("lock = \"governance\"\nlock_for = \"1d\"");
    let record = machine.app.create();
    let name = record["name"].as_str().unwrap();
    let junk = machine.app.path("junk");
    std::fs::write(&junk, b"not what was copied").unwrap();
    let prefix = PREFIX.replace(' ', "-");
    let path = |key: &str| format!("{}/{prefix}/{key}", machine.site.bucket);
    server().put(&path(&format!("archives/{name}.zip.age")), &junk);
    server().put(
        &path(&format!(
            "rows/{:010}-{name}.json",
            record["id"].as_u64().unwrap()
        )),
        &junk,
    );
    machine.remote(&["verify", "offsite"]).exits(5);
    let fresh = App::blank();
    copy_tree(&machine.app.path("keys"), &fresh.path("keys"));
    std::fs::copy(machine.app.path("s3.credentials"), fresh.path("s3.credentials")).unwrap();
    let keys = "identity_file = \"keys/cofre-identity.txt\"";
    fresh.config(&config(&machine.site, &recipient(&fresh), keys, ""));
    fresh
        .cofre(&[
            "restore",
            "1",
            "--from",
            "offsite",
            "--to",
            fresh.path("out").to_str().unwrap(),
        ])
        .exits(0)
        .says("an older version");
    same_tree(&machine.app.path("static"), &fresh.path("out/static"));
}

#[test]
fn retention_leaves_what_the_store_has_locked() {
    let machine = Machine::new(Site::with_locks());
    machine.configure("lock = \"governance\"\nlock_for = \"1d\"");
    (0..3).for_each(|_| drop(machine.app.create()));
    machine.configure("max_backups = 1");
    machine
        .remote(&["prune", "offsite", "--dry-run"])
        .exits(0)
        .says("locked until");
    machine
        .remote(&["prune", "offsite"])
        .exits(0)
        .says("locked until");
    machine
        .remote(&["verify", "offsite"])
        .exits(0)
        .says("3 copies are good");
}

#[test]
fn no_credential_is_anywhere_it_should_not_be() {
    let machine = Machine::new(Site::new());
    let app = &machine.app;
    app.config(&format!(
        "log.file = \"cofre.log\"\n{}",
        std::fs::read_to_string(app.path("cofre.toml")).unwrap()
    ));
    let arguments: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&arguments);
    machine.site.proxy.on(
        "PUT",
        "",
        0..100,
        Action::Before(Box::new(move || {
            let all = Command::new(tool("ps"))
                .args(["-eww", "-o", "args"])
                .output()
                .expect("ps");
            seen.lock()
                .unwrap()
                .push(String::from_utf8_lossy(&all.stdout).into_owned());
        })),
    );
    let made = app.cofre(&["-vvv", "create"]).exits(0);
    let wrong = {
        machine.credentials((ADMIN.0, "this-is-not-the-secret"));
        app.cofre(&["-vvv", "remote", "push", "offsite"])
    };
    assert_ne!(wrong.code, Some(0));
    machine.credentials(ADMIN);
    let identity = std::fs::read_to_string(app.path("keys/cofre-identity.txt")).unwrap();
    let secret = identity
        .lines()
        .find(|line| line.starts_with("AGE-SECRET"))
        .unwrap()
        .to_owned();
    let archive = std::fs::read(&app.archives()[0]).unwrap();
    let metrics = run(Command::new(exporter_binary())
        .arg("--once")
        .arg("--config")
        .arg(app.path("cofre.toml")))
    .exits(0);
    assert!(metrics.stdout.contains("remote=\"offsite\""), "{metrics}");
    let mut texts = vec![made.stdout, made.stderr, wrong.stdout, wrong.stderr];
    texts.extend([metrics.stdout, metrics.stderr]);
    texts.extend(arguments.lock().unwrap().drain(..));
    texts.push(std::fs::read_to_string(app.path("cofre.log")).unwrap());
    texts.push(String::from_utf8_lossy(&archive).into_owned());
    for file in files_below(&app.path(".cofre"))
        .iter()
        .chain(&files_below(&app.backups()))
    {
        texts.push(String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned());
    }
    assert!(texts.len() > 8, "there was something to look through");
    for text in &texts {
        for private in [
            ADMIN.1,
            "this-is-not-the-secret",
            "AWS4-HMAC",
            "X-Amz-Signature",
            &secret,
        ] {
            assert!(
                !text.contains(private),
                "`{private}` is in: {}",
                text.chars().take(2_000).collect::<String>()
            );
        }
    }
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut todo = vec![dir.to_path_buf()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files
}
