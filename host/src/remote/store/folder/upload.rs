//! Uploading a file into a folder: aside, part by part, and seen under its name only when it is whole and durable.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::super::task::LOOK;
use super::super::{Checked, Task, Uploaded, no_locks, sums};
use super::{Folder, UPLOAD_ID, name_of};
use crate::error::{Code, Error, Result};
use crate::fsutil;
use crate::text::hex;

impl Folder {
    pub(in crate::remote::store) fn upload(&self, task: &mut Task<'_>) -> Result<Uploaded> {
        if task.lock.is_some() {
            return Err(no_locks(&self.doing("upload", task.key)));
        }
        task.begin(self.part_bytes);
        let fail = |errno| self.fail("upload", task.key, errno);
        let dir = self.make_parent(task.key)?;
        let name = name_of(task.key);
        let aside = format!(".{name}.part");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fsutil::openat(&dir, &*aside, flags, Mode::RUSR | Mode::WUSR).map_err(fail)?;
        let file = File::from(file);
        let mut all = self.keep_what_fits(task, &file)?;
        for number in task.state.parts.len()..task.count() {
            while !task.is_ready(number)? {
                std::thread::sleep(LOOK);
                (task.control)(task.done())?;
            }
            let bytes = task.read(number)?;
            all.update(&bytes);
            self.write_part(task, &file, number, &bytes)?;
            let mut part = sums::part(number, &bytes);
            part.etag.clone_from(&part.sha256);
            task.state.parts.push(part);
            task.save()?;
        }
        (task.right)(&hex(&all.finalize()))?;
        let fail = |errno| self.fail("upload", task.key, errno);
        fsutil::fsync(&file).map_err(fail)?;
        let size = rustix::fs::fstat(&file).map_err(fail)?.st_size;
        if u64::try_from(size).ok() != Some(task.size) {
            let what = self.doing("upload", task.key);
            let message = format!("{what}: the folder has {size} bytes instead of {}", task.size);
            return Err(Error::new(Code::Corrupt, message));
        }
        rustix::fs::renameat(&dir, &*aside, &dir, name).map_err(fail)?;
        fsutil::fsync(&dir).map_err(fail)?;
        (task.control)(task.size)?;
        Ok(Uploaded {
            etag: None,
            version: None,
            checked: Checked::Size,
        })
    }

    /// Keeps the parts that are in the file aside and in the file to be uploaded; after a crash of the machine that
    /// may be fewer than were noted. Everything after them goes. The SHA-256 of all parts is begun with them.
    fn keep_what_fits(&self, task: &mut Task<'_>, file: &File) -> Result<Sha256> {
        let mut all = Sha256::new();
        let known = task.state.upload_id.as_deref() == Some(UPLOAD_ID);
        let mut fit = 0;
        while known
            && let Some(part) = task.state.parts.get(fit)
            && part.number == fit
            && fit < task.count()
        {
            let (start, length) = task.extent(fit);
            let mut bytes = vec![0; length];
            let there = file.read_exact_at(&mut bytes, start).is_ok();
            if !there || bytes != task.read(fit)? || sums::part(fit, &bytes).sha256 != part.sha256 {
                break;
            }
            all.update(&bytes);
            fit += 1;
        }
        task.state.parts.truncate(fit);
        task.state.upload_id = Some(UPLOAD_ID.to_owned());
        let keep = task.done();
        file.set_len(keep)
            .map_err(|error| Error::io(self.doing("upload", task.key), &error))?;
        Ok(all)
    }

    fn write_part(&self, task: &Task<'_>, file: &File, number: usize, bytes: &[u8]) -> Result<()> {
        let (mut at, _) = task.extent(number);
        for piece in bytes.chunks(self.pace.piece()) {
            (task.control)(at)?;
            while let Some(due) = self.pace.due(0).filter(|due| *due > Instant::now()) {
                let left = due.saturating_duration_since(Instant::now());
                std::thread::sleep(left.min(Duration::from_millis(200)));
                (task.control)(at)?;
            }
            self.pace.due(piece.len());
            file.write_all_at(piece, at)
                .map_err(|error| Error::io(self.doing("upload", task.key), &error))?;
            at += piece.len() as u64;
        }
        Ok(())
    }
}
