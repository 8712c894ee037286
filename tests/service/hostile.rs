//! Requests that no honest client sends: two readings of where one ends, heads and bodies that are bombs, ids that
//! want to be paths, texts that want to be lines of the log.

mod bodies;
mod catalogs;
mod framing;
mod heads;
mod ids;
mod log;

use crate::process::{Service, until};
use crate::site::Site;

/// Waits until the log has so many lines with all the fragments; them.
#[track_caller]
fn lines(service: &Service, fragments: &[&str], count: usize) -> Vec<String> {
    let found = || -> Vec<String> {
        let log = service.log();
        let lines = log
            .lines()
            .filter(|line| fragments.iter().all(|fragment| line.contains(fragment)));
        lines.map(str::to_owned).collect()
    };
    until(&format!("{count} lines with {fragments:?} in the log"), || {
        (found().len() >= count).then_some(())
    });
    let found = found();
    assert_eq!(found.len(), count, "{fragments:?}: {found:#?}");
    found
}

/// The service still works, and for the right one only.
fn is_well(site: &Site) {
    site.anonymous("GET", "/healthz").send().is(200);
    site.anonymous("GET", "/api/backup/status").send().is(401);
    site.status();
}
