//! One repository, looked at with a time limit.
//!
//! A read on a dead network mount hangs in the kernel and can't be stopped, so it runs on a thread of its own and
//! the scrape goes on without it. At most one such thread is outstanding: scrapes that come meanwhile wait for
//! the same look, each for its own limit.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::snapshot::{Known, Reader, Snapshot};
use crate::watched::Watched;

/// What a look will have found, once it has.
type Answer = watch::Receiver<Option<Arc<Snapshot>>>;

/// Looks at one repository.
#[derive(Debug)]
pub struct Probe {
    alias: String,
    /// Locked by the look that is going on, for as long as that takes: never to be waited for.
    reader: Arc<Mutex<Reader>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The newest look.
    answer: Option<Answer>,
    known: Known,
    /// What was logged last, so that a lasting problem is logged once.
    logged: Option<String>,
}

impl Probe {
    /// A probe of a repository; looks at nothing yet.
    #[must_use]
    pub fn new(watched: Watched) -> Self {
        Self {
            alias: watched.alias().to_owned(),
            reader: Arc::new(Mutex::new(Reader::new(watched))),
            state: Mutex::default(),
        }
    }

    /// The value of the label `repository`.
    #[must_use]
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// What the repository looks like; a snapshot that is not `up` when it doesn't answer within `limit`.
    pub async fn snapshot(&self, limit: Duration) -> Arc<Snapshot> {
        let began = Instant::now();
        let found = match self.answer() {
            Ok(mut answer) => wait(&mut answer, limit).await,
            Err(e) => Err(format!("can't start a thread: {e}")),
        };
        let mut state = lock(&self.state);
        let snapshot = found.unwrap_or_else(|problem| {
            let seconds = began.elapsed().as_secs_f64();
            Arc::new(Snapshot::down(state.known.clone(), seconds, problem))
        });
        state.known = Known {
            facts: snapshot.facts.clone(),
            schedule: snapshot.schedule.clone(),
            webhook_failures: snapshot.webhook_failures,
            remotes: snapshot.remotes.clone(),
        };
        self.log(&mut state, &snapshot);
        snapshot
    }

    /// The answer of the look that is going on, or else of a new one.
    fn answer(&self) -> io::Result<Answer> {
        let mut state = lock(&self.state);
        if let Some(answer) = state.answer.as_ref().filter(|a| is_outstanding(a)) {
            return Ok(answer.clone());
        }
        let (send, answer) = watch::channel(None);
        let reader = Arc::clone(&self.reader);
        thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || send.send_replace(Some(Arc::new(lock(&reader).read()))))?;
        state.answer = Some(answer.clone());
        Ok(answer)
    }

    /// Logs a problem when it begins, changes or ends.
    fn log(&self, state: &mut State, snapshot: &Snapshot) {
        if state.logged == snapshot.problem {
            return;
        }
        match &snapshot.problem {
            Some(problem) => tracing::warn!(repository = self.alias, "{problem}"),
            None => tracing::info!(repository = self.alias, "the repository is fine again"),
        }
        state.logged.clone_from(&snapshot.problem);
    }
}

/// Neither answered nor, by a panic, gone without an answer.
fn is_outstanding(answer: &Answer) -> bool {
    answer.borrow().is_none() && answer.has_changed().is_ok()
}

async fn wait(answer: &mut Answer, limit: Duration) -> Result<Arc<Snapshot>, String> {
    match tokio::time::timeout(limit, answer.wait_for(Option::is_some)).await {
        Ok(Ok(found)) => found.clone().ok_or_else(|| "no answer; this is a bug".to_owned()),
        Ok(Err(_)) => Err("the reading thread died; this is a bug".to_owned()),
        Err(_) => Err("the folder did not answer in time: is its mount dead?".to_owned()),
    }
}

/// A panic elsewhere leaves nothing half done in what these locks guard.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
