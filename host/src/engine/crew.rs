//! The workers of an operation that is spread over sandboxes: each a sandbox on a thread of its own, all of them fed
//! from one desk. Started when there is work for them, and stopped together.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::guest::Guest;
use super::sandbox::{Limits, Mounts};
use super::session::{GRACE, REMINDER};
use super::wit::jobs::Request;
use super::wit::shards::Piece;
use super::{Engine, failure};
use crate::error::{Code, Error, Result};

/// Tasks that may be out for each worker: one that it works on, and one that it finds at once when that is done.
const TASKS_EACH: usize = 2;
/// Most tasks that may be out, however many workers there are: the coordinator may have to keep all their results in
/// its memory while it reads something itself.
const TASKS_MAX: usize = 32;
/// Largest task and largest result, in bytes. Those of the component have a block of 4 MiB, or small files of about
/// as much.
const MESSAGE_BYTES: usize = 16 << 20;
/// Bytes of tasks and results on the desk from which on no more tasks are asked for.
const DESK_BYTES: usize = 64 << 20;

/// The workers of one operation. Dropping it stops them.
pub(super) struct Crew<'a> {
    engine: &'a Engine,
    request: Request,
    mounts: &'a dyn Fn() -> Result<Mounts>,
    most: usize,
    limits: Limits,
    desk: Arc<Desk>,
    interrupt: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Where tasks and results lie, between the driver and the workers.
#[derive(Default)]
struct Desk {
    papers: Mutex<Papers>,
    // For the workers: there is a task, or none will come.
    tasks: Condvar,
    // For the driver: there is a result, or a worker has gone.
    results: Condvar,
}

#[derive(Default)]
struct Papers {
    tasks: VecDeque<(u64, Vec<u8>)>,
    results: BTreeMap<u64, Piece>,
    bytes: usize,
    // Numbers of the next task to be dealt and of the next result to be taken.
    dealt: u64,
    taken: u64,
    workers: Vec<Doing>,
    failed: Option<Error>,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Starting(Instant),
    Nothing,
    Task(Instant),
    Gone,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Papers> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task for this worker; none when it may go. Waits for one.
    fn next_task(&self, worker: usize) -> Option<(u64, Vec<u8>)> {
        let mut papers = self.lock();
        loop {
            if papers.closed {
                return None;
            }
            if let Some((number, task)) = papers.tasks.pop_front() {
                papers.workers[worker] = Doing::Task(Instant::now());
                papers.bytes -= task.len();
                return Some((number, task));
            }
            papers.workers[worker] = Doing::Nothing;
            papers = self.tasks.wait(papers).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn put_result(&self, number: u64, piece: Piece) {
        let mut papers = self.lock();
        papers.bytes += size(&piece);
        papers.results.insert(number, piece);
        drop(papers);
        self.results.notify_one();
    }

    /// The first failure is the one to tell: those after it come from being stopped.
    fn fail(&self, error: Error) {
        let mut papers = self.lock();
        if !papers.closed {
            papers.failed = Some(error);
            papers.close();
        }
        drop(papers);
        self.tasks.notify_all();
        self.results.notify_one();
    }
}

impl Papers {
    fn close(&mut self) {
        self.closed = true;
        self.tasks.clear();
    }

    /// Tasks whose results have not been taken.
    fn out(&self) -> usize {
        usize::try_from(self.dealt - self.taken).unwrap_or(usize::MAX)
    }
}

fn size(piece: &Piece) -> usize {
    piece.head.len() + piece.data.len()
}

impl<'a> Crew<'a> {
    /// A crew of at most `most` workers, none of which is there yet. `limits` say how long one task may take.
    pub(super) fn new(
        engine: &'a Engine,
        request: Request,
        mounts: &'a dyn Fn() -> Result<Mounts>,
        most: usize,
        limits: Limits,
    ) -> Self {
        Self {
            engine,
            request,
            mounts,
            most,
            limits,
            desk: Arc::default(),
            interrupt: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// Whether one more task may be out.
    pub(super) fn has_room(&self) -> bool {
        let papers = self.desk.lock();
        papers.out() < (self.most * TASKS_EACH).min(TASKS_MAX) && papers.bytes < DESK_BYTES
    }

    /// Whether no task is out.
    pub(super) fn is_idle(&self) -> bool {
        self.desk.lock().out() == 0
    }

    /// Gives a task to whoever is free first, or to a new worker.
    ///
    /// # Errors
    /// `Sandbox` for a task that is too large, and what [`Engine::open`] says of a new worker.
    pub(super) fn deal(&mut self, task: Vec<u8>) -> Result<()> {
        check_size("a task", task.len())?;
        let mut papers = self.desk.lock();
        let number = papers.dealt;
        papers.dealt += 1;
        papers.bytes += task.len();
        papers.tasks.push_back((number, task));
        let free = |doing: &&Doing| matches!(doing, Doing::Starting(_) | Doing::Nothing);
        let free = papers.workers.iter().filter(free).count();
        let short = papers.tasks.len() > free && papers.workers.len() < self.most;
        drop(papers);
        self.desk.tasks.notify_one();
        if short { self.start() } else { Ok(()) }
    }

    fn start(&mut self) -> Result<()> {
        let (engine, request, mounts) = (self.engine.clone(), self.request.clone(), (self.mounts)()?);
        let (desk, interrupt) = (Arc::clone(&self.desk), Arc::clone(&self.interrupt));
        let number = self.threads.len();
        self.desk.lock().workers.push(Doing::Starting(Instant::now()));
        let thread = std::thread::Builder::new()
            .name(format!("cofre-worker-{number}"))
            .spawn(move || {
                // Dropped last, when the sandbox is gone.
                let _leaving = Leaving { desk: &desk, number };
                if let Err(error) = work(&engine, &request, mounts, interrupt, &desk, number) {
                    desk.fail(error);
                }
            });
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                self.desk.lock().workers.pop();
                return Err(Error::io("start a thread", &error).remedy("set fewer workers"));
            }
        }
        Ok(())
    }

    /// The result of the oldest task that is out, if it is there.
    ///
    /// # Errors
    /// That a worker failed, or has worked on one task for longer than the limit.
    pub(super) fn oldest(&self) -> Result<Option<Piece>> {
        let mut papers = self.desk.lock();
        if let Some(error) = papers.failed.take() {
            return Err(error);
        }
        let late = |doing: &Doing| match doing {
            Doing::Starting(since) | Doing::Task(since) => since.elapsed() > self.limits.stall,
            Doing::Nothing | Doing::Gone => false,
        };
        if papers.workers.iter().any(late) {
            return Err(failure::stuck("step", self.limits));
        }
        let taken = papers.taken;
        let piece = papers.results.remove(&taken);
        if let Some(piece) = &piece {
            papers.taken += 1;
            papers.bytes -= size(piece);
        }
        Ok(piece)
    }

    /// Waits until there may be something new, at most so long.
    pub(super) fn wait(&self, longest: Duration) {
        let papers = self.desk.lock();
        if papers.failed.is_none() && !papers.results.contains_key(&papers.taken) {
            drop(self.desk.results.wait_timeout(papers, longest));
        }
    }

    /// Ends all workers. One in a host call that does not come back is left behind; if it ever does, it stops.
    pub(super) fn stop(&mut self) {
        self.desk.lock().close();
        self.desk.tasks.notify_all();
        self.interrupt.store(true, Ordering::SeqCst);
        let begin = Instant::now();
        let mut papers = self.desk.lock();
        while papers.workers.iter().any(|doing| *doing != Doing::Gone) && begin.elapsed() < GRACE {
            self.engine.0.engine.increment_epoch();
            papers = match self.desk.results.wait_timeout(papers, REMINDER) {
                Ok((papers, _)) => papers,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        let workers = papers.workers.clone();
        drop(papers);
        for (thread, doing) in self.threads.drain(..).zip(workers) {
            if doing == Doing::Gone {
                // It panicked: that was reported when it left.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Says that a worker has gone, however it went.
struct Leaving<'a> {
    desk: &'a Desk,
    number: usize,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = Error::new(Code::Internal, "step: a worker's thread panicked")
                .remedy("this is a bug; please report it with what was printed before");
            self.desk.fail(error);
        }
        self.desk.lock().workers[self.number] = Doing::Gone;
        self.desk.results.notify_one();
    }
}

/// The life of one worker.
fn work(
    engine: &Engine,
    request: &Request,
    mounts: Mounts,
    interrupt: Arc<AtomicBool>,
    desk: &Desk,
    number: usize,
) -> Result<()> {
    let (limits, places) = (mounts.session_limits(), mounts.places());
    let mut guest = Guest::new(engine, mounts, interrupt)?;
    let worker = {
        let shards = guest.world.cofre_backup_shards();
        shards.worker().call_constructor(&mut guest.store, request)
    };
    let worker = worker.map_err(|e| failure::trapped(&e, "start", guest.store.data(), limits))?;
    while let Some((task_number, task)) = desk.next_task(number) {
        let answer = {
            let shards = guest.world.cofre_backup_shards();
            shards.worker().call_work(&mut guest.store, worker, &task)
        };
        let piece = answer
            .map_err(|e| failure::trapped(&e, "step", guest.store.data(), limits))?
            .map_err(|e| failure::reported(e, &places))?;
        check_size("a result", size(&piece))?;
        desk.put_result(task_number, piece);
    }
    Ok(())
}

fn check_size(what: &str, bytes: usize) -> Result<()> {
    if bytes <= MESSAGE_BYTES {
        return Ok(());
    }
    Err(Error::new(
        Code::Sandbox,
        format!(
            "step: {what} of {} MiB, where {} MiB are allowed",
            bytes.div_ceil(1 << 20),
            MESSAGE_BYTES >> 20
        ),
    )
    .remedy("this is a bug; please report it with this message"))
}
