//! What the caller of a long operation sees and says while it runs, and when it counts as stuck.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cofre_exporter::component::types::WARNING;

use super::wit::jobs::Progress;
use crate::error::{Code, Error};

/// What a caller of [`super::Session::run`] or [`super::Engine::spread`] sees and says while the operation runs. All
/// of it is called on the caller's thread.
pub struct Control {
    /// Set it to stop the operation soon; what was begun is removed.
    pub cancel: Arc<AtomicBool>,
    /// Called now and then, and at the end.
    pub on_progress: Box<dyn FnMut(&Progress) + Send>,
    /// The time, RFC 3339 with the local offset, for the catalog.
    pub now: Box<dyn FnMut() -> String + Send>,
}

impl Control {
    /// Whether the operation is to stop.
    pub(super) fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::SeqCst)
    }

    /// Logs what the component has to say, and shows how far it is.
    pub(super) fn report(&mut self, progress: &Progress) {
        for line in &progress.log {
            match line.strip_prefix(WARNING) {
                Some(line) => tracing::warn!(target: "cofre::component", "{}", line.escape_debug()),
                None => tracing::info!(target: "cofre::component", "{}", line.escape_debug()),
            }
        }
        (self.on_progress)(progress);
    }
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

/// The error of an operation that its caller stopped.
pub(super) fn cancelled() -> Error {
    Error::new(Code::Cancelled, "stopped on request; nothing is left behind")
}

/// Whether an operation still gets on: neither files nor bytes may stand still for longer than the limit.
pub(super) struct Watch {
    seen: (u64, u64, u64, u64),
    moved: Instant,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            seen: (0, 0, 0, 0),
            moved: Instant::now(),
        }
    }

    /// Whether nothing has moved for longer than `stall`.
    pub(super) fn is_stuck(&mut self, progress: &Progress, stall: Duration) -> bool {
        let state = (
            progress.files_done,
            progress.files_total,
            progress.bytes_done,
            progress.bytes_total,
        );
        if state != self.seen {
            self.seen = state;
            self.moved = Instant::now();
        }
        self.moved.elapsed() > stall
    }
}
