//! Start and end of the service.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::path::Path;
use std::time::Instant;

use super::*;

fn context(dir: &Path, more: &str) -> Context {
    std::fs::create_dir_all(dir.join("s")).unwrap();
    std::fs::write(dir.join("s/file"), "x").unwrap();
    let text = format!("[sources.s]\npath = \"s\"\n{more}\n");
    Context::new(Config::parse(&text, dir).unwrap()).unwrap()
}

#[test]
fn a_second_service_on_the_same_state_folder_is_refused_by_name() {
    let temp = tempfile::tempdir().unwrap();
    let state = temp.path().join(".cofre");
    let held = only::lock(&state).unwrap();
    let error = only::lock(&state).unwrap_err();
    assert_eq!(error.code, Code::Busy);
    assert!(
        error.message.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    assert!(error.message.contains(".cofre"), "{error}");
    drop(held);
    only::lock(&state).unwrap();
}

#[test]
fn a_service_that_is_asked_to_end_ends_well() {
    let temp = tempfile::tempdir().unwrap();
    let context = context(temp.path(), "[api]\nlisten = \"127.0.0.1:0\"");
    let began = Instant::now();
    assert_eq!(run(context, &AtomicBool::new(true)).unwrap(), Ended::Done);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn an_address_in_use_ends_the_start_and_frees_the_state_folder() {
    let temp = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("[api]\nlisten = \"{}\"", taken.local_addr().unwrap());
    let context = context(temp.path(), &listen);
    let state = context.config.state_dir.clone();
    let error = run(context, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.code.exit(), 10, "{error}");
    assert!(
        error.message.contains(&taken.local_addr().unwrap().to_string()),
        "{error}"
    );
    only::lock(&state).unwrap();
}

/// A service with a backup that is busy in its hook.
fn busy(dir: &Path, seconds: &str, grace: &str) -> (Arc<Service>, watch::Sender<bool>) {
    with_hook(dir, "before", seconds, grace)
}

fn with_hook(dir: &Path, hook: &str, seconds: &str, grace: &str) -> (Arc<Service>, watch::Sender<bool>) {
    let more = format!("[hooks]\n{hook} = [\"sleep\", \"{seconds}\"]\n[api]\ngrace = \"{grace}\"");
    let context = Arc::new(context(dir, &more));
    let (end, ending) = watch::channel(false);
    let service = Arc::new(Service {
        runner: Runner::new(Arc::clone(&context)),
        exporter: Arc::new(exporter(&context).unwrap()),
        context,
        ending,
    });
    (service, end)
}

/// Starts the backup, ends the service, and says how that went and what the run's row says.
fn end_while_busy(dir: &Path, seconds: &str, grace: &str) -> (Ended, String) {
    let (service, end) = busy(dir, seconds, grace);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let request = runner::RunRequest {
            backup_type: "manual".to_owned(),
            plan: "manual".to_owned(),
            full: false,
            who: crate::audit::Who::Anonymous,
        };
        let run = service.runner.start(request.clone()).unwrap();
        assert!(matches!(run.begun().await, runner::RunState::Begun(_)));
        end.send_replace(true);
        let tasks = Tasks {
            scheduler: tokio::spawn(scheduler::run(Arc::clone(&service))),
            http: None,
        };
        let ended = ending::end(&service, tasks).await;
        assert!(service.runner.start(request).is_err(), "nothing new begins");
        let row = run.end().await.backup.clone().unwrap();
        (ended, row.status.to_owned())
    })
}

#[test]
fn a_backup_that_is_running_may_finish_within_the_grace() {
    let temp = tempfile::tempdir().unwrap();
    let (ended, status) = end_while_busy(temp.path(), "1", "60s");
    assert_eq!((ended, status.as_str()), (Ended::Done, "completed"));
}

#[test]
fn a_backup_that_takes_longer_than_the_grace_is_cancelled_and_recorded() {
    let temp = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let (ended, status) = end_while_busy(temp.path(), "100", "1s");
    assert_eq!((ended, status.as_str()), (Ended::CutShort, "cancelled"));
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_program_after_the_backup_does_not_make_it_one_that_was_cut_short() {
    let temp = tempfile::tempdir().unwrap();
    let (service, end) = with_hook(temp.path(), "after", "20", "3s");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let began = Instant::now();
    let ended = runtime.block_on(async {
        let request = runner::RunRequest {
            backup_type: "manual".to_owned(),
            plan: "manual".to_owned(),
            full: false,
            who: crate::audit::Who::Anonymous,
        };
        let run = service.runner.start(request).unwrap();
        assert!(matches!(run.begun().await, runner::RunState::Begun(_)));
        end.send_replace(true);
        let tasks = Tasks {
            scheduler: tokio::spawn(scheduler::run(Arc::clone(&service))),
            http: None,
        };
        ending::end(&service, tasks).await
    });
    assert_eq!(ended, Ended::Done);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
