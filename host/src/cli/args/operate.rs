//! The definition of the commands around the service: `token`, `key`, `service`, `config`, `webhook`, and what packagers want.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::exits;

/// `token`.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// The commands of `token`.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Print a new token once, and the lines for the configuration
    #[command(after_help = exits(&[0, 2, 10]))]
    New(NewToken),
}

/// `token new`.
#[derive(Debug, clap::Args)]
pub struct NewToken {
    /// Who will use it, for the audit log
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it may do: everything, or read the metrics only
    #[arg(long, value_enum)]
    pub role: TokenRole,
}

/// A role, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TokenRole {
    /// Everything
    Admin,
    /// The metrics
    Viewer,
}

impl TokenRole {
    /// As the configuration has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
        }
    }
}

/// `key`.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// The commands of `key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Write a new identity, which opens copies, and a new signing key, and print the lines for the configuration
    #[command(after_help = exits(&[0, 2, 7, 8, 10]))]
    New(NewKey),
}

/// `key new`.
#[derive(Debug, clap::Args)]
pub struct NewKey {
    /// The folder for the two files, made where there is none; files that exist are never replaced
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// `service`.
#[derive(Debug, clap::Args)]
pub struct ServiceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ServiceCommand,
}

/// The commands of `service`.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Print a hardened systemd unit for this configuration
    #[command(after_help = exits(&[0, 2, 10]))]
    Print(PrintService),
}

/// `service print`.
#[derive(Debug, clap::Args)]
pub struct PrintService {
    /// The user that the service runs as [default: the one who asks]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The program [default: this one]
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
}

/// `config`.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The commands of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Report everything that is wrong, each with its key and what to write instead
    #[command(after_help = exits(&[0, 2]))]
    Check,
}

/// `webhook`.
#[derive(Debug, clap::Args)]
pub struct WebhookArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub command: WebhookCommand,
}

/// The commands of `webhook`.
#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// Show each webhook, what waits for it and what became of earlier deliveries
    #[command(after_help = exits(&[0, 2, 8, 10]))]
    List,
    /// Send the event `test`, signed like any other, once
    #[command(after_help = exits(&[0, 2, 10]))]
    Test(WebhookTest),
}

/// `webhook test`.
#[derive(Debug, clap::Args)]
pub struct WebhookTest {
    /// Name of the webhook; its host unless the configuration says otherwise
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `component`.
#[derive(Debug, clap::Args)]
pub struct Component {
    /// Write the component to this file
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// The command [default: cofre itself]
    #[arg(value_name = "COMMAND", conflicts_with = "output")]
    pub command: Option<String>,
    /// Write every page into this folder
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
}
