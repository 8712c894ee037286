//! Whatever happens to a backups folder, in whatever order: the catalog can be read after each step or is mended by
//! `rebuild`, an id belongs to one backup for ever, what was deleted stays deleted, and what completed stays until
//! somebody deletes it or retention may let it go.
//!
//! Many more cases: `PROPTEST_CASES=20000 cargo test --release -p cofre-component property`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::catalog::{rebuild, sidecar};
use crate::delete::delete;
use crate::error::ErrorKind;
use crate::pin::pin;
use crate::prune::prune;
use crate::record_result::record_result;
use crate::types::{Check, RetentionPolicy};

/// One step. Numbers choose among the rows that there are.
#[derive(Debug, Clone)]
enum Step {
    Begin {
        kind: bool,
        seconds: i64,
    },
    /// The archive and its sidecar are there, and then nothing: a kill.
    Publish,
    Finish {
        partial: bool,
    },
    Fail {
        cancelled: bool,
    },
    Delete {
        row: usize,
        force: bool,
    },
    Prune {
        max_backups: u32,
        keep_partial: u32,
    },
    Pin {
        row: usize,
        pinned: bool,
    },
    Record {
        row: usize,
        check: u8,
        good: bool,
    },
    Rebuild,
    /// Somebody removes the archive of a row.
    Lose {
        row: usize,
    },
    /// The catalog ends early.
    Tear {
        part: usize,
    },
    /// The catalog is gone.
    Forget,
    /// A half-written file is left.
    Leave,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = || 0..64_usize;
    let step = prop_oneof![
        8 => (any::<bool>(), 0..4_i64).prop_map(|(kind, seconds)| Step::Begin { kind, seconds }),
        2 => Just(Step::Publish),
        8 => prop::bool::weighted(0.2).prop_map(|partial| Step::Finish { partial }),
        2 => any::<bool>().prop_map(|cancelled| Step::Fail { cancelled }),
        2 => (row(), any::<bool>()).prop_map(|(row, force)| Step::Delete { row, force }),
        2 => (1..4_u32, 0..2_u32).prop_map(|(max_backups, keep_partial)| Step::Prune { max_backups, keep_partial }),
        1 => (row(), any::<bool>()).prop_map(|(row, pinned)| Step::Pin { row, pinned }),
        2 => (row(), 0..3_u8, any::<bool>()).prop_map(|(row, check, good)| Step::Record { row, check, good }),
        2 => Just(Step::Rebuild),
        1 => row().prop_map(|row| Step::Lose { row }),
        1 => (0..100_usize).prop_map(|part| Step::Tear { part }),
        1 => Just(Step::Forget),
        1 => Just(Step::Leave),
    ];
    vec(step, 1..60)
}

/// A backups folder and what has to be true of it.
struct World {
    folder: Folder,
    /// Seconds since the first run.
    clock: i64,
    /// The run that is open.
    open: Option<Record>,
    /// Every id that was ever given, with its name.
    given: BTreeMap<u64, String>,
    /// Names of what was deleted or pruned.
    deleted: BTreeSet<String>,
    /// Ids and names of completed backups whose archive nobody took away.
    safe: BTreeMap<u64, String>,
    /// The catalog was damaged from outside.
    broken: bool,
}

impl World {
    fn now(&self) -> String {
        let start = DateTime::parse_from_rfc3339("2026-11-25T02:00:00.000000-03:00").unwrap();
        time::format_instant(start + TimeDelta::seconds(self.clock))
    }

    fn id_of(&self, row: usize) -> Option<u64> {
        let ids = self.folder.ids();
        ids.get(row % ids.len().max(1)).copied()
    }

    fn publish(&self, row: &Record, partial: bool) -> Record {
        let bytes = archive_with(row, |manifest| {
            if partial {
                manifest["status"] = "partial".into();
            }
        });
        self.folder.write(&row.archive_name(), &bytes);
        let sha256 = sidecar::compute(&self.folder.dir(), &row.name).unwrap();
        sidecar::publish(&self.folder.dir(), &row.name, &sha256).unwrap();
        Record {
            status: if partial {
                Status::Partial
            } else {
                Status::Completed
            },
            size: bytes.len() as u64,
            sha256: Some(sha256),
            finished_at: Some(self.now()),
            ..row.clone()
        }
    }

    fn gone(&mut self, row: &Record) {
        self.safe.remove(&row.id);
        // Of a run that never had an archive nothing can come back.
        if matches!(row.status, Status::Completed | Status::Partial) {
            self.deleted.insert(row.name.clone());
        }
    }

    fn do_step(&mut self, step: &Step) {
        self.clock += 1;
        if self.broken
            && !matches!(
                step,
                Step::Rebuild | Step::Tear { .. } | Step::Forget | Step::Lose { .. }
            )
        {
            self.refused(step);
            return;
        }
        let now = self.now();
        let roots = self.folder.roots.clone();
        match step {
            Step::Begin { kind, seconds } => {
                self.clock -= seconds; // clocks are set back
                let request = RunRequest {
                    backup_type: if *kind { "manual" } else { "weekly" }.to_owned(),
                    ..request(&self.now())
                };
                let row = begin(&roots, &request).unwrap();
                assert!(!self.given.contains_key(&row.id), "id {} again", row.id);
                let known =
                    self.deleted.contains(&row.name) || self.safe.values().any(|name| *name == row.name);
                assert!(!known, "{} again", row.name);
                self.given.insert(row.id, row.name.clone());
                self.open = Some(row);
                self.adopted();
            }
            Step::Publish => {
                if let Some(row) = &self.open {
                    self.publish(row, false);
                }
            }
            Step::Finish { partial } => {
                if let Some(row) = self.open.take() {
                    let closed = self.publish(&row, *partial);
                    finish(&roots, closed).unwrap();
                    self.adopted();
                }
            }
            Step::Fail { cancelled } => {
                if let Some(row) = self.open.take() {
                    fail(&roots, row.id, "why", *cancelled, Some(&now)).unwrap();
                    self.adopted();
                }
            }
            Step::Delete { row, force } => {
                let Some(id) = self.id_of(*row) else { return };
                match delete(&roots, id, *force, &now) {
                    Ok(backup) => self.gone(&backup.record),
                    Err(e) => assert_eq!(e.kind, ErrorKind::Refused, "{e}"),
                }
            }
            Step::Prune {
                max_backups,
                keep_partial,
            } => self.prune(*max_backups, *keep_partial, &now),
            Step::Pin { row, pinned } => {
                let Some(id) = self.id_of(*row) else { return };
                pin(&roots, id, *pinned).unwrap();
            }
            Step::Record { row, check, good } => {
                let Some(id) = self.id_of(*row) else { return };
                let (check, result) = match (check, good) {
                    (0, true) => (Check::Verify, "verified"),
                    (0, false) => (Check::Verify, "failed"),
                    (1, true) => (Check::Drill, "passed"),
                    (1, false) => (Check::Drill, "a table is missing"),
                    _ => (Check::Restore, "restored"),
                };
                if let Err(e) = record_result(&roots, id, check, result, &now) {
                    assert_eq!(e.kind, ErrorKind::InvalidInput, "{e}");
                }
            }
            Step::Rebuild => {
                rebuild(&roots, &now, "backups/").unwrap();
                self.broken = false;
                self.open = None;
                self.adopted();
            }
            Step::Lose { row } => {
                self.lose(*row);
                if self.broken {
                    self.look();
                }
            }
            Step::Tear { part } => {
                let bytes = std::fs::read(self.folder.path(HISTORY_NAME)).unwrap_or_default();
                self.folder
                    .write(HISTORY_NAME, &bytes[..bytes.len() * part / 100]);
                self.broken = true;
            }
            Step::Forget => {
                self.folder.dir().unlink_if_exists(HISTORY_NAME).unwrap();
                self.look();
            }
            Step::Leave => {
                for name in [
                    ".backup_20261125_020000_manual.zip.partial",
                    "..catalog.json.partial",
                ] {
                    self.folder.write(name, b"half");
                }
            }
        }
    }

    /// Nothing is done, and nothing changed, on a catalog that can't be read.
    fn refused(&self, step: &Step) {
        let before = (
            self.folder.names(),
            std::fs::read(self.folder.path(HISTORY_NAME)).ok(),
        );
        let roots = &self.folder.roots;
        let now = self.now();
        let result = match step {
            Step::Begin { .. } => begin(roots, &request(&now)).map(drop),
            Step::Delete { .. } => delete(roots, 1, true, &now).map(drop),
            Step::Prune { .. } => prune(roots, &policy(1, 0), &now, false).map(drop),
            Step::Pin { .. } => pin(roots, 1, true).map(drop),
            Step::Record { .. } => record_result(roots, 1, Check::Verify, "verified", &now).map(drop),
            _ => return,
        };
        assert_eq!(result.unwrap_err().kind, ErrorKind::CatalogInvalid);
        let after = (
            self.folder.names(),
            std::fs::read(self.folder.path(HISTORY_NAME)).ok(),
        );
        assert_eq!(after, before);
    }

    fn prune(&mut self, max_backups: u32, keep_partial: u32, now: &str) {
        let policy = policy(max_backups, keep_partial);
        let said = prune(&self.folder.roots, &policy, now, true).unwrap();
        let done = prune(&self.folder.roots, &policy, now, false).unwrap();
        assert_eq!(said, done);
        let completed = done
            .iter()
            .filter(|v| v.backup.record.status == Status::Completed && v.backup.archive_present);
        let kept = completed.clone().filter(|v| v.keep).count();
        assert!(kept >= completed.count().min(max_backups as usize));
        for verdict in done.iter().filter(|v| !v.keep) {
            assert!(!verdict.backup.record.pinned);
            self.gone(&verdict.backup.record);
        }
    }

    fn lose(&mut self, row: usize) {
        let ids: Vec<u64> = self.safe.keys().copied().collect();
        if let Some(id) = ids.get(row % ids.len().max(1)) {
            let name = self.safe.remove(id).unwrap();
            for file in [format!("{name}.zip"), format!("{name}.zip.sha256")] {
                self.folder.dir().unlink_if_exists(&file).unwrap();
            }
        }
    }

    /// Where neither catalog nor archive is left, nothing tells that there ever was one.
    fn look(&mut self) {
        if !self.folder.has(HISTORY_NAME) {
            self.broken = Catalog::load(&self.folder.dir()).is_err();
            self.open = self.open.take().filter(|_| self.broken);
        }
    }

    /// What counts as completed from now on.
    fn adopted(&mut self) {
        let catalog = self.folder.catalog();
        for row in catalog.records() {
            if row.status == Status::Completed && catalog.archive_present(row) {
                self.safe.insert(row.id, row.name.clone());
            }
        }
    }

    fn check(&self) {
        let catalog = match Catalog::load(&self.folder.dir()) {
            Ok(catalog) => catalog,
            Err(e) => {
                assert!(self.broken, "{e}");
                assert_eq!(e.kind, ErrorKind::CatalogInvalid);
                return;
            }
        };
        if self.broken {
            return; // torn so that an array is left
        }
        for row in catalog.records() {
            assert_eq!(self.given.get(&row.id), Some(&row.name), "the id of {}", row.name);
            assert!(!self.deleted.contains(&row.name), "{} is back", row.name);
        }
        for (id, name) in &self.safe {
            let row = catalog.get(*id).unwrap();
            assert_eq!((&row.name, row.status), (name, Status::Completed));
            assert!(catalog.archive_present(row), "{name}");
        }
    }
}

fn policy(max_backups: u32, keep_partial: u32) -> RetentionPolicy {
    RetentionPolicy {
        max_backups,
        keep_daily: 0,
        keep_weekly: 0,
        keep_monthly: 0,
        keep_yearly: 0,
        keep_within_seconds: 0,
        keep_partial,
        keep_failed_seconds: 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn property_the_catalog_survives_any_interleaving(steps in steps()) {
        let mut world = World {
            folder: Folder::in_memory(),
            clock: 0,
            open: None,
            given: BTreeMap::new(),
            deleted: BTreeSet::new(),
            safe: BTreeMap::new(),
            broken: false,
        };
        for step in &steps {
            world.do_step(step);
            world.check();
        }
        // Whatever it looks like now, it can be mended.
        world.do_step(&Step::Rebuild);
        world.check();
    }
}
