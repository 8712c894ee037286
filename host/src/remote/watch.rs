//! What whoever starts a transfer sees and says while it runs.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::{Code, Error, Result};

/// Cancellation and progress of transfers. Shared by all that run for one command.
#[derive(Clone)]
pub struct Watch {
    cancel: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
    show: Arc<dyn Fn(u64, u64) + Send + Sync>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("cancel", &self.cancel)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// One that stops when `cancel` is set, and shows how many bytes of how many are done.
    pub fn new(cancel: Arc<AtomicBool>, show: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        Self {
            cancel,
            done: Arc::default(),
            total: Arc::default(),
            show: Arc::new(show),
        }
    }

    /// Begins a transfer: what it gives is told how many bytes of it are done, and says `Cancelled` when it is to stop.
    pub(super) fn transfer(&self, bytes: u64) -> impl Fn(u64) -> Result<()> {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        let seen = Cell::new(0);
        move |so_far| {
            // One that begins anew has done less than before: the bar waits until it is there again.
            let more = so_far.saturating_sub(seen.get());
            seen.set(seen.get().max(so_far));
            let done = self.done.fetch_add(more, Ordering::Relaxed).saturating_add(more);
            (self.show)(done, self.total.load(Ordering::Relaxed));
            self.check()
        }
    }

    /// # Errors
    /// `Cancelled`.
    pub(super) fn check(&self) -> Result<()> {
        if self.cancel.load(Ordering::SeqCst) {
            return Err(Error::new(
                Code::Cancelled,
                "stopped on request; what was sent is gone on with next time",
            ));
        }
        Ok(())
    }
}
