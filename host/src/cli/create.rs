//! `cofre create`: one backup now, or what would be in it.

use super::args::Create;
use super::show::entry_table;
use super::{App, Ended};
use crate::api::types::{Backup, Plan};
use crate::backup::{self, CreateOptions, CreateOutcome};
use crate::config::{AdHoc, Config, check_backup_type};
use crate::context::Context;
use crate::engine::wit::engine::CreateReport;
use crate::engine::wit::types as wit;
use crate::error::{Code, Error, Result};
use crate::notify;
use crate::output::Bar;
use crate::remote;
use crate::text::{self, escape};

/// Skipped and changed files that are named on the terminal; `show` has all of them.
const NAMED: usize = 20;

pub(super) fn run(app: &App, args: Create) -> Result<Ended> {
    let config = args.spread.over(configured(app, &args)?);
    let options = options(&config, &args)?;
    app.about(format!("plan {}", options.plan));
    let ctx = Context::new(config)?;
    let deliverer = if options.dry_run {
        None
    } else {
        notify::deliverer(&ctx)
    };
    let mut result = make(app, &ctx, &options);
    if let Some(deliverer) = deliverer {
        // Said first: telling others may take its time.
        if let Err(error) = result {
            app.output.error(&error);
            result = Ok(Ended::Bad(error.code));
        }
        notify::finish(deliverer);
    }
    if !options.dry_run && matches!(result, Ok(Ended::Done | Ended::Partial)) {
        let bar = Bar::new(app.output, "copy");
        let watch = super::remote::watch(app, &bar);
        remote::after_run(&ctx, &watch, &mut |text| app.output.note(text));
        bar.finish();
    }
    result
}

fn make(app: &App, ctx: &Context, options: &CreateOptions) -> Result<Ended> {
    let bar = Bar::new(app.output, "create");
    let mut control = app.control(&ctx.config, &bar);
    let outcome = backup::create(ctx, options, &mut control, &mut |begun| {
        app.about_backup(begun.id, &begun.name);
    });
    bar.finish();
    match outcome? {
        CreateOutcome::Created {
            report,
            pruned,
            unreadable,
        } => {
            if let Some(name) = unreadable {
                app.output.note(&format!(
                    "every file was read: the previous archive is encrypted, so nothing of {name} could be reused"
                ));
            }
            created(app, *report, &pruned)
        }
        CreateOutcome::Planned { entries, skips } => {
            let entries = entries.into_iter().map(Into::into).collect();
            let plan = Plan {
                entries,
                skipped: skips.into_iter().map(Into::into).collect(),
            };
            app.output.print(&plan, || render_plan(&plan))?;
            Ok(Ended::Done)
        }
    }
}

fn configured(app: &App, args: &Create) -> Result<Config> {
    let Some(to) = args.to.clone() else {
        return app.config();
    };
    if args.static_dir.is_none() && args.files.is_empty() && args.sqlite.is_empty() {
        return Err(Error::new(Code::Usage, "`--to` says where, but nothing says what to back up")
            .remedy("add `--static DIR`, `--files NAME=DIR` or `--sqlite FILE`, or leave `--to` to the configuration"));
    }
    let options = AdHoc {
        static_dir: args.static_dir.clone(),
        files: args.files.clone(),
        sqlite: args.sqlite.clone(),
        to,
    };
    Config::adhoc(&options)
}

/// A plan of the configuration brings its type and `full` along, so that cron needs to name it only.
fn options(config: &Config, args: &Create) -> Result<CreateOptions> {
    let plan = args.plan.clone().unwrap_or_else(|| "manual".to_owned());
    check_backup_type(&plan).map_err(|why| Error::new(Code::Usage, format!("plan {why}")))?;
    let schedule = config.schedules.iter().find(|s| s.name == plan);
    let of_plan = schedule.map_or("manual", |s| s.backup_type.as_str());
    let backup_type = args.backup_type.clone().unwrap_or_else(|| of_plan.to_owned());
    check_backup_type(&backup_type).map_err(|why| Error::new(Code::Usage, format!("type {why}")))?;
    let full = args.full || schedule.is_some_and(|s| s.full);
    Ok(CreateOptions {
        backup_type,
        plan,
        full,
        dry_run: args.dry_run,
        new_history: args.new_history,
    })
}

fn created(app: &App, report: CreateReport, pruned: &[wit::Backup]) -> Result<Ended> {
    let CreateReport {
        backup,
        skips,
        changed,
    } = report;
    let backup = Backup::from(backup);
    name_some(app, skips.len(), skips.iter().map(skip_line));
    name_some(
        app,
        changed.len(),
        changed
            .iter()
            .map(|path| format!("changed while it was read: {path}")),
    );
    pruned
        .iter()
        .for_each(|old| app.output.note(&format!("pruned {} (id {})", old.name, old.id)));
    app.output.print(&backup, || render(&backup))?;
    Ok(if backup.status == "partial" {
        Ended::Partial
    } else {
        Ended::Done
    })
}

fn skip_line(skip: &wit::Skip) -> String {
    let word = if skip.missing { "missing" } else { "left out" };
    format!("{word}: {}: {}", skip.path, skip.reason)
}

fn name_some(app: &App, count: usize, lines: impl Iterator<Item = String>) {
    lines.take(NAMED).for_each(|line| app.output.note(&line));
    if count > NAMED {
        app.output
            .note(&format!("and {} more: see `cofre show latest`", count - NAMED));
    }
}

fn render(backup: &Backup) -> String {
    let files = backup.file_count.unwrap_or(0);
    let content = text::size(backup.source_bytes.unwrap_or(0));
    let time = backup
        .duration_seconds
        .map(|s| format!(" in {}", text::duration(s)))
        .unwrap_or_default();
    let mut out = format!(
        "{} {} (id {}): {files} files, {content} as {}{time}\n",
        backup.status,
        escape(&backup.name),
        backup.id,
        text::size(backup.size)
    );
    if let Some(error) = &backup.error {
        out.push_str(&format!("{}\n", escape(error)));
    }
    out
}

fn render_plan(plan: &Plan) -> String {
    let mut out = entry_table(&plan.entries);
    for skip in &plan.skipped {
        let word = if skip.missing { "missing" } else { "left out" };
        out.push_str(&format!(
            "{word}: {}: {}\n",
            escape(&skip.path),
            escape(&skip.reason)
        ));
    }
    let files = plan.entries.iter().filter(|e| e.kind == "file").count();
    let bytes: u64 = plan.entries.iter().map(|e| e.size).sum();
    out.push_str(&format!(
        "{files} files, {}; nothing was written\n",
        text::size(bytes)
    ));
    out
}
