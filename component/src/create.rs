//! Makes a backup: opens its row, selects, packs, publishes the archive and its checksum, closes the row.
//!
//! The work is a state machine that is advanced in steps, so that a host can show progress and cancel. What is
//! selected is `scan`'s business, how one file is read and packed `create/files`'s and `create/pack`'s.

mod files;
mod info;
mod pack;

use crate::archive::codec::Codec;
use crate::archive::writer::{Finished, ZipWriter};
use crate::catalog::{Catalog, Record, Status, sidecar, time};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Dir, Roots};
use crate::job::Outcome;
use crate::manifest::MANIFEST_NAME;
use crate::run;
use crate::scan::{self, Item, ItemKind, Scanner};
use crate::shards::{Piece, Turn, unexpected};
use crate::types::{
    Backup, Compression, CreateReport, CreateRequest, DatabaseInfo, Entry, Kind, Progress, REPORT_LIMIT,
    RunRequest, Skip,
};
use files::Files;
use info::Info;
use pack::Packer;

/// Most log lines between two steps; the manifest names everything.
const LOG_LIMIT: usize = 200;

/// A backup being made.
#[derive(Debug)]
pub struct CreateJob {
    run: RunRequest,
    begun: Option<u64>,
    row: Option<Record>,
    databases: Vec<DatabaseInfo>,
    compression: Compression,
    level: u8,
    phase: Phase,
    files_done: u64,
    files_total: u64,
    bytes_done: u64,
    bytes_total: u64,
    current: Option<String>,
    log: Vec<String>,
}

#[derive(Debug)]
enum Phase {
    New(Vec<crate::types::Source>),
    Scanning(Scanner),
    Packing(Box<Files>),
    Describing(Box<Info>),
    Ended,
}

/// Makes a backup in one go. The end of the run is not recorded, since nobody says what time it is then.
///
/// # Errors
/// Whatever stopped the run; it is recorded as failed.
pub fn create(roots: &Roots, request: CreateRequest) -> Result<CreateReport> {
    let mut job = CreateJob::new(request);
    loop {
        if let Some(report) = job.step(roots, u64::MAX, None)? {
            return Ok(report);
        }
    }
}

/// What [`create`] would put into the archive, and what not. Reads no content and writes nothing.
///
/// # Errors
/// `InvalidInput` for a request that could not be run; otherwise what the file system says of a source.
pub fn plan(roots: &Roots, request: CreateRequest) -> Result<(Vec<Entry>, Vec<Skip>)> {
    Codec::new(request.compression, request.level)?;
    let selection = scan::scan(roots, request.sources)?;
    let entries = selection.items.into_iter().map(planned).collect();
    Ok((entries, selection.skips))
}

fn planned(item: Item) -> Entry {
    Entry {
        size: item.size,
        compressed_size: 0,
        mtime_ns: item.mtime_ns(),
        mode: item.mode(),
        crc32: None,
        changed: false,
        kind: match (item.kind, item.target) {
            (ItemKind::File, _) => Kind::File,
            (ItemKind::Directory, _) => Kind::Directory,
            (_, target) => Kind::Symlink(target.map(String::from).unwrap_or_default()),
        },
        path: item.path.into_string(),
    }
}

impl CreateJob {
    /// A job that has done nothing yet.
    #[must_use]
    pub fn new(request: CreateRequest) -> Self {
        Self {
            run: request.run,
            begun: request.begun,
            row: None,
            databases: request.databases,
            compression: request.compression,
            level: request.level,
            phase: Phase::New(request.sources),
            files_done: 0,
            files_total: 0,
            bytes_done: 0,
            bytes_total: 0,
            current: None,
            log: Vec::new(),
        }
    }

    /// Works on about `budget` bytes; the report when that was the end. `now` (RFC 3339) is the time of the end,
    /// where known.
    ///
    /// # Errors
    /// Whatever stops the run. It is recorded as failed and its leftovers are removed; the job is spent then.
    pub fn step(&mut self, roots: &Roots, budget: u64, now: Option<&str>) -> Result<Option<CreateReport>> {
        let result = self.advance(roots, budget, now);
        if let Err(e) = &result {
            // The first error is the one to tell; that it could not be recorded, too, shows at the next run.
            let _ = self.close(roots, &e.to_string(), false, now);
        }
        result
    }

    /// The next turn; see [`crate::shards::Coordinator::next`].
    ///
    /// # Errors
    /// See [`Self::step`].
    pub fn next(&mut self, roots: &Roots, budget: u64, now: Option<&str>) -> Result<Turn> {
        Ok(match self.step(roots, budget, now)? {
            Some(report) => Turn::Ended(Box::new(Outcome::Created(report))),
            None => Turn::Working,
        })
    }

    /// Takes the result of a task.
    ///
    /// # Errors
    /// `InvalidInput` for one that was not asked for.
    pub fn take(&mut self, _roots: &Roots, _piece: Piece, _now: Option<&str>) -> Result<()> {
        Err(unexpected("no task is out"))
    }

    /// Ends the run because of what went wrong with a task, and records it as failed.
    pub(crate) fn fail(&mut self, roots: &Roots, error: &Error, now: Option<&str>) {
        // The first error is the one to tell; that it could not be recorded, too, shows at the next run.
        let _ = self.close(roots, &error.to_string(), false, now);
    }

    /// Stops: removes what was begun and records the run as cancelled. A job that has ended stays as it is.
    ///
    /// # Errors
    /// What writing the catalog says.
    pub fn cancel(&mut self, roots: &Roots, now: Option<&str>) -> Result<()> {
        self.close(roots, "cancelled on request", true, now)
    }

    /// How far the job is, with the log lines since the last call.
    pub fn progress(&mut self) -> Progress {
        Progress {
            files_done: self.files_done,
            files_total: self.files_total,
            bytes_done: self.bytes_done,
            bytes_total: self.bytes_total,
            current: self.current.clone(),
            log: std::mem::take(&mut self.log),
        }
    }

    fn close(&mut self, roots: &Roots, message: &str, cancelled: bool, now: Option<&str>) -> Result<()> {
        if matches!(self.phase, Phase::Ended) {
            return Ok(());
        }
        self.phase = Phase::Ended;
        let Some(id) = self.row.as_ref().map(|row| row.id).or(self.begun) else {
            return Ok(());
        };
        if let Some(row) = &self.row {
            // Before the catalog is touched: on a full disk its room is what the catalog needs.
            let _ = roots.open(BACKUPS)?.unlink_if_exists(&row.partial_name());
        }
        run::fail(roots, id, message, cancelled, now).map(drop)
    }

    fn log(&mut self, line: String) {
        if self.log.len() < LOG_LIMIT {
            self.log.push(line);
        }
    }

    fn advance(&mut self, roots: &Roots, budget: u64, now: Option<&str>) -> Result<Option<CreateReport>> {
        match &mut self.phase {
            Phase::New(sources) => {
                let sources = std::mem::take(sources);
                self.row = Some(self.open_row(roots)?);
                let scanner = Scanner::new(sources)?;
                self.current = scanner.upcoming().map(str::to_owned);
                self.phase = Phase::Scanning(scanner);
            }
            Phase::Scanning(scanner) => {
                if scanner.next_source(roots)? {
                    self.current = scanner.upcoming().map(str::to_owned);
                } else if let Phase::Scanning(scanner) =
                    std::mem::replace(&mut self.phase, Phase::New(vec![]))
                {
                    self.begin_packing(roots, scanner)?;
                }
            }
            Phase::Packing(files) => {
                let mut noted = Vec::new();
                let more = files.pack(budget, &mut noted)?;
                self.files_done = files.done;
                self.files_total = files.total;
                self.bytes_done = files.bytes_done;
                self.bytes_total = files.bytes_total;
                self.current = files.current();
                noted.into_iter().for_each(|line| self.log(line));
                if !more && let Phase::Packing(files) = std::mem::replace(&mut self.phase, Phase::New(vec![]))
                {
                    self.current = Some(MANIFEST_NAME.to_owned());
                    let databases = std::mem::take(&mut self.databases);
                    self.phase = Phase::Describing(Box::new(Info::new(*files, self.row()?, databases)?));
                }
            }
            Phase::Describing(info) => {
                if !info.write(budget)?
                    && let Phase::Describing(info) = std::mem::replace(&mut self.phase, Phase::New(vec![]))
                {
                    let report = self.publish(roots, *info, now)?;
                    self.phase = Phase::Ended;
                    self.current = None;
                    return Ok(Some(report));
                }
            }
            Phase::Ended => {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    "step",
                    "the job has ended already",
                ));
            }
        }
        Ok(None)
    }

    fn row(&self) -> Result<&Record> {
        self.row
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Io, "create", "the run has no row"))
    }

    /// The run's row: the one begun by the host, or a new one.
    fn open_row(&mut self, roots: &Roots) -> Result<Record> {
        let Some(id) = self.begun else {
            return run::begin(roots, &self.run);
        };
        let row = Catalog::load(&roots.open(BACKUPS)?)?.get(id)?.clone();
        if row.status == Status::InProgress {
            return Ok(row);
        }
        // The row is somebody else's: nothing of it may be touched.
        self.phase = Phase::Ended;
        Err(Error::new(
            ErrorKind::InvalidInput,
            "continue run",
            "this run has ended already",
        )
        .about(row.name)
        .remedy("begin a new one"))
    }

    fn begin_packing(&mut self, roots: &Roots, scanner: Scanner) -> Result<()> {
        let selection = scanner.finish()?;
        let codec = Codec::new(self.compression, self.level)?;
        for skip in selection.skips.iter().take(LOG_LIMIT) {
            self.log(files::skip_line(skip));
        }
        let file = roots.open(BACKUPS)?.create(&self.row()?.partial_name())?;
        let packer = Packer::new(ZipWriter::new(file), codec);
        let files = Files::new(selection, packer);
        self.files_total = files.total;
        self.bytes_total = files.bytes_total;
        self.phase = Phase::Packing(Box::new(files));
        Ok(())
    }

    /// Ends the archive and makes it, its checksum and its row durable, in this order.
    fn publish(&mut self, roots: &Roots, info: Info, now: Option<&str>) -> Result<CreateReport> {
        let open = self.row()?.clone();
        let (described, archive) = info.finish()?;
        let dir = roots.open(BACKUPS)?;
        move_into_place(&dir, &open)?;
        sidecar::publish(&dir, &open.name, &archive.sha256)?;
        let row = run::finish(roots, closed(&open, &described, &archive, now)?)?;
        Ok(CreateReport {
            backup: Backup {
                record: row,
                archive_present: true,
            },
            skips: described.skips.into_iter().take(REPORT_LIMIT).collect(),
            changed: described.changed_paths,
        })
    }
}

/// What the manifest says in sum, as the catalog's row needs it.
#[derive(Debug)]
struct Described {
    status: Status,
    file_count: u64,
    source_bytes: u64,
    skips: Vec<Skip>,
    changed: u64,
    changed_paths: Vec<String>,
}

fn move_into_place(dir: &Dir, row: &Record) -> Result<()> {
    let name = row.archive_name();
    if dir.stat(&name)?.is_some() {
        return Err(Error::new(
            ErrorKind::AlreadyExists,
            "publish archive",
            "a file of this name appeared during the run",
        )
        .about(name)
        .remedy("move it away and run again"));
    }
    dir.rename(&row.partial_name(), &name)?;
    dir.sync()
}

/// The row of a run that has published its archive.
fn closed(open: &Record, described: &Described, archive: &Finished, now: Option<&str>) -> Result<Record> {
    let end = now
        .map(|now| time::parse_instant(now, "end of the run"))
        .transpose()?;
    Ok(Record {
        status: described.status,
        size: archive.size,
        error: run::partial_text(&described.skips),
        finished_at: end.map(time::format_instant),
        duration_seconds: end.map(|end| time::duration_seconds(open, end)),
        file_count: Some(described.file_count),
        source_bytes: Some(described.source_bytes),
        skipped: Some(described.skips.len() as u64),
        changed: Some(described.changed),
        sha256: Some(archive.sha256.clone()),
        ..open.clone()
    })
}

/// Does tasks.
#[derive(Debug)]
pub struct CreateWorker;

impl CreateWorker {
    /// A worker for `request`.
    #[must_use]
    pub fn new(_request: &CreateRequest) -> Self {
        Self
    }

    /// Does one task.
    ///
    /// # Errors
    /// See [`crate::shards::Worker::work`].
    pub fn work(&mut self, _roots: &Roots, _task: &[u8]) -> Result<Piece> {
        Err(unexpected("it is no task"))
    }
}

#[cfg(test)]
mod tests;
