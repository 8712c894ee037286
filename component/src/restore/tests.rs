//! Tests of `restore`, on real folders and archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::archive::testing::{Item, build, item, with_manifest};
use crate::catalog::{Record, sidecar};
use crate::testing::{Folder, row};
use crate::types::Kind;

mod spread;

struct Place {
    backups: Folder,
    target: tempfile::TempDir,
    roots: Roots,
    record: Record,
}

fn place(bytes: &[u8]) -> Place {
    let mut record = row(7, "2026-11-25T02:00:00");
    let backups = Folder::new();
    backups.write(&record.archive_name(), bytes);
    record.size = bytes.len() as u64;
    backups.write_history(std::slice::from_ref(&record));
    let target = tempfile::tempdir().unwrap();
    let roots = backups.roots.clone().with(TARGET, target.path());
    Place {
        backups,
        target,
        roots,
        record,
    }
}

impl Place {
    fn restore(&self, only: &[&str]) -> Result<RestoreReport> {
        let only = only.iter().map(|&glob| glob.to_owned()).collect();
        restore(&self.roots, &RestoreRequest { id: 7, only })
    }

    /// What is in the target: content, `-> target` of links, `/` for folders.
    fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        walk(self.target.path(), "", &mut tree);
        tree
    }
}

fn walk(dir: &Path, prefix: &str, tree: &mut BTreeMap<String, String>) {
    for item in std::fs::read_dir(dir).unwrap() {
        let item = item.unwrap();
        let path = format!("{prefix}{}", item.file_name().into_string().unwrap());
        let kind = item.file_type().unwrap();
        if kind.is_dir() {
            tree.insert(path.clone(), "/".to_owned());
            walk(&item.path(), &format!("{path}/"), tree);
        } else if kind.is_symlink() {
            let target = std::fs::read_link(item.path()).unwrap();
            tree.insert(path, format!("-> {}", target.display()));
        } else {
            tree.insert(path, std::fs::read_to_string(item.path()).unwrap());
        }
    }
}

fn items() -> Vec<Item> {
    vec![
        item("config/", "").mode(0o040_700),
        item("logs/app.log", "log ".repeat(60_000)).deflated(),
        item("static/", ""),
        item("static/a.txt", "A"),
        item("static/css/", ""),
        item("static/css/site.css", "body {}").deflated(),
        item("static/link", "css/site.css").mode(0o120_777),
        item("static/out", "../../elsewhere").mode(0o120_777),
    ]
}

fn name() -> String {
    row(7, "2026-11-25T02:00:00").name
}

#[test]
fn everything_comes_back_folders_links_and_manifest_too() {
    let place = place(&with_manifest(&name(), &items(), |_| {}));
    let report = place.restore(&[]).unwrap();
    let tree = place.tree();
    assert_eq!(tree["config"], "/");
    assert_eq!(tree["logs/app.log"], "log ".repeat(60_000));
    assert_eq!(tree["static/css/site.css"], "body {}");
    assert_eq!(tree["static/link"], "-> css/site.css");
    assert_eq!(tree["static/out"], "-> ../../elsewhere");
    assert!(tree.contains_key("backup_info.json"));
    assert_eq!(tree.len(), 10);
    assert_eq!((report.files, report.manifest), (4, true));
    assert_eq!(report.links_left_out, vec![]);
}

#[test]
fn only_restores_what_matches_with_the_folders_it_needs() {
    let bytes = with_manifest(&name(), &items(), |_| {});
    let keys = |only: &[&str]| -> Vec<String> {
        let place = place(&bytes);
        place.restore(only).unwrap();
        place.tree().into_keys().collect()
    };
    assert_eq!(
        keys(&["**/*.css"]),
        ["static", "static/css", "static/css/site.css"]
    );
    assert_eq!(
        keys(&["static/*.txt", "config/"]),
        ["config", "static", "static/a.txt"]
    );
    assert_eq!(keys(&["logs"]), ["logs", "logs/app.log"]);
    let place = place(&bytes);
    let none = place.restore(&["*.css"]).unwrap_err();
    assert_eq!(none.kind, ErrorKind::NotFound);
    assert_eq!(place.restore(&["a[b"]).unwrap_err().kind, ErrorKind::InvalidInput);
    assert!(place.tree().is_empty());
}

#[test]
fn a_target_that_is_not_empty_is_refused_untouched() {
    let place = place(&with_manifest(&name(), &items(), |_| {}));
    std::fs::write(place.target.path().join(".mine"), "mine").unwrap();
    let e = place.restore(&[]).unwrap_err();
    assert_eq!(e.kind, ErrorKind::AlreadyExists);
    assert_eq!(place.tree().len(), 1);
}

#[test]
fn absolute_links_are_reported_and_not_created() {
    let mut list = items();
    list.retain(|i| i.name != "static/out");
    let recorded = serde_json::json!({
        "path": "static/abs", "kind": "absolute-symlink", "size": 0, "target": "/etc/hosts", "mode": "0777",
    });
    let bytes = with_manifest(&name(), &list, |m| {
        m["entries"].as_array_mut().unwrap().push(recorded)
    });
    let place = place(&bytes);
    let report = place.restore(&[]).unwrap();
    assert_eq!(report.links_left_out.len(), 1);
    assert_eq!(report.links_left_out[0].path, "static/abs");
    assert_eq!(
        report.links_left_out[0].kind,
        Kind::Symlink("/etc/hosts".to_owned())
    );
    assert!(!place.tree().contains_key("static/abs"));
    // And so in an archive of another program, where such a link is an entry.
    let foreign = self::place(&build(&[item("d", "/etc").mode(0o120_777), item("x", "y")]).bytes);
    let report = foreign.restore(&[]).unwrap();
    assert_eq!(report.links_left_out[0].kind, Kind::Symlink("/etc".to_owned()));
    assert_eq!(foreign.tree().into_keys().collect::<Vec<_>>(), ["x"]);
}

#[test]
fn a_checksum_that_disagrees_is_an_error_and_nothing_is_written_when_the_manifest_does() {
    let good = with_manifest(&name(), &items(), |_| {});
    let mut replaced = place(&good);
    replaced.record.sha256 = Some("0".repeat(64));
    replaced.backups.write_history(&[replaced.record.clone()]);
    let e = replaced.restore(&[]).unwrap_err();
    assert_eq!(e.kind, ErrorKind::Corrupt);
    assert!(e.to_string().contains("SHA-256") && e.remedy.is_some());

    let tweaked = with_manifest(&name(), &items(), |m| {
        m["entries"][3]["size"] = 9.into();
        m["entries"][5]["mode"] = "0777".into();
    });
    let place = place(&tweaked);
    let e = place.restore(&[]).unwrap_err();
    assert_eq!(e.kind, ErrorKind::Corrupt);
    assert!(
        e.message.contains("a.txt") && e.message.contains("1 more problem"),
        "{e}"
    );
    assert!(place.tree().is_empty());
}

#[test]
fn the_sidecar_counts_where_the_catalog_knows_no_checksum() {
    let good = with_manifest(&name(), &items(), |_| {});
    let place = place(&good);
    let sum = sidecar::compute(&place.backups.dir(), &place.record.name).unwrap();
    sidecar::publish(&place.backups.dir(), &place.record.name, &sum).unwrap();
    place.restore(&[]).unwrap();
    let wrong = self::place(&good);
    sidecar::publish(&wrong.backups.dir(), &wrong.record.name, &"1".repeat(64)).unwrap();
    assert_eq!(wrong.restore(&[]).unwrap_err().kind, ErrorKind::Corrupt);
}

#[test]
fn a_damaged_content_is_corrupt() {
    let mut bad = with_manifest(&name(), &items(), |_| {});
    let at = bad.windows(14).position(|w| w == b"static/a.txtAP").unwrap() + 12;
    bad[at] = b'B';
    let e = place(&bad).restore(&[]).unwrap_err();
    assert_eq!(e.kind, ErrorKind::Corrupt);
    assert!(e.message.contains("static/a.txt"), "{e}");
}

#[test]
fn hostile_archives_never_reach_outside() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("alvo.txt");
    std::fs::write(&victim, "INTACT").unwrap();
    let away = outside.path().to_str().unwrap();
    let link = |name: &str, target: &str| item(name, target).mode(0o120_777);
    let evil: Vec<Vec<Item>> = vec![
        vec![link("s/d", away), item("s/d/new.txt", "ESCAPED")],
        vec![link("s/f", victim.to_str().unwrap()), item("s/f", "OVER")],
        vec![link("s/a", "."), link("s/a/b", ".."), item("s/a/b/x", "x")],
        vec![link("s/l", &"a/../".repeat(900)), item("s/l/new.txt", "x")],
        vec![link("s/long", &"a".repeat(5000))],
        vec![link("backup_info.json", "/etc/passwd")],
        vec![item("../../x", "x")],
        vec![item("s\\..\\..\\x", "x")],
    ];
    for items in evil {
        let place = place(&build(&items).bytes);
        let e = place.restore(&[]).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Corrupt, "{e}");
    }
    let fine = place(&build(&[link("s/p", "q"), link("s/q", "p"), link("s/z", "/dev/zero")]).bytes);
    fine.restore(&[]).unwrap();
    assert_eq!(fine.tree().len(), 3);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "INTACT");
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn nothing_is_written_from_an_archive_whose_headers_disagree_or_that_is_empty() {
    let mut built = build(&[item("a", "first"), item("b", "second")]);
    let at = built.local[1] + 30;
    built.bytes[at] = b'c';
    for bytes in [built.bytes, build(&[]).bytes] {
        let place = place(&bytes);
        assert_eq!(place.restore(&[]).unwrap_err().kind, ErrorKind::Corrupt);
        assert!(place.tree().is_empty());
    }
}

#[test]
fn names_that_differ_in_case_only_and_folders_without_entries_come_back() {
    let place = place(&build(&[item("x/y/Leia", "A"), item("x/y/LEIA", "B")]).bytes);
    let report = place.restore(&[]).unwrap();
    assert_eq!((report.files, report.manifest), (2, false));
    assert_eq!(place.tree()["x/y/LEIA"], "B");
}
