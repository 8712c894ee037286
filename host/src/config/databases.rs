//! The tables `[databases.NAME]`: which engine, and where.

use std::collections::BTreeMap;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::document::Section;
use super::parts::{one_of, path, resolved, secret_file, whole_secret_file};
use super::{Database, DatabaseEngine, Secret, Tables, value};
use crate::dump::server::Server;
use crate::dump::tables::TableFilter;
use crate::dump::tool::check_options;

pub(super) fn databases(root: &Section<'_>, dir: &Path, warnings: &mut Vec<String>) -> Vec<Database> {
    let mut databases = Vec::new();
    let mut seen = BTreeMap::new();
    for (name, section) in root.named("databases") {
        if let Err((message, hint)) = value::folder_name(&name) {
            section.problem("", message, hint);
        }
        if let Some(other) = seen.insert(name.to_lowercase(), name.clone()) {
            let message =
                format!("differs from `{other}` only in case, and would be one folder on some systems");
            section.problem("", message, Some("choose another name".into()));
        }
        let url = section.string("url");
        let secret = secret_file(&section, "url_file", dir, warnings);
        let (key, url) = match (section.has("url"), section.has("url_file")) {
            (true, true) => {
                section.problem("url_file", "a database has either `url` or `url_file`", None);
                ("url", None)
            }
            (false, false) => {
                let hint = "add `url = \"sqlite:app.db\"` or `url = \"postgres://user@host/name\"`";
                section.problem("url", "is missing", Some(hint.into()));
                ("url", None)
            }
            (true, false) => ("url", url),
            (false, true) => ("url_file", secret.map(|s| s.expose().to_owned())),
        };
        let tables = Tables {
            include: globs(&section, "tables"),
            exclude: globs(&section, "exclude_tables"),
        };
        let tools = path(&section, "tools", dir);
        let url_has_password = url.as_deref().is_some_and(value::has_password);
        let has_inline_password = section.has("password") || (key == "url" && url_has_password);
        let password = password(&section, dir, warnings);
        let url = match (url, password) {
            (Some(url), Some((key, password))) => with_password(&section, key, &url, &password),
            (url, _) => url,
        };
        if let Some(engine) = url.and_then(|url| database_engine(&section, key, &url, dir)) {
            databases.push(Database {
                name,
                engine,
                tables,
                tools,
                has_inline_password,
            });
        }
        section.finish();
    }
    databases
}

/// The password as it is, and the key that has it.
fn password(section: &Section<'_>, dir: &Path, warnings: &mut Vec<String>) -> Option<(&'static str, Secret)> {
    let inline = section.string("password").map(Secret::new);
    let from_file = whole_secret_file(section, "password_file", dir, warnings);
    match (section.has("password"), section.has("password_file")) {
        (true, true) => {
            let message = "a database has either `password` or `password_file`";
            section.problem("password_file", message, None);
            None
        }
        (true, false) => inline.map(|text| ("password", text)),
        (false, _) => from_file.map(|text| ("password_file", text)),
    }
}

/// Puts a password into a server's URL that has none, encoded as a URL needs it.
fn with_password(section: &Section<'_>, key: &'static str, url: &str, password: &Secret) -> Option<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        section.problem(key, "only the URL of a server takes a password", None);
        return None;
    };
    if value::has_password(url) {
        section.problem(
            key,
            "the URL has a password already",
            Some("keep one of them".into()),
        );
        return None;
    }
    let password = utf8_percent_encode(password.expose(), NON_ALPHANUMERIC);
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some(match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}:{password}{}", &rest[..at], &rest[at..]),
        None => format!("{scheme}://:{password}@{rest}"),
    })
}

/// Globs of tables, in which `/` is a character like any other.
fn globs(section: &Section<'_>, key: &'static str) -> Vec<String> {
    let list = section.strings(key).unwrap_or_default();
    for text in &list {
        if let Err(error) = TableFilter::new(std::slice::from_ref(text), &[]) {
            let hint = "see the globset syntax; a literal bracket is written `[[]`";
            section.problem(key, error.message, Some(hint.into()));
        } else if text.is_empty() {
            section.problem(key, "a pattern can't be empty", None);
        }
    }
    list
}

fn database_engine(
    section: &Section<'_>,
    key: &'static str,
    url: &str,
    dir: &Path,
) -> Option<DatabaseEngine> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        if let Some(rest) = path.strip_prefix("//") {
            // SQLAlchemy and others disagree on the number of slashes, so none of them is guessed.
            let hint = format!(
                "write `sqlite:{}` for a file beside cofre.toml, or `sqlite:/{}` for an absolute path",
                rest.trim_start_matches('/'),
                rest.trim_start_matches('/')
            );
            section.problem(
                key,
                "what follows `sqlite:` is a plain path, without `//`",
                Some(hint),
            );
            return None;
        }
        return resolved(section, key, dir, path).map(DatabaseEngine::Sqlite);
    }
    let Some((scheme, _)) = url.split_once("://") else {
        let hint = "write `sqlite:app.db`, `postgres://user@host/name` or `mysql://user@host/name`";
        section.problem(key, "is not a database's URL", Some(hint.into()));
        return None;
    };
    let wrap: fn(Secret) -> DatabaseEngine = match scheme {
        "postgres" | "postgresql" => DatabaseEngine::Postgres,
        "mysql" | "mariadb" => DatabaseEngine::Mysql,
        _ => {
            let (message, hint) = one_of(scheme, &["sqlite", "postgres", "postgresql", "mysql", "mariadb"]);
            section.problem(key, message, hint);
            return None;
        }
    };
    let secret = Secret::new(url);
    if let Err(error) = Server::parse(&secret).and_then(|server| check_options(&server)) {
        section.problem(key, error.message, error.remedy);
        return None;
    }
    Some(wrap(secret))
}
