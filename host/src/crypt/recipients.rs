//! Public keys of age: who can read what is encrypted.

use age::x25519;
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};

use super::AGE_SECRET;
use crate::error::{Code, Error, Result};

/// Most recipients: their header has to stay within what is read back.
const LIMIT: usize = 100;

/// The public keys that something is encrypted for; one of the identities is enough to open it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads public keys, `age1…`, as `age-keygen` and `cofre key new` print them. The same one twice counts once.
    ///
    /// # Errors
    /// `Config` or `Unsupported`, about the first that can't be used. A secret key in the place of a public one is not
    /// repeated in the message.
    pub fn parse(texts: &[String]) -> Result<Self> {
        if texts.is_empty() {
            return Err(Error::new(
                Code::Config,
                "encryption.recipients is empty: nobody could open what is encrypted",
            )
            .remedy(MAKE_ONE));
        }
        if texts.len() > LIMIT {
            return Err(Error::new(
                Code::Config,
                format!(
                    "encryption.recipients has {} keys, and {LIMIT} are the most",
                    texts.len()
                ),
            ));
        }
        let mut recipients = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            let one = recipient(at + 1, text.trim())?;
            if !recipients.contains(&one) {
                recipients.push(one);
            }
        }
        Ok(Self(recipients))
    }

    /// For age.
    pub(super) fn iter(&self) -> impl Iterator<Item = &dyn age::Recipient> {
        self.0.iter().map(|one| one as &dyn age::Recipient)
    }
}

/// What to do without a key.
const MAKE_ONE: &str =
    "`cofre key new DIR` makes a pair of keys and prints the line; so does `age-keygen`, as `Public key`";

fn recipient(number: usize, text: &str) -> Result<x25519::Recipient> {
    let upper = text.to_ascii_uppercase();
    if upper.contains(AGE_SECRET) || upper.contains("PRIVATE KEY") || upper.contains("AGE-PLUGIN-") {
        return Err(Error::new(
            Code::Config,
            format!("encryption.recipients: number {number} is a SECRET key, not a public one"),
        )
        .remedy(
            "take it out of the configuration and write its public key, `age1…`, which `age-keygen -y FILE` prints; \
             what others may have seen, replace by a new one",
        ));
    }
    if is_ssh(text) {
        return Err(unsupported(number, "is an SSH key"));
    }
    // In the data of a key there is no 1: what has a second one names a plugin or another kind of key.
    let data = upper.strip_prefix("AGE1").unwrap_or_default();
    if data.contains('1') && data.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(unsupported(
            number,
            &format!("`{}` is for a plugin or a newer kind of key", short(text)),
        ));
    }
    let parsed = text.parse::<x25519::Recipient>().map_err(|why| {
        // Whatever does not look public may be a secret.
        let name = if upper.starts_with("AGE1") {
            format!(" (`{}`)", short(text))
        } else {
            String::new()
        };
        let why = if upper.starts_with("AGE1") {
            format!("is damaged or incomplete: {why}")
        } else {
            "is no public key of age, which begins with `age1`".to_owned()
        };
        Error::new(
            Code::Config,
            format!("encryption.recipients: number {number}{name} {why}"),
        )
        .remedy(MAKE_ONE)
    })?;
    if !is_usable(&parsed) {
        return Err(Error::new(
            Code::Config,
            format!(
                "encryption.recipients: number {number} (`{parsed}`) is a weak key: what is encrypted for it, everybody opens"
            ),
        )
        .remedy(MAKE_ONE));
    }
    Ok(parsed)
}

fn is_ssh(text: &str) -> bool {
    ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]
        .iter()
        .any(|kind| text.starts_with(kind))
}

fn unsupported(number: usize, what: &str) -> Error {
    Error::new(
        Code::Unsupported,
        format!("encryption.recipients: number {number} {what}, and cofre encrypts for age's own keys (X25519) only"),
    )
    .remedy(MAKE_ONE)
}

/// As much as a public key has, for a message.
fn short(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(70).collect();
    let more = if chars.next().is_some() { "…" } else { "" };
    format!("{head}{more}")
}

/// Whether an agreement with the key gives a secret. There are a dozen points for which it never does; age takes them
/// and panics when it encrypts.
fn is_usable(recipient: &x25519::Recipient) -> bool {
    let Ok((_, point)) = bech32::decode(&recipient.to_string()) else {
        return false;
    };
    PrivateKey::generate(&X25519)
        .is_ok_and(|mine| agree(&mine, UnparsedPublicKey::new(&X25519, point), (), |_| Ok(())).is_ok())
}
