//! Which sessions are good, and what keys are refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::*;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A session signed with HS256.
pub(in super::super) fn session(key: &[u8], claims: &Value) -> String {
    let header = Header::new(Algorithm::HS256);
    encode(&header, claims, &EncodingKey::from_secret(key)).unwrap()
}

fn now() -> u64 {
    jsonwebtoken::get_current_timestamp()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).unwrap()
    }
}

fn configured(algorithm: &str, key_file: PathBuf, audience: Option<&str>) -> Jwt {
    Jwt {
        algorithm: algorithm.to_owned(),
        key_file,
        claim: "setor".to_owned(),
        admin: "admin".to_owned(),
        audience: audience.map(str::to_owned),
        cookie: None,
    }
}

fn sessions(audience: Option<&str>) -> Sessions {
    let folder = Folder::new();
    Sessions::new(&configured("HS256", folder.file("jwt.key", KEY), audience)).unwrap()
}

fn role(sessions: &Sessions, claims: &Value) -> std::result::Result<Role, Bad> {
    sessions
        .check(&session(KEY, claims))
        .map(|identity| identity.role)
}

#[test]
fn the_claim_decides_the_role_and_only_text_is_equal_to_it() {
    let sessions = sessions(None);
    let exp = now() + 600;
    for (claim, expected) in [
        (json!("admin"), Role::Admin),
        (json!(["vendas", "admin"]), Role::Admin),
        (json!("Admin"), Role::Viewer),
        (json!("admin "), Role::Viewer),
        (json!(["vendas"]), Role::Viewer),
        (json!([["admin"]]), Role::Viewer),
        (json!({"admin": true}), Role::Viewer),
        (json!(true), Role::Viewer),
        (json!(1), Role::Viewer),
        (json!(null), Role::Viewer),
    ] {
        let claims = json!({"exp": exp, "setor": claim});
        assert_eq!(role(&sessions, &claims), Ok(expected), "{claims}");
    }
    assert_eq!(role(&sessions, &json!({"exp": exp})), Ok(Role::Viewer));
}

#[test]
fn times_and_audience_are_checked() {
    let plain = sessions(None);
    let audience = sessions(Some("cofre"));
    let n = now();
    for (sessions, claims, expected) in [
        (&plain, json!({"exp": n + 60}), Ok(Role::Viewer)),
        (&plain, json!({"exp": n - 10}), Ok(Role::Viewer)),
        (&plain, json!({"exp": n - 60}), Err(Bad::Expired)),
        (
            &plain,
            json!({"exp": -1}),
            Err(Bad::Wrong("the session lacks `exp` or `aud`")),
        ),
        (
            &plain,
            json!({"exp": "4000000000"}),
            Err(Bad::Wrong("the session lacks `exp` or `aud`")),
        ),
        (
            &plain,
            json!({"setor": "admin"}),
            Err(Bad::Wrong("the session lacks `exp` or `aud`")),
        ),
        (
            &plain,
            json!({"exp": n + 60, "nbf": n + 300}),
            Err(Bad::Wrong("the session is not valid yet")),
        ),
        (&plain, json!({"exp": n + 60, "nbf": n - 5}), Ok(Role::Viewer)),
        (&plain, json!({"exp": n + 60, "aud": "other"}), Ok(Role::Viewer)),
        (
            &audience,
            json!({"exp": n + 60, "aud": "cofre"}),
            Ok(Role::Viewer),
        ),
        (
            &audience,
            json!({"exp": n + 60, "aud": ["x", "cofre"]}),
            Ok(Role::Viewer),
        ),
        (
            &audience,
            json!({"exp": n + 60, "aud": "other"}),
            Err(Bad::Wrong("the session is for another audience")),
        ),
        (
            &audience,
            json!({"exp": n + 60}),
            Err(Bad::Wrong("the session lacks `exp` or `aud`")),
        ),
    ] {
        assert_eq!(role(sessions, &claims), expected, "{claims}");
    }
}

#[test]
fn the_token_chooses_neither_algorithm_nor_key() {
    let sessions = sessions(None);
    let claims = json!({"exp": now() + 600, "setor": "admin"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let payload = part(&claims);
    for alg in ["none", "None", "NONE", "nOnE", "HS512", "RS256"] {
        let header = part(&json!({"alg": alg, "typ": "JWT"}));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert!(sessions.check(&token).is_err(), "{alg} {signature}");
        }
    }
    let other = encode(
        &Header::new(Algorithm::HS512),
        &claims,
        &EncodingKey::from_secret(KEY),
    )
    .unwrap();
    assert_eq!(
        sessions.check(&other),
        Err(Bad::Wrong("the session has another algorithm"))
    );
    let forged = session(b"another key that is as long as it", &claims);
    assert_eq!(
        sessions.check(&forged),
        Err(Bad::Wrong("the session's signature is wrong"))
    );
    // Pointers to other keys are as if they were not there.
    let mut header = Header::new(Algorithm::HS256);
    header.jku = Some("http://127.0.0.1:9/keys".to_owned());
    header.x5u = Some("http://127.0.0.1:9/keys".to_owned());
    header.kid = Some("../../dev/null".to_owned());
    let good = encode(&header, &claims, &EncodingKey::from_secret(KEY)).unwrap();
    assert!(sessions.check(&good).is_ok());
    let forged = encode(&header, &claims, &EncodingKey::from_secret(b"x")).unwrap();
    assert!(sessions.check(&forged).is_err());
    header.crit = Some(vec!["b64".to_owned()]);
    let critical = encode(&header, &claims, &EncodingKey::from_secret(KEY)).unwrap();
    assert_eq!(
        sessions.check(&critical),
        Err(Bad::Wrong("the session needs an extension"))
    );
}

#[test]
fn what_is_no_session_or_too_long_is_refused_without_a_panic() {
    let sessions = sessions(None);
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "e30.e30.e30",
        "é.é.é",
        "eyJhbGciOiJIUzI1NiJ9..x",
    ] {
        assert!(sessions.check(text).is_err(), "{text}");
    }
    let claims = json!({"exp": now() + 600, "setor": "admin", "fill": "x".repeat(TOKEN_BYTES)});
    assert_eq!(
        sessions.check(&session(KEY, &claims)),
        Err(Bad::Wrong("the session is too long"))
    );
}

#[test]
fn the_subject_is_who_and_is_bounded() {
    let sessions = sessions(None);
    let who = |sub: Value| {
        let claims = json!({"exp": now() + 600, "sub": sub});
        sessions.check(&session(KEY, &claims)).unwrap().who
    };
    assert_eq!(who(json!("ana")), Who::Session("ana".to_owned()));
    assert_eq!(who(json!(7)), Who::Session("7".to_owned()));
    assert_eq!(who(json!(null)), Who::Session("unknown".to_owned()));
    assert_eq!(
        who(json!("a".repeat(5_000))),
        Who::Session("a".repeat(SUBJECT_CHARS))
    );
    assert_eq!(who(json!("a\nb")).to_string(), "session:a\\nb");
}

#[test]
fn each_family_of_keys_works_with_its_public_key() {
    let folder = Folder::new();
    let claims = json!({"exp": now() + 600, "setor": "admin"});
    for (algorithm, generate) in [
        (
            Algorithm::RS256,
            vec!["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        ),
        (
            Algorithm::ES256,
            vec![
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ],
        ),
        (
            Algorithm::ES384,
            vec![
                "genpkey",
                "-algorithm",
                "EC",
                "-pkeyopt",
                "ec_paramgen_curve:P-384",
            ],
        ),
        (Algorithm::EdDSA, vec!["genpkey", "-algorithm", "ED25519"]),
    ] {
        let name = format!("{algorithm:?}");
        let (private, public) = (format!("{name}.key"), format!("{name}.pub"));
        folder.openssl(&[generate, vec!["-out", &private]].concat());
        folder.openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
        let pem = folder.read(&private);
        let key = match algorithm.family() {
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(&pem),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(&pem),
            _ => EncodingKey::from_ed_pem(&pem),
        };
        let token = encode(&Header::new(algorithm), &claims, &key.unwrap()).unwrap();
        let sessions = Sessions::new(&configured(&name, folder.0.path().join(&public), None)).unwrap();
        assert_eq!(sessions.check(&token).unwrap().role, Role::Admin, "{name}");
        // Signed with the public key as if it were a shared secret.
        let confused = session(&folder.read(&public), &claims);
        assert!(sessions.check(&confused).is_err());
        let text = format!("{sessions:?}");
        assert!(text.contains("redacted"), "{text}");
        let error = Sessions::new(&configured(&name, folder.0.path().join(&private), None)).unwrap_err();
        assert!(error.to_string().contains("holds a private key"), "{error}");
    }
    for (algorithm, file) in [
        ("ES256", "ES384.pub"),
        ("ES384", "ES256.pub"),
        ("RS256", "ES256.pub"),
        ("ES256", "RS256.pub"),
        ("EdDSA", "RS256.pub"),
        ("HS256", "RS256.pub"),
    ] {
        let error = Sessions::new(&configured(algorithm, folder.0.path().join(file), None)).unwrap_err();
        assert_eq!(error.code, Code::Config);
        let text = error.to_string();
        assert!(text.contains(file) && text.contains(algorithm), "{text}");
    }
}

#[test]
fn a_key_file_that_can_not_be_used_is_named() {
    let folder = Folder::new();
    let missing = Sessions::new(&configured("HS256", folder.0.path().join("missing.key"), None)).unwrap_err();
    let text = missing.to_string();
    assert!(
        text.contains("missing.key") && text.contains("No such file"),
        "{text}"
    );
    for bytes in [b"".as_slice(), b"\n", b"\r\n"] {
        let empty = Sessions::new(&configured("HS256", folder.file("empty.key", bytes), None)).unwrap_err();
        assert!(empty.to_string().contains("empty.key is empty"), "{empty}");
    }
    let junk = b"-----BEGIN PUBLIC KEY-----\nc2VjcmV0\n-----END PUBLIC KEY-----\n";
    let error = Sessions::new(&configured("RS256", folder.file("junk.pem", junk), None)).unwrap_err();
    assert!(
        error.to_string().contains("junk.pem") && !error.to_string().contains("c2VjcmV0"),
        "{error}"
    );
}

#[test]
fn the_newline_at_the_end_of_a_secret_is_not_part_of_it() {
    let folder = Folder::new();
    let claims = json!({"exp": now() + 600});
    for end in ["\n", "\r\n", ""] {
        let file = folder.file("jwt.key", &[KEY, end.as_bytes()].concat());
        let sessions = Sessions::new(&configured("HS256", file, None)).unwrap();
        assert!(sessions.check(&session(KEY, &claims)).is_ok(), "{end:?}");
    }
}
