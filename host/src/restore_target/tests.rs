//! Restores that end well, badly, or meet somebody hostile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn item(path: &str, kind: ItemKind, mode: u32, mtime_ns: i64) -> Item {
    Item {
        path: path.to_owned(),
        kind,
        mode: Some(mode),
        mtime_ns: Some(mtime_ns),
    }
}

fn facts(path: &Path) -> (u32, i64) {
    let stat = rustix::fs::lstat(path).unwrap();
    (stat.st_mode & 0o7777, fsutil::mtime_ns(&stat))
}

/// Nothing but what is listed is in `dir`.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_restore_gives_modes_times_and_links_back_and_appears_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("out");
    let mut target = RestoreTarget::prepare(&dest).unwrap();
    let partial = temp.path().join(".out.partial");
    assert_eq!(std::fs::metadata(&partial).unwrap().mode() & 0o777, 0o700);
    std::fs::create_dir_all(partial.join("static/closed")).unwrap();
    std::fs::write(partial.join("static/closed/f"), "x").unwrap();
    std::fs::write(partial.join("static/suid"), "x").unwrap();
    std::fs::write(partial.join("static/unknown"), "x").unwrap();
    std::fs::set_permissions(partial.join("static/unknown"), PermissionsExt::from_mode(0o600)).unwrap();
    symlink("nowhere", partial.join("static/link")).unwrap();
    target
        .apply(&[
            item("static", ItemKind::Directory, 0o2755, 1_000_000_000),
            item("static/closed", ItemKind::Directory, 0o500, -1),
            item(
                "static/closed/f",
                ItemKind::File,
                0o400,
                -3_000_000_000_000_000_007,
            ),
        ])
        .unwrap();
    target
        .apply(&[
            item("static/suid", ItemKind::File, 0o6755, 7),
            item("static/link", ItemKind::Symlink, 0o777, -5),
            item(
                "static/abs",
                ItemKind::AbsoluteSymlink("/etc/passwd".into()),
                0o777,
                9,
            ),
            Item {
                path: "static/unknown".into(),
                kind: ItemKind::File,
                mode: None,
                mtime_ns: None,
            },
        ])
        .unwrap();
    assert!(!dest.exists());
    target.commit().unwrap();
    assert_eq!(facts(&dest.join("static")), (0o755, 1_000_000_000));
    assert_eq!(facts(&dest.join("static/closed")), (0o500, -1));
    let kept = facts(&dest.join("static/closed/f"));
    assert_eq!(kept.0, 0o400);
    // ext4 ends in 1901, tmpfs does not.
    assert!(
        kept.1 == -3_000_000_000_000_000_007 || kept.1 == -2_147_483_648_000_000_000,
        "{}",
        kept.1
    );
    assert_eq!(facts(&dest.join("static/suid")), (0o755, 7));
    assert_eq!(facts(&dest.join("static/link")).1, -5);
    assert_eq!(facts(&dest.join("static/abs")).1, 9);
    assert_eq!(
        std::fs::read_link(dest.join("static/abs")).unwrap(),
        Path::new("/etc/passwd")
    );
    assert_eq!(facts(&dest.join("static/unknown")).0, 0o600);
    assert_eq!(facts(&dest).0, 0o700);
    assert_eq!(names(temp.path()), ["out"]);
}

#[test]
fn an_empty_folder_may_be_the_target_and_anything_else_may_not() {
    let temp = tempfile::tempdir().unwrap();
    let at = |name: &str| temp.path().join(name);
    std::fs::create_dir(at("empty")).unwrap();
    RestoreTarget::prepare(&at("empty")).unwrap().commit().unwrap();
    std::fs::create_dir(at("full")).unwrap();
    std::fs::write(at("full/live"), "VIVO").unwrap();
    std::fs::write(at("file"), "VIVO").unwrap();
    symlink("empty", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    for (name, code) in [
        ("full", Code::AlreadyExists),
        ("file", Code::AlreadyExists),
        ("link", Code::AlreadyExists),
        ("dangling", Code::AlreadyExists),
        ("link/new", Code::Sandbox),
        ("missing/new", Code::Usage),
        ("file/new", Code::Usage),
        ("full/..", Code::Usage),
    ] {
        let error = RestoreTarget::prepare(&at(name)).unwrap_err();
        assert_eq!(error.code, code, "{name}: {error}");
    }
    assert_eq!(std::fs::read(at("full/live")).unwrap(), b"VIVO");
    assert_eq!(names(temp.path()), ["dangling", "empty", "file", "full", "link"]);
}

#[test]
fn a_target_that_comes_into_being_meanwhile_is_not_replaced() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("out");
    let target = RestoreTarget::prepare(&dest).unwrap();
    std::fs::create_dir(&dest).unwrap();
    std::fs::write(dest.join("live"), "VIVO").unwrap();
    assert_eq!(target.commit().unwrap_err().code, Code::AlreadyExists);
    assert_eq!(std::fs::read(dest.join("live")).unwrap(), b"VIVO");
    assert_eq!(names(temp.path()), ["out"], "and nothing is left");
}

#[test]
fn an_abandoned_or_dropped_restore_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("out");
    std::fs::create_dir(temp.path().join("kept")).unwrap();
    std::fs::write(temp.path().join("kept/f"), "x").unwrap();
    for drop_it in [false, true] {
        let target = RestoreTarget::prepare(&dest).unwrap();
        std::fs::create_dir_all(temp.path().join(".out.partial/a/b")).unwrap();
        symlink(temp.path().join("kept"), temp.path().join(".out.partial/a/link")).unwrap();
        if drop_it {
            drop(target)
        } else {
            target.abandon().unwrap()
        }
        assert_eq!(names(temp.path()), ["kept"]);
    }
    assert!(temp.path().join("kept/f").exists());
}

#[test]
fn a_killed_restore_is_cleaned_up_by_the_next_and_a_users_folder_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let dest = temp.path().join("out");
    let partial = temp.path().join(".out.partial");
    // As `kill -9` leaves it: the folder stays, the lock is gone.
    std::fs::create_dir_all(partial.join("half")).unwrap();
    std::fs::set_permissions(&partial, PermissionsExt::from_mode(0o1700)).unwrap();
    let target = RestoreTarget::prepare(&dest).unwrap();
    assert_eq!(names(&partial), Vec::<String>::new());
    let error = RestoreTarget::prepare(&dest).unwrap_err();
    assert_eq!(error.code, Code::Busy, "the first is still at it: {error}");
    drop(target);

    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("mine"), "x").unwrap();
    std::fs::set_permissions(&partial, PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(
        RestoreTarget::prepare(&dest).unwrap_err().code,
        Code::AlreadyExists
    );
    assert!(partial.join("mine").exists());
    std::fs::remove_dir_all(&partial).unwrap();
    symlink("/tmp", &partial).unwrap();
    assert_eq!(
        RestoreTarget::prepare(&dest).unwrap_err().code,
        Code::AlreadyExists
    );
}

#[test]
fn a_hostile_guest_can_not_make_the_host_touch_anything_outside() {
    let temp = tempfile::tempdir().unwrap();
    let outside = temp.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("f"), "x").unwrap();
    let before = (facts(&outside), facts(&outside.join("f")));
    let partial = temp.path().join(".out.partial");
    for path in [
        "link/f",
        "link",
        "filelink",
        "hard",
        "fifo",
        "missing",
        "..",
        "../outside/f",
        "/etc/passwd",
        "",
    ] {
        for kind in [
            ItemKind::File,
            ItemKind::Directory,
            ItemKind::AbsoluteSymlink("/x".into()),
        ] {
            if kind != ItemKind::File && matches!(path, "missing" | "fifo") {
                continue;
            }
            let mut target = RestoreTarget::prepare(&temp.path().join("out")).unwrap();
            symlink(&outside, partial.join("link")).unwrap();
            symlink(outside.join("f"), partial.join("filelink")).unwrap();
            std::fs::hard_link(outside.join("f"), partial.join("hard")).unwrap();
            let fifo = FileType::Fifo;
            rustix::fs::mknodat(rustix::fs::CWD, partial.join("fifo"), fifo, Mode::RUSR, 0).unwrap();
            let done = target
                .apply(&[item(path, kind.clone(), 0o777, 1)])
                .and_then(|()| target.commit());
            let error = done.expect_err(path);
            assert_eq!(error.code, Code::Corrupt, "{path} {kind:?}: {error}");
            std::fs::remove_file(outside.join("f")).unwrap();
            std::fs::write(outside.join("f"), "x").unwrap();
            assert_eq!(names(&outside), ["f"]);
        }
    }
    assert_eq!(facts(&outside).0, before.0.0);
    assert_eq!(facts(&outside.join("f")).0, before.1.0);
    assert!(!temp.path().join("out").exists());
}

#[test]
fn a_partial_folder_that_was_exchanged_is_not_published() {
    let temp = tempfile::tempdir().unwrap();
    let target = RestoreTarget::prepare(&temp.path().join("out")).unwrap();
    let partial = temp.path().join(".out.partial");
    std::fs::rename(&partial, temp.path().join("stolen")).unwrap();
    std::fs::create_dir(&partial).unwrap();
    std::fs::write(partial.join("forged"), "x").unwrap();
    assert_eq!(target.commit().unwrap_err().code, Code::Sandbox);
    assert!(partial.join("forged").exists(), "what is not ours is not removed");
}

#[test]
fn folders_without_permissions_are_restored_by_an_ordinary_user() {
    crate::testing::as_nobody(
        "restore_target::tests::folders_without_permissions_are_restored_by_an_ordinary_user",
        |temp| {
            let dest = temp.join("out");
            let mut target = RestoreTarget::prepare(&dest).unwrap();
            std::fs::create_dir_all(temp.join(".out.partial/a/b")).unwrap();
            std::fs::write(temp.join(".out.partial/a/b/f"), "x").unwrap();
            target
                .apply(&[
                    item("a", ItemKind::Directory, 0o000, 5),
                    item("a/b", ItemKind::Directory, 0o000, 6),
                    item("a/b/f", ItemKind::File, 0o000, 7),
                ])
                .unwrap();
            target.commit().unwrap();
            assert_eq!(facts(&dest.join("a")), (0o000, 5));
            std::fs::set_permissions(dest.join("a"), PermissionsExt::from_mode(0o700)).unwrap();
            assert_eq!(facts(&dest.join("a/b")), (0o000, 6));
            std::fs::set_permissions(dest.join("a/b"), PermissionsExt::from_mode(0o700)).unwrap();
            assert_eq!(facts(&dest.join("a/b/f")), (0o000, 7));
        },
    );
}
