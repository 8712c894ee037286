//! The settings in `restore.sql`, read as values.
//!
//! The script is for people with the `sqlite3` command, and is never run here. It is compared line by line with what
//! cofre writes: anything else in it could harm whoever does run it.

use std::collections::BTreeSet;

use rusqlite::types::Value;

use crate::load::{DumpFolder, Problem, Reason, Shown};

/// What is set around the loading of the files.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Settings {
    /// Before anything is made.
    pub(super) before: Vec<(&'static str, Value)>,
    /// Within the transaction.
    pub(super) within: Vec<(&'static str, Value)>,
    /// Whether the original was in WAL mode.
    pub(super) wal: bool,
}

/// Lines that are the same in every script.
const FIXED: [&str; 5] = [
    ".bail on",
    "PRAGMA foreign_keys = OFF;",
    "PRAGMA ignore_check_constraints = ON;",
    "BEGIN IMMEDIATE;",
    "PRAGMA defer_foreign_keys = ON;",
];

impl Settings {
    /// Reads a script of cofre's.
    ///
    /// # Errors
    /// `HostileSql` for a line that cofre does not write, `FileTruncated` where the end is missing.
    pub(super) fn read(text: &str, dump: &DumpFolder<'_>) -> std::result::Result<Self, Problem> {
        let mut files = BTreeSet::from(["schema.sql"]);
        for table in dump.tables() {
            files.extend(dump.table_file(table)?);
        }
        let mut settings = Self::default();
        let mut committed = false;
        for line in text.lines() {
            let known = match line {
                "COMMIT;" => {
                    committed = true;
                    true
                }
                "PRAGMA journal_mode = WAL;" => {
                    settings.wal = true;
                    true
                }
                line => {
                    line.is_empty()
                        || line.starts_with("-- ")
                        || FIXED.contains(&line)
                        || is_read_of(line, &files)
                        || settings.take(line)
                }
            };
            if !known {
                return Err(dump.problem(
                    Reason::HostileSql,
                    format_args!(
                        "restore.sql has the line `{}`, which cofre did not write",
                        Shown(line)
                    ),
                ));
            }
        }
        if !committed {
            return Err(dump.problem(Reason::FileTruncated, "restore.sql has no COMMIT at its end"));
        }
        Ok(settings)
    }

    /// Takes `PRAGMA NAME = VALUE;` for the settings that belong to a database.
    fn take(&mut self, line: &str) -> bool {
        let setting = line
            .strip_prefix("PRAGMA ")
            .and_then(|rest| rest.strip_suffix(';'))
            .and_then(|rest| rest.split_once(" = "));
        let Some((name, value)) = setting else {
            return false;
        };
        let number = || value.parse::<i32>().ok().map(|n| Value::Integer(n.into()));
        match name {
            "encoding" if value == "'UTF-16le'" || value == "'UTF-16be'" => {
                let text = value.trim_matches('\'').to_owned();
                self.before.push(("encoding", Value::Text(text)));
            }
            "page_size" | "auto_vacuum" => {
                let Some(value) = number() else { return false };
                let name = if name == "page_size" {
                    "page_size"
                } else {
                    "auto_vacuum"
                };
                self.before.push((name, value));
            }
            "application_id" | "user_version" => {
                let Some(value) = number() else { return false };
                let name = if name == "user_version" {
                    "user_version"
                } else {
                    "application_id"
                };
                self.within.push((name, value));
            }
            _ => return false,
        }
        true
    }
}

/// `.read 'FILE'` with a file of this dump.
fn is_read_of(line: &str, files: &BTreeSet<&str>) -> bool {
    line.strip_prefix(".read '")
        .and_then(|rest| rest.strip_suffix('\''))
        .is_some_and(|file| files.contains(file))
}
