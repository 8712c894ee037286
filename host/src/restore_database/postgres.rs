//! Restoring into a database of a PostgreSQL server: in one transaction, so that a failure leaves what was there.

use super::{Replaced, Work, may_replace, must_be_whole};
use crate::config::Secret;
use crate::dump::server::Server;
use crate::error::{Code, Error, Result};
use crate::load::postgres;
use crate::load::{DumpFolder, Loaded};

/// A database that was looked at.
pub(super) struct Target {
    target: postgres::Target,
    replaced: Vec<Replaced>,
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
        let target = postgres::Target::open(&server, &private, work.tools, &work.stop)?;
        if let Some(what) = target.strong_rights(&work.stop)?
            && !work.options.trust_archive
        {
            return Err(Error::new(
                Code::Refused,
                format!(
                    "{server}: this role {what}, and whatever SQL is in the archive would run with that power"
                ),
            )
            .remedy(
                "restore as the database's owner, or, if you know that the archive is what cofre wrote, with \
                 --trust-archive",
            ));
        }
        let existing = target.existing(&work.stop)?;
        let replaced: Vec<Replaced> = existing
            .into_iter()
            .map(|old| Replaced {
                table: old.name,
                rows: old.rows,
            })
            .collect();
        may_replace(&replaced, &server.to_string(), work.options)?;
        Ok(Self { target, replaced })
    }

    /// Loads the dump.
    pub(super) fn restore(self, dump: &DumpFolder<'_>, work: &Work<'_>) -> Result<(Loaded, Vec<Replaced>)> {
        let loaded = self
            .target
            .load(dump, !self.replaced.is_empty(), &work.stop)
            .map_err(|problem| match problem.error.remedy {
                None => problem.error.remedy("nothing was changed"),
                Some(_) => problem.error,
            })?;
        Ok((must_be_whole(loaded)?, self.replaced))
    }
}
