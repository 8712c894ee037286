//! What the listener bears: slow and idle clients, huge heads, a port that is taken, certificates.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::http::{Call, connect};
use crate::process::{PATIENCE, Service, until};
use crate::site::{Extra, Site, admin};
use crate::support::{App, run, self_signed, tool};

/// A connection that has sent the beginning of a request and goes no further.
fn idle(port: u16) -> TcpStream {
    let mut stream = connect(port);
    write!(stream, "GET /api/backup/status HTTP/1.1\r\nHost: x\r\nX-Lento: ").unwrap();
    stream
}

#[test]
fn five_hundred_idle_slow_connections_do_not_block_an_administrator() {
    let site = Site::small();
    let service = Service::start(&site);
    let mut slow: Vec<_> = (0..500).map(|_| idle(site.port)).collect();
    for round in 0..10 {
        let began = Instant::now();
        site.status();
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "round {round}: {:?}",
            began.elapsed()
        );
        // They are not just idle: a byte now and then.
        for stream in &mut slow {
            drop(stream.write_all(b"x"));
        }
    }
    site.create();
    let peak = service.peak_memory();
    assert!(peak < 150 << 20, "peak memory {} MiB", peak >> 20);
}

#[test]
fn a_client_that_never_ends_its_head_or_body_is_dropped() {
    let site = Site::small();
    let _service = Service::start(&site);
    let head = idle(site.port);
    let silent = connect(site.port);
    let mut body = connect(site.port);
    write!(
        body,
        "POST /api/backup/criar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{",
        admin()
    )
    .unwrap();
    let mut dripping = idle(site.port);
    let deadline = Instant::now() + PATIENCE;
    let mut dropped = false;
    // One byte a quarter of a second keeps an idle timer from running out, never one for the whole head.
    dripping
        .set_read_timeout(Some(Duration::from_millis(250)))
        .unwrap();
    while !dropped {
        assert!(
            Instant::now() < deadline,
            "a client that drips its head is never dropped"
        );
        let mut byte = [0; 64];
        dropped = dripping.write_all(b"x").is_err() || dripping.read(&mut byte).is_ok();
    }
    for (what, mut stream) in [("a half head", head), ("silence", silent), ("a half body", body)] {
        let mut answer = Vec::new();
        // Closed, with an answer or without; its deadline for reading is the test's patience.
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset,
                "{what}: {error}"
            );
        }
        let text = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || text.contains(" 408 ") || text.contains(" 400 "),
            "{what}: {text}"
        );
    }
    assert!(site.list().is_empty());
}

#[test]
fn huge_heads_and_what_is_no_http_are_refused() {
    let site = Site::small();
    let _service = Service::start(&site);
    let send = |bytes: &[u8]| {
        let mut stream = connect(site.port);
        // The service may close before it has read everything.
        drop(stream.write_all(bytes));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    };
    let status = |answer: &str| answer.split(' ').nth(1).map(str::to_owned);
    let big = "x".repeat(2 << 20);
    let many = "X-Muito: 1\r\n".repeat(50_000);
    for head in [
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Grande: {big}\r\n\r\n"),
        format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("GET /{big} HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        let answer = send(head.as_bytes());
        // A reset may swallow the answer; a good one it never is.
        let refused = matches!(status(&answer).as_deref(), None | Some("400" | "414" | "431"));
        assert!(refused, "{}", answer.chars().take(300).collect::<String>());
    }
    let moderate = format!(
        "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Grande: {}\r\nConnection: close\r\n\r\n",
        "x".repeat(4_000)
    );
    assert_eq!(status(&send(moderate.as_bytes())).as_deref(), Some("200"));
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".as_slice(),
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"POST /api/backup/criar HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/backup/criar HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"POST /api/backup/criar HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let answer = send(garbage);
        let refused = matches!(status(&answer).as_deref(), None | Some("400" | "401" | "505"));
        assert!(refused, "{:?}: {answer}", String::from_utf8_lossy(garbage));
    }
    site.status();
}

#[test]
fn a_request_of_two_lengths_is_the_last_of_its_connection() {
    let site = Site::small();
    let _service = Service::start(&site);
    // By its length the body hides a second request, by its chunks that is one.
    let next = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let token = admin();
    for lengths in [
        "Content-Length: 43\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 43\r\n",
    ] {
        let mut stream = connect(site.port);
        write!(
            stream,
            "POST /api/backup/limpar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n{lengths}\r\n0\r\n\r\n{next}"
        )
        .unwrap();
        let mut answer = Vec::new();
        // What was not read may end it with a reset.
        drop(stream.read_to_end(&mut answer));
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{answer}");
        assert!(!answer.contains("\"ok\""), "{answer}");
    }
}

#[test]
fn connections_beyond_the_limit_wait_or_are_refused_and_the_rest_go_on() {
    let site = Site::with(Extra {
        api: "max_connections = 16",
        ..Extra::default()
    });
    let _service = Service::start(&site);
    let mut kept = connect(site.port);
    ask(&mut kept);
    let slow: Vec<_> = (0..40).map(|_| idle(site.port)).collect();
    // A connection of somebody who is known is not given up for them.
    ask(&mut kept);
    // The slow ones time out, and then there is room again.
    until("room for a new connection", || {
        let call = site.call("GET", "/api/backup/status").args(&["--max-time", "5"]);
        call.try_send().ok().filter(|reply| reply.status == 200)
    });
    drop(slow);
    site.status();
}

fn ask(stream: &mut TcpStream) {
    let token = admin();
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let mut answer = vec![0; 1 << 20];
    let got = stream.read(&mut answer).unwrap();
    assert!(
        answer[..got].starts_with(b"HTTP/1.1 200"),
        "{:?}",
        String::from_utf8_lossy(&answer[..got])
    );
}

#[test]
fn a_port_in_use_is_named_with_an_exit_code() {
    let site = Site::small();
    let _taken = TcpListener::bind(("127.0.0.1", site.port)).unwrap();
    let ended = site.app.cofre(&["serve"]);
    let port = site.port.to_string();
    assert!(matches!(ended.code, Some(8 | 10)), "{ended}");
    let ended = ended.says(&port).says("another process listens there");
    assert!(!ended.stderr.contains("panicked"), "{ended}");
}

#[test]
fn an_address_of_another_machine_is_named_with_an_exit_code() {
    let site = Site::with(Extra {
        api: "listen = \"192.0.2.77:8642\"",
        ..Extra::default()
    });
    let ended = site.app.cofre(&["serve"]).says("192.0.2.77:8642");
    assert!(matches!(ended.code, Some(2 | 10)), "{ended}");
}

/// A certificate for 127.0.0.1 that signs itself, and its key.
pub(crate) fn certificate(app: &App, name: &str, days: &str) {
    let path = |ending| app.path(format!("{name}.{ending}"));
    self_signed(name, days, &path("pem"), &path("key"));
}

const TLS: &str = "tls_cert = \"um.pem\"\ntls_key = \"um.key\"\n";

fn tls_site() -> Site {
    let site = Site::with(Extra {
        api: TLS,
        ..Extra::default()
    });
    certificate(&site.app, "um", "30");
    site
}

fn trusting(call: Call, certificate: &Path) -> Call {
    call.args(&["--cacert", certificate.to_str().unwrap()])
}

#[test]
fn tls_works_with_curl_and_the_plain_protocol_does_not_pass() {
    let site = tls_site();
    let _service = Service::start(&site);
    let pem = site.app.path("um.pem");
    let status = || trusting(site.call("GET", "/api/backup/status"), &pem);
    status().send().is(200);
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let most = version.trim_start_matches("--tlsv");
        status().args(&[version, "--tls-max", most]).send().is(200);
    }
    let old = status()
        .args(&["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0"])
        .try_send();
    assert!(old.is_err(), "TLS 1.1 is too old");
    let untrusted = site.call("GET", "/api/backup/status").try_send();
    assert_eq!(
        untrusted.err().map(|(code, _)| code),
        Some(60),
        "curl does not know the certificate"
    );
    let plain = Call::new("GET", &site.url("/healthz").replace("https", "http")).try_send();
    assert!(
        plain.is_err_and(|(code, _)| code != 0),
        "plain HTTP on a TLS port"
    );
    // Handshakes that never end block nobody.
    let silent: Vec<_> = (0..200).map(|_| connect(site.port)).collect();
    status().send().is(200);
    drop(silent);
}

/// The subject of the certificate that is shown.
fn shown(site: &Site) -> String {
    let address = format!("127.0.0.1:{}", site.port);
    let script = "openssl s_client -connect \"$1\" </dev/null 2>/dev/null | openssl x509 -noout -subject";
    tool("openssl");
    run(Command::new(tool("sh")).args(["-c", script, "sh", &address])).stdout
}

#[test]
fn a_renewed_certificate_is_taken_without_a_restart_and_a_broken_one_is_not() {
    let site = tls_site();
    let service = Service::start(&site);
    assert!(shown(&site).contains("um"), "{}", shown(&site));
    certificate(&site.app, "dois", "30");
    let good = std::fs::read(site.app.path("um.pem")).unwrap();
    site.app
        .write("um.pem", b"-----BEGIN CERTIFICATE-----\nquebrado\n");
    service.signal(rustix::process::Signal::HUP);
    service.logs(&["um.pem"]);
    assert!(
        shown(&site).contains("um"),
        "the last good one stays: {}",
        shown(&site)
    );
    site.app.write("um.pem", &good);
    // Certificate and key change one after the other, as certbot does it: by rename.
    for (from, to) in [("dois.key", "um.key"), ("dois.pem", "um.pem")] {
        std::fs::rename(site.app.path(from), site.app.path(to)).unwrap();
    }
    service.signal(rustix::process::Signal::HUP);
    until("the new certificate", || {
        shown(&site).contains("dois").then_some(())
    });
    let pem = site.app.path("um.pem");
    trusting(site.call("GET", "/api/backup/status"), &pem)
        .send()
        .is(200);
}

#[test]
fn a_certificate_that_can_not_be_used_is_named_with_an_exit_code() {
    for (what, break_it) in [
        (
            "um.pem",
            (|app: &App| std::fs::remove_file(app.path("um.pem")).unwrap()) as fn(&App),
        ),
        ("um.key", |app| std::fs::remove_file(app.path("um.key")).unwrap()),
        ("um.pem", |app| app.write("um.pem", b"isto e um texto\n")),
        ("um.pem", |app| app.write("um.pem", b"")),
        ("um.key", |app| {
            app.write(
                "um.key",
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            )
        }),
        ("um.pem", |app| {
            std::fs::remove_file(app.path("um.pem")).unwrap();
            std::fs::create_dir(app.path("um.pem")).unwrap();
        }),
        ("um.", |app| {
            certificate(app, "outro", "30");
            std::fs::rename(app.path("outro.key"), app.path("um.key")).unwrap();
        }),
    ] {
        let site = tls_site();
        break_it(&site.app);
        let ended = site.app.cofre(&["serve"]).says(what);
        assert!(matches!(ended.code, Some(2 | 8 | 10)), "{ended}");
    }
}

#[test]
fn an_unreadable_certificate_is_a_permission_problem() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = tls_site();
    let mode = std::fs::Permissions::from_mode(0o000);
    std::fs::set_permissions(site.app.path("um.key"), mode).unwrap();
    let ended = site.app.cofre_unprivileged(&["serve"]).says("um.key");
    assert_eq!(ended.code, Some(8), "{ended}");
}

#[test]
fn listening_to_the_world_without_tls_is_warned_about_loudly() {
    let port = crate::site::free_port();
    let mut site = Site::with(Extra {
        api: &format!("listen = \"0.0.0.0:{port}\""),
        ..Extra::default()
    });
    site.port = port;
    {
        let service = Service::start(&site);
        let line = service.logs(&["WARN", "0.0.0.0"]);
        assert!(line.contains("TLS"), "{line}");
        site.status();
    }
    let site = Site::small();
    let service = Service::start(&site);
    site.status();
    assert!(!service.log().contains("TLS"), "{}", service.log());
}

#[test]
fn without_an_api_section_or_with_a_broken_configuration_serve_says_so() {
    let app = App::small();
    app.config("[sources.static]\npath = \"static\"\n[api]\nlisten = \"nada\"\n");
    app.cofre(&["serve"]).exits(2).says("listen");
    let missing = app.path("falta.toml");
    run(Command::new(crate::support::cofre_binary())
        .env_remove("COFRE_CONFIG")
        .arg("--config")
        .arg(missing)
        .arg("serve"))
    .exits(2)
    .says("falta.toml");
}
