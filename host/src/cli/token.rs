//! `cofre token new`: a credential of the API, shown once and kept nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::args::{NewToken, TokenArgs, TokenCommand};
use super::{App, Ended};
use crate::error::{Code, Error, Result};
use crate::text::toml_string;

/// Bytes of randomness in a token.
const RANDOM_BYTES: usize = 32;

/// What every token begins with: so that scanners for leaked secrets, and people, know one when they see it.
const PREFIX: &str = "cofre_";

/// The document of `--json`.
#[derive(Serialize)]
struct Issued {
    token: String,
    sha256: String,
    name: String,
    role: &'static str,
}

pub(super) fn run(app: &App, args: TokenArgs) -> Result<Ended> {
    match args.command {
        TokenCommand::New(new) => issue(app, new),
    }
}

fn issue(app: &App, args: NewToken) -> Result<Ended> {
    let issued = Issued::new(args)?;
    app.output.print(&issued, || {
        format!(
            "token   {}\nsha256  {}\n\nadd to the configuration, and restart `cofre serve`:\n\n\
             [[api.tokens]]\nname   = {}\nrole   = \"{}\"\nsha256 = \"{}\"\n",
            issued.token,
            issued.sha256,
            toml_string(&issued.name),
            issued.role,
            issued.sha256
        )
    })?;
    app.output
        .note("the token is shown this once: cofre keeps only what has to be compared");
    Ok(Ended::Done)
}

impl Issued {
    fn new(args: NewToken) -> Result<Self> {
        let NewToken { name, role } = args;
        // As the configuration demands.
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(Error::new(
                Code::Usage,
                "a token's name can't be empty or contain control characters",
            ));
        }
        let mut random = [0_u8; RANDOM_BYTES];
        crate::fsutil::fill_random(&mut random)?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let sha256 = crate::text::hex(&Sha256::digest(token.as_bytes()));
        Ok(Self {
            token,
            sha256,
            name,
            role: role.name(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::args::TokenRole;
    use super::*;

    fn new(name: &str) -> Result<Issued> {
        Issued::new(NewToken {
            name: name.to_owned(),
            role: TokenRole::Admin,
        })
    }

    #[test]
    fn a_token_is_random_and_its_line_is_accepted_by_the_configuration() {
        let (a, b) = (new("ops \"one\"").unwrap(), new("ops").unwrap());
        assert_ne!(a.token, b.token);
        let random = a.token.strip_prefix(PREFIX).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(random).unwrap().len(), RANDOM_BYTES);
        let text = format!(
            "[sources.s]\npath = \"s\"\n[[api.tokens]]\nname = {}\nrole = \"{}\"\nsha256 = \"{}\"\n",
            toml_string(&a.name),
            a.role,
            a.sha256
        );
        let config = crate::Config::parse(&text, std::path::Path::new("/x")).unwrap();
        let token = &config.api.unwrap().tokens[0];
        assert_eq!(token.name, a.name);
        assert_eq!(token.sha256[..], Sha256::digest(a.token.as_bytes())[..]);
    }

    #[test]
    fn names_that_the_configuration_would_refuse_are_refused() {
        for name in ["", "a\nb", "\u{1b}"] {
            assert_eq!(
                new(name).map(|t| t.name).unwrap_err().code,
                Code::Usage,
                "{name:?}"
            );
        }
    }
}
