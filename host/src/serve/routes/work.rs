//! What the routes share: the service, and the one way from an async worker to the engine, which blocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{Cause, Problem};
use crate::context::{self, Context};
use crate::engine::Control;
use crate::error::Code;
use crate::serve::Service;

/// Short operations at a time; each has a sandbox of its own.
const SHORT: usize = 4;
/// Short operations that wait for their turn: more than there are usually connections, so that only a backups
/// folder that hangs turns callers away.
const SHORT_WAITING: usize = 1024;
/// Verifications and restores at a time; each reads a whole archive.
const LONG: usize = 2;
/// Verifications and restores that wait for their turn.
const LONG_WAITING: usize = 8;
/// How long a call waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// Streams of events at a time.
const STREAMS: usize = 64;
/// Reads of archives at a time, of all downloads together: a disk that hangs must not take all blocking threads.
const READS: usize = 32;

/// State of every handler.
#[derive(Debug)]
pub(super) struct Site {
    /// Configuration, engine, runner, metrics.
    pub(super) service: Arc<Service>,
    /// The OpenAPI document.
    pub(super) document: Bytes,
    /// Places of event streams.
    pub(super) streams: Arc<Semaphore>,
    /// Places of reads of archives.
    pub(super) reads: Arc<Semaphore>,
    short: Gate,
    long: Gate,
}

impl Site {
    pub(super) fn new(service: Arc<Service>, document: Bytes) -> Self {
        Self {
            service,
            document,
            streams: Arc::new(Semaphore::new(STREAMS)),
            reads: Arc::new(Semaphore::new(READS)),
            short: Gate::new(SHORT, SHORT_WAITING),
            long: Gate::new(LONG, LONG_WAITING),
        }
    }

    /// Whether the service ends: no new work is begun.
    pub(super) fn is_ending(&self) -> bool {
        *self.service.ending.borrow()
    }

    /// Runs `work` on a thread where it may block, behind the short operations before it. It goes on when the
    /// client leaves.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let places = self.short.enter().await?;
        let context = Arc::clone(&self.service.context);
        on_thread(move || {
            let result = work(&context);
            drop(places);
            result
        })
        .await
    }

    /// The same for work that takes as long as an archive is big. The end of the service cancels it.
    pub(super) async fn blocking_long<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Context, &mut Control) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        if self.is_ending() {
            return Err(Cause::ShuttingDown.into());
        }
        let places = self.long.enter().await?;
        let context = Arc::clone(&self.service.context);
        let mut control = self.control();
        let result = on_thread(move || {
            let result = work(&context, &mut control);
            drop(places);
            result
        })
        .await;
        match result {
            Err(problem) if problem.code == Code::Cancelled.name() => Err(Cause::ShuttingDown.into()),
            other => other,
        }
    }

    fn control(&self) -> Control {
        let cancel = Arc::new(AtomicBool::new(false));
        let config = self.service.context.config.clone();
        Control {
            cancel: Arc::clone(&cancel),
            on_progress: Box::new({
                let ending = self.service.ending.clone();
                move |_| {
                    if *ending.borrow() {
                        cancel.store(true, Ordering::SeqCst);
                    }
                }
            }),
            now: Box::new(move || context::now(&config)),
        }
    }
}

/// A bounded queue in front of a bounded number of places.
#[derive(Debug)]
struct Gate {
    queue: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Gate {
    fn new(at_a_time: usize, waiting: usize) -> Self {
        Self {
            queue: Arc::new(Semaphore::new(at_a_time + waiting)),
            places: Arc::new(Semaphore::new(at_a_time)),
        }
    }

    /// Waits for a place. What is given back holds it.
    async fn enter(&self) -> Result<[OwnedSemaphorePermit; 2], Problem> {
        let queued = Arc::clone(&self.queue)
            .try_acquire_owned()
            .map_err(|_| overloaded())?;
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned());
        match place.await {
            Ok(Ok(place)) => Ok([queued, place]),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(overloaded()),
        }
    }
}

/// The answer to a call that finds no place.
pub(super) fn overloaded() -> Problem {
    Problem::new(Cause::Overloaded).retry_after(5)
}

async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            tracing::error!("a call's thread panicked or was not started: {error}");
            Err(Problem::new(Cause::Library(Code::Internal)))
        }
    }
}
