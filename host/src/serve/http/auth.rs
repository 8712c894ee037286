//! Who calls: tokens of the configuration, or the application's own session. What is said of a credential here,
//! in logs and in answers, never has any of its text in it.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Identity;
use super::jwt::Sessions;
use crate::audit::Who;
use crate::config::{Api, Token};
use crate::error::Result;

/// What came of looking at a request's credential.
#[derive(Debug)]
pub(super) enum Verdict {
    /// There is none.
    Missing,
    /// It is not good, and why, for the audit log.
    Wrong(&'static str),
    /// It is.
    Known {
        /// Whose it is.
        identity: Identity,
        /// A browser sends it by itself, so that another site may be behind the request.
        by_cookie: bool,
    },
}

/// All that can show who calls.
pub(super) struct Authenticator {
    tokens: Vec<Token>,
    sessions: Option<Sessions>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("tokens", &self.tokens.len())
            .field("sessions", &self.sessions.is_some())
            .finish()
    }
}

impl Authenticator {
    /// Reads the key of the sessions, if there is one.
    ///
    /// # Errors
    /// See [`Sessions::new`].
    pub(super) fn new(api: &Api) -> Result<Self> {
        Ok(Self {
            tokens: api.tokens.clone(),
            sessions: api.jwt.as_ref().map(Sessions::new).transpose()?,
        })
    }

    /// Whether anybody can call at all.
    pub(super) fn admits_anybody(&self) -> bool {
        !self.tokens.is_empty() || self.sessions.is_some()
    }

    /// Looks at `Authorization`, and only without one at the cookie.
    pub(super) fn check(&self, headers: &HeaderMap) -> Verdict {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        let Some(first) = given.next() else {
            return self.cookie(headers);
        };
        if given.next().is_some() {
            return Verdict::Wrong("more than one Authorization");
        }
        let Some(credential) = first.to_str().ok().and_then(bearer) else {
            return Verdict::Wrong("the Authorization is no bearer token");
        };
        if let Some(identity) = self.token(credential) {
            return Verdict::Known {
                identity,
                by_cookie: false,
            };
        }
        // Only a session has dots; what has none is a token that is not known.
        match &self.sessions {
            Some(sessions) if credential.contains('.') => session(sessions, credential, false),
            _ => Verdict::Wrong("the token is not known"),
        }
    }

    /// Compares with every token, so that the time taken says nothing about which of them is near.
    fn token(&self, credential: &str) -> Option<Identity> {
        let digest = Sha256::digest(credential.as_bytes());
        let mut found = None;
        for token in &self.tokens {
            if bool::from(token.sha256.ct_eq(digest.as_slice())) {
                found = Some(token);
            }
        }
        found.map(|token| Identity {
            who: Who::Token(token.name.clone()),
            role: token.role,
        })
    }

    fn cookie(&self, headers: &HeaderMap) -> Verdict {
        let Some(sessions) = &self.sessions else {
            return Verdict::Missing;
        };
        let Some(name) = sessions.cookie() else {
            return Verdict::Missing;
        };
        let mut values = cookies(headers, name);
        match (values.next(), values.next()) {
            (None, _) => Verdict::Missing,
            (Some(value), None) => session(sessions, value, true),
            // A neighbour below the same domain can set one of the same name.
            (Some(_), Some(_)) => Verdict::Wrong("more than one cookie of that name"),
        }
    }
}

fn session(sessions: &Sessions, text: &str, by_cookie: bool) -> Verdict {
    match sessions.check(text) {
        Ok(identity) => Verdict::Known { identity, by_cookie },
        Err(why) => Verdict::Wrong(why),
    }
}

/// The credential of `Bearer CREDENTIAL` (RFC 6750, section 2.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, rest) = value.split_once(' ')?;
    let credential = rest.trim_matches(' ');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    (scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty() && credential.bytes().all(allowed))
        .then_some(credential)
}

/// The values of all cookies called `name` (RFC 6265, section 5.4).
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(axum::http::header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(move |(key, _)| *key == name)
        .map(|(_, value)| value.trim_matches('"'))
}

#[cfg(test)]
mod tests;
