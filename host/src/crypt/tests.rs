//! Encryption and signatures, judged by Debian's `age` and by OpenSSL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod bad_files;
mod bad_keys;
mod new_keys;
mod other_programs;
mod round_trip;
mod signatures;

use age::secrecy::ExposeSecret as _;
use age::x25519;

use super::{Identity, Recipients, decrypt, encrypt};
use crate::error::{Error, Result};

/// An identity and its public key, fresh.
struct Keys {
    /// The text of the identity file.
    text: String,
    identity: Identity,
    recipient: String,
}

impl Keys {
    fn new() -> Self {
        let secret = x25519::Identity::generate();
        let text = format!("# a comment\n\n{}\n", secret.to_string().expose_secret());
        Self {
            identity: Identity::parse(text.as_bytes(), "test").unwrap(),
            recipient: secret.to_public().to_string(),
            text,
        }
    }

    fn recipients(&self) -> Recipients {
        recipients(&[&self.recipient]).unwrap()
    }

    fn seal(&self, content: &[u8]) -> Vec<u8> {
        seal(&self.recipients(), content)
    }

    /// What is decrypted, or the error and what was written until then.
    fn open(&self, sealed: &[u8]) -> std::result::Result<Vec<u8>, (Error, Vec<u8>)> {
        open(&self.identity, sealed)
    }

    /// The error of an age file that must not open.
    #[track_caller]
    fn refuses(&self, sealed: &[u8]) -> Error {
        match self.open(sealed) {
            Ok(content) => panic!("{} bytes came out", content.len()),
            Err((error, _)) => error,
        }
    }
}

fn recipients(texts: &[&str]) -> Result<Recipients> {
    let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
    Recipients::parse(&texts)
}

fn seal(recipients: &Recipients, content: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    let written = encrypt(recipients, &mut &*content, &mut sealed, &|_| Ok(())).unwrap();
    assert_eq!(written, sealed.len() as u64);
    sealed
}

fn open(identity: &Identity, mut sealed: &[u8]) -> std::result::Result<Vec<u8>, (Error, Vec<u8>)> {
    let mut content = Vec::new();
    match decrypt(identity, &mut sealed, &mut content) {
        Ok(written) => {
            assert_eq!(written, content.len() as u64);
            Ok(content)
        }
        Err(error) => Err((error, content)),
    }
}

/// Bytes that look like nothing, the same for the same length.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}
