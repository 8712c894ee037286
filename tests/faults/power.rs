//! The power is cut: SIGKILL keeps what the kernel has in memory, this does not. A trace of each command is played into a
//! model of a disk, and what may be left after each call is laid out and judged like any other fault. What a command has
//! reported as done has to be there in each of these states.

use std::collections::HashSet;
use std::hash::{Hash as _, Hasher as _};

use crate::disk::{Disk, State, lay_out};
use crate::injector::Action;
use crate::judge::{How, Known, judge};
use crate::points::run_points;
use crate::scene::Stage;
use crate::support::{App, Run};

/// Points of a short run.
const SHARE: usize = 320;
/// One of so many points reads every archive at its end.
const THOROUGH: usize = 8;

/// Not played: megabytes, of which each state of the disk would be another copy, and manual pages.
const LEFT_OUT: [&str; 3] = ["component", "man", "remote push, a larger archive"];

/// One run of a command.
struct Traced<'a> {
    stage: &'a Stage,
    known: Known,
    run: Run,
}

/// A crash of it.
struct Point<'a> {
    traced: &'a Traced<'a>,
    /// The call before it.
    after: String,
    state: State,
    /// The command had ended.
    ended: bool,
}

#[test]
fn when_the_power_is_cut_nothing_is_lost_and_what_was_done_stays_done() {
    let stages = Stage::all();
    let mut runs = Vec::new();
    for stage in stages
        .iter()
        .filter(|stage| !LEFT_OUT.contains(&stage.scene.name))
    {
        let (app, known) = stage.ready();
        let mut disk = Disk::of(app.root());
        let traced = stage.scene.inject(&app, &Action::Trace, "all", 0);
        assert!(traced.done, "{}", traced.run);
        let mut crashes: Vec<(String, State)> = Vec::new();
        let mut seen = HashSet::new();
        for call in traced.calls.iter().filter(|call| call.result >= 0) {
            disk.play(call);
            for state in disk.states() {
                if seen.insert(short(&state)) {
                    crashes.push((call.to_string(), state));
                }
            }
        }
        runs.push((
            Traced {
                stage,
                known,
                run: traced.run,
            },
            crashes,
            disk.states(),
        ));
    }
    let mut points = Vec::new();
    for (traced, crashes, last) in &runs {
        let point = |after: &str, state: &State, ended| Point {
            traced,
            after: after.to_owned(),
            state: state.clone(),
            ended,
        };
        // The last states are those of a run that has ended.
        let at_end: HashSet<u64> = last.iter().map(short).collect();
        let before = crashes
            .iter()
            .filter(|(_, state)| !at_end.contains(&short(state)));
        points.extend(before.map(|(after, state)| point(after, state, false)));
        points.extend(last.iter().map(|state| point("the end", state, true)));
    }
    let label = |point: &Point<'_>| {
        (
            point.traced.stage.scene.name.to_owned(),
            format!("after {}", point.after),
        )
    };
    run_points("when_the_power_is_cut", SHARE, points, label, |point, index| {
        let Traced { stage, known, run } = point.traced;
        let app = App::blank();
        lay_out(&point.state, app.root());
        eprintln!("after {}:\n{}", point.after, app.shown());
        let ended = point.ended.then_some(run);
        judge(
            stage,
            &app,
            known,
            ended,
            How {
                thorough: index % THOROUGH == 0,
                times: false,
            },
        );
        true
    });
}

/// A number that tells states apart.
fn short(state: &State) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

trait Shown {
    fn shown(&self) -> String;
}

impl Shown for App {
    /// The names in the folder, for whoever looks for the reason of a failure.
    fn shown(&self) -> String {
        let tree = crate::tree::tree(self.root());
        tree.keys().map(|path| format!("  {path}\n")).collect()
    }
}
