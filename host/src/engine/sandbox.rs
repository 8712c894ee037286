//! What a component may reach: the WASI interfaces of the allow-list, the mounted directories, so much memory.
//! Nothing here knows of backups; `session` runs the component.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::time::Duration;

use wasmtime::component::{Component, HasData, Linker, ResourceTable};
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::sync as wasi;
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};

use super::open;
use super::output::{GuestLog, LogStream};
use super::wit::engine::UnpackLimits;
use crate::error::{Code, Error, Result};

/// Core instances, memories and tables of one component: Rust's toolchain makes 4, 1 and 2.
const INSTANCES: usize = 32;
const MEMORIES: usize = 4;
const TABLES: usize = 16;
/// Entries of one table of functions.
const TABLE_ENTRIES: usize = 1 << 16;
/// Open directories, files and streams of one component. Below the usual limit of 1,024 open files of a process,
/// so that a component can't use up the host's.
const HANDLES: usize = 512;
/// Most random bytes of one call; std asks for 16.
const RANDOM_BYTES: u64 = 64 * 1024;

type Link = fn(&mut Linker<State>) -> wasmtime::Result<()>;

/// Every interface that a component may import, without version, and how it is provided. Reviewed by hand: no
/// sockets, no HTTP, no processes. The environment and the arguments are empty, standard input is at its end, the
/// terminals are none, and a call of `exit` ends the session with an error.
const ALLOWED: &[(&str, Link)] = &[
    // Types only: records and variants, nothing that could be called.
    ("cofre:backup/types", |_| Ok(())),
    ("wasi:cli/environment", |l| {
        wasi::cli::environment::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/exit", |l| {
        wasi::cli::exit::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/stderr", |l| {
        wasi::cli::stderr::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/stdin", |l| {
        wasi::cli::stdin::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/stdout", |l| {
        wasi::cli::stdout::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/terminal-input", |l| {
        wasi::cli::terminal_input::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/terminal-output", |l| {
        wasi::cli::terminal_output::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/terminal-stderr", |l| {
        wasi::cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/terminal-stdin", |l| {
        wasi::cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:cli/terminal-stdout", |l| {
        wasi::cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, State::cli)
    }),
    ("wasi:clocks/monotonic-clock", |l| {
        wasi::clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)
    }),
    ("wasi:clocks/wall-clock", |l| {
        wasi::clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, State::clocks)
    }),
    ("wasi:filesystem/preopens", |l| {
        wasi::filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)
    }),
    ("wasi:filesystem/types", |l| {
        wasi::filesystem::types::add_to_linker::<_, WasiFilesystem>(l, State::filesystem)?;
        open::add_to_linker(l)
    }),
    ("wasi:io/error", |l| {
        wasi::io::error::add_to_linker::<_, Table>(l, State::table)
    }),
    ("wasi:io/poll", |l| {
        wasi::io::poll::add_to_linker::<_, Table>(l, State::table)
    }),
    ("wasi:io/streams", |l| {
        wasi::io::streams::add_to_linker::<_, Table>(l, State::table)
    }),
    ("wasi:random/insecure-seed", |l| {
        wasi::random::insecure_seed::add_to_linker::<_, WasiRandom>(l, State::random)
    }),
    ("wasi:random/random", |l| {
        wasi::random::random::add_to_linker::<_, WasiRandom>(l, State::random)
    }),
];

/// Says to the linker that `wasi:io` works on the resource table.
struct Table;

impl HasData for Table {
    type Data<'a> = &'a mut ResourceTable;
}

/// A linker with exactly what `component` imports.
///
/// # Errors
/// `Sandbox`, naming every import that is not in the allow-list.
pub(crate) fn linker(engine: &wasmtime::Engine, component: &Component) -> Result<Linker<State>> {
    let imports = imports(engine, component);
    let foreign: Vec<&str> = imports
        .iter()
        .map(String::as_str)
        .filter(|name| !ALLOWED.iter().any(|(allowed, _)| *allowed == interface(name)))
        .collect();
    if !foreign.is_empty() {
        return Err(Error::new(
            Code::Sandbox,
            format!(
                "the component imports {}, which the sandbox does not offer",
                foreign.join(", ").escape_debug()
            ),
        )
        .remedy("use a component that needs files, clocks and random numbers only"));
    }
    let wanted: BTreeSet<&str> = imports.iter().map(|name| interface(name)).collect();
    let mut linker = Linker::new(engine);
    for (name, link) in ALLOWED {
        if wanted.contains(name) {
            link(&mut linker)
                .map_err(|e| Error::new(Code::Internal, format!("{name} could not be offered: {e:#}")))?;
        }
    }
    Ok(linker)
}

/// The names of the component's imports, with their versions. The types of the contract, which only name things,
/// are none.
pub(crate) fn imports(engine: &wasmtime::Engine, component: &Component) -> Vec<String> {
    component
        .component_type()
        .imports(engine)
        .map(|(name, _)| name.to_owned())
        .filter(|name| interface(name) != "cofre:backup/types")
        .collect()
}

/// An import's name without its version.
fn interface(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

/// Where a restore writes.
const TARGET: &str = "/target";

/// What a component may do in a mounted directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// List and read.
    ReadOnly,
    /// Also create, write, rename and remove.
    ReadWrite,
}

/// How much a component may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, all its memories together.
    pub memory_bytes: usize,
    /// Time without progress: a step, or an operation that has no steps, may take this long.
    pub stall: Duration,
    /// Bytes that an archive without a manifest may unpack to,
    pub foreign_bytes: u64,
    /// or this many times its own size, whichever is more.
    pub foreign_ratio: u64,
}

impl Default for Limits {
    /// 256 MiB and ten minutes; 4 GiB or 250 times.
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            stall: Duration::from_secs(600),
            foreign_bytes: 4 << 30,
            foreign_ratio: 250,
        }
    }
}

/// The directories that one session may reach, each bound to a handle that is already open, and its limits.
///
/// A path is never opened again: what the handle was opened on is what the component gets, even when somebody
/// replaced the name by a link meanwhile.
#[derive(Debug, Default)]
pub struct Mounts {
    directories: Vec<(String, OwnedFd, Access)>,
    limits: Limits,
}

impl Mounts {
    /// No directory at all, default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The backups folder, `/backups`.
    #[must_use]
    pub fn backups(self, directory: OwnedFd, access: Access) -> Self {
        self.mount("/backups".to_owned(), directory, access)
    }

    /// A source, `/sources/NAME`, read-only.
    #[must_use]
    pub fn source(self, name: &str, directory: OwnedFd) -> Self {
        self.mount(format!("/sources/{name}"), directory, Access::ReadOnly)
    }

    /// The staging folder, `/staging`, read-only.
    #[must_use]
    pub fn staging(self, directory: OwnedFd) -> Self {
        self.mount("/staging".to_owned(), directory, Access::ReadOnly)
    }

    /// The folder that a restore fills, `/target`, read-write.
    #[must_use]
    pub fn target(self, directory: OwnedFd) -> Self {
        self.mount(TARGET.to_owned(), directory, Access::ReadWrite)
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// What an archive may unpack to; the room is that of the target, where there is one and the system can say it.
    pub(crate) fn unpack_limits(&self) -> UnpackLimits {
        let target = self.directories.iter().find(|(name, ..)| name == TARGET);
        UnpackLimits {
            room: target
                .and_then(|(_, handle, _)| crate::fsutil::space_at(handle.as_fd()))
                .map_or(u64::MAX, |space| space.free),
            foreign_bytes: self.limits.foreign_bytes,
            foreign_ratio: self.limits.foreign_ratio,
        }
    }

    /// The limits of the session.
    pub(crate) fn session_limits(&self) -> Limits {
        self.limits
    }

    /// Where the preopens really are, for messages.
    pub(crate) fn places(&self) -> Places {
        let place = |(name, handle, access): &(String, OwnedFd, Access)| {
            (name.clone(), crate::fsutil::fd_path(handle.as_fd()), *access)
        };
        Places(self.directories.iter().map(place).collect())
    }

    fn mount(mut self, name: String, directory: OwnedFd, access: Access) -> Self {
        self.directories.push((name, directory, access));
        self
    }
}

/// Preopen names and the real paths behind them. The component knows only the former, people only the latter.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<(String, String, Access)>);

impl Places {
    /// A path of the component as people know it.
    pub(crate) fn real(&self, path: &str) -> String {
        self.place(path)
            .map_or_else(|| path.to_owned(), |(real, below, _)| format!("{real}{below}"))
    }

    /// What is wrong with the folder that `path` is to be written in. wasmtime-wasi has no words for a read-only file
    /// system and for quotas: to the component both are I/O errors.
    pub(crate) fn trouble(&self, path: &str) -> Option<rustix::io::Errno> {
        let (real, _, access) = self.place(path)?;
        (access == Access::ReadWrite)
            .then(|| crate::fsutil::trouble(std::path::Path::new(real)))
            .flatten()
    }

    fn place<'a>(&'a self, path: &'a str) -> Option<(&'a str, &'a str, Access)> {
        self.0.iter().find_map(|(name, real, access)| {
            let below = path.strip_prefix(name.as_str())?;
            (below.is_empty() || below.starts_with('/')).then_some((real.as_str(), below, *access))
        })
    }
}

/// What the store of a session holds.
pub(crate) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    memory: Memory,
    log: GuestLog,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl State {
    fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Whether the component asked for more memory than it may have.
    pub(crate) fn memory_refused(&self) -> bool {
        self.memory.refused
    }

    /// The last line that the component wrote to its standard error: its panic message, if it trapped.
    pub(crate) fn last_words(&self) -> Option<String> {
        self.log.last_words()
    }
}

/// A fresh store with these mounts.
///
/// # Errors
/// `Sandbox` when a handle can't be mounted.
pub(crate) fn store(engine: &wasmtime::Engine, mounts: Mounts) -> Result<Store<State>> {
    let log = GuestLog::default();
    let mut builder = WasiCtx::builder();
    // Before the mounts, which copy it: the session has a thread of its own, so calls need no second one.
    builder.allow_blocking_current_thread(true);
    builder.max_random_size(RANDOM_BYTES);
    builder.stdout(LogStream::new(log.clone()));
    builder.stderr(LogStream::new(log.clone()));
    for (name, directory, access) in &mounts.directories {
        let perms = match access {
            Access::ReadOnly => FsPerms::ReadOnly,
            Access::ReadWrite => FsPerms::ReadWrite,
        };
        // The one way to hand an open handle to the WASI implementation, which takes paths.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        builder.preopened_dir(path, name, perms).map_err(|e| {
            Error::new(
                Code::Sandbox,
                format!("{} can't be mounted: {e:#}", name.escape_debug()),
            )
            .remedy("it has to be an open directory, and /proc has to be mounted")
        })?;
    }
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES);
    let state = State {
        wasi: builder.build(),
        table,
        memory: Memory {
            limit: mounts.limits.memory_bytes,
            used: 0,
            refused: false,
        },
        log,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.memory);
    // One call may hand the host no more than the component may have itself.
    store.set_hostcall_fuel(mounts.limits.memory_bytes);
    Ok(store)
}

/// Counts the memory of a component, all its memories together.
struct Memory {
    limit: usize,
    used: usize,
    refused: bool,
}

impl ResourceLimiter for Memory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.limit || maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ENTRIES)
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }

    fn tables(&self) -> usize {
        TABLES
    }
}
