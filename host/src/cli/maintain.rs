//! `cofre pin`, `unpin`, `delete`, `prune` and `rebuild`: what changes the catalog, under the lock.

use std::path::Path;

use super::args::{Delete, OneId, Prune, Rebuild};
use super::{App, Ended};
use crate::api::convert::retention_policy;
use crate::api::types::{Backup, Pruned, Rebuilt};
use crate::context::Context;
use crate::error::{Code, Result};
use crate::output::{Bar, Table, print_text};
use crate::remote::{self, TakeOver};
use crate::sealed::{self, Form};
use crate::text::{self, escape};

pub(super) fn pin(app: &App, args: &OneId, pinned: bool) -> Result<Ended> {
    app.about(&args.id);
    let ctx = app.context()?;
    let exclusive = ctx.exclusive()?;
    let mut session = exclusive.writer()?;
    let found = session.find(args.id.clone())?;
    let id = found.id;
    app.about_backup(id, &found.name);
    let row = Backup::from(session.pin(id, pinned)?);
    let word = if pinned { "pinned" } else { "no longer pinned" };
    app.output
        .print(&row, || format!("{} (id {id}) is {word}\n", escape(&row.name)))?;
    Ok(Ended::Done)
}

pub(super) fn delete(app: &App, args: &Delete) -> Result<Ended> {
    app.about(&args.id);
    let ctx = app.context()?;
    let exclusive = ctx.exclusive()?;
    let mut session = exclusive.writer()?;
    let found = session.find(args.id.clone())?;
    let id = found.id;
    app.about_backup(id, &found.name);
    let row = Backup::from(session.delete(id, args.force, ctx.now())?);
    app.output.print(&row, || {
        format!(
            "deleted {} (id {id}, {})\n",
            escape(&row.name),
            text::size(row.size)
        )
    })?;
    Ok(Ended::Done)
}

pub(super) fn prune(app: &App, args: &Prune) -> Result<Ended> {
    let ctx = app.context()?;
    if ctx.awaits_first_run() {
        let nothing = Pruned::new(Vec::new(), args.dry_run);
        app.output.print(&nothing, || "no backups\n".to_owned())?;
        return Ok(Ended::Done);
    }
    let policy = retention_policy(&ctx.config);
    let verdicts = if args.dry_run {
        ctx.reader()?.prune(policy, ctx.now(), true)?
    } else {
        let (exclusive, now) = (ctx.exclusive()?, ctx.now());
        let verdicts = exclusive.writer()?.prune(policy, now.clone(), true)?;
        let removed = exclusive.writer()?.prune(policy, now, false);
        if let Err(error) = removed {
            // What was to be done is said all the same, and what of it is not.
            let planned = Pruned::new(verdicts, false);
            if !app.output.json {
                print_text(&verdict_table(&planned, Some(&ctx.config.backup_dir)))?;
            }
            return Err(error);
        }
        verdicts
    };
    let pruned = Pruned::new(verdicts, args.dry_run);
    app.about(format!("{} removed", pruned.removed.len()));
    app.output.print(&pruned, || verdict_table(&pruned, None))?;
    Ok(Ended::Done)
}

/// `failed_in` is the backups folder where not everything could be removed.
fn verdict_table(pruned: &Pruned, failed_in: Option<&Path>) -> String {
    let mut table = Table::new(&["VERDICT", ">ID", "NAME", "STATUS", ">SIZE", "WHY"]);
    let is_left = |row: &Backup| {
        let is_there = |folder: &Path| {
            [Form::Plain, Form::Sealed]
                .iter()
                .any(|form| folder.join(form.file(&row.name)).symlink_metadata().is_ok())
        };
        failed_in.is_some_and(is_there)
    };
    let (mut freed, mut removed) = (0, 0);
    for verdict in &pruned.verdicts {
        let row = &verdict.backup;
        let word = match (verdict.keep, pruned.dry_run) {
            (true, _) => "keep",
            (false, true) => "remove",
            (false, false) if is_left(row) => "not removed",
            (false, false) => "removed",
        };
        if !verdict.keep && !is_left(row) {
            freed += row.size;
            removed += 1;
        }
        table.row(&[
            word.to_owned(),
            row.id.to_string(),
            row.name.clone(),
            row.status.to_owned(),
            text::size(row.size),
            verdict.reasons.join(", "),
        ]);
    }
    let would = if pruned.dry_run { "would remove" } else { "removed" };
    format!("{}{would} {removed} ({})\n", table.render(), text::size(freed))
}

pub(super) fn rebuild(app: &App, args: &Rebuild) -> Result<Ended> {
    let ctx = app.reading_context(args.opening.clone())?;
    if let Some(name) = &args.from {
        let how = TakeOver {
            unsigned: args.unsigned,
            new_history: args.new_history,
        };
        return take_over(app, &ctx, name, how);
    }
    let exclusive = ctx.exclusive()?;
    let report = exclusive
        .writer()?
        .rebuild(ctx.now(), ctx.config.zip_path_prefix.clone())?;
    let report = sealed::adopt(&ctx, &exclusive, report, &app.cancel)?;
    let rebuilt = Rebuilt::from(report);
    app.about(format!("{} backups", rebuilt.backups.len()));
    app.output.print(&rebuilt, || render(&rebuilt))?;
    Ok(if rebuilt.problems.is_empty() {
        Ended::Done
    } else {
        Ended::Bad(Code::Corrupt)
    })
}

fn take_over(app: &App, ctx: &Context, name: &str, how: TakeOver) -> Result<Ended> {
    let watch = super::remote::watch(app, &Bar::new(app.output, "rebuild"));
    let taken = remote::take_over(ctx, remote::find(&ctx.config, name)?, how, &watch)?;
    app.about(format!("{} backups from {name}", taken.added));
    app.output.print(&taken, || {
        let mut out = format!(
            "the catalog got {} of {} backups from {name}; `cofre restore --from {name} ID` or `cofre remote pull {name} ID` \
             fetches an archive\n",
            taken.added, taken.copies
        );
        for problem in &taken.problems {
            out.push_str(&format!("not taken in: {}\n", escape(problem)));
        }
        out
    })?;
    Ok(if taken.problems.is_empty() {
        Ended::Done
    } else {
        Ended::Bad(Code::Corrupt)
    })
}

fn render(rebuilt: &Rebuilt) -> String {
    let mut out = format!("the catalog has {} backups\n", rebuilt.backups.len());
    if let Some(name) = &rebuilt.kept_aside {
        out.push_str(&format!("the old catalog is kept as {}\n", escape(name)));
    }
    for problem in rebuilt.problems.iter().chain(&rebuilt.left_out) {
        out.push_str(&format!("not taken in: {}\n", escape(problem)));
    }
    out
}
