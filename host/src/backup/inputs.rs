//! What one run puts before the sandbox: link-safe handles of the source folders, staged copies of single files and
//! dumps, and the observations of all of them. Opened once, described to the component, mounted read-only.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cofre_exporter::component::types::DatabaseInfo;

use crate::config::{Config, DatabaseEngine, Origin, SingleFile, Source};
use crate::context::Context;
use crate::dump::tables::TableFilter;
use crate::engine::{Mounts, wit};
use crate::error::{Code, Error, Result};
use crate::observe::{self, LeftOut};
use crate::staging::Staging;
use crate::{dump, source};

/// Folder of the archive and of staging that dumps go to.
const DATABASE: &str = "database";
/// Folder of staging for what a dump needs and nobody else gets.
const PRIVATE: &str = "private";

/// Everything that a run reads. Dropping it removes the staging folder.
pub(super) struct Inputs {
    staging: Staging,
    folders: Vec<(String, OwnedFd)>,
    sources: Vec<wit::types::Source>,
    databases: Vec<wit::types::DatabaseInfo>,
}

impl Inputs {
    /// Opens and observes every active source and dumps every active database.
    ///
    /// # Errors
    /// `SourceMissing` for a source that is not there, `DumpFailed` for a database, `Config` when all is switched off.
    pub(super) fn gather(context: &Context, started_at: &str, cancel: &Arc<AtomicBool>) -> Result<Self> {
        let config = &context.config;
        let mut inputs = Self {
            staging: Staging::new(&config.state_dir)?,
            folders: Vec::new(),
            sources: Vec::new(),
            databases: Vec::new(),
        };
        let started_ns = chrono::DateTime::parse_from_rfc3339(started_at)
            .ok()
            .and_then(|time| time.timestamp_nanos_opt())
            .ok_or_else(|| Error::new(Code::Internal, format!("`{started_at}` is not a time")))?;
        inputs.dump_all(config, started_ns, cancel)?;
        let left_out = left_out(config);
        for source in config.active_sources() {
            match &source.origin {
                Origin::Folder(path) => {
                    let handle = source::open_dir_nofollow(path).map_err(|e| named(e, &source.folder))?;
                    inputs.observe(
                        source,
                        format!("/sources/{}", source.folder),
                        handle.as_fd(),
                        &left_out,
                    )?;
                    inputs.folders.push((source.folder.clone(), handle));
                }
                Origin::Files(files) => inputs.stage_files(source, files)?,
            }
        }
        if inputs.sources.is_empty() {
            return Err(
                Error::new(Code::Config, "every source and database is switched off")
                    .remedy("switch one on in [backup]"),
            );
        }
        Ok(inputs)
    }

    /// Mounts it all, read-only.
    ///
    /// # Errors
    /// When a handle can't be opened again.
    pub(super) fn mount(&self, mut mounts: Mounts) -> Result<Mounts> {
        for (folder, handle) in &self.folders {
            let handle = handle
                .try_clone()
                .map_err(|e| Error::io("duplicate a handle", &e))?;
            mounts = mounts.source(folder, handle);
        }
        Ok(mounts.staging(self.staging.open()?))
    }

    /// What the component has to know of it.
    pub(super) fn describe(&self) -> (Vec<wit::types::Source>, Vec<wit::types::DatabaseInfo>) {
        (self.sources.clone(), self.databases.clone())
    }

    fn dump_all(&mut self, config: &Config, started_ns: i64, cancel: &Arc<AtomicBool>) -> Result<()> {
        let single = config.active_databases().count() == 1;
        for database in config.active_databases() {
            let folder = if single {
                DATABASE.to_owned()
            } else {
                format!("{DATABASE}/{}", database.name)
            };
            let out = self.staging.folder(&folder)?;
            let private = self.staging.folder(PRIVATE)?;
            let tables = TableFilter::new(&database.tables.include, &database.tables.exclude)?;
            let request = dump::Request {
                name: &database.name,
                folder: &folder,
                out: &out,
                private: &private,
                tables: &tables,
                tools: database.tools.as_deref(),
                stall: config.limits.stall,
                cancel,
            };
            let info = dump::database(&database.engine, &request)?;
            self.databases.push(to_wit(info));
            // Before the sandbox sees anything.
            self.staging.remove(PRIVATE)?;
        }
        if self.databases.is_empty() {
            return Ok(());
        }
        // A dump is as old as its run, so that the same run gives the same archive.
        self.staging.settle(DATABASE, started_ns)?;
        let handle = self.staging.open_folder(DATABASE)?;
        let source = Source {
            folder: DATABASE.to_owned(),
            origin: Origin::Files(Vec::new()),
            include: Vec::new(),
            exclude: Vec::new(),
            allow_empty: false,
            switch: crate::config::Switch::Files,
        };
        self.observe(
            &source,
            format!("/staging/{DATABASE}"),
            handle.as_fd(),
            &LeftOut::default(),
        )
    }

    /// Copies single files into staging, so that the sandbox sees them and nothing beside them.
    fn stage_files(&mut self, source: &Source, files: &[SingleFile]) -> Result<()> {
        let folder = format!("files/{}", source.folder);
        self.staging.folder(&folder)?;
        for file in files {
            let below = file
                .name
                .rsplit_once('/')
                .map_or(String::new(), |(parent, _)| format!("/{parent}"));
            let staged = self
                .staging
                .stage_file(&format!("{folder}{below}"), &file.path)
                .map_err(|e| named(e, &source.folder))?;
            if staged.changed {
                tracing::warn!("{} changed while it was copied", crate::fsutil::show(&file.path));
            }
        }
        let handle = self.staging.open_folder(&folder)?;
        self.observe(
            source,
            format!("/staging/{folder}"),
            handle.as_fd(),
            &LeftOut::default(),
        )
    }

    /// Writes the observations of one folder into staging and describes the source.
    fn observe(
        &mut self,
        source: &Source,
        root: String,
        handle: std::os::fd::BorrowedFd<'_>,
        left_out: &LeftOut,
    ) -> Result<()> {
        let list = format!("observed-{}.jsonl", self.sources.len());
        let mut out = BufWriter::new(self.staging.create(&list)?);
        let seen = observe::observe(handle, left_out, &mut out).map_err(|e| named(e, &source.folder))?;
        out.flush().map_err(|e| {
            let path = self.staging.path().join(&list);
            Error::io(format_args!("write {}", crate::fsutil::show(path)), &e)
        })?;
        tracing::debug!(source = %source.folder, files = seen.files, bytes = seen.bytes, "observed");
        if let Some(first) = &seen.first_clamped {
            tracing::warn!(
                "modification times outside of the years 1677 to 2262 are kept as the nearest within: {} (the first: {}/{})",
                seen.clamped,
                source.folder,
                crate::text::escape(first)
            );
        }
        self.sources.push(wit::types::Source {
            folder: source.folder.clone(),
            root,
            inventory: wit::types::Inventory::ObservedFile(list),
            include: source.include.clone(),
            exclude: source.exclude.clone(),
            allow_empty: source.allow_empty,
        });
        Ok(())
    }
}

/// Says which source an error is about.
fn named(mut error: Error, folder: &str) -> Error {
    error.message = format!("source `{folder}`: {}", error.message);
    error
}

/// What no source contains, wherever it lies: the product's own folders and the live databases that are dumped.
fn left_out(config: &Config) -> LeftOut {
    let mut left_out = LeftOut::default();
    left_out.add(&config.backup_dir, "the backups folder");
    left_out.add(&config.state_dir, "the state folder");
    let mut live = BTreeMap::new();
    for database in config.active_databases() {
        if let DatabaseEngine::Sqlite(path) = &database.engine {
            live.insert(path, format!("live database, dumped as `{}`", database.name));
        }
    }
    for (path, reason) in live {
        left_out.add_database(path, &reason);
    }
    left_out
}

/// A dump as the component is told of it.
pub(crate) fn to_wit(info: DatabaseInfo) -> wit::types::DatabaseInfo {
    let DatabaseInfo {
        name,
        engine,
        version,
        folder,
        tables,
    } = info;
    let tables = tables
        .into_iter()
        .map(|table| wit::types::TableInfo {
            name: table.name,
            file: table.file,
            rows: table.rows,
        })
        .collect();
    wit::types::DatabaseInfo {
        name,
        engine,
        version,
        folder,
        tables,
    }
}
