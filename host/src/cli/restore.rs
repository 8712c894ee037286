//! `cofre restore ID`: into a new folder, complete or not at all; or one database into another.

use super::args::Restore;
use super::{App, Ended};
use crate::api::types::{ReplacedTable, Restored, RestoredDatabase};
use crate::config::{DatabaseEngine, has_password};
use crate::context::Context;
use crate::engine::wit::engine::RestoreReport;
use crate::error::{Code, Error, Result};
use crate::output::Bar;
use crate::restore::{self, RestoreOptions};
use crate::restore_database::{self, DatabaseRestore};
use crate::text::{self, escape, shown};

pub(super) fn run(app: &App, args: Restore) -> Result<Ended> {
    app.about(&args.id);
    if let Some(database) = args.database.clone() {
        return one_database(app, args, database);
    }
    let ctx = app.spread_context(args.spread, args.opening.clone())?;
    let id = fetched(app, &ctx, &args)?;
    let bar = Bar::new(app.output, "restore");
    let mut control = app.control(&ctx.config, &bar);
    let Restore {
        to,
        only,
        absolute_links,
        ..
    } = args;
    let options = RestoreOptions {
        selector: id,
        to,
        only,
        absolute_links,
    };
    let outcome = restore::restore(&ctx, &options, &mut control);
    bar.finish();
    let outcome = outcome?;
    let RestoreReport {
        files,
        bytes,
        manifest,
        ..
    } = outcome.report;
    let path = outcome.path.clone();
    let restored = Restored::new(outcome, options.absolute_links);
    app.about(format!(
        "{} {} to {}",
        restored.backup.id,
        restored.backup.name,
        shown(&path)
    ));
    for link in &restored.links_left_out {
        let target = link.target.as_deref().unwrap_or_default();
        app.output.note(&format!(
            "left out: {} -> {target} (--absolute-links recreates it)",
            link.path
        ));
    }
    if restored.backup.status == "partial" {
        app.output.note(&format!(
            "the backup is partial, and so is what came out of it: {} (`cofre show {}` names all that it lacks)",
            restored.backup.error.as_deref().unwrap_or_default(),
            restored.backup.id
        ));
    }
    app.output.print(&restored, || {
        let checked = if manifest {
            "checked against the manifest"
        } else {
            "checked by the zip's own CRCs"
        };
        let (name, to) = (escape(&restored.backup.name), shown(&path));
        format!(
            "restored {name} to {to}: {files} files, {}, {checked}\n",
            text::size(bytes)
        )
    })?;
    Ok(Ended::Done)
}

/// The backup as it is called here, once it has come from the remote that was named.
fn fetched(app: &App, ctx: &Context, args: &Restore) -> Result<String> {
    let Some(remote) = &args.from else {
        return Ok(args.id.clone());
    };
    let wanted = std::slice::from_ref(&args.id);
    let pulled = super::remote::fetch(app, ctx, remote, wanted, args.unsigned)?;
    for one in pulled.fetched.iter().filter(|one| !one.already) {
        app.output.note(&format!("fetched {} from {remote}", one.name));
    }
    Ok(pulled
        .fetched
        .first()
        .map_or_else(|| args.id.clone(), |one| one.id.to_string()))
}

/// Loads one database of the backup into the one that was named.
fn one_database(app: &App, args: Restore, database: String) -> Result<Ended> {
    let into = target(&args)?;
    let shown_into = restore_database::shown_target(&into);
    let ctx = app.spread_context(args.spread, args.opening.clone())?;
    let id = fetched(app, &ctx, &args)?;
    let bar = Bar::new(app.output, "restore");
    let mut control = app.control(&ctx.config, &bar);
    let options = DatabaseRestore {
        selector: id,
        database,
        into,
        force: args.force,
        trust_archive: args.trust_archive,
    };
    let outcome = restore_database::restore(&ctx, &options, &mut control);
    bar.finish();
    let outcome = outcome?;
    app.about(format!(
        "{} {} database {} into {shown_into}",
        outcome.backup.id,
        outcome.backup.name,
        escape(&options.database)
    ));
    for note in &outcome.notes {
        app.output.note(note);
    }
    let restored = RestoredDatabase {
        success: true,
        backup: outcome.backup.into(),
        database: options.database,
        engine: outcome.engine,
        into: shown_into,
        tables: outcome.tables,
        rows: outcome.rows,
        replaced: outcome
            .replaced
            .into_iter()
            .map(|old| ReplacedTable {
                name: old.table,
                rows: old.rows,
            })
            .collect(),
        notes: outcome.notes,
    };
    app.output.print(&restored, || {
        let mut out = format!(
            "restored database {} of {} into {}: {} tables, {} rows\n",
            escape(&restored.database),
            escape(&restored.backup.name),
            restored.into,
            restored.tables,
            restored.rows
        );
        for old in &restored.replaced {
            out.push_str(&format!(
                "  replaced: {} ({} rows)\n",
                escape(&old.name),
                old.rows
            ));
        }
        out
    })?;
    Ok(Ended::Done)
}

/// The target, whose password is never taken from the arguments, which every user of the machine can read.
fn target(args: &Restore) -> Result<DatabaseEngine> {
    let text = match (&args.into, &args.into_file) {
        (Some(url), _) if has_password(url) => {
            return Err(Error::new(
                Code::Usage,
                "--into: a URL with a password can be read by every user of this machine",
            )
            .remedy("write it into a file of mode 600, and name that with --into-file"));
        }
        (Some(url), _) => url.clone(),
        (None, Some(file)) => {
            std::fs::read_to_string(file).map_err(|e| Error::io(format_args!("read {}", shown(file)), &e))?
        }
        (None, None) => return Err(Error::new(Code::Usage, "--into is missing")),
    };
    restore_database::parse_target(text.trim())
}
