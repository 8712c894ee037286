//! The bytes of a connection: ends it when the client takes none, and lets a refused client read its answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::connection::Link;
use super::limits::Limits;

/// A TCP stream with the two bounds. It lies below TLS, so that both hold there as well.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    inner: S,
    link: Arc<Link>,
    stall: Duration,
    linger: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
    ending: Ending,
}

#[derive(Debug)]
enum Ending {
    No,
    /// Our side is closed; what comes is thrown away until then.
    Lingering(Pin<Box<Sleep>>),
    Done,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, link: Arc<Link>, limits: &Limits) -> Self {
        Self {
            inner,
            link,
            stall: limits.stall,
            linger: limits.linger,
            stalled: None,
            ending: Ending::No,
        }
    }

    /// Starts the clock when nothing can be written, stops it when something was.
    fn bounded<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stall = self.stall;
        let clock = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(clock.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not take the answer",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.bounded(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.bounded(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Leaves the clock alone: TCP has nothing to flush and always says that it has done so.
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    /// Closing a socket with bytes in it that nobody has read resets the connection, and the client loses the
    /// answer that says why its body was not wanted. So these are read first, for a short while.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.ending {
                Ending::No => {
                    ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                    this.ending = if this.link.has_unread_body() {
                        Ending::Lingering(Box::pin(tokio::time::sleep(this.linger)))
                    } else {
                        Ending::Done
                    };
                }
                Ending::Lingering(until) => {
                    if until.as_mut().poll(cx).is_ready() {
                        this.ending = Ending::Done;
                        continue;
                    }
                    let mut scratch = [0; 16 * 1024];
                    let mut buffer = ReadBuf::new(&mut scratch);
                    let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buffer));
                    if read.is_err() || buffer.filled().is_empty() {
                        this.ending = Ending::Done;
                    }
                }
                Ending::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}
