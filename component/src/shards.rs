//! One operation spread over instances: a coordinator that cuts it into tasks and puts their results together, and
//! workers that do the tasks. What a task is stands in `create`, `verify` and `restore`; `job` runs both parts in
//! one instance.

use crate::create::{CreateJob, CreateWorker};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::Roots;
use crate::job::{Outcome, Request};
use crate::restore::{RestoreJob, RestoreWorker};
use crate::types::Progress;
use crate::verify::{VerifyJob, VerifyWorker};

/// What is to be done next.
#[derive(Debug)]
pub enum Turn {
    /// A worker is to do this; the results are taken in the order in which the tasks were given.
    Task(Vec<u8>),
    /// The coordinator did something itself.
    Working,
    /// The result of the oldest task that is out is needed first.
    Waiting,
    /// The operation has ended.
    Ended(Box<Outcome>),
}

/// What a worker made of a task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// What it is, for the coordinator: see [`encode`].
    pub head: Vec<u8>,
    /// Bytes of the archive, where the task made some.
    pub data: Vec<u8>,
}

/// A task or the head of a piece as bytes.
///
/// # Errors
/// Only what the encoder says, which is a bug.
pub(crate) fn encode(message: &impl serde::Serialize) -> Result<Vec<u8>> {
    postcard::to_allocvec(message).map_err(|e| Error::new(ErrorKind::Io, "encode message", e.to_string()))
}

/// The opposite of [`encode`].
///
/// # Errors
/// `InvalidInput` for bytes that are no such message: the host mixed something up.
pub(crate) fn decode<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T> {
    postcard::from_bytes(bytes).map_err(|e| unexpected(&format!("it can't be read: {e}")))
}

/// A task or result that does not belong here.
pub(crate) fn unexpected(why: &str) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        "take task or result",
        format!("the host handed over something else than was expected: {why}"),
    )
    .remedy("hand the results back in the order of the tasks, each once, to the coordinator that gave them")
}

/// Cuts an operation into tasks and puts their results together.
pub struct Coordinator {
    work: Work,
    ended: bool,
}

enum Work {
    Create(Box<CreateJob>),
    Verify(Box<VerifyJob>),
    Restore(Box<RestoreJob>),
}

impl Coordinator {
    /// A coordinator that has done nothing yet.
    #[must_use]
    pub fn new(request: Request) -> Self {
        let work = match request {
            Request::Create(request) => Work::Create(Box::new(CreateJob::new(request))),
            Request::Verify { id, quick } => Work::Verify(Box::new(VerifyJob::new(id, quick))),
            Request::Restore(request) => Work::Restore(Box::new(RestoreJob::new(request))),
        };
        Self { work, ended: false }
    }

    /// Works on about `budget` bytes, or gives a task of about so many. `now` (RFC 3339) is the time that the
    /// catalog gets when this turn is the last. After the end or an error the coordinator is spent.
    ///
    /// # Errors
    /// What the operation says, or `InvalidInput` for a coordinator that is spent.
    pub fn next(&mut self, roots: &Roots, budget: u64, now: Option<&str>) -> Result<Turn> {
        self.check()?;
        let result = match &mut self.work {
            Work::Create(job) => job.next(roots, budget, now),
            Work::Verify(job) => job.next(roots, budget),
            Work::Restore(job) => job.next(roots, budget),
        };
        self.ended = matches!(result, Err(_) | Ok(Turn::Ended(_)));
        result
    }

    /// Takes the result of the oldest task that is out. After an error the coordinator is spent.
    ///
    /// # Errors
    /// What the operation says; `InvalidInput` for a result that was not asked for.
    pub fn take(&mut self, roots: &Roots, piece: Piece, now: Option<&str>) -> Result<()> {
        self.check()?;
        let result = match &mut self.work {
            Work::Create(job) => job.take(roots, piece, now),
            Work::Verify(job) => job.take(&piece),
            Work::Restore(job) => job.take(&piece),
        };
        self.ended = result.is_err();
        result
    }

    /// How far the operation is; log lines are given once.
    pub fn progress(&mut self) -> Progress {
        match &mut self.work {
            Work::Create(job) => job.progress(),
            Work::Verify(job) => job.progress(),
            Work::Restore(job) => job.progress(),
        }
    }

    /// Ends the operation because of what went wrong with a task, and records that where runs are recorded.
    pub(crate) fn fail(&mut self, roots: &Roots, error: &Error, now: Option<&str>) {
        if let Work::Create(job) = &mut self.work
            && !self.ended
        {
            job.fail(roots, error, now);
        }
        self.ended = true;
    }

    /// Stops, removes what was begun, and records the run as cancelled. One that has ended stays as it is.
    ///
    /// # Errors
    /// What writing the catalog says.
    pub fn cancel(&mut self, roots: &Roots, now: Option<&str>) -> Result<()> {
        match &mut self.work {
            Work::Create(job) if !std::mem::replace(&mut self.ended, true) => job.cancel(roots, now),
            // The others have written nothing but into the target, which is the host's to throw away.
            _ => {
                self.ended = true;
                Ok(())
            }
        }
    }

    fn check(&self) -> Result<()> {
        if self.ended {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "step",
                "the job has ended already",
            ));
        }
        Ok(())
    }
}

/// Does the tasks of a coordinator, in this or another instance.
pub struct Worker(Kind);

enum Kind {
    Create(Box<CreateWorker>),
    Verify(Box<VerifyWorker>),
    Restore(Box<RestoreWorker>),
}

impl Worker {
    /// A worker for the coordinator of the same request, whose inventories are not looked at.
    #[must_use]
    pub fn new(request: &Request) -> Self {
        Self(match request {
            Request::Create(request) => Kind::Create(Box::new(CreateWorker::new(request))),
            Request::Verify { .. } => Kind::Verify(Box::default()),
            Request::Restore(_) => Kind::Restore(Box::default()),
        })
    }

    /// Does one task.
    ///
    /// # Errors
    /// `InvalidInput` for a task of something else; what ends the whole operation.
    pub fn work(&mut self, roots: &Roots, task: &[u8]) -> Result<Piece> {
        match &mut self.0 {
            Kind::Create(worker) => worker.work(roots, task),
            Kind::Verify(worker) => worker.work(roots, task),
            Kind::Restore(worker) => worker.work(roots, task),
        }
    }
}
