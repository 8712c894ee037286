//! The one who reads entries: opens the archive once, and does any number of tasks with it.

use std::rc::Rc;

use super::messages::{Read, Task, ToRead, What};
use super::reason;
use crate::archive::EntryReader;
use crate::archive::reader::shown;
use crate::entries::{MAX_TARGET, target_of};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Roots};
use crate::shards::{Piece, decode, encode};

/// Where contents go. What its functions return as an error ends everything.
pub(crate) trait Sink {
    /// Whether an entry that is damaged ends everything; otherwise it is a problem, and the next one is read.
    const STRICT: bool;

    /// An entry begins whose content comes in pieces, none for an empty one.
    fn begin(&mut self, path: &str) -> Result<()>;

    /// A piece of the entry that was begun last.
    fn piece(&mut self, piece: &[u8], offset: u64) -> Result<()>;

    /// A part of the entry `path`, whose beginning the coordinator was told.
    fn part(&mut self, path: &str, part: &[u8], offset: u64) -> Result<()>;
}

/// Reads entries.
#[derive(Default)]
pub(crate) struct Worker(Option<Open>);

/// The archive that was read last.
struct Open {
    name: String,
    size: u64,
    reader: EntryReader,
}

impl Worker {
    /// Does one task; the contents go to `sink`.
    ///
    /// # Errors
    /// `InvalidInput` for what is no task, what opening the archive says, and what ends everything.
    pub(crate) fn work<S: Sink>(&mut self, roots: &Roots, task: &[u8], sink: &mut S) -> Result<Piece> {
        let task: Task<'_> = decode(task)?;
        let reader = self.open(roots, task.archive, task.archive_size)?;
        let read = match &task.what {
            What::Entries(entries) => read_entries(reader, entries, sink)?,
            What::Part(entry, part) => {
                let content = match reader.part(&entry.at, entry.path, part) {
                    Err(e) if !S::STRICT && e.kind != ErrorKind::InvalidInput => Err(reason(e)),
                    other => Ok(other?),
                };
                Read::Part(match content {
                    Ok(content) => {
                        sink.part(entry.path, content, part.offset)?;
                        Ok(crc32fast::hash(content))
                    }
                    Err(problem) => Err(problem),
                })
            }
        };
        Ok(Piece {
            head: encode(&read)?,
            data: Vec::new(),
        })
    }

    fn open(&mut self, roots: &Roots, name: &str, size: u64) -> Result<&mut EntryReader> {
        let kept = self
            .0
            .take()
            .filter(|open| open.name == name && open.size == size);
        let open = match kept {
            Some(open) => open,
            None => {
                let file = roots.open(BACKUPS)?.open(name)?;
                let now = file.stat()?.size;
                if now != size {
                    return Err(Error::new(
                        ErrorKind::Corrupt,
                        "read archive",
                        format!("the archive has {now} bytes and had {size} when it was opened first"),
                    )
                    .about(name));
                }
                Open {
                    name: name.to_owned(),
                    size,
                    reader: EntryReader::new(Rc::new(file), size, name),
                }
            }
        };
        Ok(&mut self.0.insert(open).reader)
    }
}

fn read_entries<S: Sink>(reader: &mut EntryReader, entries: &[ToRead<'_>], sink: &mut S) -> Result<Read> {
    let (mut bytes, mut problems) = (0, Vec::new());
    if let Some(last) = entries.last() {
        reader.stop_behind(&last.at);
    }
    for entry in entries {
        let mut failed = None;
        let mut offset = 0;
        let mut target = Vec::new();
        let read = reader.read(&entry.at, entry.path, &mut |piece| {
            if entry.at.is_link() && target.len() <= MAX_TARGET {
                target.extend_from_slice(piece);
            }
            let done = if offset == 0 {
                sink.begin(entry.path)
            } else {
                Ok(())
            };
            let done = done.and_then(|()| sink.piece(piece, offset));
            offset += piece.len() as u64;
            failed = done.clone().err();
            done
        });
        // What the sink says is never a problem of the archive.
        if let Some(e) = failed {
            return Err(e);
        }
        // A restore would refuse it.
        let read = read.and_then(|()| match target_of(target) {
            Err(problem) if entry.at.is_link() => {
                let message = format!("entry {}: {problem}", shown(entry.path));
                Err(Error::new(ErrorKind::Corrupt, "read link", message))
            }
            _ => Ok(()),
        });
        match read {
            Ok(()) => {
                if offset == 0 {
                    sink.begin(entry.path)?;
                }
                bytes += offset;
            }
            Err(e) if S::STRICT => return Err(e),
            Err(e) => problems.push(reason(e)),
        }
    }
    Ok(Read::Entries { bytes, problems })
}
