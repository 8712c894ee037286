//! `cofre remote`: copies off the machine, looked at, sent, fetched, verified and pruned.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};

use super::args::{RemoteArgs, RemoteCommand, RemoteCopies, RemotePrune, RemotePull, RemoteVerify};
use super::{App, Ended};
use crate::context::Context;
use crate::error::{Code, Result};
use crate::output::{Bar, Table};
use crate::remote::row::{Row, Signed};
use crate::remote::{
    self, Checked, Fetch, Found, Lies, Listed, Pruned, Pruning, Pulled, Pushed, RemoteStatus, Watch,
};
use crate::text::{self, escape};

pub(super) fn run(app: &App, args: &RemoteArgs) -> Result<Ended> {
    match &args.command {
        RemoteCommand::List(args) => match &args.name {
            Some(name) => list(app, name),
            None => all(app),
        },
        RemoteCommand::Push(args) => push(app, args),
        RemoteCommand::Pull(args) => pull(app, args),
        RemoteCommand::Verify(args) => verify(app, args),
        RemoteCommand::Prune(args) => prune(app, args),
    }
}

/// Cancellation by signal, and the bar.
pub(super) fn watch(app: &App, bar: &Bar) -> Watch {
    let bar = bar.clone();
    Watch::new(Arc::clone(&app.cancel), move |done, total| {
        bar.update((done, total), (0, 0), None)
    })
}

fn all(app: &App) -> Result<Ended> {
    let rows = remote::status(&app.context()?);
    app.output.print(&rows, || remotes_table(&rows))?;
    Ok(Ended::Done)
}

fn remotes_table(rows: &[RemoteStatus]) -> String {
    if rows.is_empty() {
        return "no remotes\n".to_owned();
    }
    let mut table = Table::new(&[
        "NAME",
        "PLACE",
        ">COPIES",
        ">SIZE",
        ">LOST",
        ">PENDING",
        "LAST COPY",
        "LAST ERROR",
    ]);
    for row in rows {
        table.row(&[
            row.name.clone(),
            row.place.clone(),
            row.copies.to_string(),
            text::size(row.size_bytes),
            row.lost.to_string(),
            row.pending.to_string(),
            row.last_success
                .as_deref()
                .map_or_else(|| "never".to_owned(), text::time),
            row.last_error.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

fn list(app: &App, name: &str) -> Result<Ended> {
    let ctx = app.context()?;
    let rows = remote::list(
        &ctx,
        remote::find(&ctx.config, name)?,
        &watch(app, &Bar::new(app.output, "list")),
    )?;
    app.output.print(&rows, || table(&rows))?;
    let bad = rows.iter().any(|row| {
        row.signed != Some(Signed::Good)
            || row.found.is_trouble()
            || row.archive.is_some_and(Lies::is_trouble)
    });
    Ok(if bad {
        Ended::Bad(Code::VerifyFailed)
    } else {
        Ended::Done
    })
}

fn table(rows: &[Listed]) -> String {
    if rows.is_empty() {
        return "no copies\n".to_owned();
    }
    let mut table = Table::new(&[
        ">ID", "NAME", "PLAN", ">SIZE", "COPIED", "HERE", "ARCHIVE", "SIGNED",
    ]);
    for row in rows {
        let signed = match (row.signed, &row.error) {
            (Some(Signed::Good), _) => match row.found {
                Found::There => "yes",
                Found::Exchanged => "yes, but EXCHANGED: an older version is good",
                Found::Hidden => "yes, but HIDDEN: deleted there before its lock ends",
                Found::Removed => "yes, removed there: an older version is left",
            }
            .to_owned(),
            (Some(Signed::Bad), _) => "NO: somebody else wrote it".to_owned(),
            (Some(Signed::Unknown), _) => "not known: no key here".to_owned(),
            (None, error) => format!("NO: {}", error.as_deref().unwrap_or("it can't be read")),
        };
        let known = row.row.as_ref();
        table.row(&[
            row.id.to_string(),
            row.name.clone(),
            known.and_then(|row| row.backup.plan.clone()).unwrap_or_default(),
            known.map(|row| text::size(row.object.size)).unwrap_or_default(),
            known.and_then(Row::copied_at).map(moment).unwrap_or_default(),
            if row.here { "yes" } else { "no" }.to_owned(),
            match row.archive {
                Some(Lies::Whole) => "there",
                Some(Lies::Behind) => "HIDDEN: an older version may be good",
                Some(Lies::Changed) => "CHANGED: it has another size",
                Some(Lies::Gone) => "GONE",
                None => "",
            }
            .to_owned(),
            signed,
        ]);
    }
    table.render()
}

/// A time as the other table has it, with its zone.
fn moment(time: DateTime<Utc>) -> String {
    text::time(&time.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn push(app: &App, args: &RemoteCopies) -> Result<Ended> {
    app.about(&args.name);
    let ctx = app.context()?;
    let remote = remote::find(&ctx.config, &args.name)?;
    let bar = Bar::new(app.output, "push");
    let pushed = remote::push(&ctx, remote, &args.ids, &watch(app, &bar));
    bar.finish();
    let pushed = pushed?;
    app.about(format!("{} {} copied", args.name, pushed.copied.len()));
    app.output.print(&pushed, || pushed_text(&args.name, &pushed))?;
    Ok(match pushed.code {
        None => Ended::Done,
        Some(code) => Ended::Bad(code),
    })
}

fn pushed_text(name: &str, pushed: &Pushed) -> String {
    let mut out = String::new();
    for sent in &pushed.copied {
        let word = if sent.already { "was there" } else { "copied" };
        out.push_str(&format!(
            "{word}: {} (id {}, {})\n",
            escape(&sent.name),
            sent.id,
            text::size(sent.size)
        ));
    }
    for problem in &pushed.problems {
        out.push_str(&format!("not copied: {}\n", escape(problem)));
    }
    out.push_str(&format!("{} still to be copied to {name}\n", pushed.pending));
    if pushed.lost > 0 {
        out.push_str(&format!(
            "{} lost there, with no archive here to copy again: `cofre remote prune {name} --lost` names them and gives them up\n",
            pushed.lost
        ));
    }
    out
}

fn pull(app: &App, args: &RemotePull) -> Result<Ended> {
    app.about(&args.name);
    let ctx = app.context()?;
    let ids = if args.all { &[][..] } else { &args.ids[..] };
    let pulled = fetch(app, &ctx, &args.name, ids, args.unsigned)?;
    app.about(format!("{} {} fetched", args.name, pulled.fetched.len()));
    app.output.print(&pulled, || pulled_text(&pulled))?;
    Ok(if pulled.problems.is_empty() {
        Ended::Done
    } else {
        Ended::Bad(Code::Corrupt)
    })
}

/// Fetches backups into the backups folder; also the first half of `restore --from`.
pub(super) fn fetch(app: &App, ctx: &Context, name: &str, ids: &[String], unsigned: bool) -> Result<Fetch> {
    let remote = remote::find(&ctx.config, name)?;
    let bar = Bar::new(app.output, "pull");
    let pulled = remote::pull(ctx, remote, ids, unsigned, &watch(app, &bar));
    bar.finish();
    pulled
}

fn pulled_text(pulled: &Fetch) -> String {
    let line = |one: &Pulled| {
        let word = if one.already { "was here" } else { "fetched" };
        format!(
            "{word}: {} (id {}, {})\n",
            escape(&one.name),
            one.id,
            text::size(one.size)
        )
    };
    let mut out: String = pulled.fetched.iter().map(line).collect();
    for problem in &pulled.problems {
        out.push_str(&format!("not fetched: {}\n", escape(problem)));
    }
    out
}

fn verify(app: &App, args: &RemoteVerify) -> Result<Ended> {
    app.about(&args.name);
    let ctx = app.context()?;
    let remote = remote::find(&ctx.config, &args.name)?;
    let bar = Bar::new(app.output, "verify");
    let checked = remote::check(&ctx, remote, &args.ids, args.quick, &watch(app, &bar));
    bar.finish();
    let checked = checked?;
    app.about(format!("{} {} good", args.name, checked.good));
    app.output
        .print(&checked, || checked_text(&checked, args.quick))?;
    Ok(if checked.problems.is_empty() {
        Ended::Done
    } else {
        Ended::Bad(Code::VerifyFailed)
    })
}

fn checked_text(checked: &Checked, quick: bool) -> String {
    let how = match (quick, checked.opened) {
        (true, _) => "by signature and size only".to_owned(),
        (false, true) => format!("{} read, opened and compared", text::size(checked.bytes)),
        (false, false) => format!("{} read and compared", text::size(checked.bytes)),
    };
    let good = text::counted(checked.good, "copy is", "copies are");
    let mut out = format!("{good} good ({how})\n");
    for problem in &checked.problems {
        out.push_str(&format!("BAD: {}\n", escape(problem)));
    }
    out
}

fn prune(app: &App, args: &RemotePrune) -> Result<Ended> {
    app.about(&args.name);
    let ctx = app.context()?;
    let remote = remote::find(&ctx.config, &args.name)?;
    let pruned = remote::prune(
        &ctx,
        remote,
        Pruning {
            dry_run: args.dry_run,
            lost: args.lost,
        },
        &watch(app, &Bar::new(app.output, "prune")),
    )?;
    let gone = pruned.verdicts.iter().filter(|verdict| !verdict.keep).count();
    app.about(format!("{} {gone} removed", args.name));
    app.output.print(&pruned, || pruned_table(&pruned))?;
    Ok(if pruned.verdicts.iter().any(|verdict| verdict.bad) {
        Ended::Bad(Code::VerifyFailed)
    } else {
        Ended::Done
    })
}

fn pruned_table(pruned: &Pruned) -> String {
    let mut table = Table::new(&["VERDICT", ">ID", "NAME", ">SIZE", "WHY"]);
    for verdict in &pruned.verdicts {
        let word = match (verdict.bad, verdict.keep, pruned.dry_run) {
            (true, ..) => "BAD",
            (_, true, _) => "keep",
            (_, false, true) => "remove",
            (_, false, false) => "removed",
        };
        table.row(&[
            word.to_owned(),
            verdict.id.to_string(),
            verdict.name.clone(),
            text::size(verdict.size),
            verdict.reasons.join(", "),
        ]);
    }
    table.render()
}
