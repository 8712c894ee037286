//! Signatures: only for the same key, purpose and message; and what OpenSSL and the RFC think of them.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::{SigningKey, VerifyKey};
use super::content;

const DOMAIN: &str = "cofre row 1";

#[test]
fn a_signature_is_good_for_its_key_purpose_and_message_only() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let (public, message) = (key.verify_key(), b"{\"name\":\"a\"}");
    let signature = key.sign(DOMAIN, message);
    assert_eq!(signature.len(), 64);
    assert!(public.verify(DOMAIN, message, &signature));
    assert_eq!(key.sign(DOMAIN, message), signature, "Ed25519 has no randomness");

    assert!(!other.verify_key().verify(DOMAIN, message, &signature));
    assert!(!public.verify("cofre row 2", message, &signature));
    assert!(!public.verify("cofre row", b" 1{\"name\":\"a\"}", &signature));
    assert!(!public.verify("cofre row", b" 1\0{\"name\":\"a\"}", &signature));
    assert!(!public.verify(DOMAIN, b"{\"name\":\"b\"}", &signature));
    assert!(!public.verify(DOMAIN, b"", &signature));
    for bit in 0..512 {
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!public.verify(DOMAIN, message, &flipped), "bit {bit}");
    }
    for length in [0, 1, 63] {
        assert!(!public.verify(DOMAIN, message, &signature[..length]));
    }
    assert!(!public.verify(DOMAIN, message, &[&signature[..], &[0]].concat()));
}

#[test]
fn a_verify_key_is_written_and_read_back() {
    let key = SigningKey::generate().unwrap().verify_key();
    let text = key.to_string();
    assert_eq!(text.len(), 44);
    assert_eq!(VerifyKey::parse(&format!(" {text}\n")).unwrap(), key);
    for bad in [
        "",
        "AAAA",
        &text[..43],
        &format!("{text}AAAA"),
        &text.replace('=', ""),
        "é",
    ] {
        VerifyKey::parse(bad).unwrap_err();
    }
}

/// RFC 8032, section 7.1, test 3: that the seed in the file is taken as everybody takes it.
#[test]
fn the_public_half_is_the_one_of_the_standard() {
    let seed =
        crate::text::unhex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7").unwrap();
    let der = [
        &crate::text::unhex("302e020100300506032b657004220420").unwrap()[..],
        &seed,
    ]
    .concat();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der)
    );
    let key = SigningKey::parse(pem.as_bytes(), "rfc").unwrap();
    let public =
        crate::text::unhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025").unwrap();
    assert_eq!(key.verify_key().to_string(), STANDARD.encode(public));
    assert_eq!(*key.to_pem().unwrap(), pem);
}

#[track_caller]
fn openssl(dir: &Path, args: &[&str]) {
    let output = Command::new("openssl")
        .args(args)
        .current_dir(dir)
        .output()
        .expect("`openssl` is installed; `.ci/run` lists its Debian package");
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn openssl_makes_keys_that_are_read_and_verifies_what_is_signed() {
    let dir = tempfile::tempdir().unwrap();
    openssl(
        dir.path(),
        &["genpkey", "-algorithm", "ed25519", "-out", "theirs.pem"],
    );
    SigningKey::read(&dir.path().join("theirs.pem")).unwrap();
    openssl(
        dir.path(),
        &["genpkey", "-algorithm", "x25519", "-out", "wrong.pem"],
    );
    let error = SigningKey::read(&dir.path().join("wrong.pem")).unwrap_err();
    assert!(error.message.contains("Ed25519"), "{error}");

    let key = SigningKey::generate().unwrap();
    let message = content(1000);
    std::fs::write(dir.path().join("key.pem"), &*key.to_pem().unwrap()).unwrap();
    std::fs::write(
        dir.path().join("signed"),
        [DOMAIN.as_bytes(), b"\0", &message].concat(),
    )
    .unwrap();
    std::fs::write(dir.path().join("signature"), key.sign(DOMAIN, &message)).unwrap();
    openssl(
        dir.path(),
        &["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"],
    );
    let verify = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "public.pem",
        "-rawin",
        "-in",
        "signed",
        "-sigfile",
        "signature",
    ];
    openssl(dir.path(), &verify);
}
