//! Tests of `scan`, on real folders and archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::types::{Kind, Observation};

fn source(folder: &str, inventory: Inventory) -> Source {
    Source {
        folder: folder.to_owned(),
        root: format!("/sources/{folder}"),
        inventory,
        include: vec![],
        exclude: vec![],
        allow_empty: false,
    }
}

fn seen(path: &str, kind: Kind) -> Observation {
    Observation {
        size: 3,
        mtime_ns: Some(5),
        mode: Some(0o100_644),
        ..Observation::new(path.to_owned(), kind)
    }
}

fn roots(dir: &Path) -> Roots {
    Roots::new()
        .with("/sources/s", dir.join("s"))
        .with("/staging", dir.join("staging"))
}

fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["s/a/deep", "s/a.d", "s/empty", "staging"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    for file in ["s/a/deep/x.css", "s/a/y.js", "s/a.txt", "s/z"] {
        fs::write(dir.path().join(file), "abc").unwrap();
    }
    symlink("../z", dir.path().join("s/a/link")).unwrap();
    symlink("/etc/passwd", dir.path().join("s/abs")).unwrap();
    dir
}

fn paths(selection: &Selection) -> Vec<&str> {
    selection.items.iter().map(|i| &*i.path).collect()
}

fn run(dir: &Path, source: Source) -> Result<Selection> {
    scan(&roots(dir), vec![source])
}

#[test]
fn an_own_scan_lists_everything_sorted_by_bytes_and_follows_no_link() {
    let dir = tree();
    let selection = run(dir.path(), source("s", Inventory::Scan)).unwrap();
    assert_eq!(
        paths(&selection),
        [
            "s",
            "s/a",
            "s/a.d",
            "s/a.txt",
            "s/a/deep",
            "s/a/deep/x.css",
            "s/a/link",
            "s/a/y.js",
            "s/abs",
            "s/empty",
            "s/z"
        ]
    );
    let kind = |p: &str| selection.items.iter().find(|i| &*i.path == p).unwrap().kind;
    assert_eq!(kind("s/abs"), ItemKind::AbsoluteSymlink);
    assert_eq!(kind("s/a/link"), ItemKind::Symlink);
    assert!(selection.items.iter().all(|i| i.mode().is_none()));
    assert!(selection.skips.is_empty());
}

#[test]
fn odd_names_and_fifos_are_named_skips_that_cost_no_sibling() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tree();
    let bad = std::ffi::OsStr::from_bytes(b"relat\xf3rio");
    fs::write(dir.path().join("s").join(bad), "x").unwrap();
    let fifo = dir.path().join("s/fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let selection = run(dir.path(), source("s", Inventory::Scan)).unwrap();
    assert_eq!(selection.items.len(), 11);
    assert_eq!(selection.skips.len(), 2);
    assert_eq!(selection.skips[0].path, "s/fifo");
    assert!(!selection.skips[0].missing);
    assert_eq!(selection.skips[1].path, "s/relat\\xf3rio");
    assert!(selection.skips[1].missing);
}

#[test]
fn includes_keep_only_the_folders_that_lead_somewhere() {
    let dir = tree();
    let mut s = source("s", Inventory::Scan);
    s.include = vec!["**/*.css".to_owned()];
    assert_eq!(
        paths(&run(dir.path(), s).unwrap()),
        ["s", "s/a", "s/a/deep", "s/a/deep/x.css"]
    );
}

#[test]
fn an_excluded_folder_drops_what_is_unreadable_below_it() {
    let list = vec![
        seen("", Kind::Directory),
        seen("cache/x/y", Kind::Unreadable("no".into())),
        seen("cache/x", Kind::Directory),
        seen("cache", Kind::Directory),
        seen("f", Kind::File),
        seen("u", Kind::Unreadable("denied".into())),
        seen("db.sqlite", Kind::LeftOut("a live database".into())),
    ];
    let dir = tree();
    let mut s = source("s", Inventory::Observed(list));
    s.exclude = vec!["cache/".to_owned()];
    let selection = run(dir.path(), s).unwrap();
    assert_eq!(paths(&selection), ["s", "s/f"]);
    let skips: Vec<_> = selection
        .skips
        .iter()
        .map(|s| (s.path.as_str(), s.missing))
        .collect();
    assert_eq!(skips, [("s/db.sqlite", false), ("s/u", true)]);
    assert_eq!(selection.items[1].mode(), Some(0o644));
}

#[test]
fn an_unreadable_thing_outside_the_includes_counts_only_as_a_folder() {
    let dir = tree();
    let list = || {
        Inventory::Observed(vec![
            seen("f.css", Kind::File),
            seen("a", Kind::Unreadable("denied".into())),
            seen("z", Kind::Unreadable("denied".into())),
        ])
    };
    let mut s = source("s", list());
    s.include = vec!["**/*.css".to_owned()];
    let selection = run(dir.path(), s).unwrap();
    assert_eq!(selection.skips.len(), 1);
    assert_eq!(selection.skips[0].path, "s/a");
}

#[test]
fn observations_come_from_a_file_line_by_line() {
    let dir = tree();
    let text = concat!(
        "{\"path\":\"\",\"kind\":\"directory\",\"mode\":493}\n",
        "{\"path\":\"l\",\"kind\":\"symlink\",\"target\":\"z\",\"size\":1}\n\n",
        "{\"path\":\"n\\nl\",\"kind\":\"file\",\"size\":3,\"mtime_ns\":-1,\"mode\":384}",
    );
    fs::write(dir.path().join("staging/o.jsonl"), text).unwrap();
    let from = |name: &str| source("s", Inventory::ObservedFile(name.to_owned()));
    let selection = run(dir.path(), from("o.jsonl")).unwrap();
    assert_eq!(paths(&selection), ["s", "s/l", "s/n\nl"]);
    assert_eq!(selection.items[2].mtime_ns(), Some(-1));
    assert_eq!(selection.items[0].mode(), Some(0o755));

    let long = format!("{{\"path\":\"{}\",\"kind\":\"file\"}}\n", "x".repeat(2 << 20));
    for (text, what) in [
        (long.as_str(), "longer"),
        ("{\"path\":\"a\",\"kind\":\"file\"}\nnope\n", "line 2"),
        ("{\"path\":\"a\",\"kind\":\"symlink\"}", "target"),
        ("{\"path\":\"a\",\"kind\":\"file\",\"moed\":1}", "moed"),
        ("{\"path\":\"../a\",\"kind\":\"file\"}", "`..`"),
        ("{\"path\":\"/a\",\"kind\":\"file\"}", "empty"),
    ] {
        fs::write(dir.path().join("staging/bad"), text).unwrap();
        let e = run(dir.path(), from("bad")).unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput, "{e}");
        assert!(e.to_string().contains(what), "{e}");
    }
    assert_eq!(
        run(dir.path(), from("../s/z")).unwrap_err().kind,
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_missing_or_empty_source_is_an_error_unless_it_may_be_empty() {
    let dir = tree();
    let mut gone = source("s", Inventory::Scan);
    gone.root = "/sources/other".to_owned();
    let e = run(dir.path(), gone).unwrap_err();
    assert_eq!(e.kind, ErrorKind::SourceMissing);
    assert!(e.to_string().contains("/sources/other"), "{e}");

    let mut empty = source("s", Inventory::Scan);
    empty.root = "/sources/s/empty".to_owned();
    assert_eq!(
        run(dir.path(), empty.clone()).unwrap_err().kind,
        ErrorKind::SourceMissing
    );
    empty.allow_empty = true;
    assert_eq!(paths(&run(dir.path(), empty).unwrap()), ["s"]);
    let mut file = source("s", Inventory::Scan);
    file.root = "/sources/s/z".to_owned();
    assert!(run(dir.path(), file).is_err());
}

#[test]
fn a_source_of_only_unreadable_files_is_partial_and_not_empty() {
    let dir = tree();
    let list = vec![seen("u", Kind::Unreadable("denied".into()))];
    let selection = run(dir.path(), source("s", Inventory::Observed(list))).unwrap();
    assert!(selection.skips[0].missing);
}

#[test]
fn folders_that_collide_or_are_reserved_are_refused() {
    for folders in [
        &["a", "a"][..],
        &["backup_info.json"],
        &["a/b"],
        &[".."],
        &[""],
        &[],
    ] {
        let sources = folders
            .iter()
            .map(|f| source(f, Inventory::Observed(vec![])))
            .collect();
        let e = Scanner::new(sources).unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput, "{folders:?}");
    }
}

#[test]
fn a_path_seen_twice_or_below_a_file_is_refused() {
    let dir = tree();
    for (a, b) in [("f", "f"), ("f", "f/g"), ("f", "f/g/h")] {
        let list = vec![seen(a, Kind::File), seen("f.x", Kind::File), seen(b, Kind::File)];
        let e = run(dir.path(), source("s", Inventory::Observed(list))).unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput);
        assert!(e.subject.unwrap().starts_with("s/f"));
    }
}

#[test]
fn a_link_that_could_not_be_restored_is_refused() {
    let dir = tree();
    for target in ["", "a\0b", &"x".repeat(4096)] {
        let list = vec![seen("l", Kind::Symlink(target.to_owned()))];
        let e = run(dir.path(), source("s", Inventory::Observed(list))).unwrap_err();
        assert_eq!(
            (e.kind, e.subject.as_deref()),
            (ErrorKind::InvalidInput, Some("s/l"))
        );
    }
}

#[test]
fn more_than_an_archive_may_have_is_refused() {
    check_size(999_999, 1 << 20).unwrap();
    for (items, names) in [(1_000_000, 1 << 20), (200_000, 96 << 20)] {
        let e = check_size(items, names).unwrap_err();
        assert_eq!(e.kind, ErrorKind::Unsupported, "{e}");
    }
}

#[test]
fn a_path_that_no_restore_could_create_is_skipped_by_name() {
    let dir = tree();
    let fits = "d".repeat(4093); // `s/` comes before it
    let long = vec!["d".repeat(200); 400].join("/");
    let list = [&fits, &format!("{fits}d"), &long].map(|path| seen(path, Kind::Directory));
    let selection = run(dir.path(), source("s", Inventory::Observed(list.into()))).unwrap();
    assert_eq!(selection.items.len(), 2);
    assert_eq!(selection.skips.len(), 2);
    assert!(selection.skips.iter().all(|s| s.missing && s.path.len() < 5000));
}
