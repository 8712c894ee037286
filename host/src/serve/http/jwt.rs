//! The application's own session, a JSON Web Token (RFC 7519), as a credential. One algorithm and one key, both
//! from the configuration: what the token says about itself chooses nothing.

use std::io::Read as _;
use std::path::Path;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use serde_json::{Map, Value};

use super::Identity;
use crate::audit::Who;
use crate::config::{Jwt, Role, others_can_read};
use crate::error::{Code, Error, Result};
use crate::text::shown;

/// Longest token, bytes; an application's session has a tenth of it.
const TOKEN_BYTES: usize = 8 * 1024;
/// By how much the clocks of the two machines may differ, seconds.
const LEEWAY: u64 = 30;
/// Longest subject in the audit log, characters.
const SUBJECT_CHARS: usize = 128;
/// Shortest HMAC key that can't be guessed, bytes (RFC 7518, section 3.2).
const HMAC_BYTES: usize = 32;
/// No key file is longer, bytes.
const FILE_BYTES: u64 = 64 * 1024;

/// Checks sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    key: DecodingKey,
    validation: Validation,
    claim: String,
    admin: String,
    cookie: Option<String>,
}

impl Sessions {
    /// Reads the key.
    ///
    /// # Errors
    /// `Config` for a file that does not hold a key of the algorithm; what the system says when it can't be read.
    pub(super) fn new(jwt: &Jwt) -> Result<Self> {
        let algorithm: Algorithm = jwt.algorithm.parse().map_err(|_| {
            Error::new(
                Code::Config,
                format!("api.jwt.algorithm: `{}` is not known", jwt.algorithm),
            )
        })?;
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        match &jwt.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                // Otherwise the library lets a token without an audience pass.
                validation.set_required_spec_claims(&["exp", "aud"]);
            }
            None => validation.validate_aud = false,
        }
        Ok(Self {
            key: key(algorithm, &jwt.key_file)?,
            validation,
            claim: jwt.claim.clone(),
            admin: jwt.admin.clone(),
            cookie: jwt.cookie.clone(),
        })
    }

    /// The cookie that may carry a session.
    pub(super) fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Whose session it is; else why it is none, for the audit log.
    pub(super) fn check(&self, text: &str) -> std::result::Result<Identity, &'static str> {
        if text.len() > TOKEN_BYTES {
            return Err("the session is too long");
        }
        let token = jsonwebtoken::decode::<Map<String, Value>>(text, &self.key, &self.validation)
            .map_err(|error| reason(error.kind()))?;
        // `crit` lists extensions that have to be understood (RFC 7515, section 4.1.11), and none is.
        if token.header.crit.is_some() {
            return Err("the session needs an extension");
        }
        let claims = token.claims;
        let role = if claims.get(&self.claim).is_some_and(|value| self.is_admin(value)) {
            Role::Admin
        } else {
            Role::Viewer
        };
        let subject = match claims.get("sub") {
            Some(Value::String(text)) => text.chars().take(SUBJECT_CHARS).collect(),
            Some(Value::Number(number)) => number.to_string(),
            _ => "unknown".to_owned(),
        };
        Ok(Identity {
            who: Who::Session(subject),
            role,
        })
    }

    /// The claim is the configured value, or a list that has it. Numbers and truth values are never equal to it.
    fn is_admin(&self, claim: &Value) -> bool {
        match claim {
            Value::String(text) => *text == self.admin,
            Value::Array(list) => list.iter().any(|item| item.as_str() == Some(&self.admin)),
            _ => false,
        }
    }
}

/// Words of our own: the library's have what it could not parse in them.
fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "the session has expired",
        ErrorKind::ImmatureSignature => "the session is not valid yet",
        ErrorKind::InvalidAudience => "the session is for another audience",
        ErrorKind::InvalidSignature => "the session's signature is wrong",
        ErrorKind::InvalidAlgorithm => "the session has another algorithm",
        ErrorKind::MissingRequiredClaim(_) => "the session lacks `exp` or `aud`",
        _ => "the session can't be read",
    }
}

fn key(algorithm: Algorithm, path: &Path) -> Result<DecodingKey> {
    let bytes = read(path)?;
    let is_pem = bytes.trim_ascii_start().starts_with(b"-----BEGIN ");
    match algorithm.family() {
        AlgorithmFamily::Hmac => {
            if is_pem {
                // With a public key for a secret, everybody could sign.
                return Err(wrong(path, algorithm, "is PEM").remedy(
                    "put the shared secret there; for a public key choose its algorithm, such as `RS256`",
                ));
            }
            secret(without_newline(&bytes), path)
        }
        family => {
            if bytes.windows(12).any(|w| w == b"PRIVATE KEY-") {
                return Err(wrong(path, algorithm, "holds a private key").remedy(
                    "leave that with the application: `openssl pkey -in PRIVATE -pubout` gives the public one",
                ));
            }
            let label = [
                b"-----BEGIN PUBLIC KEY-----".as_slice(),
                b"-----BEGIN RSA PUBLIC KEY-----",
            ];
            let labelled = label
                .iter()
                .any(|label| bytes.trim_ascii_start().starts_with(label));
            let key = match family {
                AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(&bytes),
                AlgorithmFamily::Ec => DecodingKey::from_ec_pem(&bytes),
                _ => DecodingKey::from_ed_pem(&bytes),
            };
            match key {
                Ok(key) if labelled && fits(algorithm, &key) => Ok(key),
                _ => Err(wrong(path, algorithm, "holds no public key of it")
                    .remedy("give the application's public key in PEM, `-----BEGIN PUBLIC KEY-----`")),
            }
        }
    }
}

fn secret(secret: &[u8], path: &Path) -> Result<DecodingKey> {
    let shown = shown(path);
    if secret.is_empty() {
        return Err(
            Error::new(Code::Config, format!("api.jwt.key_file: {shown} is empty"))
                .remedy("put the application's secret there"),
        );
    }
    if secret.len() < HMAC_BYTES {
        tracing::warn!(
            "api.jwt.key_file: the secret in {shown} is shorter than {HMAC_BYTES} bytes, so that it can be guessed \
             from one session: give the application a longer one"
        );
    }
    if others_can_read(path) {
        tracing::warn!("{shown} holds a secret and others can read it: run `chmod 600 {shown}`");
    }
    Ok(DecodingKey::from_secret(secret))
}

/// A key of another curve would load, and refuse every session.
fn fits(algorithm: Algorithm, key: &DecodingKey) -> bool {
    let point = |coordinate: usize| {
        key.try_get_as_bytes()
            .is_ok_and(|bytes| bytes.len() == 1 + 2 * coordinate)
    };
    match algorithm {
        Algorithm::ES256 => point(32),
        Algorithm::ES384 => point(48),
        _ => true,
    }
}

fn wrong(path: &Path, algorithm: Algorithm, what: &str) -> Error {
    Error::new(
        Code::Config,
        format!(
            "api.jwt.key_file: {} {what}, and api.jwt.algorithm is {algorithm:?}",
            shown(path)
        ),
    )
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let fail = |e: std::io::Error| {
        Error::io(format_args!("api.jwt.key_file: read {}", shown(path)), &e)
            .remedy("check that the file is there and that cofre's user may read it")
    };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}

/// Editors add one; a secret that ends in one can't be told from that.
fn without_newline(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

#[cfg(test)]
pub(super) mod tests;
