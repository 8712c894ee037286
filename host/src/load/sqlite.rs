//! Loading a dump into a SQLite file that is cofre's own until it is finished.
//!
//! Whatever the archive's statements say, they reach this one file only: an authorizer refuses everything that a
//! dump of cofre's does not need (ATTACH, pragmas, transactions, temporary objects, extensions, modules beyond those
//! of full text and R-trees), the schema is not trusted, triggers are off, no other database can be attached, and
//! both time and size are limited. Settings that `restore.sql` would make are read from it as values; it is not run.

mod guard;
mod script;
mod statements;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{DumpFolder, Loaded, Problem, Reason, Shown, Stop, compare};
use crate::dump::sqlite as dumped;
use crate::error::{Code, Error};
use crate::fsutil::show;
use crate::text;
use guard::Guard;
use script::Settings;
use statements::{Next, Statements};

/// The files of a dump that are no table's.
const SCHEMA: &str = "schema.sql";
const RESTORE: &str = "restore.sql";

/// Longest `schema.sql` or `restore.sql`, in bytes: they are held in memory.
const SCRIPT_LIMIT: u64 = 64 << 20;

/// How many times larger than its dump a database may become: hexadecimal halves, indexes multiply.
const GROWTH: u64 = 16;

/// What a small database may have in any case, and what of a disk is left alone, in bytes.
const ROOM: u64 = 64 << 20;

/// Instructions of SQLite's machine between two looks at the clock.
const OPS_PER_LOOK: i32 = 50_000;

/// What begins the file of a virtual table that plain SQLite can't open.
const MODULE_MISSING: &str = "-- Plain SQLite can't open this table";

/// Loads a dump into the new file `to`, and compares what is there then with the manifest.
///
/// # Errors
/// What is wrong with the dump, or why it could not be loaded. The file is of no use then.
pub fn load(dump: &DumpFolder<'_>, to: &Path, stop: &Stop) -> std::result::Result<Loaded, Problem> {
    dump.check(&[SCHEMA, RESTORE], &[])?;
    let settings = Settings::read(&text_of(dump, RESTORE)?, dump)?;
    let mut loading = Loading::open(dump, to, stop, &settings)?;
    let mut notes = Vec::new();
    for table in dump.tables() {
        if let Some(file) = dump.table_file(table)? {
            loading.table(&table.name, file, &mut notes)?;
        }
    }
    loading.schema()?;
    loading.finish(&settings)?;
    let mut loaded = loading.examine()?;
    loaded.notes.splice(0..0, notes);
    Ok(loaded)
}

fn text_of(dump: &DumpFolder<'_>, file: &str) -> std::result::Result<String, Problem> {
    let mut text = Vec::new();
    let read = dump.file(file)?.take(SCRIPT_LIMIT + 1).read_to_end(&mut text);
    read.map_err(|e| Error::io(format_args!("read {}", Shown(file)), &e))?;
    if text.len() as u64 > SCRIPT_LIMIT {
        return Err(dump.problem(
            Reason::LoadFailed,
            format_args!("{} is larger than {}", Shown(file), text::size(SCRIPT_LIMIT)),
        ));
    }
    String::from_utf8(text)
        .map_err(|_| dump.problem(Reason::LoadFailed, format_args!("{} is not UTF-8", Shown(file))))
}

struct Loading<'a> {
    dump: &'a DumpFolder<'a>,
    db: Connection,
    guard: Guard,
    stop: &'a Stop,
    /// Bytes that the database may have.
    limit: u64,
    /// Whether that is the disk's free space, and not what the dump explains.
    is_disk: bool,
    /// Virtual tables that can't be made here.
    left_out: BTreeSet<String>,
}

impl<'a> Loading<'a> {
    fn open(
        dump: &'a DumpFolder<'a>,
        to: &Path,
        stop: &'a Stop,
        settings: &Settings,
    ) -> std::result::Result<Self, Problem> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let fail = |e: rusqlite::Error| dumped::sql_error(format_args!("make the database {}", show(to)), &e);
        let mut db = Connection::open_with_flags(to, flags).map_err(fail)?;
        let beside = to.parent().unwrap_or(Path::new(".")).to_owned();
        let free = crate::fsutil::space(&beside)?.map_or(u64::MAX, |space| space.free);
        let limit = dump.bytes().saturating_mul(GROWTH).saturating_add(ROOM);
        let room = free.saturating_sub(ROOM);
        let (limit, is_disk) = (limit.min(room), room < limit);
        if limit < dump.bytes() {
            return Err(Error::new(
                Code::NoSpace,
                format!(
                    "loading database {} needs about {}, and {} are free beside {}",
                    Shown(&dump.info().name),
                    text::size(dump.bytes().saturating_add(ROOM)),
                    text::size(free),
                    show(to)
                ),
            )
            .remedy("free space, or set state_dir to a larger disk")
            .into());
        }
        prepare(&db, settings, dump.bytes(), limit).map_err(fail)?;
        let watched = stop.clone();
        db.progress_handler(OPS_PER_LOOK, Some(move || watched.is_due()))
            .map_err(fail)?;
        let guard = Guard::new();
        guard.watch(&mut db).map_err(fail)?;
        guard.trust(true);
        db.execute_batch("BEGIN IMMEDIATE; PRAGMA defer_foreign_keys = ON;")
            .map_err(fail)?;
        guard.trust(false);
        Ok(Self {
            dump,
            db,
            guard,
            stop,
            limit,
            is_disk,
            left_out: BTreeSet::new(),
        })
    }

    /// Loads a table's file, statement by statement.
    fn table(
        &mut self,
        table: &str,
        file: &str,
        notes: &mut Vec<String>,
    ) -> std::result::Result<(), Problem> {
        let mut statements = Statements::of(self.dump.file(file)?);
        let mut count = 0_u64;
        loop {
            let next = statements
                .next()
                .map_err(|e| Error::io(format_args!("read {}", Shown(file)), &e))?;
            match next {
                Next::Statement(sql) if sql.trim_start().starts_with(MODULE_MISSING) => {
                    self.left_out.insert(table.to_owned());
                    notes.push(format!(
                        "database {}: table {} needs a module of the application, and can't be loaded without it",
                        Shown(&self.dump.info().name),
                        Shown(table)
                    ));
                    return Ok(());
                }
                Next::Statement(sql) => self.run(sql, file)?,
                Next::End if count == 0 => return Err(self.truncated(file, "has no statement")),
                Next::End => return Ok(()),
                Next::Truncated => return Err(self.truncated(file, "ends in the middle of a statement")),
                Next::TooLong => return Err(self.failed(file, "has a statement of more than 10^9 bytes")),
                Next::NotText => return Err(self.failed(file, "is not UTF-8, or has a NUL byte")),
            }
            count += 1;
        }
    }

    /// Indexes, views and triggers.
    fn schema(&self) -> std::result::Result<(), Problem> {
        let sql = text_of(self.dump, SCHEMA)?;
        let sql = statements::as_the_shell_reads(&sql);
        if !statements::ends_whole(&sql) {
            return Err(self.truncated(SCHEMA, "ends in the middle of a statement"));
        }
        self.run(&sql, SCHEMA)
    }

    /// Runs what came out of the archive.
    fn run(&self, sql: &str, file: &str) -> std::result::Result<(), Problem> {
        self.db.execute_batch(sql).map_err(|e| self.explain(&e, file))
    }

    fn explain(&self, error: &rusqlite::Error, file: &str) -> Problem {
        if let Some(refused) = self.guard.refused() {
            return self.dump.problem(
                Reason::HostileSql,
                format_args!("{} {refused}, which no dump of cofre's does", Shown(file)),
            );
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) if self.stop.is_cancelled() => {
                Error::new(Code::Cancelled, "stopped on request").into()
            }
            Some(ErrorCode::OperationInterrupted) => self.dump.too_long(),
            Some(ErrorCode::DiskFull) if !self.is_disk && !self.disk_is_full() => self.failed(
                file,
                &format!(
                    "makes the database larger than {}, which its dump does not explain",
                    text::size(self.limit)
                ),
            ),
            Some(ErrorCode::TooBig) => self.failed(file, "makes a value much larger than its whole dump"),
            // The disk that it is loaded on, and nothing that the archive could do.
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::OutOfMemory,
            ) => {
                let what = format_args!(
                    "load {} into {}",
                    Shown(file),
                    show(self.db.path().unwrap_or_default())
                );
                dumped::sql_error(what, error).into()
            }
            // What SQLite itself refuses to a schema that is not trusted.
            _ if error.to_string().contains("unsafe use of") => self.dump.problem(
                Reason::HostileSql,
                format_args!("{} makes {}", Shown(file), Shown(&error.to_string())),
            ),
            _ if error.to_string().contains("incomplete input") => {
                self.truncated(file, "ends in the middle of a statement")
            }
            _ => self.failed(file, &format!("does not load: {}", Shown(&error.to_string()))),
        }
    }

    /// Whether it is the disk that is full, and not the database that has grown as far as it may: SQLite calls both so.
    fn disk_is_full(&self) -> bool {
        let folder = self.db.path().and_then(|path| Path::new(path).parent());
        folder.is_some_and(|folder| crate::fsutil::trouble(folder).is_some())
    }

    fn truncated(&self, file: &str, how: &str) -> Problem {
        self.dump
            .problem(Reason::FileTruncated, format_args!("{} {how}", Shown(file)))
    }

    fn failed(&self, file: &str, how: &str) -> Problem {
        self.dump
            .problem(Reason::LoadFailed, format_args!("{} {how}", Shown(file)))
    }

    /// Ends the transaction. From here on nothing of the archive's text runs any more.
    fn finish(&mut self, settings: &Settings) -> std::result::Result<(), Problem> {
        self.guard.trust(true);
        let end = || {
            for (name, value) in &settings.within {
                self.db.pragma_update(None, name, value)?;
            }
            self.db.execute_batch("COMMIT")?;
            if settings.wal {
                // It answers with the mode.
                self.db
                    .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            }
            Ok(())
        };
        end().map_err(|e| self.explain(&e, RESTORE))
    }

    /// Whether it is sound, and what the manifest says.
    fn examine(&self) -> std::result::Result<Loaded, Problem> {
        let fail = |e: &rusqlite::Error| self.explain(e, "what was loaded");
        let names = dumped::check_loaded(&self.db).map_err(|error| match error.code {
            Code::Cancelled if self.stop.is_cancelled() => error.into(),
            _ if self.stop.is_due() => self.dump.too_long(),
            Code::NoSpace => error.into(),
            _ => self.dump.problem(Reason::Unsound, error.message),
        })?;
        let known: BTreeSet<&str> = self.dump.tables().iter().map(|t| t.name.as_str()).collect();
        let extra: Vec<String> = names
            .iter()
            .filter(|name| !known.contains(name.as_str()))
            .cloned()
            .collect();
        let mut loaded = compare(self.dump, &extra, |table| {
            if self.left_out.contains(table) {
                return Ok(Some(0));
            }
            if !names.iter().any(|name| name == table) {
                return Ok(None);
            }
            dumped::count_rows(&self.db, table)
                .map(Some)
                .map_err(|e| fail(&e))
        })?;
        loaded.notes.extend(self.foreign_keys().map_err(|e| fail(&e))?);
        Ok(loaded)
    }

    /// SQLite keeps foreign keys only for who asks it to, so that an application's own database may have rows that
    /// break them: said, and no fault of the backup, whose rows are counted.
    fn foreign_keys(&self) -> rusqlite::Result<Option<String>> {
        let (mut count, mut first) = (0_u64, None);
        let mut listed = || {
            let mut statement = self.db.prepare("PRAGMA foreign_key_check")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                first.get_or_insert(row.get::<_, String>(0)?);
                count += 1;
            }
            Ok::<(), rusqlite::Error>(())
        };
        match listed() {
            Ok(()) => {}
            // A foreign key that fits no key of the other table is the schema's own mistake.
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::Unknown) => {
                let name = Shown(&self.dump.info().name);
                return Ok(Some(format!("database {name}: {}", Shown(&e.to_string()))));
            }
            Err(e) => return Err(e),
        }
        Ok(first.map(|table| {
            format!(
                "database {}: {count} rows break a foreign key, the first in table {}; look whether they do so in the \
                 application's database too",
                Shown(&self.dump.info().name),
                Shown(&table)
            )
        }))
    }
}

/// What is set before anything of the archive is read.
fn prepare(db: &Connection, settings: &Settings, dumped: u64, limit: u64) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, false)?;
    db.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    // A function on a huge value can be stopped by nobody. Text in UTF-16 is twice as long as in its dump.
    let longest = dumped
        .saturating_mul(4)
        .saturating_add(1 << 20)
        .min(1_000_000_000);
    db.set_limit(
        Limit::SQLITE_LIMIT_LENGTH,
        i32::try_from(longest).unwrap_or(i32::MAX),
    )?;
    for (name, value) in &settings.before {
        db.pragma_update(None, name, value)?;
    }
    // Nothing is lost when it is: what was begun is thrown away.
    db.execute_batch(
        "PRAGMA cell_size_check = ON; PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; PRAGMA \
         synchronous = OFF; PRAGMA secure_delete = OFF;",
    )?;
    db.pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))?;
    let page: u64 = db
        .pragma_query_value(None, "page_size", |row| row.get::<_, i64>(0))?
        .unsigned_abs();
    let pages = i64::try_from(limit / page.max(512)).unwrap_or(i64::MAX).max(16);
    db.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

#[cfg(test)]
mod tests;
