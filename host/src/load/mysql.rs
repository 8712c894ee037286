//! Loading a dump into a database of MySQL or MariaDB, through the server's client program.
//!
//! Each file is looked through first: it has to hold the statements that a dump holds and no other. The program runs in
//! its binary mode, in which it knows no commands but `DELIMITER`, and may not send files of this machine; what the
//! server runs, it runs as a role that has rights in scratch databases only ([`scratch`]).

mod client;
mod scratch;
mod target;

use std::collections::BTreeMap;
use std::io::{BufReader, Read as _, Write};

use super::{DumpFolder, Loaded, Problem, Reason, Shown, Stop, compare};
use crate::dump::mysql::look::{Fault, Part, look};
use crate::error::{Error, Result};
use client::{Client, Stopped};

pub(crate) use scratch::drill;
pub(crate) use target::Target;

/// The files of a dump that are no table's.
const BEFORE: &str = "pre-data.sql";
const AFTER: &str = "post-data.sql";
const RESTORE: &str = "restore.sql";

/// Longest `restore.sql`, in bytes: three short lines for each table.
const SCRIPT_LIMIT: u64 = 64 << 20;

/// A dump, looked through.
struct Dump<'a> {
    folder: &'a DumpFolder<'a>,
    /// The files with rows, in their order.
    files: Vec<&'a str>,
    /// Character set and collation of the database.
    characters: Option<(String, String)>,
}

impl<'a> Dump<'a> {
    /// Looks through every file.
    fn read(folder: &'a DumpFolder<'a>) -> std::result::Result<Self, Problem> {
        folder.check(&[BEFORE, AFTER, RESTORE], &[])?;
        let mut dump = Self {
            folder,
            files: Vec::new(),
            characters: None,
        };
        dump.script()?;
        dump.look(BEFORE, Part::Before)?;
        for table in folder.tables() {
            if let Some(file) = folder.table_file(table)? {
                dump.look(file, Part::Rows(&table.name))?;
                dump.files.push(file);
            }
        }
        dump.look(AFTER, Part::After)?;
        Ok(dump)
    }

    fn look(&self, file: &str, part: Part<'_>) -> std::result::Result<(), Problem> {
        let shown = Shown(file);
        match look(&mut self.folder.file(file)?, part) {
            Ok(_) => Ok(()),
            Err(Fault::Io(e)) => Err(Error::io(format_args!("read {shown}"), &e).into()),
            Err(Fault::Truncated) => Err(self.folder.problem(
                Reason::FileTruncated,
                format_args!("{shown} ends in the middle of a statement"),
            )),
            Err(Fault::Foreign(head)) => Err(self.folder.problem(
                Reason::HostileSql,
                format_args!("{shown} has what no dump of cofre's has: {}", Shown(&head)),
            )),
        }
    }

    /// `restore.sql` is for people with the client program, and is never run here. It is compared with what cofre
    /// writes all the same: anything else in it could harm whoever does run it.
    fn script(&mut self) -> std::result::Result<(), Problem> {
        let mut text = String::new();
        let read = self
            .folder
            .file(RESTORE)?
            .take(SCRIPT_LIMIT)
            .read_to_string(&mut text);
        read.map_err(|e| Error::io(format_args!("read {RESTORE}"), &e))?;
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        for line in text.lines() {
            let characters = line
                .strip_prefix("ALTER DATABASE CHARACTER SET ")
                .and_then(|rest| rest.strip_suffix(';'))
                .and_then(|rest| rest.split_once(" COLLATE "))
                .filter(|(set, collation)| is_word(set) && is_word(collation));
            if let Some((set, collation)) = characters {
                self.characters = Some((set.to_owned(), collation.to_owned()));
                continue;
            }
            let is_file = |file: &str| !file.contains(['/', '\\', ' ', '|', ';']) && self.folder.has(file);
            let known = line.is_empty()
                || line.starts_with("-- ")
                || matches!(line, "START TRANSACTION;" | "COMMIT;")
                || line.strip_prefix("source ").is_some_and(is_file);
            if !known {
                return Err(self.folder.problem(
                    Reason::HostileSql,
                    format_args!(
                        "{RESTORE} has the line `{}`, which cofre did not write",
                        Shown(line)
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Writes a file into the client program.
    fn copy(&self, file: &str, out: &mut dyn Write) -> Result<()> {
        std::io::copy(&mut BufReader::new(self.folder.file(file)?), out).map_err(|e| unfed(&e))?;
        out.write_all(b"\n").map_err(|e| unfed(&e))
    }

    /// Writes the tables and their rows.
    fn write_rows(&self, out: &mut dyn Write) -> Result<()> {
        self.copy(BEFORE, out)?;
        for file in &self.files {
            out.write_all(b"START TRANSACTION;\n").map_err(|e| unfed(&e))?;
            self.copy(file, out)?;
            out.write_all(b"COMMIT;\n").map_err(|e| unfed(&e))?;
        }
        Ok(())
    }

    /// Loads it into a database, and compares what is there then with the manifest. The rows are counted before the
    /// events are there, which may change them at once.
    fn load(&self, client: &Client, database: &str, stop: &Stop) -> std::result::Result<Loaded, Problem> {
        let fed = client.feed(database, stop, |out| self.write_rows(out));
        fed.map_err(|stopped| self.stopped(stopped))?;
        let rows: BTreeMap<String, u64> = client.count(database, stop)?.into_iter().collect();
        let fed = client.feed(database, stop, |out| self.copy(AFTER, out));
        fed.map_err(|stopped| self.stopped(stopped))?;
        let known = self.folder.tables();
        let extra: Vec<String> = rows
            .keys()
            .filter(|name| !known.iter().any(|table| table.name == **name))
            .cloned()
            .collect();
        compare(self.folder, &extra, |name| Ok(rows.get(name).copied()))
    }

    /// What it means that the client program ended early.
    fn stopped(&self, stopped: Stopped) -> Problem {
        match stopped {
            Stopped::Other(error) => error.into(),
            Stopped::TooLong => self.folder.problem(
                Reason::NotPossible,
                "loading it took longer than drill.timeout allows",
            ),
            Stopped::Command(said) => self.folder.problem(
                Reason::HostileSql,
                format_args!(
                    "there is a command of the client program in it, which no dump of cofre's has: {said}"
                ),
            ),
            Stopped::Refused(said) => self
                .folder
                .problem(Reason::LoadFailed, format_args!("the server refused it: {said}")),
        }
    }
}

fn unfed(error: &std::io::Error) -> Error {
    Error::io("feed the client program", error)
}

/// An error of the server that cofre asked, when a drill can't be held.
fn not_possible(error: Error) -> Problem {
    super::not_held(error, "mysql")
}

/// A name in backticks.
fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Errors of the server or the way to it, and none of the SQL: login, connection, disk, memory, a limit, a lock that
/// nobody gives up, a statement that someone stopped, a right that the role lacks.
fn is_servers(code: u32) -> bool {
    matches!(
        code,
        1021 | 1040
            | 1041
            | 1044
            | 1045
            | 1053
            | 1114
            | 1153
            | 1203
            | 1205
            | 1226
            | 1227
            | 1317
            | 1418
            | 1419
            | 1698
            | 1969
            | 2000..=2099
    )
}

/// A right that the role lacks in the database itself. In another one it should have none, and a dump that reaches
/// there is at fault.
fn is_denied_within(code: u32, said: &str, database: &str) -> bool {
    code == 1142 && said.contains(&format!(" {}.", quote(database)))
}

fn refused_or_lost(client: &Client, said: &str, database: &str) -> Stopped {
    match crate::dump::mysql::error_code(said) {
        Some(code) if is_servers(code) || is_denied_within(code, said, database) => {
            Stopped::Other(client.failed(said))
        }
        Some(_) => Stopped::Refused(said.to_owned()),
        None if said.contains("Unknown command") => Stopped::Command(said.to_owned()),
        // Of the program's own about what it reads.
        None if said.contains("at line ") => Stopped::Refused(said.to_owned()),
        None => Stopped::Other(client.failed(said)),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_denied_within, is_servers};
    use crate::dump::mysql::error_code;

    #[test]
    fn errors_of_the_server_are_not_the_dumps() {
        for (said, of_server) in [
            ("ERROR 1114 (HY000) at line 7: The table 'a' is full", true),
            (
                "ERROR 1021 (HY000) at line 7: Disk full (/tmp/x); waiting for someone to free some space",
                true,
            ),
            (
                "ERROR 1205 (HY000) at line 7: Lock wait timeout exceeded; try restarting transaction",
                true,
            ),
            (
                "ERROR 1153 (08S01) at line 7: Got a packet bigger than 'max_allowed_packet' bytes",
                true,
            ),
            (
                "ERROR 1969 (70100) at line 7: Query execution was interrupted (max_statement_time exceeded)",
                true,
            ),
            (
                "ERROR 1142 (42000) at line 7: TRIGGER command denied to user 'd'@'h' for table `s_1`.`a`",
                true,
            ),
            (
                "ERROR 1142 (42000) at line 7: DROP command denied to user 'd'@'h' for table `s_2`.`a`",
                false,
            ),
            (
                "ERROR 1064 (42000) at line 7: You have an error in your SQL syntax",
                false,
            ),
            (
                "ERROR 1136 (21S01) at line 7: Column count doesn't match value count at row 1",
                false,
            ),
        ] {
            let is =
                error_code(said).is_some_and(|code| is_servers(code) || is_denied_within(code, said, "s_1"));
            assert_eq!(is, of_server, "{said}");
        }
    }
}
