//! A file as the body of an answer, in a fixed number of buffers: what the connection has not sent yet holds them,
//! so that a client that stops reading stops the reading of the file, whatever the server buffers.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

/// Bytes of one buffer. Larger ones don't make a download faster.
const CHUNK: usize = 64 << 10;
/// Buffers of one download: one is sent while the next is read.
const CHUNKS: usize = 2;

/// Bytes on their way to the client. Dropped, they give their buffer back.
struct Chunk {
    buffer: Vec<u8>,
    free: mpsc::Sender<Vec<u8>>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // The reader may have gone; there is room for every buffer otherwise.
        let _ = self.free.try_send(std::mem::take(&mut self.buffer));
    }
}

/// The bytes of `file` in `range`. `reads` bounds the reads of all downloads together.
pub(super) fn body(file: File, range: Range<u64>, reads: Arc<Semaphore>) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(send(Arc::new(file), range, reads, sender));
    Body::from_stream(ReceiverStream::new(receiver))
}

async fn send(
    file: Arc<File>,
    range: Range<u64>,
    reads: Arc<Semaphore>,
    body: mpsc::Sender<io::Result<Bytes>>,
) {
    let (free, mut buffers) = mpsc::channel(CHUNKS);
    for _ in 0..CHUNKS {
        let _ = free.try_send(Vec::new());
    }
    let mut at = range.start;
    while at < range.end {
        let buffer = tokio::select! {
            buffer = buffers.recv() => buffer,
            () = body.closed() => None,
        };
        let Some(buffer) = buffer else { return };
        let length = usize::try_from(range.end - at).map_or(CHUNK, |left| left.min(CHUNK));
        let chunk = match read(Arc::clone(&file), at, length, buffer, Arc::clone(&reads)).await {
            Ok(buffer) => Ok(Bytes::from_owner(Chunk {
                buffer,
                free: free.clone(),
            })),
            Err(e) => {
                tracing::error!("a download breaks off: {e}");
                Err(e)
            }
        };
        let is_last = chunk.is_err();
        at += length as u64;
        if body.send(chunk).await.is_err() || is_last {
            return;
        }
    }
}

async fn read(
    file: Arc<File>,
    at: u64,
    length: usize,
    mut buffer: Vec<u8>,
    reads: Arc<Semaphore>,
) -> io::Result<Vec<u8>> {
    let place = reads.acquire_owned().await.map_err(io::Error::other)?;
    let read = tokio::task::spawn_blocking(move || {
        let _place = place;
        buffer.resize(length, 0);
        file.read_exact_at(&mut buffer, at).map(|()| buffer)
    });
    read.await.map_err(io::Error::other)?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use http_body_util::BodyExt as _;
    use tokio::sync::Semaphore;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn places() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(4))
    }

    #[tokio::test]
    async fn the_bytes_of_the_range_arrive() {
        let bytes: Vec<u8> = (0..5 * CHUNK + 17).map(|i| (i % 251) as u8).collect();
        for range in [0..bytes.len(), 1..2, 100..3 * CHUNK, CHUNK..2 * CHUNK, 7..7] {
            let part = range.start as u64..range.end as u64;
            let body = body(file(&bytes), part, places());
            let got = body.collect().await.unwrap().to_bytes();
            assert!(got == bytes[range.clone()], "{range:?}");
        }
    }

    #[tokio::test]
    async fn a_client_that_holds_on_to_its_bytes_gets_no_more_than_two_chunks() {
        let mut body = body(file(&vec![1; 8 * CHUNK]), 0..8 * CHUNK as u64, places());
        let held = [
            body.frame().await.unwrap().unwrap(),
            body.frame().await.unwrap().unwrap(),
        ];
        let third = tokio::time::timeout(Duration::from_millis(200), body.frame()).await;
        assert!(third.is_err(), "the third chunk waits for a buffer");
        drop(held);
        let mut rest = 0;
        while let Some(frame) = body.frame().await {
            rest += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!(rest, 6 * CHUNK);
    }

    #[tokio::test]
    async fn a_file_that_is_cut_short_breaks_the_answer_off() {
        let body = body(file(&[1; 10]), 0..20, places());
        assert!(body.collect().await.is_err());
    }

    #[tokio::test]
    async fn reading_ends_when_the_client_goes() {
        let file = file(&vec![1; 8 * CHUNK]);
        let places = places();
        let mut body = body(file, 0..8 * CHUNK as u64, Arc::clone(&places));
        let _first = body.frame().await;
        drop(body);
        // The task holds the file and a handle of the semaphore as long as it lives.
        tokio::time::timeout(Duration::from_secs(10), async {
            while Arc::strong_count(&places) > 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
}
