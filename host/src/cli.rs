//! The command line: what was typed becomes a call, the result is printed, the error becomes an exit code. One
//! file for each command in `cli/`; their definition, from which help, completions and man pages come, is in
//! `cli/args.rs`.

pub mod args;
mod checks;
mod complete;
mod component;
mod config;
mod create;
mod diff;
mod doctor;
mod drill;
mod init;
mod key;
mod list;
mod maintain;
mod opening;
mod remote;
mod restore;
mod serve;
mod service;
mod show;
mod spread;
mod status;
#[cfg(test)]
mod tests;
mod token;
mod verify;
mod webhook;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::Parser as _;

use args::{Args, Command};
use opening::Opening;
use spread::Spread;

use crate::audit::{self, Grade, Who};
use crate::config::Config;
use crate::context::{self, Context};
use crate::engine::Control;
use crate::error::{Code, Error, Result};
use crate::logging::Purpose;
use crate::output::{Bar, Output};
use crate::{logging, signals};

/// How a command ended when nothing failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Done.
    Done,
    /// Done, but a backup is partial.
    Partial,
    /// What was looked at is not good; the command has said what.
    Bad(Code),
}

impl Ended {
    /// The exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Partial => 3,
            Self::Bad(code) => code.exit(),
        }
    }
}

/// Parses the arguments of this process, runs the command, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let output = Output {
        json: args.json,
        quiet: args.quiet,
    };
    logging::start(args.quiet, args.verbose);
    // Whatever is written is for the owner; the engine writes with this mask too.
    crate::fsutil::set_umask();
    let result = signals::outlive_file_limit().and_then(|()| signals::cancel_flag());
    let result = result.and_then(|cancel| {
        let change = args.command.change();
        let app = App {
            file: args.config,
            output,
            cancel,
            purpose: match (&args.command, change) {
                (Command::Serve, _) => Purpose::Service,
                (_, Some(_)) => Purpose::Changing,
                (_, None) => Purpose::Reading,
            },
            object: RefCell::default(),
        };
        let began = Instant::now();
        let result = run(&app, args.command);
        if let Some(operation) = change {
            record(&app, operation, &result, began);
        }
        result
    });
    match result {
        Ok(ended) => ExitCode::from(ended.exit_code()),
        Err(error) => {
            output.error(&error);
            ExitCode::from(error.code.exit())
        }
    }
}

/// Help and version go to standard output, mistakes to standard error with code 2.
fn usage(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|arg| arg == "--json");
    if error.use_stderr() && json {
        let rendered = error.render().to_string();
        let message = rendered.strip_prefix("error: ").unwrap_or(&rendered);
        Output { json, quiet: false }.error(&Error::new(Code::Usage, message.trim_end()));
        return ExitCode::from(Code::Usage.exit());
    }
    // Nothing is left to be done when it can't be printed.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { Code::Usage.exit() } else { 0 })
}

fn run(app: &App, command: Command) -> Result<Ended> {
    match command {
        Command::Init(args) => init::run(app, &args),
        Command::Create(args) => create::run(app, args),
        Command::List => list::run(app),
        Command::Show(args) => show::run(app, &args),
        Command::Status => status::run(app),
        Command::Diff(args) => diff::run(app, &args),
        Command::Verify(args) => verify::run(app, &args),
        Command::Drill(args) => drill::run(app, &args),
        Command::Restore(args) => restore::run(app, args),
        Command::Pin(args) => maintain::pin(app, &args, true),
        Command::Unpin(args) => maintain::pin(app, &args, false),
        Command::Delete(args) => maintain::delete(app, &args),
        Command::Prune(args) => maintain::prune(app, &args),
        Command::Rebuild(args) => maintain::rebuild(app, &args),
        Command::Remote(args) => remote::run(app, &args),
        Command::Serve => serve::run(app),
        Command::Token(args) => token::run(app, args),
        Command::Key(args) => key::run(app, &args),
        Command::Service(args) => service::run(app, args),
        Command::Doctor => doctor::run(app),
        Command::Config(args) => config::run(app, &args),
        Command::Webhook(args) => webhook::run(app, &args),
        Command::Component(args) => component::run(app, &args),
        Command::Completions(args) => complete::completions(&args),
        Command::Man(args) => complete::man(&args),
    }
}

/// The audit line of a command that changes something.
fn record(app: &App, operation: &str, result: &Result<Ended>, began: Instant) {
    let (status, grade) = match result {
        Ok(Ended::Done) => ("done", Grade::Normal),
        Ok(Ended::Partial) => ("partial", Grade::Problem),
        Ok(Ended::Bad(code)) => (code.name(), Grade::Problem),
        Err(error) => match error.code {
            Code::Usage
            | Code::Config
            | Code::NotFound
            | Code::Busy
            | Code::AlreadyExists
            | Code::Refused => (error.code.name(), Grade::Refused),
            _ => (error.code.name(), Grade::Problem),
        },
    };
    let error = result.as_ref().err().map(ToString::to_string);
    audit::record(&audit::Entry {
        operation,
        who: &Who::current_user(),
        from: None,
        target: &app.object.borrow(),
        status,
        took: began.elapsed(),
        grade,
        error: error.as_deref(),
    });
}

/// What every command gets.
#[derive(Debug)]
pub(crate) struct App {
    /// `--config`.
    pub(crate) file: PathBuf,
    /// How results are printed.
    pub(crate) output: Output,
    /// Set by the first ctrl-C.
    pub(crate) cancel: Arc<AtomicBool>,
    /// What the log is told about this process.
    pub(crate) purpose: Purpose,
    /// What the command is about, for the audit log.
    object: RefCell<String>,
}

impl App {
    /// Loads the configuration, lets the log follow it, and says what should be looked at.
    pub(crate) fn config(&self) -> Result<Config> {
        let config = Config::load(&self.file)?;
        logging::configure(&config, self.purpose)?;
        // The service has them in its log, where its reader looks.
        if self.purpose != Purpose::Service {
            config
                .warnings
                .iter()
                .for_each(|warning| self.output.note(warning));
        }
        Ok(config)
    }

    /// Says what the command is about: for the audit log, also of a failure after this.
    pub(crate) fn about(&self, object: impl Into<String>) {
        *self.object.borrow_mut() = object.into();
    }

    /// The same for a backup.
    pub(crate) fn about_backup(&self, id: u64, name: &str) {
        self.about(format!("{id} {name}"));
    }

    /// Configuration and engine.
    pub(crate) fn context(&self) -> Result<Context> {
        Context::new(self.config()?)
    }

    /// The same for an operation that is spread.
    pub(crate) fn spread_context(&self, spread: Spread, opening: Opening) -> Result<Context> {
        Context::new(spread.over(opening.over(self.config()?)?))
    }

    /// The same for an operation that reads archives.
    pub(crate) fn reading_context(&self, opening: Opening) -> Result<Context> {
        Context::new(opening.over(self.config()?)?)
    }

    /// Cancellation by signal, the bar, and the configured zone's time, for a long operation.
    pub(crate) fn control(&self, config: &Config, bar: &Bar) -> Control {
        let (bar, config) = (bar.clone(), config.clone());
        Control {
            cancel: Arc::clone(&self.cancel),
            on_progress: Box::new(move |p| {
                bar.update(
                    (p.bytes_done, p.bytes_total),
                    (p.files_done, p.files_total),
                    p.current.as_deref(),
                );
            }),
            now: Box::new(move || context::now(&config)),
        }
    }
}
