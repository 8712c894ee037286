//! Downloading an object of any size: what came is written at once, and a broken connection is taken up where it
//! broke, as long as the object is still the same.

use std::cell::Cell;
use std::io::Write;
use std::time::Instant;

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::path::Path;
use object_store::{GetOptions, GetRange};

use super::bucket::Bucketed;
use super::trouble::Failure;
use crate::error::{Code, Error, Result};

/// How far a download is.
struct Progress {
    done: u64,
    /// Size and name of the content, once the server has said them.
    whole: Option<(u64, Option<String>)>,
}

/// Why an attempt ended before its time.
enum Broken {
    /// It may be tried again.
    Network(Failure),
    /// It may not.
    Final(Error),
}

impl Bucketed {
    pub(super) fn download(
        &self,
        key: &str,
        version: Option<&str>,
        to: &mut dyn Write,
        control: &dyn Fn(u64) -> Result<()>,
    ) -> Result<u64> {
        let path = self.path("download", key)?;
        let told = Cell::new(0);
        let mut progress = Progress { done: 0, whole: None };
        self.drive(&|| control(told.get()), async {
            let mut failed = 0;
            let mut moved = Instant::now();
            loop {
                let before = progress.done;
                match self.attempt(key, &path, version, to, &mut progress, &told).await {
                    Ok(()) => break,
                    Err(Broken::Final(error)) => return Err(error),
                    Err(Broken::Network(failure)) => {
                        // Whoever makes progress may fail as often as they like.
                        if progress.done > before {
                            (failed, moved) = (0, Instant::now());
                        }
                        failed += 1;
                        let tuning = self.line.tuning();
                        let over = failed > tuning.retries || moved.elapsed() > tuning.retry_time;
                        if over || !failure.may_pass() {
                            return Err(self.explain("download", key, &failure));
                        }
                        tokio::time::sleep(tuning.back_off(failed)).await;
                    }
                }
            }
            control(progress.done)?;
            Ok(progress.done)
        })
    }

    /// Asks for the rest and writes it.
    async fn attempt(
        &self,
        key: &str,
        path: &Path,
        version: Option<&str>,
        to: &mut dyn Write,
        progress: &mut Progress,
        told: &Cell<u64>,
    ) -> std::result::Result<(), Broken> {
        let whole = progress.whole.clone();
        if whole.as_ref().is_some_and(|(size, _)| *size == progress.done) {
            return Ok(());
        }
        let options = GetOptions {
            version: version.map(str::to_owned),
            range: (progress.done > 0).then_some(GetRange::Offset(progress.done)),
            if_match: whole.as_ref().and_then(|(_, etag)| etag.clone()),
            ..GetOptions::default()
        };
        let found = match self.objects.get_opts(path, options).await {
            Ok(found) => found,
            Err(error) => return Err(self.refused(key, progress, Failure::from(&error))),
        };
        let now = (found.meta.size, found.meta.e_tag.clone());
        if whole.is_some_and(|before| before != now) {
            return Err(Broken::Final(self.changed(key)));
        }
        let size = now.0;
        progress.whole = Some(now);
        let mut stream = found.into_stream();
        while let Some(piece) = stream.next().await {
            let piece: Bytes = piece.map_err(|error| self.refused(key, progress, Failure::from(&error)))?;
            progress.done += piece.len() as u64;
            if progress.done > size {
                let message = format!(
                    "{}: the server sends more than {size} bytes",
                    self.doing("download", key)
                );
                return Err(Broken::Final(Error::new(Code::Corrupt, message)));
            }
            to.write_all(&piece).map_err(|error| {
                Broken::Final(Error::io(self.doing("write the download of", key), &error))
            })?;
            told.set(progress.done);
        }
        if progress.done == size {
            return Ok(());
        }
        Err(Broken::Network(Failure::cut()))
    }

    fn refused(&self, key: &str, progress: &Progress, failure: Failure) -> Broken {
        if failure.is_no_object() && progress.whole.is_none() {
            let message = format!("{}: there is no such object", self.doing("download", key));
            return Broken::Final(Error::new(Code::NotFound, message));
        }
        // Gone, replaced, or shorter than what came already.
        let gone = failure.is_no_object() || matches!(failure.status, Some(412 | 416));
        if progress.whole.is_some() && gone {
            return Broken::Final(self.changed(key));
        }
        Broken::Network(failure)
    }

    fn changed(&self, key: &str) -> Error {
        let message = format!(
            "{}: it was changed or removed meanwhile",
            self.doing("download", key)
        );
        Error::new(Code::Io, message).remedy("what came so far is of no use; download it again")
    }
}
