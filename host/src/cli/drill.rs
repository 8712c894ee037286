//! `cofre drill`: proves that a backup can be restored, by restoring it.

use super::args::Drill;
use super::{App, Ended};
use crate::api::types;
use crate::drill;
use crate::error::{Code, Result};
use crate::notify;
use crate::output::Bar;
use crate::text::{self, escape};

pub(super) fn run(app: &App, args: &Drill) -> Result<Ended> {
    let id = args.id.as_deref().unwrap_or("latest");
    app.about(id);
    let ctx = app.spread_context(args.spread, args.opening.clone())?;
    let backup = ctx.reader()?.find(id.to_owned())?;
    app.about_backup(backup.id, &backup.name);
    let bar = Bar::new(app.output, "drill");
    let mut control = app.control(&ctx.config, &bar);
    let drilled = drill::drill(&ctx, backup, &mut control);
    bar.finish();
    notify::deliver_once(&ctx);
    let drilled = drilled?;
    if let Some(error) = &drilled.unrecorded {
        let why = match error.code {
            Code::Busy => "another run holds the backups".to_owned(),
            _ => error.to_string(),
        };
        app.output
            .note(&format!("the result is not in the catalog: {why}"));
    }
    app.output.print(&drilled.report, || render(&drilled.report))?;
    Ok(drilled.code.map_or(Ended::Done, Ended::Bad))
}

fn render(report: &types::Drill) -> String {
    let mut out = format!(
        "{} (id {}): {}, {} files, {}, {}\n",
        escape(&report.backup.name),
        report.backup.id,
        report.status,
        report.files,
        text::size(report.bytes),
        text::duration(report.duration_seconds)
    );
    for database in &report.databases {
        out.push_str(&format!(
            "  {} ({}): {}, {} tables, {} rows, {}\n",
            escape(&database.name),
            escape(&database.engine),
            database.status,
            database.tables,
            database.rows,
            text::duration(database.duration_seconds)
        ));
    }
    for problem in &report.problems {
        out.push_str(&format!("  {}: {}\n", problem.reason, escape(&problem.message)));
    }
    for note in &report.notes {
        out.push_str(&format!("  note: {}\n", escape(note)));
    }
    out
}
