//! One look at a repository: reads the folder, the catalog, the space and the lock, each on its own, so that one
//! that fails takes nothing from the others.
//!
//! Called on the probe's thread, where it may hang for as long as the file system does.

use std::fs::Metadata;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use cofre_component::ErrorKind;
use cofre_component::catalog::Catalog;
use cofre_component::fs::{BACKUPS, Roots};

use crate::facts::CatalogFacts;
use crate::folder::{self, Fingerprint, HISTORY};
use crate::lock;

/// A backups folder to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The value of the label `repository`: an alias, never a path.
    pub alias: String,
    /// The folder.
    pub path: PathBuf,
}

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
    /// `folder`, `catalog`, `space` or `lock`.
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

/// The parts of a reading, in order.
pub(crate) const PARTS: [&str; 4] = ["folder", "catalog", "space", "lock"];

/// What one look found.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Whether folder and catalog could be read.
    pub up: bool,
    /// Whether there is a valid catalog.
    pub catalog_valid: bool,
    /// The plans: of this look, or of the last one that found a valid catalog. `None` where none ever did.
    pub facts: Option<Arc<CatalogFacts>>,
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
    /// Of a repository that gave no answer for `seconds`. `facts` is what was known before.
    pub(crate) fn down(facts: Option<Arc<CatalogFacts>>, seconds: f64, problem: String) -> Self {
        Self {
            up: false,
            catalog_valid: false,
            facts,
            size: None,
            unknown: None,
            space: None,
            lock_held: None,
            readings: PARTS.map(|part| Reading::failed(part, seconds)).to_vec(),
            problem: Some(problem),
        }
    }
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
    path: PathBuf,
    remembered: Option<(Fingerprint, Contents)>,
    /// The facts of the last valid catalog.
    facts: Option<Arc<CatalogFacts>>,
}

impl Reader {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            remembered: None,
            facts: None,
        }
    }

    /// One look. May take as long as the file system does.
    pub(crate) fn read(&mut self) -> Snapshot {
        let mut look = Snapshot::down(self.facts.clone(), 0.0, String::new());
        look.problem = None;
        look.readings.clear();
        let path = self.path.clone();
        let Some(meta) = timed(&mut look, "folder", || folder::open(&path)) else {
            look.readings
                .extend(PARTS[1..].iter().map(|part| Reading::failed(part, 0.0)));
            return look;
        };
        look.up = true;
        self.contents(&mut look, &meta);
        look.space = timed(&mut look, "space", || folder::space(&path));
        look.lock_held = timed(&mut look, "lock", || lock::is_held(&meta));
        look
    }

    /// Fills in what the catalog and the list of archives give.
    fn contents(&mut self, look: &mut Snapshot, folder: &Metadata) {
        let began = Instant::now();
        let now = Fingerprint::of(&self.path, folder);
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
                self.facts.clone_from(&look.facts);
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
        let size = folder::archives_size(&self.path).map_err(|e| Trouble {
            unreadable: true,
            message: format!("list {}: {e}", self.path.display()),
        })?;
        look.size = Some(size);
        let roots = Roots::new().with(BACKUPS, &self.path);
        let catalog = roots
            .open(BACKUPS)
            .and_then(|dir| Catalog::load(&dir))
            .map_err(|e| Trouble {
                unreadable: e.kind != ErrorKind::CatalogInvalid,
                message: e.to_string(),
            })?;
        let facts = Arc::new(CatalogFacts::of(catalog.records(), |r| {
            catalog.archive_present(r)
        }));
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
