//! The few keys of `cofre.toml` that the exporter needs: where things are, and which plans and remotes there
//! are.
//!
//! Everything else in the file is left alone and unchecked: `cofre config check` is the checker.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::small_file;

/// The keys that matter here, with the defaults that cofre documents.
#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default = "backups")]
    backup_dir: PathBuf,
    #[serde(default = "state")]
    state_dir: PathBuf,
    repository: Option<String>,
    #[serde(default)]
    schedules: Vec<Schedule>,
    #[serde(default)]
    remotes: Vec<Remote>,
    verify: Option<Check>,
    drill: Option<Check>,
}

#[derive(Debug, Deserialize)]
struct Schedule {
    name: String,
    at: Option<String>,
    #[serde(default = "yes")]
    enabled: bool,
}

#[derive(Debug, Deserialize)]
struct Remote {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Check {
    at: Option<String>,
}

fn backups() -> PathBuf {
    "backups".into()
}

fn state() -> PathBuf {
    ".cofre".into()
}

fn yes() -> bool {
    true
}

/// A plan as the configuration has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConfiguredPlan {
    pub(crate) name: String,
    pub(crate) enabled: bool,
    /// Longest time between two runs in seconds; 0 for what only the scheduler can work out (`cron`).
    pub(crate) interval: f64,
}

/// What a configuration says of the repository's schedules and remotes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Configured {
    pub(crate) plans: Vec<ConfiguredPlan>,
    /// Names of the places for copies.
    pub(crate) remotes: Vec<String>,
    pub(crate) verify_interval: Option<f64>,
    pub(crate) drill_interval: Option<f64>,
    /// When the file last changed, Unix time in seconds; 0 where that isn't known.
    pub(crate) changed: f64,
}

/// Where a configuration says that things are. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) backup_dir: PathBuf,
    pub(crate) state_dir: PathBuf,
    pub(crate) alias: String,
}

impl Configured {
    /// Reads the file's schedules and remotes.
    ///
    /// # Errors
    /// What is wrong, in words; no line of the file, which may hold secrets.
    pub(crate) fn read(file: &Path) -> std::result::Result<Self, String> {
        let changed = small_file::changed(file);
        let read = Self::parse(&small_file::read(file).map_err(|e| e.to_string())?)?;
        Ok(Self { changed, ..read })
    }

    pub(crate) fn parse(text: &str) -> std::result::Result<Self, String> {
        parse(text).map(|document| Self::of(&document))
    }

    fn of(document: &Document) -> Self {
        let at = |check: &Option<Check>| check.as_ref()?.at.as_deref().and_then(interval);
        let plan = |s: &Schedule| ConfiguredPlan {
            name: s.name.clone(),
            enabled: s.enabled,
            interval: s.at.as_deref().and_then(interval).unwrap_or(0.0),
        };
        Self {
            plans: document.schedules.iter().map(plan).collect(),
            remotes: document.remotes.iter().map(|r| r.name.clone()).collect(),
            verify_interval: at(&document.verify),
            drill_interval: at(&document.drill),
            changed: 0.0,
        }
    }
}

impl Places {
    /// Reads where the file's repository is.
    ///
    /// # Errors
    /// `Usage`, naming the file.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let wrong = |message: String| Error::Usage {
            option: "--config",
            message: format!(
                "{}: {message}; `cofre config check` tells more",
                file.display().to_string().escape_debug()
            ),
        };
        let absolute = std::path::absolute(file).map_err(|e| wrong(e.to_string()))?;
        let text = small_file::read(&absolute).map_err(|e| wrong(e.to_string()))?;
        let document = parse(&text).map_err(wrong)?;
        let dir = absolute.parent().unwrap_or(Path::new("/"));
        let folder = dir.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Self {
            backup_dir: normal(&dir.join(&document.backup_dir)),
            state_dir: normal(&dir.join(&document.state_dir)),
            alias: document
                .repository
                .or(folder)
                .unwrap_or_else(|| "root".to_owned()),
        })
    }
}

fn parse(text: &str) -> std::result::Result<Document, String> {
    toml::from_str(text).map_err(|e| {
        // Not its whole text: that quotes the line, and the line may be a password.
        let line = e
            .span()
            .map(|span| 1 + text[..span.start.min(text.len())].matches('\n').count());
        match line {
            Some(line) => format!("line {line}: {}", e.message()),
            None => e.message().to_owned(),
        }
    })
}

/// Without `.` and `..`, as cofre itself reads it: links are not resolved.
fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            other => clean.push(other),
        }
    }
    clean
}

/// Longest time in seconds between two runs at `02:00` (a day), `sunday 03:00` (a week) or
/// `monday,thursday 22:30` (four days).
fn interval(at: &str) -> Option<f64> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let days = at.trim().rsplit_once(' ').map_or("", |(days, _)| days);
    let mut numbers = Vec::new();
    for word in days.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let lower = word.to_lowercase();
        numbers.push(DAYS.iter().position(|day| lower.starts_with(day))?);
    }
    numbers.sort_unstable();
    let Some(first) = numbers.first().copied() else {
        return Some(86_400.0);
    };
    let next = numbers.iter().copied().skip(1).chain([first + 7]);
    let longest = numbers.iter().zip(next).map(|(day, next)| next - day).max()?;
    u32::try_from(longest).ok().map(|days| f64::from(days) * 86_400.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn places_are_relative_to_the_file_and_have_cofres_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let app = dir.path().join("app");
        std::fs::create_dir(&app).unwrap();
        let file = app.join("cofre.toml");
        std::fs::write(&file, "max_backups = 3\n[sources.static]\npath = \"static\"\n").unwrap();
        let places = Places::read(&file).unwrap();
        assert_eq!(places.backup_dir, app.join("backups"));
        assert_eq!(places.state_dir, app.join(".cofre"));
        assert_eq!(places.alias, "app");
        let text = "backup_dir = \"../b/./x\"\nstate_dir = \"/var/lib/cofre\"\nrepository = \"r\"\n";
        std::fs::write(&file, text).unwrap();
        let places = Places::read(&file).unwrap();
        assert_eq!(places.backup_dir, dir.path().join("b/x"));
        assert_eq!(places.state_dir, Path::new("/var/lib/cofre"));
        assert_eq!(places.alias, "r");
    }

    #[test]
    fn an_error_names_file_and_line_and_never_shows_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cofre.toml");
        std::fs::write(&file, "backup_dir = \"b\"\nurl = \"postgres://u:hunter2@h\n").unwrap();
        let said = Places::read(&file).unwrap_err().to_string();
        assert!(said.contains("cofre.toml") && said.contains("line 2"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        std::fs::write(&file, "backup_dir = 3\n").unwrap();
        let said = Places::read(&file).unwrap_err().to_string();
        assert!(said.contains("line 1"), "{said}");
        let missing = dir.path().join("missing.toml");
        assert!(
            Places::read(&missing)
                .unwrap_err()
                .to_string()
                .contains("missing.toml")
        );
    }

    #[test]
    fn the_interval_of_a_time_of_day_is_the_longest_gap() {
        for (at, days) in [
            ("02:00", Some(1.0)),
            (" 02:00 ", Some(1.0)),
            ("sunday 03:00", Some(7.0)),
            ("Mon,thursday 22:30", Some(4.0)),
            ("thu, mon 22:30", Some(4.0)),
            ("sat,sun 01:00", Some(6.0)),
            ("sun,sun 01:00", Some(7.0)),
            ("someday 01:00", None),
        ] {
            assert_eq!(interval(at), days.map(|d| d * 86_400.0), "{at}");
        }
    }
}
