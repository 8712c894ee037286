//! What `doctor` says of folders with one thing wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{Finding, Level, examine};
use crate::error::Code;

/// A folder with a good source and this configuration besides.
fn folder(toml: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("static")).unwrap();
    fs::write(dir.path().join("static/a.css"), "a").unwrap();
    let text = format!("{toml}\n[sources.static]\npath = \"static\"\n");
    fs::write(dir.path().join("cofre.toml"), text).unwrap();
    fs::set_permissions(dir.path().join("cofre.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    dir
}

fn look(dir: &Path) -> Vec<Finding> {
    examine(&dir.join("cofre.toml"))
}

fn says(findings: &[Finding], level: Level, text: &str) {
    let found = findings
        .iter()
        .any(|f| f.level == level && f.message.contains(text));
    assert!(found, "no {level:?} with `{text}` in {findings:#?}");
}

fn problems(findings: &[Finding]) -> usize {
    findings
        .iter()
        .filter(|f| matches!(f.level, Level::Problem(_)))
        .count()
}

#[test]
fn a_good_folder_before_its_first_run_has_no_problem() {
    let dir = folder("");
    let findings = look(dir.path());
    assert_eq!(problems(&findings), 0, "{findings:#?}");
    says(&findings, Level::Warning, "there is no backup yet");
    assert!(!dir.path().join("backups").exists() && !dir.path().join(".cofre").exists());
}

#[test]
fn a_wrong_configuration_is_a_problem_with_its_key() {
    let dir = folder("max_backup = 3");
    says(
        &look(dir.path()),
        Level::Problem(Code::Config),
        "max_backup: unknown key",
    );
}

#[test]
fn a_missing_source_is_a_problem() {
    let dir = folder("[sources.media]\npath = 'media'");
    says(
        &look(dir.path()),
        Level::Problem(Code::SourceMissing),
        "sources.media.path",
    );
}

#[test]
fn a_configuration_that_others_can_change_is_a_problem_when_it_has_hooks() {
    let dir = folder("[hooks]\nbefore = ['true']");
    let file = dir.path().join("cofre.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    says(
        &look(dir.path()),
        Level::Problem(Code::AccessDenied),
        "can be changed by others",
    );
}

#[test]
fn a_backups_folder_that_is_a_file_is_a_problem() {
    let dir = folder("");
    fs::write(dir.path().join("backups"), "x").unwrap();
    says(&look(dir.path()), Level::Problem(Code::Config), "is not a folder");
}

#[test]
fn a_backups_folder_that_is_open_to_others_is_a_warning() {
    let dir = folder("");
    fs::create_dir(dir.path().join("backups")).unwrap();
    fs::set_permissions(dir.path().join("backups"), fs::Permissions::from_mode(0o755)).unwrap();
    says(&look(dir.path()), Level::Warning, "is open to others");
}

#[test]
fn a_broken_catalog_is_a_problem_that_names_rebuild() {
    let dir = folder("");
    fs::create_dir(dir.path().join("backups")).unwrap();
    fs::write(dir.path().join("backups/backup_history.json"), "[{").unwrap();
    let findings = look(dir.path());
    let catalog = findings
        .iter()
        .find(|f| f.level == Level::Problem(Code::CatalogInvalid))
        .expect("a finding");
    assert!(
        catalog.remedy.as_deref().unwrap_or_default().contains("rebuild"),
        "{catalog:?}"
    );
}

#[test]
fn an_api_without_an_administrator_is_a_problem() {
    let dir = folder("[api]");
    says(&look(dir.path()), Level::Problem(Code::Config), "403");
}

#[test]
fn a_hook_that_does_not_exist_is_a_problem() {
    let dir = folder("[hooks]\nafter = ['/nonexistent/program']");
    says(
        &look(dir.path()),
        Level::Problem(Code::Config),
        "/nonexistent/program",
    );
}

#[test]
fn a_drill_without_a_server_for_a_database_is_said() {
    let dir = folder("[databases.app]\nurl = 'postgres://u@h/d'\n[drill]\nat = '02:00'");
    says(&look(dir.path()), Level::Warning, "[drill] has no `postgres`");
    let dir = folder("[drill]\nat = '02:00'");
    says(&look(dir.path()), Level::Ok, "every database can be drilled");
}

const DAILY: &str = "[[schedules]]\nname = 'daily'\nat = '02:00'\n";

/// The same folder after a service that looked last so long ago.
fn served(toml: &str, ago: chrono::TimeDelta) -> tempfile::TempDir {
    let dir = folder(toml);
    let last = (chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()) - ago).to_rfc3339();
    let state = serde_json::json!({"format": 1, "last_tick": last, "plans": {"daily":
        {"created": "2026-01-01T00:00:00Z", "missed": 7, "last_missed": last}}});
    fs::create_dir(dir.path().join(".cofre")).unwrap();
    fs::write(dir.path().join(".cofre/schedule.json"), state.to_string()).unwrap();
    dir
}

#[test]
fn the_next_run_of_each_plan_is_told() {
    let dir = folder(&format!("{DAILY}enabled = false\n"));
    let findings = look(dir.path());
    says(&findings, Level::Ok, "daily is disabled");
    assert!(
        !findings
            .iter()
            .any(|f| f.message.contains("looked after the schedule")),
        "no service was used: {findings:#?}"
    );
    let findings = look(folder(DAILY).path());
    says(&findings, Level::Ok, "daily runs next at 2");
}

#[test]
fn a_service_that_went_away_is_a_warning() {
    let dir = served(DAILY, chrono::TimeDelta::minutes(6));
    let findings = look(dir.path());
    says(&findings, Level::Warning, "has looked after the schedule since 2");
    says(&findings, Level::Warning, "daily has missed 7 runs");
    let findings = look(served(DAILY, chrono::TimeDelta::seconds(90)).path());
    assert!(
        !findings
            .iter()
            .any(|f| f.message.contains("looked after the schedule")),
        "{findings:#?}"
    );
    let findings = look(served(DAILY, chrono::TimeDelta::days(8)).path());
    assert!(
        !findings.iter().any(|f| f.message.contains("has missed")),
        "{findings:#?}"
    );
}

#[test]
fn a_broken_state_of_the_schedule_is_a_warning_and_stays() {
    let dir = served(DAILY, chrono::TimeDelta::zero());
    fs::write(dir.path().join(".cofre/schedule.json"), "{").unwrap();
    says(&look(dir.path()), Level::Warning, "is lost");
    assert_eq!(
        fs::read_to_string(dir.path().join(".cofre/schedule.json")).unwrap(),
        "{"
    );
}
