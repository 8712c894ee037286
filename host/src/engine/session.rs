//! One sandbox and the thread that runs it: commands in, answers out, and what happens when no answer comes.
//!
//! The thread is not only for the caller's sake. Synchronous WASI calls panic on a tokio worker, and epochs stop a
//! guest that loops but not a host call that hangs (a dead NFS server): the caller then leaves the thread behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::guest::{Answer, Guest};
use super::sandbox::{Limits, Mounts, Places};
use super::{Engine, failure};
use crate::error::{Code, Error, Result};

/// How long an interrupted component may take to notice. Longer means that a host call hangs.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// How often an interrupted component is reminded.
pub(super) const REMINDER: Duration = Duration::from_millis(20);

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
    pub(super) fn end(&mut self, error: Error) -> Error {
        self.commands = None;
        self.ended = Some(error.clone());
        error
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether the sandbox is still there.
    pub(super) fn is_open(&self) -> bool {
        self.commands.is_some()
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
