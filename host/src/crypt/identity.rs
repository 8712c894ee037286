//! The secret half of the encryption: identity files, in age's own format.

use std::fmt;
use std::path::Path;

use age::x25519;

use super::{AGE_ARMOR, AGE_MAGIC, AGE_SECRET, VerifyKey, read_key, read_quietly, signing};
use crate::error::{Code, Error, Result};
use crate::text::shown;

/// Begins the comment with the public half of the signing key.
pub(super) const VERIFY_KEY: &str = "cofre verify key:";

/// What opens encrypted copies, and tells which of them are genuine.
pub struct Identity {
    keys: Vec<x25519::Identity>,
    verify_keys: Vec<VerifyKey>,
}

/// Without the secret.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("recipients", &self.recipients())
            .field("verify_keys", &self.verify_keys)
            .finish()
    }
}

impl Identity {
    /// Reads an identity file: lines with `AGE-SECRET-KEY-1…`, and comments, of which `# cofre verify key: …` has the
    /// public half of the signing key. Several of both are fine, as after a change of keys.
    ///
    /// # Errors
    /// `Config` for a file that is something else, `Unsupported` for keys that are locked by a passphrase or are not
    /// age's own, and what the system says. A file that others can read is warned about.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_key("identity file", path)?, &shown(path))
    }

    /// Whether a file can be read as one, before anything is begun with it.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn check(path: &Path) -> Result<()> {
        Self::parse(&read_quietly("identity file", path)?, &shown(path)).map(drop)
    }

    pub(super) fn parse(bytes: &[u8], name: &str) -> Result<Self> {
        refuse_others(bytes, name)?;
        let text = std::str::from_utf8(bytes).map_err(|_| bad(name, "is no identity file: it is no text"))?;
        let mut identity = Self {
            keys: Vec::new(),
            verify_keys: Vec::new(),
        };
        for (number, line) in text.lines().enumerate() {
            identity.take(line.trim(), number + 1, name)?;
        }
        if identity.keys.is_empty() {
            return Err(bad(
                name,
                "holds no identity: a line with `AGE-SECRET-KEY-1…` is missing",
            ));
        }
        Ok(identity)
    }

    /// Takes one line; it is never shown.
    fn take(&mut self, line: &str, number: usize, name: &str) -> Result<()> {
        if let Some(comment) = line.strip_prefix('#') {
            let Some(key) = comment.trim_start().strip_prefix(VERIFY_KEY) else {
                return Ok(());
            };
            let key = VerifyKey::parse(key)
                .map_err(|e| bad(name, &format!("is damaged in line {number}: {}", e.message)))?;
            if !self.verify_keys.contains(&key) {
                self.verify_keys.push(key);
            }
            return Ok(());
        }
        if line.is_empty() {
            return Ok(());
        }
        if line.to_ascii_uppercase().starts_with("AGE-PLUGIN-") {
            return Err(
                unsupported(name, &format!("has an identity of a plugin in line {number}"))
                    .remedy("decrypt with age itself and its plugin"),
            );
        }
        match line.parse() {
            Ok(key) => self.keys.push(key),
            Err(_) if line.to_ascii_uppercase().starts_with(AGE_SECRET) => {
                return Err(bad(
                    name,
                    &format!("is damaged in line {number}: the secret key is incomplete or mistyped"),
                ));
            }
            Err(_) if line.starts_with("age1") => {
                return Err(bad(
                    name,
                    &format!("has a public key in line {number}, which opens nothing"),
                ));
            }
            Err(_) => {
                return Err(bad(
                    name,
                    &format!("is no identity file: line {number} is neither a secret key nor a comment"),
                ));
            }
        }
        Ok(())
    }

    /// The key that rows have to be signed with; none for an identity file that does not say.
    #[must_use]
    pub fn verify_key(&self) -> Option<&VerifyKey> {
        self.verify_keys.first()
    }

    /// All of them, where the signing key was changed.
    #[must_use]
    pub fn verify_keys(&self) -> &[VerifyKey] {
        &self.verify_keys
    }

    /// The public halves, as they stand among `recipients`.
    #[must_use]
    pub fn recipients(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.to_public().to_string()).collect()
    }

    /// For age.
    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| key as &dyn age::Identity)
    }
}

/// Refuses what is known to be another kind of file.
fn refuse_others(bytes: &[u8], name: &str) -> Result<()> {
    if bytes.starts_with(AGE_MAGIC) || bytes.trim_ascii_start().starts_with(AGE_ARMOR) {
        return Err(unsupported(name, "is itself encrypted, by a passphrase as it seems").remedy(format!(
            "decrypt it into memory, `(umask 077; age -d {name} > /dev/shm/identity.txt)`, give that file, and remove it \
             afterwards"
        )));
    }
    let is_pem = bytes.trim_ascii_start().starts_with(b"-----BEGIN ");
    if signing::is_signing_key(bytes) {
        return Err(bad(name, "is a signing key, not an identity file")
            .remedy("the identity file is the other one that `cofre key new` made"));
    }
    if is_pem {
        return Err(unsupported(name, "is an SSH key or another key in PEM")
            .remedy("cofre takes age's own identities (X25519) only: `AGE-SECRET-KEY-1…`"));
    }
    Ok(())
}

fn bad(name: &str, problem: &str) -> Error {
    Error::new(Code::Config, format!("{name} {problem}"))
        .remedy("give the identity file that `cofre key new` or `age-keygen` made")
}

fn unsupported(name: &str, problem: &str) -> Error {
    Error::new(Code::Unsupported, format!("{name} {problem}"))
}
