//! The log: on standard error, and in a file where the configuration names one. Results never go here, logs never
//! to standard output.
//!
//! It starts before the configuration is known, with what the command line says, and takes over level, format and
//! file in [`configure`]. What was logged until then has gone to standard error.

mod file;
mod lines;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::Subscriber;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::{Config, LogFormat};
use crate::error::Result;
use file::LogFile;
use lines::{Lines, Sink, Style};

/// Where audit lines come from: they have rules of their own.
pub const AUDIT: &str = "cofre::audit";

/// The log of this process.
static LOG: OnceLock<Log> = OnceLock::new();

/// What kind of process writes the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A command that only reads: nothing of it goes to the file.
    Reading,
    /// A command that changes something. Its audit line goes to the file; standard error has the result anyway.
    Changing,
    /// `cofre serve`.
    Service,
}

/// What the command line and the environment ask for.
#[derive(Debug, Clone, Default)]
struct Asked {
    quiet: bool,
    verbose: u8,
    /// `COFRE_LOG`, when it is a filter.
    variable: Option<String>,
}

/// The parts of a running log that [`configure`] changes.
#[derive(Debug)]
struct Log {
    asked: Asked,
    style: Arc<Style>,
    file: Arc<Mutex<Option<LogFile>>>,
    terminal_filter: reload::Handle<EnvFilter, Registry>,
    file_filter: reload::Handle<EnvFilter, Registry>,
}

/// Starts the log: errors with `quiet`, warnings by default, more with each `-v`. `COFRE_LOG` (the syntax of
/// `tracing`'s filters, such as `cofre=debug`) overrides both. A second call changes nothing.
pub fn start(quiet: bool, verbose: u8) {
    let variable = std::env::var("COFRE_LOG").ok().filter(|text| !text.is_empty());
    let good = variable.clone().filter(|text| text.parse::<EnvFilter>().is_ok());
    let ignored = variable.is_some() && good.is_none();
    let asked = Asked {
        quiet,
        verbose,
        variable: good,
    };
    let (log, subscriber) = Log::new(asked, Box::new(std::io::stderr()));
    // Fails only when a log exists already: in tests, and where a host of the library has its own.
    if subscriber.try_init().is_ok() && LOG.set(log).is_ok() && ignored {
        tracing::warn!("COFRE_LOG is not a filter such as `cofre=debug`, and is ignored");
    }
}

/// Takes level, format and file from the configuration. `-q`, `-v` and `COFRE_LOG` win over its level.
///
/// # Errors
/// When the file can't be opened; the message names it.
pub fn configure(config: &Config, purpose: Purpose) -> Result<()> {
    LOG.get().map_or(Ok(()), |log| log.configure(config, purpose))
}

impl Log {
    /// A log that writes to `terminal`, and to a file once it is configured.
    fn new(asked: Asked, terminal: Box<dyn Write + Send>) -> (Self, impl Subscriber + Send + Sync) {
        let style = Arc::<Style>::default();
        let file = Arc::<Mutex<Option<LogFile>>>::default();
        let filter = asked.terminal_filter(None, Purpose::Reading);
        let (terminal_filter, terminal_handle) = reload::Layer::new(filter);
        let (file_filter, file_handle) = reload::Layer::new(EnvFilter::new("off"));
        let layer = |sink: Sink| {
            fmt::layer()
                // Colours would be escape sequences, and every one of those is made visible.
                .with_ansi(false)
                .log_internal_errors(false)
                .event_format(Lines::new(&style))
                .with_writer(sink)
        };
        let layers = vec![
            layer(Sink::terminal(terminal, &style))
                .with_filter(terminal_filter)
                .boxed(),
            layer(Sink::file(&file, &style)).with_filter(file_filter).boxed(),
        ];
        let log = Self {
            asked,
            style: Arc::clone(&style),
            file,
            terminal_filter: terminal_handle,
            file_filter: file_handle,
        };
        (log, tracing_subscriber::registry().with(layers))
    }

    fn configure(&self, config: &Config, purpose: Purpose) -> Result<()> {
        let settings = &config.log;
        self.style
            .set(settings.format == LogFormat::Json, config.time_zone);
        let level = settings.level.map(LevelFilter::from_level);
        // Fails only when the subscriber is gone, and then nobody logs.
        let _ = self
            .terminal_filter
            .reload(self.asked.terminal_filter(level, purpose));
        let path = settings.file.as_ref().filter(|_| purpose != Purpose::Reading);
        let Some(path) = path else { return Ok(()) };
        let opened = LogFile::open(path)?;
        *lines::locked(&self.file) = Some(opened);
        let _ = self.file_filter.reload(self.asked.file_filter(level));
        Ok(())
    }
}

impl Asked {
    /// The level that `-q` or `-v` asks for.
    fn level(&self) -> Option<LevelFilter> {
        match (self.quiet, self.verbose) {
            (true, _) => Some(LevelFilter::ERROR),
            (false, 0) => None,
            (false, 1) => Some(LevelFilter::INFO),
            (false, 2) => Some(LevelFilter::DEBUG),
            (false, _) => Some(LevelFilter::TRACE),
        }
    }

    fn terminal_filter(&self, configured: Option<LevelFilter>, purpose: Purpose) -> EnvFilter {
        if let Some(filter) = self.variable() {
            return filter;
        }
        let default = match purpose {
            Purpose::Service => LevelFilter::INFO,
            Purpose::Reading | Purpose::Changing => LevelFilter::WARN,
        };
        let level = self.level().or(configured).unwrap_or(default);
        // A command prints its result or its error there already.
        let doubled = purpose != Purpose::Service && self.verbose == 0;
        filter(level, doubled.then_some(LevelFilter::OFF))
    }

    /// The file gets what was configured, or more; audit lines always.
    fn file_filter(&self, configured: Option<LevelFilter>) -> EnvFilter {
        let audit = Some(LevelFilter::INFO);
        if let Some(filter) = self.variable() {
            return with(filter, AUDIT, audit);
        }
        let configured = configured.unwrap_or(LevelFilter::INFO);
        filter(
            self.level().map_or(configured, |asked| asked.max(configured)),
            audit,
        )
    }

    fn variable(&self) -> Option<EnvFilter> {
        self.variable.as_deref().and_then(asked).map(without_urls)
    }
}

/// `level` for cofre, warnings at most of the libraries, and `audit` for audit lines.
fn filter(level: LevelFilter, audit: Option<LevelFilter>) -> EnvFilter {
    let libraries = EnvFilter::default().add_directive(LevelFilter::WARN.min(level).into());
    // It logs what the error says, without a word about which server, and once for each try.
    let libraries = with(libraries, "rustls_platform_verifier", Some(LevelFilter::OFF));
    let filter = with(libraries, "cofre", Some(level));
    without_urls(with(filter, AUDIT, audit))
}

fn with(filter: EnvFilter, target: &str, level: Option<LevelFilter>) -> EnvFilter {
    match level.and_then(|level| format!("{target}={level}").parse().ok()) {
        Some(directive) => filter.add_directive(directive),
        None => filter,
    }
}

/// What `COFRE_LOG` asks for, except of the HTTP client.
fn asked(text: &str) -> Option<EnvFilter> {
    let directives: Vec<&str> = text
        .split(',')
        .filter(|directive| !directive.trim_start().starts_with(CLIENT))
        .collect();
    directives.join(",").parse().ok()
}

/// The HTTP client of webhooks and pings: what it logs has whole URLs and bodies in it, and a URL may be a secret.
const CLIENT: &str = "ureq";

/// A filter that lets nothing of the HTTP client through, whatever else it says.
fn without_urls(filter: EnvFilter) -> EnvFilter {
    [CLIENT, "ureq_proto"].into_iter().fold(filter, |filter, target| {
        with(filter, target, Some(LevelFilter::OFF))
    })
}
