//! Programs before and after a run: argument vectors without a shell, with a deadline, their output in the log.
//!
//! A hook runs in the folder of the configuration, in a process group of its own, without standard input, and with
//! cofre's umask of 077: what it writes beside the backups is for its owner alone unless it says otherwise itself.

mod output;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use crate::api::convert::status_word;
use crate::context::Context;
use crate::engine::wit::types::{Backup, Status};
use crate::error::{Code, Error, Result};
use crate::process::{self, End, Limit};
use crate::sealed::Form;
use crate::text::{self, escape};
use output::Log;

/// Longest text of an error that goes into the environment, in characters: the kernel refuses long variables.
const ERROR_CHARS: usize = 4_096;

/// Variables through which systemd talks to the service itself, and no child of it.
const SERVICE_VARIABLES: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "CREDENTIALS_DIRECTORY",
];

/// The run that a hook is about.
#[derive(Debug, Clone)]
pub struct HookRun<'a> {
    /// Id of its row.
    pub id: u64,
    /// Name of the archive.
    pub name: &'a str,
    /// Type in the archive's name.
    pub backup_type: &'a str,
    /// The schedule's name, or `manual`.
    pub plan: &'a str,
}

/// Runs `hooks.before`, if there is one.
///
/// # Errors
/// `HookFailed` when it can't be started, fails or takes too long; `Cancelled`.
pub fn before(context: &Context, run: &HookRun<'_>, cancel: &AtomicBool) -> Result<()> {
    let argv = &context.config.hooks.before;
    hook("before", argv, context, run, None, Some(cancel))
}

/// Runs `hooks.after`, if there is one, with the result in its environment. Its failure is logged and changes
/// nothing: the run has ended. It runs after a cancelled run too, and only its own timeout ends it.
pub fn after(context: &Context, run: &HookRun<'_>, ended: Option<&Backup>) {
    let argv = &context.config.hooks.after;
    if let Err(error) = hook("after", argv, context, run, ended, None) {
        tracing::error!(hook = "after", id = run.id, "{error}");
    }
}

/// Where a hook's program is looked for: a path is relative to the configuration's folder, a bare name is left to
/// `PATH`.
#[must_use]
pub fn program(dir: &Path, name: &str) -> PathBuf {
    if name.contains('/') {
        dir.join(name)
    } else {
        PathBuf::from(name)
    }
}

fn hook(
    event: &'static str,
    argv: &[String],
    context: &Context,
    run: &HookRun<'_>,
    ended: Option<&Backup>,
    cancel: Option<&AtomicBool>,
) -> Result<()> {
    let Some((name, arguments)) = argv.split_first() else {
        return Ok(());
    };
    let config = &context.config;
    let mut command = Command::new(program(&config.dir, name));
    command.args(arguments).current_dir(&config.dir);
    for key in hidden(std::env::vars_os().map(|(key, _)| key)) {
        command.env_remove(key);
    }
    command.envs(environment(event, context, run, ended));
    // Only the program is named: its arguments may hold a password.
    let who = format!("the program {} (hooks.{event})", escape(name));
    let mut log = Log::new(event);
    let began = Instant::now();
    let end =
        process::run(&mut command, Limit::Total(config.hooks.timeout), cancel, &mut log).map_err(|e| {
            Error::new(Code::HookFailed, format!("{who} can't be started: {e}"))
                .remedy("give its whole path, and check that this user may run it")
        })?;
    let last = log.finish();
    let cause = match end {
        End::Succeeded => {
            let took = text::duration(began.elapsed().as_secs_f64());
            tracing::info!(hook = event, id = run.id, "{who} ended well after {took}");
            return Ok(());
        }
        End::Cancelled => {
            return Err(Error::new(
                Code::Cancelled,
                format!("stopped on request, and {who} with it"),
            ));
        }
        End::TimedOut => {
            let limit = text::duration(config.hooks.timeout.as_secs_f64());
            format!("took longer than {limit} (hooks.timeout) and was ended")
        }
        End::Failed(status) => format!("failed ({status})"),
        // The log takes whatever comes.
        End::Stopped => "was ended".to_owned(),
    };
    let last = last.map(|line| format!(": {line}")).unwrap_or_default();
    Err(Error::new(Code::HookFailed, format!("{who} {cause}{last}")))
}

/// Which variables a hook does not get: systemd's for the service, and those of cofre's own name, so that none of
/// an outer run passes for one of this.
fn hidden(keys: impl Iterator<Item = OsString>) -> impl Iterator<Item = OsString> {
    keys.filter(|key| {
        key.to_str()
            .is_some_and(|key| SERVICE_VARIABLES.contains(&key) || key.starts_with("COFRE_"))
    })
}

/// What a hook is told. Every variable is always there, empty where there is nothing to tell, so that a script
/// may treat an unset one as a mistake.
fn environment(
    event: &str,
    context: &Context,
    run: &HookRun<'_>,
    ended: Option<&Backup>,
) -> Vec<(&'static str, OsString)> {
    let config = &context.config;
    let status = match (event, ended) {
        ("before", _) => "in_progress",
        (_, Some(backup)) => status_word(backup.status),
        (_, None) => "unknown",
    };
    let archive = ended.filter(|backup| matches!(backup.status, Status::Completed | Status::Partial));
    let path = archive.map(|backup| {
        let form = if backup.encrypted {
            Form::Sealed
        } else {
            Form::Plain
        };
        config.backup_dir.join(form.file(&backup.name))
    });
    let size = archive.map(|backup| backup.size.to_string());
    let error = ended.and_then(|backup| backup.error.as_deref()).map(one_line);
    vec![
        ("COFRE_EVENT", event.into()),
        ("COFRE_ID", run.id.to_string().into()),
        ("COFRE_NAME", run.name.into()),
        ("COFRE_TYPE", run.backup_type.into()),
        ("COFRE_PLAN", run.plan.into()),
        ("COFRE_STATUS", status.into()),
        ("COFRE_ERROR", error.unwrap_or_default().into()),
        ("COFRE_SIZE", size.unwrap_or_default().into()),
        ("COFRE_ARCHIVE", path.unwrap_or_default().into()),
        ("COFRE_BACKUP_DIR", config.backup_dir.clone().into()),
        ("COFRE_REPOSITORY", config.repository.clone().into()),
        // So that the program may call cofre.
        ("COFRE_CONFIG", config.file.clone().unwrap_or_default().into()),
    ]
}

/// An error's text without line ends and NUL, which the environment can't hold.
fn one_line(error: &str) -> String {
    let clean: Cow<'_, str> = escape(error);
    clean.chars().take(ERROR_CHARS).collect()
}
