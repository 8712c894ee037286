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
