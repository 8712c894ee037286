//! One sandbox and the thread that runs it: commands in, answers out, and what happens when no answer comes.
//!
//! The thread is not only for the caller's sake. Synchronous WASI calls panic on a tokio worker, and epochs stop a
//! guest that loops but not a host call that hangs (a dead NFS server): the caller then leaves the thread behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::component::ResourceAny;
use wasmtime::{Store, UpdateDeadline};

use super::bindings::Backup;
use super::sandbox::{self, Limits, Mounts, Places, State};
use super::{Engine, failure, wit};
use crate::error::{Code, Error, Result};

/// How long an interrupted component may take to notice. Longer means that a host call hangs.
const GRACE: Duration = Duration::from_secs(2);
/// How often an interrupted component is reminded.
const REMINDER: Duration = Duration::from_millis(20);
/// Work of one step, in bytes: often enough for a progress bar and a cancellation, seldom enough to cost nothing.
const STEP_BYTES: u64 = 4 << 20;

/// A running sandbox. Each call runs to its end before the next; dropping the session ends it.
///
/// After an error of code `Stuck`, `Internal` or `Sandbox` the sandbox is gone, and every further call says so.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    limits: Limits,
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    interrupt: Arc<AtomicBool>,
    ended: Option<Error>,
    places: Places,
}

/// What the thread does for the caller.
type Command = Box<dyn FnOnce(&mut Guest) + Send>;
/// A component's answer: a trap, or its own result.
pub(super) type Answer<T> = wasmtime::Result<std::result::Result<T, wit::types::Error>>;

/// What a caller of [`Session::run`] sees and says while a job runs. All of it is called on the caller's thread.
pub struct Control {
    /// Set it to stop the job at the next step; what was begun is removed.
    pub cancel: Arc<AtomicBool>,
    /// Called after each step.
    pub on_progress: Box<dyn FnMut(&wit::jobs::Progress) + Send>,
    /// The time, RFC 3339 with the local offset, for the catalog.
    pub now: Box<dyn FnMut() -> String + Send>,
}

impl Default for Control {
    /// Never cancelled, shows nothing, the system's time in the system's zone.
    fn default() -> Self {
        Self {
            cancel: Arc::default(),
            on_progress: Box::new(|_| ()),
            now: Box::new(|| {
                // Not `Local::now()`, which panics when the clock is before 1970.
                chrono::DateTime::<chrono::Local>::from(std::time::SystemTime::now())
                    .to_rfc3339_opts(chrono::SecondsFormat::Micros, false)
            }),
        }
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("cancel", &self.cancel)
            .finish_non_exhaustive()
    }
}

/// The sandbox itself, which never leaves its thread.
pub(super) struct Guest {
    pub(super) store: Store<State>,
    pub(super) world: Backup,
}

impl Guest {
    fn new(engine: &Engine, mounts: Mounts, interrupt: Arc<AtomicBool>) -> Result<Self> {
        let limits = mounts.session_limits();
        let mut store = sandbox::store(&engine.0.engine, mounts)?;
        // The epoch of the engine moves when any session is to be stopped; the flag says which.
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| {
            if interrupt.load(Ordering::SeqCst) {
                return Err(wasmtime::Trap::Interrupt.into());
            }
            Ok(UpdateDeadline::Continue(1))
        });
        let world = engine
            .0
            .component
            .instantiate(&mut store)
            .map_err(|e| failure::trapped(&e, "start", store.data(), limits))?;
        Ok(Self { store, world })
    }
}

impl Session {
    pub(super) fn start(engine: Engine, mounts: Mounts) -> Result<Self> {
        let limits = mounts.session_limits();
        let places = mounts.places();
        let interrupt = Arc::new(AtomicBool::new(false));
        let (commands, inbox) = mpsc::channel::<Command>();
        let (reply, started) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("cofre-engine".to_owned())
            .spawn({
                let (engine, interrupt) = (engine.clone(), Arc::clone(&interrupt));
                move || {
                    let mut guest = match Guest::new(&engine, mounts, interrupt) {
                        Ok(guest) => guest,
                        Err(error) => return drop(reply.send(Err(error))),
                    };
                    // Nobody listens any more when the start took too long; the inbox is closed then as well.
                    let _ = reply.send(Ok(()));
                    for command in inbox {
                        command(&mut guest);
                    }
                }
            })
            .map_err(|e| Error::io("start a thread", &e))?;
        let mut session = Self {
            engine,
            limits,
            commands: Some(commands),
            thread: Some(thread),
            interrupt,
            ended: None,
            places,
        };
        session.wait("start", &started)??;
        Ok(session)
    }

    /// Runs `operation` in the sandbox and waits for its answer.
    pub(super) fn call<T: Send + 'static>(
        &mut self,
        operation: &'static str,
        body: impl FnOnce(&mut Guest) -> Answer<T> + Send + 'static,
    ) -> Result<T> {
        let limits = self.limits;
        let (reply, answer) = mpsc::sync_channel(1);
        let command: Command = Box::new(move |guest| {
            let answer = body(guest).map_err(|e| failure::trapped(&e, operation, guest.store.data(), limits));
            // A caller that gave up does not listen any more.
            let _ = reply.send(answer);
        });
        let sent = self
            .commands
            .as_ref()
            .is_some_and(|commands| commands.send(command).is_ok());
        if !sent {
            let before = self.ended.as_ref().map_or("its thread ended", |e| &e.message);
            return Err(Error::new(
                Code::Internal,
                format!("{operation}: the sandbox is gone since an earlier failure: {before}"),
            ));
        }
        match self.wait(operation, &answer)? {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failure::reported(error, &self.places)),
            Err(error) => Err(self.end(error)),
        }
    }

    /// Waits for an answer as long as the limits say, then interrupts, then leaves the thread behind.
    fn wait<T>(&mut self, operation: &str, answer: &Receiver<T>) -> Result<T> {
        let mut result = answer.recv_timeout(self.limits.stall);
        if is_timeout(&result) {
            self.interrupt.store(true, Ordering::SeqCst);
            let begin = Instant::now();
            while is_timeout(&result) && begin.elapsed() < GRACE {
                self.engine.0.engine.increment_epoch();
                result = answer.recv_timeout(REMINDER);
            }
        }
        result.map_err(|error| match error {
            RecvTimeoutError::Timeout => {
                // The thread is in a host call that does not come back. If it ever does, the flag stops it.
                self.thread = None;
                self.end(failure::stuck(operation, self.limits))
            }
            RecvTimeoutError::Disconnected => self.end(
                Error::new(
                    Code::Internal,
                    format!("{operation}: the sandbox's thread panicked"),
                )
                .remedy("this is a bug; please report it with what was printed before"),
            ),
        })
    }

    /// Closes the sandbox, for good, and remembers why.
    fn end(&mut self, error: Error) -> Error {
        self.commands = None;
        self.ended = Some(error.clone());
        error
    }

    /// Runs a job to its end, in steps.
    ///
    /// # Errors
    /// What the component reports; `Cancelled` after `control.cancel`; `Stuck` when neither files nor bytes
    /// advanced within the limit.
    pub fn run(&mut self, request: wit::jobs::Request, control: &mut Control) -> Result<wit::jobs::Outcome> {
        let job = self.call("start", move |guest| {
            let jobs = guest.world.cofre_backup_jobs();
            Ok(Ok(jobs.job().call_constructor(&mut guest.store, &request)?))
        })?;
        let result = self.advance(job, control);
        if self.commands.is_some() {
            let dropped = self.call("finish", move |guest| {
                Ok(Ok(job.resource_drop(&mut guest.store)?))
            });
            if let Err(error) = dropped {
                tracing::warn!("{error}");
            }
        }
        result
    }

    fn advance(&mut self, job: ResourceAny, control: &mut Control) -> Result<wit::jobs::Outcome> {
        let mut seen = (0, 0, 0, 0);
        let mut moved = Instant::now();
        loop {
            let now = (control.now)();
            if control.cancel.load(Ordering::SeqCst) {
                self.call("cancel", move |guest| {
                    let jobs = guest.world.cofre_backup_jobs();
                    jobs.job().call_cancel(&mut guest.store, job, &now)
                })?;
                return Err(Error::new(
                    Code::Cancelled,
                    "stopped on request; nothing is left behind",
                ));
            }
            let mut progress = self.call("step", move |guest| {
                let jobs = guest.world.cofre_backup_jobs();
                jobs.job().call_step(&mut guest.store, job, STEP_BYTES, &now)
            })?;
            for line in &progress.log {
                tracing::info!(target: "cofre::component", "{}", line.escape_debug());
            }
            (control.on_progress)(&progress);
            if let Some(outcome) = progress.outcome.take() {
                return Ok(outcome);
            }
            let state = (
                progress.files_done,
                progress.files_total,
                progress.bytes_done,
                progress.bytes_total,
            );
            if state != seen {
                seen = state;
                moved = Instant::now();
            } else if moved.elapsed() > self.limits.stall {
                return Err(self.end(failure::stuck("step", self.limits)));
            }
        }
    }
}

fn is_timeout<T>(result: &std::result::Result<T, RecvTimeoutError>) -> bool {
    matches!(result, Err(RecvTimeoutError::Timeout))
}

impl Drop for Session {
    /// Waits for the thread, so that the mounted handles are closed afterwards; not for one that hangs.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            // It panicked: that was reported by the call that noticed.
            let _ = thread.join();
        }
    }
}
