//! `cofre status`: the totals, and when the plans run.

use std::fmt::Write as _;
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::{App, Ended, checks};
use crate::api::convert::no_backups;
use crate::api::types::{Backup, ScheduleStatus, Status, StatusReport};
use crate::config::Config;
use crate::context::Overview;
use crate::error::Result;
use crate::remote::RemoteStatus;
use crate::text::{self, escape};
use crate::{remote, schedule, state};

pub(super) fn run(app: &App) -> Result<Ended> {
    let ctx = app.context()?;
    let Overview { mut session, lost } = checks::overview(app, &ctx)?;
    let summary = match &mut session {
        Some(session) => session.status(ctx.now())?,
        None => no_backups(),
    };
    let status = StatusReport {
        totals: Status::new(summary, &ctx.config, lost.as_ref()),
        schedules: schedule::status(&ctx, session.as_mut()),
        remotes: remote::status(&ctx),
    };
    app.output.print(&status, || render(&status))?;
    if let Some(message) = unattended(&ctx.config) {
        app.output.note(&format!("{message}: start it, or no plan runs"));
    }
    Ok(Ended::Done)
}

fn unattended(config: &Config) -> Option<String> {
    let state = state::read(config).ok().flatten()?;
    let now = DateTime::<Utc>::from(SystemTime::now());
    schedule::unattended(config, &state, now).filter(|_| !config.schedules.is_empty())
}

fn render(report: &StatusReport) -> String {
    let status = &report.totals;
    let mut lines = vec![
        (
            "backups",
            format!(
                "{} ({} completed, {} partial, {} failed)",
                status.total_backups, status.completed_backups, status.partial_backups, status.failed_backups
            ),
        ),
        ("size", text::size(status.total_size_bytes)),
        ("folder", status.backup_dir.clone()),
        ("keeps", format!("{} newest", status.max_backups)),
        ("last", last(&status.last_backup)),
        ("last good", last(&status.last_success)),
    ];
    let ids = |ids: &[u64]| ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    if !status.archives_missing.is_empty() {
        lines.push((
            "missing",
            format!("the archive of id {}", ids(&status.archives_missing)),
        ));
    }
    if !status.archives_unknown.is_empty() {
        lines.push((
            "unknown",
            format!(
                "{} (`cofre rebuild` takes them in)",
                status.archives_unknown.join(", ")
            ),
        ));
    }
    if !status.future.is_empty() {
        lines.push((
            "future",
            format!(
                "id {} lies in the future; is the clock right?",
                ids(&status.future)
            ),
        ));
    }
    lines.extend(report.schedules.iter().map(|plan| ("next run", next_run(plan))));
    lines.extend(report.remotes.iter().map(|remote| ("copies", copies(remote))));
    lines.iter().fold(String::new(), |mut out, (name, value)| {
        // Writing to a string can't fail.
        let _ = writeln!(out, "{name:<12}{}", escape(value));
        out
    })
}

/// `backup_20261126_020000_daily (id 12, 2026-11-26 02:00:00, completed)`, and what speaks against it.
fn last(row: &Option<Backup>) -> String {
    let Some(row) = row else { return "none".to_owned() };
    let time = text::time(&row.timestamp);
    let mut line = format!("{} (id {}, {time}, {})", row.name, row.id, row.status);
    if row.verify_status.as_deref() == Some("failed") {
        line.push_str(", its verification FAILED");
    }
    if matches!(row.status, "completed" | "partial") && !row.archive_present {
        line.push_str(", its archive is MISSING");
    }
    line
}

/// `offsite: 12 there, 1 pending, last 2026-11-26 02:01:10Z; FAILING since 3 tries: ...`.
fn copies(remote: &RemoteStatus) -> String {
    let last = remote
        .last_success
        .as_deref()
        .map_or_else(|| "never".to_owned(), text::time);
    let mut line = format!(
        "{}: {} there, {} pending, last {last}",
        remote.name, remote.copies, remote.pending
    );
    if remote.lost > 0 {
        line.push_str(&format!(
            "; {} LOST there, and copied again where the archive is here",
            remote.lost
        ));
    }
    if let Some(error) = &remote.last_error {
        line.push_str(&format!("; FAILED {} times in a row: {error}", remote.failures));
    }
    line
}

/// `daily, 2026-11-26 02:00:00-03:00, 3 missed, late since 2026-11-25 02:00:00-03:00`.
fn next_run(plan: &ScheduleStatus) -> String {
    let next = match (&plan.next_run, plan.enabled) {
        (Some(next), _) => text::time(next),
        (None, true) => "never".to_owned(),
        (None, false) => "disabled".to_owned(),
    };
    let missed = match plan.missed {
        0 => String::new(),
        missed => format!(", {missed} missed"),
    };
    let late = plan
        .late_since
        .as_ref()
        .map_or_else(String::new, |since| format!(", late since {}", text::time(since)));
    format!("{}, {next}{missed}{late}", plan.plan)
}
