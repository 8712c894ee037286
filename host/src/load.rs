//! Loading what an archive holds of a database into one that is empty, for a drill and for a guided restore.
//!
//! The SQL comes out of an archive and is untrusted. Nothing here runs an archive's `restore.sql`: cofre knows from
//! the manifest which files there have to be, loads them one by one in its own order, and each engine's module says
//! what it does so that a statement can't reach beyond the database that is loaded.

mod client;
pub mod folder;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub mod problem;
pub mod sqlite;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use folder::DumpFolder;
pub use problem::{Problem, Reason};

/// What came of a database that could be loaded to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Tables that are there now.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// What is not as the manifest says.
    pub problems: Vec<Problem>,
    /// What somebody should know, and what is no fault of the backup.
    pub notes: Vec<String>,
}

/// Something that is in a database before it is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Existing {
    /// Its name, with its kind unless it is a table.
    pub(crate) name: String,
    /// Its rows, about.
    pub(crate) rows: u64,
}

/// When to stop.
#[derive(Debug, Clone)]
pub struct Stop {
    cancel: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Stops when `cancel` is set, or after `longest`.
    #[must_use]
    pub fn new(cancel: &Arc<AtomicBool>, longest: Duration) -> Self {
        Self {
            cancel: Arc::clone(cancel),
            // A time beyond what a clock can hold is no limit.
            deadline: Instant::now().checked_add(longest),
        }
    }

    /// Whether it is to stop now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_cancelled() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether that is on request.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// The flag, for programs that are watched.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.cancel
    }

    /// The time that is left.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.deadline.map_or(Duration::MAX, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
    }
}

/// Compares the tables that are there with those of the manifest, and their rows. `found` gives the rows of a table,
/// or none where it is not there.
pub(crate) fn compare(
    folder: &DumpFolder<'_>,
    extra: &[String],
    mut found: impl FnMut(&str) -> std::result::Result<Option<u64>, Problem>,
) -> std::result::Result<Loaded, Problem> {
    let mut loaded = Loaded::default();
    for table in folder.tables() {
        match found(&table.name)? {
            None => loaded.problems.push(folder.problem(
                Reason::TablesDiffer,
                format_args!("table {} is not there after loading", Shown(&table.name)),
            )),
            Some(rows) => {
                loaded.tables += 1;
                loaded.rows += rows;
                if rows != table.rows {
                    loaded.problems.push(folder.problem(
                        Reason::RowsDiffer,
                        format_args!(
                            "table {} has {rows} rows after loading, and had {} when it was dumped",
                            Shown(&table.name),
                            table.rows
                        ),
                    ));
                }
            }
        }
    }
    for name in extra {
        loaded.problems.push(folder.problem(
            Reason::TablesDiffer,
            format_args!(
                "table {} is there after loading, and not in the manifest",
                Shown(name)
            ),
        ));
    }
    Ok(loaded)
}

/// A name out of an archive in a message: escaped, and not endless.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const LONGEST: usize = 200;
        let escaped = crate::text::escape(self.0);
        match escaped.char_indices().nth(LONGEST) {
            Some((end, _)) => write!(f, "{}…", escaped.get(..end).unwrap_or_default()),
            None => f.write_str(&escaped),
        }
    }
}

/// What the names of scratch databases begin with. The server's time in seconds and 128 random bits follow.
pub(crate) const SCRATCH: &str = "cofre_drill_";

/// A scratch database that nobody is connected to and that is older than this was left by a drill that died, in
/// seconds.
const LEFT_OVER: u64 = 600;

/// A new name for a scratch database; `now` is the server's time in seconds.
///
/// # Errors
/// When the system has no random numbers.
fn scratch_name(now: &str) -> crate::error::Result<String> {
    Ok(format!("{SCRATCH}{now}_{}", random()?))
}

/// Whether a name is that of a scratch database that a drill must have left; `now` is the server's time in seconds.
fn left_over(name: &str, now: &str) -> bool {
    let parts = name.strip_prefix(SCRATCH).and_then(|rest| rest.split_once('_'));
    let Some((made, random)) = parts else { return false };
    let is_ours = random.len() == 32 && random.bytes().all(|b| b.is_ascii_hexdigit());
    match (made.parse::<u64>(), now.parse::<u64>()) {
        (Ok(made), Ok(now)) => is_ours && now.saturating_sub(made) > LEFT_OVER,
        _ => false,
    }
}

/// 128 bits nobody can guess, in hexadecimal.
///
/// # Errors
/// When the system has none.
fn random() -> crate::error::Result<String> {
    let mut bytes = [0_u8; 16];
    crate::fsutil::fill_random(&mut bytes)?;
    Ok(crate::text::hex(&bytes))
}

/// An error of a server that cofre asked, when a drill can't be held.
fn not_held(error: crate::error::Error, key: &str) -> Problem {
    use crate::error::{Code, Error};
    if error.code == Code::Cancelled {
        return error.into();
    }
    let message = format!(
        "the drill could not be held, which says nothing about the backup: {}",
        error.message
    );
    let remedy = error
        .remedy
        .unwrap_or_else(|| format!("look at the server and at [drill] {key}"));
    Error::new(error.code, message).remedy(remedy).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_scratch_databases_are_left_over() {
        let name = |made: u64| format!("cofre_drill_{made}_{}", "0f".repeat(16));
        assert!(left_over(&name(1000), "1601"));
        for (name, now) in [
            (name(1000), "1600"),
            (name(2000), "1000"),
            ("cofre_drill_1000_".to_owned(), "9999"),
            ("cofre_drill_1000_0f0f".to_owned(), "9999"),
            ("app".to_owned(), "9999"),
            (format!("x{}", name(1000)), "9999"),
        ] {
            assert!(!left_over(&name, now), "{name} {now}");
        }
    }
}
