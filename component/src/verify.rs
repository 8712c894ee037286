//! Verify: one archive against its checksum, its manifest and its own headers, in steps.
//!
//! It reads only. Everything that is wrong with the archive is collected into the report; an error is what keeps
//! it from looking (no such backup, no permission).

use crate::archive::reader::Places;
use crate::archive::{ArchiveReader, EntryReader, second_opinion};
use crate::checksum::Opened;
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Reader, Roots};
use crate::job::Outcome;
use crate::manifest::{Finding, compare};
use crate::shards::{Piece, Turn, unexpected};
use crate::types::{Progress, REPORT_LIMIT, VerifyReport};

/// What an entry costs of a step's budget beside its bytes.
const ENTRY_COST: u64 = 4 << 10;

/// Verifies the backup `id` in one go; see [`VerifyJob`].
///
/// # Errors
/// As [`VerifyJob::step`].
pub fn verify(roots: &Roots, id: u64, quick: bool) -> Result<VerifyReport> {
    let mut job = VerifyJob::new(id, quick);
    loop {
        if let Some(report) = job.step(roots, u64::MAX)? {
            return Ok(report);
        }
    }
}

/// A verification in steps.
pub struct VerifyJob {
    id: u64,
    quick: bool,
    state: State,
    progress: Progress,
    problems: Vec<String>,
    checksum: bool,
    manifest: bool,
    entries: u64,
    bytes: u64,
}

enum State {
    Start,
    Hash(Box<Opened>),
    Entries(Box<Entries>),
    Done,
}

struct Entries {
    opened: Opened,
    archive: ArchiveReader,
    /// `None` for a quick run.
    reader: Option<EntryReader>,
    places: Places,
    next: usize,
    /// Whether the entry before `next` is still being read.
    reading: bool,
}

impl VerifyJob {
    /// A verification of the backup `id`; `quick` reads the archive for its checksum and looks at the structure,
    /// without decompressing.
    #[must_use]
    pub fn new(id: u64, quick: bool) -> Self {
        Self {
            id,
            quick,
            state: State::Start,
            progress: Progress::default(),
            problems: Vec::new(),
            checksum: false,
            manifest: false,
            entries: 0,
            bytes: 0,
        }
    }

    /// The next turn; see [`crate::shards::Coordinator::next`].
    ///
    /// # Errors
    /// See [`Self::step`].
    pub fn next(&mut self, roots: &Roots, budget: u64) -> Result<Turn> {
        Ok(match self.step(roots, budget)? {
            Some(report) => Turn::Ended(Box::new(Outcome::Verified(report))),
            None => Turn::Working,
        })
    }

    /// Takes the result of a task.
    ///
    /// # Errors
    /// `InvalidInput` for one that was not asked for.
    pub fn take(&mut self, _piece: Piece) -> Result<()> {
        Err(unexpected("no task is out"))
    }

    /// How far it is; the log lines are given out once.
    pub fn progress(&mut self) -> Progress {
        let shown = self.progress.clone();
        self.progress.log.clear();
        shown
    }

    /// Works on about `budget` bytes. `None` means that there is more to do.
    ///
    /// # Errors
    /// `NotFound`, `CatalogInvalid`, `AccessDenied`, or an I/O error before the archive is open; `InvalidInput`
    /// after the end.
    pub fn step(&mut self, roots: &Roots, budget: u64) -> Result<Option<VerifyReport>> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Start => self.start(roots).map(|()| None),
            State::Hash(opened) => self.hash(opened, budget),
            State::Entries(entries) => self.read(entries, budget),
            State::Done => Err(Error::new(
                ErrorKind::InvalidInput,
                "verify",
                "the job has ended already",
            )),
        }
    }

    fn start(&mut self, roots: &Roots) -> Result<()> {
        let opened = Opened::new(&roots.open(BACKUPS)?, self.id, "verify")?;
        let record = &opened.backup.record;
        self.progress.bytes_total = opened.size;
        self.progress.current = Some(record.archive_name());
        // Rows of the original system may lack the size.
        if record.size != 0 && record.size != opened.size {
            let problem = format!(
                "the archive has {} bytes, the catalog says {}",
                opened.size, record.size
            );
            self.problem(problem);
        }
        self.state = State::Hash(Box::new(opened));
        Ok(())
    }

    fn hash(&mut self, mut opened: Box<Opened>, budget: u64) -> Result<Option<VerifyReport>> {
        let sum = match opened.hash(budget) {
            Ok((bytes, sum)) => {
                self.progress.bytes_done += bytes;
                sum
            }
            // A disk that can't give the bytes back is just what a verification is to find.
            Err(e) => {
                self.problem(e.to_string());
                return Ok(Some(self.report(*opened)));
            }
        };
        let Some(sum) = sum else {
            self.state = State::Hash(opened);
            return Ok(None);
        };
        self.checksum = opened.is_known();
        for problem in opened.mismatches(&sum) {
            self.problem(problem);
        }
        Ok(self.open(*opened))
    }

    /// The structure and the manifest; then the entries, unless nothing can be read.
    fn open(&mut self, opened: Opened) -> Option<VerifyReport> {
        let name = opened.backup.record.archive_name();
        let archive = match ArchiveReader::from_file(std::rc::Rc::clone(&opened.file), &name, opened.size) {
            Ok(archive) => archive,
            Err(e) => {
                self.problem(reason(e));
                return Some(self.report(opened));
            }
        };
        if let Some(problem) = second_opinion::differs(&archive, Reader::new(&opened.file, opened.size)) {
            self.problem(problem);
        }
        if archive.is_empty() {
            self.problem("the archive has no entries".to_owned());
        }
        let compared = compare(&archive, &mut |finding| {
            if let Finding::Problem(problem) = finding {
                self.problem(problem);
            }
        });
        let foreign = match compared {
            Ok(Some(header)) => {
                self.manifest = true;
                if header.name != opened.backup.record.name {
                    self.problem(format!(
                        "the manifest is that of {}",
                        crate::archive::reader::shown(&header.name)
                    ));
                }
                Ok(())
            }
            Ok(None) => archive.check_foreign(),
            Err(e) => Err(e),
        };
        if let Err(e) = foreign {
            let limit = e.kind == ErrorKind::Unsupported;
            self.problem(reason(e));
            if limit {
                return Some(self.report(opened));
            }
        }
        self.progress.files_total = archive.len() as u64;
        if !self.quick {
            self.progress.bytes_total = self.progress.bytes_total.saturating_add(archive.total_size());
        }
        self.state = State::Entries(Box::new(Entries {
            opened,
            reader: (!self.quick).then(|| archive.reader()),
            places: archive.places(),
            archive,
            next: 0,
            reading: false,
        }));
        None
    }

    fn read(&mut self, mut entries: Box<Entries>, budget: u64) -> Result<Option<VerifyReport>> {
        let mut left = budget.max(1);
        while left > 0 {
            if !entries.reading && entries.next == entries.archive.len() {
                return Ok(Some(self.report(entries.opened)));
            }
            match entries.advance() {
                Ok(None) => {
                    self.entries += 1;
                    self.progress.files_done += 1;
                    left = left.saturating_sub(ENTRY_COST);
                }
                Ok(Some(bytes)) => {
                    self.bytes += bytes;
                    self.progress.bytes_done += bytes;
                    left = left.saturating_sub(bytes);
                }
                Err(e) => {
                    self.progress.files_done += 1;
                    self.problem(reason(e));
                }
            }
        }
        let current = entries.next.saturating_sub(1);
        self.progress.current = Some(entries.archive.entry(current).path.to_owned());
        self.state = State::Entries(entries);
        Ok(None)
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < REPORT_LIMIT {
            self.problems.push(problem);
        }
    }

    fn report(&mut self, opened: Opened) -> VerifyReport {
        VerifyReport {
            backup: opened.backup,
            entries: self.entries,
            bytes: self.bytes,
            manifest: self.manifest,
            checksum: self.checksum,
            problems: std::mem::take(&mut self.problems),
        }
    }
}

impl Entries {
    /// Reads the next piece: `Some(bytes)`, or `None` when that ended an entry.
    fn advance(&mut self) -> Result<Option<u64>> {
        let Some(reader) = &mut self.reader else {
            self.next += 1;
            return self.places.check(&self.archive, self.next - 1).map(|()| None);
        };
        if !self.reading {
            self.next += 1;
            reader.start(&self.archive, self.next - 1)?;
            self.reading = true;
        }
        let piece = reader.next_chunk().map(|piece| piece.map(|p| p.len() as u64));
        self.reading = matches!(piece, Ok(Some(_)));
        piece
    }
}

/// An error as a problem: the archive is known, what is wrong with it is the message.
fn reason(e: Error) -> String {
    match e.kind {
        ErrorKind::Corrupt | ErrorKind::Unsupported => match e.remedy {
            Some(remedy) => format!("{} ({remedy})", e.message),
            None => e.message,
        },
        _ => e.to_string(),
    }
}

/// Does tasks.
#[derive(Debug, Default)]
pub struct VerifyWorker;

impl VerifyWorker {
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
