//! Which keys count here: the one that signs, the one that proves, the one that opens.

use std::path::Path;

use crate::config::Config;
use crate::crypt::{Identity, Recipients, SigningKey, VerifyKey};
use crate::error::{Code, Error, Result};
use crate::text;

/// The key that signs rows.
///
/// # Errors
/// `Config` where none is configured; when it can't be read.
pub(super) fn signing_key(config: &Config) -> Result<SigningKey> {
    let Some(file) = &config.encryption.signing_key_file else {
        return Err(Error::new(
            Code::Config,
            "nothing signs the copies: `encryption.signing_key_file` is missing",
        )
        .remedy("`cofre key new DIR` makes the keys and prints the lines"));
    };
    if is_away(file) {
        let message = format!(
            "nothing signs the copies: {}, the `encryption.signing_key_file`, is not there",
            text::shown(file)
        );
        return Err(Error::new(Code::Config, message).remedy(
            "bring the signing key back from where it is kept; `cofre key new DIR` makes new keys, and the old verify key \
             then belongs into `encryption.verify_keys`",
        ));
    }
    SigningKey::read(file)
}

/// Whether a key is not on this machine: nobody has lost it who keeps it elsewhere, unlike one that can't be read.
fn is_away(file: &Path) -> bool {
    matches!(file.try_exists(), Ok(false))
}

/// Whose signatures count: that of this machine's signing key, and those of the keys that the identity file and the
/// configuration name. None where nothing says so. A signing key that is not here is not needed where one of those names
/// a key: a machine that restores has none.
///
/// # Errors
/// `Config` where identity file and signing key are both there and don't know each other, and where the signing key alone
/// would say it and is not there; when one can't be read.
pub(super) fn verify_keys(config: &Config) -> Result<Vec<VerifyKey>> {
    let of_identity = match &config.encryption.identity_file {
        Some(_) => identity(config)?.verify_keys().to_vec(),
        None => Vec::new(),
    };
    let mut keys = config.encryption.verify_keys.clone();
    keys.extend(&of_identity);
    let away = config
        .encryption
        .signing_key_file
        .as_ref()
        .filter(|file| is_away(file));
    if let Some(file) = away {
        let file = text::shown(file);
        if keys.is_empty() {
            let message = format!(
                "nothing here says who may sign the copies: the signing key {file} is not there, and nothing else names a key"
            );
            return Err(Error::new(Code::Config, message).remedy(
                "name the identity file that `cofre key new` made as `encryption.identity_file`, or the verify key in \
                 `encryption.verify_keys`, or bring the signing key back from where it is kept",
            ));
        }
        tracing::debug!("the signing key {file} is not here; the other keys prove the copies");
    } else if config.encryption.signing_key_file.is_some() {
        let own = signing_key(config)?.verify_key();
        if !of_identity.is_empty() && !keys.contains(&own) {
            let message = "the identity file does not know the key of `encryption.signing_key_file`";
            return Err(Error::new(Code::Config, message).remedy(
                "use the two files that `cofre key new` made together; after a change of keys, add the comment with the \
                 new verify key to the identity file, or the key to `encryption.verify_keys`",
            ));
        }
        keys.push(own);
    }
    Ok(keys)
}

/// Whose signatures count where a copy is made. An identity that can't be read just now is no reason to make none.
///
/// # Errors
/// As [`signing_key`].
pub(super) fn keys_to_push(config: &Config) -> Result<(SigningKey, Vec<VerifyKey>)> {
    let key = signing_key(config)?;
    let keys = verify_keys(config).unwrap_or_else(|error| {
        tracing::warn!("{error}; older keys that only the identity file names don't count");
        let mut keys = config.encryption.verify_keys.clone();
        keys.push(key.verify_key());
        keys
    });
    Ok((key, keys))
}

/// The identity that opens copies.
///
/// # Errors
/// `Config` where none is configured; when it can't be read.
pub(super) fn identity(config: &Config) -> Result<Identity> {
    let Some(file) = &config.encryption.identity_file else {
        return Err(Error::new(Code::Config, "the copies are encrypted, and `encryption.identity_file` is missing")
            .remedy("bring the identity file from where it is kept, and name it; without it nobody can read the copies"));
    };
    Identity::read(file)
}

/// For whom copies are encrypted.
///
/// # Errors
/// `Config` where nobody is named, or one can't be used.
pub(super) fn recipients(config: &Config) -> Result<Recipients> {
    if config.encryption.recipients.is_empty() {
        return Err(Error::new(
            Code::Config,
            "nothing says for whom copies are encrypted: `encryption.recipients` is missing",
        )
        .remedy("`cofre key new DIR` makes the keys and prints the lines"));
    }
    Recipients::parse(&config.encryption.recipients)
}
