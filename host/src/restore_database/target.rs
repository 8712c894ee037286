//! Where a database is restored to, as it is typed.

use std::path::Path;

use crate::config::{DatabaseEngine, Secret};
use crate::error::{Code, Error, Result};
use crate::text::shown;

/// Reads `sqlite:PATH`, `postgres://…` or `mysql://…`; a path is relative to the working folder.
///
/// # Errors
/// `Usage` for anything else.
pub fn parse_target(text: &str) -> Result<DatabaseEngine> {
    let usage = |message: &str| {
        Error::new(Code::Usage, format!("--into: {message}"))
            .remedy("write sqlite:PATH, postgres://user@host/name or mysql://user@host/name")
    };
    if let Some(path) = text.strip_prefix("sqlite:") {
        if path.is_empty() || path.starts_with("//") {
            return Err(usage("what follows `sqlite:` is a plain path, without `//`"));
        }
        let path = std::path::absolute(Path::new(path))
            .map_err(|e| Error::io(format_args!("resolve {}", shown(path)), &e))?;
        return Ok(DatabaseEngine::Sqlite(path));
    }
    match text.split_once("://").map(|(scheme, _)| scheme) {
        Some("postgres" | "postgresql") => Ok(DatabaseEngine::Postgres(Secret::new(text))),
        Some("mysql" | "mariadb") => Ok(DatabaseEngine::Mysql(Secret::new(text))),
        _ => Err(usage("this is not a database's URL")),
    }
}

/// A target for people: without a password, and without anything else of a URL that might be one.
#[must_use]
pub fn shown_target(target: &DatabaseEngine) -> String {
    match target {
        DatabaseEngine::Sqlite(path) => format!("sqlite:{}", shown(path)),
        DatabaseEngine::Postgres(url) | DatabaseEngine::Mysql(url) => {
            let (scheme, rest) = url.expose().split_once("://").unwrap_or_default();
            let rest = rest.split(['?', '#']).next().unwrap_or_default();
            let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
            crate::text::escape(&format!("{scheme}://{place}")).into_owned()
        }
    }
}

/// The word that a manifest has for an engine.
pub(super) const fn engine_word(target: &DatabaseEngine) -> &'static str {
    match target {
        DatabaseEngine::Sqlite(_) => "sqlite",
        DatabaseEngine::Postgres(_) => "postgres",
        DatabaseEngine::Mysql(_) => "mysql",
    }
}

/// A target of the right engine.
pub(super) fn example(engine: &str) -> &'static str {
    match engine {
        "postgres" => "postgres://user@host/name",
        "mysql" => "mysql://user@host/name",
        _ => "sqlite:new.db",
    }
}
