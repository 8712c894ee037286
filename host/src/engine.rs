//! The sandboxed backup engine, for this program and for others: wasmtime, the embedded component, one fresh
//! sandbox for each session.
//!
//! `load` finds the compiled component, `sandbox` says what it may reach, `session` runs it on a thread of its own,
//! `job` runs a long operation in one sandbox, `spread` in several, and `failure` turns their errors into ours.
//! Nothing here knows of configuration, locks or the command line: a caller opens directories and mounts their handles.
//!
//! # Embedding
//!
//! This is the reference for hosts in any language (`wit/README.md` is the guide). One [`Engine`] serves a process; each
//! operation gets a fresh [`Session`] with what it needs mounted:
//!
//! | operation | [`Mounts`] |
//! |---|---|
//! | [`Session::list`], `find`, `status`, `entries`, `details`, `diff`, `verify` | `backups`, [`Access::ReadOnly`] |
//! | [`Session::create`] | `source` for each folder, `staging` if used, `backups` with [`Access::ReadWrite`] |
//! | [`Session::restore`] | `backups` read-only, `target`: an empty folder |
//! | `begin_run`, `fail_run`, `delete`, `prune`, `rebuild`, `pin`, `record_result`, `import_rows`, `identify` | `backups` with [`Access::ReadWrite`] |
//!
//! Whoever mounts the backups to write holds [`crate::lock::BackupsLock`]. Progress and cancellation come through
//! [`Session::run`] with a [`Control`]; several cores through [`Engine::spread`]. For whole runs by a configuration (locks,
//! dumps, observations, retention) there is [`crate::backup::create`]. `host/examples/embed.rs` makes and verifies a backup,
//! `host/examples/progress.rs` shows how far it is and stops one.
//!
//! ```no_run
//! use cofre::engine::{Access, Engine, Mounts};
//!
//! # fn main() -> cofre::error::Result<()> {
//! let backups = std::fs::File::open("backups").map_err(|e| cofre::Error::io("open backups", &e))?;
//! let mut session = Engine::new()?.open(Mounts::new().backups(backups.into(), Access::ReadOnly))?;
//! for backup in session.list()? {
//!     println!("{} {}", backup.id, backup.name);
//! }
//! # Ok(())
//! # }
//! ```

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

mod bindings;
mod compile;
mod control;
mod crew;
mod failure;
mod guest;
mod job;
mod load;
mod open;
mod operations;
mod output;
mod sandbox;
mod session;
mod spread;

pub use control::Control;
pub use sandbox::{Access, Limits, Mounts};
pub use session::Session;

use crate::error::{Code, Error, Result};

/// The types of the contract with the component, generated from `wit/`.
pub mod wit {
    pub use super::bindings::cofre::backup::types;
    pub use super::bindings::exports::cofre::backup::{engine, jobs, shards};
}

/// A component, ready to run. A clone is cheap and shares the code.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    component: bindings::BackupPre<sandbox::State>,
    wasm: Cow<'static, [u8]>,
    // Few ask, and hashing some MiB takes a good part of the time that a short command has.
    info: OnceLock<ComponentInfo>,
}

/// What a component is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentInfo {
    /// SHA-256 of the `.wasm`, in lower-case hexadecimal.
    pub digest: String,
    /// Version of the package `cofre:backup` that it exports.
    pub wit: String,
    /// The interfaces that it imports, with their versions.
    pub imports: Vec<String>,
    /// The interfaces that it exports, with their versions.
    pub exports: Vec<String>,
}

impl Engine {
    /// An engine with the embedded component.
    ///
    /// # Errors
    /// `Internal` when wasmtime can't work on this machine.
    pub fn new() -> Result<Self> {
        let engine = new_engine()?;
        let component = load::embedded(&engine)?;
        Self::with(engine, &component, Cow::Borrowed(load::WASM))
    }

    /// An engine with another component of the same world: a `.wasm` of any origin, trusted with nothing.
    /// Compiling takes some seconds and is not cached.
    ///
    /// # Errors
    /// `Sandbox` when it is no component, imports something that the sandbox does not offer (the error names it),
    /// or does not export what `wit/` says.
    pub fn from_component(wasm: &[u8]) -> Result<Self> {
        let engine = new_engine()?;
        let component = Component::from_binary(&engine, wasm).map_err(|e| failure::unfit(&e))?;
        Self::with(engine, &component, Cow::Owned(wasm.to_vec()))
    }

    fn with(engine: wasmtime::Engine, component: &Component, wasm: Cow<'static, [u8]>) -> Result<Self> {
        let linker = sandbox::linker(&engine, component)?;
        let component = linker
            .instantiate_pre(component)
            .and_then(bindings::BackupPre::new)
            .map_err(|e| failure::unfit(&e))?;
        Ok(Self(Arc::new(Inner {
            engine,
            component,
            wasm,
            info: OnceLock::new(),
        })))
    }

    /// What the component is.
    #[must_use]
    pub fn info(&self) -> &ComponentInfo {
        let inner = &self.0;
        inner.info.get_or_init(|| {
            let component = inner.component.instance_pre().component();
            let exports: Vec<String> = component
                .component_type()
                .exports(&inner.engine)
                .map(|(name, _)| name.to_owned())
                .collect();
            ComponentInfo {
                digest: crate::text::hex(&Sha256::digest(&inner.wasm)),
                wit: wit_version(&exports),
                imports: sandbox::imports(&inner.engine, component),
                exports,
            }
        })
    }

    /// The embedded component: the very bytes that a release publishes.
    #[must_use]
    pub fn wasm() -> &'static [u8] {
        load::WASM
    }

    /// Starts a fresh sandbox that reaches `mounts` and nothing else.
    ///
    /// # Errors
    /// `Sandbox` when a handle can't be mounted, `Internal` when the component can't be started.
    pub fn open(&self, mounts: Mounts) -> Result<Session> {
        Session::start(self.clone(), mounts)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Engine").field(self.info()).finish()
    }
}

fn new_engine() -> Result<wasmtime::Engine> {
    compile::config(None)
        .and_then(|config| wasmtime::Engine::new(&config))
        .map_err(|e| Error::new(Code::Internal, format!("wasmtime does not work here: {e:#}")))
}

/// The version of the exported engine interface; empty for a component without one, which is refused anyway.
fn wit_version(exports: &[String]) -> String {
    exports
        .iter()
        .find_map(|name| name.strip_prefix("cofre:backup/engine@"))
        .unwrap_or_default()
        .to_owned()
}
