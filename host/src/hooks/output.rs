//! What a hook prints, line by line into the log, with bounds: a program that prints for ever fills no disk.

use std::ops::ControlFlow;

use crate::process::{Sink, Stream};
use crate::text::escape;

/// Bytes of one line that are logged.
const LINE_BYTES: usize = 2_000;
/// Bytes of one hook that are logged.
const TOTAL_BYTES: usize = 256 * 1024;
/// Characters of the last line that an error quotes.
const QUOTED_CHARS: usize = 200;

/// Logs the lines of one hook.
#[derive(Debug)]
pub(super) struct Log {
    hook: &'static str,
    lines: [Line; 2],
    logged: usize,
    left_out: u64,
    last: Option<String>,
}

/// A line that has no end yet.
#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    /// Bytes beyond [`LINE_BYTES`].
    cut: u64,
}

impl Log {
    /// For the hook of this name.
    pub(super) fn new(hook: &'static str) -> Self {
        Self {
            hook,
            lines: <[Line; 2]>::default(),
            logged: 0,
            left_out: 0,
            last: None,
        }
    }

    /// Logs what has no line end, and gives the last line of standard error, for a message.
    pub(super) fn finish(mut self) -> Option<String> {
        for stream in [Stream::Out, Stream::Err] {
            let line = &self.lines[stream as usize];
            if !line.bytes.is_empty() {
                self.line(stream);
            }
        }
        if self.left_out > 0 {
            tracing::warn!(
                hook = self.hook,
                "{} more bytes of output are left out",
                self.left_out
            );
        }
        self.last
    }

    fn line(&mut self, stream: Stream) {
        let Line { bytes, cut } = std::mem::take(&mut self.lines[stream as usize]);
        let text = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(&bytes));
        let text = escape(&text);
        if stream == Stream::Err && !text.trim().is_empty() {
            self.last = Some(text.trim().chars().take(QUOTED_CHARS).collect());
        }
        if self.logged + bytes.len() > TOTAL_BYTES {
            self.left_out += cut + u64::try_from(bytes.len()).unwrap_or(0);
            return;
        }
        self.left_out += cut;
        // Empty lines count too: they are lines of the log.
        self.logged += bytes.len() + 1;
        match stream {
            Stream::Out => tracing::info!(hook = self.hook, "{text}"),
            Stream::Err => tracing::warn!(hook = self.hook, "{text}"),
        }
    }
}

impl Sink for Log {
    fn take(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let ended = part.ends_with(b"\n");
            self.lines[stream as usize].push(part.strip_suffix(b"\n").unwrap_or(part));
            if ended {
                self.line(stream);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let taken = bytes.len().min(LINE_BYTES - self.bytes.len());
        self.bytes.extend_from_slice(&bytes[..taken]);
        self.cut += u64::try_from(bytes.len() - taken).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_standard_error_is_kept_short_and_clean_beyond_every_bound() {
        let mut log = Log::new("before");
        for _ in 0..3 {
            let _ = log.take(Stream::Err, &vec![b'x'; TOTAL_BYTES]);
            let _ = log.take(Stream::Err, b"\n");
        }
        for _ in 0..300 {
            let _ = log.take(Stream::Out, &[b'y'; 1_000]);
            let _ = log.take(Stream::Out, b"\n");
        }
        assert!(log.logged <= TOTAL_BYTES);
        assert!(log.left_out > 3 * (TOTAL_BYTES - LINE_BYTES) as u64);
        let _ = log.take(Stream::Err, b"no spa\x1bce");
        let _ = log.take(Stream::Err, b" left\r\n\n");
        assert_eq!(log.finish().as_deref(), Some("no spa\\x1bce left"));
    }

    #[test]
    fn a_program_without_errors_has_no_last_line() {
        let mut log = Log::new("after");
        let _ = log.take(Stream::Out, b"fine");
        let _ = log.take(Stream::Err, b"  \n");
        assert_eq!(log.finish(), None);
    }
}
