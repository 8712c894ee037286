//! Keys that can't be used: each has its own message, and none shows a secret.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bech32::{Bech32, Hrp};

use super::super::{Identity, SigningKey};
use super::{Keys, recipients};
use crate::error::{Code, Error};

/// The characters of a secret key, without what every one begins with.
fn secret_of(keys: &Keys) -> &str {
    keys.text.trim().rsplit_once("KEY-").unwrap().1
}

#[test]
fn a_recipient_that_cant_be_used_is_named_with_the_reason() {
    let good = Keys::new().recipient;
    let typo = good.replacen("age1", "age1q", 1);
    let plugin = "age1yubikey1qwt50d05nh5vutpdzmlg5wn80xq5negm4uj9ghv0snvdd3yysf5yw3rhl3t";
    let cases: [(&str, Code, &str); 14] = [
        ("", Code::Config, "number 2 is no public key"),
        ("   ", Code::Config, "number 2 is no public key"),
        ("age1", Code::Config, "number 2 (`age1`) is damaged"),
        (&typo, Code::Config, "is damaged or incomplete"),
        (&good[..40], Code::Config, "is damaged or incomplete"),
        ("AGE1qqq", Code::Config, "is damaged or incomplete"),
        ("age1é", Code::Config, "is damaged or incomplete"),
        ("keys.txt", Code::Config, "number 2 is no public key"),
        (
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            Code::Config,
            "no public key",
        ),
        (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA me@host",
            Code::Unsupported,
            "an SSH key",
        ),
        ("ecdsa-sha2-nistp256 AAAA", Code::Unsupported, "an SSH key"),
        (plugin, Code::Unsupported, "plugin"),
        ("age1pq1qqqq", Code::Unsupported, "newer kind"),
        ("age1tag1qqqq", Code::Unsupported, "newer kind"),
    ];
    for (text, code, said) in cases {
        let error = recipients(&[&good, text]).unwrap_err();
        assert_eq!(error.code, code, "{text}: {error}");
        assert!(error.message.contains("number 2"), "{text}: {error}");
        assert!(error.message.contains(said), "{text}: {error}");
        assert!(error.remedy.is_some(), "{text}");
    }
    assert_eq!(recipients(&[]).unwrap_err().code, Code::Config);
    recipients(&[&format!(" {good}\n")]).unwrap();
}

#[test]
fn a_secret_key_among_the_recipients_is_refused_and_not_repeated() {
    let keys = Keys::new();
    let (line, secret) = (keys.text.lines().last().unwrap(), secret_of(&keys));
    let texts = [
        line.to_owned(),
        line.to_ascii_lowercase(),
        format!(" \"{line}\""),
        format!("{}\n{line}", keys.recipient),
        line.replacen("AGE", "AEG", 1),
        secret.to_owned(),
        line[..60].to_owned(),
        line.replace("KEY-1", "KEY-1X"),
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI".to_owned(),
        "AGE-PLUGIN-YUBIKEY-1QGQKVQYZMQ5H4SPLQYQ".to_owned(),
    ];
    for text in texts {
        let error = recipients(&[&text]).unwrap_err();
        assert_eq!(error.code, Code::Config, "{text}");
        let shown = format!("{error} {error:?}").to_ascii_uppercase();
        for part in [&secret[..20], "MC4CAQ", "QGQKVQ"] {
            assert!(!shown.contains(part), "{text}: {shown}");
        }
    }
    let error = recipients(&[line]).unwrap_err();
    assert!(error.message.contains("number 1 is a SECRET key"), "{error}");
}

/// The points of small order on the curve of X25519, as in RFC 7748's warning; age panics when it encrypts for one.
#[test]
fn a_weak_key_is_refused() {
    let p = |first: u8, last: u8| {
        let mut point = [0xff_u8; 32];
        (point[0], point[31]) = (first, last);
        point
    };
    let mut one = [0; 32];
    one[0] = 1;
    let eighth: [u8; 32] = [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ];
    for point in [
        [0; 32],
        one,
        eighth,
        p(0xec, 0x7f),
        p(0xed, 0x7f),
        p(0xee, 0x7f),
        p(0xed, 0xff),
    ] {
        let text = bech32::encode::<Bech32>(Hrp::parse("age").unwrap(), &point).unwrap();
        let error = recipients(&[&text]).unwrap_err();
        assert_eq!(error.code, Code::Config, "{text}");
        assert!(error.message.contains("is a weak key"), "{error}");
    }
}

fn identity(text: &[u8]) -> Error {
    Identity::parse(text, "id.txt").unwrap_err()
}

#[test]
fn an_identity_file_that_is_something_else_is_named() {
    let keys = Keys::new();
    let signing = SigningKey::generate().unwrap().to_pem().unwrap();
    let signing = format!("# cofre signing key, made today\n{}", *signing);
    let cut = &keys.text.trim()[..keys.text.trim().len() - 3];
    let plugin = "AGE-PLUGIN-YUBIKEY-1QGQKVQYZMQ5H4SPLQYQ\n";
    let cases: [(&[u8], Code, &str); 14] = [
        (b"", Code::Config, "holds no identity"),
        (b"# only a comment\n", Code::Config, "holds no identity"),
        (
            b"age-encryption.org/v1\n-> scrypt x 18\n\xff",
            Code::Unsupported,
            "encrypted, by a passphrase",
        ),
        (
            b"-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n",
            Code::Unsupported,
            "encrypted, by a passphrase",
        ),
        (
            b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n",
            Code::Unsupported,
            "SSH key",
        ),
        (signing.as_bytes(), Code::Config, "is a signing key"),
        (plugin.as_bytes(), Code::Unsupported, "plugin in line 1"),
        (keys.recipient.as_bytes(), Code::Config, "a public key in line 1"),
        (cut.as_bytes(), Code::Config, "is damaged in line 3"),
        (b"hello\n", Code::Config, "line 1 is neither"),
        (b"\xff\xfe\x00", Code::Config, "is no text"),
        (
            b"# cofre verify key: AAAA\n",
            Code::Config,
            "is damaged in line 1",
        ),
        (b"# cofre verify key:\n", Code::Config, "is damaged in line 1"),
        (b"PK\x03\x04", Code::Config, "line 1 is neither"),
    ];
    for (text, code, said) in cases {
        let error = identity(text);
        assert_eq!(error.code, code, "{said}: {error}");
        assert!(error.message.starts_with("id.txt "), "{error}");
        assert!(error.message.contains(said), "{said}: {error}");
        assert!(error.remedy.is_some(), "{said}");
        assert!(!format!("{error}").contains(&secret_of(&keys)[..20]), "{error}");
    }
    // Line ends of Windows and spaces are no reason.
    let windows = keys.text.replace('\n', " \r\n");
    Identity::parse(windows.as_bytes(), "id.txt").unwrap();
}

fn signing(text: &str) -> Error {
    SigningKey::parse(text.as_bytes(), "sign.key").unwrap_err()
}

#[test]
fn a_signing_key_file_that_is_something_else_is_named() {
    let keys = Keys::new();
    let pem = SigningKey::generate().unwrap().to_pem().unwrap();
    let both = format!("{}{}", keys.text, *pem);
    let cases = [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("hello", "holds no private key"),
        (&keys.text, "has an identity in it"),
        (&both, "has an identity in it"),
        (&pem[..60], "is damaged"),
        (
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
            "is damaged or not of the kind Ed25519",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n",
            "is damaged",
        ),
        (
            "-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n",
            "is a public key",
        ),
        (
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMCow\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "locked by a passphrase",
        ),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n",
            "another kind or format",
        ),
    ];
    for (text, said) in cases {
        let error = signing(text);
        assert_eq!(error.code, Code::Config, "{said}: {error}");
        assert!(error.message.starts_with("sign.key "), "{error}");
        assert!(error.message.contains(said), "{said}: {error}");
        for secret in [&secret_of(&keys)[..20], &pem[30..60]] {
            assert!(!format!("{error}").contains(secret), "{error}");
        }
    }
}

#[test]
fn files_that_cant_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    for (path, said) in [
        (dir.path().join("missing"), "No such file"),
        (fifo, "not a regular file"),
        (dir.path().to_owned(), "not a regular file"),
    ] {
        for error in [
            Identity::read(&path).unwrap_err(),
            SigningKey::read(&path).unwrap_err(),
        ] {
            assert_eq!(error.code, Code::Io, "{error}");
            assert!(error.message.contains(said), "{error}");
            assert!(error.message.contains(path.to_str().unwrap()), "{error}");
        }
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(work: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = log.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_key_that_others_can_read_is_warned_about_and_works() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    let (id, key) = (dir.path().join("id.txt"), dir.path().join("sign.key"));
    std::fs::write(&id, &keys.text).unwrap();
    std::fs::write(&key, &*SigningKey::generate().unwrap().to_pem().unwrap()).unwrap();
    let mode = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let read = || {
        logged(|| {
            Identity::read(&id).unwrap();
            SigningKey::read(&key).unwrap();
        })
    };
    for wide in [0o644, 0o640, 0o604] {
        mode(&id, wide);
        mode(&key, wide);
        let log = read();
        for name in ["id.txt", "sign.key"] {
            let line = format!("{name} holds a secret key and others can read it");
            assert!(log.contains(&line), "{wide:o}: {log}");
        }
    }
    mode(&id, 0o600);
    mode(&key, 0o400);
    assert_eq!(read(), "");
}

#[test]
fn debug_output_has_no_secret() {
    let keys = Keys::new();
    let key = SigningKey::generate().unwrap();
    let text = format!("{:?} {:?} {:?}", keys.identity, key, keys.recipients());
    assert!(
        text.contains(&keys.recipient) && text.contains(&key.verify_key().to_string()),
        "{text}"
    );
    let pem = key.to_pem().unwrap();
    let secret = pem.lines().nth(1).unwrap();
    for part in [&secret_of(&keys)[..10], &secret[24..40], "SECRET", "PRIVATE"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
}
