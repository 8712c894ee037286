//! Whatever the rows, the policy and the time are: what retention promises, it keeps, and a second prune finds
//! nothing more to remove.
//!
//! Many more cases: `PROPTEST_CASES=200000 cargo test --release -p cofre-component property`.

use chrono::TimeDelta;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// The same as the fuzz target checks.
#[path = "../../../fuzz/src/promises.rs"]
#[allow(unreachable_pub, reason = "it is a module of the fuzz targets as well")]
mod promises;

/// What a row of a test is made of: hours before [`new_year`], status, plan, and flags.
type Shape = (i64, u8, Option<u8>, [bool; 5]);

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    // Several a day and years apart, and some from the future.
    let hours = prop_oneof![6 => 0..200_i64, 3 => 0..20_000_i64, 1 => -100..0_i64];
    vec(
        (hours, 0..10_u8, proptest::option::of(0..3_u8), any::<[bool; 5]>()),
        0..40,
    )
}

fn made((hours, status, plan, [pinned, legacy, good, verified, _]): &Shape, id: u64) -> Record {
    let start = new_year() - TimeDelta::hours(*hours);
    let status = match status {
        0 => Status::InProgress,
        1 => Status::Failed,
        2 => Status::Cancelled,
        3 | 4 => Status::Partial,
        _ => Status::Completed,
    };
    Record {
        plan: plan.map(|p| format!("plan {p}")),
        pinned: *pinned && id.is_multiple_of(7),
        started_at: (!legacy).then(|| start.to_rfc3339()),
        verify_status: verified.then(|| if *good { "verified" } else { "failed" }.to_owned()),
        ..row_with(id, &start.format("%Y-%m-%dT%H:%M:%S").to_string(), status)
    }
}

fn policies() -> impl Strategy<Value = RetentionPolicy> {
    let age = || prop_oneof![2 => Just(0), 2 => 0..30_000_000_u64, 1 => any::<u64>()];
    (1..6_u32, [0..4_u32, 0..4, 0..4, 0..4], 0..4_u32, age(), age()).prop_map(
        |(
            max_backups,
            [keep_daily, keep_weekly, keep_monthly, keep_yearly],
            keep_partial,
            within,
            failed,
        )| {
            RetentionPolicy {
                max_backups,
                keep_daily,
                keep_weekly,
                keep_monthly,
                keep_yearly,
                keep_partial,
                keep_within_seconds: within,
                keep_failed_seconds: failed,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn property_promises_are_kept(shapes in shapes(), policy in policies()) {
        // Ids in any order, as after a rebuild.
        let count = shapes.len() as u64;
        let ids = (0..count).map(|i| 1 + (i * 7 + 3) % count.max(1) * 2 + i % 2 * count * 2);
        let rows: Vec<Record> = shapes.iter().zip(ids).map(|(shape, id)| made(shape, id)).collect();
        let views: Vec<_> = rows.iter().zip(&shapes).map(|(record, shape)| RecordView {
            record,
            archive_present: matches!(record.status, Status::Completed | Status::Partial) && (shape.3[4] || shape.0 % 3 > 0),
        }).collect();
        let decisions = decide(&views, &policy, new_year()).unwrap();
        promises::check(&views, &policy, new_year(), &decisions);

        let kept: Vec<_> = views.iter().zip(&decisions).filter(|(_, d)| d.keep).map(|(v, _)| *v).collect();
        let again = decide(&kept, &policy, new_year()).unwrap();
        prop_assert!(again.iter().all(|d| d.keep), "{again:?}");
    }
}
