//! What protects copies outside of the machine: encryption in the age format (<https://age-encryption.org/v1>), so that
//! nobody reads them without the identity, and signatures (Ed25519), since age does not say who encrypted.
//!
//! The machine that makes backups has public keys ([`Recipients`]) and a [`SigningKey`]: it can write copies and not read
//! them. Where one restores there is the [`Identity`], with the public half of the signing key beside it.
//!
//! No key appears in a message, a log or the output of `Debug`, and the text of a key file is wiped from memory.

mod identity;
mod new;
mod recipients;
mod signing;
mod stream;
#[cfg(test)]
mod tests;

use std::path::Path;

use zeroize::Zeroizing;

pub use identity::Identity;
pub use new::{NewKeys, create};
pub use recipients::Recipients;
pub use signing::{SigningKey, VerifyKey};
pub(crate) use stream::{HEADER_LIMIT, WRITE_SIZE};
pub use stream::{check_header, decrypt, decrypt_with, encrypt, encrypted_size};

use cofre_exporter::small_file;

use crate::config::others_can_read;
use crate::error::{Error, Result};
use crate::text::shown;

/// What every binary age file begins with.
const AGE_MAGIC: &[u8] = b"age-encryption.org/";

/// The first line of an age file that is text.
const AGE_ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// What a secret key of age begins with.
const AGE_SECRET: &str = "AGE-SECRET-KEY-";

/// Reads a file with a key, which `what` names; says in the log when others can read it.
fn read_key(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = read_quietly(what, path)?;
    if others_can_read(path) {
        let name = shown(path);
        tracing::warn!("{name} holds a secret key and others can read it: run `chmod 600 {name}`");
    }
    Ok(bytes)
}

/// The same without a word about who else can read it.
fn read_quietly(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    small_file::read_bytes(path)
        .map(Zeroizing::new)
        .map_err(|e| Error::io(format_args!("read the {what} {}", shown(path)), &e))
}
