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

/// Puts the number of a task behind it, or behind the head of its result.
fn label(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

/// The opposite of [`label`].
fn labelled(bytes: &[u8]) -> Result<(&[u8], u64)> {
    let (rest, number) = bytes
        .split_last_chunk()
        .ok_or_else(|| unexpected("it has no number"))?;
    Ok((rest, u64::from_le_bytes(*number)))
}

/// The error of an operation that is asked to go on behind its end.
pub(crate) fn spent() -> Error {
    Error::new(ErrorKind::InvalidInput, "step", "the job has ended already")
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
    /// Numbers of the next task to be dealt, and of the next result to be taken: what a host mixed up is noticed.
    dealt: u64,
    taken: u64,
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
        Self {
            work,
            ended: false,
            dealt: 0,
            taken: 0,
        }
    }

    /// Works on about `budget` bytes, or gives a task of about so many. `now` (RFC 3339) is the time that the
    /// catalog gets when this turn is the last. After the end or an error the coordinator is spent.
    ///
    /// # Errors
    /// What the operation says, or `InvalidInput` for a coordinator that is spent.
    pub fn next(&mut self, roots: &Roots, budget: u64, now: Option<&str>) -> Result<Turn> {
        self.check()?;
        let turn = match &mut self.work {
            Work::Create(job) => job.next(roots, budget, now),
            Work::Verify(job) => job.next(roots, budget),
            Work::Restore(job) => job.next(roots, budget),
        };
        let mut turn = turn.inspect_err(|e| self.fail(roots, e, now))?;
        match &mut turn {
            Turn::Task(task) => {
                label(task, self.dealt);
                self.dealt += 1;
            }
            Turn::Ended(_) => self.ended = true,
            Turn::Working | Turn::Waiting => {}
        }
        Ok(turn)
    }

    /// Takes the result of the oldest task that is out. After an error the coordinator is spent.
    ///
    /// # Errors
    /// What the operation says; `InvalidInput` for a result that was not asked for.
    pub fn take(&mut self, roots: &Roots, piece: Piece, now: Option<&str>) -> Result<()> {
        self.check()?;
        let taken = self.expected(piece).and_then(|piece| match &mut self.work {
            Work::Create(job) => job.take(piece),
            Work::Verify(job) => job.take(&piece),
            Work::Restore(job) => job.take(&piece),
        });
        taken.inspect_err(|e| self.fail(roots, e, now))
    }

    /// The piece without its number, which has to be that of the oldest task that is out.
    fn expected(&mut self, mut piece: Piece) -> Result<Piece> {
        if self.taken == self.dealt {
            return Err(unexpected("no task is out"));
        }
        let (head, number) = labelled(&piece.head)?;
        if number != self.taken {
            return Err(unexpected("it is the result of another task"));
        }
        self.taken += 1;
        let length = head.len();
        piece.head.truncate(length);
        Ok(piece)
    }

    /// How far the operation is; log lines are given once.
    pub fn progress(&mut self) -> Progress {
        match &mut self.work {
            Work::Create(job) => job.progress(),
            Work::Verify(job) => job.progress(),
            Work::Restore(job) => job.progress(),
        }
    }

    /// Ends the operation because of what went wrong, and records that where runs are recorded.
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
        if self.ended { Err(spent()) } else { Ok(()) }
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
        let (task, number) = labelled(task)?;
        let mut piece = match &mut self.0 {
            Kind::Create(worker) => worker.work(roots, task),
            Kind::Verify(worker) => worker.work(roots, task),
            Kind::Restore(worker) => worker.work(roots, task),
        }?;
        label(&mut piece.head, number);
        Ok(piece)
    }
}
