//! The folder of one dumped database in a restored archive: which files there have to be, and that there is nothing
//! else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode};

use super::{Problem, Reason, Shown};
use crate::engine::wit::types::{DatabaseInfo, TableInfo};
use crate::error::Result;
use crate::fsutil;

/// The folder in archives that dumps lie in.
pub const DATABASE: &str = "database";

/// One database's part of a restored archive.
#[derive(Debug)]
pub struct DumpFolder<'a> {
    info: &'a DatabaseInfo,
    dir: OwnedFd,
    /// Every regular file with its bytes, and everything else with none.
    found: BTreeMap<String, Option<u64>>,
}

impl<'a> DumpFolder<'a> {
    /// Opens a database's folder below `restored`, the top of what was restored.
    ///
    /// # Errors
    /// `FileMissing` when it is not there; what the system says.
    pub fn open(restored: BorrowedFd<'_>, info: &'a DatabaseInfo) -> std::result::Result<Self, Problem> {
        let below = info.folder.strip_prefix(DATABASE);
        let plain = |rest: &str| {
            rest.is_empty()
                || rest.strip_prefix('/').is_some_and(|name| {
                    !name.is_empty() && !name.contains('/') && name != ".." && name != "."
                })
        };
        if !below.is_some_and(plain) {
            return Err(Problem::new(
                Reason::UnexpectedFile,
                format!(
                    "database {}: the manifest says that it lies in {}, where no dump lies",
                    Shown(&info.name),
                    Shown(&info.folder)
                ),
            ));
        }
        let dir =
            fsutil::open_beneath(restored, info.folder.as_bytes(), fsutil::dir_flags()).map_err(|errno| {
                Problem::new(
                    Reason::FileMissing,
                    format!(
                        "database {}: its folder {} is not in the archive ({errno})",
                        Shown(&info.name),
                        Shown(&info.folder)
                    ),
                )
            })?;
        let found = list(dir.as_fd())?;
        Ok(Self { info, dir, found })
    }

    /// What the manifest says of the database.
    #[must_use]
    pub fn info(&self) -> &DatabaseInfo {
        self.info
    }

    /// Its tables, in the order in which they are loaded.
    #[must_use]
    pub fn tables(&self) -> &[TableInfo] {
        &self.info.tables
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.found.values().flatten().sum()
    }

    /// Checks that exactly the expected files are there: each table's, those in `needed`, and perhaps those in
    /// `allowed`. Folders of other databases beside a flat one are the caller's business.
    ///
    /// # Errors
    /// `FileMissing` or `UnexpectedFile`, each with the name of the first.
    pub fn check(&self, needed: &[&str], allowed: &[&str]) -> std::result::Result<(), Problem> {
        let mut expected: BTreeSet<&str> = needed.iter().chain(allowed).copied().collect();
        for table in self.tables() {
            let Some(name) = self.table_file(table)? else {
                continue;
            };
            if !self.has(name) {
                return Err(self.problem(
                    Reason::FileMissing,
                    format_args!(
                        "the file {} of table {} is not in the archive",
                        Shown(name),
                        Shown(&table.name)
                    ),
                ));
            }
            expected.insert(name);
        }
        if let Some(name) = needed.iter().find(|name| !self.has(name)) {
            return Err(self.problem(
                Reason::FileMissing,
                format_args!("the file {} is not in the archive", Shown(name)),
            ));
        }
        match self.found.keys().find(|name| !expected.contains(name.as_str())) {
            None => Ok(()),
            Some(name) => Err(self.problem(
                Reason::UnexpectedFile,
                format_args!(
                    "there is {} in the archive, which no dump of cofre's has",
                    Shown(name)
                ),
            )),
        }
    }

    /// The name of a table's file in this folder; none for a table that has none.
    ///
    /// # Errors
    /// `UnexpectedFile` for a path that leads elsewhere.
    pub fn table_file<'t>(&self, table: &'t TableInfo) -> std::result::Result<Option<&'t str>, Problem> {
        let Some(path) = table.file.as_deref() else {
            return Ok(None);
        };
        let prefix = self.info.folder.split_once('/').map_or("", |(_, below)| below);
        let name = match path.strip_prefix(prefix).map(|rest| (prefix.is_empty(), rest)) {
            Some((true, name)) => Some(name),
            Some((false, rest)) => rest.strip_prefix('/'),
            None => None,
        };
        match name.filter(|name| !name.is_empty() && !name.contains('/')) {
            Some(name) => Ok(Some(name)),
            None => Err(self.problem(
                Reason::UnexpectedFile,
                format_args!(
                    "the manifest says that table {} lies in {}, outside of its folder",
                    Shown(&table.name),
                    Shown(path)
                ),
            )),
        }
    }

    /// Whether there is a regular file of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.found.get(name).is_some_and(Option::is_some)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn file(&self, name: &str) -> Result<File> {
        fsutil::open_beneath(self.dir.as_fd(), name.as_bytes(), fsutil::file_flags())
            .map(File::from)
            .map_err(|e| fsutil::error(format_args!("open {} of the restored dump", Shown(name)), e))
    }

    /// Loading it was given up, which says nothing of the dump: it may be large, or the machine slow.
    pub(crate) fn too_long(&self) -> Problem {
        self.problem(Reason::NotPossible, "loading it took too long")
            .remedy("allow it more time: [drill] timeout")
    }

    /// A problem of this database.
    #[must_use]
    pub fn problem(&self, reason: Reason, what: impl fmt::Display) -> Problem {
        Problem::new(reason, format!("database {}: {what}", Shown(&self.info.name)))
    }
}

/// What lies directly in a folder: files with their bytes, everything else with none.
fn list(dir: BorrowedFd<'_>) -> Result<BTreeMap<String, Option<u64>>> {
    let fail = |e| fsutil::error("list a restored dump", e);
    let fresh = fsutil::openat(dir, ".", fsutil::dir_flags(), Mode::empty()).map_err(fail)?;
    let mut found = BTreeMap::new();
    fsutil::list::<rustix::io::Errno>(fresh.as_fd(), |name| {
        let stat = fsutil::stat_name(dir, name.to_bytes())?;
        let bytes = (fsutil::file_type(&stat) == FileType::RegularFile)
            .then(|| u64::try_from(stat.st_size).unwrap_or(0));
        found.insert(fsutil::show_bytes(name.to_bytes()), bytes);
        Ok(())
    })
    .map_err(fail)?;
    Ok(found)
}

/// Checks that `database/` of what was restored holds the manifest's databases and nothing else.
///
/// # Errors
/// `UnexpectedFile`; what the system says.
pub fn check_top(restored: BorrowedFd<'_>, databases: &[DatabaseInfo]) -> std::result::Result<(), Problem> {
    let Ok(dir) = fsutil::open_beneath(restored, DATABASE.as_bytes(), fsutil::dir_flags()) else {
        // That one is missing is found when it is opened.
        return Ok(());
    };
    if databases.iter().any(|info| info.folder == DATABASE) {
        // A flat one is checked for itself.
        return Ok(());
    }
    let known = |name: &String| {
        databases.iter().any(|info| {
            info.folder
                .split_once('/')
                .is_some_and(|(_, below)| below == name)
        })
    };
    match list(dir.as_fd())?.keys().find(|name| !known(name)) {
        None => Ok(()),
        Some(name) => Err(Problem::new(
            Reason::UnexpectedFile,
            format!(
                "there is {DATABASE}/{} in the archive, which belongs to no database of the manifest",
                Shown(name)
            ),
        )),
    }
}
