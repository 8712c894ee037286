//! One backup run: lock, row in the catalog, dumps and single files into staging, observations, the sandboxed job,
//! retention. The only place where the host's parts meet; what goes into the archive is the component's decision.

mod inputs;

use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::io::Errno;

use crate::api::convert::retention_policy;
use crate::context::{Context, Exclusive};
use crate::engine::{Control, wit};
use crate::error::{Code, Error, Result};
use crate::hooks::{self, HookRun};
use crate::{fsutil, history, notify, remote, sealed, source};
use inputs::Inputs;
#[cfg(test)]
pub(crate) use inputs::to_wit;

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateOptions {
    /// Type in the archive's name.
    pub backup_type: String,
    /// The schedule's name, or `manual`.
    pub plan: String,
    /// Read every byte again.
    pub full: bool,
    /// Only say what would be in it.
    pub dry_run: bool,
    /// Begin a new history where the backups folder has lost the one that it had.
    pub new_history: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum CreateOutcome {
    /// A backup, complete or partial.
    Created {
        /// The component's report.
        report: Box<wit::engine::CreateReport>,
        /// What retention removed after it.
        pruned: Vec<wit::types::Backup>,
        /// The previous backup, where nothing could be reused since only an identity opens it.
        unreadable: Option<String>,
    },
    /// What would be in one.
    Planned {
        /// Its entries.
        entries: Vec<wit::types::Entry>,
        /// What would not be in it.
        skips: Vec<wit::types::Skip>,
    },
}

/// A run that has its row in the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Id of the row.
    pub id: u64,
    /// Name of the archive, without `.zip`.
    pub name: String,
}

/// Makes a backup. `on_begun` is told as soon as the run has a row in the catalog; from there on every end, a
/// failure too, is recorded in that row, and told to whom the configuration says. What fails before it has a row is
/// told as well.
///
/// # Errors
/// Whatever stopped the run, which is recorded as failed. `Busy` while another run holds the backups folder: that
/// one is not recorded, since only the holder of the lock may write.
pub fn create(
    context: &Context,
    options: &CreateOptions,
    control: &mut Control,
    on_begun: &mut dyn FnMut(&Begun),
) -> Result<CreateOutcome> {
    if options.dry_run {
        return plan(context, options, control);
    }
    let mut begun = false;
    let result = run(context, options, control, &mut |run| {
        begun = true;
        on_begun(run);
    });
    // Without a row the catalog can't tell anybody: a folder that is gone, or can't be written.
    if let Err(error) = &result
        && !begun
        && !matches!(error.code, Code::Busy | Code::Cancelled | Code::Usage)
    {
        notify::never_began(context, &options.plan, &options.backup_type, error);
    }
    result
}

fn run(
    context: &Context,
    options: &CreateOptions,
    control: &mut Control,
    on_begun: &mut dyn FnMut(&Begun),
) -> Result<CreateOutcome> {
    let exclusive = exclusive(context, options.new_history)?;
    // Before beginning, which closes the rows of runs that a crash interrupted: the very first call takes what has
    // ended for old news.
    notify::ended_runs(context, &exclusive);
    let run = run_request(context, options);
    let row = exclusive.writer()?.begin_run(run.clone())?;
    let begun = Begun {
        id: row.id,
        name: row.name,
    };
    tracing::info!(id = begun.id, name = %begun.name, plan = %options.plan, "backup begins");
    on_begun(&begun);
    exclusive.remember_history();
    // Beginning has closed the rows of runs that a crash interrupted.
    notify::ended_runs(context, &exclusive);
    notify::run_begun(context, &options.plan, begun.id);
    let hook = HookRun {
        id: begun.id,
        name: &begun.name,
        backup_type: &options.backup_type,
        plan: &options.plan,
    };
    let result = hooks::before(context, &hook, &control.cancel)
        .and_then(|()| pack(context, &exclusive, options, run, begun.id, control));
    let result = match result {
        Ok(report) => {
            let pruned = prune(context, &exclusive);
            // After retention, which makes room for it, and spares the work for what goes.
            let unreadable = sealed::seal_all(context, &exclusive, begun.id, &control.cancel);
            Ok((report, pruned, unreadable))
        }
        Err(error) => {
            record_failure(context, &exclusive, begun.id, &error);
            Err(error)
        }
    };
    notify::ended_runs(context, &exclusive);
    // Freed first, so that the program may call cofre itself.
    drop(exclusive);
    remote::ring();
    let ended = context
        .reader()
        .and_then(|mut session| session.find(begun.id.to_string()));
    hooks::after(context, &hook, ended.as_ref().ok());
    result.map(|(mut report, pruned, unreadable)| {
        report.backup.encrypted = ended.is_ok_and(|row| row.encrypted);
        CreateOutcome::Created {
            unreadable: unreadable.filter(|_| !options.full),
            report: Box::new(report),
            pruned,
        }
    })
}

fn plan(context: &Context, options: &CreateOptions, control: &Control) -> Result<CreateOutcome> {
    let run = run_request(context, options);
    let inputs = Inputs::gather(context, &run.started_at, &control.cancel)?;
    let mounts = inputs.mount(context.mounts())?;
    let request = request(context, options, run, None, inputs.describe());
    let (entries, skips) = context.engine.open(mounts)?.plan(request)?;
    Ok(CreateOutcome::Planned { entries, skips })
}

fn run_request(context: &Context, options: &CreateOptions) -> wit::engine::RunRequest {
    wit::engine::RunRequest {
        backup_type: options.backup_type.clone(),
        plan: options.plan.clone(),
        started_at: context.now(),
        zip_path_prefix: context.config.zip_path_prefix.clone(),
    }
}

/// The backups folder, made where this is the first run, and to write in.
///
/// # Errors
/// `Refused` where the folder had a history and is bare, unless a new one is wanted; `Busy`; what the system says.
pub(crate) fn exclusive(context: &Context, new_history: bool) -> Result<Exclusive<'_>> {
    if !new_history && context.is_fresh() {
        history::check(&context.config, None)?;
    }
    make_backups_folder(context)?;
    if new_history {
        context.exclusive_for_new_history()
    } else {
        context.exclusive()
    }
}

/// Makes the folder of the first run, for the owner alone. An existing one is left as it is.
pub(crate) fn make_backups_folder(context: &Context) -> Result<()> {
    let path = &context.config.backup_dir;
    let parent: OwnedFd = source::open_parent(path).map_err(|mut error| {
        error.message = format!("backup_dir: {}", error.message);
        error
    })?;
    let Some(name) = path.file_name() else {
        return Err(
            Error::new(Code::Config, "backup_dir: `/` can't be the backups folder")
                .remedy("name a folder of its own"),
        );
    };
    match rustix::fs::mkdirat(&parent, name, Mode::RWXU) {
        // A backup that lasts is of no use in a folder that does not. A path handle can't be synced.
        Ok(()) => fsutil::openat(&parent, ".", fsutil::dir_flags(), Mode::empty())
            .and_then(fsutil::fsync)
            .map_err(|e| {
                fsutil::error(
                    format_args!("make the backups folder {} durable", fsutil::show(path)),
                    e,
                )
            }),
        Err(Errno::EXIST) => Ok(()),
        // A read-only file system refuses even where the folder exists.
        Err(Errno::ROFS) if !context.is_fresh() => Ok(()),
        Err(errno) => Err(fsutil::error(
            format_args!("make the backups folder {}", fsutil::show(path)),
            errno,
        )),
    }
}

fn pack(
    context: &Context,
    exclusive: &Exclusive<'_>,
    options: &CreateOptions,
    run: wit::engine::RunRequest,
    id: u64,
    control: &mut Control,
) -> Result<wit::engine::CreateReport> {
    let inputs = Inputs::gather(context, &run.started_at, &control.cancel)?;
    let request = request(context, options, run, Some(id), inputs.describe());
    let outcome = context.engine.spread(
        wit::jobs::Request::Create(request),
        inputs.mount(exclusive.mounts()?)?,
        // Only the coordinator reaches the backups.
        &|| inputs.mount(context.mounts()),
        context.workers(),
        control,
    )?;
    match outcome {
        wit::jobs::Outcome::Created(report) => Ok(report),
        wit::jobs::Outcome::Verified(_) | wit::jobs::Outcome::Restored(_) => Err(Error::new(
            Code::Internal,
            "create: the component gave the outcome of another operation",
        )),
    }
}

fn request(
    context: &Context,
    options: &CreateOptions,
    run: wit::engine::RunRequest,
    begun: Option<u64>,
    (sources, databases): (Vec<wit::types::Source>, Vec<wit::types::DatabaseInfo>),
) -> wit::engine::CreateRequest {
    use crate::config::Compression;
    let archive = &context.config.archive;
    wit::engine::CreateRequest {
        run,
        begun,
        sources,
        databases,
        compression: match archive.compression {
            Compression::Deflate => wit::types::Compression::Deflate,
            Compression::Zstd => wit::types::Compression::Zstd,
            Compression::Store => wit::types::Compression::Store,
        },
        level: archive.level,
        full: options.full,
    }
}

/// Closes the row of a run that ended with `error`. The job itself does so for its own failures (then this changes
/// nothing); a trapped or stuck sandbox and a failed dump leave it to the host.
fn record_failure(context: &Context, exclusive: &Exclusive<'_>, id: u64, error: &Error) {
    let cancelled = error.code == Code::Cancelled;
    let recorded = exclusive
        .writer()
        .and_then(|mut session| session.fail_run(id, error.message.clone(), cancelled, context.now()));
    if let Err(second) = recorded {
        tracing::error!("the failed run {id} could not be recorded (the next run does it): {second}");
    }
}

/// Applies retention. A failure here does not fail the backup, which is good and on disk.
fn prune(context: &Context, exclusive: &Exclusive<'_>) -> Vec<wit::types::Backup> {
    let policy = retention_policy(&context.config);
    let verdicts = exclusive
        .writer()
        .and_then(|mut session| session.prune(policy, context.now(), false));
    match verdicts {
        Ok(verdicts) => verdicts
            .into_iter()
            .filter(|v| !v.keep)
            .map(|v| {
                tracing::info!(id = v.backup.id, name = %v.backup.name, why = v.reasons.join(", "), "pruned");
                v.backup
            })
            .collect(),
        Err(error) => {
            tracing::error!("after the backup, retention could not remove everything: {error}");
            Vec::new()
        }
    }
}
