//! The thread that sends to one receiver, one delivery after another, and notes what became of each.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};

use super::{Inner, lock};
use crate::notify::client::{Client, Failure};
use crate::notify::outbox::{self, Entry, Lane};
use crate::notify::tally::Counts;
use crate::notify::target::Target;
use crate::text;

/// Sends to one receiver.
pub(super) struct Worker {
    pub(super) inner: Arc<Inner>,
    pub(super) lane: Lane,
    pub(super) target: Target,
    pub(super) client: Client,
}

/// Frees the receiver when its thread ends, however it does.
pub(super) struct Free<'a>(pub(super) &'a Worker);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        lock(&self.0.inner.state).busy.remove(&self.0.lane);
        outbox::ring();
    }
}

impl Worker {
    pub(super) fn run(&self, batch: &[String]) {
        for (at, name) in batch.iter().enumerate() {
            if self.inner.stopping() {
                return;
            }
            // It may have been pushed out by newer ones meanwhile.
            let Some(entry) = lock(&self.inner.state).queue.get(name).cloned() else {
                continue;
            };
            let Err(retry_at) = self.attempt(name, entry) else {
                continue;
            };
            let paused = lock(&self.inner.state).paused.contains_key(&self.lane);
            if let (Lane::Ping(_), Some(retry_at)) = (&self.lane, retry_at) {
                self.put_off(batch.get(at + 1..).unwrap_or_default(), retry_at);
                return;
            }
            if paused {
                return;
            }
        }
    }

    /// Tries one; on failure says when it is tried again, if it is.
    fn attempt(&self, name: &str, mut entry: Entry) -> std::result::Result<(), Option<DateTime<Utc>>> {
        let began = Instant::now();
        let outcome = match self.target.request(&entry, crate::notify::now()) {
            Ok(request) => self.client.post(&request),
            Err(error) => Err(Failure {
                message: error.to_string(),
                retry_after: None,
            }),
        };
        let label = &self.target.label;
        let id = entry.id.as_str();
        let failure = match outcome {
            Ok(status) => {
                tracing::info!(id, status, took = %text::duration(began.elapsed().as_secs_f64()), "delivered to {label}");
                self.inner.drop_entry(&mut lock(&self.inner.state), name);
                self.inner.tally.count(&self.lane, Counts::arrived);
                return Ok(());
            }
            // Broken off by the end of the process: that was no try.
            Err(_) if self.inner.stopping() => return Err(None),
            Err(failure) => failure,
        };
        entry.attempts = entry.attempts.saturating_add(1);
        let message = failure.message.as_str();
        let Some(wait) = self.inner.pace.wait(&entry) else {
            tracing::error!(id, tries = entry.attempts, "{label}: {message}; given up");
            self.inner.drop_entry(&mut lock(&self.inner.state), name);
            self.inner.tally.count(&self.lane, |counts| {
                counts.failed(message);
                counts.given_up += 1;
            });
            return Err(None);
        };
        let wait = wait.max(failure.retry_after.unwrap_or_default());
        if let Some(pause) = failure.retry_after {
            lock(&self.inner.state)
                .paused
                .insert(self.lane.clone(), Instant::now() + pause);
        }
        tracing::warn!(
            id,
            tries = entry.attempts,
            "{label}: {message}; next try in {}",
            text::duration(wait.as_secs_f64())
        );
        self.inner
            .tally
            .count(&self.lane, |counts| counts.failed(message));
        entry.next_attempt_at = crate::notify::now() + wait;
        let retry_at = entry.next_attempt_at;
        self.keep(name, entry);
        Err(Some(retry_at))
    }

    /// Pings behind one that failed wait for it.
    fn put_off(&self, names: &[String], until: DateTime<Utc>) {
        for name in names {
            let entry = lock(&self.inner.state).queue.get(name).cloned();
            if let Some(mut entry) = entry
                && entry.next_attempt_at < until
            {
                entry.next_attempt_at = until;
                self.keep(name, entry);
            }
        }
    }

    /// Writes an entry that was tried. Where that fails it counts for this process at least.
    fn keep(&self, name: &str, entry: Entry) {
        if let Err(error) = self.inner.outbox.write(name, &entry) {
            tracing::error!("a failed delivery is not recorded: {error}");
        }
        lock(&self.inner.state).queue.insert(name.to_owned(), entry);
    }
}
