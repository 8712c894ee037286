//! The tables `[databases.NAME]`: which engine, and where.

use std::collections::BTreeMap;
use std::path::Path;

use super::document::Section;
use super::parts::{one_of, path, resolved, secret_file};
use super::{Database, DatabaseEngine, Secret, Tables, value};
use crate::dump::server::Server;
use crate::dump::tables::TableFilter;

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
        if let Some(engine) = url.and_then(|url| database_engine(&section, key, &url, dir)) {
            databases.push(Database {
                name,
                engine,
                tables,
                tools,
            });
        }
        section.finish();
    }
    databases
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
    if let Err(error) = Server::parse(&secret) {
        section.problem(key, error.message, error.remedy);
        return None;
    }
    Some(wrap(secret))
}
