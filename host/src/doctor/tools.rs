//! Programs that a run needs, and who may call the API.

use std::sync::Arc;
use std::time::Duration;

use super::Findings;
use crate::config::{Config, Database, DatabaseEngine, Role};
use crate::dump::server::Server;
use crate::dump::tables::TableFilter;
use crate::dump::tool::in_path;
use crate::error::{Code, Result};
use crate::serve::http;
use crate::staging::Staging;
use crate::text::{escape, shown};
use crate::{dump, hooks};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) fn programs(found: &mut Findings, config: &Config) {
    let area = "tools";
    for database in config.active_databases() {
        match ask(config, database) {
            Ok(Some(said)) => found.ok("databases", said),
            // Built in.
            Ok(None) => {}
            Err(error) => found.error("databases", error),
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

/// What a database's server says of itself; `None` where there is no server.
fn ask(config: &Config, database: &Database) -> Result<Option<String>> {
    let tools = database.tools.as_deref();
    let needs_file = match &database.engine {
        DatabaseEngine::Sqlite(_) => return Ok(None),
        DatabaseEngine::Postgres(url) => Server::parse(url)?.password.is_some(),
        DatabaseEngine::Mysql(_) => true,
    };
    // The login has to be in a file for a moment, and nothing is made that is not there yet.
    let staging = if needs_file && config.state_dir.exists() {
        Some(Staging::new(&config.state_dir)?)
    } else {
        None
    };
    if needs_file && staging.is_none() {
        let program = dump::program(&database.engine, tools)?;
        return Ok(program.map(|program| {
            format!(
                "{} is {}; the server of database {} is asked once there is a state folder",
                shown(&program.path),
                program.version.text,
                escape(&database.name)
            )
        }));
    }
    let folder = staging.as_ref().map_or(config.dir.as_path(), Staging::path);
    let request = dump::Request {
        name: &database.name,
        folder: "",
        out: folder,
        private: folder,
        tables: &TableFilter::default(),
        tools,
        stall: config.limits.stall.min(PATIENCE),
        cancel: &Arc::default(),
    };
    dump::examine(&database.engine, &request)
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
