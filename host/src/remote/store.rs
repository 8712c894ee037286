//! One place for copies: a bucket of an object store, or a folder. All calls block; what they have in common is here,
//! how each kind of place does it is below.
//!
//! Keys are relative to the remote's prefix and look like paths: `archives/NAME`. Calls may come from several threads,
//! but not from inside an async runtime.

mod bucket;
mod credentials;
mod download;
mod folder;
mod model;
mod open;
mod pace;
mod s3;
mod sums;
mod task;
mod tls;
mod trouble;
mod upload;
mod wire;
mod xml;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use self::bucket::Bucketed;
use self::folder::Folder;
pub use self::model::{Checked, Object, Part, Tuning, Unfinished, Until, Upload, Uploaded, Version};
use self::task::Task;
pub use self::task::ToSend;
use crate::config::{LockMode, Place, Remote};
use crate::error::{Code, Error, Result};
use crate::text;

/// Says with an error that a call is to stop.
pub type Stop = Arc<dyn Fn() -> Result<()> + Send + Sync>;

/// A place for copies, opened.
pub struct Store {
    name: String,
    place: Opened,
}

enum Opened {
    Bucket(Bucketed),
    Folder(Folder),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("remote", &self.name)
            .finish_non_exhaustive()
    }
}

/// Makes the calls of [`Store`] that are the same for each kind of place.
macro_rules! either {
    ($store:expr, $place:ident => $call:expr) => {
        match &$store.place {
            Opened::Bucket($place) => $call,
            Opened::Folder($place) => $call,
        }
    };
}

impl Store {
    /// Opens a remote. Nothing is sent yet, so that a server that is away fails the first call, not this one.
    ///
    /// # Errors
    /// When there are no credentials, or the address can't be used.
    pub fn open(remote: &Remote) -> Result<Self> {
        Self::open_with(remote, Tuning::default())
    }

    /// [`Store::open`] with another patience.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(remote: &Remote, tuning: Tuning) -> Result<Self> {
        let place = match &remote.place {
            Place::Bucket(bucket) => Opened::Bucket(Bucketed::open(remote, bucket, tuning)?),
            Place::Folder(path) => Opened::Folder(Folder::new(remote, path)),
        };
        Ok(Self {
            name: remote.name.clone(),
            place,
        })
    }

    /// The same, and every call of a bucket looks again and again whether it is to stop: one that hangs is left.
    #[must_use]
    pub fn stopped_by(mut self, stop: Stop) -> Self {
        if let Opened::Bucket(bucket) = &mut self.place {
            bucket.stopped_by(stop);
        }
        self
    }

    /// Everything below a folder, or in the whole remote if it is empty; in no order.
    ///
    /// # Errors
    /// What the store or the network says; for all calls the message names the remote, the operation and the key.
    pub fn list(&self, folder: &str) -> Result<Vec<Object>> {
        self.check_folder(folder)?;
        either!(self, place => place.list(folder))
    }

    /// What is stored under a key.
    ///
    /// # Errors
    /// As [`Store::list`]. That there is nothing is no error.
    pub fn head(&self, key: &str) -> Result<Option<Object>> {
        self.check_key(key)?;
        either!(self, place => place.head(key))
    }

    /// The content of a small object.
    ///
    /// # Errors
    /// As [`Store::list`]; `Corrupt` if it is larger than the limit.
    pub fn get(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.check_key(key)?;
        either!(self, place => place.get(key, None, limit))
    }

    /// The content of one version of a small object.
    ///
    /// # Errors
    /// As [`Store::get`]; `Unsupported` in a folder.
    pub fn get_version(&self, key: &str, version: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        self.check_key(key)?;
        either!(self, place => place.get(key, Some(version), limit))
    }

    /// Stores a small object only if there is none under this key; false if there is.
    ///
    /// # Errors
    /// As [`Store::list`]; `Unsupported` for a lock where there are none.
    pub fn put_new(&self, key: &str, bytes: &[u8], lock: Option<&Until>) -> Result<bool> {
        self.check_key(key)?;
        either!(self, place => place.put(key, bytes, lock, true))
    }

    /// Stores a small object, in place of what is there.
    ///
    /// # Errors
    /// As [`Store::put_new`].
    pub fn put(&self, key: &str, bytes: &[u8], lock: Option<&Until>) -> Result<()> {
        self.check_key(key)?;
        either!(self, place => place.put(key, bytes, lock, false)).map(drop)
    }

    /// Downloads an object of any size, piece by piece, and goes on where a connection broke off. `control` is told
    /// how many bytes are done, several times a second, and stops it with an error.
    ///
    /// # Errors
    /// As [`Store::list`]; `NotFound`; when the object was replaced meanwhile; what writing or `control` says.
    pub fn download(
        &self,
        key: &str,
        version: Option<&str>,
        to: &mut dyn Write,
        control: &dyn Fn(u64) -> Result<()>,
    ) -> Result<u64> {
        self.check_key(key)?;
        either!(self, place => place.download(key, version, to, control))
    }

    /// Uploads a file. What the store has of it is noted in `state`, which `save` is to make durable; with the same
    /// state, also after a restart, it goes on from there. What is stored in the end is compared with what was sent.
    /// `control` is told how many bytes are done, several times a second, and stops it with an error; the upload then
    /// stays unfinished at the store.
    ///
    /// # Errors
    /// As [`Store::list`]; `Corrupt` if the store has something else in the end; what reading, `save` or `control`
    /// says.
    pub fn upload(
        &self,
        what: &ToSend<'_>,
        state: &mut Upload,
        save: &mut dyn FnMut(&Upload) -> Result<()>,
        control: &dyn Fn(u64) -> Result<()>,
    ) -> Result<Uploaded> {
        let ToSend {
            key,
            file,
            size,
            lock,
            ready,
            right,
        } = *what;
        self.check_key(key)?;
        let mut task = Task {
            key,
            file,
            size,
            lock,
            ready,
            right,
            state,
            save,
            control,
        };
        either!(self, place => place.upload(&mut task))
    }

    /// Removes an object; in a bucket with versions it is only hidden. That there is none is fine.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn delete(&self, key: &str) -> Result<()> {
        self.check_key(key)?;
        either!(self, place => place.delete(key, None))
    }

    /// Removes one version of an object for good.
    ///
    /// # Errors
    /// As [`Store::list`]; `AccessDenied` or `Refused` if it is locked; `Unsupported` where there are no versions.
    pub fn delete_version(&self, key: &str, version: &str) -> Result<()> {
        self.check_key(key)?;
        either!(self, place => place.delete(key, Some(version)))
    }

    /// All versions of an object, newest first; empty where the store has no versions that are known here.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn versions(&self, key: &str) -> Result<Vec<Version>> {
        self.check_key(key)?;
        either!(self, place => place.versions(key))
    }

    /// All versions of everything below a folder, with their keys, those of one key newest first; also what is hidden by
    /// a mark of deletion, which no list shows. Empty where the store has no versions that are known here.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn versions_below(&self, folder: &str) -> Result<Vec<(String, Version)>> {
        self.check_folder(folder)?;
        either!(self, place => place.versions_below(folder))
    }

    /// The lock of an object, or of one version of it.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn lock_of(&self, key: &str, version: Option<&str>) -> Result<Option<Until>> {
        self.check_key(key)?;
        either!(self, place => place.lock_of(key, version))
    }

    /// Makes a lock longer, or sets the first one.
    ///
    /// # Errors
    /// `Refused` if it would become shorter or weaker; `Unsupported` where there are none; as [`Store::list`].
    pub fn extend_lock(&self, key: &str, version: Option<&str>, until: &Until) -> Result<()> {
        self.check_key(key)?;
        if let Some(now) = self.lock_of(key, version)? {
            let weaker = now.mode == LockMode::Compliance && until.mode == LockMode::Governance;
            // The store's dates have whole seconds.
            if until.at.timestamp() < now.at.timestamp() || weaker {
                let message = format!(
                    "{}: it is locked until {}, and a lock can't be made shorter or weaker",
                    self.doing("lock", key),
                    now.at.to_rfc3339(),
                );
                return Err(Error::new(Code::Refused, message));
            }
            if until == &now {
                return Ok(());
            }
        }
        either!(self, place => place.set_lock(key, version, until))
    }

    /// Whether the bucket has Object Lock switched on.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn has_object_lock(&self) -> Result<bool> {
        either!(self, place => place.has_object_lock())
    }

    /// Uploads below a folder that were neither finished nor aborted; only S3 and folders can say.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn unfinished(&self, folder: &str) -> Result<Vec<Unfinished>> {
        self.check_folder(folder)?;
        either!(self, place => place.unfinished(folder))
    }

    /// Gives such an upload up and frees its space. That it is gone is fine.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub fn abort(&self, unfinished: &Unfinished) -> Result<()> {
        self.check_key(&unfinished.key)?;
        either!(self, place => place.abort(unfinished))
    }

    /// Bytes of bodies that left through the network since it was opened, those sent again included.
    #[must_use]
    pub fn sent(&self) -> u64 {
        match &self.place {
            Opened::Bucket(bucket) => bucket.sent(),
            Opened::Folder(_) => 0,
        }
    }

    fn doing(&self, operation: &str, key: &str) -> String {
        doing(&self.name, operation, key)
    }

    fn check_folder(&self, folder: &str) -> Result<()> {
        if folder.is_empty() {
            return Ok(());
        }
        self.check_key(folder)
    }

    /// A key is a path without surprises, for every kind of place.
    fn check_key(&self, key: &str) -> Result<()> {
        let fine = |name: &str| {
            !name.is_empty()
                && !name.starts_with('.')
                && name.len() <= 200
                && !name.contains(char::is_control)
        };
        if key.len() <= 800 && key.split('/').all(fine) {
            return Ok(());
        }
        let message = format!(
            "remote {}: the name {key:?} can't be used for an object",
            text::escape(&self.name)
        );
        Err(Error::new(Code::Usage, message))
    }
}

/// What a message begins with.
fn doing(remote: &str, operation: &str, key: &str) -> String {
    let remote = text::escape(remote);
    if key.is_empty() {
        format!("remote {remote}: {operation}")
    } else {
        format!("remote {remote}: {operation} {}", text::escape(key))
    }
}

fn no_locks(what: &str) -> Error {
    Error::new(
        Code::Unsupported,
        format!("{what}: this kind of remote has no locks"),
    )
    .remedy("leave `lock` out, or use a bucket of S3 with Object Lock")
}

fn no_versions(what: &str) -> Error {
    Error::new(
        Code::Unsupported,
        format!("{what}: this kind of remote has no versions"),
    )
}
