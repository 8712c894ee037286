//! What the server says about the database: its tables and engines, and whether the user sees all of it.
//!
//! MySQL shows a user only the tables and triggers on which it has some right. A dump of what is visible could lack
//! half of the database without a word, so the rights are looked at first.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::dump::tables::TableFilter;
use crate::error::{Code, Error, Result};
use crate::text::escape;

/// Engines that only link to data elsewhere, of which the dump program writes no rows.
const OUTSIDE: [&str; 7] = [
    "MRG_MyISAM",
    "MRG_ISAM",
    "CONNECT",
    "OQGRAPH",
    "SPIDER",
    "VP",
    "FEDERATED",
];

/// The questions. Names come in hexadecimal, since they may have any character in them.
pub(super) const QUERY: &str = "\
SELECT 'version', HEX(VERSION());
SHOW SESSION STATUS LIKE 'Ssl_cipher';
SELECT 'database', HEX(SCHEMA_NAME), HEX(DEFAULT_CHARACTER_SET_NAME), HEX(DEFAULT_COLLATION_NAME) \
    FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE();
SELECT 'engine', HEX(ENGINE) FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES';
SELECT 'table', HEX(TABLE_NAME), HEX(TABLE_TYPE), HEX(IFNULL(ENGINE, '')), IFNULL(DATA_LENGTH, 0) \
    FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME;
SELECT 'shape', HEX(TABLE_NAME), SUM(CRC32(CONCAT_WS('|', COLUMN_NAME, ORDINAL_POSITION, COLUMN_TYPE, IS_NULLABLE, \
    IFNULL(COLUMN_DEFAULT, ''), EXTRA))) FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = DATABASE() GROUP BY TABLE_NAME;
SELECT DISTINCT 'float', HEX(TABLE_NAME) FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = DATABASE() AND DATA_TYPE = 'float' ORDER BY TABLE_NAME;
SELECT DISTINCT 'precise', HEX(TABLE_NAME) FROM information_schema.COLUMNS \
    WHERE TABLE_SCHEMA = DATABASE() AND DATA_TYPE = 'bigint' AND GENERATION_EXPRESSION = 'ROW START';
SELECT 'reference', HEX(CONSTRAINT_NAME), HEX(TABLE_NAME), HEX(REFERENCED_TABLE_NAME) \
    FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE() \
    AND UNIQUE_CONSTRAINT_SCHEMA = DATABASE() ORDER BY TABLE_NAME, CONSTRAINT_NAME;
SELECT 'endless', HEX(EVENT_NAME) FROM information_schema.EVENTS \
    WHERE EVENT_SCHEMA = DATABASE() AND CONCAT(EVENT_DEFINITION, EVENT_COMMENT) LIKE '%;;%';";

/// A table that is not a view and not a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: String,
    engine: String,
    /// It keeps the rows of the past.
    versioned: bool,
    bytes: u64,
}

/// The database as it was before the dump.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    /// The server's version, such as `10.11.19-MariaDB-0+deb12u1` or `8.0.36`.
    pub(super) version: String,
    pub(super) database: String,
    pub(super) charset: String,
    pub(super) collation: String,
    pub(super) tables: Vec<Table>,
    transactional: BTreeSet<String>,
    /// The connection is one by TLS.
    pub(super) is_encrypted: bool,
    /// A number that changes with the columns of a table or view.
    shapes: BTreeMap<String, String>,
    /// Tables with columns of the type FLOAT.
    floats: Vec<String>,
    /// Versioned tables whose history goes by transactions instead of times.
    precise: Vec<String>,
    /// Events with `;;` in them, for which the dump program would look for another delimiter for ever.
    pub(super) endless: Vec<String>,
    /// Foreign keys within the database: the name, its table, and the one to which it refers.
    references: Vec<[String; 3]>,
}

impl Catalog {
    /// Reads the answers to [`QUERY`].
    ///
    /// # Errors
    /// `DumpFailed` for other lines.
    pub(super) fn parse(answers: &str) -> Result<Self> {
        let mut catalog = Self::default();
        for line in answers.lines() {
            catalog.line(line).ok_or_else(|| {
                let line: String = line.chars().take(200).collect();
                Error::new(
                    Code::DumpFailed,
                    format!(
                        "the server's catalog has a line that cofre doesn't know: {}",
                        escape(&line)
                    ),
                )
            })?;
        }
        Ok(catalog)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let mut columns = line.split('\t');
        let kind = columns.next()?;
        let mut text = || crate::text::unhex_text(columns.next()?);
        match kind {
            "Ssl_cipher" => self.is_encrypted = columns.next().is_some_and(|cipher| !cipher.is_empty()),
            "version" => self.version = text()?,
            "database" => {
                self.database = text()?;
                self.charset = text()?;
                self.collation = text()?;
            }
            "engine" => {
                self.transactional.insert(text()?);
            }
            "table" => {
                let (name, kind, engine) = (text()?, text()?, text()?);
                if kind != "VIEW" && kind != "SEQUENCE" {
                    self.tables.push(Table {
                        name,
                        engine,
                        versioned: kind == "SYSTEM VERSIONED",
                        bytes: columns.next()?.parse().ok()?,
                    });
                }
            }
            "shape" => {
                let name = text()?;
                self.shapes.insert(name, columns.next()?.to_owned());
            }
            "float" => self.floats.push(text()?),
            "precise" => self.precise.push(text()?),
            "endless" => self.endless.push(text()?),
            "reference" => self.references.push([text()?, text()?, text()?]),
            _ => return None,
        }
        Some(())
    }

    /// Made by MariaDB, not by Oracle.
    pub(super) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }

    /// The two numbers of the server's version that say what it can do.
    pub(super) fn server_version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.version.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    }

    /// The tables that have other columns after the dump than here, and those that went or came: a table that was
    /// filled under another name and then renamed has only a part of its rows in the dump.
    pub(super) fn changed<'a>(&'a self, after: &'a Self) -> Vec<&'a str> {
        let is_in = |catalog: &Self, name: &str| catalog.tables.iter().any(|t| t.name == name);
        let differs =
            |t: &&Table| !is_in(after, &t.name) || self.shapes.get(&t.name) != after.shapes.get(&t.name);
        let came = after.tables.iter().filter(|t| !is_in(self, &t.name));
        let changed = self.tables.iter().filter(differs).chain(came);
        changed.map(|t| t.name.as_str()).collect()
    }

    /// Foreign keys of tables whose rows are wanted, to tables whose rows are not.
    pub(super) fn broken_references(&self, wanted: &TableFilter) -> Vec<String> {
        let has_rows = |table: &str| wanted.has_rows_of(None, table);
        let broken = |[_, from, to]: &&[String; 3]| has_rows(from) && !has_rows(to);
        let text = |[name, from, to]: &[String; 3]| format!("{name} ({from} refers to {to})");
        self.references.iter().filter(broken).map(text).collect()
    }

    /// Bytes of the rows that are wanted, as the server estimates them.
    pub(super) fn bytes(&self, wanted: &TableFilter) -> u64 {
        let wanted = self.tables.iter().filter(|t| wanted.has_rows_of(None, &t.name));
        wanted.map(|t| t.bytes).sum()
    }

    /// Whether there are rows of the past, and all of them by times, which the dump program can write.
    pub(super) fn has_history(&self) -> bool {
        self.precise.is_empty() && self.tables.iter().any(|t| t.versioned)
    }

    /// What the one who reads the log should know, one line each. `history` says that the past is dumped as well.
    pub(super) fn remarks(&self, history: bool) -> Vec<String> {
        let of = |wanted: &dyn Fn(&Table) -> bool| -> Vec<&str> {
            self.tables
                .iter()
                .filter(|t| wanted(t))
                .map(|t| t.name.as_str())
                .collect()
        };
        let outside = |t: &Table| OUTSIDE.contains(&t.engine.as_str());
        let loose = |t: &Table| !outside(t) && !self.transactional.contains(&t.engine);
        let floats: Vec<&str> = self.floats.iter().map(String::as_str).collect();
        [
            (
                of(&loose),
                "without transactions: dumped as they are when they are read, not as of one moment",
            ),
            (
                of(&outside),
                "that only link to data elsewhere: dumped without rows",
            ),
            (
                of(&|t| t.versioned && !history),
                "with system versioning: dumped without the rows of the past",
            ),
            (
                floats,
                "with FLOAT columns: their values are dumped with 6 digits; DOUBLE and DECIMAL are exact",
            ),
        ]
        .into_iter()
        .filter(|(tables, _)| !tables.is_empty())
        .map(|(tables, what)| format!("tables {what}: {}", list(&tables)))
        .collect()
    }
}

/// Some names for a message.
pub(super) fn list(names: &[&str]) -> String {
    const NAMED: usize = 10;
    let named: Vec<_> = names.iter().take(NAMED).map(|name| escape(name)).collect();
    match names.len().checked_sub(NAMED) {
        None | Some(0) => named.join(", "),
        Some(more) => format!("{} and {more} more", named.join(", ")),
    }
}

/// What the user's rights, the lines of `SHOW GRANTS`, let it see of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sight {
    pub(super) triggers: bool,
    pub(super) routines: bool,
    /// The user also has rights through a role, which MySQL doesn't list here.
    pub(super) unsure: bool,
}

impl Sight {
    /// Reads the lines of `SHOW GRANTS`.
    pub(super) fn parse(grants: &str, database: &str) -> Self {
        let mut sight = Self {
            triggers: false,
            routines: false,
            unsure: false,
        };
        let mut databases: BTreeMap<&str, (usize, bool, bool)> = BTreeMap::new();
        for line in grants.lines() {
            let Some((rights, rest)) = line
                .strip_prefix("GRANT ")
                .and_then(|line| line.split_once(" ON "))
            else {
                sight.unsure |= line.starts_with("GRANT ");
                continue;
            };
            let (scope, to) = rest.split_once(" TO ").unwrap_or((rest, ""));
            let global = scope == "*.*";
            let rights: Vec<&str> = rights.split(',').map(str::trim).collect();
            let has = |wanted: &[&str]| rights.iter().any(|right| wanted.contains(right));
            let triggers = has(&["TRIGGER", "ALL PRIVILEGES"]);
            let routines = has(&[
                "ALL PRIVILEGES",
                "EXECUTE",
                "ALTER ROUTINE",
                "CREATE ROUTINE",
                "SHOW CREATE ROUTINE",
                "SHOW_ROUTINE",
            ]);
            if global {
                sight.triggers |= triggers;
                sight.routines |= routines;
            } else if let Some(rank) = rank(scope, database) {
                // The user's own rights, and those of each of its roles.
                let to = to.split(' ').next().unwrap_or_default();
                let best = databases.entry(to).or_insert((rank, triggers, routines));
                match rank.cmp(&best.0) {
                    Ordering::Greater => *best = (rank, triggers, routines),
                    Ordering::Equal => *best = (rank, best.1 && triggers, best.2 && routines),
                    Ordering::Less => {}
                }
            }
            // MariaDB keeps routines in a table; MySQL 8 takes a right on all tables for one on it.
            let catalog = global || scope.starts_with("`mysql`.*") || scope.starts_with("`mysql`.`proc`");
            sight.routines |= catalog && has(&["SELECT", "ALL PRIVILEGES"]);
        }
        for (_, triggers, routines) in databases.into_values() {
            sight.triggers |= triggers;
            sight.routines |= routines;
        }
        sight
    }
}

/// How specific the scope of a grant, `` `name`.* `` with `_` and `%` as wildcards, is, if it covers the whole of a
/// database: by how far in the name the first wildcard is, as the server sorts them. Of those that cover the database,
/// the server takes only the most specific one.
fn rank(scope: &str, database: &str) -> Option<usize> {
    let pattern = scope.strip_suffix(".*")?.strip_prefix('`')?.strip_suffix('`')?;
    let pattern: Vec<char> = pattern.replace("``", "`").chars().collect();
    let name: Vec<char> = database.chars().collect();
    if !like(&pattern, &name) {
        return None;
    }
    let mut escaped = false;
    let is_wildcard = |c: &char| {
        let wildcard = !escaped && matches!(c, '%' | '_');
        escaped = !escaped && *c == '\\';
        wildcard
    };
    Some(pattern.iter().position(is_wildcard).unwrap_or(usize::MAX))
}

fn like(pattern: &[char], name: &[char]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ['%', rest @ ..] => (0..=name.len()).any(|i| like(rest, &name[i..])),
        ['_', rest @ ..] => !name.is_empty() && like(rest, &name[1..]),
        ['\\', c, rest @ ..] | [c, rest @ ..] => name.first() == Some(c) && like(rest, &name[1..]),
    }
}

#[cfg(test)]
mod tests;
