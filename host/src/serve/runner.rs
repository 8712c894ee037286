//! One backup at a time, on a thread of its own: whoever asks for a run, a schedule or a caller of the API, asks
//! here, can watch it, and can go away without stopping it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::api::types::Backup;
use crate::audit::{self, Grade, Who};
use crate::backup::{self, CreateOptions, CreateOutcome};
use crate::context::{self, Context};
use crate::engine::{Control, wit};
use crate::error::{Code, Error, Result};

/// Runs backups, one at a time. A clone is another handle of the same runner.
#[derive(Debug, Clone)]
pub struct Runner(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    context: Arc<Context>,
    current: Mutex<Option<Run>>,
    progress: watch::Sender<Option<Progress>>,
    closed: AtomicBool,
}

/// What is to be run, and for whom.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Type in the archive's name.
    pub backup_type: String,
    /// The schedule's name, or `manual`.
    pub plan: String,
    /// Read every byte again.
    pub full: bool,
    /// Who asked.
    pub who: Who,
}

/// A run that was started. A clone is another handle of the same run.
#[derive(Debug, Clone)]
pub struct Run {
    request: Arc<RunRequest>,
    state: watch::Receiver<RunState>,
    cancel: Arc<AtomicBool>,
}

/// How far a run is.
#[derive(Debug, Clone, Default)]
pub enum RunState {
    /// It has no row in the catalog yet.
    #[default]
    Starting,
    /// It has one.
    Begun(backup::Begun),
    /// It has ended.
    Ended(Arc<RunEnd>),
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunEnd {
    /// Its row, as it is after the end; none when it never got one.
    pub backup: Option<Backup>,
    /// What stopped it; none for a completed or partial run.
    pub error: Option<Error>,
    /// Ids of what retention removed after it.
    pub pruned: Vec<u64>,
}

/// How far the running backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Id of its row.
    pub id: u64,
    /// Name of its archive.
    pub name: String,
    /// Its plan.
    pub plan: String,
    /// Files done.
    pub files_done: u64,
    /// Files in all, as far as is known.
    pub files_total: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all, as far as is known.
    pub bytes_total: u64,
    /// What is being read.
    pub current: Option<String>,
}

impl Runner {
    /// A runner that is idle.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self(Arc::new(Inner {
            context,
            current: Mutex::default(),
            progress: watch::Sender::new(None),
            closed: AtomicBool::new(false),
        }))
    }

    /// Starts a run and returns at once.
    ///
    /// # Errors
    /// `Busy` while another run of this process goes on, `Cancelled` after [`Self::close`], `Io` when the system
    /// has no thread. That another process holds the backups only shows in the run's end.
    pub fn start(&self, request: RunRequest) -> Result<Run> {
        let mut current = self.current_slot();
        if self.0.closed.load(Ordering::SeqCst) {
            return Err(Error::new(
                Code::Cancelled,
                "cofre is ending, and starts no new run",
            ));
        }
        if let Some(run) = current.as_ref().filter(|run| run.ended().is_none()) {
            return Err(Error::new(
                Code::Busy,
                format!("another run is going on (plan {})", run.request.plan),
            )
            .remedy("wait until it ends"));
        }
        let (state, watch) = watch::channel(RunState::Starting);
        let run = Run {
            request: Arc::new(request),
            state: watch,
            cancel: Arc::default(),
        };
        std::thread::Builder::new()
            .name("cofre-run".to_owned())
            .spawn({
                let (inner, run) = (Arc::clone(&self.0), run.clone());
                move || inner.run(&run, &state)
            })
            .map_err(|e| Error::io("start a thread", &e))?;
        *current = Some(run.clone());
        Ok(run)
    }

    /// The run that goes on, if one does.
    #[must_use]
    pub fn current(&self) -> Option<Run> {
        self.current_slot().clone().filter(|run| run.ended().is_none())
    }

    /// Follows the progress of whatever runs; none while nothing does.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.0.progress.subscribe()
    }

    /// Starts nothing any more.
    pub fn close(&self) {
        let _current = self.current_slot();
        self.0.closed.store(true, Ordering::SeqCst);
    }

    fn current_slot(&self) -> MutexGuard<'_, Option<Run>> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    /// Who asked for what.
    #[must_use]
    pub fn request(&self) -> &RunRequest {
        &self.request
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Arc<RunEnd>> {
        match &*self.state.borrow() {
            RunState::Ended(end) => Some(Arc::clone(end)),
            RunState::Starting | RunState::Begun(_) => None,
        }
    }

    /// Whether it has a row in the catalog, or has ended without one.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        !matches!(&*self.state.borrow(), RunState::Starting)
    }

    /// Waits until the run has a row in the catalog or has ended without one.
    pub async fn begun(&self) -> RunState {
        self.until(|state| !matches!(state, RunState::Starting)).await
    }

    /// Waits for the end.
    pub async fn end(&self) -> Arc<RunEnd> {
        match self.until(|state| matches!(state, RunState::Ended(_))).await {
            RunState::Ended(end) => end,
            RunState::Starting | RunState::Begun(_) => Arc::new(RunEnd::died()),
        }
    }

    /// Asks it to stop at the next step; what was begun is removed.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::SeqCst);
    }

    async fn until(&self, reached: impl Fn(&RunState) -> bool) -> RunState {
        let mut state = self.state.clone();
        // The sender sends its last state before it goes, also when the run panics.
        match state.wait_for(|state| reached(state)).await {
            Ok(state) => state.clone(),
            Err(_) => RunState::Ended(Arc::new(RunEnd::died())),
        }
    }
}

impl RunEnd {
    fn died() -> Self {
        Self {
            backup: None,
            error: Some(
                Error::new(Code::Internal, "the run's thread panicked")
                    .remedy("this is a bug; please report it with what the log says"),
            ),
            pruned: Vec::new(),
        }
    }
}

impl Inner {
    fn run(&self, run: &Run, state: &watch::Sender<RunState>) {
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| self.create(run, state)));
        let mut end = outcome.unwrap_or_else(|_| RunEnd::died());
        let begun = match &*state.borrow() {
            RunState::Begun(begun) => Some(begun.id),
            RunState::Starting | RunState::Ended(_) => None,
        };
        if let Some(id) = begun.filter(|_| end.backup.is_none()) {
            end.backup = self.row(id);
        }
        self.progress.send_replace(None);
        record(run, &end, began);
        state.send_replace(RunState::Ended(Arc::new(end)));
    }

    fn create(&self, run: &Run, state: &watch::Sender<RunState>) -> RunEnd {
        let request = run.request();
        let options = CreateOptions {
            backup_type: request.backup_type.clone(),
            plan: request.plan.clone(),
            full: request.full,
            dry_run: false,
            new_history: false,
        };
        let mut control = self.control(run);
        let created = backup::create(&self.context, &options, &mut control, &mut |begun| {
            self.progress
                .send_replace(Some(Progress::of(begun, &request.plan)));
            state.send_replace(RunState::Begun(begun.clone()));
        });
        match created {
            Ok(CreateOutcome::Created { report, pruned, .. }) => RunEnd {
                backup: Some(report.backup.into()),
                error: None,
                pruned: pruned.iter().map(|backup| backup.id).collect(),
            },
            Ok(CreateOutcome::Planned { .. }) => RunEnd::died(),
            Err(error) => RunEnd {
                backup: None,
                error: Some(error),
                pruned: Vec::new(),
            },
        }
    }

    fn control(&self, run: &Run) -> Control {
        let progress = self.progress.clone();
        let config = self.context.config.clone();
        Control {
            cancel: Arc::clone(&run.cancel),
            on_progress: Box::new(move |step| {
                progress.send_if_modified(|shown| shown.as_mut().is_some_and(|shown| shown.update(step)));
            }),
            now: Box::new(move || context::now(&config)),
        }
    }

    /// The row of a run as it is now.
    fn row(&self, id: u64) -> Option<Backup> {
        match self
            .context
            .reader()
            .and_then(|mut session| session.find(id.to_string()))
        {
            Ok(row) => Some(row.into()),
            Err(error) => {
                tracing::error!("the row of run {id} can't be read: {error}");
                None
            }
        }
    }
}

impl Progress {
    fn of(begun: &backup::Begun, plan: &str) -> Self {
        Self {
            id: begun.id,
            name: begun.name.clone(),
            plan: plan.to_owned(),
            files_done: 0,
            files_total: 0,
            bytes_done: 0,
            bytes_total: 0,
            current: None,
        }
    }

    /// Takes a step over; false when nothing has changed.
    fn update(&mut self, step: &wit::jobs::Progress) -> bool {
        let before = self.clone();
        self.files_done = step.files_done;
        self.files_total = step.files_total;
        self.bytes_done = step.bytes_done;
        self.bytes_total = step.bytes_total;
        self.current.clone_from(&step.current);
        *self != before
    }
}

fn record(run: &Run, end: &RunEnd, began: Instant) {
    let request = run.request();
    let status = match (&end.backup, &end.error) {
        (Some(backup), _) => backup.status,
        (None, Some(error)) => error.code.name(),
        (None, None) => "unknown",
    };
    let error = end.error.as_ref().map(ToString::to_string);
    let partial = end.backup.as_ref().and_then(|backup| backup.error.clone());
    audit::record(&audit::Entry {
        operation: "run",
        who: &request.who,
        from: None,
        target: &end.backup.as_ref().map_or_else(
            || request.plan.clone(),
            |backup| format!("{} {}", backup.id, backup.name),
        ),
        status,
        took: began.elapsed(),
        grade: match &end.error {
            None if partial.is_none() => Grade::Normal,
            Some(error) if error.code == Code::Busy => Grade::Refused,
            None | Some(_) => Grade::Problem,
        },
        error: error.or(partial).as_deref(),
    });
}
