//! The operations of the contract as methods: one line each, since the types are the contract's own. What each
//! does, needs and returns stands in `wit/engine.wit`.

use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::control::Control;
use super::session::Session;
use super::wit::engine::{
    BackupDetails, Check, CreateReport, CreateRequest, Difference, RebuildReport, RestoreReport,
    RestoreRequest, RetentionPolicy, RunRequest, Summary, UnpackLimits, Verdict, VerifyReport,
};
use super::wit::jobs::{Outcome, Request};
use super::wit::types::{Backup, Entry, Skip};
use crate::error::{Code, Error, Result};

/// Defines methods that pass their arguments on to the function of the same name.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident / $call:ident ($($arg:ident: $owned:ty => $pass:expr),*) -> $out:ty;)*) => {
        impl Session {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// What the component reports, or that it was stopped.
                pub fn $name(&mut self, $($arg: $owned),*) -> Result<$out> {
                    self.call(stringify!($name), move |guest| {
                        let engine = guest.world.cofre_backup_engine();
                        engine.$call(&mut guest.store, $($pass),*)
                    })
                }
            )*
        }
    };
}

operations! {
    /// Opens the row of a run and cleans up after an interrupted one. `/backups` read-write.
    begin_run / call_begin_run (request: RunRequest => &request) -> Backup;
    /// Closes the row of a run that failed or was cancelled outside of the component. `/backups` read-write.
    fail_run / call_fail_run (id: u64 => id, message: String => &message, cancelled: bool => cancelled,
        now: String => &now) -> Backup;
    /// What a backup would contain, without writing anything.
    plan / call_plan (request: CreateRequest => &request) -> (Vec<Entry>, Vec<Skip>);
    /// The rows of the catalog, oldest first.
    list / call_list () -> Vec<Backup>;
    /// One row, by id or name.
    row / call_find (selector: String => &selector) -> Backup;
    /// The newest completed or partial row that does not lie in the future of `now`.
    newest / call_newest (now: String => &now) -> Backup;
    /// The entries of an archive after the path `after`, at most `limit`.
    entries / call_entries (id: u64 => id, after: Option<String> => after.as_deref(), limit: u32 => limit)
        -> Vec<Entry>;
    /// What was skipped, and the databases, from the manifest.
    details / call_details (id: u64 => id) -> BackupDetails;
    /// The totals.
    status / call_status (now: String => &now) -> Summary;
    /// What changed from one backup to another.
    diff / call_diff (a: u64 => a, b: u64 => b) -> Vec<Difference>;
    /// Removes a backup; the last good one only with `force`. `/backups` read-write.
    delete / call_delete (id: u64 => id, force: bool => force, now: String => &now) -> Backup;
    /// Removes what the policy does not keep, or only says so. `/backups` read-write unless `dry_run`.
    prune / call_prune (policy: RetentionPolicy => policy, now: String => &now, dry_run: bool => dry_run)
        -> Vec<Verdict>;
    /// Recreates the catalog from the archives. `/backups` read-write.
    rebuild / call_rebuild (now: String => &now, zip_path_prefix: String => &zip_path_prefix) -> RebuildReport;
    /// Writes the result of a check into the catalog. `/backups` read-write.
    record_result / call_record_result (id: u64 => id, check: Check => check, result: String => &result,
        now: String => &now) -> Backup;
    /// Sets or clears the pin. `/backups` read-write.
    pin / call_pin (id: u64 => id, pinned: bool => pinned) -> Backup;
    /// Adds rows of a copy of this catalog, deleted ones only with `revive`. `/backups` read-write.
    import_rows / call_import_rows (rows: Vec<Backup> => &rows, zip_path_prefix: String => &zip_path_prefix,
        revive: bool => revive) -> Vec<Backup>;
    /// The identity of this repository; `id` where it has none yet. `/backups` read-write.
    identify / call_identify (id: String => &id) -> String;
}

impl Session {
    /// One row, by id, name or `latest`: the newest completed or partial one that is not from the future.
    ///
    /// # Errors
    /// `NotFound`; what the component reports.
    pub fn find(&mut self, selector: String) -> Result<Backup> {
        if selector != "latest" {
            return self.row(selector);
        }
        // Not `Utc::now()`, which panics when the clock is before 1970.
        let now = DateTime::<Utc>::from(SystemTime::now()).to_rfc3339();
        let newest = self.newest(now.clone())?;
        if let Ok(other) = self.row(selector)
            && other.id != newest.id
        {
            tracing::warn!(
                "{} (id {}) lies in the future, and does not count as the latest; is the clock right?",
                other.name,
                other.id
            );
        }
        Ok(newest)
    }

    /// Sets what the next verify or restore allows an archive to unpack to.
    pub(super) fn limit_unpacking(&mut self, limits: UnpackLimits) -> Result<()> {
        self.call("limit unpacking", move |guest| {
            let engine = guest.world.cofre_backup_engine();
            Ok(Ok(engine.call_limit_unpacking(&mut guest.store, limits)?))
        })
    }
}

/// Long operations without progress or cancellation: [`Session::run`] for those who need neither.
impl Session {
    /// Makes a backup. `/backups` read-write, the sources read-only.
    ///
    /// # Errors
    /// See [`Session::run`].
    pub fn create(&mut self, request: CreateRequest) -> Result<CreateReport> {
        match self.run(Request::Create(request), &mut Control::default())? {
            Outcome::Created(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// Reads a backup and compares it with its checksum and manifest; `quick` does not decompress.
    ///
    /// # Errors
    /// See [`Session::run`].
    pub fn verify(&mut self, id: u64, quick: bool) -> Result<VerifyReport> {
        match self.run(Request::Verify((id, quick)), &mut Control::default())? {
            Outcome::Verified(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// Extracts a backup into `/target`, which has to be empty.
    ///
    /// # Errors
    /// See [`Session::run`].
    pub fn restore(&mut self, request: RestoreRequest) -> Result<RestoreReport> {
        match self.run(Request::Restore(request), &mut Control::default())? {
            Outcome::Restored(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }
}

/// A component that answers something else than it was asked.
fn unexpected(outcome: &Outcome) -> Error {
    let kind = match outcome {
        Outcome::Created(_) => "created",
        Outcome::Verified(_) => "verified",
        Outcome::Restored(_) => "restored",
    };
    Error::new(
        Code::Internal,
        format!("the component answered `{kind}` to another request"),
    )
}
