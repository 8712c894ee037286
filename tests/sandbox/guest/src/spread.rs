//! An operation over several instances whose coordinator or workers break the rules.

use std::cell::RefCell;
use std::hint;

use super::exports::cofre::backup::engine::RestoreReport;
use super::exports::cofre::backup::jobs::{Outcome, Progress, Request};
use super::exports::cofre::backup::shards::{Guest, GuestCoordinator, GuestWorker, Piece, Turn};
use super::{Error, Hostile, attempt, backup, detail, progress};

/// More than any task or result may have.
const HUGE: usize = 32 << 20;

/// A coordinator that breaks a rule, by name, or one whose tasks are commands for its workers: without end, and
/// without saying that anything got done. `tell` makes it fail with the answer to the first one.
pub struct EvilCoordinator {
    command: String,
    counts: RefCell<Counts>,
}

#[derive(Default)]
struct Counts {
    dealt: u64,
    taken: u64,
    most_out: u64,
}

/// A worker that takes its task for a command.
pub struct EvilWorker;

impl Guest for Hostile {
    type Coordinator = EvilCoordinator;
    type Worker = EvilWorker;
}

impl EvilCoordinator {
    /// Deals so many numbers, and ends when all of them came back in order.
    fn count(&self, until: u64) -> Turn {
        let mut counts = self.counts.borrow_mut();
        if counts.dealt < until {
            counts.dealt += 1;
            counts.most_out = counts.most_out.max(counts.dealt - counts.taken);
            return Turn::Task(format!("number {}", counts.dealt).into_bytes());
        }
        if counts.taken < until {
            return Turn::Waiting;
        }
        ended(counts.most_out)
    }
}

/// The end, with something that a test can look at.
fn ended(files: u64) -> Turn {
    Turn::Ended(Outcome::Restored(RestoreReport {
        backup: backup("done".to_owned()),
        files,
        bytes: 0,
        links_left_out: Vec::new(),
        manifest: true,
    }))
}

impl GuestCoordinator for EvilCoordinator {
    fn new(request: Request) -> Self {
        let command = match request {
            Request::Restore(request) => request.only.concat(),
            Request::Create(_) | Request::Verify(_) => "tell reach".to_owned(),
        };
        Self {
            command,
            counts: RefCell::default(),
        }
    }

    fn next(&self, _: u64, _: String) -> Result<Turn, Error> {
        let (first, rest) = self.command.split_once(' ').unwrap_or((&self.command, ""));
        Ok(match first {
            "wait" => Turn::Waiting,
            "dawdle" => Turn::Working,
            "end" => ended(0),
            "end-early" if self.counts.borrow().dealt > 0 => ended(0),
            "end-early" => {
                self.counts.borrow_mut().dealt = 1;
                Turn::Task(b"loop".to_vec())
            }
            "huge-task" => Turn::Task(vec![b' '; HUGE]),
            "count" => self.count(rest.parse().unwrap_or(0)),
            "tell" => Turn::Task(rest.as_bytes().to_vec()),
            _ => Turn::Task(self.command.as_bytes().to_vec()),
        })
    }

    fn take(&self, piece: Piece, _: String) -> Result<(), Error> {
        let answer = String::from_utf8_lossy(&piece.head).into_owned();
        let mut counts = self.counts.borrow_mut();
        counts.taken += 1;
        let (first, _) = self.command.split_once(' ').unwrap_or_default();
        match first {
            "tell" => Err(Error::Refused(detail(answer))),
            "count" if answer != counts.taken.to_string() => Err(Error::Refused(detail(format!(
                "{answer} came when it was {}'s turn",
                counts.taken
            )))),
            _ => Ok(()),
        }
    }

    fn progress(&self) -> Progress {
        let counts = self.counts.borrow();
        progress(if self.command.starts_with("count") {
            counts.taken
        } else {
            0
        })
    }

    fn cancel(&self, _: String) -> Result<(), Error> {
        Ok(())
    }
}

impl GuestWorker for EvilWorker {
    fn new(_: Request) -> Self {
        Self
    }

    fn work(&self, task: Vec<u8>) -> Result<Piece, Error> {
        let command = String::from_utf8_lossy(&task).into_owned();
        let (mut head, mut data) = (Vec::new(), Vec::new());
        match command.split_once(' ') {
            // The earlier ones take longer, so that the later ones overtake them.
            Some(("number", number)) => {
                let number: u64 = number.parse().unwrap_or(0);
                for i in 0..(7 - number % 7) * 2_000_000 {
                    hint::black_box(i);
                }
                head = number.to_string().into_bytes();
            }
            _ if command == "huge" => data = vec![0; HUGE],
            _ => {
                let got = attempt(&command).map_err(|why| Error::Refused(detail(why)))?;
                head = got.into_bytes();
            }
        }
        Ok(Piece { head, data })
    }
}
