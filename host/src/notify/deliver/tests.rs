//! From the outbox to real servers: retries, restarts, one that hangs beside one that does not, pings in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::Command;

use super::*;
use crate::notify::tally::Deliveries;
use crate::notify::tests::{Receiver, config, hook, pace, ping, plan, reply, to_hook, until};

fn outbox(dir: &Path) -> Outbox {
    Outbox::open(&dir.join(".cofre")).unwrap()
}

fn start(dir: &Path, text: &str, pace: Pace) -> Deliverer {
    Deliverer::start_with(config(dir, text), pace).unwrap()
}

fn counts(dir: &Path) -> Deliveries {
    Deliveries::read(&dir.join(".cofre")).unwrap()
}

fn is_empty(dir: &Path) -> bool {
    outbox(dir).names().unwrap().is_empty()
}

#[test]
fn a_delivery_that_fails_is_sent_again_under_the_same_id_until_it_arrives() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[500, 404, 200]);
    let deliverer = start(temp.path(), &hook("ops", &receiver.url("/")), pace());
    outbox(temp.path()).put(&to_hook("ops", "msg_1")).unwrap();
    let received = receiver.wait(3);
    assert!(
        received
            .iter()
            .all(|r| r.header("webhook-id") == "msg_1" && r.body == received[0].body)
    );
    until("the outbox is empty", || is_empty(temp.path()));
    deliverer.stop();
    assert_eq!(receiver.received().len(), 3);
    let counts = counts(temp.path()).webhooks["ops"].clone();
    assert_eq!((counts.delivered, counts.failures, counts.given_up), (1, 2, 0));
    assert_eq!(counts.last_error.as_deref(), Some("answered 404"));
}

#[test]
fn a_delivery_is_given_up_after_the_last_try_and_counted() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[500]);
    outbox(temp.path()).put(&to_hook("ops", "msg_1")).unwrap();
    let deliverer = start(temp.path(), &hook("ops", &receiver.url("/")), pace());
    until("it is given up", || is_empty(temp.path()));
    deliverer.stop();
    assert_eq!(receiver.received().len(), 4);
    let counts = counts(temp.path()).webhooks["ops"].clone();
    assert_eq!((counts.delivered, counts.failures, counts.given_up), (0, 4, 1));
}

#[test]
fn the_group_reads_the_counters_new_ones_and_those_of_before() {
    use std::os::unix::fs::MetadataExt as _;
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[500]);
    let plain = config(temp.path(), &hook("ops", &receiver.url("/")));
    let group = rustix::process::getegid().as_raw();
    let file = temp.path().join(".cofre/deliveries.json");
    let access = |path: &Path| {
        let meta = std::fs::metadata(path).unwrap();
        (meta.mode() & 0o777, meta.gid())
    };
    outbox(temp.path()).put(&to_hook("ops", "msg_1")).unwrap();
    let deliverer = Deliverer::start_with(plain.clone(), pace()).unwrap();
    until("it is given up", || is_empty(temp.path()));
    deliverer.stop();
    assert_eq!(access(&file).0, 0o600, "without a group");
    let shared = Config {
        group: Some(group.to_string()),
        ..plain
    };
    Deliverer::start_with(shared.clone(), pace()).unwrap().stop();
    assert_eq!(access(&file), (0o640, group), "opened at the start");
    outbox(temp.path()).put(&to_hook("ops", "msg_2")).unwrap();
    let deliverer = Deliverer::start_with(shared, pace()).unwrap();
    until("it is given up", || is_empty(temp.path()));
    deliverer.stop();
    assert_eq!(access(&file), (0o640, group), "written with access for the group");
    assert_eq!(access(file.parent().unwrap()), (0o750, group));
    assert_eq!(counts(temp.path()).webhooks["ops"].given_up, 2);
}

#[test]
fn tries_and_waits_are_kept_across_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[500, 200]);
    let text = hook("ops", &receiver.url("/"));
    let slow = Pace {
        webhook: vec![Duration::from_secs(3); 3],
        ..pace()
    };
    outbox(temp.path()).put(&to_hook("ops", "msg_1")).unwrap();
    let deliverer = start(temp.path(), &text, slow.clone());
    let tried = || {
        let outbox = outbox(temp.path());
        let names = outbox.names().unwrap();
        names
            .first()
            .and_then(|name| outbox.read(name).unwrap())
            .map_or(0, |entry| entry.attempts)
    };
    until("the first try is recorded", || tried() == 1);
    deliverer.stop();
    let began = Instant::now();
    let deliverer = start(temp.path(), &text, slow);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.received().len(), 1, "the wait goes on after the restart");
    let received = receiver.wait(2);
    assert!(began.elapsed() > Duration::from_secs(1));
    assert_eq!(received[1].header("webhook-id"), "msg_1");
    deliverer.stop();
}

#[test]
fn a_receiver_that_hangs_does_not_delay_another_and_the_end_is_quick() {
    let temp = tempfile::tempdir().unwrap();
    let hung = Receiver::start(|_, _| std::thread::sleep(Duration::from_secs(60)));
    let good = Receiver::with_statuses(&[200]);
    let text = hook("hung", &hung.url("/")) + &hook("good", &good.url("/"));
    let patient = Pace {
        timeout: Duration::from_secs(30),
        ..pace()
    };
    let deliverer = start(temp.path(), &text, patient);
    let outbox = outbox(temp.path());
    for n in 0..3 {
        outbox.put(&to_hook("hung", &format!("msg_{n}"))).unwrap();
        outbox.put(&to_hook("good", &format!("msg_{n}"))).unwrap();
    }
    let began = Instant::now();
    good.wait(3);
    hung.wait(1);
    assert!(began.elapsed() < Duration::from_secs(3));
    let began = Instant::now();
    deliverer.stop();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let left = outbox.names().unwrap();
    assert_eq!(left.len(), 3);
    let entry = outbox.read(&left[0]).unwrap().unwrap();
    assert_eq!(entry.attempts, 0, "what the end broke off was no try");
    assert!(outbox.try_lock().unwrap().is_some(), "nobody sends any more");
}

#[test]
fn a_receiver_that_asks_for_time_gets_it_for_everything() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|number, stream| match number {
        0 => reply(stream, 429, "retry-after: 2\r\n"),
        _ => reply(stream, 200, ""),
    });
    let deliverer = start(temp.path(), &hook("ops", &receiver.url("/")), pace());
    let outbox = outbox(temp.path());
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    receiver.wait(1);
    outbox.put(&to_hook("ops", "msg_2")).unwrap();
    let began = Instant::now();
    receiver.wait(2);
    assert!(
        began.elapsed() > Duration::from_millis(1500),
        "{:?}",
        began.elapsed()
    );
    receiver.wait(3);
    deliverer.stop();
}

#[test]
fn what_the_configuration_does_not_name_any_more_is_dropped() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[200]);
    let outbox = outbox(temp.path());
    outbox.put(&to_hook("gone", "msg_1")).unwrap();
    outbox.put(&ping(7, Signal::Fail)).unwrap();
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    let deliverer = start(temp.path(), &hook("ops", &receiver.url("/")), pace());
    until("the outbox is empty", || is_empty(temp.path()));
    deliverer.stop();
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn the_signature_is_what_another_implementation_computes() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[200]);
    std::fs::write(
        temp.path().join("key"),
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
    )
    .unwrap();
    let text = hook("ops", &receiver.url("/")) + "secret_file = 'key'\n";
    outbox(temp.path()).put(&to_hook("ops", "msg_1")).unwrap();
    let deliverer = start(temp.path(), &text, pace());
    let received = &receiver.wait(1)[0];
    deliverer.stop();
    let script = "
import base64, hashlib, hmac, sys, time
key = base64.b64decode('MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
body = open(sys.argv[3], 'rb').read()
assert abs(time.time() - int(sys.argv[2])) < 60
signed = f'{sys.argv[1]}.{sys.argv[2]}.'.encode() + body
print('v1,' + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode())
";
    let body = temp.path().join("body");
    std::fs::write(&body, &received.body).unwrap();
    let output = Command::new("python3")
        .args([
            "-c",
            script,
            received.header("webhook-id"),
            received.header("webhook-timestamp"),
        ])
        .arg(&body)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let expected = String::from_utf8(output.stdout).unwrap();
    assert_eq!(received.header("webhook-signature"), expected.trim());
}

#[test]
fn pings_go_out_in_the_order_of_runs_also_when_the_first_fails() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[500, 500, 200]);
    let outbox = outbox(temp.path());
    // Put in another order: the next run's start before the result of the one that was interrupted.
    outbox.put(&ping(8, Signal::Start)).unwrap();
    outbox.put(&ping(7, Signal::Fail)).unwrap();
    let deliverer = start(temp.path(), &plan(&receiver.url("/ping/1")), pace());
    receiver.wait(4);
    outbox.put(&ping(8, Signal::Success)).unwrap();
    receiver.wait(5);
    until("the outbox is empty", || is_empty(temp.path()));
    deliverer.stop();
    let fail = "POST /ping/1/fail";
    assert_eq!(
        receiver.lines(),
        [fail, fail, fail, "POST /ping/1/start", "POST /ping/1"]
    );
    assert_eq!(receiver.received()[4].body, b"run 8");
}

#[test]
fn the_start_of_a_run_that_has_ended_is_no_news_and_neither_is_an_old_ping() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[200]);
    let outbox = outbox(temp.path());
    let mut old = ping(6, Signal::Fail);
    old.created_at -= chrono::TimeDelta::minutes(61);
    outbox.put(&old).unwrap();
    outbox.put(&ping(7, Signal::Start)).unwrap();
    outbox.put(&ping(7, Signal::Success)).unwrap();
    let deliverer = start(temp.path(), &plan(&receiver.url("/ping/1")), pace());
    until("the outbox is empty", || is_empty(temp.path()));
    deliverer.stop();
    assert_eq!(receiver.lines(), ["POST /ping/1"]);
    assert_eq!(counts(temp.path()).pings["daily"].given_up, 1);
}

#[test]
fn finishing_tries_what_is_due_once_and_waits_for_no_retry() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[500]);
    let outbox = outbox(temp.path());
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    outbox.put(&to_hook("ops", "msg_2")).unwrap();
    let began = Instant::now();
    start(
        temp.path(),
        &hook("ops", &receiver.url("/")),
        Pace {
            timeout: Duration::from_secs(5),
            ..Pace::default()
        },
    )
    .finish(Duration::from_secs(15));
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(receiver.received().len(), 2);
    assert_eq!(outbox.names().unwrap().len(), 2);
}

#[test]
fn finishing_ends_with_its_limit_and_at_once_while_another_process_sends() {
    let temp = tempfile::tempdir().unwrap();
    let hung = Receiver::start(|_, _| std::thread::sleep(Duration::from_secs(60)));
    let text = hook("ops", &hung.url("/"));
    let patient = Pace {
        timeout: Duration::from_secs(30),
        ..pace()
    };
    let outbox = outbox(temp.path());
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    let began = Instant::now();
    start(temp.path(), &text, patient.clone()).finish(Duration::from_secs(1));
    assert!(
        (1.0..3.0).contains(&began.elapsed().as_secs_f64()),
        "{:?}",
        began.elapsed()
    );
    let other = outbox.try_lock().unwrap().unwrap();
    let began = Instant::now();
    start(temp.path(), &text, patient).finish(Duration::from_secs(10));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(other);
    assert_eq!(outbox.names().unwrap().len(), 1);
}

#[test]
fn a_sender_takes_over_when_the_other_is_gone_and_sees_what_other_processes_put() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[200]);
    let outbox = outbox(temp.path());
    let other = outbox.try_lock().unwrap().unwrap();
    let deliverer = start(temp.path(), &hook("ops", &receiver.url("/")), pace());
    outbox.put(&to_hook("ops", "msg_1")).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(receiver.received().is_empty());
    drop(other);
    receiver.wait(1);
    // A file that appears without the bell.
    let file = temp.path().join(".cofre/outbox/00000000000000000001-x.json");
    std::fs::write(file, serde_json::to_vec(&to_hook("ops", "msg_2")).unwrap()).unwrap();
    receiver.wait(2);
    deliverer.stop();
}

#[test]
fn a_wait_that_only_a_wrong_clock_explains_is_over() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[200]);
    let mut entry = to_hook("ops", "msg_1");
    entry.next_attempt_at += chrono::TimeDelta::days(400);
    outbox(temp.path()).put(&entry).unwrap();
    let deliverer = start(temp.path(), &hook("ops", &receiver.url("/")), pace());
    receiver.wait(1);
    deliverer.stop();
}

#[test]
fn a_test_is_sent_once_and_says_what_came_of_it() {
    let temp = tempfile::tempdir().unwrap();
    let receiver = Receiver::with_statuses(&[202, 500]);
    std::fs::write(temp.path().join("key"), "secret").unwrap();
    let text = hook("ops", &receiver.url("/secret-path")) + "secret_file = 'key'\n";
    let config = config(temp.path(), &text);
    let tested = crate::notify::test_webhook(&config, &config.webhooks[0]).unwrap();
    assert_eq!(tested.status, 202);
    let received = &receiver.received()[0];
    assert_eq!(received.json()["event"], "test");
    assert!(
        received.json()["backup_id"].is_null() && received.header("webhook-signature").starts_with("v1,")
    );
    let error = crate::notify::test_webhook(&config, &config.webhooks[0]).unwrap_err();
    assert_eq!(error.code.exit(), 10);
    assert_eq!(error.to_string(), "webhook `ops` (127.0.0.1): answered 500");
    assert_eq!(receiver.received().len(), 2);
    assert!(!temp.path().join(".cofre").exists());
}
