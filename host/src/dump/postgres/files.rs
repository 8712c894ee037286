//! Writes the files of a dump that hold data: one for each table, `sequences.sql`, `blobs.sql`.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cofre_exporter::component::types::TableInfo;

use super::catalog::Table;
use super::split::{Kind, Parts, Target};
use crate::dump::{Request, file_name, tables};
use crate::error::{Code, Error, Result};
use crate::fsutil::show;

/// The files of a dump that are no table's.
pub(super) const PRE_DATA: &str = "pre-data.sql";
pub(super) const SEQUENCES: &str = "sequences.sql";
pub(super) const BLOBS: &str = "blobs.sql";
pub(super) const POST_DATA: &str = "post-data.sql";
pub(super) const GRANTS: &str = "grants.sql";
pub(super) const EVENT_TRIGGERS: &str = "event-triggers.sql";
pub(super) const RESTORE: &str = "restore.sql";

/// What `pg_dump` empties the search path with; in a script of its own each would print a line.
const NO_SEARCH_PATH: &[u8] = b"SELECT pg_catalog.set_config('search_path', '', false);\n";

/// One table of the dump.
struct Entry<'t> {
    table: &'t Table,
    label: String,
    file: String,
    wanted: bool,
    /// Rows, once its file has been written.
    rows: Option<u64>,
}

/// The files.
pub(super) struct Files<'r> {
    request: &'r Request<'r>,
    entries: Vec<Entry<'r>>,
    by_name: HashMap<Target, usize>,
    /// By the comment that `pg_dump` writes before the rows, for those that are loaded through their partitioned table.
    by_comment: HashMap<Vec<u8>, usize>,
    settings: Vec<u8>,
    /// The table whose rows are coming, and its file; none for rows that nobody wants.
    open: Option<(usize, Out)>,
    others: [Option<Out>; 2],
    /// Privileges of large objects, for [`GRANTS`].
    pub(super) grants: Vec<u8>,
}

/// A file that knows its name.
struct Out {
    name: String,
    file: BufWriter<File>,
}

impl<'r> Files<'r> {
    pub(super) fn new(request: &'r Request<'r>, tables: &'r [Table]) -> Self {
        let labels: Vec<String> = tables
            .iter()
            .map(|table| tables::label(table.schema_unless_public(), &table.name))
            .collect();
        let mut files = Self {
            request,
            entries: Vec::with_capacity(tables.len()),
            by_name: HashMap::new(),
            by_comment: HashMap::new(),
            settings: Vec::new(),
            open: None,
            others: [None, None],
            grants: Vec::new(),
        };
        for ((table, file), label) in tables.iter().zip(file_name::file_names(&labels)).zip(labels) {
            let target = Target {
                schema: table.raw_schema(),
                table: table.raw_name(),
            };
            files.by_comment.insert(comment_of(&target), files.entries.len());
            files.by_name.insert(target, files.entries.len());
            files.entries.push(Entry {
                table,
                label,
                file,
                wanted: table.is_wanted(request),
                rows: None,
            });
        }
        files
    }

    /// The stream has ended: closes the files and checks that every table has its own.
    ///
    /// # Errors
    /// `DumpFailed` for a table whose rows did not come; what the system says.
    pub(super) fn finish(mut self) -> Result<(Vec<TableInfo>, Vec<u8>)> {
        for out in std::mem::take(&mut self.others).into_iter().flatten() {
            self.close(out)?;
        }
        let mut infos = Vec::with_capacity(self.entries.len());
        let mut empty = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.table.has_rows()) {
            match entry.rows {
                Some(rows) => {
                    if rows == 0 {
                        empty.push(show(&entry.label));
                    }
                    infos.push(TableInfo {
                        name: entry.label.clone(),
                        file: Some(self.request.manifest_path(&entry.file)),
                        rows,
                    });
                }
                None if !entry.wanted => infos.push(TableInfo {
                    name: entry.label.clone(),
                    file: None,
                    rows: 0,
                }),
                // Its extension says that it has no rows to dump.
                None if entry.table.extension => {}
                None => {
                    return Err(Error::new(
                        Code::DumpFailed,
                        format!(
                            "database {}: pg_dump left out the rows of table {}",
                            show(self.request.name),
                            show(&entry.label)
                        ),
                    ));
                }
            }
        }
        let name = show(self.request.name);
        tracing::info!("database {name}: {} tables", infos.len());
        if !empty.is_empty() {
            tracing::info!("database {name}: no rows in {}", empty.join(", "));
        }
        Ok((infos, self.grants))
    }

    /// The names of the dumped tables' files, in their order.
    pub(super) fn names(infos: &[TableInfo]) -> impl Iterator<Item = &str> {
        infos
            .iter()
            .filter_map(|info| info.file.as_deref())
            .map(|path| path.rsplit_once('/').map_or(path, |(_, file)| file))
    }

    fn create(&self, name: &str) -> Result<Out> {
        let mut out = Out {
            name: name.to_owned(),
            file: BufWriter::with_capacity(64 * 1024, create(self.request.out, name)?),
        };
        out.write(&self.settings)?;
        out.write(b"\n")?;
        Ok(out)
    }

    fn close(&self, mut out: Out) -> Result<()> {
        out.file.flush().map_err(|e| out.error(&e))
    }

    /// The table that a `COPY` is about.
    fn find(&self, target: &Target, comment: &[u8]) -> Result<usize> {
        let index = self.by_name.get(target).copied();
        match index.and_then(|i| self.entries.get(i).map(|entry| (i, entry))) {
            Some((i, entry)) if entry.table.has_rows() => Ok(i),
            // Rows of a partition that are to find their place by themselves.
            Some(_) => {
                let end = memchr::memmem::rfind(comment, b"; Owner: ").unwrap_or(comment.len());
                let comment = comment.get(..end).unwrap_or_default();
                self.by_comment
                    .get(comment)
                    .copied()
                    .ok_or_else(|| self.not_in_catalog(target))
            }
            None => Err(self.not_in_catalog(target)),
        }
    }

    fn not_in_catalog(&self, target: &Target) -> Error {
        Error::new(
            Code::DumpFailed,
            format!(
                "database {}: pg_dump dumped a table that the catalog does not have: {}.{}",
                show(self.request.name),
                crate::fsutil::show_bytes(&target.schema),
                crate::fsutil::show_bytes(&target.table)
            ),
        )
    }
}

impl Parts for Files<'_> {
    fn statement(&mut self, kind: Kind, sql: &[u8]) -> Result<()> {
        let (slot, name) = match kind {
            Kind::Setting => {
                let sql = if sql == NO_SEARCH_PATH {
                    b"SET search_path = '';\n"
                } else {
                    sql
                };
                self.settings.extend_from_slice(sql);
                return Ok(());
            }
            Kind::Grant => {
                self.grants.extend_from_slice(sql);
                return Ok(());
            }
            Kind::Blob => (0, BLOBS),
            Kind::Other => (1, SEQUENCES),
        };
        let made = match self.others.get_mut(slot).and_then(Option::take) {
            Some(out) => out,
            None => self.create(name)?,
        };
        let out = self.others.get_mut(slot).map(|place| place.insert(made));
        out.map_or(Ok(()), |out| out.write(sql))
    }

    fn begin(&mut self, target: &Target, comment: &[u8], statement: &[u8]) -> Result<()> {
        self.request.check_cancelled()?;
        let index = self.find(target, comment)?;
        let Some(entry) = self.entries.get(index).filter(|entry| entry.wanted) else {
            return Ok(());
        };
        if entry.rows.is_some() {
            return Err(Error::new(
                Code::DumpFailed,
                format!(
                    "database {}: pg_dump dumped table {} twice",
                    show(self.request.name),
                    show(&entry.label)
                ),
            ));
        }
        let mut out = self.create(&entry.file)?;
        out.write(statement)?;
        self.open = Some((index, out));
        Ok(())
    }

    fn rows(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.open {
            Some((_, out)) => out.write(bytes),
            None => Ok(()),
        }
    }

    fn end(&mut self, rows: u64) -> Result<()> {
        let Some((index, out)) = self.open.take() else {
            return Ok(());
        };
        self.close(out)?;
        if let Some(entry) = self.entries.get_mut(index) {
            entry.rows = Some(rows);
        }
        Ok(())
    }
}

impl Out {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.file.write_all(bytes);
        written.map_err(|e| self.error(&e))
    }

    fn error(&self, error: &std::io::Error) -> Error {
        write_error(&self.name, error)
    }
}

/// What to say when a file of a dump can't be written.
pub(super) fn write_error(name: &str, error: &std::io::Error) -> Error {
    let error = Error::io(format_args!("write {} of the dump", show(name)), error);
    match error.code {
        Code::NoSpace => {
            error.remedy("dumps are staged in state_dir: make room there, or set another state_dir")
        }
        _ => error,
    }
}

/// A new file of a dump, for the owner alone.
pub(super) fn create(folder: &Path, name: &str) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(name))
        .map_err(|e| write_error(name, &e))
}

/// How `pg_dump` announces the rows of a table, up to its owner. Line ends become spaces there.
fn comment_of(target: &Target) -> Vec<u8> {
    let mut comment = b"-- Data for Name: ".to_vec();
    comment.extend_from_slice(&target.table);
    comment.extend_from_slice(b"; Type: TABLE DATA; Schema: ");
    comment.extend_from_slice(&target.schema);
    for byte in &mut comment {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    comment
}
