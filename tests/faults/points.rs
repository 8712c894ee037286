//! Running many points: on all cores, to the end whatever fails, and with the count that the report wants.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Rng;

/// Whether every point is to run.
pub(crate) fn all() -> bool {
    std::env::var_os("COFRE_FAULTS").is_some_and(|value| value == "all")
}

/// Runs `each` with a seeded share of `points`, or with all of them. `label` gives a point's group, for the count, and its
/// own name. `each` gets the point and its place among those that run.
///
/// # Panics
/// With every violation, when all points have run.
pub(crate) fn run_points<P: Sync>(
    test: &str,
    share: usize,
    mut points: Vec<P>,
    label: impl Fn(&P) -> (String, String) + Sync,
    each: impl Fn(&P, usize) + Sync,
) {
    let total = points.len();
    let mut rng = Rng::new(test);
    if !all() {
        for at in 0..total.min(share) {
            let other = at + usize::try_from(rng.below((total - at) as u64)).unwrap();
            points.swap(at, other);
        }
        points.truncate(share);
    }
    let next = AtomicUsize::new(0);
    let bad = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(point) = points.get(at) else { break };
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| each(point, at))) {
                        let (group, name) = label(point);
                        bad.lock()
                            .unwrap()
                            .push(format!("{group}: {name}\n{}", text(&*payload)));
                    }
                }
            });
        }
    });
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for point in &points {
        *counts.entry(label(point).0).or_default() += 1;
    }
    let bad = bad.into_inner().unwrap();
    let mut report = format!(
        "{test}: {} of {total} points, {} violations\n",
        points.len(),
        bad.len()
    );
    for (group, count) in counts {
        report.push_str(&format!("  {count:5}  {group}\n"));
    }
    eprint!("{report}");
    let shown: Vec<_> = bad.iter().take(MOST_SHOWN).map(String::as_str).collect();
    assert!(bad.is_empty(), "{report}\n{}", shown.join("\n----\n"));
}

/// Most violations that are shown in full: one kind makes hundreds of them.
const MOST_SHOWN: usize = 40;

fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}
