//! What is sent out: webhooks with their signatures and retries, receivers that misbehave, dead-man's switches.

use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::limits::certificate;
use crate::process::{Service, until};
use crate::python::lines;
use crate::receiver::{Answer, Received, Receiver};
use crate::site::{Extra, HOLD, Site};
use crate::support::{spawn, tool};

pub(crate) fn with(tables: &str) -> Site {
    Site::with(Extra {
        tables,
        ..Extra::default()
    })
}

fn events(all: &[Received]) -> Vec<String> {
    all.iter().map(Received::event).collect()
}

#[test]
fn each_target_gets_the_events_that_it_asked_for() {
    let (all, some, none) = (Receiver::start(), Receiver::start(), Receiver::start());
    let site = with(&format!(
        "[[webhooks]]\nname = \"tudo\"\nurl = \"{}\"\n\
         [[webhooks]]\nname = \"falhas\"\nurl = \"{}\"\nevents = [\"backup_failed\", \"backup_partial\"]\n\
         [[webhooks]]\nname = \"nada\"\nurl = \"{}\"\nevents = [\"drill_failed\"]\n",
        all.url("/"),
        some.url("/"),
        none.url("/"),
    ));
    let _service = Service::start(&site);
    let good = site.create();
    std::fs::rename(site.app.path("static"), site.app.path("longe")).unwrap();
    let call = site
        .call("POST", "/api/backup/criar")
        .json("{\"tipo\":\"weekly\"}");
    let failed = call.send().is(500).json()["backup"].clone();
    let told = all.wait_for(2);
    assert_eq!(events(&told), ["backup_completed", "backup_failed"]);
    let (done, broken) = (told[0].json(), told[1].json());
    for (field, record) in [
        ("backup_id", "id"),
        ("backup_name", "name"),
        ("timestamp", "timestamp"),
        ("status", "status"),
        ("plan", "plan"),
        ("type", "type"),
        ("error", "error"),
    ] {
        assert_eq!(done[field], good[record], "{field} of {done}");
        assert_eq!(broken[field], failed[record], "{field} of {broken}");
    }
    assert_eq!(done["repository"], "relatorios", "{done}");
    assert_eq!(events(&some.wait_for(1)), ["backup_failed"]);
    assert_eq!(none.received().len(), 0);
}

#[test]
fn a_partial_backup_is_an_event_of_its_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let receiver = Receiver::start();
    let site = with(&format!("[[webhooks]]\nurl = \"{}\"\n", receiver.url("/")));
    site.app.write("static/segredo.txt", b"x");
    let mode = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(site.app.path("static/segredo.txt"), mode).unwrap();
    let _service = Service::start_unprivileged(&site);
    site.call("POST", "/api/backup/criar").json("{}").send().is(200);
    assert_eq!(events(&receiver.wait_for(1)), ["backup_partial"]);
}

/// The signature of Standard Webhooks, computed by Python.
#[track_caller]
pub(crate) fn is_signed(one: &Received, key: &str) {
    let header = |name| one.header(name).unwrap_or_else(|| panic!("{name} in {one:?}"));
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), &one.body).unwrap();
    lines(
        "
import base64, hashlib, hmac, sys, time
identity, stamp, signature, key, path = sys.argv[1:]
key = base64.b64decode(key[6:]) if key.startswith('whsec_') else key.encode()
text = identity.encode() + b'.' + stamp.encode() + b'.' + open(path, 'rb').read()
own = 'v1,' + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
assert own in signature.split(' '), (own, signature)
assert abs(time.time() - int(stamp)) < 300, stamp
",
        &[
            header("webhook-id"),
            header("webhook-timestamp"),
            header("webhook-signature"),
            key,
            body.path().to_str().unwrap(),
        ],
    );
}

#[test]
fn a_signature_can_be_checked_by_python_and_stays_good_with_each_retry() {
    let receiver = Receiver::answering(|_, before| Answer::Status(if before == 0 { 500 } else { 200 }));
    let keys = [
        "um segredo qualquer, ção",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ];
    let site = with(&format!(
        "[[webhooks]]\nname = \"um\"\nurl = \"{}\"\nsecret_file = \"um.key\"\n\
         [[webhooks]]\nname = \"dois\"\nurl = \"{}\"\nsecret_file = \"dois.key\"\n",
        receiver.url("/um"),
        receiver.url("/dois"),
    ));
    // An editor's line end is not part of a key.
    site.app.write("um.key", format!("{}\n", keys[0]).as_bytes());
    site.app.write("dois.key", keys[1].as_bytes());
    let mut service = Service::start(&site);
    for key in keys {
        service.secret(key);
    }
    site.create();
    let told = receiver.wait_for(3);
    for one in &told {
        is_signed(one, if one.path == "/um" { keys[0] } else { keys[1] });
    }
    let mut ids: Vec<_> = told.iter().map(|one| one.header("webhook-id")).collect();
    ids.dedup();
    assert_eq!(
        ids.len(),
        1,
        "one event has one id, whoever it is told to and however often"
    );
}

#[test]
fn an_answer_of_500_is_tried_again_until_it_is_taken() {
    let receiver = Receiver::answering(|_, before| Answer::Status(if before == 0 { 503 } else { 202 }));
    let site = with(&format!(
        "[[webhooks]]\nname = \"painel\"\nurl = \"{}\"\n",
        receiver.url("/")
    ));
    let service = Service::start(&site);
    site.create();
    let told = receiver.wait_for(2);
    assert_eq!(told[0].body, told[1].body);
    service.logs(&["painel", "503"]);
    service.logs(&["delivered", "painel"]);
    site.create();
    assert_eq!(receiver.wait_for(3).len(), 3, "and then no more");
}

#[test]
fn receivers_that_misbehave_hold_up_neither_backups_nor_each_other() {
    let hang = Receiver::answering(|_, _| Answer::Hang);
    let endless = Receiver::answering(|_, _| Answer::Endless);
    let good = Receiver::start();
    let site = with(&format!(
        "[[webhooks]]\nname = \"pendurado\"\nurl = \"{}\"\n[[webhooks]]\nname = \"infinito\"\nurl = \"{}\"\n\
         [[webhooks]]\nname = \"fechado\"\nurl = \"http://127.0.0.1:{}/\"\n[[webhooks]]\nname = \"bom\"\nurl = \"{}\"\n",
        hang.url("/"),
        endless.url("/"),
        crate::site::free_port(),
        good.url("/"),
    ));
    let service = Service::start(&site);
    let began = Instant::now();
    for round in 1..=3 {
        site.create();
        assert_eq!(good.wait_for(round).len(), round);
    }
    // The first hanging request has not come to its end of ten seconds by then, or the machine is very slow.
    hang.wait_for(1);
    endless.wait_for(1);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    service.logs(&["pendurado", "10 s"]);
    service.logs(&["fechado"]);
    // Of an endless answer no more is taken than the sockets hold.
    let taken = endless.sent.load(Ordering::SeqCst);
    assert!(taken < 32 << 20, "{taken} bytes were taken");
    assert!(service.peak_memory() < 150 << 20);
    // Nor the end of the service.
    site.create();
    let began = Instant::now();
    assert_eq!(service.terminate(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let port = crate::site::free_port();
    let site = with(&format!(
        "[[webhooks]]\nname = \"falso\"\nurl = \"https://127.0.0.1:{port}/cofre\"\n"
    ));
    certificate(&site.app, "falso", "30");
    let said = site.app.path("servidor.txt");
    let mut server = Command::new(tool("openssl"))
        .args([
            "s_server",
            "-accept",
            &format!("127.0.0.1:{port}"),
            "-quiet",
            "-cert",
        ])
        .arg(site.app.path("falso.pem"))
        .arg("-key")
        .arg(site.app.path("falso.key"))
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&said).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("openssl listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
    });
    let tested = site.app.cofre(&["webhook", "test", "falso"]);
    drop(server.kill());
    drop(server.wait());
    let tested = tested.says("TLS").says("falso");
    assert_eq!(tested.code, Some(10), "{tested}");
    let got = std::fs::read_to_string(said).unwrap();
    assert!(
        !got.contains("POST"),
        "it was sent in spite of the certificate: {got}"
    );
}

#[test]
fn webhook_test_says_by_its_exit_code_whether_it_arrived() {
    let receiver =
        Receiver::answering(|request, _| Answer::Status(if request.path == "/bom" { 200 } else { 404 }));
    let site = with(&format!(
        "[[webhooks]]\nname = \"bom\"\nurl = \"{}\"\nsecret_file = \"k\"\n[[webhooks]]\nname = \"mau\"\nurl = \"{}\"\n\
         [[webhooks]]\nname = \"fechado\"\nurl = \"http://127.0.0.1:{}/\"\n",
        receiver.url("/bom"),
        receiver.url("/mau"),
        crate::site::free_port(),
    ));
    site.app.write("k", b"chave de teste");
    site.app.cofre(&["webhook", "test", "bom"]).exits(0).says("bom");
    let sent = receiver.at("/bom");
    assert_eq!(events(&sent), ["test"]);
    is_signed(&sent[0], "chave de teste");
    site.app.cofre(&["webhook", "test", "mau"]).exits(10).says("404");
    site.app
        .cofre(&["webhook", "test", "fechado"])
        .exits(10)
        .says("fechado");
    let unknown = site.app.cofre(&["webhook", "test", "falta"]).says("falta");
    assert!(matches!(unknown.code, Some(2 | 4)), "{unknown}");
    let failed = site
        .app
        .cofre(&["--json", "webhook", "test", "mau"])
        .exits(10)
        .json();
    assert_eq!(failed["success"], false, "{failed}");
    assert!(!site.app.backups().exists(), "a test makes no backup");
}

#[test]
fn the_command_line_tells_too_with_and_without_a_service() {
    let receiver = Receiver::start();
    let site = with(&format!("[[webhooks]]\nurl = \"{}\"\n", receiver.url("/")));
    let record = site.app.create();
    let told = receiver.wait_for(1);
    assert_eq!(told[0].json()["backup_id"], record["id"]);
    let _service = Service::start(&site);
    site.app.create();
    site.app.create();
    receiver.wait_for(3);
    site.create();
    let told = receiver.wait_for(4);
    let ids: Vec<_> = told.iter().map(|one| one.json()["backup_id"].as_u64()).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3), Some(4)], "each once");
    // Damage that a verification finds is told too.
    let archive = site.app.archive(&record);
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(archive, bytes).unwrap();
    site.app.cofre(&["verify", "1"]).exits(5);
    assert_eq!(receiver.wait_for(5)[4].event(), "verify_failed");
    site.call("POST", "/api/backup/verificar/1").send().is(422);
    assert_eq!(receiver.wait_for(6)[5].event(), "verify_failed");
}

/// A plan that is pinged.
fn pinged(url: &str, more: &str) -> Site {
    with(&format!(
        "[[schedules]]\nname = \"daily\"\nat = \"02:00\"\nping_url = \"{url}\"\n{more}"
    ))
}

fn paths(receiver: &Receiver) -> Vec<String> {
    receiver.received().into_iter().map(|one| one.path).collect()
}

#[test]
fn a_dead_mans_switch_gets_the_start_and_one_true_end_of_each_run() {
    let receiver = Receiver::start();
    let site = pinged(&receiver.url("/ping/uuid"), HOLD.tables);
    let _service = Service::start(&site);
    // The start of a run that is over in a moment is no news: these take their time.
    let held = |expected: i32| {
        let before = paths(&receiver).len();
        site.hold();
        let mut run = spawn(&mut site.app.command(&["create", "--plan", "daily"]));
        receiver.wait_for(before + 1);
        site.release();
        assert_eq!(run.wait().unwrap().code(), Some(expected));
        receiver.wait_for(before + 2);
    };
    held(0);
    assert_eq!(paths(&receiver), ["/ping/uuid/start", "/ping/uuid"]);
    std::fs::rename(site.app.path("static"), site.app.path("longe")).unwrap();
    held(10);
    assert_eq!(paths(&receiver)[2..], ["/ping/uuid/start", "/ping/uuid/fail"]);
    std::fs::rename(site.app.path("longe"), site.app.path("static")).unwrap();
    // Runs of other plans are no sign of life of this one.
    site.create();
    held(0);
    assert_eq!(paths(&receiver)[4..], ["/ping/uuid/start", "/ping/uuid"]);
    // Quick ones: one end each, whatever becomes of their start.
    for _ in 0..3 {
        site.app.cofre(&["create", "--plan", "daily"]).exits(0);
    }
    let ends = || {
        paths(&receiver)
            .iter()
            .filter(|path| *path == "/ping/uuid")
            .count()
    };
    until("three more ends", || (ends() >= 5).then_some(()));
    assert_eq!(ends(), 5, "{:?}", paths(&receiver));
}

#[test]
fn a_run_that_was_killed_is_reported_to_its_switch_as_failed_once() {
    let receiver = Receiver::start();
    let site = pinged(&receiver.url("/p"), HOLD.tables);
    site.hold();
    let mut run = spawn(&mut site.app.command(&["create", "--plan", "daily"]));
    until("a run", || {
        let begun = site.app.history_path().exists() && site.app.history().len() == 1;
        begun.then_some(())
    });
    run.kill().unwrap();
    run.wait().unwrap();
    site.release();
    let service = Service::start(&site);
    until("the failure", || {
        paths(&receiver).contains(&"/p/fail".to_owned()).then_some(())
    });
    assert_eq!(service.terminate(), Some(0));
    let _service = Service::start(&site);
    site.app.cofre(&["create", "--plan", "daily"]).exits(0);
    until("the success", || {
        paths(&receiver).contains(&"/p".to_owned()).then_some(())
    });
    let ends = |path: &str| paths(&receiver).iter().filter(|one| *one == path).count();
    assert_eq!((ends("/p/fail"), ends("/p")), (1, 1), "{:?}", paths(&receiver));
}
