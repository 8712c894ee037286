//! Tests of `entries`, on real folders and archives.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::archive::testing::{Item, build, item, with_manifest};
use crate::testing::{Folder, row};

fn folder(bytes: &[u8]) -> Folder {
    let mut record = row(7, "2026-11-25T02:00:00");
    record.size = bytes.len() as u64;
    let folder = Folder::new();
    folder.write(&record.archive_name(), bytes);
    folder.write_history(&[record]);
    folder
}

fn items() -> Vec<Item> {
    vec![
        item("static/", "").mode(0o040_750),
        item("static/a.txt", "A".repeat(1000)).mode(0o100_600).deflated(),
        item("static/link", "a.txt").mode(0o120_777),
    ]
}

fn archive() -> Vec<u8> {
    with_manifest("backup_20261125_020000_automated", &items(), |m| {
        let link =
            serde_json::json!({"path": "static/abs", "kind": "absolute-symlink", "size": 0, "target": "/x"});
        m["entries"].as_array_mut().unwrap().insert(2, link);
        m["entries"][1]["changed"] = true.into();
        m["skipped"] = serde_json::json!([{"path": "static/pipe", "reason": "a FIFO", "missing": false}]);
        m["databases"] = serde_json::json!([{"name": "app", "engine": "sqlite", "version": "3", "folder": "database",
            "tables": [{"name": "t", "file": "t.sql", "rows": 3}]}]);
    })
}

#[test]
fn an_archive_that_can_not_be_that_of_the_row_is_not_listed() {
    let folder = folder(&archive());
    let other = with_manifest("backup_20261125_020000_automated", &items()[..2], |_| {});
    folder.write(&row(7, "2026-11-25T02:00:00").archive_name(), &other);
    for e in [
        entries(&folder.roots, 7, None, 10).map(drop).unwrap_err(),
        details(&folder.roots, 7).map(drop).unwrap_err(),
        crate::diff::diff(&folder.roots, 7, 7).map(drop).unwrap_err(),
    ] {
        assert_eq!(e.kind, ErrorKind::Corrupt, "{e}");
        assert!(e.to_string().contains("the catalog says"), "{e}");
    }
}

#[test]
fn entries_carry_what_the_manifest_knows() {
    let list = entries(&folder(&archive()).roots, 7, None, u32::MAX).unwrap();
    let paths: Vec<_> = list.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "static",
            "static/a.txt",
            "static/abs",
            "static/link",
            "backup_info.json"
        ]
    );
    let file = &list[1];
    assert_eq!((file.size, file.mode, file.changed), (1000, Some(0o600), true));
    assert!(file.compressed_size < 100 && file.compressed_size > 0);
    assert_eq!(file.mtime_ns, Some(1_795_514_400_123_456_789));
    assert_eq!(file.crc32, Some(crc32fast::hash("A".repeat(1000).as_bytes())));
    assert_eq!(list[0].mode, Some(0o750));
    assert_eq!(list[2].kind, Kind::Symlink("/x".to_owned()));
    assert_eq!(list[3].kind, Kind::Symlink("a.txt".to_owned()));
}

#[test]
fn pages_together_are_the_whole_list() {
    let folder = folder(&archive());
    let whole = entries(&folder.roots, 7, None, u32::MAX).unwrap();
    let mut paged: Vec<Entry> = Vec::new();
    loop {
        let after = paged.last().map(|e| e.path.clone());
        let page = entries(&folder.roots, 7, after.as_deref(), 2).unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2);
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    let unknown = entries(&folder.roots, 7, Some("nowhere"), 2).unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NotFound);
}

#[test]
fn archives_without_a_manifest_are_listed_from_their_directory() {
    let list = entries(&folder(&build(&items()).bytes).roots, 7, None, 10).unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!((list[1].mode, list[1].mtime_ns), (Some(0o600), None));
    assert_eq!(list[2].kind, Kind::Symlink("a.txt".to_owned()));
    let details = details(&folder(&build(&items()).bytes).roots, 7).unwrap();
    assert_eq!((details.skips.len(), details.component_version), (0, None));
}

#[test]
fn details_give_skips_databases_and_version() {
    let details = details(&folder(&archive()).roots, 7).unwrap();
    assert_eq!(details.skips[0].path, "static/pipe");
    assert_eq!(details.databases[0].tables[0].rows, 3);
    assert_eq!(details.component_version.as_deref(), Some("0.1.0"));
}
