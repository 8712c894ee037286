//! The component's exports: convert, call, convert back. Nothing else knows the generated bindings.
//!
//! Compiled for WASI only, where the exported symbols are. Records are taken apart without `..`, so that a new
//! field of the contract does not compile until it is handled.

mod from_wit;
mod to_wit;

#[allow(
    missing_docs,
    unsafe_code,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "backup",
        generate_all,
    });

    use super::Component;
    export!(Component);
}

use std::cell::RefCell;

use bindings::cofre::backup::types as wit;
use bindings::exports::cofre::backup::engine::{self as api, Guest as EngineGuest};
use bindings::exports::cofre::backup::jobs::{self, Guest as JobsGuest, GuestJob};
use bindings::exports::cofre::backup::shards::{
    self as spread, Guest as ShardsGuest, GuestCoordinator, GuestWorker,
};

use crate::catalog::Catalog;
use crate::error::Result;
use crate::fs::{BACKUPS, Roots};
use crate::{Error, types};
use crate::{
    catalog, create, delete, diff, entries, import, job, pin, prune, record_result, restore, run, shards,
    status, verify,
};

struct Component;

/// Runs `work` on this instance's preopens and turns its error into that of the contract.
fn with_roots<T>(work: impl FnOnce(&Roots) -> Result<T>) -> std::result::Result<T, wit::Error> {
    work(&Roots::new()).map_err(to_wit::error)
}

/// The row of a run with whether its archive is there.
fn backup_of(roots: &Roots, record: &catalog::Record) -> Result<wit::Backup> {
    let catalog = Catalog::load(&roots.open(BACKUPS)?)?;
    Ok(to_wit::backup(types::Backup::of(record, &catalog)))
}

impl EngineGuest for Component {
    fn begin_run(request: api::RunRequest) -> std::result::Result<wit::Backup, wit::Error> {
        with_roots(|roots| backup_of(roots, &run::begin(roots, &from_wit::run_request(request))?))
    }

    fn fail_run(
        id: u64,
        message: String,
        cancelled: bool,
        now: String,
    ) -> std::result::Result<wit::Backup, wit::Error> {
        with_roots(|roots| backup_of(roots, &run::fail(roots, id, &message, cancelled, Some(&now))?))
    }

    fn create(request: api::CreateRequest) -> std::result::Result<api::CreateReport, wit::Error> {
        with_roots(|roots| create::create(roots, from_wit::create_request(request)))
            .map(to_wit::create_report)
    }

    fn plan(
        request: api::CreateRequest,
    ) -> std::result::Result<(Vec<wit::Entry>, Vec<wit::Skip>), wit::Error> {
        let (entries, skips) = with_roots(|roots| create::plan(roots, from_wit::create_request(request)))?;
        Ok((
            to_wit::list(entries, to_wit::entry),
            to_wit::list(skips, to_wit::skip),
        ))
    }

    fn limit_unpacking(limits: api::UnpackLimits) {
        from_wit::unpack_limits(limits).set();
    }

    fn verify(id: u64, quick: bool) -> std::result::Result<api::VerifyReport, wit::Error> {
        with_roots(|roots| verify::verify(roots, id, quick)).map(to_wit::verify_report)
    }

    fn restore(request: api::RestoreRequest) -> std::result::Result<api::RestoreReport, wit::Error> {
        with_roots(|roots| restore::restore(roots, &from_wit::restore_request(request)))
            .map(to_wit::restore_report)
    }

    fn list() -> std::result::Result<Vec<wit::Backup>, wit::Error> {
        with_roots(catalog::list).map(|rows| to_wit::list(rows, to_wit::backup))
    }

    fn find(selector: String) -> std::result::Result<wit::Backup, wit::Error> {
        with_roots(|roots| catalog::find(roots, &selector)).map(to_wit::backup)
    }

    fn newest(now: String) -> std::result::Result<wit::Backup, wit::Error> {
        with_roots(|roots| catalog::newest(roots, &now)).map(to_wit::backup)
    }

    fn entries(
        id: u64,
        after: Option<String>,
        limit: u32,
    ) -> std::result::Result<Vec<wit::Entry>, wit::Error> {
        with_roots(|roots| entries::entries(roots, id, after.as_deref(), limit))
            .map(|list| to_wit::list(list, to_wit::entry))
    }

    fn details(id: u64) -> std::result::Result<api::BackupDetails, wit::Error> {
        with_roots(|roots| entries::details(roots, id)).map(to_wit::details)
    }

    fn status(now: String) -> std::result::Result<api::Summary, wit::Error> {
        with_roots(|roots| status::status(roots, &now)).map(to_wit::summary)
    }

    fn diff(a: u64, b: u64) -> std::result::Result<Vec<api::Difference>, wit::Error> {
        with_roots(|roots| diff::diff(roots, a, b)).map(|list| to_wit::list(list, to_wit::difference))
    }

    fn delete(id: u64, force: bool, now: String) -> std::result::Result<wit::Backup, wit::Error> {
        with_roots(|roots| delete::delete(roots, id, force, &now)).map(to_wit::backup)
    }

    fn prune(
        policy: api::RetentionPolicy,
        now: String,
        dry_run: bool,
    ) -> std::result::Result<Vec<api::Verdict>, wit::Error> {
        with_roots(|roots| prune::prune(roots, &from_wit::policy(policy), &now, dry_run))
            .map(|list| to_wit::list(list, to_wit::verdict))
    }

    fn rebuild(now: String, zip_path_prefix: String) -> std::result::Result<api::RebuildReport, wit::Error> {
        with_roots(|roots| catalog::rebuild(roots, &now, &zip_path_prefix)).map(to_wit::rebuild_report)
    }

    fn record_result(
        id: u64,
        check: api::Check,
        result: String,
        now: String,
    ) -> std::result::Result<wit::Backup, wit::Error> {
        with_roots(|roots| record_result::record_result(roots, id, from_wit::check(check), &result, &now))
            .map(to_wit::backup)
    }

    fn pin(id: u64, pinned: bool) -> std::result::Result<wit::Backup, wit::Error> {
        with_roots(|roots| pin::pin(roots, id, pinned)).map(to_wit::backup)
    }

    fn import_rows(
        rows: Vec<wit::Backup>,
        zip_path_prefix: String,
        revive: bool,
    ) -> std::result::Result<Vec<wit::Backup>, wit::Error> {
        let rows = rows.into_iter().map(from_wit::record).collect();
        with_roots(|roots| import::import_rows(roots, rows, &zip_path_prefix, revive))
            .map(|rows| to_wit::list(rows, to_wit::backup))
    }

    fn identify(id: String) -> std::result::Result<String, wit::Error> {
        with_roots(|roots| import::identify(roots, &id))
    }
}

/// The resource `job`. WIT methods take it shared, and an instance has one thread.
struct Job {
    job: RefCell<job::Job>,
    roots: Roots,
}

impl JobsGuest for Component {
    type Job = Job;
}

impl GuestJob for Job {
    fn new(request: jobs::Request) -> Self {
        Self {
            job: RefCell::new(job::Job::new(from_wit::request(request))),
            roots: Roots::new(),
        }
    }

    fn step(&self, budget_bytes: u64, now: String) -> std::result::Result<jobs::Progress, wit::Error> {
        let mut job = self.job.borrow_mut();
        job.step(&self.roots, budget_bytes, Some(&now))
            .map(|(progress, outcome)| to_wit::progress(progress, outcome))
            .map_err(to_wit::error)
    }

    fn cancel(&self, now: String) -> std::result::Result<(), wit::Error> {
        let mut job = self.job.borrow_mut();
        job.cancel(&self.roots, Some(&now)).map_err(to_wit::error)
    }
}

impl ShardsGuest for Component {
    type Coordinator = Coordinator;
    type Worker = Worker;
}

/// The resource `coordinator`.
struct Coordinator {
    coordinator: RefCell<shards::Coordinator>,
    roots: Roots,
}

impl GuestCoordinator for Coordinator {
    fn new(request: jobs::Request) -> Self {
        Self {
            coordinator: RefCell::new(shards::Coordinator::new(from_wit::request(request))),
            roots: Roots::new(),
        }
    }

    fn next(&self, budget_bytes: u64, now: String) -> std::result::Result<spread::Turn, wit::Error> {
        let mut coordinator = self.coordinator.borrow_mut();
        coordinator
            .next(&self.roots, budget_bytes, Some(&now))
            .map(to_wit::turn)
            .map_err(to_wit::error)
    }

    fn take(&self, piece: spread::Piece, now: String) -> std::result::Result<(), wit::Error> {
        let mut coordinator = self.coordinator.borrow_mut();
        coordinator
            .take(&self.roots, from_wit::piece(piece), Some(&now))
            .map_err(to_wit::error)
    }

    fn progress(&self) -> jobs::Progress {
        to_wit::progress(self.coordinator.borrow_mut().progress(), None)
    }

    fn cancel(&self, now: String) -> std::result::Result<(), wit::Error> {
        let mut coordinator = self.coordinator.borrow_mut();
        coordinator.cancel(&self.roots, Some(&now)).map_err(to_wit::error)
    }
}

/// The resource `worker`.
struct Worker {
    worker: RefCell<shards::Worker>,
    roots: Roots,
}

impl GuestWorker for Worker {
    fn new(request: jobs::Request) -> Self {
        Self {
            worker: RefCell::new(shards::Worker::new(&from_wit::request(request))),
            roots: Roots::new(),
        }
    }

    fn work(&self, task: Vec<u8>) -> std::result::Result<spread::Piece, wit::Error> {
        let mut worker = self.worker.borrow_mut();
        worker
            .work(&self.roots, &task)
            .map(to_wit::piece)
            .map_err(to_wit::error)
    }
}
