//! Hooks as real programs: environment, failures, deadlines, cancellation, descendants.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::config::Config;

const RUN: HookRun<'static> = HookRun {
    id: 7,
    name: "backup_20261125_020000_automated",
    backup_type: "automated",
    plan: "daily",
};

fn context(dir: &Path, before: &[&str], after: &[&str], timeout: Duration) -> Context {
    let mut config = Config::parse("[sources.s]\npath = \"s\"\n", dir).unwrap();
    let owned = |argv: &[&str]| argv.iter().map(|&arg| arg.to_owned()).collect();
    config.hooks.before = owned(before);
    config.hooks.after = owned(after);
    config.hooks.timeout = timeout;
    config.repository = "relatorios".to_owned();
    Context::new(config).unwrap()
}

fn run_before(dir: &Path, argv: &[&str], timeout: Duration) -> Result<()> {
    before(&context(dir, argv, &[], timeout), &RUN, &AtomicBool::new(false))
}

const MINUTE: Duration = Duration::from_secs(60);

/// Waits until a process is gone or a zombie.
fn assert_gone(pid: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        if stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
        {
            return;
        }
        assert!(Instant::now() < end, "process {pid} is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_run_without_hooks_is_not_held_up() {
    let temp = tempfile::tempdir().unwrap();
    run_before(temp.path(), &[], MINUTE).unwrap();
}

#[test]
fn before_runs_in_the_configurations_folder_with_the_run_in_its_environment() {
    let temp = tempfile::tempdir().unwrap();
    let script = "pwd; env | grep ^COFRE_ | sort; umask; cat";
    run_before(temp.path(), &["sh", "-c", &format!("({script}) > out")], MINUTE).unwrap();
    let out = std::fs::read_to_string(temp.path().join("out")).unwrap();
    let folder = temp.path().canonicalize().unwrap();
    assert!(out.starts_with(&format!("{}\n", folder.display())), "{out}");
    for line in [
        "COFRE_EVENT=before",
        "COFRE_ID=7",
        "COFRE_NAME=backup_20261125_020000_automated",
        "COFRE_TYPE=automated",
        "COFRE_PLAN=daily",
        "COFRE_STATUS=in_progress",
        "COFRE_ERROR=",
        "COFRE_SIZE=",
        "COFRE_ARCHIVE=",
        "COFRE_REPOSITORY=relatorios",
        &format!("COFRE_BACKUP_DIR={}/backups", temp.path().display()),
    ] {
        assert!(out.lines().any(|l| l == line), "{line} in {out}");
    }
}

#[test]
fn arguments_are_no_shell_text() {
    let temp = tempfile::tempdir().unwrap();
    run_before(temp.path(), &["touch", "a b; touch c", "$HOME"], MINUTE).unwrap();
    assert!(temp.path().join("a b; touch c").exists());
    assert!(temp.path().join("$HOME").exists());
    assert!(!temp.path().join("c").exists());
}

#[test]
fn a_relative_path_starts_at_the_configurations_folder() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("bin")).unwrap();
    std::os::unix::fs::symlink("/bin/true", temp.path().join("bin/hook")).unwrap();
    run_before(temp.path(), &["bin/hook"], MINUTE).unwrap();
    run_before(temp.path(), &["./bin/hook"], MINUTE).unwrap();
    assert_eq!(
        program(Path::new("/etc/cofre"), "bin/x"),
        Path::new("/etc/cofre/bin/x")
    );
    assert_eq!(program(Path::new("/etc/cofre"), "/bin/x"), Path::new("/bin/x"));
    assert_eq!(program(Path::new("/etc/cofre"), "x"), Path::new("x"));
}

#[test]
fn a_failing_before_says_program_status_and_last_line_of_its_errors() {
    let temp = tempfile::tempdir().unwrap();
    let long = "y".repeat(500);
    let script = format!("echo fine; echo first >&2; printf 'no\\033[2J {long}' >&2; exit 3");
    let error = run_before(temp.path(), &["sh", "-c", &script], MINUTE).unwrap_err();
    assert_eq!(error.code, Code::HookFailed);
    let start = "the program sh (hooks.before) failed (exit status: 3): no\\x1b[2J yyy";
    assert!(error.message.starts_with(start), "{error}");
    assert!(error.message.chars().count() < start.len() + 200, "{error}");
}

#[test]
fn a_signal_and_a_missing_program_are_failures_too() {
    let temp = tempfile::tempdir().unwrap();
    let error = run_before(temp.path(), &["sh", "-c", "kill -9 $$"], MINUTE).unwrap_err();
    assert_eq!(error.code, Code::HookFailed);
    assert!(error.message.contains("signal: 9"), "{error}");
    for missing in ["no-such-program-of-cofre", "./no/such", "/"] {
        let error = run_before(temp.path(), &[missing], MINUTE).unwrap_err();
        assert_eq!(error.code, Code::HookFailed);
        assert!(
            error.message.contains(missing) && error.remedy.is_some(),
            "{error}"
        );
    }
}

#[test]
fn a_hook_that_takes_too_long_is_ended_with_its_descendants_even_when_they_ignore_sigterm() {
    let temp = tempfile::tempdir().unwrap();
    // The grandchild ignores SIGTERM and keeps the pipe; the child ends at once on it.
    let script = "sh -c 'trap \"\" TERM; echo $$ > grandchild; while :; do sleep 1; done' & \
                  echo $$ > child; wait";
    let began = Instant::now();
    let error = run_before(temp.path(), &["sh", "-c", script], Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.code, Code::HookFailed);
    assert!(error.message.contains("500 ms (hooks.timeout)"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    for name in ["child", "grandchild"] {
        assert_gone(std::fs::read_to_string(temp.path().join(name)).unwrap().trim());
    }
}

#[test]
fn what_a_hook_leaves_running_with_the_pipe_open_does_not_hold_the_run_up() {
    let temp = tempfile::tempdir().unwrap();
    let began = Instant::now();
    run_before(temp.path(), &["sh", "-c", "sleep 100 & echo $! > left"], MINUTE).unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let left = std::fs::read_to_string(temp.path().join("left")).unwrap();
    let left = left.trim();
    assert!(Path::new(&format!("/proc/{left}")).exists(), "it was left alone");
    Command::new("kill").arg(left).status().unwrap();
}

#[test]
fn cancelling_ends_before_at_once() {
    let temp = tempfile::tempdir().unwrap();
    let context = context(temp.path(), &["sleep", "100"], &[], MINUTE);
    let cancel = AtomicBool::new(false);
    let began = Instant::now();
    let error = std::thread::scope(|scope| {
        let hook = scope.spawn(|| before(&context, &RUN, &cancel));
        std::thread::sleep(Duration::from_millis(100));
        cancel.store(true, Ordering::SeqCst);
        hook.join().unwrap().unwrap_err()
    });
    assert_eq!(error.code, Code::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn endless_output_is_bounded_by_the_timeout() {
    let temp = tempfile::tempdir().unwrap();
    let error = run_before(temp.path(), &["yes"], Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.code, Code::HookFailed);
}

#[test]
fn variables_of_the_service_and_of_an_outer_run_are_not_passed_on() {
    let keys = [
        "PATH",
        "HOME",
        "NOTIFY_SOCKET",
        "COFRE_ID",
        "COFRE_LOG",
        "LISTEN_FDS",
        "COFRES",
    ];
    let gone: Vec<_> = hidden(keys.iter().map(OsString::from)).collect();
    assert_eq!(gone, ["NOTIFY_SOCKET", "COFRE_ID", "COFRE_LOG", "LISTEN_FDS"]);
}

#[test]
fn a_text_for_the_environment_has_no_nul_and_an_end() {
    let text = one_line(&format!("a\0b\n{}", "x".repeat(10_000)));
    assert!(text.starts_with("a\\x00b\\nxxx"), "{text}");
    assert_eq!(text.chars().count(), ERROR_CHARS);
}

#[test]
fn after_is_told_how_the_run_ended_and_its_failure_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let script = "echo \"$COFRE_EVENT $COFRE_STATUS $COFRE_SIZE $COFRE_ARCHIVE $COFRE_ERROR\" >> out; exit 9";
    let context = context(temp.path(), &[], &["sh", "-c", script], MINUTE);
    let mut backup = Backup {
        name: RUN.name.to_owned(),
        backup_type: RUN.backup_type.to_owned(),
        size: 1234,
        error: Some("1 file".to_owned()),
        ..crate::testing::backup(7, Status::Partial)
    };
    after(&context, &RUN, Some(&backup));
    backup.status = Status::Failed;
    after(&context, &RUN, Some(&backup));
    after(&context, &RUN, None);
    let out = std::fs::read_to_string(temp.path().join("out")).unwrap();
    let archive = temp.path().join("backups").join(format!("{}.zip", RUN.name));
    let wanted = format!(
        "after partial 1234 {} 1 file\nafter failed   1 file\nafter unknown   \n",
        archive.display()
    );
    assert_eq!(out, wanted);
}
