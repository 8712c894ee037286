//! Whether what the configuration names is there and of the right kind. Only looks; opens nothing for long.

use std::path::Path;

use super::{Config, DatabaseEngine, Origin, Problem};

/// One problem for each active source or database that can't be backed up as it is.
pub(super) fn sources(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    if config.active_sources().next().is_none() && config.active_databases().next().is_none() {
        problems.extend(problem(
            "backup",
            "everything is switched off, so that a backup would be empty".into(),
            Some("set a switch of `[backup]` to true"),
        ));
    }
    for source in config.active_sources() {
        match &source.origin {
            Origin::Folder(path) => {
                let key = format!("sources.{}.path", source.folder);
                problems.extend(folder(&key, path, source.allow_empty));
            }
            Origin::Files(files) => {
                let key = format!("sources.{}.files", source.folder);
                problems.extend(files.iter().filter_map(|f| file(&key, &f.path)));
            }
        }
    }
    for database in config.active_databases() {
        if let DatabaseEngine::Sqlite(path) = &database.engine {
            problems.extend(file(&format!("databases.{}.url", database.name), path));
        }
    }
    problems
}

fn problem(key: &str, message: String, suggestion: Option<&str>) -> Option<Problem> {
    Some(Problem {
        key: key.into(),
        line: None,
        message,
        suggestion: suggestion.map(str::to_owned),
    })
}

fn folder(key: &str, path: &Path, allow_empty: bool) -> Option<Problem> {
    let shown = path.display();
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) => {
            return problem(
                key,
                format!("{shown}: {e}"),
                Some("is the disk mounted, and the path right?"),
            );
        }
    };
    if meta.file_type().is_symlink() {
        return problem(
            key,
            format!("{shown} is a symbolic link"),
            Some("name the folder that it leads to"),
        );
    }
    if !meta.is_dir() {
        return problem(
            key,
            format!("{shown} is not a folder"),
            Some("name single files with `files = [...]`"),
        );
    }
    match std::fs::read_dir(path) {
        Err(e) => problem(
            key,
            format!("{shown} can't be listed: {e}"),
            Some("run cofre as a user who can read it"),
        ),
        Ok(entries) => {
            let empty = !allow_empty && entries.take(1).count() == 0;
            let hint = Some("is the disk mounted? Set `allow_empty = true` if it may be empty");
            if empty {
                problem(key, format!("{shown} is empty"), hint)
            } else {
                None
            }
        }
    }
}

fn file(key: &str, path: &Path) -> Option<Problem> {
    let shown = path.display();
    let meta = match std::fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) => return problem(key, format!("{shown}: {e}"), Some("is the path right?")),
    };
    if meta.file_type().is_symlink() {
        return problem(
            key,
            format!("{shown} is a symbolic link"),
            Some("name the file that it leads to"),
        );
    }
    if !meta.is_file() {
        return problem(key, format!("{shown} is not a file"), None);
    }
    // Opening shows what mode bits can't (ACLs, a read-only bind of another owner).
    match std::fs::File::open(path) {
        Ok(_) => None,
        Err(e) => problem(
            key,
            format!("{shown} can't be read: {e}"),
            Some("run cofre as a user who can read it"),
        ),
    }
}
