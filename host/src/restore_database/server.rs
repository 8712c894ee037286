//! Restoring into a database of a server. PostgreSQL does it in one transaction, so that a failure leaves what was
//! there; MySQL and MariaDB have no transactions for definitions, which the error says.

use super::{Replaced, Work, may_replace, must_be_whole};
use crate::config::Secret;
use crate::dump::server::{Kind, Server};
use crate::error::{Code, Error, Result};
use crate::load::{DumpFolder, Loaded, mysql, postgres};

/// A database that was looked at.
pub(super) struct Target {
    engine: Engine,
    replaced: Vec<Replaced>,
}

enum Engine {
    Postgres(postgres::Target),
    Mysql(mysql::Target),
}

impl Target {
    /// Looks who would load what, and where.
    ///
    /// # Errors
    /// `Refused` for a role that may do anything, unless the archive is trusted; `AlreadyExists` for a database with
    /// something in it, unless forced.
    pub(super) fn look(url: &Secret, work: &Work<'_>) -> Result<Self> {
        let server = Server::parse(url)?;
        let private = work.staging.folder("private")?;
        let (tools, stop) = (work.tools, &work.stop);
        let engine = match server.kind {
            Kind::Postgres => Engine::Postgres(postgres::Target::open(&server, &private, tools, stop)?),
            Kind::Mysql => Engine::Mysql(mysql::Target::open(&server, &private, tools, stop)?),
        };
        let strong = match &engine {
            Engine::Postgres(target) => target.strong_rights(stop)?,
            Engine::Mysql(target) => target.strong_rights(stop)?,
        };
        if let Some(what) = strong
            && !work.options.trust_archive
        {
            return Err(Error::new(
                Code::Refused,
                format!("database {server}: this role {what}, and whatever SQL is in the archive would run with that power"),
            )
            .remedy(
                "restore as the database's owner, or, if you know that the archive is what cofre wrote, with \
                 --trust-archive",
            ));
        }
        let existing = match &engine {
            Engine::Postgres(target) => target.existing(stop)?,
            Engine::Mysql(target) => target.existing(stop)?,
        };
        let replaced: Vec<Replaced> = existing
            .into_iter()
            .map(|old| Replaced {
                table: old.name,
                rows: old.rows,
            })
            .collect();
        may_replace(&replaced, &format!("the database {server}"), work.options)?;
        Ok(Self { engine, replaced })
    }

    /// Loads the dump.
    pub(super) fn restore(self, dump: &DumpFolder<'_>, work: &Work<'_>) -> Result<(Loaded, Vec<Replaced>)> {
        let replace = !self.replaced.is_empty();
        let (loaded, after_failure) = match &self.engine {
            Engine::Postgres(target) => (target.load(dump, replace, &work.stop), "nothing was changed"),
            Engine::Mysql(target) => (
                target.load(dump, replace, &work.stop),
                "the database may be empty or half loaded now, since definitions can't be rolled back there: restore again",
            ),
        };
        let loaded = loaded.map_err(|problem| match problem.error.remedy {
            None => problem.error.remedy(after_failure),
            Some(_) => problem.error,
        })?;
        Ok((must_be_whole(loaded, after_failure)?, self.replaced))
    }
}
