//! How a line of the log is made, and the last thing that happens to it: whatever a name or a message holds, one
//! event is one line.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::file::LogFile;
use crate::text;

/// What can change while the log runs.
#[derive(Debug)]
pub(super) struct Style {
    json: AtomicBool,
    zone: Mutex<Tz>,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            json: AtomicBool::new(false),
            zone: Mutex::new(Tz::UTC),
        }
    }
}

impl Style {
    /// Sets both.
    pub(super) fn set(&self, json: bool, zone: Tz) {
        self.json.store(json, Ordering::SeqCst);
        *locked(&self.zone) = zone;
    }

    fn json(&self) -> bool {
        self.json.load(Ordering::SeqCst)
    }
}

/// The time of a line: RFC 3339 with milliseconds and the offset of the configured zone.
#[derive(Debug)]
struct Clock(Arc<Style>);

impl FormatTime for Clock {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        let zone = *locked(&self.0.zone);
        let now = DateTime::<Utc>::from(SystemTime::now()).with_timezone(&zone);
        w.write_str(&now.to_rfc3339_opts(SecondsFormat::Millis, false))
    }
}

/// Formats an event as text or as one JSON object with its fields at the top.
#[derive(Debug)]
pub(super) struct Lines {
    style: Arc<Style>,
    text: Format<Full, Clock>,
    json: Format<Json, Clock>,
}

impl Lines {
    pub(super) fn new(style: &Arc<Style>) -> Self {
        let json = Format::default()
            .json()
            .flatten_event(true)
            // cofre has no spans, and those of libraries are not ours to show.
            .with_current_span(false)
            .with_span_list(false)
            .with_timer(Clock(Arc::clone(style)));
        Self {
            style: Arc::clone(style),
            text: Format::default().with_timer(Clock(Arc::clone(style))),
            json,
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.style.json() {
            self.json.format_event(ctx, writer, event)
        } else {
            self.text.format_event(ctx, writer, event)
        }
    }
}

/// Where lines end up.
#[derive(Clone)]
pub(super) struct Sink {
    style: Arc<Style>,
    out: Out,
}

#[derive(Clone)]
enum Out {
    Terminal(Arc<Mutex<Box<dyn Write + Send>>>),
    File(Arc<Mutex<Option<LogFile>>>),
}

impl Sink {
    pub(super) fn terminal(out: Box<dyn Write + Send>, style: &Arc<Style>) -> Self {
        Self {
            style: Arc::clone(style),
            out: Out::Terminal(Arc::new(Mutex::new(out))),
        }
    }

    pub(super) fn file(file: &Arc<Mutex<Option<LogFile>>>, style: &Arc<Style>) -> Self {
        Self {
            style: Arc::clone(style),
            out: Out::File(Arc::clone(file)),
        }
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        self.clone()
    }
}

impl Write for Sink {
    /// Takes one whole event, as the formatting layer hands it over. Says that all is well in any case: nobody is
    /// there to be told, and no work may fail for its log.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = one_line(event, self.style.json());
        match &self.out {
            Out::Terminal(out) => {
                let _ = locked(out).write_all(line.as_bytes());
            }
            Out::File(file) => {
                if let Some(file) = locked(file).as_mut() {
                    file.write(line.as_bytes());
                }
            }
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The event with everything made visible that would end the line, or do things to a terminal.
fn one_line(event: &[u8], json: bool) -> String {
    let event = String::from_utf8_lossy(event);
    let event = event.strip_suffix('\n').unwrap_or(&event);
    let mut line = if json {
        text::escape_json(event)
    } else {
        text::escape(event)
    }
    .into_owned();
    line.push('\n');
    line
}

/// Locks, also after a panic elsewhere: a half-written line is better than no log.
pub(super) fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
