//! Dumping databases into staging: one SQL file a table, `schema.sql` for what is not a table's own, and
//! `restore.sql` that loads all of it.
//!
//! Each engine has its own module; what they share stands beside them: the rule for file names, which tables have
//! their rows dumped, the address of a server and its client programs. Nothing here loads a dump: SQL that comes out
//! of an archive is untrusted and the drill's business.

pub mod file_name;
pub(crate) mod mysql;
mod postgres;
pub mod server;
pub mod sqlite;
pub mod tables;
pub(crate) mod tool;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cofre_exporter::component::types::DatabaseInfo;

use crate::config::DatabaseEngine;
use crate::error::{Code, Error, Result};
use crate::fsutil::{self, show};
use crate::text;
use server::Server;
use tables::TableFilter;
use tool::Tool;

/// What to dump and where to.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The name in the configuration.
    pub name: &'a str,
    /// The folder in the archive: `database`, or `database/NAME` where there are several.
    pub folder: &'a str,
    /// The folder on disk, empty, in staging. While the dump is made it also holds a snapshot of the database.
    pub out: &'a Path,
    /// A folder on disk that only this user can read, for what a dump needs and the archive does not get. It lies in
    /// staging, so that a crash leaves nothing for long.
    pub private: &'a Path,
    /// Which tables have their rows dumped.
    pub tables: &'a TableFilter,
    /// The folder of the client programs; none looks in the usual places.
    pub tools: Option<&'a Path>,
    /// Longest time without progress.
    pub stall: Duration,
    /// Set from outside to stop.
    pub cancel: &'a Arc<AtomicBool>,
}

/// Dumps a database of whatever engine.
///
/// # Errors
/// `Config` for an address that can't be used, `SourceMissing` for a database without tables, `NoSpace`, `Cancelled`,
/// and `DumpFailed` with the database's name and what its server or client program says. No message holds a password.
pub fn database(engine: &DatabaseEngine, request: &Request<'_>) -> Result<DatabaseInfo> {
    match engine {
        DatabaseEngine::Sqlite(path) => sqlite::dump(path, request),
        DatabaseEngine::Postgres(url) => postgres::dump(&Server::parse(url)?, request),
        DatabaseEngine::Mysql(url) => mysql::dump(&Server::parse(url)?, request),
    }
}

/// The program that dumps databases of an engine, whatever the server's version; `None` for SQLite, which is built in.
///
/// # Errors
/// `DumpFailed` when it is missing, with the package to install.
pub(crate) fn program(engine: &DatabaseEngine, tools: Option<&Path>) -> Result<Option<Tool>> {
    match engine {
        DatabaseEngine::Sqlite(_) => Ok(None),
        DatabaseEngine::Postgres(_) => Tool::postgres("pg_dump", None, tools).map(Some),
        DatabaseEngine::Mysql(_) => mysql::program(tools).map(Some),
    }
}

/// Logs in to a server and looks whether a dump has the programs that it needs; what was found, in words. `None` for
/// an engine that is not asked.
///
/// # Errors
/// As [`database`].
pub(crate) fn examine(engine: &DatabaseEngine, request: &Request<'_>) -> Result<Option<String>> {
    match engine {
        DatabaseEngine::Postgres(url) => postgres::examine(&Server::parse(url)?, request).map(Some),
        DatabaseEngine::Mysql(url) => mysql::examine(&Server::parse(url)?, request).map(Some),
        DatabaseEngine::Sqlite(_) => Ok(None),
    }
}

impl Request<'_> {
    /// # Errors
    /// `Cancelled` once the flag is set.
    fn check_cancelled(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(Error::new(
                Code::Cancelled,
                format!(
                    "the dump of database {} was cancelled",
                    crate::fsutil::show(self.name)
                ),
            ));
        }
        Ok(())
    }

    /// Checks the room for tables of so many bytes. A dump needs about as much, less for their free space and more
    /// for what they compress; less than half is too little for any.
    ///
    /// # Errors
    /// `NoSpace`.
    fn check_space(&self, needed: u64) -> Result<()> {
        let Some(free) = fsutil::space(self.out)?.map(|space| space.free) else {
            return Ok(());
        };
        if free < needed / 2 {
            return Err(Error::new(
                Code::NoSpace,
                format!(
                    "database {}: its tables have {}, and the staging folder {} has only {} left",
                    show(self.name),
                    text::size(needed),
                    show(self.out),
                    text::size(free)
                ),
            )
            .remedy("make room there, set another state_dir, or leave rows out with `exclude_tables`"));
        }
        if free < needed {
            tracing::warn!(
                "database {}: its tables have {}, the staging folder has {} left: the dump may not fit",
                show(self.name),
                text::size(needed),
                text::size(free)
            );
        }
        Ok(())
    }

    /// How long a client program may go on.
    fn watch(&self) -> tool::Watch<'_> {
        tool::Watch {
            cancel: self.cancel,
            stall: self.stall,
        }
    }

    /// A table's file as the manifest names it: relative to `database/`.
    fn manifest_path(&self, file: &str) -> String {
        match self.folder.split_once('/') {
            Some((_, below)) => format!("{below}/{file}"),
            None => file.to_owned(),
        }
    }
}
