//! The command line, and what its values come down to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use cofre_exporter::{Error, Repository, Result};
use tracing::level_filters::LevelFilter;

/// Longest alias, in characters.
const MAX_ALIAS: usize = 64;

/// Serves the health of cofre's backups to Prometheus. Reads the catalog and the folder anew at each scrape; opens
/// no archive, takes no lock, writes nothing.
#[derive(Debug, Parser)]
#[command(version, name = "cofre-exporter")]
#[command(
    after_help = "Exit codes: 0 done or ended by a signal, 2 usage, 10 anything else (an address in use, say)."
)]
pub(crate) struct Args {
    /// The backups folder. It may be missing at the start: that is a metric, not an error.
    #[arg(long = "backup-dir", value_name = "DIR")]
    backup_dir: PathBuf,
    /// Value of the label `repository` [default: the folder's name].
    #[arg(long, value_name = "ALIAS")]
    repository: Option<String>,
    /// Where to listen, as HOST:PORT or :PORT for every address; can be given several times.
    #[arg(
        long = "web.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:10642"
    )]
    pub(crate) listen_addresses: Vec<String>,
    /// Path of the metrics.
    #[arg(long = "web.telemetry-path", value_name = "PATH", default_value = "/metrics")]
    pub(crate) telemetry_path: String,
    /// Print the metrics once and exit; listens nowhere.
    #[arg(long)]
    pub(crate) once: bool,
    /// Write the metrics to this file once and exit, for node_exporter's textfile collector; call it from a timer.
    #[arg(long = "textfile.path", value_name = "FILE.prom")]
    pub(crate) textfile_path: Option<PathBuf>,
    /// How long a scrape waits for the folder, in seconds; less where Prometheus announces a shorter timeout.
    #[arg(long = "probe.timeout", value_name = "SECONDS", default_value = "8",
          value_parser = clap::value_parser!(u16).range(1..=300))]
    probe_timeout: u16,
    /// Least severe messages to log.
    #[arg(long = "log.level", value_enum, default_value = "info")]
    log_level: Level,
    /// Form of the log on standard error.
    #[arg(long = "log.format", value_enum, default_value = "text")]
    log_format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

impl Args {
    /// How long to wait for the folder.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.probe_timeout.into())
    }

    /// Sends the log to standard error.
    pub(crate) fn start_log(&self) {
        let level = match self.log_level {
            Level::Debug => LevelFilter::DEBUG,
            Level::Info => LevelFilter::INFO,
            Level::Warn => LevelFilter::WARN,
            Level::Error => LevelFilter::ERROR,
        };
        let log = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .with_ansi(false)
            .with_target(false);
        match self.log_format {
            Format::Text => log.init(),
            Format::Json => log.json().init(),
        }
    }

    /// The repository to watch.
    pub(crate) fn repository(&self) -> Result<Repository> {
        let path = std::path::absolute(&self.backup_dir).map_err(|e| Error::Usage {
            option: "--backup-dir",
            message: e.to_string(),
        })?;
        let alias = match &self.repository {
            Some(alias) => alias.clone(),
            None => name_of(&path)?,
        };
        check_alias(&alias)?;
        Ok(Repository { alias, path })
    }
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.components().next_back().and_then(|last| match last {
        std::path::Component::Normal(name) => name.to_str(),
        _ => None,
    });
    name.map(str::to_owned)
        .ok_or_else(|| alias_error("the folder's name can't serve as one; give it"))
}

/// Aliases become label values that end up in dashboards and messages: short, printable, and no path or URL.
fn check_alias(alias: &str) -> Result<()> {
    if alias.is_empty() || alias.chars().count() > MAX_ALIAS {
        return Err(alias_error("it has to have 1 to 64 characters"));
    }
    if alias.chars().any(|c| c == '/' || c.is_control()) {
        return Err(alias_error("it may have no / and no control characters"));
    }
    Ok(())
}

fn alias_error(message: &str) -> Error {
    Error::Usage {
        option: "--repository",
        message: message.to_owned(),
    }
}
