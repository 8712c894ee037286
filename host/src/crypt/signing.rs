//! Signatures: Ed25519 by AWS-LC. What is signed is the domain, a zero byte, and the message, so that a signature for one
//! purpose is none for another.
//!
//! The secret half lies in a file in PEM (PKCS#8), which `openssl pkey` reads too; comments stand before it.

use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::{
    ED25519, ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::{AGE_SECRET, read_key};
use crate::error::{Code, Error, Result};
use crate::text::shown;

/// The first line of a signing key that cofre made.
pub(super) const FIRST_LINE: &str = "# cofre signing key";

/// What the secret stands between.
const PEM: [&str; 2] = ["-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"];

/// Whether a file is a signing key of cofre's, by its first line.
pub(super) fn is_signing_key(bytes: &[u8]) -> bool {
    bytes.starts_with(FIRST_LINE.as_bytes())
}

/// The secret half of the key that signs rows.
pub struct SigningKey(Ed25519KeyPair);

/// Without the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("verify_key", &self.verify_key())
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes a new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(super) fn generate() -> Result<Self> {
        let pair = Ed25519KeyPair::generate()
            .map_err(|_| Error::new(Code::Internal, "make a signing key: AWS-LC could not"))?;
        Ok(Self(pair))
    }

    /// Reads a signing key file, as `cofre key new` or `openssl genpkey -algorithm ed25519` makes it. One that others can
    /// read is warned about.
    ///
    /// # Errors
    /// `Config` for a file that is something else, and what the system says.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_key("signing key", path)?, &shown(path))
    }

    pub(super) fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        // Whoever steals this file must not be able to read the copies.
        if bytes
            .windows(AGE_SECRET.len())
            .any(|part| part == AGE_SECRET.as_bytes())
        {
            return Err(bad(
                name,
                "has an identity in it, which opens the copies and does not belong on the machine that makes them",
            ));
        }
        let mut der = PrivatePkcs8KeyDer::from_pem_slice(bytes).map_err(|_| bad(name, what_else(bytes)))?;
        let pair = Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der());
        der.zeroize();
        let pair = pair.map_err(|_| {
            bad(
                name,
                "holds a private key that is damaged or not of the kind Ed25519",
            )
        })?;
        Ok(Self(pair))
    }

    /// The public half.
    #[must_use]
    pub fn verify_key(&self) -> VerifyKey {
        let mut bytes = [0; ED25519_PUBLIC_KEY_LEN];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        VerifyKey(bytes)
    }

    /// Signs a message: 64 bytes. The domain, such as `cofre row 1`, says what for, and has no zero byte in it.
    #[must_use]
    pub fn sign(&self, domain: &str, message: &[u8]) -> Vec<u8> {
        self.0.sign(&signed(domain, message)).as_ref().to_vec()
    }

    /// The secret in PEM.
    pub(super) fn to_pem(&self) -> Result<Zeroizing<String>> {
        let der = self
            .0
            .to_pkcs8v1()
            .map_err(|_| Error::new(Code::Internal, "write a signing key: AWS-LC could not"))?;
        let [begin, end] = PEM;
        // It fits one line, the longest that PEM has.
        let secret = Zeroizing::new(STANDARD.encode(der.as_ref()));
        Ok(Zeroizing::new(format!("{begin}\n{}\n{end}\n", *secret)))
    }
}

/// What a file without a private key in PEM is; its content is not shown.
fn what_else(bytes: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(bytes);
    let text = Zeroizing::new(text.into_owned());
    let has = |part: &str| text.contains(part);
    if text.trim().is_empty() {
        "is empty"
    } else if has("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
        "is locked by a passphrase, which nobody is there to type"
    } else if has("-----BEGIN PUBLIC KEY-----") {
        "is a public key, which signs nothing"
    } else if has(PEM[0]) {
        "is damaged: its private key can't be read"
    } else if has("PRIVATE KEY-----") {
        "holds a private key of another kind or format than Ed25519 in PKCS#8"
    } else {
        "holds no private key in PEM"
    }
}

fn bad(name: &str, problem: &str) -> Error {
    Error::new(Code::Config, format!("{name} {problem}"))
        .remedy("give the signing key file that `cofre key new` made, or restore it from where you keep it")
}

/// The public half of a signing key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyKey([u8; ED25519_PUBLIC_KEY_LEN]);

impl fmt::Display for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyKey({self})")
    }
}

impl VerifyKey {
    /// Reads what [`fmt::Display`] writes: 32 bytes in base64.
    ///
    /// # Errors
    /// `Config` for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        let bytes = STANDARD.decode(text.trim()).ok();
        let bytes: Option<[u8; ED25519_PUBLIC_KEY_LEN]> = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| {
            Error::new(
                Code::Config,
                "a verify key is 32 bytes in base64, and this is not",
            )
        })
    }

    /// Whether the secret half signed exactly this message for this purpose.
    #[must_use]
    pub fn verify(&self, domain: &str, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(&signed(domain, message), signature)
            .is_ok()
    }
}

fn signed(domain: &str, message: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), b"\0", message].concat()
}
