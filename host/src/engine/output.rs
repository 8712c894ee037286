//! Where a component's standard output and error go: line by line into the host's log, escaped and bounded.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

/// Longest line; the rest of a longer one is a line of its own.
const LINE_BYTES: usize = 4096;
/// Most lines of one session. A component has a log of its own (`progress.log`); this is for panics.
const LINES: usize = 1000;

/// The lines of one session.
#[derive(Debug, Clone, Default)]
pub(super) struct GuestLog(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    count: usize,
    last: Option<String>,
}

impl GuestLog {
    /// The last line, for the message of a trap.
    pub(super) fn last_words(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last.clone()
    }

    fn line(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes)
            .trim_end()
            .escape_debug()
            .to_string();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Rust's hint about backtraces would hide the panic message before it.
        if text.is_empty() || text.starts_with("note: run with") {
            return;
        }
        lines.count += 1;
        match lines.count.cmp(&LINES) {
            std::cmp::Ordering::Less => tracing::warn!(target: "cofre::component", "{text}"),
            std::cmp::Ordering::Equal => {
                tracing::warn!(target: "cofre::component", "the component writes too much; the rest is dropped");
            }
            std::cmp::Ordering::Greater => {}
        }
        lines.last = Some(text);
    }
}

/// Standard output or error of one session.
#[derive(Debug)]
pub(super) struct LogStream(GuestLog);

impl LogStream {
    pub(super) fn new(log: GuestLog) -> Self {
        Self(log)
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(LineWriter {
            log: self.0.clone(),
            line: Vec::new(),
        })
    }
}

/// Splits what is written into lines. Never waits.
struct LineWriter {
    log: GuestLog,
    line: Vec<u8>,
}

impl LineWriter {
    fn end_line(&mut self) {
        self.log.line(&self.line);
        self.line.clear();
    }
}

impl AsyncWrite for LineWriter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        for &byte in bytes {
            if byte == b'\n' || self.line.len() == LINE_BYTES {
                self.end_line();
            }
            if byte != b'\n' {
                self.line.push(byte);
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.end_line();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn write(text: &[u8]) -> GuestLog {
        let log = GuestLog::default();
        let mut writer = LineWriter {
            log: log.clone(),
            line: Vec::new(),
        };
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut writer).poll_write(&mut context, text).is_ready());
        drop(writer);
        log
    }

    #[test]
    fn control_characters_of_the_guest_are_escaped() {
        assert_eq!(write(b"a\x1b[31mb").last_words().unwrap(), "a\\u{1b}[31mb");
    }

    #[test]
    fn the_hint_about_backtraces_does_not_hide_the_panic_message() {
        let log = write(b"panicked at x\nnote: run with `RUST_BACKTRACE=1`\n");
        assert_eq!(log.last_words().unwrap(), "panicked at x");
    }

    #[test]
    fn a_line_without_end_is_cut_and_not_kept_whole() {
        assert!(write(&[b'x'; 10 * LINE_BYTES]).last_words().unwrap().len() <= LINE_BYTES);
    }
}
