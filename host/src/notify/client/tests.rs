//! Servers that hang, lead astray, never stop, or are not who they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::*;
use crate::notify::tests::{Receiver, child_argument, in_child, reply};

fn request(url: String) -> Request {
    Request {
        url,
        content_type: "application/json",
        headers: vec![("webhook-id", "msg_1".to_owned())],
        body: b"{}".to_vec(),
    }
}

fn post(url: String) -> Result<u16, Failure> {
    Client::new(Duration::from_secs(1), false).post(&request(url))
}

#[test]
fn a_request_says_who_sends_what() {
    let receiver = Receiver::with_statuses(&[204]);
    assert_eq!(post(receiver.url("/hook?k=v")), Ok(204));
    let received = &receiver.wait(1)[0];
    assert_eq!(received.line, "POST /hook?k=v");
    assert_eq!(
        received.header("user-agent"),
        concat!("cofre/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("webhook-id"), "msg_1");
    assert_eq!(received.body, b"{}");
}

#[test]
fn a_server_that_hangs_is_left_after_the_timeout() {
    let receiver = Receiver::start(|_, _| std::thread::sleep(Duration::from_secs(30)));
    let began = Instant::now();
    let failure = post(receiver.url("/")).unwrap_err();
    assert!(failure.message.contains("within 1 s"), "{failure:?}");
    assert!((1.0..2.0).contains(&began.elapsed().as_secs_f64()));
}

#[test]
fn an_answer_that_drips_is_left_after_the_timeout_too() {
    let receiver = Receiver::start(|_, stream| {
        for byte in b"HTTP/1.1 200 OK\r\nx-long: ".iter().chain([b'x'; 200].iter()) {
            if stream.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let began = Instant::now();
    let failure = post(receiver.url("/")).unwrap_err();
    assert!(failure.message.contains("within 1 s"), "{failure:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_body_that_drips_ends_with_the_timeout_and_its_status_counts() {
    let receiver = Receiver::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let began = Instant::now();
    assert_eq!(post(receiver.url("/")), Ok(200));
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn of_an_endless_body_no_more_than_the_limit_is_read() {
    let sent = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&sent);
    let receiver = Receiver::start(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {
            counter.fetch_add(4096, Ordering::SeqCst);
        }
    });
    let began = Instant::now();
    assert_eq!(post(receiver.url("/")), Ok(200));
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "read until the timeout"
    );
    // What the system's buffers between the two take comes on top.
    crate::notify::tests::until("the server notices", || {
        let before = sent.load(Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        before == sent.load(Ordering::SeqCst)
    });
    assert!(sent.load(Ordering::SeqCst) < 16 << 20);
}

#[test]
fn an_endless_head_is_refused() {
    let receiver = Receiver::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream
            .write_all(b"x-more: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n")
            .is_ok()
        {}
    });
    let failure = post(receiver.url("/")).unwrap_err();
    assert!(
        failure.message.contains("answer") || failure.message.contains("HTTP"),
        "{failure:?}"
    );
}

#[test]
fn no_redirect_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Receiver::with_statuses(&[200]);
        for to in [
            elsewhere.url("/"),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
        ] {
            let header = format!("location: {to}\r\n");
            let receiver = Receiver::start(move |_, stream| reply(stream, status, &header));
            let failure = post(receiver.url("/")).unwrap_err();
            assert!(
                failure.message.contains("redirect, which is not followed"),
                "{failure:?}"
            );
            assert_eq!(receiver.received().len(), 1);
        }
        assert!(elsewhere.received().is_empty());
    }
}

#[test]
fn a_link_local_address_is_refused_before_anything_is_sent() {
    for url in [
        "http://169.254.169.254/",
        "https://169.254.169.254/",
        "https://[fe80::1]/",
        "https://[::ffff:169.254.169.254]/",
        "https://[fd00:ec2::254]/",
        "http://0.0.0.0:1/",
    ] {
        let began = Instant::now();
        let client = Client::new(Duration::from_secs(5), true);
        let failure = client.post(&request(url.to_owned())).unwrap_err();
        assert!(
            failure.message.starts_with("refused to connect to"),
            "{url}: {failure:?}"
        );
        assert!(began.elapsed() < Duration::from_secs(2));
    }
}

#[test]
fn plain_http_goes_to_this_machine_only_unless_allowed() {
    let failure = post("http://192.0.2.1/".to_owned()).unwrap_err();
    assert!(failure.message.contains("in the clear"), "{failure:?}");
    let receiver = Receiver::with_statuses(&[200]);
    let by_name = receiver.url("/").replace("127.0.0.1", "localhost");
    assert_eq!(post(by_name), Ok(200));
    // Nobody is at that address: it only has to be tried.
    let client = Client::new(Duration::from_millis(300), true);
    let failure = client.post(&request("http://192.0.2.1/".to_owned())).unwrap_err();
    assert!(!failure.message.contains("refused to"), "{failure:?}");
}

#[test]
fn failures_and_their_wish_to_wait() {
    let receiver = Receiver::start(|number, stream| match number {
        0 => reply(stream, 503, "retry-after: 120\r\n"),
        1 => reply(stream, 429, "retry-after: Fri, 31 Dec 2100 23:59:59 GMT\r\n"),
        2 => reply(stream, 500, "retry-after: soon\r\n"),
        _ => drop(stream.write_all(b"what?\r\n\r\n")),
    });
    let next = || post(receiver.url("/secret-path")).unwrap_err();
    assert_eq!(
        next(),
        Failure {
            message: "answered 503".to_owned(),
            retry_after: Some(Duration::from_secs(120))
        }
    );
    assert_eq!(next().retry_after, Some(Duration::from_secs(86_400)));
    assert_eq!(next().retry_after, None);
    let failure = next();
    assert!(!failure.message.contains("secret-path"), "{failure:?}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let failure = post(format!("http://{nobody}/secret-path")).unwrap_err();
    assert!(
        failure.message.contains("refused") && !failure.message.contains("secret"),
        "{failure:?}"
    );
    let failure = post("http://no such host/secret".to_owned()).unwrap_err();
    assert!(!failure.message.contains("secret"), "{failure:?}");
}

#[test]
fn a_proxy_of_the_environment_is_not_used() {
    const NAME: &str = "notify::client::tests::a_proxy_of_the_environment_is_not_used";
    if let Some(url) = child_argument() {
        assert_eq!(post(url), Ok(200));
        return;
    }
    let (proxy, receiver) = (Receiver::with_statuses(&[502]), Receiver::with_statuses(&[200]));
    let address = proxy.url("");
    let names = [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ];
    in_child(
        NAME,
        &receiver.url("/"),
        &names.map(|name| (name, address.as_str())),
    );
    assert_eq!((proxy.received().len(), receiver.received().len()), (0, 1));
}

#[test]
fn shutdown_ends_a_request_on_another_thread() {
    let receiver = Receiver::start(|_, _| std::thread::sleep(Duration::from_secs(30)));
    let client = Client::new(Duration::from_secs(20), false);
    let (sender, url) = (client.clone(), receiver.url("/"));
    let began = Instant::now();
    let thread = std::thread::spawn(move || sender.post(&request(url)));
    receiver.wait(1);
    client.shutdown();
    assert!(thread.join().unwrap().is_err());
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A server with TLS that is not made of the same library: Python's.
struct TlsServer {
    child: Child,
    port: u16,
}

const SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("leaf.pem", "leaf.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
"#;

impl TlsServer {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", SERVER])
            .current_dir(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let port = line.trim().parse().unwrap();
        Self { child, port }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn make_certificates(dir: &Path) {
    let script = "
        set -e
        new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $new -keyout ca.key -out ca.pem -subj /CN=authority -days 30
        openssl req $new -keyout leaf.key -out leaf.csr -subj /CN=localhost
        echo subjectAltName=DNS:localhost > san
        openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 30 -extfile san
    ";
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_certificate_has_to_be_of_a_trusted_authority_and_for_the_name() {
    const NAME: &str =
        "notify::client::tests::a_certificate_has_to_be_of_a_trusted_authority_and_for_the_name";
    if let Some(port) = child_argument() {
        assert_eq!(post(format!("https://localhost:{port}/")), Ok(200));
        let failure = post(format!("https://127.0.0.1:{port}/")).unwrap_err();
        assert!(
            failure.message.contains("certificate not valid for name"),
            "{failure:?}"
        );
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    make_certificates(temp.path());
    let server = TlsServer::start(temp.path());
    let failure = post(format!("https://localhost:{}/secret-path", server.port)).unwrap_err();
    assert!(
        failure.message.starts_with("TLS: ") && failure.message.contains("trust store"),
        "{failure:?}"
    );
    assert!(!failure.message.contains("secret-path"), "{failure:?}");
    let authority = temp.path().join("ca.pem");
    in_child(
        NAME,
        &server.port.to_string(),
        &[("SSL_CERT_FILE", authority.to_str().unwrap())],
    );
}
