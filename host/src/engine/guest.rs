//! A component that has been started: its store and its exports. It lives and dies on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::{Store, UpdateDeadline};

use super::bindings::Backup;
use super::sandbox::{self, Mounts, State};
use super::{Engine, failure, wit};
use crate::error::Result;

/// A component's answer: a trap, or its own result.
pub(super) type Answer<T> = wasmtime::Result<std::result::Result<T, wit::types::Error>>;

/// The sandbox itself, which never leaves its thread.
pub(super) struct Guest {
    pub(super) store: Store<State>,
    pub(super) world: Backup,
}

impl Guest {
    /// Starts a component that reaches `mounts` and stops when `interrupt` is set and the epoch moves.
    ///
    /// # Errors
    /// See [`Engine::open`].
    pub(super) fn new(engine: &Engine, mounts: Mounts, interrupt: Arc<AtomicBool>) -> Result<Self> {
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
