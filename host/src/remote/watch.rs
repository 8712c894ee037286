//! What whoever starts a transfer sees and says while it runs.

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

    /// Adds to what is to be done.
    pub(super) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that so many bytes more are done.
    ///
    /// # Errors
    /// `Cancelled`.
    pub(super) fn moved(&self, bytes: u64) -> Result<()> {
        let done = self
            .done
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        (self.show)(done, self.total.load(Ordering::Relaxed));
        self.check()
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
