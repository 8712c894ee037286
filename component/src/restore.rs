//! Restore: extracts an archive into the empty `/target`, in steps, and insists on its manifest.
//!
//! Files are created exclusively and links last, so that nothing is ever written through a link. Modes, times and
//! absolute links are the host's to apply, and so is the last word: on any error it throws the target away.

mod select;

use std::collections::VecDeque;
use std::rc::Rc;

use select::Selection;

use crate::archive::{ArchiveReader, EntryKind, EntryReader};
use crate::checksum::Opened;
use crate::entries::{link_target, of_row, of_view};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Dir, File, Roots, TARGET};
use crate::job::Outcome;
use crate::manifest::{Finding, compare};
use crate::shards::{Piece, Turn, unexpected};
use crate::types::{Entry, Progress, RestoreReport, RestoreRequest};

/// What an entry costs of a step's budget beside its bytes.
const ENTRY_COST: u64 = 16 << 10;

/// Restores a backup in one go; see [`RestoreJob`].
///
/// # Errors
/// As [`RestoreJob::step`].
pub fn restore(roots: &Roots, request: &RestoreRequest) -> Result<RestoreReport> {
    let mut job = RestoreJob::new(request.clone());
    loop {
        if let Some(report) = job.step(roots, u64::MAX)? {
            return Ok(report);
        }
    }
}

/// A restore in steps.
pub struct RestoreJob {
    request: RestoreRequest,
    state: State,
    progress: Progress,
}

enum State {
    Start,
    Hash(Box<Opened>, Selection),
    Extract(Box<Extract>),
    Done,
}

/// The extraction proper.
struct Extract {
    archive: ArchiveReader,
    reader: EntryReader,
    target: Dir,
    /// Files still to write, then links.
    files: VecDeque<usize>,
    links: VecDeque<usize>,
    open: Option<(File, u64)>,
    report: RestoreReport,
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

    /// The next turn; see [`crate::shards::Coordinator::next`].
    ///
    /// # Errors
    /// See [`Self::step`].
    pub fn next(&mut self, roots: &Roots, budget: u64) -> Result<Turn> {
        Ok(match self.step(roots, budget)? {
            Some(report) => Turn::Ended(Box::new(Outcome::Restored(report))),
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
    /// `InvalidInput` for a glob that does not parse, `NotFound` for the backup, its archive or globs that match
    /// nothing, `AlreadyExists` when the target is not empty, `Corrupt` for any mismatch, or an I/O error.
    pub fn step(&mut self, roots: &Roots, budget: u64) -> Result<Option<RestoreReport>> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Start => self.start(roots).map(|()| None),
            State::Hash(opened, selection) => self.hash(roots, opened, selection, budget).map(|()| None),
            State::Extract(extract) => self.extract(extract, budget),
            State::Done => Err(Error::new(
                ErrorKind::InvalidInput,
                "restore",
                "the job has ended already",
            )),
        }
    }

    fn start(&mut self, roots: &Roots) -> Result<()> {
        let selection = Selection::new(&self.request.only)?;
        if !roots.open(TARGET)?.list()?.is_empty() {
            return Err(Error::new(
                ErrorKind::AlreadyExists,
                "restore",
                "the target folder is not empty",
            )
            .remedy("restore into a new folder"));
        }
        let opened = Opened::new(&roots.open(BACKUPS)?, self.request.id, "restore")?;
        self.progress.bytes_total = opened.size;
        self.progress.current = Some(opened.backup.record.archive_name());
        self.state = State::Hash(Box::new(opened), selection);
        Ok(())
    }

    fn hash(
        &mut self,
        roots: &Roots,
        mut opened: Box<Opened>,
        selection: Selection,
        budget: u64,
    ) -> Result<()> {
        if opened.is_known() {
            let (bytes, sum) = opened.hash(budget)?;
            self.progress.bytes_done += bytes;
            let Some(sum) = sum else {
                self.state = State::Hash(opened, selection);
                return Ok(());
            };
            if let Some(problem) = opened.mismatches(&sum).into_iter().next() {
                return Err(self.corrupt(&opened, problem));
            }
        }
        let extract = self.prepare(roots, *opened, &selection)?;
        self.state = State::Extract(Box::new(extract));
        Ok(())
    }

    /// Checks the structure and the manifest, and makes the folders.
    fn prepare(&mut self, roots: &Roots, opened: Opened, selection: &Selection) -> Result<Extract> {
        let name = opened.backup.record.archive_name();
        let archive = ArchiveReader::from_file(Rc::clone(&opened.file), &name, opened.size)?;
        let (mut problems, mut first, mut left_out) = (0u64, None, Vec::new());
        let header = compare(&archive, &mut |finding| match finding {
            Finding::Problem(problem) => {
                problems += 1;
                first.get_or_insert(problem);
            }
            Finding::AbsoluteLink(row) if selection.has(&row.path) => left_out.push(of_row(row, None)),
            Finding::AbsoluteLink(_) => {}
        })?;
        if let Some(first) = first {
            let more = match problems {
                1 => String::new(),
                n => format!(" (and {} more problems)", n - 1),
            };
            return Err(self.corrupt(&opened, format!("{first}{more}")));
        }
        if archive.is_empty() {
            return Err(self.corrupt(&opened, "the archive has no entries".to_owned()));
        }
        if header.is_none() {
            archive.check_foreign()?;
        }
        if !opened.is_known() {
            // No checksum vouches for the headers, so all are looked at before anything is written.
            let mut places = archive.places();
            (0..archive.len()).try_for_each(|index| places.check(&archive, index))?;
        }
        let chosen: Vec<usize> = (0..archive.len())
            .filter(|&index| selection.has(archive.entry(index).path))
            .collect();
        if chosen.is_empty() && left_out.is_empty() {
            return Err(
                Error::new(ErrorKind::NotFound, "restore", "nothing in the archive matches")
                    .about(self.request.only.join(", "))
                    .remedy("see the paths with `cofre show`"),
            );
        }
        let target = roots.open(TARGET)?;
        for folder in select::folders(&archive, &chosen) {
            target.make_dir(folder)?;
        }
        let of_kind = |kind| -> VecDeque<usize> {
            let all = chosen.iter().copied();
            all.filter(|&index| archive.entry(index).kind == kind).collect()
        };
        let (files, links) = (of_kind(EntryKind::File), of_kind(EntryKind::Symlink));
        let bytes = files
            .iter()
            .fold(0u64, |sum, &i| sum.saturating_add(archive.entry(i).size));
        self.progress.files_total = files.len() as u64;
        self.progress.bytes_total = self.progress.bytes_done.saturating_add(bytes);
        Ok(Extract {
            reader: archive.reader(),
            archive,
            target,
            files,
            links,
            open: None,
            report: RestoreReport {
                backup: opened.backup,
                files: 0,
                bytes: 0,
                links_left_out: left_out,
                manifest: header.is_some(),
            },
        })
    }

    fn extract(&mut self, mut extract: Box<Extract>, budget: u64) -> Result<Option<RestoreReport>> {
        let mut left = budget.max(1);
        while left > 0 {
            if extract.open.is_none() {
                let Some(&index) = extract.files.front() else {
                    extract.links()?;
                    return Ok(Some(extract.report));
                };
                self.progress.current = Some(extract.archive.entry(index).path.to_owned());
            }
            let bytes = extract.advance()?;
            self.progress.bytes_done += bytes;
            self.progress.files_done = extract.report.files;
            left = left.saturating_sub(if extract.open.is_some() {
                bytes
            } else {
                bytes + ENTRY_COST
            });
        }
        self.state = State::Extract(extract);
        Ok(None)
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
    /// Writes the next piece of the current file, or opens the next one first. Gives the bytes written.
    fn advance(&mut self) -> Result<u64> {
        let Some(&index) = self.files.front() else {
            return Ok(0);
        };
        let (file, offset) = match &mut self.open {
            Some(open) => open,
            none => {
                self.reader.start(&self.archive, index)?;
                let file = self.target.create(self.archive.entry(index).path)?;
                none.insert((file, 0))
            }
        };
        let Some(piece) = self.reader.next_chunk()? else {
            self.open = None;
            self.files.pop_front();
            self.report.files += 1;
            return Ok(0);
        };
        file.write_all_at(piece, *offset)?;
        let bytes = piece.len() as u64;
        *offset += bytes;
        self.report.bytes += bytes;
        Ok(bytes)
    }

    /// Creates the relative links; the absolute ones are reported only.
    fn links(&mut self) -> Result<()> {
        for index in std::mem::take(&mut self.links) {
            let target = link_target(&self.archive, index)?;
            if target.starts_with('/') {
                let entry: Entry = of_view(&self.archive, index)?;
                self.report.links_left_out.push(entry);
            } else {
                self.target.symlink(&target, self.archive.entry(index).path)?;
            }
        }
        Ok(())
    }
}

/// Does tasks.
#[derive(Debug, Default)]
pub struct RestoreWorker;

impl RestoreWorker {
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
