//! What retention promises whatever its settings are, checked against its decisions.

use chrono::{DateTime, FixedOffset};
use cofre_component::catalog::{Record, Status, time};
use cofre_component::retention::{Decision, RecordView};
use cofre_component::types::RetentionPolicy;

/// Panics where `decisions` break a promise about `rows`.
pub fn check(
    rows: &[RecordView<'_>],
    policy: &RetentionPolicy,
    now: DateTime<FixedOffset>,
    decisions: &[Decision],
) {
    assert_eq!(rows.len(), decisions.len());
    let start = |r: &Record| time::start_of(r, *now.offset());
    let good = |r: &RecordView<'_>, status: Status| {
        r.record.status == status && r.archive_present && start(r.record) <= now
    };
    let completed = |r: &RecordView<'_>| good(r, Status::Completed);
    let partial = |r: &RecordView<'_>| good(r, Status::Partial);
    let newest = |accept: &dyn Fn(&RecordView<'_>) -> bool| {
        let all = (0..rows.len()).filter(|&i| accept(&rows[i]));
        all.max_by_key(|&i| (start(rows[i].record), rows[i].record.id))
    };
    let stays = |index: Option<usize>, what: &str| {
        if let Some(i) = index {
            assert!(decisions[i].keep, "{what} goes: {:?} {:?}", rows[i], decisions[i]);
        }
    };

    stays(newest(&completed), "the newest completed");
    for row in rows {
        let plan = &row.record.plan;
        stays(
            newest(&|r| completed(r) && r.record.plan == *plan),
            "the newest completed of a plan",
        );
    }
    let verified = |r: &RecordView<'_>| {
        let status = r.record.verify_status.as_deref();
        matches!(status, Some("verified" | "verified (no manifest)"))
    };
    stays(newest(&|r| completed(r) && verified(r)), "the newest verified");
    let last_partial = newest(&partial);
    if let Some(i) = last_partial
        && newest(&completed).is_none_or(|c| start(rows[c].record) < start(rows[i].record))
    {
        stays(last_partial, "the newest partial, with no newer completed one,");
    }

    let mut kept_completed = 0_u64;
    for (row, decision) in rows.iter().zip(decisions) {
        assert!(!decision.reasons.is_empty(), "{row:?} has no reason");
        let record = row.record;
        let untouchable = record.pinned
            || record.status == Status::InProgress
            || start(record) > now
            || (matches!(record.status, Status::Completed | Status::Partial) && !row.archive_present);
        assert!(decision.keep || !untouchable, "{row:?} goes: {decision:?}");
        kept_completed += u64::from(decision.keep && completed(row));
    }
    let all = rows.iter().filter(|r| completed(r)).count() as u64;
    assert!(
        kept_completed >= all.min(u64::from(policy.max_backups)),
        "{kept_completed} of {all} stay"
    );
}
