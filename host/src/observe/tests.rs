//! Walks over real trees with everything that a walk may meet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode};

use super::*;

fn walk(root: &Path, left_out: &LeftOut) -> (Observed, BTreeMap<String, ObservationLine>) {
    let mut out = Vec::new();
    let dir = File::open(root).unwrap();
    let seen = observe(dir.as_fd(), left_out, &mut out).unwrap();
    let mut lines = BTreeMap::new();
    for line in out.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let line: ObservationLine = serde_json::from_slice(line).unwrap();
        assert!(lines.insert(line.path.clone(), line).is_none(), "one line a path");
    }
    assert_eq!(seen.lines, lines.len() as u64);
    (seen, lines)
}

#[test]
fn every_kind_of_thing_gets_its_line() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    std::fs::create_dir_all(root.join("pasta/vazia")).unwrap();
    std::fs::write(root.join("pasta/f"), "12345").unwrap();
    std::fs::set_permissions(root.join("pasta/f"), PermissionsExt::from_mode(0o4750)).unwrap();
    std::fs::write(root.join("a\nb"), "").unwrap();
    symlink("pasta", root.join("relativo")).unwrap();
    symlink("/etc/passwd", root.join("absoluto")).unwrap();
    symlink("eu", root.join("eu")).unwrap();
    symlink(OsStr::from_bytes(b"\xff"), root.join("alvo")).unwrap();
    rustix::fs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    std::fs::write(root.join(OsStr::from_bytes(b"m_relat\xf3rio.txt")), "x").unwrap();
    std::fs::create_dir(root.join(OsStr::from_bytes(b"pasta_\xe7"))).unwrap();
    std::fs::write(root.join(OsStr::from_bytes(b"pasta_\xe7/f")), "x").unwrap();
    std::fs::write(root.join("z"), "last").unwrap();

    let (seen, lines) = walk(root, &LeftOut::default());
    let kind = |path: &str| lines[path].kind.as_str();
    for (path, expected) in [
        ("", "directory"),
        ("pasta", "directory"),
        ("pasta/vazia", "directory"),
        ("pasta/f", "file"),
        ("a\nb", "file"),
        ("z", "file"),
        ("relativo", "symlink"),
        ("absoluto", "symlink"),
        ("eu", "symlink"),
        ("alvo", "unreadable"),
        ("fifo", "special"),
        ("socket", "special"),
        ("m_relat\\xf3rio.txt", "unreadable"),
        ("pasta_\\xe7", "unreadable"),
    ] {
        assert_eq!(kind(path), expected, "{path}");
    }
    assert_eq!(lines.len(), 14);
    assert_eq!((seen.files, seen.bytes, seen.unreadable), (3, 9, 3));
    let f = &lines["pasta/f"];
    let meta = std::fs::metadata(root.join("pasta/f")).unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!((f.size, f.mode, f.inode), (5, Some(0o4750), Some(meta.ino())));
    assert_eq!(f.mtime_ns, Some(meta.mtime() * 1_000_000_000 + meta.mtime_nsec()));
    assert_eq!(f.ctime_ns, Some(meta.ctime() * 1_000_000_000 + meta.ctime_nsec()));
    assert_eq!((f.uid, f.gid), (Some(meta.uid()), Some(meta.gid())));
    assert_eq!(lines["absoluto"].target.as_deref(), Some("/etc/passwd"));
    assert_eq!(
        lines["m_relat\\xf3rio.txt"].reason.as_deref(),
        Some("the name is not UTF-8")
    );
}

#[test]
fn times_out_of_the_ordinary_are_seen_exactly() {
    let temp = tempfile::tempdir().unwrap();
    for (name, ns) in [
        ("1901", -2_147_000_000_500_000_000_i64),
        ("1969", -1),
        ("2200", 7_258_118_400_000_000_007),
    ] {
        let file = File::create(temp.path().join(name)).unwrap();
        rustix::fs::futimens(&file, &fsutil::timestamps(ns)).unwrap();
        // The file system may clamp: compare with what it kept.
        let kept = fsutil::mtime_ns(&rustix::fs::fstat(&file).unwrap());
        let (_, lines) = walk(temp.path(), &LeftOut::default());
        assert_eq!(lines[name].mtime_ns, Some(kept));
        assert_eq!(kept, ns, "this file system holds {name}");
    }
}

#[test]
fn the_backups_folder_and_live_databases_are_left_out_by_identity() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    std::fs::create_dir_all(root.join("backups")).unwrap();
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(root.join("backups/old.zip"), "x").unwrap();
    std::fs::write(root.join("sub/app.db"), "x").unwrap();
    std::fs::hard_link(root.join("sub/app.db"), root.join("other name")).unwrap();
    std::fs::write(root.join("app.db-wal"), "not of the database in sub").unwrap();
    symlink("backups", root.join("link")).unwrap();
    let mut left_out = LeftOut::default();
    left_out.add(&root.join("backups"), "the backups folder");
    left_out.add_database(&root.join("sub/app.db"), "a live database");
    left_out.add(&root.join("missing"), "nothing");
    // These come after the list was made.
    for suffix in ["-wal", "-shm", "-journal", "-other"] {
        std::fs::write(root.join(format!("sub/app.db{suffix}")), "x").unwrap();
    }
    let (seen, lines) = walk(root, &left_out);
    for path in [
        "backups",
        "sub/app.db",
        "other name",
        "sub/app.db-wal",
        "sub/app.db-shm",
        "sub/app.db-journal",
    ] {
        assert_eq!(lines[path].kind, "left-out", "{path}");
    }
    for path in ["app.db-wal", "sub/app.db-other"] {
        assert_eq!(lines[path].kind, "file", "{path}");
    }
    assert_eq!(lines["link"].kind, "symlink");
    assert_eq!(lines["backups"].reason.as_deref(), Some("the backups folder"));
    assert!(!lines.contains_key("backups/old.zip"));
    assert_eq!(seen.left_out, 6);
}

#[test]
fn a_folder_that_may_not_be_read_costs_only_itself() {
    crate::testing::as_nobody(
        "observe::tests::a_folder_that_may_not_be_read_costs_only_itself",
        |root| {
            for dir in ["closed", "no search", "open"] {
                std::fs::create_dir(root.join(dir)).unwrap();
                std::fs::write(root.join(dir).join("f"), "x").unwrap();
            }
            std::fs::set_permissions(root.join("closed"), PermissionsExt::from_mode(0o000)).unwrap();
            std::fs::set_permissions(root.join("no search"), PermissionsExt::from_mode(0o400)).unwrap();
            let (seen, lines) = walk(root, &LeftOut::default());
            std::fs::set_permissions(root.join("closed"), PermissionsExt::from_mode(0o700)).unwrap();
            std::fs::set_permissions(root.join("no search"), PermissionsExt::from_mode(0o700)).unwrap();
            assert_eq!(lines["closed"].kind, "unreadable");
            assert!(
                lines["closed"]
                    .reason
                    .as_ref()
                    .unwrap()
                    .contains("Permission denied")
            );
            assert_eq!(lines["no search/f"].kind, "unreadable");
            assert_eq!(lines["open/f"].kind, "file");
            assert_eq!((seen.unreadable, seen.files), (2, 1));
        },
    );
}

#[test]
fn a_tree_deeper_than_the_longest_path_ends_in_one_unreadable_line() {
    let temp = tempfile::tempdir().unwrap();
    let top = File::open(temp.path()).unwrap();
    let mut at: OwnedFd = rustix::fs::openat(&top, ".", fsutil::dir_flags(), Mode::empty()).unwrap();
    for _ in 0..2500 {
        rustix::fs::mkdirat(&at, "d", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", fsutil::dir_flags(), Mode::empty()).unwrap();
    }
    let (seen, lines) = walk(temp.path(), &LeftOut::default());
    assert_eq!(seen.unreadable, 1);
    assert_eq!(
        lines.len(),
        2050,
        "the root, 2048 folders and the line that says why no more"
    );
    fsutil::remove_tree(top.as_fd(), OsStr::new("d")).unwrap();
}

#[test]
fn many_names_in_one_folder_are_all_seen() {
    let temp = tempfile::tempdir().unwrap();
    for i in 0..3000 {
        File::create(
            temp.path()
                .join(format!("file with a rather long name, number {i}")),
        )
        .unwrap();
    }
    let (seen, _) = walk(temp.path(), &LeftOut::default());
    assert_eq!(seen.files, 3000);
}

#[test]
fn a_walk_in_a_tree_that_changes_sees_every_stable_file_and_nothing_foreign() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().join("src");
    let foreign = temp.path().join("foreign");
    std::fs::create_dir_all(root.join("swap/sub")).unwrap();
    std::fs::create_dir_all(foreign.join("sub")).unwrap();
    std::fs::write(foreign.join("sub/FOREIGN"), "x").unwrap();
    std::fs::write(root.join("swap/sub/mine"), "x").unwrap();
    symlink(&foreign, root.join("link")).unwrap();
    for i in 0..50 {
        std::fs::create_dir(root.join(format!("d{i}"))).unwrap();
        std::fs::write(root.join(format!("d{i}/stable")), "x").unwrap();
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            for i in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                rustix::fs::renameat_with(CWD, root.join("swap"), CWD, root.join("link"), exchange).unwrap();
                let dir = root.join(format!("temp{}", i % 7));
                std::fs::create_dir(&dir).unwrap();
                std::fs::write(dir.join("f"), "x").unwrap();
                std::fs::remove_dir_all(&dir).unwrap();
            }
        });
        let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
        while std::time::Instant::now() < end {
            let (_, lines) = walk_lossy(&root);
            let stable = lines.iter().filter(|line| line.path.ends_with("/stable")).count();
            assert_eq!(stable, 50);
            assert!(!lines.iter().any(|line| line.path.contains("FOREIGN")));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// A folder renamed during the walk may be seen under both names.
fn walk_lossy(root: &Path) -> (Observed, Vec<ObservationLine>) {
    let mut out = Vec::new();
    let seen = observe(File::open(root).unwrap().as_fd(), &LeftOut::default(), &mut out).unwrap();
    let lines = out
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    (seen, lines)
}
