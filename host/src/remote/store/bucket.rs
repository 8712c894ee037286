//! A bucket as a place for copies: what is small. Uploads and downloads have modules of their own.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions};
use tokio::runtime::{Builder, Runtime};

use super::s3::{S3, Wishes};
use super::sums::Sums;
use super::trouble::Failure;
use super::wire::Line;
use super::{Object, Stop, Tuning, Unfinished, Until, Version, doing, no_locks, no_versions, open};
use crate::config::{Bucket, Remote};
use crate::error::{Code, Error, Result};

/// How often a long call looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// An opened bucket.
pub(super) struct Bucketed {
    remote: String,
    prefix: String,
    pub(super) parallel: usize,
    pub(super) part_bytes: u64,
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) parts: Arc<dyn MultipartStore>,
    pub(super) s3: Option<S3>,
    pub(super) line: Arc<Line>,
    stop: Option<Stop>,
    /// Last, for what is above may still use it.
    runtime: Option<Runtime>,
}

impl Drop for Bucketed {
    fn drop(&mut self) {
        // A connection that hangs must not hold anybody up.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Bucketed {
    pub(super) fn open(remote: &Remote, bucket: &Bucket, tuning: Tuning) -> Result<Self> {
        let parallel = remote.parallel.max(1);
        let line = Arc::new(Line::new(remote.rate, parallel + 1, tuning));
        let opened = open::bucket(&remote.name, bucket, &line)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cofre-remote")
            .enable_all()
            .build()
            .map_err(|error| Error::io("start the threads of a remote", &error))?;
        Ok(Self {
            remote: remote.name.clone(),
            prefix: bucket.prefix.clone(),
            parallel,
            part_bytes: remote.part_bytes.max(1),
            objects: opened.objects,
            parts: opened.parts,
            s3: opened.s3,
            line,
            stop: None,
            runtime: Some(runtime),
        })
    }

    pub(super) fn stopped_by(&mut self, stop: Stop) {
        self.stop = Some(stop);
    }

    pub(super) fn sent(&self) -> u64 {
        self.line.sent()
    }

    pub(super) fn doing(&self, operation: &str, key: &str) -> String {
        doing(&self.remote, operation, key)
    }

    /// A failure as an error of a person's.
    pub(super) fn explain(&self, operation: &str, key: &str, failure: &Failure) -> Error {
        failure.explain(&self.doing(operation, key), &self.line.hints())
    }

    /// The same for what `object_store` says.
    pub(super) fn explain_store(&self, operation: &str, key: &str, error: &object_store::Error) -> Error {
        self.explain(operation, key, &Failure::from(error))
    }

    /// The key as the server knows it.
    pub(super) fn full(&self, key: &str) -> String {
        match (&*self.prefix, key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        }
    }

    /// What all keys below a folder begin with.
    fn below(&self, folder: &str) -> String {
        let full = self.full(folder);
        if full.is_empty() { full } else { format!("{full}/") }
    }

    pub(super) fn path(&self, operation: &str, key: &str) -> Result<Path> {
        Path::parse(self.full(key)).map_err(|_| {
            let message = format!(
                "{}: this name can't be used at this remote",
                self.doing(operation, key)
            );
            Error::new(Code::Usage, message)
        })
    }

    fn relative(&self, full: &str) -> Option<String> {
        if self.prefix.is_empty() {
            return Some(full.to_owned());
        }
        Some(full.strip_prefix(&*self.prefix)?.strip_prefix('/')?.to_owned())
    }

    /// Waits for a short call.
    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.drive(&|| Ok(()), work)
    }

    /// Waits for a call, and looks again and again whether it is to stop.
    pub(super) fn drive<T>(
        &self,
        look: &dyn Fn() -> Result<()>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else {
            return Err(Error::new(Code::Internal, "the remote is closed"));
        };
        runtime.block_on(async {
            let mut work = std::pin::pin!(work);
            let mut ticks = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    biased;
                    done = &mut work => return done,
                    _ = ticks.tick() => {
                        look()?;
                        self.stop.as_ref().map_or(Ok(()), |stop| stop())?;
                    }
                }
            }
        })
    }

    pub(super) fn list(&self, folder: &str) -> Result<Vec<Object>> {
        if self.s3.is_some() {
            let prefix = self.below(folder);
            let found = self.of_s3("list", folder, Vec::new(), async |s3| s3.list(&prefix).await)?;
            let objects = found.into_iter().filter_map(|content| {
                Some(Object {
                    key: self.relative(&content.key)?,
                    size: content.size,
                    version: None,
                    etag: content.etag,
                    modified: content.last_modified,
                })
            });
            return Ok(objects.collect());
        }
        let path = if self.full(folder).is_empty() {
            None
        } else {
            Some(self.path("list", folder)?)
        };
        let list = self.objects.list(path.as_ref());
        let found = self.wait(async {
            let all: object_store::Result<Vec<ObjectMeta>> = list.try_collect().await;
            all.map_err(|error| self.explain_store("list", folder, &error))
        })?;
        Ok(found.into_iter().filter_map(|meta| self.object(meta)).collect())
    }

    fn object(&self, meta: ObjectMeta) -> Option<Object> {
        Some(Object {
            key: self.relative(meta.location.as_ref())?,
            size: meta.size,
            version: meta.version.filter(|version| version != "null"),
            etag: meta.e_tag,
            modified: meta.last_modified,
        })
    }

    pub(super) fn head(&self, key: &str) -> Result<Option<Object>> {
        let path = self.path("look at", key)?;
        self.wait(async {
            match self.objects.head(&path).await {
                Ok(meta) => Ok(self.object(meta)),
                Err(error) => {
                    let failure = Failure::from(&error);
                    if failure.is_no_object() {
                        return Ok(None);
                    }
                    Err(self.explain("look at", key, &failure))
                }
            }
        })
    }

    pub(super) fn get(&self, key: &str, version: Option<&str>, limit: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path("read", key)?;
        let options = GetOptions {
            version: version.map(str::to_owned),
            ..GetOptions::default()
        };
        let too_large = || {
            let message = format!("{}: it is larger than {limit} bytes", self.doing("read", key));
            Error::new(Code::Corrupt, message)
        };
        self.wait(async {
            let explain = |error: object_store::Error| self.explain_store("read", key, &error);
            let found = match self.objects.get_opts(&path, options).await {
                Ok(found) => found,
                Err(error) if Failure::from(&error).is_no_object() => return Ok(None),
                Err(error) => return Err(explain(error)),
            };
            if found.meta.size > limit {
                return Err(too_large());
            }
            let mut stream = found.into_stream();
            let mut bytes = Vec::new();
            while let Some(piece) = stream.next().await {
                bytes.extend_from_slice(&piece.map_err(explain)?);
                if bytes.len() as u64 > limit {
                    return Err(too_large());
                }
            }
            Ok(Some(bytes))
        })
    }

    /// Puts a small object; false if it had to be new and isn't.
    pub(super) fn put(&self, key: &str, bytes: &[u8], lock: Option<&Until>, new: bool) -> Result<bool> {
        let path = self.path("write", key)?;
        let bytes = Bytes::copy_from_slice(bytes);
        self.wait(async {
            let Some(s3) = &self.s3 else {
                return self.put_elsewhere(key, &path, bytes, lock, new).await;
            };
            let wishes = Wishes { lock, new };
            let stored = s3.put(path.as_ref(), bytes.clone(), wishes).await;
            let Some(stored) = stored.map_err(|failure| self.explain("write", key, &failure))? else {
                return Ok(false);
            };
            match Sums::whole(&bytes).compare(&stored) {
                Ok(_) => Ok(true),
                Err(difference) => Err(self.not_what_was_sent(key, &difference)),
            }
        })
    }

    async fn put_elsewhere(
        &self,
        key: &str,
        path: &Path,
        bytes: Bytes,
        lock: Option<&Until>,
        new: bool,
    ) -> Result<bool> {
        if lock.is_some() {
            return Err(no_locks(&self.doing("write", key)));
        }
        let mode = if new { PutMode::Create } else { PutMode::Overwrite };
        match self
            .objects
            .put_opts(path, bytes.into(), PutOptions::from(mode))
            .await
        {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. })
                if new =>
            {
                Ok(false)
            }
            Err(error) => Err(self.explain_store("write", key, &error)),
        }
    }

    pub(super) fn not_what_was_sent(&self, key: &str, difference: &str) -> Error {
        let difference = crate::text::escape(difference).into_owned();
        let message = format!(
            "{}: the server stored something else than was sent: {difference}",
            self.doing("upload", key)
        );
        Error::new(Code::Corrupt, message)
            .remedy("the copy does not count; if it happens again, don't trust this server")
    }

    pub(super) fn delete(&self, key: &str, version: Option<&str>) -> Result<()> {
        let path = self.path("delete", key)?;
        self.wait(async {
            match &self.s3 {
                Some(s3) => {
                    let deleted = s3.delete(path.as_ref(), version).await;
                    deleted.map_err(|failure| self.explain("delete", key, &failure))
                }
                None if version.is_some() => Err(no_versions(&self.doing("delete", key))),
                None => match self.objects.delete(&path).await {
                    Err(error) if !Failure::from(&error).is_no_object() => {
                        Err(self.explain_store("delete", key, &error))
                    }
                    _ => Ok(()),
                },
            }
        })
    }

    pub(super) fn versions(&self, key: &str) -> Result<Vec<Version>> {
        let full = self.full(key);
        self.of_s3("list the versions of", key, Vec::new(), async |s3| {
            s3.versions(&full).await
        })
    }

    pub(super) fn versions_below(&self, folder: &str) -> Result<Vec<(String, Version)>> {
        let prefix = self.below(folder);
        let found = self.of_s3("list the versions below", folder, Vec::new(), async |s3| {
            s3.versions_below(&prefix).await
        })?;
        let known = found
            .into_iter()
            .filter_map(|(full, version)| Some((self.relative(&full)?, version)));
        Ok(known.collect())
    }

    pub(super) fn lock_of(&self, key: &str, version: Option<&str>) -> Result<Option<Until>> {
        let full = self.full(key);
        self.of_s3("look at the lock of", key, None, async |s3| {
            s3.lock_of(&full, version).await
        })
    }

    pub(super) fn set_lock(&self, key: &str, version: Option<&str>, until: &Until) -> Result<()> {
        if self.s3.is_none() {
            return Err(no_locks(&self.doing("lock", key)));
        }
        let full = self.full(key);
        self.of_s3("lock", key, (), async |s3| {
            s3.set_lock(&full, version, until).await
        })
    }

    pub(super) fn has_object_lock(&self) -> Result<bool> {
        self.of_s3("ask for Object Lock", "", false, async |s3| {
            s3.has_object_lock().await
        })
    }

    pub(super) fn unfinished(&self, folder: &str) -> Result<Vec<Unfinished>> {
        let prefix = self.below(folder);
        let operation = "list the unfinished uploads of";
        let found = self.of_s3(operation, folder, Vec::new(), async |s3| {
            s3.uploads(&prefix).await
        })?;
        let known = found.into_iter().filter_map(|upload| {
            Some(Unfinished {
                key: self.relative(&upload.key)?,
                upload_id: upload.upload_id,
                started: upload.initiated,
            })
        });
        Ok(known.collect())
    }

    pub(super) fn abort(&self, unfinished: &Unfinished) -> Result<()> {
        let full = self.full(&unfinished.key);
        self.of_s3("abort the upload of", &unfinished.key, (), async |s3| {
            s3.abort(&full, &unfinished.upload_id).await
        })
    }

    /// Makes a call that only S3 has; elsewhere the answer is always the same.
    fn of_s3<T>(
        &self,
        operation: &str,
        key: &str,
        elsewhere: T,
        call: impl AsyncFnOnce(&S3) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        let Some(s3) = &self.s3 else { return Ok(elsewhere) };
        self.wait(async {
            call(s3)
                .await
                .map_err(|failure| self.explain(operation, key, &failure))
        })
    }
}
