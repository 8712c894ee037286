//! Restore: extracts an archive into the empty `/target` and insists on its manifest.
//!
//! Structure and manifest are checked before anything is written; the checksum is computed and the folders are made
//! while the workers write.
//! Files are created exclusively and links last, so that nothing is ever written through a link. Modes, times and
//! absolute links are the host's to apply, and so is the last word: on any error it throws the target away.

mod select;
mod worker;

use std::collections::BTreeMap;
use std::rc::Rc;

use select::{Folders, Selection};
pub use worker::RestoreWorker;

use crate::archive::{ArchiveReader, EntryKind, entry_path};
use crate::checksum::Opened;
use crate::deal::Dealer;
use crate::entries::{link_target, of_row, of_view};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Dir, Roots, TARGET};
use crate::job::{Job, Outcome, Request};
use crate::limits::UnpackLimits;
use crate::manifest::{Finding, compare};
use crate::shards::{Piece, Turn, spent, unexpected};
use crate::types::{Entry, Progress, RestoreReport, RestoreRequest, WARNING};

/// What an entry costs of a step's budget beside its bytes.
const ENTRY_COST: u64 = 16 << 10;

/// Restores a backup in one go; see [`RestoreJob`].
///
/// # Errors
/// As [`RestoreJob::next`].
pub fn restore(roots: &Roots, request: &RestoreRequest) -> Result<RestoreReport> {
    match Job::new(Request::Restore(request.clone())).run(roots)? {
        Outcome::Restored(report) => Ok(report),
        Outcome::Created(_) | Outcome::Verified(_) => Err(unexpected("it is the outcome of something else")),
    }
}

/// The coordinator of a restore.
pub struct RestoreJob {
    request: RestoreRequest,
    state: State,
    progress: Progress,
}

enum State {
    Start,
    /// The archive is not what it should be; its checksum may say more about that.
    Doubted(Box<Opened>, Error),
    Extract(Box<Extract>),
    Done,
}

/// The extraction proper.
struct Extract {
    opened: Opened,
    /// The checksum is still to be compared.
    hashing: bool,
    dealer: Dealer,
    target: Dir,
    folders: Folders,
    links: Vec<usize>,
    files: u64,
    bytes: u64,
    links_left_out: Vec<Entry>,
    manifest: bool,
}

/// What is to be extracted of an archive that is as it should be.
struct Chosen {
    archive: ArchiveReader,
    entries: Vec<usize>,
    blocks: BTreeMap<usize, Vec<u64>>,
    links_left_out: Vec<Entry>,
    manifest: bool,
}

impl RestoreJob {
    /// A restore as requested.
    #[must_use]
    pub fn new(request: RestoreRequest) -> Self {
        Self {
            request,
            state: State::Start,
            progress: Progress::default(),
        }
    }

    /// How far it is; the log lines are given out once.
    pub fn progress(&mut self) -> Progress {
        self.progress.shown()
    }

    /// The next turn; see [`crate::shards::Coordinator::next`].
    ///
    /// # Errors
    /// `InvalidInput` for a glob that does not parse, `NotFound` for the backup, its archive or globs that match
    /// nothing, `AlreadyExists` when the target is not empty, `Corrupt` for any mismatch, or an I/O error.
    pub fn next(&mut self, roots: &Roots, budget: u64) -> Result<Turn> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Start => {
                self.state = self.start(roots)?;
                Ok(Turn::Working)
            }
            State::Doubted(mut opened, doubt) => {
                if self.hash(&mut opened, budget)? {
                    return Err(doubt);
                }
                self.state = State::Doubted(opened, doubt);
                Ok(Turn::Working)
            }
            State::Extract(mut extract) => {
                if let Some(turn) = self.extract(&mut extract, budget)? {
                    self.state = State::Extract(extract);
                    return Ok(turn);
                }
                extract.folders.make_rest(&extract.target)?;
                extract.links()?;
                Ok(Turn::Ended(Box::new(Outcome::Restored(extract.report()))))
            }
            State::Done => Err(spent()),
        }
    }

    /// Takes the result of the oldest task that is out.
    ///
    /// # Errors
    /// `InvalidInput` for one that was not asked for; `Corrupt` when the parts of a file are not the file.
    pub fn take(&mut self, piece: &Piece) -> Result<()> {
        let State::Extract(extract) = &mut self.state else {
            return Err(unexpected("no task is out"));
        };
        let taken = extract.dealer.take(piece)?;
        let archive = &extract.dealer.archive;
        if let Some(problem) = taken.problems.into_iter().next() {
            return Err(Error::new(ErrorKind::Corrupt, "read archive", problem).about(archive.name()));
        }
        self.progress.current = Some(archive.entry(taken.index).path.to_owned());
        self.progress.bytes_done += taken.bytes;
        extract.files += taken.entries;
        extract.bytes += taken.bytes;
        self.progress.files_done = extract.files;
        Ok(())
    }

    fn start(&mut self, roots: &Roots) -> Result<State> {
        let selection = Selection::new(&self.request.only)?;
        let target = roots.open(TARGET)?;
        if !target.list()?.is_empty() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "restore",
                "the target folder is not empty",
            )
            .remedy("restore into a new folder"));
        }
        let opened = Opened::new(&roots.open(BACKUPS)?, self.request.id, "restore")?;
        self.warn(opened.bad_sidecar());
        let hashing = opened.is_known();
        self.progress.bytes_total = if hashing { opened.size } else { 0 };
        self.progress.current = Some(opened.backup.record.archive_name());
        let chosen = match self.check(&opened, &selection) {
            Ok(chosen) => chosen,
            Err(doubt) if hashing => return Ok(State::Doubted(Box::new(opened), doubt)),
            Err(e) => return Err(e),
        };
        Ok(State::Extract(Box::new(
            self.begin(opened, hashing, target, chosen),
        )))
    }

    /// Checks the structure and the manifest, and chooses what to extract.
    fn check(&self, opened: &Opened, selection: &Selection) -> Result<Chosen> {
        let name = opened.backup.record.archive_name();
        let archive = ArchiveReader::from_file(Rc::clone(&opened.file), &name, opened.size)?;
        let (mut problems, mut first) = (0u64, None);
        let (mut links_left_out, mut blocks) = (Vec::new(), BTreeMap::new());
        let header = compare(&archive, &mut |finding| match finding {
            Finding::Problem(problem) => {
                problems += 1;
                first.get_or_insert(problem);
            }
            Finding::AbsoluteLink(row) if selection.has(&row.path) => {
                links_left_out.push(of_row(row, None));
            }
            Finding::AbsoluteLink(_) => {}
            Finding::Blocks(index, lengths) => drop(blocks.insert(index, lengths)),
        })?;
        if let Some(first) = first {
            let more = match problems {
                1 => String::new(),
                n => format!(" (and {} more problems)", n - 1),
            };
            return Err(self.corrupt(opened, format!("{first}{more}")));
        }
        if header.is_none() {
            archive.check_foreign()?;
        }
        if !opened.is_known() {
            // No checksum vouches for the headers, so all are looked at before anything is written.
            let mut places = archive.places();
            (0..archive.len()).try_for_each(|index| places.check(&archive, index))?;
        }
        let entries: Vec<usize> = (0..archive.len())
            .filter(|&index| selection.has(archive.entry(index).path))
            .collect();
        if entries.is_empty() && links_left_out.is_empty() {
            return Err(
                Error::new(ErrorKind::NotFound, "restore", "nothing in the archive matches")
                    .about(self.request.only.join(", "))
                    .remedy("see the paths with `cofre show`"),
            );
        }
        self.check_room(&archive, &entries)?;
        Ok(Chosen {
            archive,
            entries,
            blocks,
            links_left_out,
            manifest: header.is_some(),
        })
    }

    /// Whether what was chosen fits where it is to go.
    fn check_room(&self, archive: &ArchiveReader, entries: &[usize]) -> Result<()> {
        let sizes = entries.iter().map(|&index| archive.entry(index).size);
        let (need, room) = (sizes.fold(0, u64::saturating_add), UnpackLimits::current().room);
        if need <= room {
            return Ok(());
        }
        let problem = format!(
            "the files of {} need {need} bytes, and {room} are free",
            archive.name()
        );
        Err(Error::new(ErrorKind::NoSpace, "restore to", problem)
            .about(TARGET)
            .remedy("free space, restore to another disk, or only a part with `--only`"))
    }

    fn begin(&mut self, opened: Opened, hashing: bool, target: Dir, chosen: Chosen) -> Extract {
        let of_kind = |kind| -> Vec<usize> {
            let all = chosen.entries.iter().copied();
            all.filter(|&index| chosen.archive.entry(index).kind == kind)
                .collect()
        };
        let (files, links) = (of_kind(EntryKind::File), of_kind(EntryKind::Symlink));
        let folders = Folders::new(&chosen.archive, &chosen.entries);
        self.progress.files_total = files.len() as u64;
        let dealer = Dealer::new(chosen.archive, files, chosen.blocks, ENTRY_COST);
        self.progress.bytes_total = self.progress.bytes_total.saturating_add(dealer.total());
        Extract {
            opened,
            hashing,
            dealer,
            target,
            folders,
            links,
            files: 0,
            bytes: 0,
            links_left_out: chosen.links_left_out,
            manifest: chosen.manifest,
        }
    }

    /// One turn, or `None` when all files are written.
    fn extract(&mut self, extract: &mut Extract, budget: u64) -> Result<Option<Turn>> {
        let Extract {
            opened,
            dealer,
            target,
            folders,
            ..
        } = extract;
        if extract.hashing && dealer.is_behind(opened.hashed(), opened.size) {
            extract.hashing = !self.hash(opened, budget)?;
            return Ok(Some(Turn::Working));
        }
        let task = dealer.deal(budget, &mut |path, in_parts| {
            folders.make_for(path, target)?;
            // A large file is there, empty, before its parts are written, at any time and in any order.
            if in_parts {
                target.create(path)?;
            }
            Ok(())
        })?;
        if let Some(task) = task {
            return Ok(Some(Turn::Task(task)));
        }
        if extract.hashing {
            extract.hashing = !self.hash(opened, budget)?;
            return Ok(Some(Turn::Working));
        }
        Ok(dealer.is_out().then_some(Turn::Waiting))
    }

    /// Hashes some more; whether that was the end and the checksum is what it should be.
    fn hash(&mut self, opened: &mut Opened, budget: u64) -> Result<bool> {
        let (bytes, sum) = opened.hash(budget)?;
        self.progress.bytes_done += bytes;
        let Some(sum) = sum else {
            return Ok(false);
        };
        if let Some(problem) = opened.mismatch(&sum) {
            return Err(self.corrupt(opened, problem));
        }
        // What decides says that the archive is good, and the rest can be mended.
        self.warn(opened.sidecar_mismatch(&sum));
        Ok(true)
    }

    fn warn(&mut self, problem: Option<String>) {
        let lines = problem.map(|problem| format!("{WARNING}{problem}"));
        self.progress.log.extend(lines);
    }

    fn corrupt(&self, opened: &Opened, problem: String) -> Error {
        Error::new(ErrorKind::Corrupt, "restore", problem)
            .about(opened.backup.record.archive_name())
            .remedy(format!(
                "see everything with `cofre verify {}`, or restore another backup",
                self.request.id
            ))
    }
}

impl Extract {
    /// Creates the relative links; the absolute ones are reported only. So are those that lead out of an archive
    /// without a manifest: the original system never wrote any, so nothing of a user's hangs on them.
    fn links(&mut self) -> Result<()> {
        let archive = &self.dealer.archive;
        let mut reader = archive.reader();
        for &index in &self.links {
            let target = link_target(archive, &mut reader, index)?;
            let path = archive.entry(index).path;
            if target.starts_with('/') || !self.manifest && entry_path::leads_out(path, &target) {
                self.links_left_out.push(of_view(archive, index)?);
            } else {
                self.target.symlink(&target, path)?;
            }
        }
        Ok(())
    }

    fn report(self) -> RestoreReport {
        RestoreReport {
            backup: self.opened.backup,
            files: self.files,
            bytes: self.bytes,
            links_left_out: self.links_left_out,
            manifest: self.manifest,
        }
    }
}

#[cfg(test)]
mod tests;
