//! Programs that a run needs, and who may call the API.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Findings;
use crate::config::{Config, DatabaseEngine, Role};
use crate::error::Code;
use crate::hooks;
use crate::text::{escape, shown};

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

/// Where a program is, as the system would find it.
fn in_path(program: &Path) -> Option<PathBuf> {
    let runs = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return Some(program.to_path_buf()).filter(|p| runs(p));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|p| runs(p))
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
    let jwt = api.jwt.as_ref().map(|jwt| &jwt.key_file);
    for file in [api.tls_cert.as_ref(), api.tls_key.as_ref(), jwt]
        .into_iter()
        .flatten()
    {
        if let Err(e) = std::fs::File::open(file) {
            let remedy = "correct the path, or make it readable for the user that runs cofre";
            found.problem(area, Code::Config, format!("{}: {e}", shown(file)), remedy);
        }
    }
    if found.is_good(area) {
        found.ok(area, format!("{} for {} tokens", api.listen, api.tokens.len()));
    }
}
