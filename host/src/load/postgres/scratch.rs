//! The scratch database of a drill: with a random name, made by cofre, for its own role alone, and gone afterwards
//! whatever happened.

use std::path::Path;

use super::psql::Psql;
use super::script::{self, quote};
use super::{Around, Dump, not_possible};
use crate::config::Secret;
use crate::dump::server::Server;
use crate::error::{Error, Result};
use crate::load::{DumpFolder, Loaded, Problem, Reason, SCRATCH, Shown, Stop, left_over, scratch_name};
use crate::text::escape;

/// How long removing a scratch database may take, in a drill that was stopped too.
const REMOVAL: std::time::Duration = std::time::Duration::from_secs(60);

/// Functions that reach files of the server, which somebody may have granted.
const FILES: [&str; 4] = ["lo_import", "lo_export", "pg_read_file", "pg_read_binary_file"];

/// Loads a dump into a scratch database on the server of `url`. `private` is a folder that only this user can read,
/// `tools` the folder of psql, if that is not in one of the usual places.
///
/// # Errors
/// What is wrong with the dump, or why the drill could not be held.
pub(crate) fn drill(
    dump: &DumpFolder<'_>,
    url: &Secret,
    private: &Path,
    tools: Option<&Path>,
    stop: &Stop,
) -> std::result::Result<Loaded, Problem> {
    // What can be seen without a server is seen without one.
    let dump = Dump::read(dump)?;
    let server = Server::parse(url).map_err(not_possible)?;
    let home = Psql::new(&server, private, tools).map_err(not_possible)?;
    check_role(&home, &server, stop)?;
    sweep(&home, stop);
    let scratch = Scratch::make(&home, stop).map_err(not_possible)?;
    let psql = Psql::new(&server.with_database(&scratch.name), private, tools).map_err(not_possible)?;
    // Nothing of it is kept: what a role may do to itself and to its database would outlast the drill.
    let around = Around {
        first: Vec::new(),
        checks: None,
        last: vec!["ROLLBACK"],
    };
    let loaded = dump.load(&psql, around, stop);
    drop(psql);
    let removed = scratch.remove();
    let mut loaded = loaded.map_err(|problem| match problem.reason {
        Reason::NotPossible => not_possible(problem.error),
        _ => problem,
    })?;
    if let Err(error) = removed {
        loaded
            .notes
            .push(format!("a scratch database is left behind: {error}"));
    }
    Ok(loaded)
}

/// Refuses a role whose rights the archive's SQL must not have.
fn check_role(psql: &Psql, server: &Server, stop: &Stop) -> std::result::Result<(), Problem> {
    let found = strong_rights(psql, stop).map_err(not_possible)?;
    let owned = owned_database(psql, "true", stop).map_err(not_possible)?;
    let Some(what) = found.or(owned) else {
        return Ok(());
    };
    Err(Problem::new(
        Reason::RoleTooStrong,
        format!(
            "not drilled: the role {} of [drill] postgres {what}, and the SQL of an archive must not have that power",
            escape(server.user.as_deref().unwrap_or("that cofre logs in as"))
        ),
    )
    .remedy("make one of its own: CREATE ROLE drill LOGIN CREATEDB PASSWORD '…'"))
}

/// That a role owns a database which is no scratch database and fulfils a condition; none if it does not.
///
/// # Errors
/// What the server says.
pub(super) fn owned_database(psql: &Psql, condition: &str, stop: &Stop) -> Result<Option<String>> {
    let sql = format!(
        "SELECT datname FROM pg_catalog.pg_database WHERE pg_catalog.pg_has_role(current_user, datdba, 'MEMBER') AND \
         datname !~ '^{SCRATCH}' AND {condition} ORDER BY 1 LIMIT 1"
    );
    let found = psql.ask(&sql, 1, stop)?.into_iter().flatten().next();
    Ok(found.map(|name| format!("owns the database {}", escape(&name))))
}

/// What a role has that reaches beyond a database, itself or through a role that it may become; none if nothing.
///
/// # Errors
/// What the server says.
pub(super) fn strong_rights(psql: &Psql, stop: &Stop) -> Result<Option<String>> {
    // Roles of the system's own reach beyond the database, but for the one that is its owner
    // (<https://www.postgresql.org/docs/current/predefined-roles.html>).
    let strong = "rolname ~ '^pg_' AND rolname <> 'pg_database_owner'";
    let sql = format!(
        "SELECT CASE WHEN rolsuper THEN 'is a superuser' WHEN {strong} THEN 'has the rights of ' || rolname \
         WHEN rolcreaterole THEN 'may make roles' ELSE 'may replicate the server' END FROM pg_catalog.pg_roles WHERE \
         pg_catalog.pg_has_role(current_user, oid, 'MEMBER') AND (rolsuper OR rolcreaterole OR rolreplication OR ({strong})) \
         ORDER BY rolname <> current_user, rolsuper DESC LIMIT 1"
    );
    let files = FILES.map(script::literal).join(",");
    let files = format!(
        "SELECT 'may call ' || p.proname FROM pg_catalog.pg_proc p, pg_catalog.pg_roles r WHERE p.pronamespace = \
         'pg_catalog'::regnamespace AND p.proname IN ({files}) AND pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER') \
         AND pg_catalog.has_function_privilege(r.oid, p.oid, 'EXECUTE') ORDER BY 1 LIMIT 1"
    );
    // Of a superuser, which is a member of all, only the first row counts; it is its own.
    let superuser = psql.ask("SELECT current_setting('is_superuser')", 1, stop)?;
    if superuser.iter().flatten().any(|on| on == "on") {
        return Ok(Some("is a superuser".to_owned()));
    }
    for sql in [sql, files] {
        let found = psql.ask(&sql, 1, stop)?.into_iter().flatten().next();
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Removes what drills that died left behind. That it can't be removed is only said.
fn sweep(psql: &Psql, stop: &Stop) {
    let sql = "SELECT extract(epoch FROM now())::bigint, datname FROM pg_catalog.pg_database d WHERE \
               pg_catalog.pg_has_role(current_user, datdba, 'USAGE') AND NOT EXISTS (SELECT FROM \
               pg_catalog.pg_stat_activity a WHERE a.datname = d.datname)";
    let rows = psql.ask(sql, 2, stop).unwrap_or_else(|error| {
        tracing::warn!("scratch databases of earlier drills stay: {error}");
        Vec::new()
    });
    for row in &rows {
        let [now, name] = row.as_slice() else { continue };
        if !left_over(name, now) {
            continue;
        }
        tracing::info!("removes {}, which a drill that died left behind", escape(name));
        if let Err(error) = psql.run(&format!("DROP DATABASE IF EXISTS {}", quote(name)), stop) {
            tracing::warn!("{} stays: {error}", escape(name));
        }
    }
}

/// A scratch database, which goes with this.
struct Scratch<'a> {
    home: &'a Psql,
    name: String,
    /// Whether it can be dropped while somebody is connected.
    by_force: bool,
    is_there: bool,
}

impl<'a> Scratch<'a> {
    fn make(home: &'a Psql, stop: &Stop) -> Result<Self> {
        let asked = home.ask(
            "SELECT extract(epoch FROM now())::bigint, current_setting('server_version_num')",
            2,
            stop,
        )?;
        let answer = asked.first().map(Vec::as_slice).unwrap_or_default();
        let [now, version] = answer else {
            return Err(Error::new(
                crate::error::Code::Io,
                "the server does not say its time and version",
            ));
        };
        let name = scratch_name(now)?;
        let quoted = quote(&name);
        home.run(
            &format!("CREATE DATABASE {quoted} TEMPLATE template0 ENCODING 'UTF8'"),
            stop,
        )
        .map_err(|error| {
            error.remedy("the role has to be allowed to make databases: ALTER ROLE drill CREATEDB")
        })?;
        let scratch = Self {
            home,
            name,
            by_force: version.parse::<u32>().is_ok_and(|version| version >= 130_000),
            is_there: true,
        };
        // What is loaded is nobody else's business.
        home.run(&format!("REVOKE ALL ON DATABASE {quoted} FROM PUBLIC"), stop)?;
        Ok(scratch)
    }

    fn remove(mut self) -> Result<()> {
        self.drop_database()
    }

    fn drop_database(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.is_there, false) {
            return Ok(());
        }
        // Not stopped with the drill.
        let stop = Stop::new(&std::sync::Arc::default(), REMOVAL);
        let name = quote(&self.name);
        if self.by_force {
            return self
                .home
                .run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), &stop);
        }
        let end = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = {}",
            script::literal(&self.name)
        );
        self.home.ask(&end, 1, &stop)?;
        self.home.run(&format!("DROP DATABASE IF EXISTS {name}"), &stop)
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.drop_database() {
            tracing::error!(
                "the scratch database {} is left behind: {error}",
                Shown(&self.name)
            );
        }
    }
}
