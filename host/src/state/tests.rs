//! The state file through crashes, later versions and broken disks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

fn config(more: &str) -> (tempfile::TempDir, Config) {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("cofre.toml");
    fs::write(&file, format!("{more}\n[sources.static]\npath = 'static'\n")).unwrap();
    let config = Config::load(&file).unwrap();
    (temp, config)
}

fn some_state() -> ScheduleState {
    let at = "2026-03-01T02:00:00Z".parse().unwrap();
    ScheduleState {
        last_tick: Some(at),
        plans: [("daily".to_owned(), PlanState::new(at))].into(),
        verify: Some(CheckState::new(at)),
        ..ScheduleState::default()
    }
}

fn files(config: &Config) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(&config.state_dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read_again_and_private() {
    let (_temp, config) = config("");
    assert_eq!(read(&config).unwrap(), None);
    assert!(!config.state_dir.exists(), "reading makes nothing");
    save(&config, &some_state()).unwrap();
    assert_eq!(read(&config).unwrap(), Some(some_state()));
    assert_eq!(load(&config).unwrap(), Some(some_state()));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&config.state_dir), 0o700);
    assert_eq!(mode(&config.state_dir.join(SCHEDULE_FILE)), 0o600);
    assert_eq!(files(&config), [SCHEDULE_FILE]);
    let text = fs::read_to_string(config.state_dir.join(SCHEDULE_FILE)).unwrap();
    assert!(text.contains(r#""last_tick": "2026-03-01T02:00:00Z""#), "{text}");
}

#[test]
fn the_group_may_read_it_and_nothing_else() {
    let group = rustix::process::getegid().as_raw();
    let (_temp, config) = config(&format!("group = '{group}'"));
    save(&config, &some_state()).unwrap();
    let folder = fs::metadata(&config.state_dir).unwrap();
    let file = fs::metadata(config.state_dir.join(SCHEDULE_FILE)).unwrap();
    assert_eq!((folder.mode() & 0o777, folder.gid()), (0o750, group));
    assert_eq!((file.mode() & 0o777, file.gid()), (0o640, group));
}

#[test]
fn a_group_that_does_not_exist_does_not_cost_the_state() {
    let (_temp, config) = config("group = 'no-such-group-here'");
    save(&config, &some_state()).unwrap();
    assert_eq!(read(&config).unwrap(), Some(some_state()));
}

#[test]
fn unknown_fields_survive_a_rewrite() {
    let (_temp, config) = config("");
    let text = r#"{"format":1,"later":{"a":[1]},"plans":{"daily":{"created":"2026-03-01T02:00:00Z","colour":"red"}},
        "verify":{"created":"2026-03-01T02:00:00Z","x":null}}"#;
    fs::create_dir(&config.state_dir).unwrap();
    fs::write(config.state_dir.join(SCHEDULE_FILE), text).unwrap();
    let mut state = load(&config).unwrap().unwrap();
    state.plans.get_mut("daily").unwrap().missed = 3;
    save(&config, &state).unwrap();
    let again: serde_json::Value =
        serde_json::from_slice(&fs::read(config.state_dir.join(SCHEDULE_FILE)).unwrap()).unwrap();
    assert_eq!(again["later"], serde_json::json!({"a": [1]}));
    assert_eq!(again["plans"]["daily"]["colour"], "red");
    assert_eq!(again["plans"]["daily"]["missed"], 3);
    assert_eq!(
        again["verify"].as_object().unwrap().get("x"),
        Some(&serde_json::Value::Null)
    );
}

#[test]
fn a_broken_file_is_kept_aside_and_never_overwritten() {
    for text in [
        "",
        "{",
        "[]",
        r#"{"format":2,"plans":{}}"#,
        r#"{"format":1,"last_tick":"yesterday"}"#,
        r#"{"format":1,"plans":{"daily":{"missed":-1}}}"#,
        "\0\0\0\0",
    ] {
        let (_temp, config) = config("");
        fs::create_dir(&config.state_dir).unwrap();
        let file = config.state_dir.join(SCHEDULE_FILE);
        for round in 1..3 {
            fs::write(&file, text).unwrap();
            assert!(read(&config).is_err() && file.exists(), "{text}");
            assert_eq!(load(&config).unwrap(), None, "{text}");
            assert!(!file.exists());
            let names = files(&config);
            assert_eq!(names.len(), round, "{names:?}");
            for name in names {
                assert!(name.starts_with("schedule.json.broken-2"), "{name}");
                assert_eq!(fs::read_to_string(config.state_dir.join(name)).unwrap(), text);
            }
        }
    }
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let (temp, config) = config("");
    fs::create_dir(&config.state_dir).unwrap();
    let victim = temp.path().join("victim");
    fs::write(&victim, serde_json::to_string(&some_state()).unwrap()).unwrap();
    symlink(&victim, config.state_dir.join(SCHEDULE_FILE)).unwrap();
    assert!(read(&config).is_err());
    assert_eq!(load(&config).unwrap(), None);
    save(&config, &ScheduleState::default()).unwrap();
    assert!(fs::read_to_string(&victim).unwrap().contains("daily"));
}

#[test]
fn a_state_folder_that_others_can_write_to_is_refused() {
    let (_temp, config) = config("");
    fs::create_dir(&config.state_dir).unwrap();
    fs::set_permissions(&config.state_dir, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(load(&config).unwrap_err().code, Code::AccessDenied);
    assert_eq!(save(&config, &some_state()).unwrap_err().code, Code::AccessDenied);
}
