//! The one who reads and compresses: does the tasks of a backup, in the coordinator's instance or in another.
//!
//! A file is read up to the size that it has when it is opened; one that changed meanwhile is read once more, then
//! kept and marked. Nothing that goes wrong with one file ends the run: it becomes a skip with its reason.

use super::messages::{Block, Bytes, Done, Kind, Lost, Packed, Part, Task, ToPack};
use crate::archive::BLOCK;
use crate::archive::codec::{Codec, Method};
use crate::archive::writer::{Content, Meta, local_header};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Dir, File, FileKind, READ_SIZE, Roots, Stat};
use crate::shards::{Piece, decode, encode, unexpected};
use crate::types::{Compression, CreateRequest};

/// The reason of a file that was there when the source was looked at, and not when it was to be read.
const VANISHED: &str = "it vanished during the run";

/// Contents from this size on are compressed only when samples of them promise something, since compressing in
/// vain takes longer than anything else.
const TRIAL_FROM: u64 = 256 << 10;
/// Most bytes of a batch's result where files grew since they were seen; what is left is read by itself.
const GROWN_MAX: u64 = 2 * BLOCK;
/// Number of samples, spread evenly.
const TRIALS: u64 = 8;
/// Bytes of a sample.
const TRIAL: u64 = 16 << 10;

/// Does tasks.
pub struct CreateWorker {
    sources: Vec<Source>,
    compression: Compression,
    level: u8,
    codec: Option<Codec>,
    /// The large file that was judged last, and how it is to be stored.
    judged: Option<(String, Method)>,
    content: Vec<u8>,
    packed: Vec<u8>,
}

struct Source {
    root: String,
    /// Length of the folder in the archive and the `/` behind it.
    prefix: usize,
    dir: Option<Dir>,
}

impl std::fmt::Debug for CreateWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateWorker").finish_non_exhaustive()
    }
}

/// What reading a file whole came to.
struct Whole {
    at_open: Stat,
    changed: bool,
}

impl CreateWorker {
    /// A worker for `request`, whose inventories are not looked at.
    #[must_use]
    pub fn new(request: &CreateRequest) -> Self {
        let source = |source: &crate::types::Source| Source {
            root: source.root.clone(),
            prefix: source.folder.len() + 1,
            dir: None,
        };
        Self {
            sources: request.sources.iter().map(source).collect(),
            compression: request.compression,
            level: request.level,
            codec: None,
            judged: None,
            content: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// Does one task.
    ///
    /// # Errors
    /// `InvalidInput` for what is no task of this request; what opening a source's root says.
    pub fn work(&mut self, roots: &Roots, task: &[u8]) -> Result<Piece> {
        let mut data = Vec::new();
        let done = match decode(task)? {
            Task::Batch(things) => Done::Batch(self.batch(roots, &things, &mut data)?),
            Task::Block(part) => self.block(roots, &part, &mut data)?,
            Task::Text { text, whole } => Done::Block(self.text(&text, whole, &mut data)?),
        };
        Ok(Piece {
            head: encode(&done)?,
            data,
        })
    }

    fn codec(&mut self) -> Result<&mut Codec> {
        Ok(match &mut self.codec {
            Some(codec) => codec,
            none => none.insert(Codec::new(self.compression, self.level)?),
        })
    }

    /// The directory of a source and the path below it.
    fn place<'p>(&mut self, roots: &Roots, source: u16, path: &'p str) -> Result<(&Dir, &'p str)> {
        let source = self
            .sources
            .get_mut(usize::from(source))
            .ok_or_else(|| unexpected("it is about a source that the request has not"))?;
        let below = path
            .get(source.prefix..)
            .ok_or_else(|| unexpected("its path is not below its source"))?;
        let dir = match source.dir.take() {
            Some(dir) => dir,
            None => roots.open(&source.root)?,
        };
        Ok((source.dir.insert(dir), below))
    }

    fn batch(&mut self, roots: &Roots, things: &[ToPack<'_>], data: &mut Vec<u8>) -> Result<Vec<Packed>> {
        let mut packed = Vec::with_capacity(things.len());
        for thing in things {
            packed.push(match thing.kind {
                Kind::File => self.file(roots, thing, data)?,
                Kind::Directory => self.entry(thing.meta(), Some(Method::Store), data)?,
                Kind::Symlink(target) => {
                    self.content.clear();
                    self.content.extend_from_slice(target.as_bytes());
                    self.entry(thing.meta(), Some(Method::Store), data)?
                }
            });
            self.content.clear();
        }
        Ok(packed)
    }

    fn file(&mut self, roots: &Roots, thing: &ToPack<'_>, data: &mut Vec<u8>) -> Result<Packed> {
        let mut content = std::mem::take(&mut self.content);
        let (dir, path) = self.place(roots, thing.source, thing.path)?;
        let read = read_whole(dir, path, thing, &mut content);
        let lost = read.as_ref().err().map(|e| lost(dir, path, e));
        self.content = content;
        if let Some(lost) = lost {
            return Ok(Packed::Lost(lost));
        }
        let Ok(Some(whole)) = read else {
            return Ok(Packed::Large);
        };
        let another = whole.at_open.size != thing.size;
        if another && data.len() as u64 + whole.at_open.size > GROWN_MAX {
            // The batch was made for what was seen: files that all grew would not fit any memory together.
            return Ok(Packed::Large);
        }
        let meta = Meta {
            mtime_ns: time_of(thing.mtime_ns, &whole.at_open, another || whole.changed),
            ..thing.meta()
        };
        let mut packed = self.entry(meta, None, data)?;
        if let Packed::Entry {
            changed, another: a, ..
        } = &mut packed
        {
            *changed = whole.changed;
            *a = another || is_newer(thing.mtime_ns, &whole.at_open);
        }
        Ok(packed)
    }

    /// Puts the entry with the content that was read last into `data`.
    fn entry(&mut self, meta: Meta<'_>, method: Option<Method>, data: &mut Vec<u8>) -> Result<Packed> {
        let plain = std::mem::take(&mut self.content);
        let mut packed = std::mem::take(&mut self.packed);
        let method = match method {
            Some(method) => method,
            None => self.compress(&plain, &mut packed)?,
        };
        let bytes = if method == Method::Store { &plain } else { &packed };
        let content = Content {
            method,
            crc32: crc32fast::hash(&plain),
            size: plain.len() as u64,
            stored: bytes.len() as u64,
        };
        local_header(&meta, &content, data);
        data.extend_from_slice(bytes);
        self.content = plain;
        self.packed = packed;
        Ok(Packed::Entry {
            size: content.size,
            stored: content.stored,
            crc32: content.crc32,
            method,
            mtime_ns: meta.mtime_ns,
            changed: false,
            another: false,
        })
    }

    /// Compresses a whole content, unless that is not worth it.
    fn compress(&mut self, plain: &[u8], packed: &mut Vec<u8>) -> Result<Method> {
        let size = plain.len() as u64;
        if self.compression == Compression::Store {
            return Ok(Method::Store);
        }
        let codec = self.codec()?;
        if size >= TRIAL_FROM {
            let sample = |at: u64| {
                let at = usize::try_from(at).unwrap_or(0);
                plain.get(at..at + TRIAL as usize).unwrap_or(&[])
            };
            if !codec.is_worth(sample_places(size).map(sample), packed)? {
                return Ok(Method::Store);
            }
        }
        codec.whole(plain, packed)
    }

    fn text(&mut self, text: &Bytes<'_>, whole: bool, data: &mut Vec<u8>) -> Result<Block> {
        let codec = self.codec()?;
        let mut method = codec.method();
        if whole {
            method = codec.whole(text.0, data)?;
            if method == Method::Store {
                data.clear();
                data.extend_from_slice(text.0);
            }
        } else {
            codec.block(text.0, data)?;
        }
        Ok(Block {
            size: text.0.len() as u64,
            crc32: crc32fast::hash(text.0),
            method,
            changed: false,
        })
    }

    fn block(&mut self, roots: &Roots, part: &Part<'_>, data: &mut Vec<u8>) -> Result<Done> {
        if part.length > BLOCK {
            return Err(unexpected("it is about a block that is too long"));
        }
        let mut content = std::mem::take(&mut self.content);
        let judged = self.judged.take();
        let (dir, path) = self.place(roots, part.source, part.path)?;
        let read = read_part(dir, path, part, &mut content);
        let (file, changed) = match read {
            Ok(read) => read,
            Err(e) => {
                let lost = lost(dir, path, &e);
                self.content = content;
                return Ok(Done::Lost(lost));
            }
        };
        let method = match (part.method, judged) {
            (Some(method), _) => method,
            (None, Some((path, method))) if path == part.path => method,
            (None, _) => self.judge(&file, part.size)?,
        };
        self.judged = Some((part.path.to_owned(), method));
        if method == Method::Store {
            data.extend_from_slice(&content);
        } else {
            self.codec()?.block(&content, data)?;
        }
        let block = Block {
            size: content.len() as u64,
            crc32: crc32fast::hash(&content),
            method,
            changed,
        };
        content.clear();
        self.content = content;
        Ok(Done::Block(block))
    }

    /// How a large file is to be stored. One that can't be read fails where it is read for its content.
    fn judge(&mut self, file: &File, size: u64) -> Result<Method> {
        if self.compression == Compression::Store {
            return Ok(Method::Store);
        }
        let mut samples = Vec::new();
        for at in sample_places(size) {
            let mut piece = Vec::new();
            if file.read_at(&mut piece, TRIAL as usize, at).is_err() {
                break;
            }
            samples.push(piece);
        }
        let mut packed = std::mem::take(&mut self.packed);
        let codec = self.codec()?;
        let worth = codec.is_worth(samples.iter().map(Vec::as_slice), &mut packed)?;
        let method = if worth { codec.method() } else { Method::Store };
        self.packed = packed;
        Ok(method)
    }
}

/// Where the samples of a content of `size` bytes begin.
fn sample_places(size: u64) -> impl Iterator<Item = u64> {
    (0..TRIALS).map(move |i| size.saturating_sub(TRIAL) / (TRIALS - 1) * i)
}

/// Reads a whole file into `content`; `None` for one that is too large for that by now.
fn read_whole(dir: &Dir, path: &str, seen: &ToPack<'_>, content: &mut Vec<u8>) -> Result<Option<Whole>> {
    let file = dir.open(path)?;
    // The common case in three calls: it has as many bytes as were seen, and then still that size and time. One that
    // grew has another size, so that nobody needs to look for its end.
    if seen.mtime_ns.is_some() && seen.size <= BLOCK {
        read_range(&file, 0, seen.size, content)?;
        let now = file.stat()?;
        let same = (now.kind, now.size, now.mtime_ns) == (FileKind::File, seen.size, seen.mtime_ns);
        if same && content.len() as u64 == seen.size {
            return Ok(Some(Whole {
                at_open: now,
                changed: false,
            }));
        }
    }
    let first = read_as_it_is(&file, content)?;
    match first {
        Some(whole) if whole.changed => read_as_it_is(&dir.open(path)?, content),
        other => Ok(other),
    }
}

/// Reads an open file up to the size that it has now.
fn read_as_it_is(file: &File, content: &mut Vec<u8>) -> Result<Option<Whole>> {
    let at_open = regular(file)?;
    if at_open.size > BLOCK {
        return Ok(None);
    }
    read_range(file, 0, at_open.size, content)?;
    let now = file.stat()?;
    let changed =
        content.len() as u64 != at_open.size || (now.size, now.mtime_ns) != (at_open.size, at_open.mtime_ns);
    Ok(Some(Whole { at_open, changed }))
}

/// Reads a part of a large file; gives the file and whether it is not what it was at first.
fn read_part(dir: &Dir, path: &str, part: &Part<'_>, content: &mut Vec<u8>) -> Result<(File, bool)> {
    let file = dir.open(path)?;
    read_range(&file, part.offset, part.length, content)?;
    let now = regular(&file)?;
    let same = (now.size, now.mtime_ns) == (part.size, part.mtime_ns);
    Ok((file, !same || content.len() as u64 != part.length))
}

/// What the file system says of an open file, which has to be a regular one.
pub(super) fn regular(file: &File) -> Result<Stat> {
    let stat = file.stat()?;
    match stat.kind {
        FileKind::File => Ok(stat),
        _ => Err(Error::new(ErrorKind::Io, "open", "not a regular file")),
    }
}

/// The modification time of a file that was seen with the time `seen`. The host's word counts, so that the same
/// observations give the same bytes; not where the file is plainly `another` one by now, or nobody looked.
pub(super) fn time_of(seen: Option<i64>, at_open: &Stat, another: bool) -> Option<i64> {
    match seen {
        Some(seen) if !another => Some(seen),
        seen => at_open.mtime_ns.or(seen),
    }
}

/// Whether the file system says another time than was seen: then it is no longer what was observed.
pub(super) fn is_newer(seen: Option<i64>, at_open: &Stat) -> bool {
    at_open.mtime_ns.is_some() && at_open.mtime_ns != seen
}

/// Reads at most `length` bytes from `offset` on, fewer where the file ends, in place of what is in `content`.
fn read_range(file: &File, offset: u64, length: u64, content: &mut Vec<u8>) -> Result<()> {
    content.clear();
    let mut piece = Vec::new();
    while (content.len() as u64) < length {
        let done = content.len() as u64;
        let want = usize::try_from(length - done).map_or(READ_SIZE, |rest| rest.min(READ_SIZE));
        file.read_at(&mut piece, want, offset + done)?;
        if piece.is_empty() {
            break;
        }
        if content.is_empty() && (piece.len() < want || length <= READ_SIZE as u64) {
            // Most files: nothing is copied.
            std::mem::swap(content, &mut piece);
        } else {
            content.extend_from_slice(&piece);
        }
    }
    Ok(())
}

/// Why a file could not be read.
pub(super) fn lost(dir: &Dir, path: &str, e: &Error) -> Lost {
    let (reason, missing) = match (e.kind, dir.stat(path)) {
        (ErrorKind::NotFound, _) | (_, Ok(None)) => (VANISHED.to_owned(), false),
        (_, Ok(Some(stat))) if stat.kind != FileKind::File => (
            "it was no regular file any more when it was read".to_owned(),
            false,
        ),
        (ErrorKind::AccessDenied, _) => ("access denied".to_owned(), true),
        _ => (e.message.clone(), true),
    };
    Lost { reason, missing }
}
