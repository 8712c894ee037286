//! Makes a backup: opens its row, selects, packs, publishes the archive and its checksum, closes the row.
//!
//! The work is a state machine that is advanced in turns, so that a host can show progress, cancel, and let workers
//! do the tasks. What is selected is `scan`'s business; `assembly` deals it out and puts the archive together,
//! `worker` reads and compresses, `reuse` finds what an earlier archive has already.

mod assembly;
mod info;
mod messages;
mod reuse;
mod worker;

pub use worker::CreateWorker;

use crate::archive::codec::Codec;
use crate::archive::writer::{Finished, ZipWriter};
use crate::catalog::{Catalog, Record, Status, sidecar, time};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Dir, Roots};
use crate::job::{Job, Outcome, Request};
use crate::manifest::{MANIFEST_NAME, parse_time};
use crate::run;
use crate::scan::{self, Item, ItemKind, Scanner};
use crate::shards::{Piece, Turn, spent, unexpected};
use crate::types::{
    Backup, CreateReport, CreateRequest, Entry, Inventory, Kind, Progress, REPORT_LIMIT, Skip, Source,
};
use assembly::Assembly;
use info::{Info, Written};
use reuse::{Previous, Settings, Stop};

/// Most log lines between two steps; the manifest names everything.
const LOG_LIMIT: usize = 200;

/// A backup being made.
#[derive(Debug)]
pub struct CreateJob {
    /// The request without its inventories.
    request: CreateRequest,
    row: Option<Record>,
    phase: Phase,
    reused: u64,
    progress: Progress,
}

#[derive(Debug)]
enum Phase {
    New(Vec<Source>),
    Scanning(Scanner),
    Packing(Box<Assembly>),
    Describing(Box<Info>),
    Ended,
}

/// Makes a backup in one go. The end of the run is not recorded, since nobody says what time it is then.
///
/// # Errors
/// Whatever stopped the run; it is recorded as failed.
pub fn create(roots: &Roots, request: CreateRequest) -> Result<CreateReport> {
    match Job::new(Request::Create(request)).run(roots)? {
        Outcome::Created(report) => Ok(report),
        Outcome::Verified(_) | Outcome::Restored(_) => Err(unexpected("it is no backup")),
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
    pub fn new(mut request: CreateRequest) -> Self {
        let bare = request.sources.iter().map(|source| Source {
            folder: source.folder.clone(),
            root: source.root.clone(),
            inventory: Inventory::Scan,
            include: Vec::new(),
            exclude: Vec::new(),
            allow_empty: source.allow_empty,
        });
        let bare = bare.collect();
        let sources = std::mem::replace(&mut request.sources, bare);
        Self {
            request,
            row: None,
            phase: Phase::New(sources),
            reused: 0,
            progress: Progress::default(),
        }
    }

    /// The next turn; see [`crate::shards::Coordinator::next`].
    ///
    /// # Errors
    /// Whatever stops the run; [`Self::fail`] records that.
    pub(crate) fn next(&mut self, roots: &Roots, budget: u64, now: Option<&str>) -> Result<Turn> {
        match &mut self.phase {
            Phase::New(sources) => {
                let sources = std::mem::take(sources);
                self.row = Some(self.open_row(roots)?);
                let scanner = Scanner::new(sources)?;
                self.progress.current = scanner.upcoming().map(str::to_owned);
                self.phase = Phase::Scanning(scanner);
            }
            Phase::Scanning(scanner) => {
                if scanner.next_source(roots)? {
                    self.progress.current = scanner.upcoming().map(str::to_owned);
                } else if let Phase::Scanning(scanner) =
                    std::mem::replace(&mut self.phase, Phase::New(vec![]))
                {
                    self.begin_packing(roots, scanner)?;
                }
            }
            Phase::Packing(_) => return self.pack(roots, budget),
            Phase::Describing(info) => {
                return match info.next(budget)? {
                    Some(turn) => Ok(turn),
                    None => self.end(roots, now),
                };
            }
            Phase::Ended => return Err(spent()),
        }
        Ok(Turn::Working)
    }

    /// Takes the result of a task; see [`crate::shards::Coordinator::take`].
    ///
    /// # Errors
    /// As [`Self::next`]; `InvalidInput` for one that was not asked for.
    pub(crate) fn take(&mut self, piece: Piece) -> Result<()> {
        let mut noted = Vec::new();
        let taken = match &mut self.phase {
            Phase::Packing(assembly) => assembly.take(piece, &mut noted),
            Phase::Describing(info) => info.take(&piece),
            Phase::New(_) | Phase::Scanning(_) | Phase::Ended => Err(unexpected("no task is out")),
        };
        noted.into_iter().for_each(|line| self.log(line));
        self.look();
        taken
    }

    /// Notes how far the packing is.
    fn look(&mut self) {
        if let Phase::Packing(assembly) = &self.phase {
            self.progress.files_done = assembly.done;
            self.progress.files_total = assembly.total;
            self.progress.bytes_done = assembly.bytes_done;
            self.progress.bytes_total = assembly.bytes_total;
            self.progress.current = assembly.current();
        }
    }

    /// Ends the run because of what went wrong, removes its leftovers and records it as failed.
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
        self.progress.shown()
    }

    fn close(&mut self, roots: &Roots, message: &str, cancelled: bool, now: Option<&str>) -> Result<()> {
        if matches!(self.phase, Phase::Ended) {
            return Ok(());
        }
        self.phase = Phase::Ended;
        let Some(id) = self.row.as_ref().map(|row| row.id).or(self.request.begun) else {
            return Ok(());
        };
        if let Some(row) = &self.row {
            // Before the catalog is touched: on a full disk its room is what the catalog needs.
            let _ = roots.open(BACKUPS)?.unlink_if_exists(&row.partial_name());
        }
        run::fail(roots, id, message, cancelled, now).map(drop)
    }

    fn log(&mut self, line: String) {
        if self.progress.log.len() < LOG_LIMIT {
            self.progress.log.push(line);
        }
    }

    fn pack(&mut self, roots: &Roots, budget: u64) -> Result<Turn> {
        let Phase::Packing(assembly) = &mut self.phase else {
            return Ok(Turn::Working);
        };
        let mut noted = Vec::new();
        let next = assembly.next(roots, budget, &mut noted);
        noted.into_iter().for_each(|line| self.log(line));
        self.look();
        let damage = match next {
            Ok(Some(turn)) => return Ok(turn),
            Ok(None) => None,
            Err(Stop::Damaged(why)) => Some(why),
            Err(Stop::Failed(e)) => return Err(e),
        };
        if let Phase::Packing(assembly) = std::mem::replace(&mut self.phase, Phase::New(vec![])) {
            self.phase = if let Some(why) = damage {
                self.log(format!(
                    "nothing is taken over from the previous archive, which is damaged or was changed: {why}; \
                     every file is read again"
                ));
                Phase::Packing(Box::new(assembly.restart()))
            } else {
                self.progress.current = Some(MANIFEST_NAME.to_owned());
                self.reused = assembly.reused;
                let databases = std::mem::take(&mut self.request.databases);
                Phase::Describing(Box::new(Info::new(*assembly, self.row()?, databases)?))
            };
        }
        Ok(Turn::Working)
    }

    fn end(&mut self, roots: &Roots, now: Option<&str>) -> Result<Turn> {
        let Phase::Describing(info) = std::mem::replace(&mut self.phase, Phase::New(vec![])) else {
            return Ok(Turn::Working);
        };
        let report = self.publish(roots, *info, now)?;
        self.phase = Phase::Ended;
        self.progress.current = None;
        Ok(Turn::Ended(Box::new(Outcome::Created(report))))
    }

    fn row(&self) -> Result<&Record> {
        self.row
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Io, "create", "the run has no row"))
    }

    /// The run's row: the one begun by the host, or a new one.
    fn open_row(&mut self, roots: &Roots) -> Result<Record> {
        let Some(id) = self.request.begun else {
            return run::begin(roots, &self.request.run);
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
        Codec::new(self.request.compression, self.request.level)?;
        for skip in selection.skips.iter().take(LOG_LIMIT) {
            self.log(assembly::skip_line(skip));
        }
        let dir = roots.open(BACKUPS)?;
        let previous = if self.request.full {
            None
        } else {
            // Whatever keeps it from being looked at costs time, not the backup.
            Previous::find(&dir, &self.settings(), &selection.items).unwrap_or_else(|e| {
                self.log(format!(
                    "nothing can be taken over, every file is read again: {e}"
                ));
                None
            })
        };
        if let Some(previous) = &previous {
            self.log(format!("unchanged files are taken over from {}", previous.name));
        }
        let file = dir.create(&self.row()?.partial_name())?;
        let worker = CreateWorker::new(&self.request);
        let assembly = Assembly::new(selection, ZipWriter::new(file), worker, previous);
        self.phase = Phase::Packing(Box::new(assembly));
        self.look();
        Ok(())
    }

    fn settings(&self) -> Settings {
        Settings::new(self.request.compression, self.request.level)
    }

    /// Ends the archive and makes it, its checksum and its row durable, in this order.
    fn publish(&mut self, roots: &Roots, info: Info, now: Option<&str>) -> Result<CreateReport> {
        let open = self.row()?.clone();
        let written = info.finish()?;
        let dir = roots.open(BACKUPS)?;
        move_into_place(&dir, &open)?;
        sidecar::publish(&dir, &open.name, &written.archive.sha256)?;
        let mut row = closed(&open, &written.described, &written.archive, now)?;
        row.reused_bytes = Some(self.reused);
        let row = run::finish(roots, row)?;
        self.remember(&dir, &row, &written);
        Ok(CreateReport {
            backup: Backup {
                record: row,
                archive_present: true,
                encrypted: false,
            },
            skips: written.described.skips.into_iter().take(REPORT_LIMIT).collect(),
            changed: written.described.changed_paths,
        })
    }

    /// Notes how the files looked, for the next run. The backup is done: that this fails costs only time then.
    fn remember(&mut self, dir: &Dir, row: &Record, written: &Written) {
        let started = row.started_at.as_deref().and_then(parse_time);
        let (Status::Completed, Some(started)) = (row.status, started) else {
            return;
        };
        let result = reuse::record(
            dir,
            &self.settings(),
            row,
            &written.items,
            &written.blocks,
            started,
        );
        if let Err(e) = result {
            self.log(format!("the next run will read every file again: {e}"));
        }
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

#[cfg(test)]
mod tests;
