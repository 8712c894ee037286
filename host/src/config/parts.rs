//! The document's tables turned into the parts of a [`Config`], and the rules that span several keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cofre_exporter::small_file;

use super::document::{Document, Section, nearest};
use super::{
    Archive, Compression, Config, DatabaseEngine, Limits, Origin, Retention, Secret, SingleFile, Source,
    Switch, Switches, databases, paths, plans, remotes, service, value,
};

/// Deflate's default: with this encoder as small as what others make at level 6, within half a percent, and a third
/// faster than its own level 6.
const DEFLATE_LEVEL: u8 = 5;
/// Zstandard's default: the fastest level is as small as deflate, within a few percent.
const ZSTD_LEVEL: u8 = 1;

/// 30 days, the age at which rows of failed runs go.
const KEEP_FAILED: Duration = Duration::from_secs(30 * 86_400);

/// Reads everything. The result is only good when the document has no problems.
pub(super) fn read(doc: &Document<'_>, dir: &Path) -> Option<Config> {
    let root = doc.root();
    let mut warnings = Vec::new();
    let backup_text = root.string("backup_dir").unwrap_or_else(|| "backups".into());
    let backup_dir = resolved(&root, "backup_dir", dir, &backup_text);
    let encryption = remotes::encryption(&root, dir);
    let state_dir = path(&root, "state_dir", dir).unwrap_or_else(|| dir.join(".cofre"));
    let backup_dir = backup_dir.unwrap_or_else(|| dir.join("backups"));
    let own = [
        ("backup_dir", backup_dir.clone()),
        ("state_dir", state_dir.clone()),
    ];
    let mut config = Config {
        file: None,
        dir: dir.to_path_buf(),
        zip_path_prefix: format!("{}/", backup_text.trim_end_matches('/')),
        backup_dir,
        state_dir,
        group: root.parsed("group", group),
        repository: repository(&root, dir),
        retention: retention(&root),
        time_zone: root
            .parsed("time_zone", value::zone)
            .unwrap_or_else(|| system_zone(&mut warnings)),
        archive: archive(&root),
        limits: limits(&root),
        switches: switches(&root),
        sources: sources(&root, dir),
        databases: databases::databases(&root, dir, &mut warnings),
        hooks: plans::hooks(&root),
        schedules: plans::schedules(&root, dir, &mut warnings),
        verify: plans::verify(&root),
        drill: plans::drill(&root, dir, &mut warnings),
        api: service::api(&root, dir),
        webhooks: service::webhooks(&root, dir, &mut warnings),
        remotes: remotes::remotes(&root, dir, &encryption, &own, &mut warnings),
        encryption,
        log: service::log(&root, dir),
        warnings,
    };
    check_folders(&root, &config);
    let unattended = remotes::unattended_drill(&config);
    config.warnings.extend(unattended);
    if config.sources.is_empty()
        && config.databases.is_empty()
        && !root.has("sources")
        && !root.has("databases")
    {
        doc.problem("sources", "there is nothing to back up", Some(
            "add `[sources.static]` with `path = \"static\"`, or `[databases.app]` with `url = \"sqlite:app.db\"`".into(),
        ));
    }
    root.finish();
    Some(config)
}

/// A path relative to the file, from its text.
pub(super) fn resolved(section: &Section<'_>, key: &'static str, dir: &Path, text: &str) -> Option<PathBuf> {
    match paths::resolve(dir, text) {
        Ok(path) => Some(path),
        Err(message) => {
            section.problem(key, message, None);
            None
        }
    }
}

/// A path relative to the file.
pub(super) fn path(section: &Section<'_>, key: &'static str, dir: &Path) -> Option<PathBuf> {
    let text = section.string(key)?;
    resolved(section, key, dir, &text)
}

/// The text of a file that holds a secret, without the space around it.
pub(super) fn secret_file(
    section: &Section<'_>,
    key: &'static str,
    dir: &Path,
    warnings: &mut Vec<String>,
) -> Option<Secret> {
    whole_secret_file(section, key, dir, warnings).map(|text| Secret::new(text.expose().trim()))
}

/// The same as it is, but for the end of its last line.
pub(super) fn whole_secret_file(
    section: &Section<'_>,
    key: &'static str,
    dir: &Path,
    warnings: &mut Vec<String>,
) -> Option<Secret> {
    let file = path(section, key, dir)?;
    match small_file::read(&file) {
        Ok(text) if text.trim().is_empty() => {
            section.problem(key, format!("{} is empty", file.display()), None);
            None
        }
        Ok(text) => {
            paths::warn_of_readers(&file, warnings);
            let line = text.strip_suffix('\n').unwrap_or(&text);
            Some(Secret::new(line.strip_suffix('\r').unwrap_or(line)))
        }
        Err(e) => {
            section.problem(key, format!("read {}: {e}", file.display()), None);
            None
        }
    }
}

fn group(text: &str) -> Result<String, value::Bad> {
    let good = !text.is_empty() && !text.contains([':', '/', '\n', '\0', ' ']);
    if good {
        Ok(text.to_owned())
    } else {
        Err((format!("`{text}` is not the name of a group"), None))
    }
}

fn repository(root: &Section<'_>, dir: &Path) -> String {
    let checked = |text: &str| {
        if text.is_empty() || text.len() > 64 || text.chars().any(char::is_control) {
            return Err((
                "has to be 1 to 64 bytes without control characters".to_owned(),
                None,
            ));
        }
        Ok(text.to_owned())
    };
    root.parsed("repository", checked).unwrap_or_else(|| {
        let name = dir.file_name().map(|n| n.to_string_lossy().into_owned());
        crate::text::escape(&name.unwrap_or_else(|| "root".into())).into_owned()
    })
}

fn number(section: &Section<'_>, key: &'static str, least: i64, default: u32) -> u32 {
    let value = section
        .integer(key, least..=100_000)
        .and_then(|n| u32::try_from(n).ok());
    value.unwrap_or(default)
}

pub(super) fn retention(root: &Section<'_>) -> Retention {
    Retention {
        max_backups: number(root, "max_backups", 1, 30),
        keep_daily: number(root, "keep_daily", 0, 0),
        keep_weekly: number(root, "keep_weekly", 0, 0),
        keep_monthly: number(root, "keep_monthly", 0, 0),
        keep_yearly: number(root, "keep_yearly", 0, 0),
        keep_within: root.parsed("keep_within", value::duration).unwrap_or_default(),
        keep_partial: number(root, "keep_partial", 0, 3),
        keep_failed: root.parsed("keep_failed", value::duration).unwrap_or(KEEP_FAILED),
    }
}

/// `TZ` where it names a zone, then the system's, then UTC.
pub(super) fn system_zone(warnings: &mut Vec<String>) -> chrono_tz::Tz {
    let from_env = std::env::var("TZ")
        .ok()
        .and_then(|tz| tz.trim_start_matches(':').parse().ok());
    let zone = from_env.or_else(|| {
        iana_time_zone::get_timezone()
            .ok()
            .and_then(|name| name.parse().ok())
    });
    zone.unwrap_or_else(|| {
        warnings.push("the system's time zone is unknown, so names are in UTC: set time_zone".into());
        chrono_tz::UTC
    })
}

fn switches(root: &Section<'_>) -> Switches {
    let Some(table) = root.section("backup") else {
        return Switches {
            database: true,
            files: true,
            logs: true,
            config: true,
        };
    };
    let switches = Switches {
        database: table.boolean("database").unwrap_or(true),
        files: table.boolean("files").unwrap_or(true),
        logs: table.boolean("logs").unwrap_or(true),
        config: table.boolean("config").unwrap_or(true),
    };
    table.finish();
    switches
}

fn archive(root: &Section<'_>) -> Archive {
    let default = Archive {
        compression: Compression::Deflate,
        level: DEFLATE_LEVEL,
        workers: 0,
    };
    let Some(table) = root.section("archive") else {
        return default;
    };
    let compression = table.parsed("compression", |text| match text {
        "deflate" => Ok(Compression::Deflate),
        "zstd" => Ok(Compression::Zstd),
        "store" => Ok(Compression::Store),
        _ => Err(one_of(text, &["deflate", "zstd", "store"])),
    });
    let compression = compression.unwrap_or(Compression::Deflate);
    let (most, default) = if compression == Compression::Zstd {
        (22, ZSTD_LEVEL)
    } else {
        (9, DEFLATE_LEVEL)
    };
    let level = table
        .integer("level", 1..=most)
        .and_then(|n| u8::try_from(n).ok())
        .unwrap_or(default);
    let workers = table
        .integer("workers", 0..=256)
        .and_then(|n| u16::try_from(n).ok())
        .unwrap_or(0);
    table.finish();
    Archive {
        compression,
        level,
        workers,
    }
}

/// Message and suggestion of a word that is none of a list.
pub(super) fn one_of(text: &str, words: &[&str]) -> value::Bad {
    let hint = nearest(text, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
    let list = words
        .iter()
        .map(|w| format!("`{w}`"))
        .collect::<Vec<_>>()
        .join(", ");
    (format!("`{text}` is none of {list}"), hint)
}

fn limits(root: &Section<'_>) -> Limits {
    let default = Limits {
        memory_bytes: 256 << 20,
        stall: Duration::from_secs(600),
        foreign_bytes: 4 << 30,
        foreign_ratio: 250,
    };
    let Some(table) = root.section("limits") else {
        return default;
    };
    let number = |key, range| table.integer(key, range).and_then(|n| u64::try_from(n).ok());
    let mib = |key, range, default| number(key, range).map_or(default, |n| n << 20);
    let limits = Limits {
        memory_bytes: mib("memory_mib", 32..=4_096, default.memory_bytes),
        foreign_bytes: mib("foreign_mib", 1..=1 << 40, default.foreign_bytes),
        foreign_ratio: number("foreign_ratio", 1..=1_000_000).unwrap_or(default.foreign_ratio),
        stall: table.parsed("stall", value::positive).unwrap_or(default.stall),
    };
    table.finish();
    limits
}

fn sources(root: &Section<'_>, dir: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut seen = BTreeMap::new();
    for (name, section) in root.named("sources") {
        if let Err((message, hint)) = value::folder_name(&name) {
            section.problem("", message, hint);
        }
        if name.eq_ignore_ascii_case("database") || name.eq_ignore_ascii_case("backup_info.json") {
            section.problem(
                "",
                format!("`{name}` is taken in every archive"),
                Some("choose another name".into()),
            );
        }
        if let Some(other) = seen.insert(name.to_lowercase(), name.clone()) {
            let message =
                format!("differs from `{other}` only in case, and would be one folder on some systems");
            section.problem("", message, Some("choose another name".into()));
        }
        sources.extend(source(name, &section, dir));
        section.finish();
    }
    sources
}

fn source(name: String, section: &Section<'_>, dir: &Path) -> Option<Source> {
    let path = path(section, "path", dir);
    let files = section.strings("files");
    let switch = section.parsed("switch", |text| match text {
        "files" => Ok(Switch::Files),
        "logs" => Ok(Switch::Logs),
        "config" => Ok(Switch::Config),
        _ => Err(one_of(text, &["files", "logs", "config"])),
    });
    let switch = switch.unwrap_or(match name.as_str() {
        "logs" => Switch::Logs,
        "config" => Switch::Config,
        _ => Switch::Files,
    });
    let include = globs(section, "include");
    let exclude = globs(section, "exclude");
    let allow_empty = section.boolean("allow_empty").unwrap_or(false);
    let origin = match (section.has("path"), section.has("files")) {
        (true, true) => {
            section.problem(
                "files",
                "a source has either `path` or `files`",
                Some("make it two sources, such as `[sources.config]` and `[sources.config_files]`".into()),
            );
            None
        }
        (false, false) => {
            let hint = format!("add `path = \"{name}\"`, or `files = [\"one.txt\", \"two.txt\"]`");
            section.problem("path", "is missing", Some(hint));
            None
        }
        (true, false) => path.map(Origin::Folder),
        (false, true) => files.map(|list| Origin::Files(single_files(section, &list, dir))),
    };
    Some(Source {
        folder: name,
        origin: origin?,
        include,
        exclude,
        allow_empty,
        switch,
    })
}

fn globs(section: &Section<'_>, key: &'static str) -> Vec<String> {
    let list = section.strings(key).unwrap_or_default();
    for text in &list {
        if let Err((message, hint)) = value::glob(text) {
            section.problem(key, message, hint);
        }
    }
    list
}

fn single_files(section: &Section<'_>, list: &[String], dir: &Path) -> Vec<SingleFile> {
    let mut files: Vec<SingleFile> = Vec::new();
    if list.is_empty() {
        section.problem(
            "files",
            "the list is empty",
            Some("name a file, or remove the source".into()),
        );
    }
    for text in list {
        let Some(path) = resolved(section, "files", dir, text) else {
            continue;
        };
        let Some(name) = archive_name(&path, dir) else {
            section.problem("files", format!("`{text}` does not name a file"), None);
            continue;
        };
        if let Some(other) = files
            .iter()
            .find(|f| f.name.to_lowercase() == name.to_lowercase())
        {
            let message = format!(
                "`{text}` and `{}` would both be `{name}` in the archive",
                other.path.display()
            );
            section.problem(
                "files",
                message,
                Some("put one of them into a source of its own".into()),
            );
            continue;
        }
        files.push(SingleFile { path, name });
    }
    files
}

fn archive_name(path: &Path, dir: &Path) -> Option<String> {
    let relative = path.strip_prefix(dir).ok().filter(|r| !r.as_os_str().is_empty());
    let name = match relative {
        Some(relative) => relative.to_str()?,
        None => path.file_name()?.to_str()?,
    };
    Some(name.to_owned())
}

/// What may lie in what: a backups folder inside a source is left out of it, the reverse would back up
/// backups for ever.
fn check_folders(root: &Section<'_>, config: &Config) {
    let backups = &config.backup_dir;
    if paths::is_within(&config.state_dir, backups) {
        let hint = "put it beside, such as `.cofre`".to_owned();
        root.problem(
            "state_dir",
            "can't be the backups folder or inside it (the sandbox writes there)",
            Some(hint),
        );
    }
    let inside = |key: String, path: &Path| {
        if paths::is_within(path, backups) {
            let message = format!("{} is the backups folder or inside it", path.display());
            root.doc
                .problem(&key, message, Some("choose another `backup_dir`".into()));
        }
    };
    for source in &config.sources {
        match &source.origin {
            Origin::Folder(path) => inside(format!("sources.{}.path", source.folder), path),
            Origin::Files(files) => {
                files
                    .iter()
                    .for_each(|f| inside(format!("sources.{}.files", source.folder), &f.path));
            }
        }
    }
    for database in &config.databases {
        if let DatabaseEngine::Sqlite(path) = &database.engine {
            inside(format!("databases.{}.url", database.name), path);
        }
    }
}
