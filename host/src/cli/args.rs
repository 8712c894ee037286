//! The definition of the command line: the one source of help, completions and man pages.

mod operate;
mod remote;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

pub use operate::{
    Completions, Component, ConfigArgs, ConfigCommand, KeyArgs, KeyCommand, Man, NewKey, NewToken,
    PrintService, ServiceArgs, ServiceCommand, TokenArgs, TokenCommand, TokenRole, WebhookArgs,
    WebhookCommand, WebhookTest,
};
pub use remote::{
    RemoteArgs, RemoteCommand, RemoteCopies, RemoteList, RemotePrune, RemotePull, RemoteVerify,
};

use super::opening::Opening;
use super::spread::Spread;

/// Every exit code and what it means.
pub const EXIT_CODES: [(u8, &str); 10] = [
    (0, "done"),
    (2, "wrong arguments or configuration"),
    (3, "finished, but the backup is partial"),
    (4, "no such backup, or its archive is gone"),
    (5, "a verification or a drill failed, or an archive is damaged"),
    (
        6,
        "another run holds the backups, or another service the state folder",
    ),
    (7, "no space left"),
    (8, "permission denied, or refused by the sandbox"),
    (9, "cancelled, cut short by the service's end, or no progress"),
    (10, "anything else"),
];

/// The paragraph of a command's help for the codes that it can end with.
fn exits(codes: &[u8]) -> String {
    let lines = EXIT_CODES.iter().filter(|(code, _)| codes.contains(code));
    let lines: Vec<_> = lines
        .map(|(code, meaning)| format!("  {code:>2}  {meaning}"))
        .collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}

/// Backups of an application, made and restored inside a WebAssembly sandbox.
#[derive(Debug, Parser)]
#[command(
    name = "cofre",
    version,
    max_term_width = 100,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = exits(&[0, 2, 3, 4, 5, 6, 7, 8, 9, 10]))]
pub struct Args {
    /// Configuration file
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        value_name = "FILE",
        env = "COFRE_CONFIG",
        default_value = "cofre.toml"
    )]
    pub config: PathBuf,
    /// Print one JSON document on standard output
    #[arg(long, global = true, help_heading = "Options of every command")]
    pub json: bool,
    /// Print results and errors only
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        conflicts_with = "verbose"
    )]
    pub quiet: bool,
    /// Log more; up to three times
    #[arg(short, long, global = true, help_heading = "Options of every command", action = ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Look at a folder and write a cofre.toml that works
    #[command(after_help = exits(&[0, 2, 8, 10]))]
    Init(Init),
    /// Make a backup now, also without a configuration: --static DIR --files NAME=DIR --sqlite FILE --to DIR
    #[command(after_help = exits(&[0, 2, 3, 6, 7, 8, 9, 10]))]
    Create(Create),
    /// List the backups
    #[command(after_help = exits(&[0, 2, 8, 9, 10]))]
    List,
    /// Show one backup with its entries
    #[command(after_help = exits(&[0, 2, 4, 5, 8, 9, 10]))]
    Show(Show),
    /// Show the totals
    #[command(after_help = exits(&[0, 2, 8, 9, 10]))]
    Status,
    /// Show what changed from one backup to another
    #[command(after_help = exits(&[0, 2, 4, 5, 8, 9, 10]))]
    Diff(Diff),
    /// Check archives against their checksum and manifest
    #[command(after_help = exits(&[0, 2, 4, 5, 8, 9, 10]))]
    Verify(Verify),
    /// Prove that a backup can be restored: into a scratch folder and scratch databases, which are removed again
    #[command(after_help = exits(&[0, 2, 4, 5, 7, 8, 9, 10]))]
    Drill(Drill),
    /// Restore a backup into a new folder, complete or not at all
    #[command(after_help = exits(&[0, 2, 4, 5, 6, 7, 8, 9, 10]))]
    Restore(Restore),
    /// Keep a backup whatever retention says
    #[command(after_help = exits(&[0, 2, 4, 6, 7, 8, 9, 10]))]
    Pin(OneId),
    /// Take a pin away
    #[command(after_help = exits(&[0, 2, 4, 6, 7, 8, 9, 10]))]
    Unpin(OneId),
    /// Delete a backup; the last good one and pinned ones only with --force
    #[command(after_help = exits(&[0, 2, 4, 6, 7, 8, 9, 10]))]
    Delete(Delete),
    /// Delete the backups that retention does not keep
    #[command(after_help = exits(&[0, 2, 6, 7, 8, 9, 10]))]
    Prune(Prune),
    /// Recreate the catalog from the archives, or from the copies at a remote
    #[command(after_help = exits(&[0, 2, 5, 6, 7, 8, 9, 10]))]
    Rebuild(Rebuild),
    /// Copies off the machine: list, push, pull, verify, prune
    #[command(after_help = exits(&[0, 2, 4, 5, 6, 7, 8, 9, 10]))]
    Remote(RemoteArgs),
    /// Run the schedule, the REST API and the metrics, until a signal ends it
    #[command(after_help = exits(&[0, 2, 6, 7, 8, 9, 10]))]
    Serve,
    /// Make a credential of the REST API
    #[command(after_help = exits(&[0, 2, 10]))]
    Token(TokenArgs),
    /// Make the keys of copies off the machine
    #[command(after_help = exits(&[0, 2, 7, 8, 10]))]
    Key(KeyArgs),
    /// Run cofre as a service of the system
    #[command(after_help = exits(&[0, 2, 10]))]
    Service(ServiceArgs),
    /// Look for what is wrong and say how to mend it
    #[command(after_help = exits(&[0, 2, 5, 7, 8, 9, 10]))]
    Doctor,
    /// Check the configuration
    #[command(after_help = exits(&[0, 2]))]
    Config(ConfigArgs),
    /// List the webhooks, or send one a test
    #[command(after_help = exits(&[0, 2, 8, 10]))]
    Webhook(WebhookArgs),
    /// Show the embedded component, or write it to a file
    #[command(after_help = exits(&[0, 2, 7, 8, 10]))]
    Component(Component),
    /// Print a completion script for a shell
    #[command(after_help = exits(&[0, 2, 10]))]
    Completions(Completions),
    /// Print the manual page of cofre or of one command, or write all of them
    #[command(after_help = exits(&[0, 2, 7, 8, 10]))]
    Man(Man),
}

impl Command {
    /// What the audit log calls a command that changes something; none for one that only looks.
    #[must_use]
    pub const fn change(&self) -> Option<&'static str> {
        match self {
            Self::Create(args) if !args.dry_run => Some("create"),
            Self::Verify(_) => Some("verify"),
            Self::Drill(_) => Some("drill"),
            Self::Restore(_) => Some("restore"),
            Self::Pin(_) => Some("pin"),
            Self::Unpin(_) => Some("unpin"),
            Self::Delete(_) => Some("delete"),
            Self::Prune(args) if !args.dry_run => Some("prune"),
            Self::Rebuild(_) => Some("rebuild"),
            Self::Remote(args) => args.command.change(),
            _ => None,
        }
    }
}

/// `init`.
#[derive(Debug, clap::Args)]
pub struct Init {
    /// The application's folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

/// `create`.
#[derive(Debug, clap::Args)]
pub struct Create {
    /// Type in the archive's name: 1 to 32 of a-z, 0-9, _ and - [default: the plan's type, or manual]
    #[arg(long = "type", value_name = "TYPE")]
    pub backup_type: Option<String>,
    /// Name of the schedule that this run stands for [default: manual]
    #[arg(long, value_name = "PLAN")]
    pub plan: Option<String>,
    /// Read every byte again instead of reusing what is unchanged
    #[arg(long)]
    pub full: bool,
    /// List what would be in the backup, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Begin a new history, where the old one was removed from the backups folder on purpose
    #[arg(long)]
    pub new_history: bool,
    /// How the work is spread.
    #[command(flatten)]
    pub spread: Spread,
    /// The folder that becomes static/
    #[arg(
        long = "static",
        value_name = "DIR",
        requires = "to",
        help_heading = "Without a configuration"
    )]
    pub static_dir: Option<PathBuf>,
    /// A folder that becomes NAME/
    #[arg(long, value_name = "NAME=DIR", requires = "to", value_parser = named_folder)]
    #[arg(help_heading = "Without a configuration")]
    pub files: Vec<(String, PathBuf)>,
    /// An SQLite database
    #[arg(
        long,
        value_name = "FILE",
        requires = "to",
        help_heading = "Without a configuration"
    )]
    pub sqlite: Vec<PathBuf>,
    /// The backups folder
    #[arg(long, value_name = "DIR", help_heading = "Without a configuration")]
    pub to: Option<PathBuf>,
}

fn named_folder(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, dir)) if !name.is_empty() && !dir.is_empty() => Ok((name.to_owned(), dir.into())),
        _ => Err("write NAME=DIR, such as uploads=/srv/app/uploads".to_owned()),
    }
}

/// A command about one backup.
#[derive(Debug, clap::Args)]
pub struct OneId {
    /// Number, name, or `latest`
    #[arg(value_name = "ID")]
    pub id: String,
}

/// `show`.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// Number, name, or `latest`
    #[arg(value_name = "ID")]
    pub id: String,
    /// What opens it.
    #[command(flatten)]
    pub opening: Opening,
}

/// `diff`.
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// Number, name, or `latest`
    #[arg(value_name = "A")]
    pub a: String,
    /// Number, name, or `latest`
    #[arg(value_name = "B")]
    pub b: String,
    /// What opens it.
    #[command(flatten)]
    pub opening: Opening,
}

/// `verify`.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// Numbers or names [default: the newest]
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Every archive
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Compare checksum and structure only, without decompressing
    #[arg(long)]
    pub quick: bool,
    /// What opens it.
    #[command(flatten)]
    pub opening: Opening,
    /// How the work is spread.
    #[command(flatten)]
    pub spread: Spread,
}

/// `drill`.
#[derive(Debug, clap::Args)]
pub struct Drill {
    /// Number, name, or `latest` [default: the newest]
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// What opens it.
    #[command(flatten)]
    pub opening: Opening,
    /// How the work is spread.
    #[command(flatten)]
    pub spread: Spread,
}

/// `restore`.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// Number, name, or `latest`
    #[arg(value_name = "ID")]
    pub id: String,
    /// The new folder [default: restore_NAME in the backups folder]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Only what matches this glob, such as 'static/css/**'; can be given several times
    #[arg(long, value_name = "GLOB")]
    pub only: Vec<String>,
    /// Recreate symbolic links with an absolute target too
    #[arg(long)]
    pub absolute_links: bool,
    /// Fetch the backup from this remote first, into the backups folder
    #[arg(long, value_name = "REMOTE")]
    pub from: Option<String>,
    /// With --from: also what nothing proves to be this repository's
    #[arg(long, requires = "from")]
    pub unsigned: bool,
    /// What opens it.
    #[command(flatten)]
    pub opening: Opening,
    /// How the work is spread.
    #[command(flatten)]
    pub spread: Spread,
    /// Load this database instead, into the one that --into names
    #[arg(long, value_name = "NAME", requires = "target", conflicts_with_all = ["to", "only", "absolute_links"])]
    #[arg(help_heading = "One database")]
    pub database: Option<String>,
    /// An empty database: sqlite:PATH, postgres://user@host/name or mysql://user@host/name, without a password
    #[arg(
        long,
        value_name = "URL",
        group = "target",
        requires = "database",
        help_heading = "One database"
    )]
    pub into: Option<String>,
    /// A file that holds this URL, with a password
    #[arg(
        long,
        value_name = "FILE",
        group = "target",
        requires = "database",
        help_heading = "One database"
    )]
    pub into_file: Option<PathBuf>,
    /// Replace what is in it
    #[arg(long, requires = "database", help_heading = "One database")]
    pub force: bool,
    /// Load as a superuser, although the archive's SQL could then do anything on the server
    #[arg(long, requires = "database", help_heading = "One database")]
    pub trust_archive: bool,
}

/// `delete`.
#[derive(Debug, clap::Args)]
pub struct Delete {
    /// Number or name
    #[arg(value_name = "ID")]
    pub id: String,
    /// Even the last good one, and pinned ones
    #[arg(long)]
    pub force: bool,
}

/// `prune`.
#[derive(Debug, clap::Args)]
pub struct Prune {
    /// Only say what would go, and why
    #[arg(long)]
    pub dry_run: bool,
}

/// `rebuild`.
#[derive(Debug, clap::Args)]
pub struct Rebuild {
    /// Take the catalog over from the copies at this remote; what the catalog has stays
    #[arg(long, value_name = "REMOTE")]
    pub from: Option<String>,
    /// Also rows that nothing proves to be this repository's
    #[arg(long, requires = "from")]
    pub unsigned: bool,
    /// With --from: begin anew, where the history that the backups folder had is gone for good
    #[arg(long, requires = "from")]
    pub new_history: bool,
    /// What opens it.
    #[command(flatten)]
    pub opening: Opening,
}
