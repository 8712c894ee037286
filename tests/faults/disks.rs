//! Real disks instead of single calls: one that is full after so many blocks, one that turns read-only, one that is
//! unmounted while it is read.

use std::path::Path;
use std::process::Command;

use crate::disk::{Disk, State, lay_out};
use crate::injector::{Call, Injected, program, read};
use crate::judge::{How, judge};
use crate::points::run_points;
use crate::scene::Stage;
use crate::support::{App, Run, cofre_binary, is_root, run, tool};

/// Runs a shell script in a mount namespace of its own. `$1` is the application's folder, `$2` cofre with its
/// configuration, `$3` the injector.
fn in_own_mounts(app: &App, script: &str, args: &[&str]) -> Run {
    tool("mount");
    let mut command = Command::new(tool("unshare"));
    command.arg("--mount");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["sh", "-ec", script, "sh"])
        .args([app.root(), cofre_binary(), program(), Path::new(&app.path("log"))])
        .args(args)
        .env_remove("COFRE_CONFIG");
    run(&mut command)
}

/// The backups on a disk of their own, which is gone with the script: `after` has what was on it.
const OWN_DISK: &str = "cp -a \"$1/backups\" \"$1/before\"
mount -t tmpfs -o size=8m,mode=0700 tmpfs \"$1/backups\"
cp -a \"$1/before/.\" \"$1/backups/\"\n";
const TAKE_AWAY: &str = "\nmkdir \"$1/after\"; cp -a \"$1/backups/.\" \"$1/after/\"; umount \"$1/backups\"
rm -r \"$1/backups\" \"$1/before\"; mv \"$1/after\" \"$1/backups\"; rm -f \"$1/log\"\n";

/// Every further block that fits: the disk is full somewhere else each time.
#[test]
fn a_disk_that_is_full_after_any_number_of_blocks_costs_nothing() {
    for (name, frees) in [
        ("create, the next, with retention", false),
        ("pin", false),
        ("delete", true),
        ("prune", true),
        ("restore, into the backups", false),
    ] {
        let stage = Stage::named(name);
        let mut full = 0;
        for blocks in 0..14 {
            let (app, known) = stage.ready();
            let script = format!(
                "{OWN_DISK}dd if=/dev/zero of=\"$1/backups/filler\" bs=4096 2>/dev/null || true
                 truncate -s -$((4096 * $5)) \"$1/backups/filler\"
                 root=$1; cofre=$2; code=0
                 (shift 5; \"$cofre\" --config \"$root/cofre.toml\" \"$@\") || code=$?
                 rm \"$1/backups/filler\"; echo \"code=$code\"{TAKE_AWAY}"
            );
            let blocks = blocks.to_string();
            let mut args = vec![blocks.as_str()];
            args.extend(stage.scene.args);
            let ended = in_own_mounts(&app, &script, &args).exits(0);
            let done = ended.stdout.contains("code=0");
            if !done {
                full += 1;
                assert!(
                    ended.stdout.contains("code=7"),
                    "{name}, {blocks} blocks: {ended}"
                );
                assert!(
                    ended.stderr.contains("space") && ended.stderr.contains("backups"),
                    "{ended}"
                );
                assert!(ended.stderr.contains("free space"), "no remedy: {ended}");
            }
            judge(
                &stage,
                &app,
                &known,
                done.then_some(&ended),
                How {
                    thorough: true,
                    times: true,
                },
            );
        }
        // What is there to free space needs none.
        assert_eq!(full == 0, frees, "{name} met a full disk {full} times");
    }
}

/// Fills the disk to its last block, runs the command under the injector with `action` at the call `at`, and reads the log.
fn on_full_disk(app: &App, stage: &Stage, action: &str, at: usize) -> Injected {
    let script = format!(
        "{OWN_DISK}dd if=/dev/zero of=\"$1/backups/filler\" bs=4096 2>/dev/null || true
         root=$1; cofre=$2; inject=$3; log=$4; action=$5; at=$6
         (shift 6; \"$inject\" \"$log\" \"$root/backups\" \"$action\" all \"$at\" -- \
          \"$cofre\" --config \"$root/cofre.toml\" \"$@\") || true
         rm \"$1/backups/filler\"; cp \"$log\" \"$root.log\"{TAKE_AWAY}"
    );
    let at = at.to_string();
    let mut args = vec![action, at.as_str()];
    args.extend(stage.scene.args);
    let ended = in_own_mounts(app, &script, &args).exits(0);
    let log = std::path::PathBuf::from(format!("{}.log", app.root().display()));
    let injected = read(ended, &log);
    std::fs::remove_file(log).unwrap();
    injected
}

/// Only where the disk is full do they take the way that makes room, so that no other crash meets them on it.
#[test]
fn what_empties_a_full_disk_loses_nothing_wherever_it_is_killed() {
    for name in ["prune", "delete"] {
        let stage = Stage::named(name);
        let mut killed = 0;
        for at in 1.. {
            let (app, known) = stage.ready();
            let injected = on_full_disk(&app, &stage, "kill", at);
            let done = injected.hits.is_empty();
            if done {
                assert!(injected.done, "{name}: {}", injected.run);
            } else {
                assert!(injected.killed, "{name}: {}", injected.run);
                killed += 1;
            }
            let how = How {
                thorough: at % 4 == 0,
                times: true,
            };
            judge(&stage, &app, &known, done.then_some(&injected.run), how);
            if done {
                break;
            }
        }
        assert!(killed > 20, "{name} had only {killed} calls");
    }
}

#[test]
fn what_empties_a_full_disk_loses_nothing_when_the_power_is_cut() {
    for name in ["prune", "delete"] {
        let stage = Stage::named(name);
        let (app, known) = stage.ready();
        let mut disk = Disk::of(app.root());
        let traced = on_full_disk(&app, &stage, "trace", 0);
        assert!(traced.done, "{name}: {}", traced.run);
        let gives_up = |call: &Call| call.name == "rename" && call.other.ends_with(".gone");
        assert!(traced.calls.iter().any(gives_up), "{name} had room enough");
        let mut points: Vec<(String, State)> = Vec::new();
        for call in traced.calls.iter().filter(|call| call.result >= 0) {
            disk.play(call);
            for state in disk.states() {
                if !points.iter().any(|(_, seen)| *seen == state) {
                    points.push((call.to_string(), state));
                }
            }
        }
        let label = |(after, _): &(String, State)| (name.to_owned(), format!("after {after}"));
        run_points(
            "power cut on a full disk",
            60,
            points,
            label,
            |(after, state), index| {
                let app = App::blank();
                lay_out(state, app.root());
                eprintln!("after {after}");
                let how = How {
                    thorough: index % 8 == 0,
                    times: false,
                };
                judge(&stage, &app, &known, None, how);
                true
            },
        );
    }
}

/// In memory without a limit, or by a program in user space that does not care: there is no such thing as free space.
#[test]
fn a_disk_that_does_not_tell_its_room_is_used_all_the_same() {
    let stage = Stage::named("restore, a folder");
    let (app, _) = stage.ready();
    let script = "mkdir \"$1/disk\"; mount -t ramfs ramfs \"$1/disk\"
         cp -a \"$1/.cofre\" \"$1/state\"; mount -t ramfs ramfs \"$1/.cofre\"; cp -a \"$1/state/.\" \"$1/.cofre/\"
         chmod 700 \"$1/.cofre\"
         root=$1; program=$2
         cofre() { \"$program\" --config \"$root/cofre.toml\" \"$@\"; }
         cofre restore latest --to \"$1/disk/out\"
         cofre restore latest --database app --into \"sqlite:$1/disk/new.db\"
         cofre drill
         cofre create
         cofre doctor | grep 'does not say how much is free'
         test -s \"$1/disk/new.db\"; test -f \"$1/disk/out/static/app.js\"
         umount \"$1/disk\" \"$1/.cofre\"";
    in_own_mounts(&app, script, &[]).exits(0);
}

#[test]
fn a_disk_that_turns_read_only_in_the_middle_is_said_to_be_one() {
    for name in ["create, the next, with retention", "pin", "delete", "prune"] {
        let stage = Stage::named(name);
        let renames = stage
            .calls
            .iter()
            .filter(|call| call.name == "rename" && call.path.contains("/backups/"))
            .count();
        let mut refused = 0;
        for at in 1..=renames {
            let (app, known) = stage.ready();
            let script = format!(
                "{OWN_DISK}root=$1; cofre=$2; inject=$3; log=$4; at=$5; code=0
                 (shift 5; \"$inject\" \"$log\" \"$root/backups\" \"run:mount -o remount,ro $root/backups\" rename \"$at\" -- \
                  \"$cofre\" --config \"$root/cofre.toml\" \"$@\") || code=$?
                 mount -o remount,rw \"$1/backups\"; echo \"code=$code\"; tail -n 1 \"$log\"; grep -c ^hit \"$log\"
                 if grep ^command \"$log\"; then exit 1; fi{TAKE_AWAY}"
            );
            let at = at.to_string();
            let mut args = vec![at.as_str()];
            args.extend(stage.scene.args);
            let ended = in_own_mounts(&app, &script, &args).exits(0);
            let done = ended.stdout.contains("code=0");
            if !done {
                refused += 1;
                assert!(ended.stdout.contains("code=8"), "{name}, rename {at}: {ended}");
                assert!(
                    ended.stderr.contains("Read-only file system"),
                    "{name}, rename {at}: {ended}"
                );
                assert!(ended.stderr.contains("backups"), "{ended}");
            }
            judge(
                &stage,
                &app,
                &known,
                done.then_some(&ended),
                How {
                    thorough: true,
                    times: true,
                },
            );
        }
        assert!(refused > 0, "{name} never met a read-only disk");
    }
}

/// A source that is unmounted lazily: whoever has it open goes on reading, everybody else sees the empty folder below it.
#[test]
fn a_source_that_is_unmounted_meanwhile_is_never_an_empty_backup() {
    let stage = Stage::named("create, the first");
    let calls = stage.calls.len();
    let mut failed = 0;
    for at in (1..=calls).step_by(4) {
        let (app, known) = stage.ready();
        let script = "cp -a \"$1/static\" \"$1/content\"; rm -r \"$1/static\"; mkdir \"$1/static\"
             mount -t tmpfs tmpfs \"$1/static\"; cp -a \"$1/content/.\" \"$1/static/\"; rm -r \"$1/content\"
             code=0
             \"$3\" \"$4\" \"$1\" \"run:umount -l $1/static\" all \"$5\" -- \"$2\" --config \"$1/cofre.toml\" create || code=$?
             echo \"code=$code\"; rm \"$4\"";
        let content = App::blank();
        crate::support::copy_tree(&app.path("static"), &content.path("static"));
        let ended = in_own_mounts(&app, script, &[&at.to_string()]).exits(0);
        let done = ended.stdout.contains("code=0");
        if done {
            let row = app.history().pop().unwrap();
            let names = crate::support::archive_names(&app.archive(&row));
            assert!(
                names.iter().any(|name| name == "static/app.js"),
                "{at}: {names:?}"
            );
        } else {
            failed += 1;
            assert!(ended.stdout.contains("code=10"), "at {at}: {ended}");
            assert!(ended.stderr.contains("static"), "at {at}: {ended}");
        }
        // It is mounted again.
        std::fs::remove_dir_all(app.path("static")).unwrap();
        crate::support::copy_tree(&content.path("static"), &app.path("static"));
        judge(
            &stage,
            &app,
            &known,
            done.then_some(&ended),
            How {
                thorough: true,
                times: true,
            },
        );
    }
    assert!(failed > 0, "it was never unmounted before it was opened");
}
