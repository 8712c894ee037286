//! Verify: one archive against its checksum, its manifest and its own headers.
//!
//! It reads only. Everything that is wrong with the archive, also that it can't be opened, is collected into the report;
//! an error is what keeps it from looking (no such backup, no catalog). The coordinator looks at directory and manifest and computes the
//! checksum while the workers read the entries.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::archive::reader::{Places, shown};
use crate::archive::{ArchiveReader, EntryKind, second_opinion};
use crate::catalog::Catalog;
use crate::checksum::{Opened, locate};
use crate::deal::{Dealer, Sink, Worker, reason};
use crate::entries::{MAX_TARGET, link_target};
use crate::error::{ErrorKind, Result};
use crate::fs::{BACKUPS, Reader, Roots};
use crate::job::{Job, Outcome, Request};
use crate::manifest::{Finding, MANIFEST_NAME, compare};
use crate::shards::{Piece, Turn, spent, unexpected};
use crate::types::{Backup, Progress, REPORT_LIMIT, VerifyReport};

/// What an entry costs of a step's budget beside its bytes.
const ENTRY_COST: u64 = 4 << 10;

/// Verifies the backup `id` in one go; see [`VerifyJob`].
///
/// # Errors
/// As [`VerifyJob::next`].
pub fn verify(roots: &Roots, id: u64, quick: bool) -> Result<VerifyReport> {
    match Job::new(Request::Verify { id, quick }).run(roots)? {
        Outcome::Verified(report) => Ok(report),
        Outcome::Created(_) | Outcome::Restored(_) => Err(unexpected("it is the outcome of something else")),
    }
}

/// The coordinator of a verification.
pub struct VerifyJob {
    id: u64,
    quick: bool,
    state: State,
    progress: Progress,
    /// What is wrong with the archive as a file, with its structure, and with its entries.
    problems: [Vec<String>; 3],
    checksum: bool,
    manifest: bool,
    entries: u64,
    bytes: u64,
}

/// Which of the problems it is.
#[derive(Clone, Copy)]
enum About {
    File,
    Structure,
    Entries,
}

enum State {
    Start,
    Running(Box<Running>),
    Done,
}

struct Running {
    opened: Opened,
    /// The checksum is not known yet.
    hashing: bool,
    read: Reading,
}

/// What is to be looked at of the entries.
enum Reading {
    /// All of them, by workers.
    Contents(Box<Dealer>),
    /// Where they lie, for a quick run; the next one's number.
    Places(ArchiveReader, Places, usize),
    /// Nothing can be.
    Nothing,
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
            problems: Default::default(),
            checksum: false,
            manifest: false,
            entries: 0,
            bytes: 0,
        }
    }

    /// How far it is; the log lines are given out once.
    pub fn progress(&mut self) -> Progress {
        self.progress.shown()
    }

    /// The next turn; see [`crate::shards::Coordinator::next`].
    ///
    /// # Errors
    /// `NotFound`, `CatalogInvalid`, `AccessDenied`, or an I/O error before the archive is opened; `InvalidInput`
    /// after the end.
    pub fn next(&mut self, roots: &Roots, budget: u64) -> Result<Turn> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Start => {
                let dir = roots.open(BACKUPS)?;
                let backup = locate(&Catalog::load(&dir)?, self.id, "verify")?;
                match Opened::of(&dir, backup.clone()) {
                    Ok(opened) => {
                        self.state = State::Running(Box::new(self.start(opened)));
                        Ok(Turn::Working)
                    }
                    // What can't be opened can't be restored either.
                    Err(e) => {
                        let problem = format!("the archive can't be opened: {}", e.message);
                        self.problem(About::File, problem);
                        Ok(self.end(backup))
                    }
                }
            }
            State::Running(mut running) => {
                let turn = self.run(&mut running, budget)?;
                Ok(match turn {
                    Some(turn) => {
                        self.state = State::Running(running);
                        turn
                    }
                    None => self.end(running.opened.backup),
                })
            }
            State::Done => Err(spent()),
        }
    }

    /// Takes the result of the oldest task that is out.
    ///
    /// # Errors
    /// `InvalidInput` for one that was not asked for.
    pub fn take(&mut self, piece: &Piece) -> Result<()> {
        let State::Running(running) = &mut self.state else {
            return Err(unexpected("no task is out"));
        };
        let Reading::Contents(dealer) = &mut running.read else {
            return Err(unexpected("no task is out"));
        };
        let taken = dealer.take(piece)?;
        self.progress.current = Some(dealer.archive.entry(taken.index).path.to_owned());
        self.progress.files_done += taken.entries;
        self.progress.bytes_done += taken.bytes;
        // A bad one is told with its end, in parts or not.
        self.entries += taken.entries.saturating_sub(taken.problems.len() as u64);
        self.bytes += taken.bytes;
        for problem in taken.problems {
            self.problem(About::Entries, problem);
        }
        Ok(())
    }

    /// One turn, or `None` at the end.
    fn run(&mut self, running: &mut Running, budget: u64) -> Result<Option<Turn>> {
        let dealer = match &mut running.read {
            Reading::Contents(dealer) => dealer,
            other => {
                if running.hashing {
                    self.hash(running, budget);
                    return Ok(Some(Turn::Working));
                }
                return Ok(self.look(other, budget).then_some(Turn::Working));
            }
        };
        if running.hashing && dealer.is_behind(running.opened.hashed(), running.opened.size) {
            self.hash(running, budget);
            return Ok(Some(Turn::Working));
        }
        if let Some(task) = dealer.deal(budget, &mut |_, _| Ok(()))? {
            return Ok(Some(Turn::Task(task)));
        }
        Ok(if running.hashing {
            self.hash(running, budget);
            Some(Turn::Working)
        } else if dealer.is_out() {
            Some(Turn::Waiting)
        } else {
            None
        })
    }

    fn start(&mut self, opened: Opened) -> Running {
        let record = &opened.backup.record;
        // Without anything to compare it with, the checksum is worth only that every byte was read.
        let hashing = self.quick || opened.is_known();
        self.progress.bytes_total = if hashing { opened.size } else { 0 };
        self.progress.current = Some(record.archive_name());
        if let Some(problem) = opened.bad_sidecar() {
            self.problem(About::File, problem);
        }
        // Rows of the original system may lack the size.
        if record.size != 0 && record.size != opened.size {
            let problem = format!(
                "the archive has {} bytes, the catalog says {}",
                opened.size, record.size
            );
            self.problem(About::File, problem);
        }
        Running {
            read: self.open(&opened),
            opened,
            hashing,
        }
    }

    fn hash(&mut self, running: &mut Running, budget: u64) {
        let opened = &mut running.opened;
        let sum = match opened.hash(budget) {
            Ok((bytes, sum)) => {
                self.progress.bytes_done += bytes;
                sum
            }
            // A disk that can't give the bytes back is just what a verification is to find.
            Err(e) => {
                running.hashing = false;
                self.problem(About::File, e.to_string());
                return;
            }
        };
        if let Some(sum) = sum {
            running.hashing = false;
            self.checksum = opened.is_known();
            let (archive, sidecar) = (opened.mismatch(&sum), opened.sidecar_mismatch(&sum));
            for problem in archive.into_iter().chain(sidecar) {
                self.problem(About::File, problem);
            }
        }
    }

    /// The structure and the manifest; then the entries, unless nothing can be read.
    fn open(&mut self, opened: &Opened) -> Reading {
        let record = &opened.backup.record;
        let file = Rc::clone(&opened.file);
        let archive = match ArchiveReader::from_file(file, &record.archive_name(), opened.size) {
            Ok(archive) => archive,
            Err(e) => {
                self.problem(About::Structure, reason(e));
                return Reading::Nothing;
            }
        };
        if let Some(problem) = second_opinion::differs(&archive, Reader::new(&opened.file, opened.size)) {
            self.problem(About::Structure, problem);
        }
        let mut blocks = BTreeMap::new();
        let compared = compare(&archive, &mut |finding| match finding {
            Finding::Problem(problem) => self.problem(About::Structure, problem),
            Finding::Blocks(index, lengths) => drop(blocks.insert(index, lengths)),
            Finding::AbsoluteLink(_) => {}
        });
        let foreign = match compared {
            Ok(Some(header)) => {
                self.manifest = true;
                if header.name != record.name {
                    let problem = format!("the manifest is that of {}", shown(&header.name));
                    self.problem(About::Structure, problem);
                }
                Ok(())
            }
            Ok(None) => archive.check_foreign(),
            Err(e) => Err(e),
        };
        if let Err(e) = foreign {
            let limit = e.kind == ErrorKind::Unsupported;
            self.problem(About::Structure, reason(e));
            if limit {
                return Reading::Nothing;
            }
        }
        self.progress.files_total = archive.len() as u64;
        if self.quick {
            self.check_links(&archive);
            let places = archive.places();
            return Reading::Places(archive, places, 0);
        }
        Reading::Contents(Box::new(self.contents(archive, blocks)))
    }

    /// Links that a restore could not make, which reading the contents finds by itself. With a manifest, only their sizes
    /// are left to look at here.
    fn check_links(&mut self, archive: &ArchiveReader) {
        let mut reader = archive.reader();
        for (index, entry) in archive.entries().enumerate() {
            let fits = entry.size > 0 && entry.size <= MAX_TARGET as u64;
            if entry.kind != EntryKind::Symlink || fits && self.manifest {
                continue;
            }
            if let Err(e) = link_target(archive, &mut reader, index) {
                self.problem(About::Structure, reason(e));
            }
        }
    }

    fn contents(&mut self, archive: ArchiveReader, blocks: BTreeMap<usize, Vec<u64>>) -> Dealer {
        // Comparing the manifest read it to its end, with its headers and its CRC.
        let manifest = archive.find(MANIFEST_NAME).filter(|_| self.manifest);
        if let Some(index) = manifest {
            self.entries += 1;
            self.progress.files_done += 1;
            self.bytes += archive.entry(index).size;
        }
        let entries = (0..archive.len()).filter(|&index| Some(index) != manifest);
        let entries = entries.collect();
        let dealer = Dealer::new(archive, entries, blocks, ENTRY_COST);
        self.progress.bytes_total = self.progress.bytes_total.saturating_add(dealer.total());
        dealer
    }

    /// Looks at the places of some entries; whether there are more.
    fn look(&mut self, reading: &mut Reading, budget: u64) -> bool {
        let Reading::Places(archive, places, next) = reading else {
            return false;
        };
        let mut left = budget.max(1);
        while left > 0 && *next < archive.len() {
            match places.check(archive, *next) {
                Ok(()) => self.entries += 1,
                Err(e) => self.problem(About::Entries, reason(e)),
            }
            self.progress.files_done += 1;
            self.progress.current = Some(archive.entry(*next).path.to_owned());
            *next += 1;
            left = left.saturating_sub(ENTRY_COST);
        }
        left == 0
    }

    fn problem(&mut self, about: About, problem: String) {
        let problems = &mut self.problems[about as usize];
        if problems.len() < REPORT_LIMIT {
            problems.push(problem);
        }
    }

    fn end(&mut self, backup: Backup) -> Turn {
        Turn::Ended(Box::new(Outcome::Verified(self.report(backup))))
    }

    fn report(&mut self, backup: Backup) -> VerifyReport {
        let mut problems = std::mem::take(&mut self.problems).concat();
        problems.truncate(REPORT_LIMIT);
        VerifyReport {
            backup,
            entries: self.entries,
            bytes: self.bytes,
            manifest: self.manifest,
            checksum: self.checksum,
            problems,
        }
    }
}

/// Does the tasks of a verification.
#[derive(Default)]
pub struct VerifyWorker(Worker);

/// Contents are read for what is wrong with them only.
struct Nowhere;

impl Sink for Nowhere {
    const STRICT: bool = false;

    fn begin(&mut self, _path: &str) -> Result<()> {
        Ok(())
    }

    fn piece(&mut self, _piece: &[u8], _offset: u64) -> Result<()> {
        Ok(())
    }

    fn part(&mut self, _path: &str, _part: &[u8], _offset: u64) -> Result<()> {
        Ok(())
    }
}

impl VerifyWorker {
    /// Does one task.
    ///
    /// # Errors
    /// `InvalidInput` for what is no task, or what keeps it from opening the archive.
    pub fn work(&mut self, roots: &Roots, task: &[u8]) -> Result<Piece> {
        self.0.work(roots, task, &mut Nowhere)
    }
}

#[cfg(test)]
mod tests;
