//! One look at a repository: reads the folder, the catalog, the space, the lock, the schedule and what became of
//! deliveries and copies, each on its own, so that one that fails takes nothing from the others.
//!
//! Called on the probe's thread, where it may hang for as long as the file system does.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use cofre_component::ErrorKind;
use cofre_component::catalog::Catalog;
use cofre_component::fs::{BACKUPS, Roots};

use crate::config::Configured;
use crate::copies::{Copies, Remotes};
use crate::deliveries;
use crate::facts::CatalogFacts;
use crate::folder::{self, Fingerprint, HISTORY};
use crate::lock::LockWatch;
use crate::schedule::{ScheduleFacts, State};
use crate::small_file::{self, Stamp};
use crate::watched::Watched;

/// Bytes on a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Free for ordinary users.
    pub free: u64,
    /// In total.
    pub capacity: u64,
}

/// How reading one part went.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// `folder`, `catalog`, `space`, `lock`, `schedule`, `deliveries`, `copies` or `config`.
    pub part: &'static str,
    /// Whether it could be read.
    pub success: bool,
    /// How long it took.
    pub seconds: f64,
}

impl Reading {
    fn failed(part: &'static str, seconds: f64) -> Self {
        Self {
            part,
            success: false,
            seconds,
        }
    }
}

/// The parts of a repository that are in its folder, in order.
pub(crate) const PARTS: [&str; 4] = ["folder", "catalog", "space", "lock"];
/// The part that the scheduler wrote.
const SCHEDULE: &str = "schedule";
/// The part that whoever delivers to webhooks wrote.
const DELIVERIES: &str = "deliveries";
/// The part that whoever copies to remotes wrote.
const COPIES: &str = "copies";
/// The part that is `cofre.toml`.
const CONFIG: &str = "config";

/// What one look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Whether folder and catalog could be read.
    pub up: bool,
    /// Whether there is a valid catalog.
    pub catalog_valid: bool,
    /// The plans: of this look, or of the last one that found a valid catalog. `None` where none ever did.
    pub facts: Option<Arc<CatalogFacts>>,
    /// The schedule: of this look, or what was known before. `None` where nothing says when backups are due.
    pub schedule: Option<Arc<ScheduleFacts>>,
    /// Failed tries to deliver to a webhook: of this look, or what was known before. `None` without a state folder.
    pub webhook_failures: Option<u64>,
    /// The places for copies: of this look, or what was known before. `None` without a state folder.
    pub remotes: Option<Arc<Remotes>>,
    /// Bytes of all archives; `None` when they can't be listed.
    pub size: Option<u64>,
    /// Archives without a row; `None` without a valid catalog.
    pub unknown: Option<u64>,
    /// Space on the file system.
    pub space: Option<Space>,
    /// Whether the lock is held.
    pub lock_held: Option<bool>,
    /// How each part went.
    pub readings: Vec<Reading>,
    /// What is wrong, for the log.
    pub problem: Option<String>,
}

impl Snapshot {
    /// Of a repository that gave no answer for `seconds`. `known` is what was known before.
    pub(crate) fn down(known: Known, seconds: f64, problem: String) -> Self {
        Self {
            up: false,
            catalog_valid: false,
            facts: known.facts,
            schedule: known.schedule,
            webhook_failures: known.webhook_failures,
            remotes: known.remotes,
            size: None,
            unknown: None,
            space: None,
            lock_held: None,
            readings: PARTS.map(|part| Reading::failed(part, seconds)).to_vec(),
            problem: Some(problem),
        }
    }

    /// Whether a part was read and all went well.
    fn has_read(&self, part: &str) -> bool {
        self.readings.iter().any(|r| r.part == part && r.success)
    }

    /// Whether configuration and state, where there should be any, could be read.
    pub(crate) fn state_read(&self) -> bool {
        let of_state = |r: &&Reading| [SCHEDULE, DELIVERIES, COPIES, CONFIG].contains(&r.part);
        self.readings.iter().filter(of_state).all(|r| r.success)
    }
}

/// What stays when a later look finds nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The facts of the last valid catalog.
    pub(crate) facts: Option<Arc<CatalogFacts>>,
    /// The schedule as it was last read.
    pub(crate) schedule: Option<Arc<ScheduleFacts>>,
    /// The failed deliveries as they were last read.
    pub(crate) webhook_failures: Option<u64>,
    /// The remotes as they were last read.
    pub(crate) remotes: Option<Arc<Remotes>>,
}

/// What an unchanged folder need not be asked again.
#[derive(Debug, Clone)]
struct Contents {
    size: u64,
    unknown: u64,
    facts: Arc<CatalogFacts>,
}

/// Why there is no valid catalog.
struct Trouble {
    /// Whether it could not even be read, which is not the catalog's fault.
    unreadable: bool,
    message: String,
}

/// Looks at a repository, and remembers what it made of an unchanged catalog.
#[derive(Debug)]
pub(crate) struct Reader {
    watched: Watched,
    remembered: Option<(Fingerprint, Contents)>,
    known: Known,
    state: Option<State>,
    configured: Option<(Option<Stamp>, Configured)>,
    copies: Option<Copies>,
    lock: LockWatch,
}

impl Reader {
    pub(crate) fn new(watched: Watched) -> Self {
        Self {
            watched,
            remembered: None,
            known: Known::default(),
            state: None,
            configured: None,
            copies: None,
            lock: LockWatch::default(),
        }
    }

    /// One look. May take as long as the file system does.
    pub(crate) fn read(&mut self) -> Snapshot {
        let mut look = Snapshot::down(self.known.clone(), 0.0, String::new());
        look.problem = None;
        look.readings.clear();
        self.folder(&mut look);
        if self.watched.has_schedule() {
            self.schedule(&mut look);
        }
        self.deliveries(&mut look);
        self.copies(&mut look);
        look
    }

    /// Fills in what the backups folder gives.
    fn folder(&mut self, look: &mut Snapshot) {
        let path = self.watched.repository.path.clone();
        let Some(meta) = timed(look, "folder", || folder::open(&path)) else {
            look.readings
                .extend(PARTS[1..].iter().map(|part| Reading::failed(part, 0.0)));
            return;
        };
        look.up = true;
        let begun = self.lock.begin(&meta);
        self.contents(look, &meta);
        look.space = timed(look, "space", || folder::space(&path));
        look.lock_held = timed(look, "lock", || begun.and_then(|()| self.lock.end()));
    }

    /// Fills in when backups are due. What can't be read leaves standing what it said before.
    fn schedule(&mut self, look: &mut Snapshot) {
        if let Some(file) = self.watched.config.clone() {
            timed(look, CONFIG, || self.configuration(&file));
        }
        if let Some(dir) = self.watched.state_dir.clone()
            && let Some(state) = timed(look, SCHEDULE, || State::read(&dir))
        {
            self.state = state;
        }
        let configured = self.configured.as_ref().map(|(_, configured)| configured);
        if configured.is_some() || self.state.is_some() || look.has_read(SCHEDULE) {
            let facts = ScheduleFacts::of(configured, self.state.as_ref(), self.watched.scheduler);
            self.known.schedule = Some(Arc::new(facts));
        }
        look.schedule.clone_from(&self.known.schedule);
    }

    /// Fills in what became of deliveries.
    fn deliveries(&mut self, look: &mut Snapshot) {
        if let Some(dir) = &self.watched.state_dir
            && let Some(failures) = timed(look, DELIVERIES, || deliveries::failures(dir))
        {
            self.known.webhook_failures = Some(failures);
            look.webhook_failures = Some(failures);
        }
    }

    /// Fills in how the remotes stand, after the configuration, which says which there are.
    fn copies(&mut self, look: &mut Snapshot) {
        if let Some(dir) = &self.watched.state_dir
            && let Some(copies) = timed(look, COPIES, || Copies::read(dir))
        {
            self.copies = Some(copies);
        }
        if let Some(copies) = &self.copies {
            let configured = self
                .configured
                .as_ref()
                .map(|(_, configured)| &configured.remotes);
            let remotes = copies.of(configured.or(self.watched.remotes.as_ref()).map(Vec::as_slice));
            self.known.remotes = Some(Arc::new(remotes));
        }
        look.remotes.clone_from(&self.known.remotes);
    }

    /// Reads `cofre.toml` where it changed: it is the user's, and parsing it each time would be for nothing.
    fn configuration(&mut self, file: &Path) -> io::Result<()> {
        let now = small_file::stamp(file);
        let unchanged = |(before, _): &(Option<Stamp>, Configured)| now.is_some() && *before == now;
        if !self.configured.as_ref().is_some_and(unchanged) {
            let read = Configured::read(file).map_err(io::Error::other)?;
            self.configured = Some((now, read));
        }
        Ok(())
    }

    /// Fills in what the catalog and the list of archives give.
    fn contents(&mut self, look: &mut Snapshot, folder: &Metadata) {
        let began = Instant::now();
        let now = Fingerprint::of(&self.watched.repository.path, folder);
        let contents = match (&self.remembered, &now) {
            (Some((before, contents)), Some(now)) if before == now => Ok(contents.clone()),
            _ => self.load(look),
        };
        look.readings.push(Reading {
            part: "catalog",
            success: contents.is_ok(),
            seconds: began.elapsed().as_secs_f64(),
        });
        match contents {
            Ok(contents) => {
                look.catalog_valid = true;
                look.size = Some(contents.size);
                look.unknown = Some(contents.unknown);
                look.facts = Some(Arc::clone(&contents.facts));
                self.known.facts.clone_from(&look.facts);
                self.remembered = now.map(|now| (now, contents));
            }
            Err(trouble) => {
                look.up &= !trouble.unreadable;
                look.problem = Some(trouble.message);
                self.remembered = None;
            }
        }
    }

    /// Lists the archives and reads the catalog.
    fn load(&self, look: &mut Snapshot) -> Result<Contents, Trouble> {
        let path = &self.watched.repository.path;
        let size = folder::archives_size(path).map_err(|e| Trouble {
            unreadable: true,
            message: format!("list {}: {e}", path.display()),
        })?;
        look.size = Some(size);
        let roots = Roots::new().with(BACKUPS, path);
        let catalog = roots
            .open(BACKUPS)
            .and_then(|dir| Catalog::load(&dir))
            .map_err(|e| Trouble {
                unreadable: e.kind != ErrorKind::CatalogInvalid,
                message: e.to_string(),
            })?;
        let facts = CatalogFacts::of(catalog.records(), |r| catalog.archive_present(r));
        let facts = Arc::new(facts.counting(&catalog.totals()));
        if catalog.file_kind(HISTORY).is_none() {
            // Nothing was ever backed up here, or the disk with the backups isn't mounted: don't call it valid.
            look.facts.get_or_insert(facts);
            return Err(Trouble {
                unreadable: false,
                message: format!(
                    "{HISTORY}: there is none: no backup was made yet, or the disk is not mounted"
                ),
            });
        }
        let unknown = u64::try_from(catalog.unknown_archives().len()).unwrap_or(u64::MAX);
        Ok(Contents { size, unknown, facts })
    }
}

/// Does one part of a look and notes how it went.
fn timed<T>(look: &mut Snapshot, part: &'static str, work: impl FnOnce() -> io::Result<T>) -> Option<T> {
    let began = Instant::now();
    let result = work();
    look.readings.push(Reading {
        part,
        success: result.is_ok(),
        seconds: began.elapsed().as_secs_f64(),
    });
    result
        .map_err(|e| look.problem.get_or_insert(format!("read {part}: {e}")).len())
        .ok()
}
