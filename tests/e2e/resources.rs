//! No space, a read-only folder, memory: what the machine refuses is said with its own exit code.

use std::path::Path;
use std::process::Command;

use crate::support::{App, Rng, Run, cofre_binary, is_root, run, tool};

/// Runs a shell script in a mount namespace of its own, where it may mount over folders of the test.
pub(crate) fn in_own_mounts(app: &App, script: &str) -> Run {
    tool("mount");
    let mut command = Command::new(tool("unshare"));
    command.arg("--mount");
    if !is_root() {
        command.arg("--map-root-user");
    }
    let config = app.path("cofre.toml");
    command
        .args(["sh", "-ec", script, "sh"])
        .args([app.root(), cofre_binary(), Path::new(&config)])
        .env_remove("COFRE_CONFIG");
    run(&mut command)
}

#[test]
fn a_full_disk_exits_with_7_and_leaves_no_half_archive() {
    let app = App::new();
    app.write("static/foto.raw", &Rng::fixed(3).bytes(8 << 20));
    std::fs::create_dir(app.path("backups")).unwrap();
    let run = in_own_mounts(
        &app,
        "mount -t tmpfs -o size=2m,mode=0700 tmpfs \"$1/backups\"
         code=0; \"$2\" --config \"$3\" create || code=$?
         echo \"code=$code\"; ls -A \"$1/backups\"
         rm \"$1/static/foto.raw\"; echo small > \"$1/static/a.txt\"
         \"$2\" --config \"$3\" create; \"$2\" --config \"$3\" --json list",
    )
    .exits(0)
    .says("code=7")
    .never_says("\n.backup_")
    .says("\"failed\"")
    .says("\"completed\"");
    assert!(run.stderr.contains("space"), "{run}");
}

#[test]
fn a_restore_that_the_disk_can_not_hold_is_refused_with_what_it_needs() {
    let app = App::new();
    app.write("static/antes.txt", b"before it\n");
    // A few kilobytes in the archive, 64 MiB on the disk.
    let sparse = std::fs::File::create(app.path("static/esparso.img")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    app.create();
    std::fs::create_dir(app.path("disco")).unwrap();
    let run = in_own_mounts(
        &app,
        "mount -t tmpfs -o size=2m tmpfs \"$1/disco\"
         for only in '' '--only=static/esparso.img'; do
             code=0; \"$2\" --config \"$3\" restore latest --to \"$1/disco/novo\" $only || code=$?
             echo \"code=$code left=$(ls -A \"$1/disco\")\"
         done
         \"$2\" --config \"$3\" restore latest --to \"$1/disco/novo\" --only static/antes.txt
         cat \"$1/disco/novo/static/antes.txt\"",
    )
    .exits(0)
    .says("/disco/.novo.partial: the files of ")
    .says(" need 67")
    .says(" bytes, and 2097152 are free")
    .says("before it");
    assert_eq!(run.stdout.matches("code=7 left=\n").count(), 2, "{run}");
}

#[test]
fn a_read_only_backups_folder_exits_with_8_while_readers_go_on() {
    let app = App::small();
    app.create();
    in_own_mounts(
        &app,
        "mount --bind \"$1/backups\" \"$1/backups\"; mount -o remount,bind,ro \"$1/backups\"
         code=0; \"$2\" --config \"$3\" create || code=$?
         echo \"code=$code\"
         \"$2\" --config \"$3\" list; \"$2\" --config \"$3\" verify; \"$2\" --config \"$3\" show latest",
    )
    .exits(0)
    .says("code=8")
    .says("backups");
}

#[test]
fn a_backups_folder_without_write_permission_exits_with_8() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = App::small();
    app.create();
    std::fs::set_permissions(app.backups(), std::fs::Permissions::from_mode(0o500)).unwrap();
    app.cofre_unprivileged(&["create"]).exits(8).says("backups");
    app.cofre_unprivileged(&["list"]).exits(0);
    std::fs::set_permissions(app.backups(), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(app.history().len(), 1);
}

#[test]
fn peak_memory_stays_below_128_mib_on_large_and_on_many_files() {
    let app = App::new();
    crate::support::tiny_files(&app.path("static/muitos"), 20_000);
    app.write("static/grande.bin", &Rng::fixed(9).bytes(300 << 20));
    for args in [vec!["create"], vec!["verify"], vec!["restore", "latest"]] {
        let (run, mib) = measured(&app, &args);
        drop(run.exits(0));
        assert!(mib < 128, "{args:?} took {mib} MiB");
    }
}

/// Runs cofre to its end; what it did, and the most memory that it had, in MiB.
pub(crate) fn measured(app: &App, args: &[&str]) -> (Run, u64) {
    let script = "import os, resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print('peak_kib', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)";
    let run = run(Command::new(tool("python3"))
        .args(["-c", script])
        .arg(cofre_binary())
        .arg("--config")
        .arg(app.path("cofre.toml"))
        .args(args));
    let peak = run.stdout.lines().find_map(|line| line.strip_prefix("peak_kib "));
    let peak: u64 = peak.expect("the measure").parse().expect("a number");
    (run, peak / 1_024)
}
