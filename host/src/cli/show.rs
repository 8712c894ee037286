//! `cofre show ID`: one backup with its entries.

use std::fmt::Write as _;

use super::args::Show;
use super::{App, Ended};
use crate::api::types::{Backup, Details, Entry};
use crate::engine::Session;
use crate::error::Result;
use crate::output::Table;
use crate::sealed::{self, Opened};
use crate::text::{self, escape};

/// Entries of one call: few calls, and no list that a sandbox could not hold.
const PAGE: u32 = 10_000;

pub(super) fn run(app: &App, args: &Show) -> Result<Ended> {
    let ctx = app.reading_context(args.opening.clone())?;
    let backup = ctx.reader()?.find(args.id.clone())?;
    if !backup.archive_present || (backup.encrypted && !sealed::can_open(&ctx.config)) {
        // A run without an archive still has a row to show.
        let details = Details::row_only(backup);
        app.output.print(&details, || render(&details))?;
        return Ok(Ended::Done);
    }
    let opened = sealed::open(&ctx, &[&backup], &app.cancel)?;
    let mut session = opened.as_ref().map_or(&ctx, Opened::context).reader()?;
    let entries = all_entries(&mut session, backup.id)?;
    let mut known = session.details(backup.id)?;
    known.backup = backup;
    let details = Details::new(known, Some(entries));
    app.output.print(&details, || render(&details))?;
    Ok(Ended::Done)
}

fn all_entries(session: &mut Session, id: u64) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let after = entries.last().map(|e| e.path.clone());
        let page = session.entries(id, after, PAGE)?;
        let count = page.len();
        entries.extend(page.into_iter().map(Entry::from));
        if count < PAGE as usize {
            return Ok(entries);
        }
    }
}

fn render(details: &Details) -> String {
    let mut out = fields(&details.backup);
    for database in &details.databases {
        let rows: u64 = database.tables.iter().map(|t| t.rows).sum();
        let (name, engine) = (escape(&database.name), escape(&database.engine));
        let (version, tables) = (escape(&database.version), database.tables.len());
        // Writing to a string can't fail.
        let _ = writeln!(
            out,
            "database    {name}: {engine} {version}, {tables} tables, {rows} rows"
        );
    }
    for skip in &details.skipped {
        let word = if skip.missing { "missing " } else { "left out" };
        let _ = writeln!(out, "{word}    {}: {}", escape(&skip.path), escape(&skip.reason));
    }
    match &details.entries {
        None if details.backup.encrypted => {
            out.push_str("\nits content is encrypted: --identity FILE shows it\n");
        }
        None => out.push_str("\nthere is no archive\n"),
        Some(entries) => {
            out.push('\n');
            out.push_str(&entry_table(entries));
        }
    }
    out
}

/// The row, a line for each field that it has.
pub(super) fn fields(row: &Backup) -> String {
    let number = |n: Option<u64>| n.map(|n| n.to_string());
    let fields = [
        ("id", Some(row.id.to_string())),
        ("name", Some(row.name.clone())),
        ("type", Some(row.backup_type.clone())),
        ("plan", row.plan.clone()),
        ("time", Some(text::time(&row.timestamp))),
        ("status", Some(row.status.to_owned())),
        ("error", row.error.clone()),
        ("size", Some(text::size(row.size))),
        ("files", number(row.file_count)),
        ("content", row.source_bytes.map(text::size)),
        ("duration", row.duration_seconds.map(text::duration)),
        ("skipped", number(row.skipped.filter(|n| *n > 0))),
        ("changed", number(row.changed.filter(|n| *n > 0))),
        ("sha256", row.sha256.clone()),
        ("encrypted", row.encrypted.then(|| "yes".to_owned())),
        ("pinned", row.pinned.then(|| "yes".to_owned())),
        (
            "verified",
            row.verified_at
                .as_ref()
                .map(|at| outcome(at, row.verify_status.as_deref())),
        ),
        (
            "drilled",
            row.drilled_at
                .as_ref()
                .map(|at| outcome(at, row.drill_status.as_deref())),
        ),
        ("restored", row.restored_at.as_deref().map(text::time)),
    ];
    let mut out = String::new();
    for (name, value) in fields {
        if let Some(value) = value {
            let _ = writeln!(out, "{name:<12}{}", escape(&value));
        }
    }
    out
}

fn outcome(at: &str, status: Option<&str>) -> String {
    format!("{} {}", text::time(at), status.unwrap_or_default())
        .trim_end()
        .to_owned()
}

/// Mode, size, time and path of each entry.
pub(super) fn entry_table(entries: &[Entry]) -> String {
    let mut table = Table::new(&["MODE", ">SIZE", "MODIFIED (UTC)", "PATH"]);
    for entry in entries {
        let path = match (&entry.target, entry.kind) {
            (Some(target), _) => format!("{} -> {target}", entry.path),
            (None, "directory") => format!("{}/", entry.path),
            _ => entry.path.clone(),
        };
        let size = if entry.kind == "file" {
            entry.size.to_string()
        } else {
            String::new()
        };
        let mtime = entry.mtime.as_deref().map(text::time).unwrap_or_default();
        table.row(&[entry.mode.clone().unwrap_or_default(), size, mtime, path]);
    }
    table.render()
}
