//! One drill: proof that a backup can be restored, by restoring it. Everything is extracted into a private folder and
//! compared with the manifest, each database is loaded into a scratch database and counted, and all of it is removed
//! again; the result goes into the catalog, and the news of a failure to whom the configuration says.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use crate::api::types::{Drill, DrillProblem, DrilledDatabase};
use crate::config::Drill as Plan;
use crate::context::Context;
use crate::engine::Control;
use crate::engine::wit::engine::{Check, RestoreReport};
use crate::engine::wit::types::{Backup, DatabaseInfo};
use crate::error::{Code, Error, Result};
use crate::load::{self, DumpFolder, Loaded, Problem, Reason, Stop};
use crate::notify::{self, Event};
use crate::restore::{self, RestoreOptions};
use crate::restore_target::RestoreTarget;
use crate::sealed::{self, Opened};
use crate::staging::Staging;
use crate::text;
use crate::verify;

/// The result of a drill that proved the backup.
pub const PASSED: &str = "passed";
/// The result of one that found something wrong with the backup.
pub const FAILED: &str = "failed";
/// The result of one that could not be held to its end, and says nothing about the backup.
pub const NOT_DRILLED: &str = "not drilled";

/// Longest result in the catalog, in characters.
const RESULT_CHARS: usize = 500;

/// What a drill leaves free on its disk, in bytes.
const ROOM: u64 = 64 << 20;

/// What a drill came to, and whether the catalog knows.
#[derive(Debug, Clone, PartialEq)]
pub struct Drilled {
    /// What was done and found; the row in it is the one after the record.
    pub report: Drill,
    /// How the command ends: the code of the first problem, `VerifyFailed` for those of the backup.
    pub code: Option<Code>,
    /// Why the result is not in the catalog (another run holds it, it is read-only); the result stands.
    pub unrecorded: Option<Error>,
}

/// Holds a drill of one backup and records the result. What is wrong with the backup, and what keeps a database from
/// being loaded, is a result and not an error; only what is wrong with the backup is recorded.
///
/// # Errors
/// `NotFound` for a run without an archive and for a backup that was deleted meanwhile; `Encrypted` where there is no
/// identity to open it; `NoSpace`, `Cancelled` and whatever else kept the archive from being looked at. Except for the
/// first two and a cancelled one these are told like a failed drill.
pub fn drill(context: &Context, backup: Backup, control: &mut Control) -> Result<Drilled> {
    verify::needs_archive(&backup)?;
    if backup.encrypted && !sealed::can_open(&context.config) {
        return Err(sealed::needs_identity(&backup.name));
    }
    let began = Instant::now();
    let mut found = match look(context, &backup, control) {
        Ok(found) => found,
        Err(error) => {
            if error.code != Code::Cancelled {
                notify::check_failed(context, Event::DrillFailed, &backup, &[error.to_string()]);
            }
            return Err(error);
        }
    };
    // What is wrong with the backup comes first: its first reason is the result.
    found
        .problems
        .sort_by_key(|problem| !problem.reason.is_about_backup());
    let first = found.problems.first();
    let status = match first {
        None => PASSED,
        Some(problem) if problem.reason.is_about_backup() => FAILED,
        Some(_) => NOT_DRILLED,
    };
    if status == FAILED {
        if let Some(now) = sealed::sealed_meanwhile(context, &backup) {
            return drill(context, now, control);
        }
        verify::needs_row(context, &backup)?;
    }
    let code = first.map(|problem| match status {
        FAILED => Code::VerifyFailed,
        _ => problem.error.code,
    });
    let result = first.map_or_else(|| PASSED.to_owned(), result_of);
    let row = (status != NOT_DRILLED).then(|| verify::record(context, backup.id, Check::Drill, &result));
    let (row, unrecorded) = match row {
        Some(Ok(row)) => (row, None),
        Some(Err(error)) => (backup.clone(), Some(error)),
        None => (backup.clone(), None),
    };
    let report = found.report(status, row, began);
    if status != PASSED {
        let problems: Vec<_> = report.problems.iter().map(|p| p.message.clone()).collect();
        notify::check_failed(context, Event::DrillFailed, &backup, &problems);
    }
    log(&report);
    Ok(Drilled {
        report,
        code,
        unrecorded,
    })
}

/// The reason and the sentence, as the catalog keeps them.
fn result_of(problem: &Problem) -> String {
    let whole = format!(
        "{}: {}",
        problem.reason.name(),
        text::escape(&problem.error.message)
    );
    match whole.char_indices().nth(RESULT_CHARS - 1) {
        Some((end, _)) => format!("{}…", whole.get(..end).unwrap_or_default()),
        None => whole,
    }
}

fn log(report: &Drill) {
    let (id, name) = (report.backup.id, &report.backup.name);
    let rows: u64 = report.databases.iter().map(|database| database.rows).sum();
    let tables: u64 = report.databases.iter().map(|database| database.tables).sum();
    let (files, seconds) = (report.files, report.duration_seconds);
    for note in &report.notes {
        tracing::warn!(id, name, "drill: {}", text::escape(note));
    }
    match report.problems.first() {
        None => tracing::info!(id, name, files, tables, rows, seconds, "the drill passed"),
        Some(first) => tracing::error!(
            id,
            name,
            files,
            tables,
            rows,
            seconds,
            reason = first.reason,
            "the drill ended `{}`: {}",
            report.status,
            text::escape(&first.message)
        ),
    }
}

/// What was done and found.
#[derive(Debug, Default)]
struct Found {
    files: u64,
    bytes: u64,
    manifest: bool,
    databases: Vec<DrilledDatabase>,
    problems: Vec<Problem>,
    notes: Vec<String>,
}

impl Found {
    fn report(self, status: &'static str, backup: Backup, began: Instant) -> Drill {
        Drill {
            success: status == PASSED,
            backup: backup.into(),
            status,
            files: self.files,
            bytes: self.bytes,
            manifest: self.manifest,
            duration_seconds: began.elapsed().as_secs_f64(),
            databases: self.databases,
            problems: self
                .problems
                .into_iter()
                .map(|problem| DrillProblem {
                    reason: problem.reason.name(),
                    message: problem.to_string(),
                })
                .collect(),
            notes: self.notes,
        }
    }
}

fn look(context: &Context, backup: &Backup, control: &mut Control) -> Result<Found> {
    let mut found = Found::default();
    match extract_and_load(context, backup, control, &mut found) {
        Ok(()) => Ok(found),
        Err(error) if verify::is_about_archive(error.code) => {
            let reason = match error.code {
                Code::NotFound => Reason::ArchiveMissing,
                _ => Reason::ArchiveDamaged,
            };
            found.problems.push(Problem { reason, error });
            Ok(found)
        }
        Err(error) => Err(error),
    }
}

fn extract_and_load(
    context: &Context,
    backup: &Backup,
    control: &mut Control,
    found: &mut Found,
) -> Result<()> {
    let opened = sealed::open(context, &[backup], &control.cancel)?;
    let context = opened.as_ref().map_or(context, Opened::context);
    let staging = Staging::new(&context.config.state_dir)?;
    check_space(context, backup, &staging)?;
    let mut target = RestoreTarget::prepare(&staging.path().join("restored"))?;
    let report = extract(context, backup, &mut target, control)?;
    found.files = report.files;
    found.bytes = report.bytes;
    found.manifest = report.manifest;
    if !report.manifest {
        found.notes.push(
            "the archive has no manifest: only its files were restored, by the zip's own CRCs".to_owned(),
        );
        return Ok(());
    }
    let databases = context.reader()?.details(backup.id)?.databases;
    let restored = target.open()?;
    if let Err(problem) = load::folder::check_top(restored.as_fd(), &databases) {
        found.problems.push(problem);
    }
    for info in &databases {
        let began = Instant::now();
        let loaded = DumpFolder::open(restored.as_fd(), info)
            .and_then(|dump| load_one(context, &dump, &staging, control));
        found.take(info, loaded, began)?;
    }
    Ok(())
}

impl Found {
    /// Takes in what came of a database.
    fn take(
        &mut self,
        info: &DatabaseInfo,
        loaded: std::result::Result<Loaded, Problem>,
        began: Instant,
    ) -> Result<()> {
        let (status, loaded) = match loaded {
            Ok(loaded) if loaded.problems.is_empty() => ("loaded", loaded),
            Ok(loaded) => ("failed", loaded),
            Err(problem) if problem.error.code == Code::Cancelled => return Err(problem.error),
            Err(problem) => {
                let status = if problem.reason.is_about_backup() {
                    "failed"
                } else {
                    NOT_DRILLED
                };
                let problems = vec![problem];
                (
                    status,
                    Loaded {
                        problems,
                        ..Loaded::default()
                    },
                )
            }
        };
        self.databases.push(DrilledDatabase {
            name: info.name.clone(),
            engine: info.engine.clone(),
            status,
            tables: loaded.tables,
            rows: loaded.rows,
            duration_seconds: began.elapsed().as_secs_f64(),
        });
        self.problems.extend(loaded.problems);
        self.notes.extend(loaded.notes);
        Ok(())
    }
}

/// Extracts everything, and gives modes and times back as a restore does.
fn extract(
    context: &Context,
    backup: &Backup,
    target: &mut RestoreTarget,
    control: &mut Control,
) -> Result<RestoreReport> {
    let report = restore::extract(context, backup.id, Vec::new(), &|| target.open(), control)?;
    let options = RestoreOptions {
        selector: backup.id.to_string(),
        to: None,
        only: Vec::new(),
        absolute_links: false,
    };
    restore::give_back(context, &options, &report, target)?;
    Ok(report)
}

/// Refuses to begin what the disk can't hold: all files, and the databases a second time.
fn check_space(context: &Context, backup: &Backup, staging: &Staging) -> Result<()> {
    let mut need = ROOM;
    restore::each_entry(context, backup.id, |entry| {
        let twice = entry.path.starts_with("database/");
        need = need.saturating_add(entry.size.saturating_mul(if twice { 2 } else { 1 }));
    })?;
    let Some(free) = crate::fsutil::space(staging.path())?
        .map(|space| space.free)
        .filter(|free| need > *free)
    else {
        return Ok(());
    };
    Err(Error::new(
        Code::NoSpace,
        format!(
            "the drill of {} needs {}, and {} are free in {}",
            backup.name,
            text::size(need),
            text::size(free),
            text::shown(&context.config.state_dir)
        ),
    )
    .remedy("free space, or set state_dir to a larger disk"))
}

/// Loads one database into a scratch database, which is gone afterwards.
fn load_one(
    context: &Context,
    dump: &DumpFolder<'_>,
    staging: &Staging,
    control: &Control,
) -> std::result::Result<Loaded, Problem> {
    let plan = context.config.drill.as_ref();
    let stop = Stop::new(
        &Arc::clone(&control.cancel),
        plan.map_or(Plan::TIMEOUT, |plan| plan.timeout),
    );
    match dump.info().engine.as_str() {
        "sqlite" => {
            let folder = staging.folder("scratch")?;
            let loaded = load::sqlite::load(dump, &folder.join("scratch.db"), &stop);
            // Its space is needed for the next one.
            crate::fsutil::remove_tree(staging.open()?.as_fd(), std::ffi::OsStr::new("scratch"))?;
            loaded
        }
        engine @ ("postgres" | "mysql") => {
            let url = plan.and_then(|plan| match engine {
                "postgres" => plan.postgres.as_ref(),
                _ => plan.mysql.as_ref(),
            });
            let Some(url) = url else {
                return Err(not_configured(dump, engine));
            };
            let private = staging.folder("private")?;
            let tools = context.config.tools_of(&dump.info().name);
            match engine {
                "postgres" => load::postgres::drill(dump, url, &private, tools, &stop),
                _ => load::mysql::drill(dump, url, &private, tools, &stop),
            }
        }
        engine => Err(Problem::new(
            Reason::NotPossible,
            format!(
                "database {}: this version can't load databases of the engine {}",
                load::Shown(&dump.info().name),
                load::Shown(engine)
            ),
        )),
    }
}

/// Nobody said where such a database may be loaded: never taken for a drill that passed.
fn not_configured(dump: &DumpFolder<'_>, key: &str) -> Problem {
    Problem::new(
        Reason::NotConfigured,
        format!(
            "database {}: not drilled: configure [drill] {key}",
            load::Shown(&dump.info().name)
        ),
    )
    .remedy(format!(
        "name a server on which scratch databases may be made: `{key} = \"{key}://drill@host/postgres\"`"
    ))
}
