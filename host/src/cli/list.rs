//! `cofre list`.

use super::{App, Ended, checks};
use crate::api::types::Backup;
use crate::error::Result;
use crate::output::Table;
use crate::text;

pub(super) fn run(app: &App) -> Result<Ended> {
    let ctx = app.context()?;
    let rows = match checks::overview(app, &ctx)?.session {
        Some(mut session) => session.list()?,
        None => Vec::new(),
    };
    let rows: Vec<Backup> = rows.into_iter().map(Into::into).collect();
    app.output.print(&rows, || table(&rows))?;
    Ok(Ended::Done)
}

fn table(rows: &[Backup]) -> String {
    if rows.is_empty() {
        return "no backups\n".to_owned();
    }
    let mut table = Table::new(&[
        ">ID", "NAME", "TYPE", "TIME", "STATUS", ">SIZE", ">FILES", "NOTES",
    ]);
    for row in rows {
        let files = row.file_count.map_or_else(String::new, |n| n.to_string());
        table.row(&[
            row.id.to_string(),
            row.name.clone(),
            row.backup_type.clone(),
            text::time(&row.timestamp),
            row.status.to_owned(),
            text::size(row.size),
            files,
            notes(row),
        ]);
    }
    table.render()
}

/// What is special about a row, in a few words.
pub(super) fn notes(row: &Backup) -> String {
    let has_archive = matches!(row.status, "completed" | "partial");
    let mut notes = Vec::new();
    if row.pinned {
        notes.push("pinned".to_owned());
    }
    if row.encrypted {
        notes.push("encrypted".to_owned());
    }
    if has_archive && !row.archive_present {
        notes.push("archive missing".to_owned());
    }
    notes.extend(row.verify_status.clone());
    notes.extend(row.error.clone());
    notes.join("; ")
}
