//! Dumps of PostgreSQL databases: one moment, one file a table, scripts around them, `restore.sql` that loads it all.
//!
//! A session of `psql` holds a transaction that has locked every table and lends its snapshot to `pg_dump`, which runs
//! twice: once for everything but data, once for the data. So all of it is of one moment, whoever writes meanwhile.
//!
//! `database/TABLE.sql` holds the rows of a table (`SCHEMA.TABLE.sql` outside of `public`; each partition has a file),
//! `pre-data.sql` what has to be there before them, `sequences.sql` and `blobs.sql` the other data, `post-data.sql`
//! indexes, keys, triggers and what has to come last. Owners are left out; privileges are in `grants.sql`. In the
//! dump's folder `psql -X -1 -f restore.sql NEW` loads an empty database, completely or not at all.

mod catalog;
mod files;
mod restore;
mod session;
mod split;
mod structure;

use cofre_exporter::component::types::DatabaseInfo;

use self::catalog::{Facts, Moment};
use self::files::Files;
use self::session::Session;
use self::split::Splitter;
use self::structure::Structure;
use super::Request;
use super::server::Server;
use super::tool::{Login, Tool};
use crate::error::{Code, Error, Result};
use crate::fsutil::show;

/// Longest list of tables that `pg_dump` is told to leave out, in bytes: the kernel bounds arguments. What is not in
/// it is read and thrown away.
const LEFT_OUT_BYTES: usize = 64 * 1024;

/// Dumps one database of a server.
///
/// # Errors
/// As [`super::database`].
pub(super) fn dump(server: &Server, request: &Request<'_>) -> Result<DatabaseInfo> {
    let login = Login::new(server, request.private)?;
    let psql = Tool::postgres("psql", None, request.tools)?;
    let mut session = Session::open(&login, &psql, request.watch()).map_err(|e| connection(server, e))?;
    let facts = Facts::read(&mut session)?;
    if facts.settings > 0 {
        tracing::warn!(
            "the settings of the database {server} itself (ALTER DATABASE … SET, ALTER ROLE … IN DATABASE … SET) are in no \
             dump: keep `pg_dump --create --schema-only`"
        );
    }
    let pg_dump = Tool::postgres("pg_dump", Some(facts.major()), request.tools)?;
    let pg_restore = Tool::postgres("pg_restore", Some(facts.major()), request.tools)?;
    let moment = Moment::hold(&mut session, &login, request)?;
    if !moment.tables.iter().any(catalog::Table::has_rows) {
        return Err(
            Error::new(Code::SourceMissing, format!("the database {server} has no table"))
                .remedy("check that it is the right one"),
        );
    }
    request.check_space(moment.bytes(request) + facts.blob_bytes)?;
    let structure = Structure {
        login: &login,
        pg_restore: &pg_restore,
        request,
        is_before_17: facts.major() < 17,
    };
    structure.dump(&pg_dump, &moment.snapshot)?;
    let (tables, grants) = data(&login, &pg_dump, (&facts, &moment), request)?;
    // The moment is over, and so are its locks.
    drop(session);
    let scripts = structure.write(&grants)?;
    structure::clear(request.private)?;
    restore::write(request.out, &facts, scripts, &tables)?;
    let version = facts.number().to_owned();
    tracing::debug!(%version, pg_dump = %pg_dump.version.text, "database {} dumped", show(request.name));
    Ok(DatabaseInfo {
        name: request.name.to_owned(),
        engine: "postgres".to_owned(),
        version,
        folder: request.folder.to_owned(),
        tables,
    })
}

/// Logs in and finds the programs for this server.
///
/// # Errors
/// As [`super::database`].
pub(super) fn examine(server: &Server, request: &Request<'_>) -> Result<String> {
    let login = Login::new(server, request.private)?;
    let psql = Tool::postgres("psql", None, request.tools)?;
    let mut session = Session::open(&login, &psql, request.watch()).map_err(|e| connection(server, e))?;
    let facts = Facts::read(&mut session)?;
    let pg_dump = Tool::postgres("pg_dump", Some(facts.major()), request.tools)?;
    Tool::postgres("pg_restore", Some(facts.major()), request.tools)?;
    Ok(format!(
        "{server} is PostgreSQL {}, and {} is {}",
        facts.number(),
        show(&pg_dump.path),
        pg_dump.version.text
    ))
}

/// Dumps the rows of all tables, sequences and large objects.
fn data(
    login: &Login,
    pg_dump: &Tool,
    (facts, moment): (&Facts, &Moment),
    request: &Request<'_>,
) -> Result<(Vec<cofre_exporter::component::types::TableInfo>, Vec<u8>)> {
    let mut files = Files::new(request, &moment.tables);
    files.is_before_17 = facts.major() < 17;
    let mut splitter = Splitter::new();
    let mut arguments = vec![
        "--format=plain".to_owned(),
        "--section=data".to_owned(),
        "--no-owner".to_owned(),
        "--no-password".to_owned(),
        format!("--snapshot={}", moment.snapshot),
    ];
    let mut bytes = 0;
    for table in moment
        .tables
        .iter()
        .filter(|table| table.has_rows() && !table.is_wanted(request))
    {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let option = format!(
            "--exclude-table-data={}.{}",
            quoted(&table.schema),
            quoted(&table.name)
        );
        bytes += option.len();
        // In another encoding the same bytes would be another name.
        if bytes <= LEFT_OUT_BYTES && option.is_ascii() {
            arguments.push(option);
        }
    }
    login.run(pg_dump, arguments, request.watch(), &mut |bytes| {
        splitter.push(bytes, &mut files)
    })?;
    splitter
        .finish()
        .map_err(|e| login.error(e.message))
        .and_then(|()| files.finish())
}

/// Says what may help when the server can't be reached.
fn connection(server: &Server, error: Error) -> Error {
    if error.code != Code::DumpFailed || error.remedy.is_some() {
        return error;
    }
    let place = server.place();
    error.remedy(format!(
        "check that the server runs at {place}, and user, password and database in `url` or `url_file` \
         (`@` in a password is %40, `%` is %25; `password_file` takes it as it is)"
    ))
}
