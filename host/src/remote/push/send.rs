//! The way of one archive to the remote: from the backups folder or a staged file into an upload that is noted part by
//! part, so that a restart sends only the rest.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::Mode;

use super::super::meet::{There, lock_until};
use super::super::row::{BackupRow, Object};
use super::super::sealing::{self, Sealing};
use super::super::state::Sending;
use super::super::store::{Store, ToSend, Tuning, Unfinished, Upload, Uploaded};
use super::super::trust;
use super::Push;
use crate::error::{Code, Error, Result};
use crate::sealed::{ArchiveFile, Form};
use crate::{fsutil, hashing};

/// Parts that went are noted no more often than this: each note is synced, and what it saves is less than that long a
/// time of sending.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How far the bytes that are sent are.
struct Made<'a> {
    /// Whether so many of them may be sent.
    ready: &'a dyn Fn(u64) -> Result<bool>,
    /// Whether those that were sent, by their SHA-256, are the right ones.
    right: &'a dyn Fn(&str) -> Result<()>,
    /// What they are, once that is known.
    whole: &'a dyn Fn() -> Option<Object>,
}

impl Push<'_> {
    /// Sends an archive: the rest of it where it was begun and its bytes are still there, or all of it.
    pub(super) fn send(
        &mut self,
        there: &There,
        archive: &ArchiveFile,
        backup: &BackupRow,
    ) -> Result<(Sending, Uploaded)> {
        // What is encrypted here leaves as it is, and is never more readable elsewhere.
        let sealed = archive.form == Form::Sealed;
        if let Some(begun) = self.state.sending.clone() {
            let for_whom = &self.context.config.encryption.recipients;
            let fits = begun.id == backup.id
                && begun.name == backup.name
                && begun.object.encrypted == (self.remote.encrypt || sealed)
                && (begun.staged.is_none() || begun.recipients == *for_whom);
            if fits && let Some(staged) = self.still_there(&begun, &archive.file) {
                return self.go_on(there, begun, staged.as_ref().unwrap_or(&archive.file));
            }
            self.watch.check()?;
            self.state.sending = None;
            self.abort(&begun);
        }
        self.desk.sweep(None);
        let recipients = match self.remote.encrypt && !sealed {
            true => Some(trust::recipients(&self.context.config)?),
            false => None,
        };
        let sealing = Sealing::new(
            &self.desk,
            self.remote,
            there.backups.as_fd(),
            backup,
            archive,
            recipients,
        )?;
        self.along(there, backup, sealing)
    }

    /// Sends what is being made. What can't be made is given up, and is no copy.
    fn along(
        &mut self,
        there: &There,
        backup: &BackupRow,
        sealing: Sealing<'_>,
    ) -> Result<(Sending, Uploaded)> {
        let watch = self.watch;
        let mut sending = Sending {
            id: backup.id,
            name: backup.name.clone(),
            object: Object::default(),
            staged: sealing.staged().map(str::to_owned),
            recipients: match sealing.staged() {
                Some(_) => self.context.config.encryption.recipients.clone(),
                None => Vec::new(),
            },
            upload: Upload::default(),
        };
        // One that was bad the last time is not sent in vain again.
        let suspect = self.state.suspects.contains(&backup.id);
        let uploaded = std::thread::scope(|scope| {
            std::thread::Builder::new()
                .name("cofre-sealing".to_owned())
                .spawn_scoped(scope, || sealing.work(watch))
                .map_err(|e| Error::io("start a thread", &e))?;
            sending.object = sealing.outline()?;
            let size = sending.object.size;
            let made = Made {
                ready: &|end| sealing.ready(if suspect { size } else { end }, size),
                right: &|sha256| sealing.right(sha256),
                whole: &|| sealing.whole(),
            };
            self.upload(there, &mut sending, sealing.file(), &made)
        });
        match sealing.end() {
            Ok(object) => sending.object = object,
            Err(error) => {
                self.give_up(&sending, error.code)?;
                return Err(match error.code {
                    Code::Cancelled => Error::new(
                        Code::Cancelled,
                        "stopped on request; the next push begins this archive anew",
                    ),
                    _ => error,
                });
            }
        }
        if let Err(error) = &uploaded
            && error.code == Code::Corrupt
        {
            self.give_up(&sending, error.code)?;
            return uploaded.map(|uploaded| (sending, uploaded));
        }
        self.noted(sending, uploaded)
    }

    /// Lets go of an upload that nobody goes on with.
    fn give_up(&mut self, sending: &Sending, why: Code) -> Result<()> {
        self.state.sending = None;
        if why == Code::Corrupt {
            self.state.suspects.insert(sending.id);
        }
        self.desk.save(&self.state)?;
        self.abort(sending);
        self.desk.sweep(None);
        Ok(())
    }

    /// Sends the rest of what is whole.
    fn go_on(&mut self, there: &There, mut sending: Sending, file: &File) -> Result<(Sending, Uploaded)> {
        let object = sending.object.clone();
        let name = sending.name.clone();
        let made = Made {
            ready: &|_| Ok(true),
            right: &|sha256| sealing::right(&name, &object, sha256),
            whole: &|| None,
        };
        let uploaded = self.upload(there, &mut sending, file, &made);
        self.noted(sending, uploaded)
    }

    /// Notes how far an upload came, whatever ended it.
    fn noted(&mut self, sending: Sending, uploaded: Result<Uploaded>) -> Result<(Sending, Uploaded)> {
        self.state.sending = Some(sending.clone());
        self.desk.save(&self.state)?;
        Ok((sending, uploaded?))
    }

    /// The upload itself.
    fn upload(
        &mut self,
        there: &There,
        sending: &mut Sending,
        file: &File,
        made: &Made<'_>,
    ) -> Result<Uploaded> {
        let until = lock_until(self.remote);
        let Object { key, size, .. } = sending.object.clone();
        let mut upload = std::mem::take(&mut sending.upload);
        let (desk, state) = (&self.desk, &mut self.state);
        let mut last: Option<Instant> = None;
        let mut save = |upload: &Upload| {
            let begun = upload.upload_id != sending.upload.upload_id;
            sending.upload = upload.clone();
            let learned = !sending.is_whole();
            if learned && let Some(object) = (made.whole)() {
                sending.object = object;
            }
            let learned = learned && sending.is_whole();
            if !begun && !learned && last.is_some_and(|last| last.elapsed() < NOTE_EVERY) {
                return Ok(());
            }
            last = Some(Instant::now());
            state.sending = Some(sending.clone());
            desk.save(state)
        };
        save(&upload)?;
        let what = ToSend {
            key: &key,
            file,
            size,
            lock: until.as_ref(),
            ready: made.ready,
            right: made.right,
        };
        let watch = self.watch;
        let uploaded = there
            .store
            .upload(&what, &mut upload, &mut save, &watch.transfer(size));
        sending.upload = upload;
        uploaded
    }

    /// Whether the bytes of an upload that was begun are still what they were: the file, where it is a staged one.
    fn still_there(&self, sending: &Sending, archive: &File) -> Option<Option<File>> {
        if !sending.is_whole() {
            return None;
        }
        let staged = match &sending.staged {
            Some(name) => Some(self.open_staged(name).ok()?),
            None => None,
        };
        let file = staged.as_ref().unwrap_or(archive);
        let (size, sha256) = hashing::digest(file, &sending.name, &|_| self.watch.check()).ok()?;
        (size == sending.object.size && sha256 == sending.object.sha256).then_some(staged)
    }

    fn open_staged(&self, name: &str) -> Result<File> {
        fsutil::openat(self.desk.dir(), name, fsutil::file_flags(), Mode::empty())
            .map(File::from)
            .map_err(|errno| {
                fsutil::error(format_args!("open the staged file {}", fsutil::show(name)), errno)
            })
    }

    /// Frees what an upload that nobody goes on with has at the store, without much patience: where that fails, the next
    /// push does it.
    fn abort(&self, sending: &Sending) {
        let Some(upload_id) = sending.upload.upload_id.clone() else {
            return;
        };
        let unfinished = Unfinished {
            key: sending.object.key.clone(),
            upload_id,
            started: None,
        };
        let watch = self.watch.clone();
        let aborted = Store::open_with(self.remote, Tuning::brief())
            .map(|store| store.stopped_by(Arc::new(move || watch.check())))
            .and_then(|store| store.abort(&unfinished));
        match aborted {
            Err(error) if error.code != Code::Cancelled => {
                tracing::warn!("{error}; the upload is left over until the next push");
            }
            Ok(()) | Err(_) => {}
        }
    }
}
