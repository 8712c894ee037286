//! Time, memory, handles, and what is left of a session after it hit a limit.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cofre::engine::wit::engine::RestoreRequest;
use cofre::engine::wit::jobs::Request;
use cofre::engine::{Control, Limits, Mounts};
use cofre::{Code, Engine};

use crate::guest::{Tree, attempt, hostile, impatient};

/// A job of the hostile guest.
fn job(behaviour: &str) -> Request {
    Request::Restore(RestoreRequest {
        id: 1,
        only: vec![behaviour.to_owned()],
    })
}

#[test]
fn an_endless_loop_is_stopped_after_the_limit() {
    let tree = Tree::new();
    let mut session = tree.session_with(impatient());
    let begin = Instant::now();
    let error = session.find("loop".to_owned()).unwrap_err();
    assert_eq!(error.code, Code::Stuck, "{error}");
    assert!(begin.elapsed() >= impatient().stall);
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_stopped_session_refuses_further_calls_and_says_why() {
    let tree = Tree::new();
    let mut session = tree.session_with(impatient());
    session.find("loop".to_owned()).unwrap_err();
    let error = session.list().unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.contains("no progress"), "{error}");
}

#[test]
fn stopping_one_session_leaves_the_others_alone() {
    let tree = Tree::new();
    let mut calm = tree.session();
    let mut looping = tree.session_with(impatient());
    std::thread::scope(|scope| {
        let stopped = scope.spawn(move || looping.find("loop".to_owned()).unwrap_err());
        while !stopped.is_finished() {
            assert_eq!(calm.list().unwrap().len(), 1);
        }
        assert_eq!(stopped.join().unwrap().code, Code::Stuck);
    });
    assert_eq!(calm.list().unwrap().len(), 1);
}

#[test]
fn a_step_that_never_ends_is_stopped() {
    let tree = Tree::new();
    let error = tree
        .session_with(impatient())
        .run(job("loop"), &mut Control::default())
        .unwrap_err();
    assert_eq!(error.code, Code::Stuck, "{error}");
}

#[test]
fn steps_without_progress_are_stopped() {
    let tree = Tree::new();
    let mut session = tree.session_with(impatient());
    let error = session.run(job("dawdle"), &mut Control::default()).unwrap_err();
    assert_eq!(error.code, Code::Stuck, "{error}");
    session.list().unwrap_err();
}

#[test]
fn a_sleep_without_end_is_given_up() {
    let tree = Tree::new();
    let begin = Instant::now();
    let error = tree
        .session_with(impatient())
        .find("sleep".to_owned())
        .unwrap_err();
    assert_eq!(error.code, Code::Stuck, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_host_call_that_hangs_is_given_up_and_the_guest_does_not_go_on_when_it_returns() {
    let tree = Tree::new();
    let fifo = tree.path("source/fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut session = tree.session_with(impatient());
    let begin = Instant::now();
    let error = session
        .find("read-then-write /sources/s/fifo /backups/went-on".to_owned())
        .unwrap_err();
    assert_eq!(error.code, Code::Stuck, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(8));
    drop(session);

    // The hanging call returns at last: a writer comes. Its opening fails while nobody reads, so this also shows
    // that the call did hang there.
    let mut writer = fs::OpenOptions::new()
        .write(true)
        .custom_flags(nonblocking())
        .open(&fifo)
        .expect("nobody waits for the FIFO");
    // That the writer has come can be enough for the call to return, and for the guest to be stopped and its handle
    // closed, before a byte is there.
    if let Err(error) = writer.write_all(b"late") {
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
    }
    drop(writer);
    std::thread::sleep(Duration::from_millis(500));
    assert!(!tree.path("backups/went-on").exists());
}

/// `O_NONBLOCK`.
fn nonblocking() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap()
}

#[test]
fn memory_ends_at_the_limit() {
    let tree = Tree::new();
    let limits = Limits {
        memory_bytes: 32 << 20,
        ..Limits::default()
    };
    let error = tree.session_with(limits).find("eat".to_owned()).unwrap_err();
    assert_eq!(error.code, Code::Sandbox, "{error}");
    assert!(error.message.contains("32 MiB"), "{error}");
}

#[test]
fn a_component_can_not_use_up_the_open_files_of_the_process() {
    let tree = Tree::new();
    let mut session = tree.session();
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    // The guest sees either an error or its end; both are fine, as long as the process can go on opening files.
    let _ = session.find("hoard /sources/s/file.txt".to_owned()).unwrap_err();
    assert!(open() < before + 600, "{} handles", open());
    drop(session);
    fs::File::open("/dev/null").unwrap();
}

#[test]
fn a_panic_is_reported_with_its_message_escaped() {
    let tree = Tree::new();
    let mut session = tree.session();
    let error = session.find("panic".to_owned()).unwrap_err();
    assert_eq!(error.code, Code::Internal, "{error}");
    assert!(error.message.contains("evil \\u{1b}[31mwords"), "{error}");
}

#[test]
fn exit_ends_the_session_and_not_the_program() {
    let tree = Tree::new();
    let mut session = tree.session();
    let error = session.find("exit".to_owned()).unwrap_err();
    assert_eq!(error.code, Code::Internal, "{error}");
    session.list().unwrap_err();
}

#[test]
fn endless_output_does_no_harm() {
    let tree = Tree::new();
    let mut session = tree.session();
    assert_eq!(attempt(&mut session, "shout").unwrap(), "shouted");
}

#[test]
fn an_answer_to_another_question_is_an_error() {
    let tree = Tree::new();
    let request = RestoreRequest {
        id: 1,
        only: vec!["lie".to_owned()],
    };
    let error = tree.session().restore(request).unwrap_err();
    assert_eq!(error.code, Code::Internal, "{error}");
}

#[test]
fn a_job_is_cancelled_between_two_steps() {
    let tree = Tree::new();
    let cancel = Arc::new(AtomicBool::new(false));
    let mut steps = 0;
    let mut control = Control {
        cancel: Arc::clone(&cancel),
        on_progress: Box::new(move |_| {
            steps += 1;
            cancel.store(steps == 3, Ordering::SeqCst);
        }),
        ..Control::default()
    };
    let mut session = tree.session();
    let error = session.run(job("dawdle"), &mut control).unwrap_err();
    assert_eq!(error.code, Code::Cancelled, "{error}");
    session.list().unwrap();
}

#[test]
fn sessions_work_on_the_worker_of_an_async_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let tree = Tree::new();
    let name = runtime.block_on(async move {
        tokio::spawn(async move { attempt(&mut tree.session(), "read /sources/s/file.txt").unwrap() })
            .await
            .unwrap()
    });
    assert_eq!(name, "inside");
}

#[test]
fn what_is_no_fitting_component_is_refused() {
    let module = b"\0asm\x01\0\0\0";
    let empty = b"\0asm\x0d\0\x01\0";
    for bytes in [&b""[..], b"nonsense", module, empty] {
        let error = Engine::from_component(bytes).unwrap_err();
        assert_eq!(error.code, Code::Sandbox, "{error}");
        assert!(error.message.contains("does not fit"), "{error}");
    }
}

#[test]
fn a_component_without_mounts_starts_within_the_limits() {
    hostile().open(Mounts::new().limits(impatient())).unwrap();
}
