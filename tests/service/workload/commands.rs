//! The commands beside the service: they want the same lock, and read the same files.

use serde_json::Value;

use crate::support::Rng;

use super::PLANS;
use super::actors::{Actor, made};
use super::shared::Shared;

pub(super) const ALL: [Actor; 4] = [create, create, pin, look];

/// Done, or another run held the backups.
const DONE_OR_BUSY: [i32; 3] = [0, 3, 6];

fn create(shared: &Shared<'_>, rng: &mut Rng) {
    let plan = ["manual", PLANS[0], PLANS[1]][usize::try_from(rng.below(3)).unwrap()];
    let mut args = vec!["--json", "create", "--plan", plan];
    match rng.below(5) {
        0 => args.push("--full"),
        1 => args.extend(["--type", "antes-da-troca"]),
        _ => {}
    }
    let run = shared.cofre(&args, &DONE_OR_BUSY);
    if run.code == Some(0) || run.code == Some(3) {
        made(shared, &run.json());
    }
    shared.pause_random(rng, 900);
}

fn pin(shared: &Shared<'_>, rng: &mut Rng) {
    let Some(row) = some_row(shared, rng) else {
        return;
    };
    let id = row["id"].as_u64().unwrap_or_default();
    let (number, gone) = (id.to_string(), 4);
    match rng.below(6) {
        0 | 1 if row["status"] == "completed" => drop(shared.cofre(&["pin", &number], &[0, 6, gone])),
        2 | 3 => {
            shared.unpin(id);
            shared.cofre(&["unpin", &number], &[0, 6, gone]);
        }
        4 => {
            shared.condemn(id);
            // 10: pinned, or the last good one.
            shared.cofre(&["delete", &number], &[0, 6, gone, 10]);
        }
        _ => drop(shared.cofre(&["prune"], &[0, 6])),
    }
    shared.pause_random(rng, 900);
}

fn look(shared: &Shared<'_>, rng: &mut Rng) {
    match rng.below(5) {
        0 => drop(shared.cofre(&["--json", "status"], &[0])),
        1 => drop(shared.cofre(&["prune", "--dry-run"], &[0])),
        2 => {
            // 4: there is none, or it was deleted meanwhile.
            shared.cofre(&["verify", "latest"], &[0, 4]);
        }
        3 => drop(shared.cofre(&["show", "latest"], &[0, 4])),
        _ => drop(some_row(shared, rng)),
    }
    shared.pause_random(rng, 900);
}

/// A row of `cofre list`.
fn some_row(shared: &Shared<'_>, rng: &mut Rng) -> Option<Value> {
    let listed = shared.cofre(&["--json", "list"], &[0]);
    let rows = listed.json().as_array().cloned().unwrap_or_default();
    let at = usize::try_from(rng.below(rows.len() as u64)).unwrap();
    rows.get(at).cloned()
}
