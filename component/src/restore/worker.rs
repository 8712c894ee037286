//! The one who writes: small files whole, large ones in parts, which the coordinator created before.

use crate::deal::{Sink, Worker};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{Dir, File, Roots, TARGET};
use crate::shards::Piece;

/// Does the tasks of a restore.
#[derive(Default)]
pub struct RestoreWorker {
    reader: Worker,
    target: Option<Target>,
}

/// The target folder and what is open in it.
struct Target {
    dir: Dir,
    /// The small file that is being written.
    file: Option<File>,
    /// The large file that was written to last, and its path.
    large: Option<(String, File)>,
}

impl RestoreWorker {
    /// Does one task.
    ///
    /// # Errors
    /// `InvalidInput` for what is no task, `Corrupt` for any mismatch, or an I/O error.
    pub fn work(&mut self, roots: &Roots, task: &[u8]) -> Result<Piece> {
        let target = match &mut self.target {
            Some(target) => target,
            none => none.insert(Target {
                dir: roots.open(TARGET)?,
                file: None,
                large: None,
            }),
        };
        let done = self.reader.work(roots, task, target);
        target.file = None;
        done
    }
}

impl Sink for Target {
    const STRICT: bool = true;

    fn begin(&mut self, path: &str) -> Result<()> {
        // The one before is closed first.
        self.file = None;
        self.file = Some(self.dir.create(path)?);
        Ok(())
    }

    fn piece(&mut self, piece: &[u8], offset: u64) -> Result<()> {
        match &self.file {
            Some(file) => file.write_all_at(piece, offset),
            None => Err(Error::new(ErrorKind::Io, "write", "no file is open")),
        }
    }

    fn part(&mut self, path: &str, part: &[u8], offset: u64) -> Result<()> {
        let open = self.large.take().filter(|(open, _)| open == path);
        let (_, file) = match open {
            Some(open) => self.large.insert(open),
            None => self
                .large
                .insert((path.to_owned(), self.dir.open_to_write(path)?)),
        };
        file.write_all_at(part, offset)
    }
}
