//! Tests of `diff`, on real folders and archives.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::archive::testing::{Item, build, item, with_manifest};
use crate::testing::{Folder, row};

fn folder(a: &[u8], b: &[u8]) -> Folder {
    let mut rows = [row(1, "2026-11-24T02:00:00"), row(2, "2026-11-25T02:00:00")];
    for (row, bytes) in rows.iter_mut().zip([a, b]) {
        row.size = bytes.len() as u64;
    }
    let folder = Folder::new();
    folder.write_history(&rows);
    for (row, bytes) in rows.iter().zip([a, b]) {
        folder.write(&row.archive_name(), bytes);
    }
    folder
}

fn archive(items: &[Item]) -> Vec<u8> {
    with_manifest("backup_20261125_020000_automated", items, |_| {})
}

#[test]
fn each_kind_of_change_is_told_apart_in_order_of_the_paths() {
    let a = archive(&[
        item("s/gone", "x"),
        item("s/kind", "t"),
        item("s/link", "one").mode(0o120_777),
        item("s/mode", "same"),
        item("s/same", "same"),
        item("s/text", "old"),
    ]);
    let b = archive(&[
        item("s/kind", "t").mode(0o120_777),
        item("s/link", "two").mode(0o120_777),
        item("s/mode", "same").mode(0o100_600),
        item("s/new", "x"),
        item("s/same", "same"),
        item("s/text", "new"),
    ]);
    let folder = folder(&a, &b);
    let found: Vec<_> = diff(&folder.roots, 1, 2)
        .unwrap()
        .into_iter()
        .map(|d| (d.path, d.change))
        .collect();
    let expected = [
        ("s/gone", Change::Removed),
        ("s/kind", Change::Modified),
        ("s/link", Change::Modified),
        ("s/mode", Change::Metadata),
        ("s/new", Change::Added),
        ("s/text", Change::Modified),
    ];
    assert_eq!(found, expected.map(|(path, change)| (path.to_owned(), change)));
    let back = diff(&folder.roots, 2, 1).unwrap();
    assert_eq!(back.len(), 6);
    assert_eq!(back[0].change, Change::Added);
}

#[test]
fn a_backup_does_not_differ_from_itself_nor_for_what_only_one_knows() {
    let items = [item("s/a", "x"), item("s/b", "y")];
    let (with, without) = (archive(&items), build(&items).bytes);
    assert_eq!(diff(&folder(&with, &with).roots, 1, 1).unwrap(), vec![]);
    // The second knows no times.
    assert_eq!(diff(&folder(&with, &without).roots, 1, 2).unwrap(), vec![]);
}
