//! Programs that a run needs, and who may call the API.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Findings;
use crate::config::{Config, Database, DatabaseEngine, Role, Secret};
use crate::dump::server::Server;
use crate::dump::tables::TableFilter;
use crate::dump::tool::{Tool, in_path};
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
        let (tools, package): (&[&str], _) = match &database.engine {
            // Built in.
            DatabaseEngine::Sqlite(_) => continue,
            DatabaseEngine::Postgres(_) => {
                match ask(config, database) {
                    Ok(said) => found.ok("databases", said),
                    Err(error) => found.error("databases", error),
                }
                continue;
            }
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

/// What a database's server says of itself.
fn ask(config: &Config, database: &Database) -> Result<String> {
    let tools = database.tools.as_deref();
    let with_password = |url: &Secret| Server::parse(url).map(|server| server.password.is_some());
    let has_password = match &database.engine {
        DatabaseEngine::Postgres(url) | DatabaseEngine::Mysql(url) => with_password(url)?,
        DatabaseEngine::Sqlite(_) => false,
    };
    // The password has to be in a file for a moment, and nothing is made that is not there yet.
    let staging = if has_password && config.state_dir.exists() {
        Some(Staging::new(&config.state_dir)?)
    } else {
        None
    };
    if has_password && staging.is_none() {
        let pg_dump = Tool::postgres("pg_dump", None, tools)?;
        return Ok(format!(
            "{} is {}; the server of database {} is asked once there is a state folder",
            shown(&pg_dump.path),
            pg_dump.version.text,
            escape(&database.name)
        ));
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
    Ok(dump::examine(&database.engine, &request)?.unwrap_or_default())
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
