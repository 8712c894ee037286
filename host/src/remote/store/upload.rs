//! Uploading a file to a bucket: in parts of which several are under way, each noted as soon as the store has it, so
//! that a restart sends only the rest. Memory: the parts that are under way, and nothing else.

use std::cell::Cell;
use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use object_store::ObjectStoreExt as _;
use object_store::multipart::PartId;
use object_store::path::Path;
use sha2::{Digest as _, Sha256};

use super::bucket::Bucketed;
use super::s3::{Stored, Wishes};
use super::sums::{self, Sums};
use super::task::LOOK;
use super::trouble::Failure;
use super::{Checked, Part, Task, Uploaded, no_locks};
use crate::error::{Error, Result};
use crate::text::hex;

/// Most parts that S3 takes.
const MOST_PARTS: u64 = 10_000;

/// How often an upload that the server lost begins anew.
const RESTARTS: usize = 2;

/// Why a turn of an upload ended.
enum Ended {
    /// The server no longer knows the upload, or does not want its parts.
    Lost(Failure),
    /// A part that the store has is not what the file has there now.
    Stale,
    Error(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Bucketed {
    pub(super) fn upload(&self, task: &mut Task<'_>) -> Result<Uploaded> {
        let path = self.path("upload", task.key)?;
        if task.lock.is_some() && self.s3.is_none() {
            return Err(no_locks(&self.doing("upload", task.key)));
        }
        task.begin(part_size(task.size, self.part_bytes));
        let told = Cell::new(task.done());
        let control = task.control;
        let uploaded = self.drive(&|| control(told.get()), async {
            if task.size <= self.part_bytes {
                return self.at_once(task, &path).await;
            }
            Self::check_saved(task)?;
            told.set(task.done());
            let mut restarts = 0;
            loop {
                match self.turn(task, &path, &told).await {
                    Ok(uploaded) => return Ok(uploaded),
                    Err(Ended::Error(error)) => return Err(error),
                    Err(Ended::Lost(failure)) if restarts < RESTARTS => {
                        tracing::debug!("an upload begins anew: the server says {}", failure.code);
                        restarts += 1;
                    }
                    Err(Ended::Lost(failure)) => return Err(self.explain("upload", task.key, &failure)),
                    // No part is left of which that could be said again.
                    Err(Ended::Stale) => tracing::debug!("an upload begins anew: it was of other bytes"),
                }
                task.state.upload_id = None;
                task.state.parts.clear();
                task.save()?;
                told.set(0);
            }
        })?;
        control(task.size)?;
        Ok(uploaded)
    }

    /// A file of one part, in one request.
    async fn at_once(&self, task: &Task<'_>, path: &Path) -> Result<Uploaded> {
        while !(task.ready)(task.size)? {
            tokio::time::sleep(LOOK).await;
        }
        let bytes = Bytes::from(task.read(0)?);
        (task.right)(&hex(&Sha256::digest(&bytes)))?;
        let sums = Sums::whole(&bytes);
        let put = match &self.s3 {
            Some(s3) => {
                let wishes = Wishes {
                    lock: task.lock,
                    new: false,
                };
                let put = s3.put(path.as_ref(), bytes, wishes).await;
                put.map_err(|failure| self.explain("upload", task.key, &failure))?
                    .and_then(|stored| stored.etag)
            }
            None => {
                let put = self.objects.put(path, bytes.into()).await;
                put.map_err(|error| self.explain_store("upload", task.key, &error))?
                    .e_tag
            }
        };
        self.check(task, path, &sums, put.as_deref()).await
    }

    /// Parts that were saved are of use only with the upload that they belong to. What they hold is compared later.
    fn check_saved(task: &mut Task<'_>) -> Result<()> {
        let count = task.count();
        let known = task.state.upload_id.is_some() || task.state.parts.is_empty();
        if !known || task.state.parts.iter().any(|saved| saved.number >= count) {
            task.state.upload_id = None;
            task.state.parts.clear();
            task.save()?;
        }
        Ok(())
    }

    /// Sends what is missing and puts it together.
    async fn turn(
        &self,
        task: &mut Task<'_>,
        path: &Path,
        told: &Cell<u64>,
    ) -> std::result::Result<Uploaded, Ended> {
        let id = self.begun(task, path).await?;
        let sha256 = self.send_parts(task, path, &id, told).await?;
        (task.right)(&sha256)?;
        let mut parts: Vec<&Part> = task.state.parts.iter().collect();
        parts.sort_by_key(|part| part.number);
        let ids = parts.iter().map(|part| PartId {
            content_id: part.etag.clone(),
        });
        let sums = Sums::composite(task.size, &task.state.parts);
        let etag = match self.parts.complete_multipart(path, &id, ids.collect()).await {
            Ok(put) => put.e_tag,
            Err(error) => {
                let failure = Failure::from(&error);
                if !is_lost(&failure) {
                    return Err(self.explain("finish the upload of", task.key, &failure).into());
                }
                // Perhaps it was finished, and only the answer was lost.
                return match self.check(task, path, &sums, None).await {
                    Ok(uploaded) if uploaded.checked != Checked::Size => Ok(uploaded),
                    _ => Err(Ended::Lost(failure)),
                };
            }
        };
        Ok(self.check(task, path, &sums, etag.as_deref()).await?)
    }

    /// The upload's name at the store; a new one is saved before anything is sent.
    async fn begun(&self, task: &mut Task<'_>, path: &Path) -> Result<String> {
        if let Some(id) = &task.state.upload_id {
            return Ok(id.clone());
        }
        let id = match &self.s3 {
            Some(s3) => {
                let begun = s3.create_upload(path.as_ref(), task.lock).await;
                begun.map_err(|failure| self.explain("begin the upload of", task.key, &failure))?
            }
            None => {
                let begun = self.parts.create_multipart(path).await;
                begun.map_err(|error| self.explain_store("begin the upload of", task.key, &error))?
            }
        };
        task.state.upload_id = Some(id.clone());
        task.save()?;
        Ok(id)
    }

    /// Sends the parts that the store does not have; the SHA-256 of all of them.
    async fn send_parts(
        &self,
        task: &mut Task<'_>,
        path: &Path,
        id: &String,
        told: &Cell<u64>,
    ) -> std::result::Result<String, Ended> {
        let have: BTreeMap<usize, String> = task
            .state
            .parts
            .iter()
            .map(|part| (part.number, part.sha256.clone()))
            .collect();
        let mut numbers = (0..task.count()).peekable();
        let mut all = Sha256::new();
        let parallel = at_a_time(task.state.part_bytes, self.part_bytes, self.parallel);
        let mut under_way = FuturesUnordered::new();
        loop {
            let mut waits = false;
            while under_way.len() < parallel
                && let Some(&number) = numbers.peek()
            {
                waits = !task.is_ready(number)?;
                if waits {
                    break;
                }
                numbers.next();
                let bytes = Bytes::from(task.read(number)?);
                all.update(&bytes);
                if let Some(saved) = have.get(&number) {
                    if sums::part(number, &bytes).sha256 != *saved {
                        return Err(Ended::Stale);
                    }
                    // Whoever wants to stop it is asked in between.
                    tokio::task::yield_now().await;
                    continue;
                }
                under_way.push(self.send_part(task.key.to_owned(), path, id, number, bytes));
            }
            let sent = tokio::select! {
                Some(sent) = under_way.next() => sent,
                () = tokio::time::sleep(LOOK), if waits => continue,
                else => return Ok(hex(&all.finalize())),
            };
            task.state.parts.push(sent?);
            task.save()?;
            told.set(task.done());
        }
    }

    async fn send_part(
        &self,
        key: String,
        path: &Path,
        id: &String,
        number: usize,
        bytes: Bytes,
    ) -> std::result::Result<Part, Ended> {
        let mut part = sums::part(number, &bytes);
        let theirs = match self.put_part(path, id, &part, bytes.clone()).await {
            Ok((etag, theirs)) => {
                part.etag = etag;
                theirs
            }
            Err(failure) if is_lost(&failure) => return Err(Ended::Lost(failure)),
            Err(failure) => return Err(self.explain("upload", &key, &failure).into()),
        };
        if theirs.is_none() {
            part.md5 = sums::md5(&bytes);
        }
        if theirs.is_none_or(|theirs| theirs == part.sha256) {
            return Ok(part);
        }
        let difference = format!("the SHA-256 of part {} is another one", number + 1);
        Err(self.not_what_was_sent(&key, &difference).into())
    }

    /// Sends a part: its name at the store, and the SHA-256 that the store has of it.
    async fn put_part(
        &self,
        path: &Path,
        id: &String,
        part: &Part,
        bytes: Bytes,
    ) -> std::result::Result<(String, Option<String>), Failure> {
        match &self.s3 {
            Some(s3) => {
                let digest = sums::digest_of(part);
                s3.put_part(path.as_ref(), id, part.number, bytes, digest).await
            }
            None => {
                let put = self.parts.put_part(path, id, part.number, bytes.into()).await;
                let id = put.map_err(|error| Failure::from(&error))?.content_id;
                Ok((id, None))
            }
        }
    }

    /// The sums of a multipart upload for a store that said the newer ones of the parts and does not say that of the whole.
    fn with_md5(task: &Task<'_>) -> Result<Sums> {
        let mut parts = task.state.parts.clone();
        for part in parts.iter_mut().filter(|part| part.md5.is_empty()) {
            part.md5 = sums::md5(&task.read(part.number)?);
        }
        Ok(Sums::composite(task.size, &parts))
    }

    /// Compares what the store says it has with what was sent.
    async fn check(&self, task: &Task<'_>, path: &Path, sums: &Sums, etag: Option<&str>) -> Result<Uploaded> {
        let key = task.key;
        let stored = match &self.s3 {
            Some(s3) => {
                let stored = s3.stored(path.as_ref()).await;
                stored.map_err(|failure| self.explain("look at", key, &failure))?
            }
            None => match self.objects.head(path).await {
                Ok(meta) => Some(Stored {
                    size: meta.size,
                    etag: meta.e_tag,
                    version: meta.version,
                    sha256: None,
                    // Only the ETags of S3 have a meaning.
                    encrypted: true,
                }),
                Err(error) if Failure::from(&error).is_no_object() => None,
                Err(error) => return Err(self.explain_store("look at", key, &error)),
            },
        };
        let Some(stored) = stored else {
            return Err(self.not_what_was_sent(key, "it isn't there"));
        };
        let complete = match sums.lack_md5(&stored) {
            true => Some(Self::with_md5(task)?),
            false => None,
        };
        let checked = complete
            .as_ref()
            .unwrap_or(sums)
            .compare(&stored)
            .map_err(|difference| self.not_what_was_sent(key, &difference))?;
        if let (Some(said), Some(now), true) = (etag, &stored.etag, self.s3.is_some())
            && said.trim_matches('"') != now.trim_matches('"')
        {
            let difference = format!("its ETag is {now} instead of {said}");
            return Err(self.not_what_was_sent(key, &difference));
        }
        Ok(Uploaded {
            // Elsewhere it may change without the content.
            etag: stored.etag.filter(|_| self.s3.is_some()),
            version: stored.version,
            checked,
        })
    }
}

/// Parts as large as configured, and larger where there would be too many.
fn part_size(size: u64, configured: u64) -> u64 {
    const MIB: u64 = 1024 * 1024;
    let least = size.div_ceil(MOST_PARTS);
    if least <= configured {
        configured
    } else {
        least.div_ceil(MIB) * MIB
    }
}

/// As many as configured, fewer where parts had to become larger: memory stays as it is.
fn at_a_time(part_bytes: u64, configured: u64, parallel: usize) -> usize {
    let budget = configured.saturating_mul(parallel as u64);
    let fit = usize::try_from(budget / part_bytes.max(1)).unwrap_or(usize::MAX);
    fit.clamp(1, parallel.max(1))
}

/// Whether there is no use in going on with this upload, but there may be in a new one.
fn is_lost(failure: &Failure) -> bool {
    failure.is_lost_upload() || matches!(&*failure.code, "InvalidPart" | "InvalidPartOrder")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn parts_become_larger_where_there_would_be_too_many_and_memory_does_not() {
        assert_eq!(part_size(0, 16 * MIB), 16 * MIB);
        assert_eq!(part_size(10_000 * 16 * MIB, 16 * MIB), 16 * MIB);
        assert_eq!(part_size(10_000 * 16 * MIB + 1, 16 * MIB), 17 * MIB);
        for size in [1, 160_000 * MIB, 3_000_000 * MIB, 5_000_000 * MIB] {
            let part = part_size(size, 16 * MIB);
            assert!(size.div_ceil(part) <= MOST_PARTS, "{size}");
            let many = at_a_time(part, 16 * MIB, 4);
            assert!(
                many >= 1 && (many == 1 || many as u64 * part <= 64 * MIB),
                "{many} of {part}"
            );
        }
        assert_eq!(at_a_time(16 * MIB, 16 * MIB, 4), 4);
        assert_eq!(at_a_time(17 * MIB, 16 * MIB, 4), 3);
    }
}
