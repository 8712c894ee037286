//! Running many points: on all cores, to the end whatever fails, and with the count that the report wants.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::Rng;

/// Whether every point is to run.
fn all() -> bool {
    std::env::var_os("COFRE_FAULTS").is_some()
}

/// Whether the points of a scene are to run: `COFRE_FAULTS` is `all`, or how the names of some scenes begin.
pub(crate) fn wanted(scene: &str) -> bool {
    match std::env::var("COFRE_FAULTS") {
        Ok(value) => value == "all" || scene.starts_with(&value),
        Err(_) => true,
    }
}

/// Runs `each` with a seeded share of `points`, or with all of them. `label` gives a point's group, for the count, and its
/// own name. `each` gets the point and its place among those that run, and tells whether it came to it: a run that is
/// shorter than the first one, which told the number of calls, does not come to its last points.
///
/// # Panics
/// With every violation, when all points have run.
pub(crate) fn run_points<P: Sync>(
    test: &str,
    share: usize,
    mut points: Vec<P>,
    label: impl Fn(&P) -> (String, String) + Sync,
    each: impl Fn(&P, usize) -> bool + Sync,
) {
    let total = points.len();
    assert!(total > 0, "no scene has a name that begins as COFRE_FAULTS does");
    if !all() {
        points = drawn(test, points, share, &label);
    }
    let next = AtomicUsize::new(0);
    let (bad, missed) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(point) = points.get(at) else { break };
                    match catch_unwind(AssertUnwindSafe(|| each(point, at))) {
                        Ok(true) => {}
                        Ok(false) => drop(missed.fetch_add(1, Ordering::Relaxed)),
                        Err(payload) => {
                            let (group, name) = label(point);
                            let violation = format!("{group}: {name}\n{}", text(&*payload));
                            // At once too: a long run is not waited for to see its first.
                            eprintln!("violation: {violation}");
                            bad.lock().unwrap().push(violation);
                        }
                    }
                }
            });
        }
    });
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for point in &points {
        *counts.entry(label(point).0).or_default() += 1;
    }
    let (bad, missed) = (bad.into_inner().unwrap(), missed.into_inner());
    let mut report = format!(
        "{test}: {} of {total} points, {missed} of them not there, {} violations\n",
        points.len(),
        bad.len()
    );
    for (group, count) in counts {
        report.push_str(&format!("  {count:5}  {group}\n"));
    }
    eprint!("{report}");
    assert!(
        missed * 20 <= points.len(),
        "too many points are not there\n{report}"
    );
    let shown: Vec<_> = bad.iter().take(MOST_SHOWN).map(String::as_str).collect();
    assert!(bad.is_empty(), "{report}\n{}", shown.join("\n----\n"));
}

/// A seeded share of the points, as many of each group as there are.
fn drawn<P>(test: &str, points: Vec<P>, share: usize, label: impl Fn(&P) -> (String, String)) -> Vec<P> {
    let mut rng = Rng::new(test);
    let mut groups: BTreeMap<String, Vec<P>> = BTreeMap::new();
    for point in points {
        groups.entry(label(&point).0).or_default().push(point);
    }
    let mut drawn = Vec::new();
    while drawn.len() < share && !groups.is_empty() {
        for group in groups.values_mut() {
            let chosen = usize::try_from(rng.below(group.len() as u64)).unwrap();
            drawn.push(group.swap_remove(chosen));
        }
        groups.retain(|_, group| !group.is_empty());
    }
    drawn.truncate(share);
    drawn
}

/// Most violations that are shown in full: one kind makes hundreds of them.
const MOST_SHOWN: usize = 40;

fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}
