//! SIGKILL at each call that changes a file, before it and in the middle of a write.

use crate::injector::Action;
use crate::judge::{How, judge};
use crate::points::run_points;
use crate::scene::{Stage, count};

/// Points of a short run.
const SHARE: usize = 420;
/// One of so many points reads every archive at its end.
const THOROUGH: usize = 8;

struct Point<'a> {
    stage: &'a Stage,
    action: Action,
    only: &'static str,
    at: usize,
}

#[test]
fn killed_at_any_call_nothing_is_lost_and_the_next_run_cleans_up() {
    let stages = Stage::all();
    let mut points = Vec::new();
    for stage in &stages {
        for (action, only) in [(Action::Kill, "all"), (Action::Torn, "write,writev,copy")] {
            let count = count(stage, only, action == Action::Torn);
            points.extend((1..=count).map(|at| Point {
                stage,
                action: action.clone(),
                only,
                at,
            }));
        }
    }
    let label = |point: &Point<'_>| {
        let Point {
            stage,
            action,
            only,
            at,
        } = point;
        (
            stage.scene.name.to_owned(),
            format!("{action:?} at {at} of {only}"),
        )
    };
    run_points("killed_at_any_call", SHARE, points, label, |point, index| {
        let Some((app, known, injected, hit)) = point.stage.meet(&point.action, point.only, point.at) else {
            return false;
        };
        assert!(injected.killed, "not killed at {hit}: {}", injected.run);
        eprintln!("at {hit}");
        let ended = injected.done.then_some(&injected.run);
        judge(
            point.stage,
            &app,
            &known,
            ended,
            How {
                thorough: index % THOROUGH == 0,
                times: true,
            },
        );
        true
    });
}
