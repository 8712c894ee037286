//! Any rows, any policy, any time: what has to stay stays.
#![no_main]

use chrono::{DateTime, FixedOffset};
use cofre_component::catalog::{Record, Status};
use cofre_component::retention::{self, RecordView};
use cofre_component::types::RetentionPolicy;
use cofre_component_fuzz::promises;
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    rows: Vec<Row>,
    policy: [u8; 6],
    within: u64,
    failed: u64,
    now: i64,
    offset: i32,
}

#[derive(Debug, arbitrary::Arbitrary)]
struct Row {
    id: u16,
    status: u8,
    plan: Option<u8>,
    start: i64,
    offset: i16,
    legacy: bool,
    odd_time: bool,
    pinned: bool,
    verified: Option<bool>,
    present: bool,
}

/// Mostly near each other, where the rules are, and sometimes anywhere.
fn instant(seconds: i64, offset: i32) -> DateTime<FixedOffset> {
    let offset = FixedOffset::east_opt(offset % 86_400).unwrap();
    let seconds = match seconds % 8 {
        0 => seconds,
        n => 1_700_000_000 + (seconds / 8) % (40_000_000 / n),
    };
    let utc = DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH);
    utc.with_timezone(&offset)
}

fn record(row: &Row, index: usize) -> Record {
    let start = instant(row.start, i32::from(row.offset));
    let local = start.naive_local();
    let status = match row.status % 8 {
        0 => "in_progress",
        1 => "partial",
        2 => "failed",
        3 => "cancelled",
        _ => "completed",
    };
    let timestamp = if row.odd_time {
        "2016-12-31T23:59:60".to_owned()
    } else {
        local.format("%Y-%m-%dT%H:%M:%S%.6f").to_string()
    };
    let mut fields = serde_json::json!({
        // Unique, as in a catalog, and in any order.
        "id": u64::from(row.id) << 16 | index as u64,
        "name": "backup_20261125_020000_manual", "type": "manual", "timestamp": timestamp, "status": status,
        "plan": row.plan.map(|p| (p % 4).to_string()), "pinned": row.pinned,
        "verify_status": row.verified.map(|good| if good { "verified" } else { "failed" }),
    });
    if !row.legacy {
        fields["started_at"] = start.to_rfc3339().into();
    }
    serde_json::from_value(fields).unwrap()
}

fuzz_target!(|input: Input| {
    let rows: Vec<Record> = input.rows.iter().enumerate().map(|(i, r)| record(r, i)).collect();
    let views: Vec<_> = rows
        .iter()
        .zip(&input.rows)
        .map(|(record, row)| RecordView {
            record,
            archive_present: row.present
                ^ matches!(
                    record.status,
                    Status::Completed | Status::Partial | Status::InProgress
                ),
        })
        .collect();
    let [
        max_backups,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        keep_partial,
    ] = input.policy.map(u32::from);
    let policy = RetentionPolicy {
        max_backups,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        keep_partial,
        keep_within_seconds: input.within,
        keep_failed_seconds: input.failed,
    };
    let now = instant(input.now, input.offset);
    match retention::decide(&views, &policy, now) {
        Ok(decisions) => promises::check(&views, &policy, now, &decisions),
        Err(e) => assert!(max_backups == 0, "{e}"),
    }
});
