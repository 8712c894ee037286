//! Permissions and space of the folders that cofre writes to.

use std::fs::Metadata;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::Findings;
use crate::config::{Config, DatabaseEngine, Origin, Place};
use crate::error::{Code, Error};
use crate::text::{self, shown};

/// What the folder of the archives is called.
const BACKUPS: &str = "the backups folder";
/// Below this share of free space, in percent, a warning is due.
const LITTLE_PERCENT: u64 = 5;

/// Who may change the configuration may run programs as its user, by hooks.
pub(super) fn config_file(found: &mut Findings, file: &Path, config: &Config) {
    let Ok(meta) = std::fs::metadata(file) else { return };
    if meta.mode() & 0o022 != 0 {
        let message = format!(
            "{} can be changed by others (mode {:04o})",
            shown(file),
            meta.mode() & 0o7777
        );
        let remedy = format!("run `chmod go-w {}`", shown(file));
        if config.hooks.before.is_empty() && config.hooks.after.is_empty() {
            found.warn("configuration", message, &remedy);
        } else {
            found.problem(
                "configuration",
                Code::AccessDenied,
                format!("{message}, and has hooks"),
                &remedy,
            );
        }
    }
}

pub(super) fn permissions(found: &mut Findings, config: &Config) {
    let area = "permissions";
    folder(found, &config.backup_dir, BACKUPS, config.group.is_some());
    folder(
        found,
        &config.state_dir,
        "the state folder",
        config.group.is_some(),
    );
    for entry in archives(config) {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.permissions().mode() & 0o077 != 0 {
            let remedy = format!("run `chmod 600 {}/backup_*.zip*`", shown(&config.backup_dir));
            let message = format!("archives can be read by others, such as {}", shown(&entry));
            found.warn(area, message, &remedy);
            break;
        }
    }
    if found.is_good(area) && config.backup_dir.exists() && config.state_dir.exists() {
        found.ok(
            area,
            format!(
                "{} and {} are writable and private",
                shown(&config.backup_dir),
                shown(&config.state_dir)
            ),
        );
    }
}

fn folder(found: &mut Findings, path: &Path, what: &str, group: bool) {
    let area = "permissions";
    let shown = shown(path);
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        // A run makes the backups folder, and nothing above it: that would hide an unmounted disk.
        Err(e)
            if e.kind() == std::io::ErrorKind::NotFound
                && what == BACKUPS
                && path.parent().is_some_and(|above| !above.exists()) =>
        {
            let message = format!("{what} {shown} can't be made: the folder above it does not exist");
            let remedy = "is the disk mounted, and backup_dir right? Make it, or set another backup_dir";
            return found.problem(area, Code::SourceMissing, message, remedy);
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return missing(found, path, what),
        Err(e) => return found.error(area, Error::io(format!("look at {what} {shown}"), &e)),
    };
    if !meta.is_dir() {
        return found.problem(
            area,
            Code::Config,
            format!("{what} {shown} is not a folder"),
            "name a folder",
        );
    }
    if let Err(e) = rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let remedy = match e {
            rustix::io::Errno::ROFS => "mount its file system read-write".to_owned(),
            _ => format!(
                "make it writable for the user that runs cofre: `chown {} {shown}`",
                user()
            ),
        };
        return found.problem(
            area,
            Code::AccessDenied,
            format!("{what} {shown} is not writable: {e}"),
            &remedy,
        );
    }
    let wide = if group { 0o027 } else { 0o077 };
    if meta.mode() & wide != 0 {
        let mode = if group { "750" } else { "700" };
        let message = format!(
            "{what} {shown} is open to others (mode {:04o})",
            meta.mode() & 0o7777
        );
        found.warn(area, message, &format!("run `chmod {mode} {shown}`"));
    }
    if is_foreign(&meta) {
        let message = format!("{what} {shown} belongs to another user (uid {})", meta.uid());
        found.warn(area, message, "run cofre always as the same user");
    }
}

/// A folder that does not exist yet has to be makeable.
fn missing(found: &mut Findings, path: &Path, what: &str) {
    let area = "permissions";
    let existing = path.ancestors().skip(1).find(|p| p.exists());
    let parent: PathBuf = existing.map_or_else(|| "/".into(), Path::to_path_buf);
    match rustix::fs::access(&parent, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => found.ok(
            area,
            format!("{what} {} will be made by the first run", shown(path)),
        ),
        Err(e) => {
            let remedy = format!("run `install -d -m 700 -o {} {}` as root", user(), shown(path));
            let message = format!(
                "{what} {} does not exist and can't be made: {}: {e}",
                shown(path),
                shown(&parent)
            );
            found.problem(area, Code::AccessDenied, message, &remedy);
        }
    }
}

fn user() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

fn is_foreign(meta: &Metadata) -> bool {
    let me = rustix::process::geteuid();
    meta.uid() != me.as_raw() && !me.is_root()
}

/// The files in the backups folder that have an archive's name.
pub(super) fn archives(config: &Config) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(&config.backup_dir) else {
        return Vec::new();
    };
    let names = entries.filter_map(Result::ok).map(|e| e.path());
    let mut paths: Vec<_> = names
        .filter(|p| {
            p.file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.starts_with("backup_") && (n.ends_with(".zip") || n.ends_with(".zip.age")))
        })
        .collect();
    paths.sort();
    paths
}

pub(super) fn space(found: &mut Findings, config: &Config) {
    let newest = archives(config)
        .last()
        .and_then(|p| std::fs::metadata(p).ok())
        .map_or(0, |m| m.len());
    volume(found, &config.backup_dir, BACKUPS, newest);
    let dumps = config.active_databases().filter_map(|d| match &d.engine {
        DatabaseEngine::Sqlite(path) => std::fs::metadata(path).ok().map(|m| m.len()),
        DatabaseEngine::Postgres(_) | DatabaseEngine::Mysql(_) => None,
    });
    // A dump as SQL is seldom larger than the file, and a snapshot lies beside it.
    volume(
        found,
        &config.state_dir,
        "the state folder (snapshots and dumps)",
        dumps.sum::<u64>() * 2,
    );
    same_disk(found, config);
}

fn volume(found: &mut Findings, path: &Path, what: &str, wanted: u64) {
    let area = "space";
    let Some(existing) = path.ancestors().find(|p| p.exists()) else {
        return;
    };
    let space = match crate::fsutil::space(existing) {
        Ok(Some(space)) => space,
        Ok(None) => {
            let message = format!("the file system of {what} does not say how much is free");
            return found.ok(area, message);
        }
        Err(e) => return found.error(area, e),
    };
    let (free, all) = (space.free, space.all);
    let message = format!("{what} has {} free of {}", text::size(free), text::size(all));
    let remedy = "free space, lower max_backups and run `cofre prune`, or move backup_dir to a larger disk";
    if free < wanted || space.no_files {
        let need = format!("{message}, and the next run needs about {}", text::size(wanted));
        found.problem(area, Code::NoSpace, need, remedy);
    } else if free / (all / 100).max(1) < LITTLE_PERCENT || free < wanted.saturating_mul(3) {
        found.warn(area, message, remedy);
    } else {
        found.ok(area, message);
    }
}

/// A backup on the disk of what it protects dies with it.
fn same_disk(found: &mut Findings, config: &Config) {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|m| m.dev());
    let Some(backups) = device(&config.backup_dir) else {
        return;
    };
    let folders = config.active_sources().filter_map(|s| match &s.origin {
        Origin::Folder(path) => Some(path.as_path()),
        Origin::Files(_) => None,
    });
    let databases = config.active_databases().filter_map(|d| match &d.engine {
        DatabaseEngine::Sqlite(path) => Some(path.as_path()),
        DatabaseEngine::Postgres(_) | DatabaseEngine::Mysql(_) => None,
    });
    if folders.chain(databases).any(|path| device(path) == Some(backups)) {
        let message = "the backups are on the disk of what they protect";
        // A remote on the same disk is no way out.
        let leave = config.remotes.iter().any(|remote| match &remote.place {
            Place::Bucket(_) => true,
            Place::Folder(path) => device(path).is_some_and(|other| other != backups),
        });
        if leave {
            found.ok("space", format!("{message}, and copied to another place"));
        } else {
            found.warn(
                "space",
                message,
                "copy them to another machine (`[[remotes]]`), or set backup_dir to another disk",
            );
        }
    }
}
