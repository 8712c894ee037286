//! A long operation in one instance, in steps: progress, log lines, cancellation. Coordinator and worker of `shards`
//! are both here; the plain functions of the engine run the same jobs to their end.

use crate::error::Result;
use crate::fs::Roots;
use crate::shards::{Coordinator, Turn, Worker};
use crate::types::{CreateReport, CreateRequest, Progress, RestoreReport, RestoreRequest, VerifyReport};

/// Bytes of a step where nobody looks at the progress.
const RUN_BYTES: u64 = 4 << 20;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Make a backup.
    Create(CreateRequest),
    /// Verify a backup.
    Verify {
        /// Its id.
        id: u64,
        /// Only its checksum and structure.
        quick: bool,
    },
    /// Extract a backup.
    Restore(RestoreRequest),
}

/// What came out.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Of [`Request::Create`].
    Created(CreateReport),
    /// Of [`Request::Verify`].
    Verified(VerifyReport),
    /// Of [`Request::Restore`].
    Restored(RestoreReport),
}

/// A running operation in one instance.
pub struct Job {
    coordinator: Coordinator,
    worker: Worker,
}

impl Job {
    /// A job that has done nothing yet.
    #[must_use]
    pub fn new(request: Request) -> Self {
        Self {
            worker: Worker::new(&request),
            coordinator: Coordinator::new(request),
        }
    }

    /// Works on about `budget` bytes; the outcome when that was the end. `now` (RFC 3339) is the time that the
    /// catalog gets when this step is the last. After an outcome or an error the job is spent.
    ///
    /// # Errors
    /// What the operation says, or `InvalidInput` for a job that is spent.
    pub fn step(
        &mut self,
        roots: &Roots,
        budget: u64,
        now: Option<&str>,
    ) -> Result<(Progress, Option<Outcome>)> {
        let outcome = match self.coordinator.next(roots, budget, now)? {
            Turn::Task(task) => {
                let piece = self
                    .worker
                    .work(roots, &task)
                    .inspect_err(|e| self.coordinator.fail(roots, e, now))?;
                self.coordinator.take(roots, piece, now)?;
                None
            }
            // The result of every task is taken at once, so that nothing is ever waited for.
            Turn::Working | Turn::Waiting => None,
            Turn::Ended(outcome) => Some(*outcome),
        };
        Ok((self.coordinator.progress(), outcome))
    }

    /// Runs to the end in one go. The end of a run is not recorded, since nobody says what time it is then.
    ///
    /// # Errors
    /// See [`Self::step`].
    pub fn run(mut self, roots: &Roots) -> Result<Outcome> {
        loop {
            if let (_, Some(outcome)) = self.step(roots, RUN_BYTES, None)? {
                return Ok(outcome);
            }
        }
    }

    /// Stops, removes what was begun, and records the run as cancelled. A job that has ended stays as it is.
    ///
    /// # Errors
    /// What writing the catalog says.
    pub fn cancel(&mut self, roots: &Roots, now: Option<&str>) -> Result<()> {
        self.coordinator.cancel(roots, now)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::catalog::{Catalog, Status};
    use crate::fs::{BACKUPS, TARGET};
    use crate::types::{Compression, Inventory, RunRequest, Source};

    fn place() -> (tempfile::TempDir, Roots, Request) {
        let temp = tempfile::tempdir().unwrap();
        for folder in ["s", "backups"] {
            std::fs::create_dir(temp.path().join(folder)).unwrap();
        }
        for name in ["a", "b", "c"] {
            std::fs::write(temp.path().join("s").join(name), name).unwrap();
        }
        let roots = Roots::new()
            .with("/sources/s", temp.path().join("s"))
            .with(BACKUPS, temp.path().join("backups"));
        let request = CreateRequest {
            run: RunRequest {
                backup_type: "manual".into(),
                plan: "manual".into(),
                started_at: "2026-11-25T14:30:00.000000+00:00".into(),
                zip_path_prefix: String::new(),
            },
            begun: None,
            sources: vec![Source {
                folder: "s".into(),
                root: "/sources/s".into(),
                inventory: Inventory::Scan,
                include: vec![],
                exclude: vec![],
                allow_empty: false,
            }],
            databases: vec![],
            compression: Compression::Deflate,
            level: 6,
            full: false,
        };
        (temp, roots, Request::Create(request))
    }

    #[test]
    fn a_job_reports_progress_ends_once_and_is_spent_then() {
        let (_temp, roots, request) = place();
        let mut job = Job::new(request);
        let mut seen = Vec::new();
        let outcome = loop {
            let (progress, outcome) = job
                .step(&roots, 1, Some("2026-11-25T14:30:05.000000+00:00"))
                .unwrap();
            seen.push(progress.files_done);
            if let Some(outcome) = outcome {
                break outcome;
            }
        };
        assert!(seen.is_sorted() && seen.ends_with(&[3]) && seen.contains(&1));
        let Outcome::Created(report) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(report.backup.record.duration_seconds, Some(5.0));
        assert_eq!(
            job.step(&roots, 1, None).unwrap_err().kind,
            ErrorKind::InvalidInput
        );
        job.cancel(&roots, None).unwrap();
        assert_eq!(status(&roots), Status::Completed);
    }

    fn run(roots: &Roots, request: Request, budget: u64) -> Outcome {
        let mut job = Job::new(request);
        loop {
            if let (_, Some(outcome)) = job.step(roots, budget, None).unwrap() {
                return outcome;
            }
        }
    }

    #[test]
    fn what_was_created_verifies_and_restores_in_steps_and_in_one_go() {
        for budget in [1, u64::MAX] {
            let (temp, roots, request) = place();
            let log = "line\n".repeat(500_000);
            std::fs::write(temp.path().join("s/log"), log).unwrap();
            std::os::unix::fs::symlink("log", temp.path().join("s/link")).unwrap();
            std::fs::create_dir_all(temp.path().join("target")).unwrap();
            let roots = roots.with(TARGET, temp.path().join("target"));
            let Outcome::Created(created) = run(&roots, request, budget) else {
                panic!()
            };
            let id = created.backup.record.id;
            let Outcome::Verified(verified) = run(&roots, Request::Verify { id, quick: false }, budget)
            else {
                panic!()
            };
            assert_eq!(verified.problems, Vec::<String>::new());
            assert!(verified.manifest && verified.checksum);
            let request = RestoreRequest { id, only: vec![] };
            let Outcome::Restored(restored) = run(&roots, Request::Restore(request), budget) else {
                panic!()
            };
            assert!(restored.manifest);
            let mut diff = std::process::Command::new("diff");
            diff.args(["-r", "--no-dereference"]);
            diff.args([temp.path().join("s"), temp.path().join("target/s")]);
            assert!(diff.status().unwrap().success());
        }
    }

    #[test]
    fn a_cancelled_job_is_spent_and_recorded() {
        let (_temp, roots, request) = place();
        let mut job = Job::new(request);
        job.step(&roots, 1, None).unwrap();
        job.cancel(&roots, None).unwrap();
        assert!(job.step(&roots, 1, None).is_err());
        assert_eq!(status(&roots), Status::Cancelled);
    }

    #[test]
    fn a_job_that_failed_is_spent() {
        let (temp, roots, request) = place();
        std::fs::remove_dir_all(temp.path().join("s")).unwrap();
        let mut job = Job::new(request);
        let first = loop {
            if let Err(e) = job.step(&roots, 1, None) {
                break e;
            }
        };
        assert!(first.to_string().contains("/sources/s"), "{first}");
        assert!(
            job.step(&roots, 1, None)
                .unwrap_err()
                .to_string()
                .contains("ended")
        );
        assert_eq!(status(&roots), Status::Failed);
    }

    fn status(roots: &Roots) -> Status {
        Catalog::load(&roots.open(BACKUPS).unwrap()).unwrap().records()[0].status
    }
}
