//! Programs that a run needs, and who may call the API.

use std::path::Path;

use super::Findings;
use crate::config::{Config, DatabaseEngine, Role};
use crate::dump::tool::in_path;
use crate::error::Code;
use crate::hooks;
use crate::serve::http;
use crate::text::escape;

pub(super) fn programs(found: &mut Findings, config: &Config) {
    let area = "tools";
    for database in config.active_databases() {
        let (tools, package): (&[&str], _) = match &database.engine {
            // Built in.
            DatabaseEngine::Sqlite(_) => continue,
            DatabaseEngine::Postgres(_) => (&["pg_dump"], "postgresql-client"),
            DatabaseEngine::Mysql(_) => (&["mariadb-dump", "mysqldump"], "mariadb-client"),
        };
        if !tools.iter().any(|tool| in_path(Path::new(tool)).is_some()) {
            let message = format!(
                "{} of database {} is not installed",
                tools.join(" or "),
                escape(&database.name)
            );
            found.problem(
                area,
                Code::DumpFailed,
                message,
                &format!("install it: `apt install {package}`"),
            );
        }
    }
    for argv in [&config.hooks.before, &config.hooks.after] {
        let Some(program) = argv.first() else { continue };
        if in_path(&hooks::program(&config.dir, program)).is_none() {
            let message = format!(
                "the hook's program {} does not exist or can't be run",
                escape(program)
            );
            found.problem(area, Code::Config, message, "give its whole path in `[hooks]`");
        }
    }
    if found.is_good(area) {
        found.ok(area, "every program that a run needs is there");
    }
}

/// What a drill of the configured databases needs.
pub(super) fn drill(found: &mut Findings, config: &Config) {
    let area = "drill";
    let Some(drill) = &config.drill else { return };
    for database in config.active_databases() {
        let (key, server, tools, package): (_, _, &[&str], _) = match &database.engine {
            DatabaseEngine::Sqlite(_) => continue,
            DatabaseEngine::Postgres(_) => ("postgres", &drill.postgres, &["psql"], "postgresql-client"),
            DatabaseEngine::Mysql(_) => ("mysql", &drill.mysql, &["mariadb", "mysql"], "mariadb-client"),
        };
        let name = escape(&database.name);
        if server.is_none() {
            let message = format!("database {name} can't be drilled: [drill] has no `{key}`");
            found.warn(
                area,
                message,
                &format!("name a server on which scratch databases may be made: `{key} = \"{key}://drill@host/{key}\"`"),
            );
        }
        let is_there = |tool: &&str| match &database.tools {
            Some(dir) => in_path(&dir.join(tool)).is_some(),
            None => in_path(Path::new(tool)).is_some(),
        };
        if !tools.iter().any(is_there) {
            let message = format!(
                "{}, which a drill of database {name} needs, is not installed",
                tools.join(" or ")
            );
            found.warn(area, message, &format!("install it: `apt install {package}`"));
        }
    }
    if found.is_good(area) {
        found.ok(area, "every database can be drilled");
    }
}

pub(super) fn api(found: &mut Findings, config: &Config) {
    let area = "api";
    let Some(api) = &config.api else { return };
    let has_admin = api.tokens.iter().any(|t| t.role == Role::Admin) || api.jwt.is_some();
    if !has_admin {
        let message = "no token has the role admin, so every call about backups is answered with 403";
        found.problem(
            area,
            Code::Config,
            message,
            "run `cofre token new NAME --role admin` and add its line",
        );
    }
    if !api.listen.ip().is_loopback() && api.tls_cert.is_none() {
        let message = format!("{} can be reached from outside without TLS", api.listen);
        found.warn(
            area,
            message,
            "set tls_cert and tls_key, or listen on 127.0.0.1 behind a proxy",
        );
    }
    if let Err(error) = http::check(api) {
        let remedy = error
            .remedy
            .unwrap_or_else(|| "correct the configuration".to_owned());
        found.problem(area, error.code, error.message, &remedy);
    }
    if found.is_good(area) {
        let sessions = if api.jwt.is_some() {
            " and the application's sessions"
        } else {
            ""
        };
        let tokens = api.tokens.len();
        found.ok(area, format!("{} for {tokens} tokens{sessions}", api.listen));
    }
}
