//! The definition of `cofre remote`.

use clap::Subcommand;

use super::exits;

/// `remote`.
#[derive(Debug, clap::Args)]
pub struct RemoteArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RemoteCommand,
}

/// The commands of `remote`.
#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// List the remotes, or the copies at one
    #[command(after_help = exits(&[0, 2, 4, 5, 8, 9, 10]))]
    List(RemoteList),
    /// Copy what is not copied yet, or these backups
    #[command(after_help = exits(&[0, 2, 4, 5, 6, 7, 8, 9, 10]))]
    Push(RemoteCopies),
    /// Fetch backups into the backups folder
    #[command(after_help = exits(&[0, 2, 4, 5, 6, 7, 8, 9, 10]))]
    Pull(RemotePull),
    /// Read copies again, and compare them with what was copied
    #[command(after_help = exits(&[0, 2, 4, 5, 8, 9, 10]))]
    Verify(RemoteVerify),
    /// Remove the copies that the remote's own retention does not keep
    #[command(after_help = exits(&[0, 2, 4, 6, 8, 9, 10]))]
    Prune(RemotePrune),
}

impl RemoteCommand {
    /// See [`super::Command::change`].
    #[must_use]
    pub const fn change(&self) -> Option<&'static str> {
        match self {
            Self::List(_) => None,
            Self::Push(_) => Some("remote push"),
            Self::Pull(_) => Some("remote pull"),
            Self::Verify(_) => Some("remote verify"),
            Self::Prune(args) if !args.dry_run => Some("remote prune"),
            Self::Prune(_) => None,
        }
    }
}

/// `remote list`.
#[derive(Debug, clap::Args)]
pub struct RemoteList {
    /// Name of the remote [default: all of them, from what is known here]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `remote push`.
#[derive(Debug, clap::Args)]
pub struct RemoteCopies {
    /// Name of the remote
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Numbers, names, or `latest` [default: everything that is not there yet]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
}

/// `remote pull`.
#[derive(Debug, clap::Args)]
pub struct RemotePull {
    /// Name of the remote
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Numbers, names, or `latest`
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// Every copy
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Also what nothing proves to be this repository's
    #[arg(long)]
    pub unsigned: bool,
}

/// `remote verify`.
#[derive(Debug, clap::Args)]
pub struct RemoteVerify {
    /// Name of the remote
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Numbers or names [default: every copy]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Compare signatures and sizes only, without fetching
    #[arg(long)]
    pub quick: bool,
}

/// `remote prune`.
#[derive(Debug, clap::Args)]
pub struct RemotePrune {
    /// Name of the remote
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Only say what would go, and why
    #[arg(long)]
    pub dry_run: bool,
    /// Also give up copies that are lost, and can be made again from nothing
    #[arg(long)]
    pub lost: bool,
}
