//! The folders that an operation gets, and what lies around them and has to stay as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cofre_component::fs::{BACKUPS, Dir, Roots, STAGING, TARGET};

/// The name of the one backup in a place.
pub const NAME: &str = "backup_20261125_020000_manual";

/// A time after every run in a place.
pub const NOW: &str = "2026-11-26T02:00:00.000000-03:00";

/// Backups folder, restore target, staging and a source, in a folder of their own, with things beside them that
/// nobody may touch.
pub struct Place {
    temp: tempfile::TempDir,
    /// As the engine gets them.
    pub roots: Roots,
}

impl Place {
    /// A new one; in memory, where the system has such a folder and nobody named another.
    #[must_use]
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let temp = if memory.is_dir() && std::env::var_os("TMPDIR").is_none() {
            tempfile::tempdir_in(memory)
        } else {
            tempfile::tempdir()
        };
        let temp = temp.unwrap();
        for folder in ["backups", "target", "staging", "source", "beside"] {
            fs::create_dir(temp.path().join(folder)).unwrap();
        }
        fs::write(temp.path().join("beside/file"), "not yours").unwrap();
        symlink("beside", temp.path().join("link")).unwrap();
        let roots = Roots::new()
            .with(BACKUPS, temp.path().join("backups"))
            .with(TARGET, temp.path().join("target"))
            .with(STAGING, temp.path().join("staging"))
            .with("/sources/s", temp.path().join("source"));
        Self { temp, roots }
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.path(name), content).unwrap();
    }

    /// The backups folder.
    #[must_use]
    pub fn backups(&self) -> Dir {
        self.roots.open(BACKUPS).unwrap()
    }

    /// Makes `archive` the archive of a completed backup of this id, without a checksum.
    pub fn put_archive(&self, id: u64, archive: &[u8]) {
        self.write(&format!("backups/{NAME}.zip"), archive);
        let row = serde_json::json!([{
            "id": id, "name": NAME, "type": "manual", "timestamp": "2026-11-25T02:00:00.000000",
            "status": "completed", "size": archive.len(), "plan": "manual",
            "started_at": "2026-11-25T02:00:00.000000-03:00",
        }]);
        self.write("backups/backup_history.json", row.to_string().as_bytes());
    }

    /// Every path in a folder of it, without following links, with the content of files and the target of links.
    #[must_use]
    pub fn tree(&self, folder: &str) -> BTreeMap<String, Thing> {
        let mut out = BTreeMap::new();
        let root = self.path(folder);
        walk(&root, &root, &mut out);
        out
    }

    /// That nothing was touched but what was meant to be.
    pub fn check_surroundings(&self) {
        let mut names: Vec<_> = fs::read_dir(self.temp.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["backups", "beside", "link", "source", "staging", "target"]
        );
        let beside = BTreeMap::from([("file".to_owned(), Thing::File(b"not yours".to_vec()))]);
        assert_eq!(self.tree("beside"), beside);
        assert_eq!(fs::read_link(self.path("link")).unwrap(), Path::new("beside"));
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A regular file and its content.
    File(Vec<u8>),
    /// A folder.
    Folder,
    /// A link and its target.
    Link(String),
}

fn walk(root: &Path, folder: &Path, out: &mut BTreeMap<String, Thing>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        let thing = if kind.is_symlink() {
            Thing::Link(fs::read_link(&path).unwrap().to_str().unwrap().to_owned())
        } else if kind.is_dir() {
            walk(root, &path, out);
            Thing::Folder
        } else {
            assert!(kind.is_file());
            Thing::File(fs::read(&path).unwrap())
        };
        let relative = path.strip_prefix(root).unwrap();
        out.insert(relative.to_str().unwrap().to_owned(), thing);
    }
}
