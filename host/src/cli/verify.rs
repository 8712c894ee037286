//! `cofre verify`: archives against their checksum and manifest, each in sandboxes of its own.

use std::sync::atomic::Ordering;

use super::args::Verify;
use super::{App, Ended, checks};
use crate::api::types::{Verification, Verified};
use crate::context::Context;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error, Result};
use crate::notify;
use crate::output::Bar;
use crate::sealed;
use crate::text::{self, escape};
use crate::verify::{self, has_archive};

pub(super) fn run(app: &App, args: &Verify) -> Result<Ended> {
    app.about(if args.all {
        "all".to_owned()
    } else {
        args.ids.join(" ")
    });
    let ctx = app.spread_context(args.spread, args.opening.clone())?;
    let backups = selected(app, &ctx, args)?;
    match &backups[..] {
        [one] => app.about_backup(one.id, &one.name),
        more => app.about(format!("{} backups", more.len())),
    }
    let verified = all(app, &ctx, backups, args.quick);
    let ended = verified.and_then(|verified| {
        app.output.print(&verified, || render(&verified))?;
        Ok(if verified.success {
            Ended::Done
        } else {
            Ended::Bad(Code::VerifyFailed)
        })
    });
    notify::deliver_once(&ctx);
    ended
}

fn all(app: &App, ctx: &Context, backups: Vec<Backup>, quick: bool) -> Result<Verified> {
    let mut results = Vec::new();
    let several = backups.len() > 1;
    for backup in backups {
        if app.cancel.load(Ordering::SeqCst) {
            return Err(Error::new(Code::Cancelled, "stopped on request"));
        }
        let row = several.then(|| backup.clone());
        match (one(app, ctx, backup, quick), row) {
            (Ok(verification), _) => results.push(verification),
            // It was deleted meanwhile.
            (Err(error), Some(_)) if error.code == Code::NotFound => app.output.note(&error.to_string()),
            // Whatever keeps one from being looked at, the others are.
            (Err(error), Some(row)) if error.code != Code::Cancelled => {
                results.push(verify::damaged(row, &error));
            }
            (Err(error), _) => return Err(error),
        }
    }
    let success = results.iter().all(|r| r.status != "failed");
    Ok(Verified { success, results })
}

fn selected(app: &App, ctx: &Context, args: &Verify) -> Result<Vec<Backup>> {
    if !args.all {
        let mut session = ctx.reader()?;
        let latest = ["latest".to_owned()];
        let ids = if args.ids.is_empty() {
            &latest[..]
        } else {
            &args.ids
        };
        return ids.iter().map(|id| session.find(id.clone())).collect();
    }
    let Some(mut session) = checks::reader(app, ctx)? else {
        return Ok(Vec::new());
    };
    let mut backups = session.list()?;
    backups.retain(has_archive);
    Ok(backups)
}

/// Verifies one. That a busy or read-only folder refuses the record is said, and is no failure.
fn one(app: &App, ctx: &Context, backup: Backup, quick: bool) -> Result<Verification> {
    let bar = Bar::new(app.output, "verify");
    let mut control = app.control(&ctx.config, &bar);
    let verified = verify::verify(ctx, backup, quick, &mut control);
    bar.finish();
    let verified = verified?;
    if let Some(error) = verified.unrecorded {
        let why = match error.code {
            Code::Busy => "another run holds the backups".to_owned(),
            _ => error.to_string(),
        };
        app.output
            .note(&format!("the result is not in the catalog: {why}"));
    }
    Ok(verified.verification)
}

fn render(verified: &Verified) -> String {
    let mut out = String::new();
    for result in &verified.results {
        let name = escape(&result.backup.name);
        let id = result.backup.id;
        out.push_str(&format!("{name} (id {id}): {}", result.status));
        if result.status == sealed::WHOLE {
            out.push_str(&format!(
                ", {}\n  the encrypted file is whole; its content needs --identity FILE",
                text::size(result.bytes)
            ));
        } else if result.status != "failed" {
            out.push_str(&format!(
                ", {} entries, {}",
                result.entries,
                text::size(result.bytes)
            ));
        }
        out.push('\n');
        for problem in &result.problems {
            out.push_str(&format!("  {}\n", escape(problem)));
        }
    }
    if verified.results.is_empty() {
        out.push_str("no archives\n");
    }
    out
}
