//! Files that must not open: cut short, damaged, for others, or no age files at all. Never a silent short output.

use std::io::{self, Read};
use std::iter;

use age::secrecy::SecretString;
use age::{Encryptor, scrypt};

use super::super::stream::HEADER_LIMIT;
use super::super::{check_header, decrypt, encrypt, encrypted_size};
use super::{Keys, content, seal};
use crate::error::{Code, Error};

/// Where the content begins: behind the header and the nonce.
fn payload_of(sealed: &[u8]) -> usize {
    let mac = sealed.windows(5).position(|part| part == b"\n--- ").unwrap();
    mac + 5 + 43 + 1 + 16
}

/// Asserts that what came out before the error is a true beginning of the content.
#[track_caller]
fn fails_after_a_beginning(keys: &Keys, sealed: &[u8], content: &[u8], what: &str) -> Error {
    match keys.open(sealed) {
        Ok(out) => panic!("{what}: {} bytes came out without an error", out.len()),
        Err((error, out)) => {
            assert!(content.starts_with(&out), "{what}: wrong bytes came out");
            error
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_is_an_error() {
    let keys = Keys::new();
    for length in [0_usize, 5, 65535, 65536, 65537, 131_072, 140_000] {
        let content = content(length);
        let sealed = keys.seal(&content);
        let payload = payload_of(&sealed);
        // All of the header, around each border of a piece, the end, and some in between.
        let borders = (0..4).map(|piece| payload + piece * (65536 + 16));
        let near = borders
            .chain([sealed.len()])
            .flat_map(|at| at.saturating_sub(20)..at + 20);
        let cuts = (0..payload + 40)
            .chain(near)
            .chain((payload..sealed.len()).step_by(4999));
        for cut in cuts.filter(|cut| *cut < sealed.len()) {
            let what = format!("{length} cut at {cut}");
            let error = fails_after_a_beginning(&keys, &sealed[..cut], &content, &what);
            assert_eq!(error.code, Code::Corrupt, "{what}: {error}");
            let said = ["cut short", "is empty"]
                .iter()
                .any(|part| error.message.contains(part));
            assert!(said, "{what}: {error}");
        }
    }
}

#[test]
fn the_header_is_checked_without_an_identity_and_says_nothing_of_the_rest() {
    let keys = Keys::new();
    let sealed = keys.seal(&content(100_000));
    let payload = payload_of(&sealed);
    check_header(&mut &sealed[..]).unwrap();
    check_header(&mut &sealed[..payload]).unwrap();
    for bad in [&b""[..], b"PK\x03\x04", &sealed[..10], &sealed[..payload - 20]] {
        let error = check_header(&mut &*bad).unwrap_err();
        assert_eq!(error.code, Code::Corrupt, "{error}");
    }
}

#[test]
fn the_size_of_an_encrypted_file_tells_that_of_its_content() {
    let keys = Keys::new();
    for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000] {
        let sealed = keys.seal(&content(size));
        let header = check_header(&mut &sealed[..]).unwrap();
        assert_eq!(encrypted_size(header, size as u64), sealed.len() as u64, "{size}");
    }
}

#[test]
fn a_flipped_bit_is_an_error_wherever_it_is() {
    let keys = Keys::new();
    let content = content(70_000);
    let sealed = keys.seal(&content);
    let payload = payload_of(&sealed);
    let last = payload + 65536 + 16;
    let places = (0..payload + 40)
        .chain(last - 40..last + 40)
        .chain(sealed.len() - 40..sealed.len())
        .chain((payload..sealed.len()).step_by(997));
    for at in places {
        for bit in 0..8 {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1 << bit;
            let what = format!("bit {bit} of byte {at}");
            let error = fails_after_a_beginning(&keys, &damaged, &content, &what);
            let expected: &[Code] = if at < payload {
                &[Code::Corrupt, Code::AccessDenied, Code::Unsupported]
            } else {
                &[Code::Corrupt]
            };
            assert!(expected.contains(&error.code), "{what}: {error}");
        }
    }
}

#[test]
fn pieces_that_are_swapped_dropped_doubled_or_appended_are_an_error() {
    let keys = Keys::new();
    let content = content(4 * 65536);
    let sealed = keys.seal(&content);
    let (header, payload) = sealed.split_at(payload_of(&sealed));
    let pieces: Vec<_> = payload.chunks(65536 + 16).collect();
    assert_eq!(pieces.len(), 4);
    let orders: [&[usize]; 6] = [
        &[1, 0, 2, 3],
        &[0, 2, 3],
        &[0, 0, 1, 2, 3],
        &[0, 1, 2, 3, 3],
        &[3],
        &[0, 1, 3],
    ];
    for order in orders {
        let parts: Vec<_> = order.iter().map(|at| pieces[*at]).collect();
        let changed = [header, &parts.concat()].concat();
        let error = fails_after_a_beginning(&keys, &changed, &content, &format!("{order:?}"));
        assert_eq!(error.code, Code::Corrupt, "{order:?}: {error}");
    }
    for more in [&b"x"[..], &[0; 16], &[0; 70_000], &sealed] {
        let longer = [&sealed, more].concat();
        let error = fails_after_a_beginning(&keys, &longer, &content, "longer");
        assert_eq!(error.code, Code::Corrupt, "{error}");
    }
}

#[test]
fn the_content_of_one_file_behind_the_header_of_another_is_an_error() {
    let keys = Keys::new();
    let (a, b) = (keys.seal(b"the first"), keys.seal(b"the other"));
    let mixed = [&a[..payload_of(&a) - 16], &b[payload_of(&b) - 16..]].concat();
    assert_eq!(keys.refuses(&mixed).code, Code::Corrupt);
}

#[test]
fn an_identity_that_does_not_fit_is_said_to() {
    let (keys, other) = (Keys::new(), Keys::new());
    let (error, out) = other.open(&keys.seal(b"secret")).unwrap_err();
    assert_eq!(error.code, Code::AccessDenied);
    assert!(error.message.contains("the identity does not open"), "{error}");
    assert!(error.remedy.unwrap().contains("recipients"));
    assert_eq!(out, b"");
}

#[test]
fn what_is_no_age_file_is_named() {
    let keys = Keys::new();
    let armored = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n";
    let cases: [(&[u8], Code, &str); 9] = [
        (b"", Code::Corrupt, "is empty"),
        (
            b"PK\x03\x04rest",
            Code::Corrupt,
            "a ZIP archive that is not encrypted",
        ),
        (b"hello", Code::Corrupt, "does not begin with"),
        (&[0; 100_000], Code::Corrupt, "does not begin with"),
        (armored.as_bytes(), Code::Unsupported, "armored"),
        (b"age-encryption.org/v2\nrest", Code::Unsupported, "newer version"),
        (b"age-encryption.org/v1\nrest\n", Code::Corrupt, "damaged header"),
        (
            b"age-encryption.org/v1\n--- AAAA\n",
            Code::Corrupt,
            "damaged header",
        ),
        (b"age-encry", Code::Corrupt, "cut short"),
    ];
    for (bytes, code, said) in cases {
        let error = keys.refuses(bytes);
        assert_eq!(error.code, code, "{said}: {error}");
        assert!(error.message.contains(said), "{said}: {error}");
    }
}

#[test]
fn a_file_for_a_passphrase_is_said_to_be_one() {
    let mut recipient = scrypt::Recipient::new(SecretString::from("hunter2".to_owned()));
    recipient.set_work_factor(2);
    let encryptor = Encryptor::with_recipients(iter::once(&recipient as _)).unwrap();
    let mut sealed = Vec::new();
    encryptor.wrap_output(&mut sealed).unwrap().finish().unwrap();
    let error = Keys::new().refuses(&sealed);
    assert_eq!(error.code, Code::Unsupported);
    assert!(error.message.contains("passphrase"), "{error}");
}

/// Counts what is taken of an endless file.
struct Endless(u64);

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(b'A');
        self.0 += buffer.len() as u64;
        assert!(self.0 < 1 << 20, "an endless header is read on");
        Ok(buffer.len())
    }
}

#[test]
fn a_header_without_an_end_does_not_fill_the_memory() {
    let keys = Keys::new();
    let many = b"-> X 1\n\n".repeat(HEADER_LIMIT);
    let beginnings: [&[u8]; 6] = [
        b"age-encryption.org/",
        b"age-encryption.org/v1\n",
        b"age-encryption.org/v1\n-> ",
        b"age-encryption.org/v1\n-> X25519 a\n",
        b"age-encryption.org/v1\n-> a b\n\n--- ",
        &[b"age-encryption.org/v1\n", &many[..]].concat(),
    ];
    for beginning in beginnings {
        let mut from = beginning.chain(Endless(0));
        let error = decrypt(&keys.identity, &mut from, &mut io::sink()).unwrap_err();
        assert_eq!(error.code, Code::Corrupt, "{error}");
        assert!(error.message.contains("header"), "{error}");
    }
}

#[test]
fn the_most_recipients_make_a_header_that_is_read_back() {
    let keys: Vec<_> = (0..100).map(|_| Keys::new()).collect();
    let texts: Vec<_> = keys.iter().map(|one| one.recipient.as_str()).collect();
    let all = super::recipients(&texts).unwrap();
    let sealed = seal(&all, b"text");
    assert!(payload_of(&sealed) < HEADER_LIMIT, "{}", payload_of(&sealed));
    assert_eq!(keys[99].open(&sealed).unwrap(), b"text");
    let one_more = Keys::new().recipient;
    let error = super::recipients(&[&texts[..], &[&one_more]].concat()).unwrap_err();
    assert!(error.message.contains("101"), "{error}");
}

#[test]
fn an_encryption_that_was_not_finished_does_not_open() {
    let keys = Keys::new();
    let broken = content(100_000);
    let mut out = Vec::new();
    let mut from = (&broken[..]).chain(iter_error());
    encrypt(&keys.recipients(), &mut from, &mut out, &|_| Ok(())).unwrap_err();
    assert!(!out.is_empty());
    assert!(keys.refuses(&out).message.contains("cut short"));
}

fn iter_error() -> impl Read {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    Fails
}
