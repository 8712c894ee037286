//! What is in a SQLite database: its tables and how each is dumped, and everything else in its order.

use std::collections::HashSet;

use rusqlite::{Connection, Result};

use super::ddl::quote;
use super::literal::Encoding;

/// A table with rows of its own.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) sql: String,
    /// Columns that an INSERT may name: all but generated ones.
    pub(super) columns: Vec<String>,
    /// The name under which the rowid can be read and given, where it is not a column anyway.
    pub(super) rowid: Option<&'static str>,
}

/// A virtual table, whose content lies in shadow tables.
#[derive(Debug)]
pub(super) struct Virtual {
    pub(super) name: String,
    pub(super) sql: String,
    pub(super) shadows: Vec<Table>,
    /// Whether this SQLite can open it; not so with a module or tokenizer of the application's own.
    pub(super) usable: bool,
}

/// An index, view or trigger.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) sql: String,
}

#[derive(Debug)]
pub(super) struct Schema {
    pub(super) tables: Vec<Table>,
    pub(super) virtuals: Vec<Virtual>,
    /// Indexes, then views, then triggers, each in the order of their making.
    pub(super) objects: Vec<Object>,
    /// `sqlite_sequence` and `sqlite_stat1`, where they exist.
    pub(super) sequence: Option<Table>,
    pub(super) stat1: Option<Table>,
    pub(super) encoding: Encoding,
    /// Pragmas to set before anything is created, and their values.
    pub(super) before: Vec<(&'static str, String)>,
    /// The same for the end of the transaction.
    pub(super) within: Vec<(&'static str, String)>,
    pub(super) wal: bool,
}

impl Schema {
    /// Reads the schema. `wal` says whether the original was in WAL mode.
    pub(super) fn read(db: &Connection, wal: bool) -> Result<Self> {
        let pragma = |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
        let encoding: String = db.query_row("PRAGMA encoding", [], |row| row.get(0))?;
        let encoding = Encoding::parse(&encoding);
        let mut schema = Self {
            tables: Vec::new(),
            virtuals: Vec::new(),
            objects: Vec::new(),
            sequence: None,
            stat1: None,
            encoding,
            before: Vec::new(),
            within: Vec::new(),
            wal,
        };
        if encoding != Encoding::Utf8 {
            schema.before.push(("encoding", format!("'{}'", encoding.name())));
        }
        let page_size = pragma("page_size")?;
        if page_size != 4096 {
            schema.before.push(("page_size", page_size.to_string()));
        }
        for (name, within) in [
            ("auto_vacuum", false),
            ("application_id", true),
            ("user_version", true),
        ] {
            let value = pragma(name)?;
            if value != 0 {
                let list = if within {
                    &mut schema.within
                } else {
                    &mut schema.before
                };
                list.push((name, value.to_string()));
            }
        }
        schema.read_objects(db)?;
        Ok(schema)
    }

    fn read_objects(&mut self, db: &Connection) -> Result<()> {
        let shadow_names = table_names(db, "shadow")?;
        let without_rowid = names(
            db,
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND wr = 1",
        )?;
        let mut shadows = Vec::new();
        let mut statement =
            db.prepare("SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if kind != "table" {
                self.objects.push(Object { kind, name, sql });
            } else if is_virtual(&sql) {
                let usable = db
                    .prepare(&format!("SELECT 1 FROM {} LIMIT 0", quote(&name)))
                    .is_ok();
                self.virtuals.push(Virtual {
                    name,
                    sql,
                    shadows: Vec::new(),
                    usable,
                });
            } else {
                let table = read_table(db, &name, sql, without_rowid.contains(&name))?;
                match name.as_str() {
                    "sqlite_sequence" => self.sequence = Some(table),
                    "sqlite_stat1" => self.stat1 = Some(table),
                    // Other statistics are of the engine's making, and their form is its version's.
                    _ if name.starts_with("sqlite_") => {}
                    _ if shadow_names.contains(&name) => shadows.push(table),
                    _ => self.tables.push(table),
                }
            }
        }
        for shadow in shadows {
            self.give_to_owner(shadow);
        }
        let place = |object: &Object| {
            ["index", "view", "trigger"]
                .iter()
                .position(|kind| *kind == object.kind)
        };
        self.objects.sort_by_key(place);
        Ok(())
    }

    /// A shadow table goes with the virtual table whose name it begins with, the longest if several fit.
    fn give_to_owner(&mut self, shadow: Table) {
        let name = shadow.name.to_ascii_lowercase();
        let owner = self
            .virtuals
            .iter_mut()
            .filter(|owner| {
                name.strip_prefix(&owner.name.to_ascii_lowercase())
                    .is_some_and(|r| r.starts_with('_'))
            })
            .max_by_key(|owner| owner.name.len());
        match owner {
            Some(owner) => owner.shadows.push(shadow),
            None => self.tables.push(shadow),
        }
    }

    /// Whether any table makes SQLite keep `sqlite_sequence`.
    pub(super) fn has_autoincrement(&self) -> bool {
        self.tables
            .iter()
            .any(|table| table.sql.to_ascii_uppercase().contains("AUTOINCREMENT"))
    }
}

fn is_virtual(sql: &str) -> bool {
    sql.get(.."CREATE VIRTUAL TABLE".len())
        .is_some_and(|start| start.eq_ignore_ascii_case("CREATE VIRTUAL TABLE"))
}

fn names(db: &Connection, sql: &str) -> Result<HashSet<String>> {
    let mut statement = db.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

fn table_names(db: &Connection, kind: &str) -> Result<HashSet<String>> {
    names(
        db,
        &format!("SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = '{kind}'"),
    )
}

fn read_table(db: &Connection, name: &str, sql: String, without_rowid: bool) -> Result<Table> {
    let mut columns = Vec::new();
    let mut all = HashSet::new();
    let mut primary = 0;
    let mut statement =
        db.prepare("SELECT name, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid")?;
    let mut rows = statement.query([name])?;
    while let Some(row) = rows.next()? {
        let (column, pk, hidden): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        all.insert(column.to_ascii_lowercase());
        if pk > 0 {
            primary += 1;
        }
        // 2 and 3 are generated columns.
        if hidden == 0 {
            columns.push(column);
        }
    }
    let has_key_index: bool = db.query_row(
        "SELECT count(*) > 0 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'",
        [name],
        |row| row.get(0),
    )?;
    // INTEGER PRIMARY KEY is the rowid itself, and has no index.
    let rowid_is_column = primary == 1 && !has_key_index;
    let rowid = if without_rowid || rowid_is_column {
        None
    } else {
        ["rowid", "_rowid_", "oid"]
            .into_iter()
            .find(|alias| !all.contains(*alias))
    };
    Ok(Table {
        name: name.to_owned(),
        sql,
        columns,
        rowid,
    })
}
