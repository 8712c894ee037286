//! Staging folders that live, die, and are refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_run_has_a_private_folder_that_goes_with_it() {
    let temp = tempfile::tempdir().unwrap();
    let state = temp.path().join("new/.cofre");
    let staging = Staging::new(&state).unwrap();
    staging
        .create("observed-static.jsonl")
        .unwrap()
        .write_all(b"{}")
        .unwrap();
    staging.folder("database/app").unwrap();
    assert_eq!((mode(&state), mode(staging.path())), (0o700, 0o700));
    assert_eq!(mode(staging.path().join("database/app")), 0o700);
    assert_eq!(mode(staging.path().join("observed-static.jsonl")), 0o600);
    let path = staging.path().to_owned();
    drop(staging);
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(state.join("staging")).unwrap().count(), 0);
}

#[test]
fn left_overs_of_dead_runs_are_swept_and_living_ones_stay() {
    let temp = tempfile::tempdir().unwrap();
    let state = temp.path().join(".cofre");
    let living = Staging::new(&state).unwrap();
    std::fs::create_dir_all(state.join("staging/run-1-0/database")).unwrap();
    std::fs::write(state.join("staging/run-1-0/database/t.sql"), "x").unwrap();
    std::fs::write(state.join("staging/of a user"), "x").unwrap();
    let next = Staging::new(&state).unwrap();
    assert!(!state.join("staging/run-1-0").exists());
    assert!(living.path().exists() && next.path().exists());
    assert!(state.join("staging/of a user").exists());
}

#[test]
fn a_staged_file_keeps_content_mode_and_time_and_gives_its_folder_its_time() {
    let temp = tempfile::tempdir().unwrap();
    let staging = Staging::new(&temp.path().join(".cofre")).unwrap();
    for (name, mode, time) in [
        ("env.example", 0o640, -5_000_000_001),
        (".gitignore", 0o600, -9_000_000_000),
    ] {
        std::fs::write(temp.path().join(name), name).unwrap();
        std::fs::set_permissions(temp.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        let file = File::open(temp.path().join(name)).unwrap();
        rustix::fs::futimens(&file, &fsutil::timestamps(time)).unwrap();
        let staged = staging.stage_file("config", &temp.path().join(name)).unwrap();
        assert_eq!(
            staged,
            StagedFile {
                path: format!("config/{name}"),
                size: name.len() as u64,
                changed: false
            }
        );
    }
    let config = staging.path().join("config");
    assert_eq!(
        std::fs::read_to_string(config.join("env.example")).unwrap(),
        "env.example"
    );
    assert_eq!(mode(config.join("env.example")), 0o640);
    assert_eq!(mode(config.join(".gitignore")), 0o600);
    let time = |path: &Path| fsutil::mtime_ns(&rustix::fs::stat(path).unwrap());
    assert_eq!(time(&config.join("env.example")), -5_000_000_001);
    assert_eq!(time(&config), -5_000_000_001);
}

#[test]
fn single_files_are_not_followed_through_links_and_not_mixed_up() {
    let temp = tempfile::tempdir().unwrap();
    let staging = Staging::new(&temp.path().join(".cofre")).unwrap();
    std::fs::create_dir(temp.path().join("other")).unwrap();
    std::fs::write(temp.path().join("f"), "x").unwrap();
    std::fs::write(temp.path().join("other/f"), "y").unwrap();
    symlink("/etc/passwd", temp.path().join("link")).unwrap();
    staging.stage_file("config", &temp.path().join("f")).unwrap();
    let twice = staging
        .stage_file("config", &temp.path().join("other/f"))
        .unwrap_err();
    assert_eq!(twice.code, Code::Config);
    assert_eq!(std::fs::read(staging.path().join("config/f")).unwrap(), b"x");
    let link = staging
        .stage_file("config", &temp.path().join("link"))
        .unwrap_err();
    assert_eq!(link.code, Code::Sandbox);
    let gone = staging
        .stage_file("config", &temp.path().join("gone"))
        .unwrap_err();
    assert_eq!(gone.code, Code::SourceMissing);
}

#[test]
fn folders_of_staged_files_are_as_old_as_the_newest_file_below_them() {
    let temp = tempfile::tempdir().unwrap();
    let staging = Staging::new(&temp.path().join(".cofre")).unwrap();
    for (folder, name, time) in [
        ("files/config", "a", 3),
        ("files/config/etc/app", "b", 5),
        ("files/config/etc", "c", 4),
    ] {
        let path = temp.path().join(name);
        std::fs::write(&path, name).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        rustix::fs::futimens(&file, &fsutil::timestamps(time)).unwrap();
        staging.stage_file(folder, &path).unwrap();
    }
    for path in ["files/config", "files/config/etc", "files/config/etc/app"] {
        let stat = rustix::fs::stat(staging.path().join(path)).unwrap();
        assert_eq!(fsutil::mtime_ns(&stat), 5, "{path}");
    }
}

#[test]
fn settling_gives_everything_one_time() {
    let temp = tempfile::tempdir().unwrap();
    let staging = Staging::new(&temp.path().join(".cofre")).unwrap();
    staging.folder("database/app").unwrap();
    staging.create("database/app/t.sql").unwrap();
    staging.create("database/x.sql").unwrap();
    staging.settle("database", 1_700_000_000_000_000_005).unwrap();
    for path in ["database", "database/app", "database/app/t.sql", "database/x.sql"] {
        let stat = rustix::fs::stat(staging.path().join(path)).unwrap();
        assert_eq!(fsutil::mtime_ns(&stat), 1_700_000_000_000_000_005, "{path}");
    }
}

#[test]
fn a_state_folder_that_others_may_write_to_or_that_is_a_link_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let open = temp.path().join("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o777)).unwrap();
    assert_eq!(Staging::new(&open).unwrap_err().code, Code::AccessDenied);
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o750)).unwrap();
    Staging::new(&open).unwrap();
    symlink("open", temp.path().join("link")).unwrap();
    assert_eq!(
        Staging::new(&temp.path().join("link")).unwrap_err().code,
        Code::Sandbox
    );
}

#[test]
fn a_state_folder_of_another_user_is_refused() {
    crate::testing::as_nobody_after(
        "staging::tests::a_state_folder_of_another_user_is_refused",
        |work| std::fs::create_dir(work.join("state")).unwrap(),
        |work| {
            // As root this folder is root's, and this runs as somebody else.
            if std::fs::metadata(work.join("state")).unwrap().uid() == 0 {
                let error = Staging::new(&work.join("state")).unwrap_err();
                assert_eq!(error.code, Code::AccessDenied, "{error}");
                assert!(error.message.contains("belongs to user 0"), "{error}");
            }
        },
    );
}

#[test]
fn what_does_not_fit_is_not_begun() {
    let space = |free| {
        Some(Space {
            free,
            all: 1000,
            no_files: false,
        })
    };
    room(space(100), 100, "it", "state_dir").unwrap();
    room(None, u64::MAX, "it", "state_dir").unwrap();
    let error = room(space(99), 100, "it", "state_dir").unwrap_err();
    assert_eq!(error.code, Code::NoSpace);
    assert!(error.message.contains("disk of state_dir"), "{error}");
}
