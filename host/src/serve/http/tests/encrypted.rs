//! TLS with certificates that openssl makes, spoken to by curl.

use super::*;
use std::process::Command;
use std::sync::PoisonError;

/// A SIGHUP reaches every server of this process, and one test counts how often files are read.
static HANGUP: Mutex<()> = Mutex::new(());

fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A certificate for localhost that is its own authority, and its key.
fn certificate(folder: &Path, name: &str) {
    let (key, cert) = (format!("{name}.key"), format!("{name}.pem"));
    let subject = format!("/CN={name}");
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            &key,
            "-out",
            &cert,
        ],
    );
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder.join(key), PermissionsExt::from_mode(0o600)).unwrap();
}

/// Puts a pair in the place of the one in use, as certbot does: whole files, renamed.
fn replace(folder: &Path, cert: &str, key: &str) {
    for (from, to) in [(cert, "cert.pem"), (key, "key.pem")] {
        let aside = folder.join("aside");
        std::fs::copy(folder.join(from), &aside).unwrap();
        std::fs::rename(&aside, folder.join(to)).unwrap();
    }
}

const TLS: &str = "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"";

fn quick() -> Limits {
    Limits {
        handshake: Duration::from_millis(500),
        reload: Duration::from_millis(50),
        ..Limits::default()
    }
}

fn encrypted() -> (Running, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    certificate(&path, "one");
    replace(&path, "one.pem", "one.key");
    (start_in(folder, TLS, quick(), routes()), path)
}

/// The body that curl gets when it trusts one certificate; else its exit code.
fn curl(server: &Running, folder: &Path, trusted: &str, more: &[&str]) -> std::result::Result<String, i32> {
    let url = format!("https://localhost:{}/metrics", server.address.port());
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "10",
            "--cacert",
            trusted,
        ])
        .args(["--header", &format!("Authorization: Bearer {ADMIN}")])
        .args(more)
        .arg(url)
        .current_dir(folder)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(output.status.code().unwrap())
    }
}

fn eventually(what: &str, mut reached: impl FnMut() -> bool) {
    let began = Instant::now();
    while !reached() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_client_that_trusts_the_certificate_speaks_tls_1_2_or_1_3() {
    let (mut server, folder) = encrypted();
    let answer = Ok("token:ops Admin".to_owned());
    assert_eq!(curl(&server, &folder, "one.pem", &["--tlsv1.3"]), answer);
    assert_eq!(curl(&server, &folder, "one.pem", &["--tls-max", "1.2"]), answer);
    // Asked for HTTP/2, it agrees on 1.1.
    let version = [
        "--http2",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version}",
    ];
    assert_eq!(curl(&server, &folder, "one.pem", &version), Ok("1.1".to_owned()));
    let address = server.address.to_string();
    let output = Command::new("openssl")
        .args([
            "s_client",
            "-tls1_1",
            "-cipher",
            "DEFAULT@SECLEVEL=0",
            "-connect",
            &address,
        ])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // The server says so, not the client.
    assert!(said.contains("SSL alert number"), "{said}");
    // Plain HTTP is none, and ends.
    let mut plain = server.connect();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    assert!(ends_within(&mut plain, Duration::from_secs(2)));
    server.end();
    assert!(!server.log.text().contains("WITHOUT TLS"));
}

#[test]
fn a_handshake_that_does_not_come_is_not_waited_for() {
    let (server, _folder) = encrypted();
    let mut silent = server.connect();
    let began = Instant::now();
    assert!(ends_within(&mut silent, Duration::from_secs(2)));
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_refused_body_is_answered_through_tls_as_well() {
    let (server, folder) = encrypted();
    std::fs::write(folder.join("big"), vec![b'x'; 10 << 20]).unwrap();
    let more = [
        "--data-binary",
        "@big",
        "--header",
        "Expect:",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ];
    assert_eq!(curl(&server, &folder, "one.pem", &more), Ok("413".to_owned()));
}

#[test]
fn the_certificate_is_replaced_while_serving_and_a_bad_one_is_not_taken() {
    let _alone = HANGUP.lock().unwrap_or_else(PoisonError::into_inner);
    let (server, folder) = encrypted();
    let answer = Ok("token:ops Admin".to_owned());
    certificate(&folder, "two");
    assert_eq!(curl(&server, &folder, "one.pem", &[]), answer);
    replace(&folder, "two.pem", "two.key");
    eventually("the new certificate is in use", || {
        curl(&server, &folder, "two.pem", &[]) == answer
    });
    assert_ne!(curl(&server, &folder, "one.pem", &[]), answer);
    for (cert, key) in [("one.pem", "two.key"), ("one.key", "one.pem"), ("two.pem", "big")] {
        std::fs::write(folder.join("big"), "no key").unwrap();
        replace(&folder, cert, key);
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(curl(&server, &folder, "two.pem", &[]), answer, "{cert} {key}");
    }
    std::fs::remove_file(folder.join("cert.pem")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(curl(&server, &folder, "two.pem", &[]), answer);
    // Looked at every 50 ms, and said once each.
    let log = server.log.text();
    assert_eq!(
        log.matches("the old certificate stays in use").count(),
        4,
        "{log}"
    );
    assert!(log.contains("cert.pem: No such file"), "{log}");
    replace(&folder, "one.pem", "one.key");
    eventually("the first certificate is back", || {
        curl(&server, &folder, "one.pem", &[]) == answer
    });
}

#[test]
fn sighup_renews_the_certificate_at_once() {
    let _alone = HANGUP.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    certificate(&path, "one");
    certificate(&path, "two");
    replace(&path, "one.pem", "one.key");
    let limits = Limits {
        reload: Duration::from_secs(3_600),
        ..Limits::default()
    };
    let server = start_in(folder, TLS, limits, routes());
    let answer = Ok("token:ops Admin".to_owned());
    assert_eq!(curl(&server, &path, "one.pem", &[]), answer);
    replace(&path, "two.pem", "two.key");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(curl(&server, &path, "one.pem", &[]), answer);
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    eventually("the new certificate is in use", || {
        curl(&server, &path, "two.pem", &[]) == answer
    });
}

#[test]
fn a_pair_that_can_not_be_used_is_named_with_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    certificate(path, "one");
    certificate(path, "two");
    openssl(
        path,
        &[
            "pkey",
            "-in",
            "one.key",
            "-aes256",
            "-passout",
            "pass:x",
            "-out",
            "locked.key",
        ],
    );
    std::fs::write(path.join("empty"), "").unwrap();
    let mut cut = std::fs::read_to_string(path.join("one.key")).unwrap();
    cut.truncate(cut.len() / 2);
    std::fs::write(path.join("cut.key"), &cut).unwrap();
    let secret = cut.lines().nth(1).unwrap();
    for (cert, key, code, expected) in [
        (
            "one.pem",
            "two.key",
            crate::Code::Config,
            "two.key is not the key of the first certificate",
        ),
        (
            "missing.pem",
            "one.key",
            crate::Code::Io,
            "missing.pem: No such file",
        ),
        (
            "one.pem",
            "missing.key",
            crate::Code::Io,
            "missing.key: No such file",
        ),
        (
            "empty",
            "one.key",
            crate::Code::Config,
            "there is no certificate in",
        ),
        (
            "one.pem",
            "empty",
            crate::Code::Config,
            "there is no private key in",
        ),
        (
            "one.pem",
            "locked.key",
            crate::Code::Config,
            "without a passphrase",
        ),
        ("one.pem", "cut.key", crate::Code::Config, "cut.key is damaged"),
        (
            "one.pem",
            "one.pem",
            crate::Code::Config,
            "there is no private key in",
        ),
    ] {
        let error = refusal(path, &format!("tls_cert = \"{cert}\"\ntls_key = \"{key}\""));
        let text = error.to_string();
        assert!(text.contains(expected), "{cert} {key}: {text}");
        assert_eq!(error.code, code, "{text}");
        assert!(error.remedy.is_some());
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn a_key_that_others_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "one");
    replace(folder.path(), "one.pem", "one.key");
    std::fs::set_permissions(folder.path().join("key.pem"), PermissionsExt::from_mode(0o644)).unwrap();
    let mut server = start_in(folder, TLS, quick(), routes());
    server.end();
    let log = server.log.text();
    assert!(
        log.contains("key.pem holds a private key and others can read it"),
        "{log}"
    );
}
