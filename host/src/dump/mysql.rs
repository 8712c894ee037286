//! Dumps of MySQL and MariaDB databases by their own `mariadb-dump` or `mysqldump`, in one transaction.
//!
//! One run of the program writes everything; its output is cut while it streams ([`split`]) and each statement goes
//! where it belongs ([`statement`], [`write`]): `pre-data.sql` makes the tables, `TABLE.sql` has a table's rows,
//! `post-data.sql` makes views, triggers, routines and events, and `restore.sql` loads all of it:
//! `cd database && mariadb --abort-source-on-error NAME < restore.sql`. Since each definition is read in the transaction that reads the rows,
//! a table that is altered meanwhile makes the program fail; the dump is then made once more.

mod catalog;
mod client;
pub(crate) mod look;
pub(super) mod options;
mod split;
mod statement;
mod views;
mod write;

use std::ffi::OsString;

use cofre_exporter::component::types::DatabaseInfo;

use super::Request;
use super::server::Server;
use super::tool::{Login, Tool};
use crate::error::{Code, Error, Result};
use crate::fsutil::show;
use crate::text;
use catalog::{Catalog, list};
use client::Client;
pub(crate) use client::error_code;
use split::Splitter;
use write::{Writer, Written};

/// Debian's package with all the programs.
const PACKAGE: &str = "mariadb-client";

/// Last line of a dump that is complete.
const END: &[u8] = b"-- Dump completed";

/// Longest list of tables whose rows the program is told to leave out, in bytes: the kernel bounds arguments. Rows of
/// others are read and thrown away.
const LEFT_OUT_BYTES: usize = 64 * 1024;

/// Dumps one database of a server.
///
/// # Errors
/// As [`super::database`].
pub(super) fn dump(server: &Server, request: &Request<'_>) -> Result<DatabaseInfo> {
    let login = Login::new(server, request.private)?;
    let client = Client::new(&login, server, request)?;
    let catalog = client.catalog()?;
    client.check_rights(&catalog)?;
    if catalog.tables.is_empty() {
        return Err(
            Error::new(Code::SourceMissing, format!("database {server}: it has no table"))
                .remedy("check that it is the right one"),
        );
    }
    if let Some(event) = catalog.endless.first() {
        return Err(client
            .error(format!(
                "the event {} has `;;` in it, on which the dump program never ends",
                show(event)
            ))
            .remedy("alter the event: write `; ;`"));
    }
    client.check_references(&catalog)?;
    request.check_space(catalog.bytes(request.tables))?;
    let tool = client.dump_tool(&catalog)?;
    let dump = Dump {
        login: &login,
        client: &client,
        tool: &tool,
        request,
    };
    let done = match dump.attempt(catalog)? {
        Attempt::Done(done) => done,
        Attempt::Changed(cause) => {
            tracing::warn!("{cause}: the dump is made once more");
            clear(request)?;
            match dump.attempt(client.catalog()?)? {
                Attempt::Done(done) => done,
                Attempt::Changed(cause) => return Err(client.explain(cause)),
            }
        }
    };
    let (catalog, written) = *done;
    tell(server, &catalog, &tool, &written);
    Ok(DatabaseInfo {
        name: request.name.to_owned(),
        engine: "mysql".to_owned(),
        version: catalog.version,
        folder: request.folder.to_owned(),
        tables: written.tables,
    })
}

/// Logs in and looks whether everything can be read, and by which program.
///
/// # Errors
/// As [`super::database`].
pub(super) fn examine(server: &Server, request: &Request<'_>) -> Result<String> {
    let login = Login::new(server, request.private)?;
    let client = Client::new(&login, server, request)?;
    let catalog = client.catalog()?;
    client.check_rights(&catalog)?;
    let tool = client.dump_tool(&catalog)?;
    Ok(format!(
        "{server} is {}, and {} is {}",
        catalog.version,
        show(&tool.path),
        tool.version.text
    ))
}

/// The dump program, of whichever maker.
///
/// # Errors
/// `DumpFailed` when it is missing.
pub(super) fn program(tools: Option<&std::path::Path>) -> Result<Tool> {
    Tool::named(&["mariadb-dump", "mysqldump"], tools, PACKAGE)
}

/// What a dump is made with.
struct Dump<'a> {
    login: &'a Login,
    client: &'a Client<'a>,
    tool: &'a Tool,
    request: &'a Request<'a>,
}

/// How an attempt ended.
enum Attempt {
    Done(Box<(Catalog, Written)>),
    /// Tables were altered or dropped meanwhile, so that another attempt may succeed.
    Changed(Error),
}

impl Dump<'_> {
    fn attempt(&self, before: Catalog) -> Result<Attempt> {
        let written = match once(self.login, self.tool, &before, self.request) {
            Ok(written) => written,
            Err(error) if client::is_change(&error) => return Ok(Attempt::Changed(error)),
            Err(error) => return Err(self.client.explain(error)),
        };
        let after = self.client.catalog()?;
        // Some changes are so cheap for the server that it gives the old rows in their new form.
        let changed = before.changed(&after);
        if !changed.is_empty() {
            let message = format!(
                "these tables were made, altered or renamed while the dump was made: {}",
                list(&changed)
            );
            return Ok(Attempt::Changed(
                self.client.error(message).remedy(client::STAND_STILL),
            ));
        }
        let is_written = |name: &str| written.tables.iter().any(|t| t.name == name);
        let names = before.tables.iter().map(|t| t.name.as_str());
        let lost: Vec<&str> = names.filter(|name| !is_written(name)).collect();
        if !lost.is_empty() {
            return Err(self
                .client
                .error(format!("these tables are missing in the dump: {}", list(&lost))));
        }
        Ok(Attempt::Done(Box::new((before, written))))
    }
}

/// One run of the dump program.
fn once(login: &Login, tool: &Tool, catalog: &Catalog, request: &Request<'_>) -> Result<Written> {
    let mut writer = Writer::new(request, catalog)?;
    let mut splitter = Splitter::default();
    let mut end = Vec::new();
    let arguments = arguments(tool, catalog, request);
    login.run(tool, arguments, request.watch(), &mut |bytes| {
        end.extend_from_slice(&bytes[bytes.len().saturating_sub(2 * END.len())..]);
        end.drain(..end.len().saturating_sub(2 * END.len()));
        splitter.push(bytes, &mut writer)
    })?;
    if !end.trim_ascii_end().ends_with(END) {
        return Err(login
            .error(format!(
                "the output of {} is not complete: its last line is missing",
                tool.name
            ))
            .remedy("look for a full disk, a limit on memory, and the server's log"));
    }
    splitter.finish(&mut writer)?;
    writer.finish()
}

/// What the dump program is told. Nothing of it is secret.
fn arguments(tool: &Tool, catalog: &Catalog, request: &Request<'_>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "--single-transaction",
        "--quick",
        "--hex-blob",
        "--routines",
        "--triggers",
        "--events",
        "--tz-utc",
        "--comments",
        "--default-character-set=utf8mb4",
        // The largest value that the protocol can carry.
        "--max-allowed-packet=1G",
        // Needs a right that few users have, and tablespaces belong to the server.
        "--no-tablespaces",
        "--skip-add-drop-table",
        "--skip-add-locks",
        "--skip-disable-keys",
        "--skip-no-autocommit",
        // The same database gives the same dump.
        "--skip-dump-date",
    ]
    .map(OsString::from)
    .to_vec();
    if tool.version.text.contains("MariaDB") {
        if has_history(tool, catalog) {
            arguments.push("--dump-history".into());
        }
        let mut bytes = 0;
        let without = catalog
            .tables
            .iter()
            .filter(|t| !request.tables.has_rows_of(None, &t.name));
        let options = without.map(|t| format!("--ignore-table-data={}.{}", catalog.database, t.name));
        arguments.extend(
            options
                .take_while(|option| {
                    bytes += option.len();
                    bytes <= LEFT_OUT_BYTES
                })
                .map(OsString::from),
        );
    } else {
        // A position for replicas, and statistics, which an older server doesn't have.
        arguments.extend(["--set-gtid-purged=OFF", "--loose-column-statistics=0"].map(OsString::from));
    }
    arguments.extend(["--".into(), catalog.database.clone().into()]);
    arguments
}

/// Whether rows of the past are dumped as well: from MariaDB 10.11 on, by times only.
fn has_history(tool: &Tool, catalog: &Catalog) -> bool {
    let new = |major, minor| (major, minor) >= (10, 11);
    catalog.has_history()
        && tool.version.text.contains("MariaDB")
        && new(tool.version.major, tool.version.minor)
        && catalog
            .server_version()
            .is_some_and(|(major, minor)| new(major, minor))
}

/// What the log says about a dump that is complete.
fn tell(server: &Server, catalog: &Catalog, tool: &Tool, written: &Written) {
    for remark in catalog.remarks(has_history(tool, catalog)) {
        tracing::warn!("database {server}: {remark}");
    }
    let of = |wanted: fn(&&cofre_exporter::component::types::TableInfo) -> bool| -> Vec<&str> {
        written
            .tables
            .iter()
            .filter(wanted)
            .map(|t| t.name.as_str())
            .collect()
    };
    let left_out = of(|t| t.file.is_none());
    if !left_out.is_empty() {
        tracing::info!(
            "database {server}: rows left out as configured: {}",
            list(&left_out)
        );
    }
    if written.longest > write::PACKET {
        let longest = text::size(written.longest);
        tracing::warn!("database {server}: to load it, max_allowed_packet has to be at least {longest}");
    }
    let empty = of(|t| t.file.is_some() && t.rows == 0);
    if !empty.is_empty() {
        tracing::info!("database {server}: tables without rows: {}", list(&empty));
    }
    let rows: u64 = written.tables.iter().map(|t| t.rows).sum();
    let tables = written.tables.len();
    tracing::info!(
        "database {server}: {tables} tables with {rows} rows dumped by {} {}",
        tool.name,
        tool.version.text
    );
}

/// Removes what a first attempt wrote.
fn clear(request: &Request<'_>) -> Result<()> {
    let fail = |e: std::io::Error| Error::io(format_args!("empty {}", show(request.out)), &e);
    for entry in std::fs::read_dir(request.out).map_err(fail)? {
        std::fs::remove_file(entry.map_err(fail)?.path()).map_err(fail)?;
    }
    Ok(())
}
