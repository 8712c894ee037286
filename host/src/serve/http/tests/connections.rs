//! Slow, idle, stubborn and many clients, and the end.

use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

fn short() -> Limits {
    Limits {
        header: Duration::from_millis(500),
        body: Duration::from_millis(500),
        answer: Duration::from_millis(500),
        stall: Duration::from_millis(700),
        ..Limits::default()
    }
}

#[test]
fn a_header_that_comes_byte_by_byte_is_not_waited_for() {
    let server = start_with(short(), routes());
    let mut stream = server.connect();
    let began = Instant::now();
    for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
        if stream.write_all(&[*byte]).is_err() || began.elapsed() > Duration::from_secs(3) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(ends_within(&mut stream, Duration::from_secs(2)));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_connection_that_says_nothing_ends_before_and_after_a_request() {
    let server = start_with(short(), routes());
    let mut silent = server.connect();
    let mut kept = server.connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(ends_within(&mut silent, Duration::from_secs(2)));
    assert!(ends_within(&mut kept, Duration::from_secs(2)));
}

#[test]
fn five_hundred_slow_connections_do_not_keep_an_administrator_out() {
    let server = start("");
    let slow: Vec<TcpStream> = (0..500)
        .map(|n| {
            let mut stream = server.connect();
            if n % 2 == 0 {
                stream
                    .write_all(b"POST /api/backup/criar HTTP/1.1\r\nHost: ")
                    .unwrap();
            }
            stream
        })
        .collect();
    let began = Instant::now();
    assert_eq!(server.get("/api/backup/status", Some(ADMIN)).status, 200);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    drop(slow);
}

#[test]
fn when_full_the_oldest_idle_stranger_gives_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = start_in(folder, "max_connections = 16", Limits::default(), routes());
    // One that showed a credential, older than all others.
    let mut known = server.connect();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n");
    known.write_all(request.as_bytes()).unwrap();
    let mut start = [0; 12];
    known.read_exact(&mut start).unwrap();
    let mut strangers: Vec<TcpStream> = (0..15).map(|_| server.connect()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(server.get("/api/backup/status", Some(ADMIN)).status, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(ends_within(&mut strangers[0], Duration::from_secs(1)));
    assert!(!ends_within(&mut strangers[14], Duration::from_millis(100)));
    known.write_all(request.as_bytes()).unwrap();
    known.read_exact(&mut start).unwrap();
    server.end();
}

#[test]
fn when_all_are_being_answered_a_new_one_waits() {
    let folder = tempfile::tempdir().unwrap();
    let router = sleeping("/api/backup/progresso", Duration::from_millis(800));
    let server = start_in(folder, "max_connections = 16", Limits::default(), router);
    let busy: Vec<TcpStream> = (0..16)
        .map(|_| {
            let mut stream = server.connect();
            write!(
                stream,
                "GET /api/backup/progresso HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
            )
            .unwrap();
            stream
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    assert_eq!(server.get("/healthz", None).status, 200);
    assert!(
        began.elapsed() > Duration::from_millis(300),
        "{:?}",
        began.elapsed()
    );
    for stream in busy {
        assert_eq!(Answer::read(stream).body, "done");
    }
}

#[test]
fn a_quick_route_is_cut_off_and_a_slow_one_is_not() {
    let time = Duration::from_millis(1_200);
    let quick = start_with(short(), sleeping("/api/backup/status", time));
    let answer = quick.get("/api/backup/status", Some(ADMIN));
    assert_eq!((answer.status, &*answer.code()), (503, "overloaded"));
    assert!(answer.field("retry-after").is_some());
    let slow = start_with(short(), sleeping("/api/backup/criar", time));
    assert_eq!(slow.get("/api/backup/criar", Some(ADMIN)).body, "done");
}

/// Tells when the server drops the body that it sends.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn download(gone: &Arc<AtomicBool>) -> Router {
    let gone = Arc::clone(gone);
    let handler = move || {
        let guard = Gone(Arc::clone(&gone));
        async move {
            Body::from_stream(tokio_stream::StreamExt::map(
                endless().into_data_stream(),
                move |chunk| {
                    let _held = &guard;
                    chunk
                },
            ))
        }
    };
    Router::new().route("/api/backup/download/1", get(handler))
}

fn begin_download(server: &Running) -> TcpStream {
    let mut stream = server.connect();
    write!(
        stream,
        "GET /api/backup/download/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    )
    .unwrap();
    stream
}

#[test]
fn a_client_that_reads_nothing_is_left_and_a_slow_one_is_served() {
    let gone = Arc::new(AtomicBool::new(false));
    let server = start_with(short(), download(&gone));
    let stuck = begin_download(&server);
    let began = Instant::now();
    while !gone.load(Ordering::SeqCst) {
        assert!(began.elapsed() < Duration::from_secs(5), "the server still waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() >= short().stall);
    drop(stuck);

    let gone = Arc::new(AtomicBool::new(false));
    let server = start_with(short(), download(&gone));
    let mut slow = begin_download(&server);
    // Slower than what lies in the buffers between the two, so that the server has to wait for each piece.
    let mut piece = vec![0; 256 * 1024];
    for _ in 0..15 {
        slow.read_exact(&mut piece).unwrap();
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!gone.load(Ordering::SeqCst), "a client that reads was cut off");
}

#[test]
fn at_the_end_idle_connections_close_and_open_requests_are_answered() {
    let mut server = start_with(
        Limits::default(),
        sleeping("/api/backup/criar", Duration::from_millis(800)),
    );
    let mut silent = server.connect();
    let mut begun = server.connect();
    begun.write_all(b"GET /healthz HT").unwrap();
    let mut kept = server.connect();
    kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut open = server.connect();
    write!(
        open,
        "GET /api/backup/criar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    server.ending.send_replace(true);
    for idle in [&mut silent, &mut begun, &mut kept] {
        assert!(ends_within(idle, Duration::from_millis(300)));
    }
    assert!(TcpStream::connect(server.address).is_err());
    let answer = Answer::read(open);
    assert_eq!((answer.status, &*answer.body), (200, "done"));
    assert_eq!(answer.field("connection"), Some("close"));
    assert!(server.end() < Duration::from_secs(1));
}

#[test]
fn who_does_not_want_to_wait_for_the_last_answer_drops_the_server() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let router = sleeping("/api/backup/criar", Duration::from_secs(60));
    let (mut stream, ended) = runtime.block_on(async {
        let (server, ending) = bind(folder.path(), "", router).unwrap();
        let address = server.address();
        let serving = tokio::spawn(server.serve());
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "GET /api/backup/criar HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
        )
        .unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        ending.send_replace(true);
        let ended = tokio::time::timeout(Duration::from_millis(300), serving).await;
        (stream, ended.is_ok())
    });
    assert!(!ended, "it waits for the answer");
    drop(runtime);
    assert!(ends_within(&mut stream, Duration::from_secs(1)));
}

#[test]
fn an_address_that_can_not_be_listened_on_is_named_with_the_cause() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(folder.path(), &format!("listen = \"{address}\""));
    assert_eq!(error.code, crate::Code::Io);
    let text = error.to_string();
    assert!(text.contains(&address.to_string()) && text.contains("another process listens there already"));
    assert!(text.contains("another port"), "{text}");
    let error = refusal(folder.path(), "listen = \"192.0.2.1:8642\"");
    assert_eq!(error.code, crate::Code::Config);
    assert!(error.to_string().contains("192.0.2.1:8642"), "{error}");
}

#[test]
fn listening_in_the_open_without_tls_is_warned_about_loudly() {
    let mut open = start("listen = \"0.0.0.0:0\"");
    open.end();
    assert!(open.log.text().contains("WITHOUT TLS"));
    let mut local = start("");
    local.end();
    assert!(!local.log.text().contains("WITHOUT TLS"));
}

#[test]
fn fewer_open_files_are_fewer_connections() {
    use super::super::{connections_for, files_for};
    for connections in [16, 1_024, 65_536] {
        assert_eq!(connections_for(files_for(connections)), connections);
    }
    assert_eq!(connections_for(1_024), 256);
    assert_eq!(connections_for(64), 16);
}
