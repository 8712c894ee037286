//! Sends what is in the outbox. One thread looks, and for each receiver with something due a thread of its own
//! sends: one that hangs delays nobody else.

mod worker;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::client::Client;
use super::outbox::{self, Entry, Lane, Message, Outbox, OutboxLock, Signal};
use super::pace::Pace;
use super::tally::Tally;
use super::target::Target;
use crate::config::Config;
use crate::context::Context;
use crate::error::{Code, Error, Result};
use crate::text;
use worker::{Free, Worker};

/// How long the end waits for those who are told to stop: a name lookup can't be interrupted.
const LEAVE: Duration = Duration::from_secs(1);
/// How much longer the thread may take than it should, before it is left behind: its disk may hang.
const LAST_WORD: Duration = Duration::from_secs(5);

/// The sender of this process. Another process that sends goes first; this one takes over when it is gone.
#[derive(Debug)]
pub struct Deliverer {
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    pace: Pace,
    outbox: Outbox,
    tally: Tally,
    mode: Mutex<Mode>,
    state: Mutex<State>,
}

/// What the thread is to do.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// Whatever becomes due.
    Run,
    /// Each delivery that was due then, once, and then end; but not for longer.
    Finish(DateTime<Utc>, Instant),
    /// End.
    Stop,
}

#[derive(Debug, Default)]
struct State {
    /// What the files say; only the holder of the lock changes them.
    queue: BTreeMap<String, Entry>,
    /// Files that can't be read or removed, said once.
    ignored: HashSet<String>,
    /// Receivers that are being sent to.
    busy: HashMap<Lane, Client>,
    /// Receivers that asked to be left alone.
    paused: HashMap<Lane, Instant>,
}

impl Deliverer {
    /// Starts the sender.
    ///
    /// # Errors
    /// When the outbox can't be opened, or the system has no thread.
    pub fn start(context: Arc<Context>) -> Result<Self> {
        Self::start_with(context.config.clone(), Pace::default())
    }

    /// The same with other times.
    pub(super) fn start_with(config: Config, pace: Pace) -> Result<Self> {
        let inner = Arc::new(Inner {
            outbox: Outbox::open(&config.state_dir)?,
            tally: Tally::open(&config)?,
            config,
            pace,
            mode: Mutex::new(Mode::Run),
            state: Mutex::default(),
        });
        let thread = std::thread::Builder::new()
            .name("cofre-notify".to_owned())
            .spawn({
                let inner = Arc::clone(&inner);
                move || inner.run()
            })
            .map_err(|e| Error::io("start a thread", &e))?;
        Ok(Self {
            inner,
            thread: Some(thread),
        })
    }

    /// Ends now. What is being sent is broken off and sent again, under the same id, when cofre runs again.
    pub fn stop(mut self) {
        self.end(Mode::Stop);
    }

    /// Tries each delivery that is due, once, and ends; after `limit` at the latest. Ends at once while another
    /// process sends: that one takes them.
    pub fn finish(mut self, limit: Duration) {
        self.end(Mode::Finish(super::now(), Instant::now() + limit));
    }

    fn end(&mut self, mode: Mode) {
        *lock(&self.inner.mode) = mode;
        outbox::ring();
        let Some(thread) = self.thread.take() else { return };
        let limit = match mode {
            Mode::Finish(_, until) => until.saturating_duration_since(Instant::now()),
            Mode::Run | Mode::Stop => Duration::ZERO,
        };
        let end = Instant::now() + limit + LAST_WORD;
        while !thread.is_finished() {
            if Instant::now() > end {
                tracing::error!("the thread that sends notifications hangs, and is left behind");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if thread.join().is_err() {
            tracing::error!("the thread that sends notifications panicked; this is a bug");
        }
    }
}

impl Drop for Deliverer {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end(Mode::Stop);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    fn run(self: &Arc<Self>) {
        let mut held = None;
        let mut said = None;
        loop {
            let seen = outbox::rung();
            let mode = *lock(&self.mode);
            // A bug in one round must not end all of them.
            let looked = catch_unwind(AssertUnwindSafe(|| self.look(&mut held, mode)))
                .unwrap_or_else(|_| Err(Error::new(Code::Internal, "a bug stopped the sending; see above")));
            let problem = looked.err().map(|error| error.to_string());
            if problem.is_some() && problem != said {
                tracing::error!("notifications wait: {}", problem.as_deref().unwrap_or_default());
            }
            said = problem;
            let over = match mode {
                Mode::Run => false,
                Mode::Stop => true,
                Mode::Finish(_, until) => {
                    held.is_none()
                        || said.is_some()
                        || lock(&self.state).busy.is_empty()
                        || Instant::now() >= until
                }
            };
            if over {
                break;
            }
            outbox::wait(seen, self.pace.poll);
        }
        self.leave();
    }

    fn look(self: &Arc<Self>, held: &mut Option<Arc<OutboxLock>>, mode: Mode) -> Result<()> {
        let as_of = match mode {
            Mode::Stop => return Ok(()),
            Mode::Run => super::now(),
            Mode::Finish(as_of, _) => as_of,
        };
        if held.is_none() {
            *held = self.outbox.try_lock()?.map(Arc::new);
            if held.is_some() {
                self.outbox.sweep()?;
            }
        }
        match held {
            Some(held) => self.round(held, as_of),
            None => Ok(()),
        }
    }

    /// Ends what is being sent.
    fn leave(&self) {
        *lock(&self.mode) = Mode::Stop;
        let until = Instant::now() + LEAVE;
        loop {
            let seen = outbox::rung();
            let busy: Vec<Client> = lock(&self.state).busy.values().cloned().collect();
            if busy.is_empty() || Instant::now() >= until {
                return;
            }
            busy.iter().for_each(Client::shutdown);
            outbox::wait(seen, Duration::from_millis(50));
        }
    }

    fn stopping(&self) -> bool {
        matches!(*lock(&self.mode), Mode::Stop)
    }

    /// Reads what is new, drops what is void, and starts a thread for each receiver with something due.
    fn round(self: &Arc<Self>, held: &Arc<OutboxLock>, as_of: DateTime<Utc>) -> Result<()> {
        let names = self.outbox.names()?;
        let mut state = lock(&self.state);
        self.take_in(&mut state, &names);
        let mut lanes: BTreeMap<Lane, Vec<String>> = BTreeMap::new();
        for (name, entry) in &state.queue {
            lanes.entry(entry.lane()).or_default().push(name.clone());
        }
        for (lane, names) in lanes {
            if state.busy.contains_key(&lane) {
                continue;
            }
            let Some(target) = Target::find(&self.config, &lane) else {
                tracing::warn!(
                    "{} deliveries are dropped: the configuration has no {} any more",
                    names.len(),
                    named(&lane)
                );
                names.iter().for_each(|name| self.drop_entry(&mut state, name));
                continue;
            };
            self.drop_void(&mut state, &lane, &target, &names);
            if state
                .paused
                .get(&lane)
                .is_some_and(|until| Instant::now() < *until)
            {
                continue;
            }
            state.paused.remove(&lane);
            let batch = due(&state.queue, &lane, &names, as_of);
            if !batch.is_empty() {
                self.spawn(&mut state, held, lane, target, batch)?;
            }
        }
        Ok(())
    }

    fn take_in(&self, state: &mut State, names: &[String]) {
        let State { queue, ignored, .. } = state;
        queue.retain(|name, _| names.binary_search(name).is_ok());
        ignored.retain(|name| names.binary_search(name).is_ok());
        for name in names {
            if queue.contains_key(name) || ignored.contains(name) {
                continue;
            }
            match self.outbox.read(name) {
                Ok(Some(entry)) => {
                    queue.insert(name.clone(), entry);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!("a delivery is left: {error}");
                    ignored.insert(name.clone());
                }
            }
        }
    }

    /// Drops pings that are no news any more: the start of a run that has ended, and what is too old.
    fn drop_void(&self, state: &mut State, lane: &Lane, target: &Target, names: &[String]) {
        let Lane::Ping(_) = lane else { return };
        let now = super::now();
        let mut void = Vec::new();
        for name in names {
            let Some(entry) = state.queue.get(name) else {
                continue;
            };
            let Message::Ping { run, signal, .. } = entry.message else {
                continue;
            };
            let ended = |other: &Entry| matches!(other.message, Message::Ping { run: of, signal: s, .. } if of == run && s != Signal::Start);
            let over =
                signal == Signal::Start && names.iter().any(|name| state.queue.get(name).is_some_and(ended));
            let age = now
                .signed_duration_since(entry.created_at)
                .to_std()
                .unwrap_or_default();
            if age > self.pace.ping_life {
                tracing::error!(
                    "{}: run {run} was not reported ({signal:?}) within {}, and is not any more",
                    target.label,
                    text::duration(self.pace.ping_life.as_secs_f64())
                );
                self.tally.count(lane, |counts| counts.given_up += 1);
                void.push(name);
            } else if over {
                tracing::info!(
                    "{}: the start of run {run} was not reported before its end",
                    target.label
                );
                void.push(name);
            }
        }
        void.into_iter().for_each(|name| self.drop_entry(state, name));
    }

    fn drop_entry(&self, state: &mut State, name: &str) {
        state.queue.remove(name);
        if let Err(error) = self.outbox.remove(name) {
            tracing::error!("{error}");
            state.ignored.insert(name.to_owned());
        }
    }

    fn spawn(
        self: &Arc<Self>,
        state: &mut State,
        held: &Arc<OutboxLock>,
        lane: Lane,
        target: Target,
        batch: Vec<String>,
    ) -> Result<()> {
        let client = Client::new(self.pace.timeout, target.allow_http);
        state.busy.insert(lane.clone(), client.clone());
        let worker = Worker {
            inner: Arc::clone(self),
            lane: lane.clone(),
            target,
            client,
        };
        let held = Arc::clone(held);
        let spawned = std::thread::Builder::new()
            .name("cofre-send".to_owned())
            .spawn(move || {
                let _free = Free(&worker);
                // Held as long as anybody sends, and let go before the receiver is free again.
                let _held = held;
                worker.run(&batch);
            });
        if let Err(error) = spawned {
            state.busy.remove(&lane);
            return Err(Error::io("start a thread", &error));
        }
        Ok(())
    }
}

/// What of a lane is to be tried now. Pings tell of runs in their order, so a later one brings the earlier ones
/// along; webhooks carry ids and times, and go by themselves.
fn due(queue: &BTreeMap<String, Entry>, lane: &Lane, names: &[String], as_of: DateTime<Utc>) -> Vec<String> {
    let entries = || names.iter().filter_map(|name| Some((name, queue.get(name)?)));
    let is_due = |entry: &Entry| {
        let wait = entry.next_attempt_at.signed_duration_since(as_of);
        // A wait that is longer than any comes from a clock that was wrong.
        wait.to_std()
            .map_or(true, |wait| wait.is_zero() || wait > Pace::longest())
    };
    match lane {
        Lane::Webhook(_) => entries()
            .filter(|(_, entry)| is_due(entry))
            .map(|(name, _)| name.clone())
            .collect(),
        Lane::Ping(_) if entries().any(|(_, entry)| is_due(entry)) => {
            let mut all: Vec<_> = entries().collect();
            all.sort_by_key(|(_, entry)| match entry.message {
                Message::Ping { run, signal, .. } => (run, signal != Signal::Start),
                Message::Webhook { .. } => (0, false),
            });
            all.into_iter().map(|(name, _)| name.clone()).collect()
        }
        Lane::Ping(_) => Vec::new(),
    }
}

fn named(lane: &Lane) -> String {
    match lane {
        Lane::Webhook(name) => format!("webhook `{}`", text::escape(name)),
        Lane::Ping(plan) => format!("ping_url for the plan `{}`", text::escape(plan)),
    }
}

#[cfg(test)]
mod tests;
