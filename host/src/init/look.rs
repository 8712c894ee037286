//! What is in an application's folder: SQLite databases by their header, the usual folders, the usual files.
//! Links are not followed, and the search is bounded: a home folder must not take minutes.

use std::fs::{DirEntry, File};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cofre_exporter::small_file;

use crate::error::{Error, Result};
use crate::text::{escape, shown};

/// Folders that become sources, in the order of the file.
const FOLDERS: [&str; 18] = [
    "static",
    "public",
    "assets",
    "media",
    "uploads",
    "upload",
    "images",
    "img",
    "files",
    "attachments",
    "documents",
    "storage",
    "data",
    "templates",
    "config",
    "conf",
    "logs",
    "log",
];

/// Single files that become the source `config`.
const FILES: [&str; 26] = [
    "requirements.txt",
    "requirements.in",
    "pyproject.toml",
    "Pipfile",
    "Pipfile.lock",
    "poetry.lock",
    "uv.lock",
    "package.json",
    "package-lock.json",
    "composer.json",
    "composer.lock",
    "Gemfile",
    "Gemfile.lock",
    "go.mod",
    ".env",
    ".env.example",
    "env.example",
    ".gitignore",
    "Dockerfile",
    "docker-compose.yml",
    "compose.yml",
    "compose.yaml",
    "Procfile",
    "config.py",
    "settings.py",
    "alembic.ini",
];

/// Folders in which nobody keeps a database of the application.
const NOT_SEARCHED: [&str; 11] = [
    "node_modules",
    "__pycache__",
    "venv",
    "env",
    "target",
    "backups",
    "site-packages",
    "vendor",
    "dist",
    "build",
    "tmp",
];

/// How deep databases are searched.
const DEPTH: usize = 4;
/// How many entries are looked at.
const ENTRIES: usize = 50_000;
/// How SQLite files begin.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// What was found. Paths are relative, with `/`.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Folders, and whether each is empty at the moment.
    pub(super) folders: Vec<(String, bool)>,
    /// Single files.
    pub(super) files: Vec<String>,
    /// SQLite databases.
    pub(super) databases: Vec<String>,
    /// Variables of `.env` that hold the URL of a database server.
    pub(super) servers: Vec<String>,
    /// There is something, but nothing usual: the whole folder is the source.
    pub(super) whole: bool,
    /// What was seen and not taken.
    pub(super) notes: Vec<String>,
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.folders.is_empty() && self.files.is_empty() && self.databases.is_empty() && !self.whole
    }
}

pub(super) fn look(dir: &Path) -> Result<Found> {
    let mut found = Found::default();
    let names = list(dir).map_err(|e| Error::io(format!("look at {}", shown(dir)), &e))?;
    for name in FOLDERS {
        let Some(entry) = names.iter().find(|e| e.file_name() == name) else {
            continue;
        };
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            found.notes.push(format!(
                "{name} is a symbolic link: add the folder that it leads to by hand"
            ));
        } else if kind.is_dir() {
            match list(&entry.path()) {
                Ok(entries) => found.folders.push((name.to_owned(), entries.is_empty())),
                Err(e) => found
                    .notes
                    .push(format!("{name} can't be listed, so it is not in the file: {e}")),
            }
        }
    }
    for name in FILES {
        let file = dir.join(name);
        let Ok(meta) = std::fs::symlink_metadata(&file) else {
            continue;
        };
        if meta.is_file() && File::open(&file).is_ok() {
            found.files.push(name.to_owned());
        } else if !meta.is_dir() {
            found
                .notes
                .push(format!("{name} is a link or can't be read: add it by hand"));
        }
    }
    found.servers = servers(&dir.join(".env"));
    let mut budget = ENTRIES;
    search(dir, "", 0, &mut budget, &mut found);
    if budget == 0 {
        found.notes.push(format!(
            "only the first {ENTRIES} entries were searched for databases"
        ));
    }
    if found.folders.is_empty() && found.databases.is_empty() {
        found.whole = names.iter().any(is_content);
    }
    Ok(found)
}

fn list(dir: &Path) -> std::io::Result<Vec<DirEntry>> {
    let mut entries = std::fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by_key(DirEntry::file_name);
    Ok(entries)
}

/// Whether an entry is worth a backup where nothing usual is found.
fn is_content(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    name != "backups" && name != ".cofre" && name != "cofre.toml"
}

fn search(dir: &Path, prefix: &str, depth: usize, budget: &mut usize, found: &mut Found) {
    let Ok(entries) = list(dir) else { return };
    for entry in entries {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            if kind.is_file() && is_sqlite(&entry.path()) {
                let shown = escape(&entry.path().to_string_lossy()).into_owned();
                found.notes.push(format!(
                    "{shown} is a database whose name is not UTF-8: rename it"
                ));
            }
            continue;
        };
        let path = format!("{prefix}{name}");
        if kind.is_dir() && depth + 1 < DEPTH && !name.starts_with('.') && !NOT_SEARCHED.contains(&name) {
            search(&entry.path(), &format!("{path}/"), depth + 1, budget, found);
        } else if kind.is_file() && is_sqlite(&entry.path()) {
            found.databases.push(path);
        }
    }
}

fn is_sqlite(path: &Path) -> bool {
    let mut header = [0; 16];
    // A FIFO put in the place of the file meanwhile must not block.
    let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(nofollow.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path);
    file.and_then(|mut f| f.read_exact(&mut header)).is_ok() && &header == SQLITE
}

/// Names of variables whose value is the URL of a database server. The values, with their passwords, stay there.
fn servers(env: &Path) -> Vec<String> {
    let Ok(text) = small_file::read(env) else {
        return Vec::new();
    };
    let is_server = |value: &str| {
        let value = value.trim().trim_matches(['"', '\'']);
        [
            "postgres://",
            "postgresql://",
            "postgresql+",
            "mysql://",
            "mysql+",
            "mariadb://",
        ]
        .iter()
        .any(|scheme| value.starts_with(scheme))
    };
    text.lines()
        .map(|line| line.trim().trim_start_matches("export "))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .filter(|(_, value)| is_server(value))
        .map(|(name, _)| escape(name.trim()).into_owned())
        .collect()
}
