//! When copies are made: after each run, and again after a failure, by a thread of the service; `cofre create` without a
//! service does it itself at its end. Neither delays or fails a backup.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::watch::Watch;
use super::{Pruning, Pushed, prune, push, state};
use crate::config::Remote;
use crate::context::Context;
use crate::error::{Code, Error, Result};
use crate::notify::now;
use crate::serve::only;

/// How often it is looked whether another process made a backup, or a wait is over.
const LOOK: Duration = Duration::from_secs(30);
/// How long the end waits for a transfer to notice that it is to stop; what it sent is gone on with.
const LEAVE: Duration = Duration::from_secs(3);

/// Rung when there may be something to copy.
static BELL: (Mutex<u64>, Condvar) = (Mutex::new(0), Condvar::new());

/// Wakes the copier of this process: a run has ended.
pub(crate) fn ring() {
    let mut rung = BELL.0.lock().unwrap_or_else(PoisonError::into_inner);
    *rung = rung.wrapping_add(1);
    BELL.1.notify_all();
}

/// The thread that copies. One for all remotes: they share the machine's line.
#[derive(Debug)]
pub struct Copier {
    cancel: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    /// Starts it; nothing where no remote is configured.
    ///
    /// # Errors
    /// When the system has no thread.
    pub fn start(context: Arc<Context>) -> Result<Self> {
        let cancel = Arc::new(AtomicBool::new(false));
        if context.config.remotes.is_empty() {
            return Ok(Self { cancel, thread: None });
        }
        let flag = Arc::clone(&cancel);
        let thread = std::thread::Builder::new()
            .name("cofre-copy".to_owned())
            .spawn(move || run(&context, &flag))
            .map_err(|e| Error::io("start a thread", &e))?;
        Ok(Self {
            cancel,
            thread: Some(thread),
        })
    }

    /// Ends it; a transfer is broken off and gone on with when cofre runs again.
    pub fn stop(mut self) {
        self.cancel.store(true, Ordering::SeqCst);
        ring();
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + LEAVE;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        if !thread.is_finished() {
            tracing::warn!("a copy did not stop in time, and is left; it is gone on with at the next start");
        }
    }
}

fn run(context: &Context, cancel: &Arc<AtomicBool>) {
    let watch = Watch::new(Arc::clone(cancel), |_, _| ());
    while !cancel.load(Ordering::SeqCst) {
        let seen = *BELL.0.lock().unwrap_or_else(PoisonError::into_inner);
        for remote in &context.config.remotes {
            if cancel.load(Ordering::SeqCst) {
                return;
            }
            look(context, remote, &watch);
        }
        let rung = BELL.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(BELL.1.wait_timeout_while(rung, LOOK, |rung| *rung == seen));
    }
}

/// Copies to one remote what is due.
fn look(context: &Context, remote: &Remote, watch: &Watch) {
    match is_due(context, remote) {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => {
            tracing::error!(remote = remote.name, "what is to be copied is not known: {error}");
            return;
        }
    }
    match push(context, remote, &[], watch) {
        Ok(pushed) => tidy(context, remote, &pushed, watch),
        Err(error) if matches!(error.code, Code::Cancelled | Code::Busy) => {
            tracing::info!(remote = remote.name, "not copied now: {error}");
        }
        Err(error) => tracing::error!(
            remote = remote.name,
            "the copy failed, and is tried again: {error}"
        ),
    }
}

fn is_due(context: &Context, remote: &Remote) -> Result<bool> {
    let state = state::peek(&context.config, remote)?;
    if state.not_before.is_some_and(|time| time > now()) {
        return Ok(false);
    }
    Ok(state.sending.is_some() || push::pending(context, &state)? > 0)
}

/// Retention at the remote, where it is configured and something is new.
fn tidy(context: &Context, remote: &Remote, pushed: &Pushed, watch: &Watch) {
    if remote.retention.is_none() || pushed.copied.is_empty() {
        return;
    }
    match prune(context, remote, Pruning::default(), watch) {
        Ok(pruned) => {
            let gone = pruned.verdicts.iter().filter(|verdict| !verdict.keep).count();
            tracing::info!(remote = remote.name, removed = gone, "retention at the remote");
            let bad = pruned.verdicts.iter().filter(|verdict| verdict.bad).count();
            if bad > 0 {
                tracing::error!(
                    remote = remote.name,
                    bad,
                    "copies are gone or changed: `cofre remote list` shows them"
                );
            }
        }
        Err(error) => tracing::warn!(
            remote = remote.name,
            "retention at the remote did not run: {error}"
        ),
    }
}

/// Copies after a run of a command, to every remote, unless a service does. What fails is given to `say`; the backup is
/// made all the same.
pub fn after_run(context: &Context, watch: &Watch, say: &mut dyn FnMut(&str)) {
    let config = &context.config;
    if config.remotes.is_empty() {
        return;
    }
    if only::is_held(&config.state_dir) {
        say("the service copies it to the remotes");
        return;
    }
    for remote in &config.remotes {
        match push(context, remote, &[], watch) {
            Ok(pushed) => {
                for sent in pushed.copied.iter().filter(|sent| !sent.already) {
                    say(&format!("copied {} to {}", sent.name, remote.name));
                }
                pushed
                    .problems
                    .iter()
                    .for_each(|problem| say(&format!("not copied to {}: {problem}", remote.name)));
                tidy(context, remote, &pushed, watch);
            }
            Err(error) => say(&format!("the copy to {} failed: {error}", remote.name)),
        }
    }
}
