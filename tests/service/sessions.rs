//! Sessions of the application: in a cookie, under a public key, with a subject that is meant to mislead.

use crate::auth::{HEAD, JWT, KEY, claims, now, secret_file, session, site};
use crate::process::Service;
use crate::python::jwt;
use crate::site::{Extra, Site};
use crate::support::{run, tool};

#[test]
fn a_session_may_come_in_a_cookie_and_then_a_write_needs_the_same_origin() {
    let site = site();
    let _service = Service::start(&site);
    let cookie = format!("outra=1; sessao={}; mais=2", session("admin"));
    let read = |path: &str| site.anonymous("GET", path).header("Cookie", &cookie).send();
    read("/api/backup/status").is(200);
    let write = |origin: Option<&str>| {
        let mut call = site
            .anonymous("POST", "/api/backup/criar")
            .header("Cookie", &cookie)
            .json("{}");
        if let Some(origin) = origin {
            call = call.header("Origin", origin);
        }
        call.send()
    };
    for origin in [
        None,
        Some("https://malvado.example"),
        Some("null"),
        Some("http://127.0.0.1:1"),
        Some("http://127.0.0.1.malvado.example"),
    ] {
        let reply = write(origin);
        assert_eq!(reply.status, 403, "{origin:?}: {reply}");
        reply.fails(403, "cross_site");
    }
    // A form of another site can be sent without a preflight only in these types.
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let call = site
            .anonymous("POST", "/api/backup/criar")
            .header("Cookie", &cookie);
        let reply = call
            .header("Origin", "https://malvado.example")
            .body(kind, b"{\"tipo\":\"manual\"}")
            .send();
        assert_eq!(reply.status, 403, "{reply}");
    }
    assert_eq!(site.list().len(), 0, "nothing was made");
    write(Some(&site.url(""))).is(200);
    // A bearer token is never sent by a browser on its own: no origin is asked for.
    site.call("POST", "/api/backup/criar")
        .header("Origin", "https://malvado.example")
        .json("{}")
        .send()
        .is(200);

    let bad = format!("sessao={}", jwt(HEAD, &claims("admin", now() + 99), "outra"));
    let reply = site
        .anonymous("GET", "/api/backup/status")
        .header("Cookie", &bad)
        .send();
    reply.fails(401, "not_authenticated");
}

#[test]
fn the_subject_of_a_session_passes_for_nobody_else_in_the_log() {
    let site = site();
    let service = Service::start(&site);
    let sub = r#"maria status=200\n2026-01-01T00:00:00Z  INFO cofre::audit: who=token:ops \u001b[31m"#;
    let claims = format!(
        r#"{{"sub":"{sub}","setor":"portaria","aud":"relatorios","exp":{}}}"#,
        now() + 3_600
    );
    let token = jwt(HEAD, &claims, KEY);
    let call = site.anonymous("POST", "/api/backup/criar").bearer(&token);
    call.json("{}").send().fails(403, "forbidden");
    let line = service.logs(&["cofre::audit", "maria", "403"]);
    assert!(
        line.contains("WARN") && line.contains("session:\"maria "),
        "{line}"
    );
    let log = service.log();
    assert!(log.lines().all(|line| !line.starts_with("2026-01-01")), "{log}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[test]
fn cookies_are_off_unless_the_configuration_names_one() {
    let site = Site::with(Extra {
        tables: &JWT.replace("cookie = \"sessao\"\n", ""),
        ..Extra::default()
    });
    secret_file(&site, "jwt.key", KEY);
    let _service = Service::start(&site);
    let cookie = format!("sessao={}", session("admin"));
    let call = site.anonymous("GET", "/api/backup/status");
    call.header("Cookie", &cookie)
        .send()
        .fails(401, "not_authenticated");
    let call = site.anonymous("GET", "/api/backup/status");
    call.bearer(&session("admin")).send().is(200);
}

/// A public key signs nothing: neither as the secret of HS256 nor in any other way.
#[test]
fn a_public_key_is_no_secret_and_its_own_signatures_count() {
    let site = Site::with(Extra {
        tables: &JWT.replace("HS256", "RS256").replace("jwt.key", "publica.pem"),
        ..Extra::default()
    });
    let (private, public) = (site.app.path("privada.pem"), site.app.path("publica.pem"));
    let openssl = || std::process::Command::new(tool("openssl"));
    let bits = [
        "genpkey",
        "-quiet",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
    ];
    run(openssl().args(bits).arg("-out").arg(&private)).exits(0);
    run(openssl()
        .args(["pkey", "-pubout", "-in"])
        .arg(&private)
        .arg("-out")
        .arg(&public))
    .exits(0);
    let _service = Service::start(&site);
    let status = |token: &str| {
        let call = site.anonymous("GET", "/api/backup/status").bearer(token);
        call.send().status
    };
    let good = claims("admin", now() + 3_600);
    let pem = std::fs::read_to_string(&public).unwrap();
    assert_eq!(status(&jwt(HEAD, &good, &pem)), 401, "the public key as a secret");
    let rs = r#"{"alg":"RS256","typ":"JWT"}"#;
    assert_eq!(status(&jwt(rs, &good, &pem)), 401, "an HMAC that says RS256");
    let signed = run(crate::python::python()
        .arg("-c")
        .arg(
            "
import base64, subprocess, sys
openssl, key, head, claims = sys.argv[1:]
b64 = lambda b: base64.urlsafe_b64encode(b).rstrip(b'=')
text = b64(head.encode()) + b'.' + b64(claims.encode())
signature = subprocess.run([openssl, 'dgst', '-sha256', '-sign', key], input=text, capture_output=True, check=True)
print((text + b'.' + b64(signature.stdout)).decode(), end='')
",
        )
        .arg(tool("openssl"))
        .arg(&private)
        .args([rs, &good]))
    .exits(0);
    assert_eq!(status(&signed.stdout), 200);
}
