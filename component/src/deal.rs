//! The entries of an archive, dealt out to be read: what verify and restore have in common.
//!
//! The coordinator has the directory and the manifest; a task has all of them that a worker needs, so that it parses
//! neither. Small entries go out in batches, large ones in parts where they can be cut. Results are taken in the
//! order of the tasks, and what they say of the entries comes out in archive order.

mod messages;
mod worker;

use std::collections::{BTreeMap, VecDeque};

pub(crate) use messages::ToRead;
use messages::{Read, Task, What};
pub(crate) use worker::{Sink, Worker};

use crate::archive::parts::Cut;
use crate::archive::{ArchiveReader, BLOCK, check_joined};
use crate::error::{Error, Result};
use crate::shards::{Piece, decode, encode, unexpected};

/// Most entries of one batch.
const BATCH_MAX: usize = 1024;

/// Deals out entries of one archive.
pub(crate) struct Dealer {
    pub(crate) archive: ArchiveReader,
    /// What an entry costs beside its bytes.
    entry_cost: u64,
    /// The entries to read, in archive order, and how many of them are dealt out.
    entries: Vec<usize>,
    dealt: usize,
    /// Lengths of the blocks of large entries.
    blocks: BTreeMap<usize, Vec<u64>>,
    cutting: Option<Cutting>,
    out: VecDeque<Asked>,
    joined: Option<Joined>,
    /// Bytes of what came back, and of all.
    done: u64,
    total: u64,
}

/// A large entry that is being dealt out.
struct Cutting {
    index: usize,
    parts: std::iter::Peekable<Cut>,
}

/// What a task that is out is about.
enum Asked {
    /// So many entries with so many bytes, the last of them at this index.
    Entries(usize, u64, usize),
    Part {
        index: usize,
        offset: u64,
        size: u64,
        last: bool,
    },
}

/// The parts of an entry that came back.
#[derive(Default)]
struct Joined {
    crc32: crc32fast::Hasher,
    /// What is wrong with the first bad one; it is told with the last.
    problem: Option<String>,
}

/// What a result says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Entries that are done, whether they are good or not.
    pub(crate) entries: u64,
    /// Bytes of content that were read.
    pub(crate) bytes: u64,
    /// What is wrong, in archive order; one for each bad entry.
    pub(crate) problems: Vec<String>,
    /// The last entry that it is about.
    pub(crate) index: usize,
}

impl Dealer {
    /// A dealer of these entries of `archive`, which are in archive order; `entry_cost` is what each costs of a
    /// budget beside its bytes.
    pub(crate) fn new(
        archive: ArchiveReader,
        entries: Vec<usize>,
        blocks: BTreeMap<usize, Vec<u64>>,
        entry_cost: u64,
    ) -> Self {
        let sizes = entries.iter().map(|&index| archive.entry(index).size);
        Self {
            total: sizes.fold(0, u64::saturating_add),
            archive,
            entry_cost,
            entries,
            dealt: 0,
            blocks,
            cutting: None,
            out: VecDeque::new(),
            joined: None,
            done: 0,
        }
    }

    /// Whether `part` of `whole` is less than what came back is of everything: the coordinator's own work keeps
    /// pace with that of the workers, so that neither has to wait for the other at the end.
    pub(crate) fn is_behind(&self, part: u64, whole: u64) -> bool {
        u128::from(part) * u128::from(self.total) < u128::from(self.done) * u128::from(whole)
    }

    /// Bytes of all entries.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Whether a task is out.
    pub(crate) fn is_out(&self) -> bool {
        !self.out.is_empty()
    }

    /// The next task, of about `budget` bytes. `begin` gets the path of each entry before it is dealt, and whether it
    /// is dealt in parts.
    ///
    /// # Errors
    /// What `begin` says.
    pub(crate) fn deal(
        &mut self,
        budget: u64,
        begin: &mut dyn FnMut(&str, bool) -> Result<()>,
    ) -> Result<Option<Vec<u8>>> {
        if self.cutting.is_none() {
            let Some(&index) = self.entries.get(self.dealt) else {
                return Ok(None);
            };
            let (at, path) = self.archive.place(index);
            match Cut::new(at, self.blocks.remove(&index)) {
                Some(cut) => {
                    begin(path, true)?;
                    self.dealt += 1;
                    self.cutting = Some(Cutting {
                        index,
                        parts: cut.peekable(),
                    });
                }
                None => return self.batch(budget, begin).map(Some),
            }
        }
        self.part()
    }

    fn part(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(cutting) = &mut self.cutting else {
            return Ok(None);
        };
        let index = cutting.index;
        let Some(part) = cutting.parts.next() else {
            return Ok(None);
        };
        let last = cutting.parts.peek().is_none();
        if last {
            self.cutting = None;
        }
        let asked = Asked::Part {
            index,
            offset: part.offset,
            size: part.size,
            last,
        };
        let task = self.encode(What::Part(self.to_read(index), part))?;
        self.out.push_back(asked);
        Ok(Some(task))
    }

    fn batch(&mut self, budget: u64, begin: &mut dyn FnMut(&str, bool) -> Result<()>) -> Result<Vec<u8>> {
        let mut left = budget.clamp(1, BLOCK);
        let (mut bytes, mut count) = (0u64, 0);
        for &index in &self.entries[self.dealt..] {
            let entry = self.archive.entry(index);
            // At least one, whatever its size, but not one that makes a full batch much larger, nor one with parts.
            if count > 0 && (entry.size > left || count == BATCH_MAX) {
                break;
            }
            begin(entry.path, false)?;
            let beside = self.entry_cost + entry.path.len() as u64;
            left = left.saturating_sub(entry.size.saturating_add(beside));
            bytes = bytes.saturating_add(entry.size);
            count += 1;
            if left == 0 {
                break;
            }
        }
        let indices = &self.entries[self.dealt..self.dealt + count];
        let last = indices.last().copied().unwrap_or_default();
        let entries = indices.iter().map(|&index| self.to_read(index)).collect();
        let task = self.encode(What::Entries(entries))?;
        self.dealt += count;
        self.out.push_back(Asked::Entries(count, bytes, last));
        Ok(task)
    }

    fn to_read(&self, index: usize) -> ToRead<'_> {
        let (at, path) = self.archive.place(index);
        ToRead { path, at: *at }
    }

    fn encode(&self, what: What<'_>) -> Result<Vec<u8>> {
        encode(&Task {
            archive: self.archive.name(),
            archive_size: self.archive.size(),
            what,
        })
    }

    /// Takes the result of the oldest task that is out.
    ///
    /// # Errors
    /// `InvalidInput` for anything else.
    pub(crate) fn take(&mut self, piece: &Piece) -> Result<Taken> {
        let Some(asked) = self.out.pop_front() else {
            return Err(unexpected("no task is out"));
        };
        if !piece.data.is_empty() {
            return Err(unexpected("it has data"));
        }
        match (asked, decode(&piece.head)?) {
            (Asked::Entries(count, asked, index), Read::Entries { bytes, problems })
                if problems.len() <= count && bytes <= asked =>
            {
                self.done = self.done.saturating_add(asked);
                Ok(Taken {
                    entries: count as u64,
                    bytes,
                    problems,
                    index,
                })
            }
            (
                Asked::Part {
                    index,
                    offset,
                    size,
                    last,
                },
                Read::Part(read),
            ) => {
                self.done = self.done.saturating_add(size);
                if offset == 0 {
                    self.joined = None;
                }
                Ok(self.join(index, size, last, read))
            }
            _ => Err(unexpected("it does not fit its task")),
        }
    }

    /// Puts a part to those before it; the CRC of all of them is compared at the last.
    fn join(&mut self, index: usize, size: u64, last: bool, read: std::result::Result<u32, String>) -> Taken {
        let joined = self.joined.get_or_insert_default();
        let mut taken = Taken {
            entries: u64::from(last),
            index,
            ..Taken::default()
        };
        match read {
            Ok(crc32) => {
                let part = crc32fast::Hasher::new_with_initial_len(crc32, size);
                joined.crc32.combine(&part);
                taken.bytes = size;
            }
            // The first says enough.
            Err(problem) => {
                joined.problem.get_or_insert(problem);
            }
        }
        if last && let Some(joined) = self.joined.take() {
            let (at, path) = self.archive.place(index);
            let compared = match joined.problem {
                Some(problem) => Some(problem),
                None => check_joined(self.archive.name(), at, path, joined.crc32.finalize())
                    .err()
                    .map(reason),
            };
            taken.problems.extend(compared);
        }
        taken
    }
}

/// An error as a problem: the archive is known, what is wrong with it is the message.
pub(crate) fn reason(e: Error) -> String {
    use crate::error::ErrorKind::{Corrupt, Unsupported};
    match e.kind {
        Corrupt | Unsupported => match e.remedy {
            Some(remedy) => format!("{} ({remedy})", e.message),
            None => e.message,
        },
        _ => e.to_string(),
    }
}
