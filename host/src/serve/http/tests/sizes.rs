//! Requests that are too large, too slow or badly framed.

use super::*;

fn post(length: &str) -> String {
    format!(
        "POST /api/backup/criar HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\n\
         Content-Type: application/json\r\n{length}\r\n\r\n"
    )
}

#[test]
fn a_body_of_the_limit_is_taken_and_a_longer_one_is_refused_in_json() {
    let server = start("");
    let most = "x".repeat(64 * 1024);
    let answer = server.raw(post("Content-Length: 65536") + &most);
    assert_eq!((answer.status, &*answer.body), (200, "65536"));
    let answer = server.raw(post("Content-Length: 65537") + &most + "x");
    assert_eq!((answer.status, &*answer.code()), (413, "body_too_large"));
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let answer = server.raw(post("Transfer-Encoding: chunked") + &chunk.repeat(3) + "0\r\n\r\n");
    assert_eq!((answer.status, &*answer.code()), (413, "body_too_large"));
}

#[test]
fn a_client_that_sends_ten_megabytes_can_read_why_they_are_not_wanted() {
    let server = start("");
    for (head, expected) in [
        (post(&format!("Content-Length: {}", 10 << 20)), 413),
        (
            post(&format!("Content-Length: {}", 10 << 20)).replace(ADMIN, "wrong"),
            401,
        ),
    ] {
        let mut stream = server.connect();
        stream.write_all(head.as_bytes()).unwrap();
        let megabyte = vec![b'x'; 1 << 20];
        for _ in 0..10 {
            stream.write_all(&megabyte).unwrap();
        }
        assert_eq!(Answer::read(stream).status, expected);
    }
}

#[test]
fn a_client_that_asks_first_is_told_before_it_sends() {
    let server = start("");
    let answer = server.raw(post("Expect: 100-continue\r\nContent-Length: 9999999"));
    assert_eq!(answer.status, 413);
    let mut stream = server.connect();
    let head = post("Expect: 100-continue\r\nContent-Length: 2");
    stream.write_all(head.as_bytes()).unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"{}").unwrap();
    assert_eq!(Answer::read(stream).body, "2");
}

#[test]
fn a_body_that_comes_byte_by_byte_or_is_badly_framed_is_refused() {
    let limits = Limits {
        body: Duration::from_millis(500),
        ..Limits::default()
    };
    let server = start_with(limits, routes());
    let mut stream = server.connect();
    stream.write_all(post("Content-Length: 1000").as_bytes()).unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        if stream.write_all(b"x").is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let answer = Answer::read(stream);
    assert_eq!((answer.status, &*answer.code()), (408, "request_timeout"));
    let answer = server.raw(post("Transfer-Encoding: chunked") + "zz\r\nhello\r\n");
    assert_eq!((answer.status, &*answer.code()), (400, "bad_request"));
}

#[test]
fn headers_have_a_limit_in_number_and_size() {
    let server = start("");
    let many: Vec<String> = (0..100).map(|n| format!("X-{n}: y")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(server.call("GET", "/healthz", None, &many).status, 431);
    assert_eq!(server.call("GET", "/healthz", None, &many[..50]).status, 200);
    let long = format!("X-Long: {}", "y".repeat(20_000));
    assert_eq!(server.call("GET", "/healthz", None, &[&long]).status, 431);
    assert_eq!(
        server.call("GET", "/healthz", None, &[&long[..12_000]]).status,
        200
    );
    // Without an end.
    let mut stream = server.connect();
    let piece = "y".repeat(8_192);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Long: ").unwrap();
    for _ in 0..200 {
        if stream.write_all(piece.as_bytes()).is_err() {
            break;
        }
    }
    assert!(ends_within(&mut stream, Duration::from_secs(2)));
    assert_eq!(server.get("/healthz", None).status, 200);
}

#[test]
fn a_route_that_panics_is_answered_and_the_next_call_works() {
    let server = start("");
    let answer = server.get("/api/backup/panics", Some(ADMIN));
    assert_eq!((answer.status, &*answer.code()), (500, "internal"));
    assert!(!answer.body.contains("secretless"));
    assert_eq!(server.get("/api/backup/status", Some(ADMIN)).status, 200);
}
