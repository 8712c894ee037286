//! Basic authentication against bcrypt hashes.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

/// A hash of cost 15 takes seconds to check, longer than a scrape waits.
const MAX_COST: u32 = 14;
/// Passwords that were found right are remembered, so that not every scrape pays for bcrypt; this many.
const MAX_REMEMBERED: usize = 64;

/// Who may ask.
pub(super) struct Users {
    hashes: BTreeMap<String, String>,
    /// Stands in for a name that isn't there, so that the time doesn't tell which names are.
    some_hash: String,
    /// SHA-256 of the credentials that were right. They live as long as the hashes they were right for.
    right: Mutex<HashSet<[u8; 32]>>,
    /// bcrypt keeps a processor busy: one at a time, so that guesses can't take them all.
    checking: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl Users {
    /// `None` where there are none: then everybody may ask.
    ///
    /// # Errors
    /// The user whose hash is none; not the hash, which may be a password.
    pub(super) fn new(hashes: BTreeMap<String, String>) -> Result<Option<Self>, String> {
        for (user, hash) in &hashes {
            let wrong = |problem: String| Err(format!("basic_auth_users: {user:?}: {problem}"));
            match hash.parse::<bcrypt::HashParts>() {
                Ok(parts) if parts.get_cost() > MAX_COST => {
                    return wrong(format!(
                        "its hash has the cost {}, more than {MAX_COST}",
                        parts.get_cost()
                    ));
                }
                Ok(_) => {}
                Err(_) => {
                    return wrong(
                        "its value is not a bcrypt hash; `htpasswd -nBC 10 NAME` makes one".to_owned(),
                    );
                }
            }
        }
        let some_hash = hashes.values().next().cloned();
        Ok(some_hash.map(|some_hash| Self {
            hashes,
            some_hash,
            right: Mutex::default(),
            checking: tokio::sync::Mutex::default(),
        }))
    }

    /// Whether the request comes from one of the users.
    pub(super) async fn know(self: &Arc<Self>, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else {
            return false;
        };
        let digest = digest(&user, &password);
        if self.right().contains(&digest) {
            return true;
        }
        let turn = self.checking.lock().await;
        let known = self.hashes.contains_key(&user);
        let hash = self.hashes.get(&user).unwrap_or(&self.some_hash).clone();
        let checked = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
        let is_right = checked.await.unwrap_or(false) && known;
        drop(turn);
        if is_right {
            let mut right = self.right();
            if right.len() >= MAX_REMEMBERED {
                right.clear();
            }
            right.insert(digest);
        }
        is_right
    }

    fn right(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        self.right.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// User and password of the header, where there is one and only one.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (all.next()?.to_str().ok()?, all.next()) else {
        return None;
    };
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn digest(user: &str, password: &str) -> [u8; 32] {
    // A user's name has no colon, so the pair can't be read in two ways.
    Sha256::new()
        .chain_update(user)
        .chain_update(":")
        .chain_update(password)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_one_well_formed_header_counts() {
        let found = |values: &[&str]| credentials(&headers(values));
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(found(&["Basic YTpiOmM="]), pair("a", "b:c"));
        assert_eq!(found(&["bAsIc YTo="]), pair("a", ""));
        for bad in [
            &[][..],
            &["Basic YTpiOmM=", "Basic YTpiOmM="],
            &["Bearer YTpiOmM="],
            &["Basic"],
            &["Basic %%%"],
            &["Basic YQ=="],
            &["Basic //86//8="],
        ] {
            assert_eq!(found(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_right_password_is_known_again_and_a_wrong_one_never() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let users = BTreeMap::from([("alice".to_owned(), hash)]);
        let users = Arc::new(Users::new(users).unwrap().unwrap());
        let ask = |text: &str| {
            let headers = headers(&[&format!("Basic {}", BASE64_STANDARD.encode(text))]);
            let users = Arc::clone(&users);
            async move { users.know(&headers).await }
        };
        for _ in 0..2 {
            assert!(ask("alice:secret").await);
            assert!(!ask("alice:wrong").await);
            assert!(!ask("bob:secret").await);
            assert!(!ask(":").await);
        }
        assert_eq!(users.right().len(), 1);
    }
}
