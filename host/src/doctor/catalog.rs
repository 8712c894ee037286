//! The catalog, the archives, and how old the last good backup is.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use cofre_exporter::component::catalog::files;

use super::{Findings, folders};
use crate::config::Config;
use crate::context::Context;
use crate::engine::wit::engine::Summary;
use crate::engine::wit::types::{Backup, Status};
use crate::error::{Code, Result};
use crate::history;
use crate::lock::BackupsLock;
use crate::schedule;
use crate::sealed::{self, Form};
use crate::text::{counted, escape, shown};

/// Slack of a schedule in hours: a run may take its time.
const SLACK_HOURS: i64 = 6;

pub(super) fn examine(found: &mut Findings, ctx: &Context) {
    let backups = ctx.backups().ok();
    if let Err(error) = history::check(&ctx.config, backups.as_ref().map(AsFd::as_fd)) {
        return found.error("catalog", error);
    }
    if ctx.is_fresh() {
        // The original manual's first trouble: "the backups folder is empty".
        return found.warn("catalog", "there is no backup yet", "run `cofre create`");
    }
    match totals(ctx) {
        Ok((rows, summary)) => {
            catalog(found, ctx, &rows, &summary);
            runs(found, ctx, &rows, &summary);
            archives(found, ctx, &rows);
        }
        Err(error) => found.error("catalog", error),
    }
}

fn totals(ctx: &Context) -> Result<(Vec<Backup>, Summary)> {
    let mut session = ctx.reader()?;
    Ok((session.list()?, session.status(ctx.now())?))
}

fn catalog(found: &mut Findings, ctx: &Context, rows: &[Backup], summary: &Summary) {
    let area = "catalog";
    if !summary.archives_missing.is_empty() {
        let ids: Vec<_> = summary.archives_missing.iter().map(u64::to_string).collect();
        let message = format!("the archive of id {} is gone", ids.join(", "));
        found.problem(
            area,
            Code::Corrupt,
            message,
            "bring the file back, or `cofre delete` the rows",
        );
    }
    if !summary.archives_unknown.is_empty() {
        let names: Vec<_> = summary
            .archives_unknown
            .iter()
            .take(5)
            .map(|n| escape(n))
            .collect();
        let message = format!(
            "{} not in the catalog, such as {}",
            counted(summary.archives_unknown.len(), "archive is", "archives are"),
            names.join(", ")
        );
        found.warn(
            area,
            message,
            "run `cofre rebuild` to take them in, or move them away",
        );
    }
    let left = left_over(&ctx.config, rows, summary);
    if let Some(first) = left.first() {
        let message = format!(
            "{} of deleted backups could not be removed, such as {}",
            counted(left.len(), "archive", "archives"),
            shown(first)
        );
        let remedy = format!(
            "`cofre prune` tries it again and says what is in the way; a folder in its place, or an immutable file (`lsattr {}`)?",
            shown(first)
        );
        found.problem(area, Code::Io, message, &remedy);
    }
    if !summary.future.is_empty() {
        let message = format!(
            "{} in the future",
            counted(summary.future.len(), "backup lies", "backups lie")
        );
        found.warn(
            area,
            message,
            "check the clock and time_zone; retention leaves them alone",
        );
    }
    let unlocked = ctx
        .backups()
        .is_ok_and(|folder| BackupsLock::acquire(folder).is_ok());
    if unlocked && rows.iter().any(|r| r.status == Status::InProgress) {
        found.warn(
            area,
            "a run was interrupted",
            "the next `cofre create` cleans up after it",
        );
    }
    if found.is_good(area) {
        found.ok(
            area,
            format!(
                "{} backups, {} of them completed",
                summary.total_backups, summary.completed_backups
            ),
        );
    }
}

/// What lies in an archive's place, belongs to no row, and is not unknown: its backup was deleted.
fn left_over(config: &Config, rows: &[Backup], summary: &Summary) -> Vec<PathBuf> {
    let known: HashSet<&str> = rows
        .iter()
        .map(|row| row.name.as_str())
        .chain(summary.archives_unknown.iter().map(String::as_str))
        .collect();
    let mut left = folders::archives(config);
    left.retain(|path| {
        let file = path.file_name().and_then(|name| name.to_str());
        let name = file.and_then(files::of_file).map(|(name, _)| name);
        name.is_some_and(|name| !known.contains(name))
    });
    left
}

fn runs(found: &mut Findings, ctx: &Context, rows: &[Backup], summary: &Summary) {
    let area = "runs";
    let Some(last) = &summary.last_backup else {
        return found.warn(area, "there is no backup yet", "run `cofre create`");
    };
    match last.status {
        Status::Failed => {
            let why = last.error.as_deref().unwrap_or("no reason is known");
            let message = format!("the last run failed: {}", escape(why));
            found.problem(
                area,
                Code::Io,
                message,
                "mend what the message names, then run `cofre create`",
            );
        }
        Status::Partial => {
            let why = last.error.as_deref().unwrap_or_default();
            let message = format!("the last backup is partial: {}", escape(why));
            found.warn(
                area,
                message,
                "`cofre show latest` names what is missing; make it readable",
            );
        }
        Status::InProgress | Status::Completed | Status::Cancelled => {}
    }
    age(found, &ctx.config, summary);
    let overdue = rows
        .iter()
        .filter(|r| is_live(r) && r.verified_at.is_none())
        .count();
    if overdue > 0 && rows.iter().filter(|r| is_live(r)).count() == overdue {
        found.warn(area, "no backup was ever verified", "run `cofre verify`");
    }
    if found.is_good(area) {
        found.ok(
            area,
            format!(
                "the last run, {}, {}",
                escape(&last.name),
                crate::api::convert::status_word(last.status)
            ),
        );
    }
}

fn is_live(row: &Backup) -> bool {
    matches!(row.status, Status::Completed | Status::Partial) && row.archive_present
}

/// How old the last good backup may be, by the densest schedule.
fn age(found: &mut Findings, config: &Config, summary: &Summary) {
    let area = "runs";
    let Some(good) = &summary.last_success else {
        let message = "there is no completed backup";
        return found.problem(
            area,
            Code::Io,
            message,
            "run `cofre create` and look at what it says",
        );
    };
    let longest = config
        .schedules
        .iter()
        .filter(|s| s.enabled)
        .map(|s| schedule::expected_interval(&s.when, config.time_zone).as_secs() / 3600)
        .filter_map(|hours| i64::try_from(hours).ok())
        .min();
    let (Some(hours), Some(started)) = (longest, started(good, config)) else {
        return;
    };
    let age = DateTime::<Utc>::from(std::time::SystemTime::now())
        .signed_duration_since(started)
        .num_hours();
    if age > hours + SLACK_HOURS {
        let message = format!("the last completed backup is {age} hours old, and one is due every {hours}");
        let remedy = "is `cofre serve` running, or the timer enabled? `cofre create` makes one now";
        found.problem(area, Code::Io, message, remedy);
    }
}

/// When a backup began; rows of the original system have only local time.
fn started(row: &Backup, config: &Config) -> Option<DateTime<Utc>> {
    if let Some(at) = row
        .started_at
        .as_deref()
        .and_then(|at| DateTime::parse_from_rfc3339(at).ok())
    {
        return Some(at.to_utc());
    }
    let local: chrono::NaiveDateTime = row.timestamp.parse().ok()?;
    local
        .and_local_timezone(config.time_zone)
        .earliest()
        .map(|at| at.to_utc())
}

fn has_failed(row: &Backup) -> bool {
    row.verify_status.as_deref() == Some("failed")
}

fn archives(found: &mut Findings, ctx: &Context, rows: &[Backup]) {
    let area = "archives";
    for row in rows.iter().filter(|r| is_live(r)) {
        let file = ctx.config.backup_dir.join(Form::Plain.file(&row.name));
        let size = std::fs::symlink_metadata(&file)
            .map(|m| m.len())
            .unwrap_or(row.size);
        if row.encrypted {
            let stranger = |backups: OwnedFd| sealed::stranger(backups.as_fd(), &row.name, row.size);
            if let Some(problem) = ctx.backups().ok().and_then(stranger) {
                let remedy = "look who put it there: `cofre` never does";
                found.problem(area, Code::Corrupt, escape(&problem), remedy);
            }
        } else if size != row.size {
            let message = format!(
                "{} has {size} bytes, and the catalog says {}",
                shown(&file),
                row.size
            );
            found.problem(
                area,
                Code::Corrupt,
                message,
                "it was changed or cut short: `cofre verify` it, restore from another",
            );
        }
        if has_failed(row) {
            let message = format!("{} (id {}) did not verify", escape(&row.name), row.id);
            let remedy = move_away(ctx, row)
                .unwrap_or_else(|| "`cofre verify` says why; make a new backup and delete it".to_owned());
            found.problem(area, Code::VerifyFailed, message, &remedy);
        }
    }
    newest(found, ctx, rows);
    not_encrypted(found, ctx, rows);
    let all = folders::archives(&ctx.config).len();
    if found.is_good(area) && rows.iter().any(is_live) {
        let newest = if newest_of(rows).is_some_and(|row| row.encrypted) {
            "the newest is encrypted: its file has its checksum, and nobody looked into it (`cofre verify --identity FILE`)"
        } else {
            "the newest has its checksum and structure"
        };
        found.ok(area, format!("{}; {newest}", counted(all, "archive", "archives")));
    }
}

/// What to do with a bad archive beside which an encrypted one may be good: the backup is not to be deleted.
fn move_away(ctx: &Context, row: &Backup) -> Option<String> {
    if row.encrypted {
        return None;
    }
    let way = sealed::beside(ctx, row, None).ok().flatten()?;
    Some(format!("{}; then `cofre verify {}`", escape(&way), row.id))
}

/// What `encrypt_local` has not come to yet. What is bad it leaves as it is.
fn not_encrypted(found: &mut Findings, ctx: &Context, rows: &[Backup]) {
    if !ctx.config.encryption.encrypt_local {
        return;
    }
    let plain = rows
        .iter()
        .filter(|row| is_live(row) && !row.encrypted && !has_failed(row))
        .count();
    if plain > 0 {
        let plain = counted(plain, "archive is", "archives are");
        let message = format!("{plain} not encrypted, and `encrypt_local` is on");
        let remedy = "the next `cofre create` encrypts what is not; where one stays, its log says why";
        found.warn("archives", message, remedy);
    }
}

fn newest_of(rows: &[Backup]) -> Option<&Backup> {
    rows.iter().rev().find(|row| is_live(row))
}

/// A quick look at the newest: checksum and structure; of an encrypted one, the checksum of its file.
fn newest(found: &mut Findings, ctx: &Context, rows: &[Backup]) {
    let area = "archives";
    let Some(row) = newest_of(rows) else { return };
    let problems = if row.encrypted {
        let look = |backups: OwnedFd| sealed::look(backups.as_fd(), &row.name, row.size, &|_| Ok(()));
        ctx.backups().and_then(look).map(|found| found.problems)
    } else {
        let report = ctx.reader().and_then(|mut session| session.verify(row.id, true));
        report.map(|report| report.problems)
    };
    match problems {
        Ok(problems) => {
            let remedy = Some(&problems).filter(|problems| !problems.is_empty());
            let remedy = remedy.and_then(|_| move_away(ctx, row));
            let remedy = remedy.unwrap_or_else(|| "make a new backup with `cofre create`".to_owned());
            for problem in problems.iter().take(5) {
                let message = format!("{}: {}", escape(&row.name), escape(problem));
                found.problem(area, Code::Corrupt, message, &remedy);
            }
        }
        Err(error) => found.error(area, error),
    }
}
