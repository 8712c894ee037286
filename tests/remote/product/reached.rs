//! How the program gets in: credentials from where AWS's own tools have them, and TLS.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::Machine;
use crate::server::{ADMIN, server};
use crate::site::Site;
use crate::support::{Run, run, tool};

/// `remote push` with these variables and no others of AWS's.
fn push(machine: &Machine, variables: &[(&str, &str)]) -> Run {
    let mut command = machine.app.command(&["remote", "push", "offsite"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("HOME", machine.app.path("nobody"));
    run(command.envs(variables.iter().copied()))
}

/// Takes a key out of the configuration.
fn without(machine: &Machine, key: &str) {
    let path = machine.app.path("cofre.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with(key)).collect();
    assert!(rest.len() < text.lines().count(), "{key}");
    std::fs::write(path, rest.join("\n")).unwrap();
}

#[test]
fn credentials_come_from_where_the_tools_of_aws_have_them() {
    let machine = Machine::new(Site::new());
    machine.app.config("[sources.static]\npath = \"static\"\n");
    machine.app.create();
    machine.configure("");
    without(&machine, "credentials_file");
    push(&machine, &[])
        .exits(2)
        .says("there are no credentials")
        .says("`credentials_file`")
        .says("AWS_ACCESS_KEY_ID");
    let (id, secret) = ADMIN;
    for (half, missing) in [
        (("AWS_ACCESS_KEY_ID", id), "AWS_SECRET_ACCESS_KEY is not"),
        (("AWS_SECRET_ACCESS_KEY", secret), "AWS_ACCESS_KEY_ID is not"),
    ] {
        push(&machine, &[half]).exits(2).says(missing).never_says(secret);
    }
    let environment = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
    push(&machine, &environment).exits(0).says("copied: ");
    let file = machine.app.path("s3.credentials");
    let shared = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())];
    push(&machine, &shared).exits(0);
    machine
        .app
        .write("nobody/.aws/credentials", &std::fs::read(&file).unwrap());
    push(&machine, &[]).exits(0);
    push(&machine, &[("AWS_PROFILE", "other")])
        .exits(2)
        .says("there is no section [other]")
        .says("`profile`");
    // What the configuration says counts for more than what happens to be around.
    machine.configure("");
    let wrong = [("AWS_ACCESS_KEY_ID", "NOBODY"), ("AWS_SECRET_ACCESS_KEY", "no")];
    push(&machine, &wrong).exits(0);
}

#[test]
fn a_server_with_tls_is_believed_as_far_as_somebody_vouches_for_it() {
    let machine = Machine::new(Site::new());
    machine.app.config("[sources.static]\npath = \"static\"\n");
    machine.app.create();
    machine.configure("");
    let config = std::fs::read_to_string(machine.app.path("cofre.toml")).unwrap();
    let with = |url: &str| config.replace(&machine.site.proxy.url(), url);
    machine.app.config(&with(&server().tls_url()));
    push(&machine, &[])
        .exits(10)
        .says("the server's certificate is not trusted")
        .says("add its authority to the system's trust store")
        // A line of a library's beside it says nothing more.
        .never_says("rustls_platform_verifier");
    let trusted: &Path = &server().certificate;
    let variables = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    push(&machine, &variables).exits(0).says("copied: ");
    // The name has to be right as well.
    machine
        .app
        .config(&with(&server().tls_url().replace("127.0.0.1", "localhost")));
    push(&machine, &variables)
        .exits(10)
        .says("the server's certificate is for another name");
    // One that `openssl req -x509` makes by itself is an authority's, whoever trusts it.
    let (address, certificate) = with_an_authority_s(&machine);
    machine.app.config(&with(&format!("https://{address}")));
    push(&machine, &[("SSL_CERT_FILE", certificate.to_str().unwrap())])
        .exits(10)
        .says("is marked as an authority's")
        .says("basicConstraints=critical,CA:FALSE");
}

/// A server with TLS whose certificate is marked as an authority's: where it is, and the certificate.
fn with_an_authority_s(machine: &Machine) -> (SocketAddr, PathBuf) {
    let (certificate, key) = (machine.app.path("ca.pem"), machine.app.path("ca.key"));
    let made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=ca -days 30 \
                -addext subjectAltName=IP:127.0.0.1";
    run(Command::new(tool("openssl"))
        .args(made.split_whitespace())
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate))
    .exits(0);
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&certificate).unwrap()],
            PrivateKeyDer::from_pem_file(&key).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let address = serve(move |mut stream| {
        let mut tls = ServerConnection::new(Arc::clone(&config)).unwrap();
        // The client ends it.
        let _ = tls.complete_io(&mut stream);
    });
    (address, certificate)
}

/// A server that does this with each connection.
fn serve(each: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(each));
    address
}

#[test]
fn tls_on_one_side_alone_is_told_at_once() {
    let machine = Machine::new(Site::new());
    machine.app.config("[sources.static]\npath = \"static\"\n");
    machine.app.create();
    machine.configure("");
    let config = std::fs::read_to_string(machine.app.path("cofre.toml")).unwrap();
    let tried = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&tried);
    // An alert of TLS, to HTTP.
    let alerts = serve(move |mut stream| {
        seen.fetch_add(1, Ordering::SeqCst);
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.clear();
        }
        let _ = stream.write_all(&[0x15, 3, 3, 0, 2, 2, 22]);
        // The client ends it, so that nothing of this is lost.
        let _ = std::io::copy(&mut reader, &mut std::io::sink());
    });
    let plain = machine.site.proxy.url();
    for (url, says, remedy) in [
        (
            format!("https://127.0.0.1:{}", server().port()),
            "the server does not speak TLS there",
            "correct `endpoint`",
        ),
        (
            server().tls_url().replace("https:", "http:"),
            "the server speaks TLS there, and `endpoint` is `http`",
            "write `https://` in `endpoint`",
        ),
        (
            format!("http://{alerts}"),
            "what answers there does not speak HTTP",
            "a port with TLS needs `https://`",
        ),
    ] {
        machine.app.config(&config.replace(&plain, &url));
        push(&machine, &[]).exits(10).says(says).says(remedy);
    }
    assert_eq!(tried.load(Ordering::SeqCst), 1, "waiting changes nothing");
}
