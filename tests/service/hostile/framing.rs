//! Where a request ends: whoever reads that differently from a proxy in front lets a second request through.

use crate::process::Service;
use crate::site::{Site, admin};
use crate::wire::{answer, answers};

use super::{is_well, lines};

/// A mutation with further lines of the head, and a body that is one request more for whoever counts otherwise.
fn smuggling(fields: &str, body: &str) -> Vec<u8> {
    let token = admin();
    let auth = format!("Host: x\r\nAuthorization: Bearer {token}\r\n");
    let second = format!("GET /contrabando HTTP/1.1\r\n{auth}\r\n");
    format!("POST /api/backup/limpar HTTP/1.1\r\n{auth}{fields}\r\n{body}{second}").into_bytes()
}

#[test]
fn a_second_request_hidden_in_the_first_one_is_never_answered() {
    let site = Site::small();
    let service = Service::start(&site);
    for (fields, body) in [
        // Both lengths: the chunks count, and the connection ends (RFC 9112, section 6.1).
        ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        ("Content-Length: 0\r\nContent-Length: 200\r\n", ""),
        ("Content-Length: 0, 200\r\n", ""),
        ("Content-Length: +0\r\n", ""),
        ("Content-Length: 0x0\r\n", ""),
        ("Content-Length: 0 0\r\n", ""),
        ("Content-Length: -1\r\n", ""),
        ("Content-Length: 18446744073709551616\r\n", ""),
        ("Content-Length:\r\n", ""),
        ("Content-Length : 0\r\n", ""),
        ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: identity\r\n", ""),
        ("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "0\r\n\r\n",
        ),
        // Lines that go on in the next one, or end in an odd way.
        ("X-A: b\r\n c\r\nContent-Length: 0\r\n", ""),
        ("X-A: b\rContent-Length: 0\r\n", ""),
        ("X-A: b\0\r\nContent-Length: 0\r\n", ""),
        ("X A: b\r\nContent-Length: 0\r\n", ""),
        (": b\r\nContent-Length: 0\r\n", ""),
        // Chunks.
        ("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "0;a\nb\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", " 0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "1\r\nxx\r\n0\r\n\r\n"),
    ] {
        let got = answers(site.port, &smuggling(fields, body));
        assert!(got.len() <= 1, "{fields:?} {body:?}: {}", got[1]);
        for answer in got {
            let fine = answer.status == 400
                || (answer.status == 200 && fields.contains("Content-Length") && body.starts_with('0'));
            assert!(fine, "{fields:?} {body:?}: {answer}");
        }
    }
    assert!(!service.log().contains("contrabando"), "{}", service.log());
    is_well(&site);
}

#[test]
fn one_zero_in_front_does_not_start_an_older_protocol() {
    let site = Site::small();
    let service = Service::start(&site);
    let token = admin();
    let old = |fields: &str, rest: &str| {
        format!("POST /api/backup/limpar HTTP/1.0\r\nAuthorization: Bearer {token}\r\n{fields}\r\n{rest}")
            .into_bytes()
    };
    assert_eq!(
        answer(site.port, &old("", "")).status,
        200,
        "HTTP/1.0 needs no Host"
    );
    let got = answer(
        site.port,
        &old(
            "Transfer-Encoding: chunked\r\n",
            "0\r\n\r\nGET /contrabando HTTP/1.0\r\n\r\n",
        ),
    );
    assert_eq!(got.status, 400, "{got}");
    // There is no HTTP/2, and so none of its floods.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for got in answers(site.port, preface) {
        assert_eq!(got.status, 400, "{got}");
    }
    let upgrade = format!(
        "GET /api/backup/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
    );
    assert_eq!(answer(site.port, upgrade.as_bytes()).status, 200);
    assert!(!service.log().contains("contrabando"), "{}", service.log());
    is_well(&site);
}

#[test]
fn garbage_behind_a_request_ends_the_connection_and_is_in_the_audit_log() {
    let site = Site::small();
    let service = Service::start(&site);
    let token = admin();
    let good = format!("GET /api/backup/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
    let garbage: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"lixo\x1b[31m lixo\nERROR forjado\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x80\xff\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for bytes in garbage {
        let mut all = good.repeat(3).into_bytes();
        all.extend_from_slice(bytes);
        let statuses: Vec<_> = answers(site.port, &all)
            .iter()
            .map(|answer| answer.status)
            .collect();
        assert_eq!(
            statuses,
            [200, 200, 200, 400],
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    let found = lines(
        &service,
        &["cofre::audit", "400", "127.0.0.1", "anonymous"],
        garbage.len(),
    );
    assert!(found.iter().all(|line| line.contains("WARN")), "{found:#?}");
    lines(&service, &["GET /api/backup/status", "200"], 3 * garbage.len());
    assert!(!service.log().contains("\nERROR"), "{}", service.log());
    // They are counted as well.
    let metrics = site.call("GET", "/metrics").send().is(200).text();
    let line = format!(
        "cofre_http_requests_total{{code=\"400\",method=\"other\"}} {}\n",
        garbage.len()
    );
    assert!(metrics.contains(&line), "{metrics}");
    is_well(&site);
}

#[test]
fn a_request_names_one_host_and_its_own_form_of_target_changes_nothing() {
    let site = Site::small();
    let service = Service::start(&site);
    let token = admin();
    let ask = |line: &str, fields: &str| {
        let text = format!("{line}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{fields}\r\n");
        answer(site.port, text.as_bytes())
    };
    let status = "GET /api/backup/status HTTP/1.1";
    for fields in ["", "Host: x\r\nHost: y\r\n", "Host: x\r\nHost: x\r\n"] {
        let got = ask(status, fields);
        assert_eq!(
            (got.status, &*got.code()),
            (400, "bad_request"),
            "{fields:?}: {got}"
        );
    }
    lines(&service, &["GET /api/backup/status", "400", "Host"], 3);
    // Which host it is counts for nothing: nothing is chosen by it.
    for host in ["evil.example", "127.0.0.1:1", "x\u{e9}", "..", "[::1", "a b", ""] {
        let got = ask(status, &format!("Host: {host}\r\n"));
        assert_eq!(got.status, 200, "{host:?}: {got}");
    }
    let expected = [
        ("GET http://evil.example/api/backup/status HTTP/1.1", 200),
        ("GET http://evil.example:99999/api/backup/nada HTTP/1.1", 404),
        ("GET file:///etc/passwd HTTP/1.1", 400),
        ("GET http://u:p@evil.example/healthz HTTP/1.1", 200),
        ("CONNECT evil.example:443 HTTP/1.1", 404),
        ("OPTIONS * HTTP/1.1", 404),
        ("TRACE /api/backup/status HTTP/1.1", 405),
        ("FOO /api/backup/status HTTP/1.1", 405),
        ("GET //api/backup/status HTTP/1.1", 404),
        ("GET /api/backup/../backup/status HTTP/1.1", 404),
        ("GET /api/backup/status/ HTTP/1.1", 404),
        ("GET /API/backup/status HTTP/1.1", 404),
        ("GET /api%2fbackup%2fstatus HTTP/1.1", 404),
        ("GET ?x HTTP/1.1", 400),
        ("GET api/backup/status HTTP/1.1", 400),
    ];
    let got = expected.map(|(line, _)| (line, ask(line, "Host: x\r\n").status));
    assert_eq!(got, expected);
    let long = format!("{} /api/backup/status HTTP/1.1", "A".repeat(5_000));
    assert_eq!(ask(&long, "Host: x\r\n").status, 405);
    assert!(!service.log().contains("u:p"), "{}", service.log());
    is_well(&site);
}
