//! The guided restore of one database: out of an archive into an empty one, or with `force` into one whose content it
//! replaces. What is there is looked at first, the archive's SQL is loaded as in a drill, and what was loaded is
//! counted before it takes the place of anything.

mod server;
mod sqlite;
mod target;

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::Mode;

use crate::config::{DatabaseEngine, Drill};
use crate::context::Context;
use crate::engine::Control;
use crate::engine::wit::types::{Backup, DatabaseInfo};
use crate::error::{Code, Error, Result};
use crate::load::{DumpFolder, Loaded, Shown, Stop};
use crate::sealed::{self, Opened};
use crate::staging::Staging;
use crate::{fsutil, restore, text, verify};

pub use target::{parse_target, shown_target};

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseRestore {
    /// Id, name or `latest`.
    pub selector: String,
    /// The database's name in the configuration that the backup was made with.
    pub database: String,
    /// Where to.
    pub into: DatabaseEngine,
    /// Replace what is there.
    pub force: bool,
    /// Load as a role that may do anything on the server, although the SQL comes out of an archive.
    pub trust_archive: bool,
}

/// A table that was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Its name.
    pub table: String,
    /// Its rows, on a server about.
    pub rows: u64,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq)]
pub struct DatabaseRestored {
    /// The backup.
    pub backup: Backup,
    /// The database's engine.
    pub engine: String,
    /// Tables that are there now.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// What was there before.
    pub replaced: Vec<Replaced>,
    /// What somebody should know.
    pub notes: Vec<String>,
}

/// Restores a database.
///
/// # Errors
/// `NotFound` for a database that is not in the backup, `AlreadyExists` for a target with something in it, `Usage`
/// for one of another engine, `VerifyFailed` and `Corrupt` when the archive is not what it should be, and whatever
/// stopped it. What was in the target is there as before, except where the error says otherwise (MySQL).
pub fn restore(
    context: &Context,
    options: &DatabaseRestore,
    control: &mut Control,
) -> Result<DatabaseRestored> {
    let backup = context.reader()?.find(options.selector.clone())?;
    verify::needs_archive(&backup)?;
    one(context, &backup, options, control).map_err(|error| sealed::or_beside(context, &backup, error))
}

fn one(
    context: &Context,
    backup: &Backup,
    options: &DatabaseRestore,
    control: &mut Control,
) -> Result<DatabaseRestored> {
    let opened = sealed::open(context, &[backup], &control.cancel)?;
    let inside = opened.as_ref().map_or(context, Opened::context);
    let info = find(inside, backup, options)?;
    let staging = Staging::new(&context.config.state_dir)?;
    let timeout = context
        .config
        .drill
        .as_ref()
        .map_or(Drill::TIMEOUT, |plan| plan.timeout);
    let work = Work {
        options,
        staging: &staging,
        stop: Stop::new(&Arc::clone(&control.cancel), timeout),
        cancel: &Arc::clone(&control.cancel),
        tools: context.config.tools_of(&options.database),
    };
    let restored = match &options.into {
        DatabaseEngine::Sqlite(path) => {
            let target = sqlite::Target::look(path, &work)?;
            let folder = extract(inside, backup, &info, &staging, control)?;
            let dump = DumpFolder::open(folder.as_fd(), &info).map_err(|problem| problem.error)?;
            target.restore(&dump, &work)?
        }
        DatabaseEngine::Postgres(url) | DatabaseEngine::Mysql(url) => {
            let target = server::Target::look(url, &work)?;
            let folder = extract(inside, backup, &info, &staging, control)?;
            let dump = DumpFolder::open(folder.as_fd(), &info).map_err(|problem| problem.error)?;
            target.restore(&dump, &work)?
        }
    };
    restore::record(context, backup.id);
    let (loaded, replaced) = restored;
    tracing::info!(
        id = backup.id,
        name = %backup.name,
        database = %text::escape(&info.name),
        tables = loaded.tables,
        rows = loaded.rows,
        "database restored"
    );
    Ok(DatabaseRestored {
        backup: backup.clone(),
        engine: info.engine,
        tables: loaded.tables,
        rows: loaded.rows,
        replaced,
        notes: loaded.notes,
    })
}

/// What a target gets.
struct Work<'a> {
    options: &'a DatabaseRestore,
    staging: &'a Staging,
    stop: Stop,
    cancel: &'a Arc<std::sync::atomic::AtomicBool>,
    /// The folder of the client programs that the configuration names for this database.
    tools: Option<&'a Path>,
}

fn find(context: &Context, backup: &Backup, options: &DatabaseRestore) -> Result<DatabaseInfo> {
    let databases = context.reader()?.details(backup.id)?.databases;
    let names: Vec<String> = databases
        .iter()
        .map(|info| Shown(&info.name).to_string())
        .collect();
    let Some(info) = databases.into_iter().find(|info| info.name == options.database) else {
        let message = format!("{} has no database {}", backup.name, Shown(&options.database));
        let error = Error::new(Code::NotFound, message);
        return Err(if names.is_empty() {
            error.remedy("there is no database in it; `cofre show` lists what is")
        } else {
            error.remedy(format!("it has: {}", names.join(", ")))
        });
    };
    let wanted = target::engine_word(&options.into);
    if info.engine != wanted {
        return Err(Error::new(
            Code::Usage,
            format!(
                "database {} was dumped from {}, and can't be loaded into {wanted}",
                Shown(&info.name),
                Shown(&info.engine)
            ),
        )
        .remedy(format!("write --into {}", target::example(&info.engine))));
    }
    Ok(info)
}

/// Extracts the database's folder, and nothing else, into staging.
fn extract(
    context: &Context,
    backup: &Backup,
    info: &DatabaseInfo,
    staging: &Staging,
    control: &mut Control,
) -> Result<std::os::fd::OwnedFd> {
    staging.folder("restored")?;
    let only = vec![format!("{}/**", globset::escape(&info.folder))];
    restore::extract(
        context,
        backup.id,
        only,
        &|| staging.open_folder("restored"),
        control,
    )?;
    let folder = staging.open_folder("restored")?;
    fsutil::openat(&folder, ".", fsutil::dir_flags(), Mode::empty())
        .map_err(|e| fsutil::error("open what was restored", e))
}

/// Refuses what does not have the rows that the manifest says; `otherwise` is how the target is left then.
fn must_be_whole(loaded: Loaded, otherwise: &str) -> Result<Loaded> {
    match loaded.problems.first() {
        None => Ok(loaded),
        Some(problem) => Err(problem.error.clone().remedy(otherwise)),
    }
}

/// Refuses to replace what is there, unless that was asked for.
fn may_replace(there: &[Replaced], what: &str, options: &DatabaseRestore) -> Result<()> {
    /// So many tables are named.
    const NAMED: usize = 30;
    if there.is_empty() || options.force {
        return Ok(());
    }
    let mut named: Vec<String> = there
        .iter()
        .take(NAMED)
        .map(|old| format!("{} ({} rows)", Shown(&old.table), old.rows))
        .collect();
    if there.len() > NAMED {
        named.push(format!("and {} more", there.len() - NAMED));
    }
    Err(Error::new(
        Code::AlreadyExists,
        format!("{what} is not empty: it has {}", named.join(", ")),
    )
    .remedy("restore into an empty database, or replace all of it with --force"))
}
