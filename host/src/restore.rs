//! One restore: the sandbox extracts into a folder aside and compares it with the manifest, the host gives modes and
//! times back and renames it. Complete or not at all, and never over anything that exists.

use std::collections::HashSet;
use std::fmt;
use std::io::{BufReader, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::context::Context;
use crate::engine::{Access, Control, wit};
use crate::error::{Code, Error, Result};
use crate::restore_target::{Item, ItemKind, RestoreTarget};
use crate::sealed::{self, Opened};
use crate::{source, verify};

/// Entries fetched from the sandbox at a time.
const PAGE: u32 = 32_768;

/// What is to be restored, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Id, name or `latest`.
    pub selector: String,
    /// The new folder; none means `restore_NAME` in the backups folder.
    pub to: Option<PathBuf>,
    /// Globs of paths in the archive; empty means everything.
    pub only: Vec<String>,
    /// Recreate absolute links too.
    pub absolute_links: bool,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq)]
pub struct RestoreOutcome {
    /// The component's report.
    pub report: wit::engine::RestoreReport,
    /// Where it is.
    pub path: PathBuf,
}

/// Restores a backup into a new folder.
///
/// # Errors
/// Whatever stopped it; the folder does not exist then.
pub fn restore(context: &Context, options: &RestoreOptions, control: &mut Control) -> Result<RestoreOutcome> {
    let backup = context.reader()?.find(options.selector.clone())?;
    match one(context, &backup, options, control) {
        Err(error) => match sealed::sealed_meanwhile(context, &backup) {
            Some(now) => one(context, &now, options, control),
            None => Err(sealed::or_beside(context, &backup, error)),
        },
        done => done,
    }
}

fn one(
    context: &Context,
    backup: &wit::types::Backup,
    options: &RestoreOptions,
    control: &mut Control,
) -> Result<RestoreOutcome> {
    let path = match &options.to {
        Some(path) => absolute(path)?,
        None => context.config.backup_dir.join(format!("restore_{}", backup.name)),
    };
    let mut target = RestoreTarget::prepare(&path)?;
    let opened = sealed::open(context, &[backup], &control.cancel)?;
    let inside = opened.as_ref().map_or(context, Opened::context);
    let mut report = extract(
        inside,
        backup.id,
        options.only.clone(),
        &|| target.open(),
        control,
    )?;
    give_back(inside, options, &report, &mut target)?;
    target.commit()?;
    record(context, backup.id);
    report.backup = backup.clone();
    Ok(RestoreOutcome { report, path })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io(format!("resolve {}", crate::fsutil::show(path)), &e))
}

/// Shows every entry of a backup to `see`, page by page.
pub(crate) fn each_entry(context: &Context, id: u64, mut see: impl FnMut(&wit::types::Entry)) -> Result<()> {
    let mut session = context.reader()?;
    let mut after = None;
    loop {
        let page = session.entries(id, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.path.clone());
        page.iter().for_each(&mut see);
    }
}

/// Extracts what matches `only` (everything where that is empty) into the empty folder that `target` opens, and checks
/// it against the manifest.
///
/// # Errors
/// What the component says; what lies in the folder is of no use then.
pub(crate) fn extract(
    context: &Context,
    id: u64,
    only: Vec<String>,
    target: &dyn Fn() -> Result<OwnedFd>,
    control: &mut Control,
) -> Result<wit::engine::RestoreReport> {
    let backups = context.backups()?;
    let mounts = || Ok(context.mounts_of(&backups, Access::ReadOnly)?.target(target()?));
    let request = wit::engine::RestoreRequest { id, only };
    let outcome = context.engine.spread(
        wit::jobs::Request::Restore(request),
        mounts()?,
        &mounts,
        context.workers(),
        control,
    )?;
    match outcome {
        wit::jobs::Outcome::Restored(report) => Ok(report),
        wit::jobs::Outcome::Created(_) | wit::jobs::Outcome::Verified(_) => Err(Error::new(
            Code::Internal,
            "restore: the component gave the outcome of another operation",
        )),
    }
}

/// Modes, times and, where asked for, absolute links: what the sandbox can't restore.
pub(crate) fn give_back(
    context: &Context,
    options: &RestoreOptions,
    report: &wit::engine::RestoreReport,
    target: &mut RestoreTarget,
) -> Result<()> {
    let left_out: HashSet<&str> = report
        .links_left_out
        .iter()
        .map(|link| link.path.as_str())
        .collect();
    let mut session = context.reader()?;
    let mut after = None;
    loop {
        let page = session.entries(report.backup.id, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.path.clone());
        let extracted = page
            .iter()
            .filter(|entry| !left_out.contains(entry.path.as_str()));
        let mut items: Vec<Item> = extracted.filter_map(|entry| item(entry, false)).collect();
        if !options.only.is_empty() {
            items.retain(|item| target.holds(item));
        }
        target.apply(&items)?;
    }
    if options.absolute_links {
        let links: Vec<Item> = report
            .links_left_out
            .iter()
            .filter_map(|entry| item(entry, true))
            .collect();
        target.apply(&links)?;
    }
    Ok(())
}

/// What of an entry the host gives back; nothing for what only the manifest records.
fn item(entry: &wit::types::Entry, absolute: bool) -> Option<Item> {
    let kind = match &entry.kind {
        wit::types::Kind::File => ItemKind::File,
        wit::types::Kind::Directory => ItemKind::Directory,
        wit::types::Kind::Symlink(target) if absolute => ItemKind::AbsoluteSymlink(target.clone()),
        wit::types::Kind::Symlink(target) if !target.starts_with('/') => ItemKind::Symlink,
        wit::types::Kind::Symlink(_)
        | wit::types::Kind::Special
        | wit::types::Kind::Unreadable(_)
        | wit::types::Kind::LeftOut(_) => return None,
    };
    Some(Item {
        path: entry.path.clone(),
        kind,
        mode: entry.mode,
        mtime_ns: entry.mtime_ns,
    })
}

/// Notes the restore in the catalog. The restore is done and good, so that a busy or read-only catalog is only said.
pub(crate) fn record(context: &Context, id: u64) {
    if let Err(error) = verify::record(context, id, wit::engine::Check::Restore, "restored") {
        tracing::warn!("the restore is done, but not noted in the catalog: {error}");
    }
}

/// Most bytes of a manifest's head: as a tree of values they become many times as much, outside of any sandbox.
const HEAD_BYTES: u64 = 4 << 20;

/// A manifest of which only the head is wanted, what stands before its rows. They come last, so reading ends there.
struct Head<'a> {
    fields: &'a mut Map<String, Value>,
    ended: &'a mut bool,
}

impl<'de> Visitor<'de> for Head<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "entries" {
                *self.ended = true;
                return Ok(());
            }
            let value = map.next_value()?;
            self.fields.insert(key, value);
        }
        *self.ended = true;
        Ok(())
    }
}

/// The manifest in a restored folder, without its rows; none where there is none, only a part was restored, or its
/// head is longer than any that is real.
#[must_use]
pub fn metadata(path: &Path) -> Option<Map<String, Value>> {
    // What came out of an archive may be a link to anywhere.
    let file = source::open_file_nofollow(&path.join("backup_info.json")).ok()?;
    let (mut fields, mut ended) = (Map::new(), false);
    let head = Head {
        fields: &mut fields,
        ended: &mut ended,
    };
    let mut json = serde_json::Deserializer::from_reader(BufReader::new(file.take(HEAD_BYTES)));
    // Leaving the object at its rows is an error to the parser.
    let _ = json.deserialize_map(head);
    ended.then_some(fields)
}
