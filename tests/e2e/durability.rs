//! The order in which things reach the disk, from a trace of the system calls: what a name points to is synced
//! before the name appears, the folder after it, the catalog last; on delete and prune the catalog goes first.

use std::process::Command;

use serde_json::Value;

use crate::support::{App, run, tool};

/// One call of the trace: the line on which it began and the line on which it had returned.
#[derive(Debug, Clone)]
struct Call {
    began: usize,
    ended: usize,
    text: String,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        names
            .iter()
            .any(|name| self.text.starts_with(&format!("{name}(")))
    }

    /// The quoted file names, without their folders.
    fn names(&self) -> Vec<&str> {
        let quoted = self.text.split('"').skip(1).step_by(2);
        quoted
            .map(|path| path.rsplit('/').next().unwrap_or(path))
            .collect()
    }

    /// The last component of the path of the descriptor in the first argument.
    fn descriptor(&self) -> Option<&str> {
        let (path, _) = self.text.split_once('<')?.1.split_once('>')?;
        path.rsplit('/').next()
    }
}

/// Runs cofre under strace; the file system calls that succeeded.
fn trace(app: &App, args: &[&str]) -> Vec<Call> {
    let log = app.path("trace.txt");
    let inner = app.command(args);
    let mut command = Command::new(tool("strace"));
    command
        .args(["-f", "-y", "-s", "4096", "-o"])
        .arg(&log)
        .args([
            "-e",
            "trace=/^(rename.*|link.*|unlink.*|fsync|fdatasync|syncfs|write|pwrite64|writev|pwritev.*)$",
        ])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_remove("COFRE_CONFIG");
    run(&mut command).exits(0);
    parse(&std::fs::read_to_string(log).unwrap())
}

fn parse(log: &str) -> Vec<Call> {
    let mut open: Vec<(String, Call)> = Vec::new();
    let mut calls = Vec::new();
    for (line, text) in log.lines().enumerate() {
        let Some((pid, text)) = text.trim_start().split_once(' ') else {
            continue;
        };
        let text = text.trim_start();
        if let Some(head) = text.strip_suffix(" <unfinished ...>") {
            open.push((
                pid.to_owned(),
                Call {
                    began: line,
                    ended: line,
                    text: head.to_owned(),
                },
            ));
        } else if text.starts_with("<... ") {
            let Some(at) = open.iter().rposition(|(owner, _)| owner == pid) else {
                continue;
            };
            let (_, mut call) = open.remove(at);
            call.ended = line;
            call.text
                .push_str(text.split_once("resumed>").map_or("", |(_, tail)| tail));
            calls.push(call);
        } else {
            calls.push(Call {
                began: line,
                ended: line,
                text: text.to_owned(),
            });
        }
    }
    calls.retain(|call| !call.text.contains(" = -1 "));
    calls.sort_by_key(|call| call.began);
    calls
}

const SYNC: [&str; 2] = ["fsync", "fdatasync"];
const RENAME: [&str; 3] = ["rename", "renameat", "renameat2"];
const UNLINK: [&str; 2] = ["unlink", "unlinkat"];

/// The one rename that makes `name` appear.
#[track_caller]
fn rename_to<'a>(calls: &'a [Call], name: &str) -> &'a Call {
    let renames: Vec<_> = calls
        .iter()
        .filter(|call| call.is(&RENAME) && call.names().last() == Some(&name))
        .collect();
    renames
        .last()
        .copied()
        .unwrap_or_else(|| panic!("nothing is renamed to {name}: {calls:#?}"))
}

#[track_caller]
fn folder_synced_after(calls: &[Call], after: &Call) -> Call {
    let sync = calls
        .iter()
        .find(|call| call.is(&SYNC) && call.descriptor() == Some("backups") && call.began > after.ended);
    sync.cloned()
        .unwrap_or_else(|| panic!("backups/ is not synced after {after:?}: {calls:#?}"))
}

/// `name` is written, synced, renamed into place and its folder synced; the last of these.
#[track_caller]
fn published(calls: &[Call], name: &str) -> Call {
    let rename = rename_to(calls, name);
    let names = rename.names();
    let partial = names.first().copied().unwrap_or_default();
    assert!(
        partial.starts_with('.') && partial.ends_with(".partial"),
        "{rename:?}"
    );
    let of_partial = |call: &&Call| call.descriptor() == Some(partial) && call.began < rename.began;
    let writes = |call: &&Call| call.is(&["write", "writev", "pwrite64", "pwritev", "pwritev2"]);
    let written = calls.iter().filter(of_partial).rfind(writes);
    let written = written.unwrap_or_else(|| panic!("{partial} is never written: {calls:#?}"));
    let synced = calls
        .iter()
        .filter(of_partial)
        .find(|call| call.is(&SYNC) && call.began > written.ended);
    let synced = synced.unwrap_or_else(|| panic!("{partial} is not synced after its last write: {calls:#?}"));
    assert!(synced.ended < rename.began);
    folder_synced_after(calls, rename)
}

#[test]
fn create_publishes_archive_then_checksum_then_catalog_each_durable_before_the_next() {
    let app = App::small();
    let calls = trace(&app, &["create"]);
    let name = app.history()[0]["name"].as_str().unwrap().to_owned();
    let archive = published(&calls, &format!("{name}.zip"));
    let sidecar = published(&calls, &format!("{name}.zip.sha256"));
    published(&calls, "backup_history.json");
    assert!(
        archive.ended < rename_to(&calls, &format!("{name}.zip.sha256")).began,
        "archive before checksum"
    );
    assert!(
        sidecar.ended < rename_to(&calls, "backup_history.json").began,
        "checksum before catalog"
    );
    let last = calls
        .iter()
        .rfind(|call| call.is(&RENAME) && call.text.contains("backups"))
        .unwrap();
    assert_eq!(
        last.names().last(),
        Some(&"backup_history.json"),
        "the catalog comes last"
    );
}

/// The catalog without the rows is durable before the first of their files goes.
#[track_caller]
fn catalog_before_files(app: &App, calls: &[Call], gone: &[Value]) {
    published(calls, "backup_history.json");
    let catalog = folder_synced_after(calls, rename_to(calls, "backup_history.json"));
    for row in gone {
        let name = row["name"].as_str().unwrap();
        for file in [format!("{name}.zip"), format!("{name}.zip.sha256")] {
            let unlink = calls
                .iter()
                .find(|call| call.is(&UNLINK) && call.names().contains(&file.as_str()));
            let unlink = unlink.unwrap_or_else(|| panic!("{file} is not unlinked: {calls:#?}"));
            assert!(
                catalog.ended < unlink.began,
                "{file} goes before the catalog is durable"
            );
            folder_synced_after(calls, unlink);
            assert!(!app.backups().join(file).exists());
        }
    }
}

#[test]
fn delete_makes_the_catalog_durable_before_it_unlinks() {
    let app = App::small();
    let gone = app.create();
    app.create();
    let calls = trace(&app, &["delete", "1"]);
    catalog_before_files(&app, &calls, &[gone]);
}

#[test]
fn prune_makes_the_catalog_durable_before_it_unlinks() {
    let app = App::small();
    let rows: Vec<_> = (0..4).map(|_| app.create()).collect();
    app.keys("max_backups = 1");
    let calls = trace(&app, &["prune"]);
    catalog_before_files(&app, &calls, &rows[..3]);
}

#[test]
fn a_restore_is_durable_before_its_name_appears() {
    let app = App::small();
    app.create();
    let target = app.path("restored");
    let calls = trace(&app, &["restore", "latest", "--to", target.to_str().unwrap()]);
    let rename = rename_to(&calls, "restored");
    let synced = calls
        .iter()
        .any(|call| call.is(&["fsync", "fdatasync", "syncfs"]) && call.ended < rename.began);
    assert!(synced, "{calls:#?}");
}

#[test]
fn the_parser_of_traces_joins_calls_that_another_thread_interrupted() {
    let log = "7  write(3</b/.a.zip.partial>, \"PK\", 2) = 2\n\
               8  fsync(3</b/.a.zip.partial> <unfinished ...>\n\
               7  rename(\"/b/x\", \"/b/y\") = -1 ENOENT (No such file or directory)\n\
               8  <... fsync resumed>)                 = 0\n\
               8  renameat(4</b>, \".a.zip.partial\", 4</b>, \"a.zip\") = 0\n";
    let calls = parse(log);
    assert_eq!(calls.len(), 3, "the failed call does not count: {calls:?}");
    assert_eq!((calls[1].began, calls[1].ended), (1, 3));
    assert_eq!(calls[1].descriptor(), Some(".a.zip.partial"));
    assert_eq!(rename_to(&calls, "a.zip").names(), [".a.zip.partial", "a.zip"]);
}
