//! One long operation over several sandboxes: a coordinator that cuts it into tasks, and workers that do them.
//!
//! The caller's thread drives: it asks the coordinator for tasks, deals them to the crew, and hands the results back
//! in the order of dealing. What tasks and results say is the component's affair. A coordinator that breaks the
//! rules gets an error, never more memory or time than the limits give it.

use std::time::{Duration, Instant};

use wasmtime::component::ResourceAny;

use super::control::{self, Control, Watch};
use super::crew::Crew;
use super::job::STEP_BYTES;
use super::sandbox::Mounts;
use super::session::Session;
use super::wit::jobs::{Outcome, Progress, Request};
use super::wit::shards::{Piece, Turn};
use super::{Engine, failure};
use crate::error::{Code, Error, Result};

/// How often the coordinator is asked how far it is.
const LOOK: Duration = Duration::from_millis(50);

impl Engine {
    /// Runs `request` over at most `workers` instances beside that of the coordinator, which reaches `coordinator`.
    /// `worker` gives what one worker reaches; see `wit/shards.wit` for what each needs. Workers are started when
    /// there is something to do for them. With one worker, everything happens in one instance, the coordinator's.
    ///
    /// # Errors
    /// What the component reports; `Cancelled` after `control.cancel`; `Stuck` when neither files nor bytes advanced,
    /// or one task was not done, within the limit. Whatever a worker fails with ends the operation.
    pub fn spread(
        &self,
        request: Request,
        coordinator: Mounts,
        worker: &dyn Fn() -> Result<Mounts>,
        workers: usize,
        control: &mut Control,
    ) -> Result<Outcome> {
        let limits = coordinator.unpack_limits();
        let mut session = self.open(coordinator)?;
        session.limit_unpacking(limits)?;
        if workers <= 1 {
            return session.run(request, control);
        }
        let limits = session.limits();
        let crew = Crew::new(self, request.clone(), worker, workers, limits);
        let coordinator = session.call("start", move |guest| {
            let shards = guest.world.cofre_backup_shards();
            Ok(Ok(shards
                .coordinator()
                .call_constructor(&mut guest.store, &request)?))
        })?;
        let spread = Spread {
            crew,
            session,
            coordinator,
            looked: Instant::now(),
            watch: Watch::new(),
        };
        spread.drive(control)
    }
}

/// A running operation. The crew is dropped, and with it stopped, before the coordinator.
struct Spread<'a> {
    crew: Crew<'a>,
    session: Session,
    coordinator: ResourceAny,
    looked: Instant,
    watch: Watch,
}

impl Spread<'_> {
    fn drive(mut self, control: &mut Control) -> Result<Outcome> {
        // Whether nothing can be asked before a result has been taken.
        let mut waiting = false;
        loop {
            if control.cancelled() {
                return Err(self.cancel(control));
            }
            let piece = self.crew.oldest()?;
            waiting &= piece.is_none();
            let ask = !waiting && self.crew.has_room();
            if piece.is_none() && !ask {
                self.crew.wait(LOOK);
                continue;
            }
            match self.turn(piece, ask, control)? {
                Some(Turn::Task(task)) => self.crew.deal(task)?,
                Some(Turn::Waiting) if self.crew.is_idle() => {
                    return Err(broken("it waits for a result, but no task is out"));
                }
                Some(Turn::Waiting) => waiting = true,
                Some(Turn::Ended(_)) if !self.crew.is_idle() => {
                    return Err(broken("it ended before the results of all tasks were taken"));
                }
                Some(Turn::Ended(outcome)) => return Ok(outcome),
                Some(Turn::Working) | None => {}
            }
        }
    }

    /// Hands one result over, asks for the next turn, and looks how far it is, where it is time to.
    fn turn(&mut self, piece: Option<Piece>, ask: bool, control: &mut Control) -> Result<Option<Turn>> {
        let now = (control.now)();
        let coordinator = self.coordinator;
        let due = self.looked.elapsed() >= LOOK;
        let (turn, progress) = self.session.call("step", move |guest| {
            let shards = guest.world.cofre_backup_shards();
            let (calls, store) = (shards.coordinator(), &mut guest.store);
            if let Some(piece) = piece
                && let Err(error) = calls.call_take(&mut *store, coordinator, &piece, &now)?
            {
                return Ok(Err(error));
            }
            let turn = match ask.then(|| calls.call_next(&mut *store, coordinator, STEP_BYTES, &now)) {
                None => None,
                Some(answer) => match answer? {
                    Ok(turn) => Some(turn),
                    Err(error) => return Ok(Err(error)),
                },
            };
            let look = due || matches!(turn, Some(Turn::Ended(_)));
            let progress = look
                .then(|| calls.call_progress(store, coordinator))
                .transpose()?;
            Ok(Ok((turn, progress)))
        })?;
        if let Some(progress) = progress {
            self.look(&progress, matches!(turn, Some(Turn::Ended(_))), control)?;
        }
        Ok(turn)
    }

    fn look(&mut self, progress: &Progress, ended: bool, control: &mut Control) -> Result<()> {
        self.looked = Instant::now();
        control.report(progress);
        let limits = self.session.limits();
        if self.watch.is_stuck(progress, limits.stall) && !ended {
            return Err(self.session.end(failure::stuck("step", limits)));
        }
        Ok(())
    }

    /// Ends the workers, so that none of them is at work while the coordinator cleans up.
    fn cancel(mut self, control: &mut Control) -> Error {
        self.crew.stop();
        let (coordinator, now) = (self.coordinator, (control.now)());
        let cleaned = self.session.call("cancel", move |guest| {
            let shards = guest.world.cofre_backup_shards();
            shards
                .coordinator()
                .call_cancel(&mut guest.store, coordinator, &now)
        });
        cleaned.err().unwrap_or_else(control::cancelled)
    }
}

/// A coordinator that does not keep to the contract.
fn broken(why: &str) -> Error {
    Error::new(
        Code::Internal,
        format!("the component coordinates its workers badly: {why}"),
    )
    .remedy("this is a bug; please report it with this message")
}
