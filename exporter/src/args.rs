//! The command line, and what its values come down to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueEnum};
use cofre_exporter::{Error, Repository, Result, Watched, check_alias};
use tracing::level_filters::LevelFilter;

/// Serves the health of cofre's backups to Prometheus. Reads the catalog, the folder and the schedule's state anew
/// at each scrape; opens no archive, takes no lock, writes nothing.
#[derive(Debug, Parser)]
#[command(version, name = "cofre-exporter")]
#[command(
    after_help = "Exit codes: 0 done or ended by a signal, 2 usage, 10 anything else (an address in use, say)."
)]
#[command(group = ArgGroup::new("what").required(true).args(["backup_dir", "configs"]))]
pub(crate) struct Args {
    /// The backups folder. It may be missing at the start: that is a metric, not an error.
    #[arg(long = "backup-dir", value_name = "DIR")]
    backup_dir: Option<PathBuf>,
    /// The state folder, where `cofre serve` notes its schedule. Without it nothing says when backups are due.
    #[arg(
        long = "state-dir",
        value_name = "DIR",
        requires = "backup_dir",
        conflicts_with = "configs"
    )]
    state_dir: Option<PathBuf>,
    /// Value of the label `repository` [default: the folder's name].
    #[arg(
        long,
        value_name = "ALIAS",
        requires = "backup_dir",
        conflicts_with = "configs"
    )]
    repository: Option<String>,
    /// Instead of these three: take folders, alias and plans from a configuration of cofre; several times for
    /// several repositories. Only what concerns them is read; `cofre config check` is what checks the file.
    #[arg(long = "config", value_name = "COFRE.TOML")]
    configs: Vec<PathBuf>,
    /// Whether `cofre serve` is to run, or cron or a timer calls `cofre create`.
    #[arg(long, value_enum, default_value = "auto")]
    scheduler: Scheduler,
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
    /// TLS, users and headers, in the format that all exporters of Prometheus share; read again when it changes.
    #[arg(long = "web.config.file", value_name = "WEB.YML")]
    pub(crate) web_config: Option<PathBuf>,
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
enum Scheduler {
    /// Expected once it ran, or when the configuration has a plan that is switched on.
    Auto,
    /// It is to run.
    Expected,
    /// Something else starts the backups.
    None,
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

    /// Whether nothing is given that says when backups are due.
    pub(crate) fn is_without_schedule(&self) -> bool {
        self.backup_dir.is_some() && self.state_dir.is_none()
    }

    /// The repositories to watch.
    pub(crate) fn repositories(&self) -> Result<Vec<Watched>> {
        let watched = match &self.backup_dir {
            Some(dir) => vec![self.of_folder(dir)?],
            None => self
                .configs
                .iter()
                .map(|file| of_config(file))
                .collect::<Result<_>>()?,
        };
        for (i, one) in watched.iter().enumerate() {
            if let Some(j) = watched[..i]
                .iter()
                .position(|before| before.alias() == one.alias())
            {
                return Err(Error::Usage {
                    option: "--config",
                    message: format!(
                        "{} and {} have the same alias {:?}: give each its own `repository`",
                        self.configs[j].display(),
                        self.configs[i].display(),
                        one.alias()
                    ),
                });
            }
        }
        Ok(match self.scheduler {
            Scheduler::Auto => watched,
            Scheduler::Expected => watched.into_iter().map(|w| w.with_scheduler(true)).collect(),
            Scheduler::None => watched.into_iter().map(|w| w.with_scheduler(false)).collect(),
        })
    }

    fn of_folder(&self, dir: &Path) -> Result<Watched> {
        let path = absolute("--backup-dir", dir)?;
        let alias = match &self.repository {
            Some(alias) => alias.clone(),
            None => name_of(&path)?,
        };
        check_alias("--repository", &alias)?;
        let repository = Repository { alias, path };
        Ok(match &self.state_dir {
            Some(dir) => repository.with_state(absolute("--state-dir", dir)?),
            None => repository.into(),
        })
    }
}

fn of_config(file: &Path) -> Result<Watched> {
    let watched = Watched::of_config(absolute("--config", file)?)?;
    check_alias("--config", watched.alias())?;
    Ok(watched)
}

fn absolute(option: &'static str, path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::Usage {
        option,
        message: e.to_string(),
    })
}

fn name_of(path: &Path) -> Result<String> {
    let name = path.components().next_back().and_then(|last| match last {
        std::path::Component::Normal(name) => name.to_str(),
        _ => None,
    });
    name.map(str::to_owned).ok_or_else(|| Error::Usage {
        option: "--repository",
        message: "the folder's name can't serve as the alias; give one".to_owned(),
    })
}
