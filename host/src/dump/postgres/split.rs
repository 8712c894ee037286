//! Takes `pg_dump`'s plain stream of data apart: rows of each table, and what stands between them.
//!
//! Outside of `COPY … FROM stdin;` the stream holds comments, settings, and statements that end with a `;` at the end
//! of a line outside of quotes. Names and texts in them may hold anything, line ends too, so quotes are followed. The
//! rows of a COPY end at a line `\.`; nothing in a row can look like it, since `\` is written `\\` there.
//!
//! Bytes are only looked at, never decoded: a dump is in the database's own encoding.

use memchr::{memchr, memchr2, memmem};

use crate::error::{Code, Error, Result};

/// The line that ends the rows, with the end of the line before it.
const END_OF_ROWS: &[u8] = b"\n\\.\n";
/// The comment at the end of a stream that is complete.
pub(super) const COMPLETE: &[u8] = b"-- PostgreSQL database dump complete";
/// Longest statement between the rows, in bytes. `pg_dump` writes large objects in pieces of some 32 KiB.
const STATEMENT_LIMIT: usize = 64 << 20;

/// Where the rows of a `COPY` go to: names as they are in the database, in its encoding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub(super) schema: Vec<u8>,
    pub(super) table: Vec<u8>,
}

/// What a statement outside of the rows is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A setting that counts for all that follows.
    Setting,
    /// A large object.
    Blob,
    /// A privilege.
    Grant,
    /// The value of a sequence, and whatever else a later version may write.
    Other,
}

/// Who takes the parts of the stream.
pub(super) trait Parts {
    /// A whole statement with the end of its last line.
    fn statement(&mut self, kind: Kind, sql: &[u8]) -> Result<()>;
    /// Rows begin. `comment` is the comment before them, in which `pg_dump` names the table that they come from; the
    /// `statement` is without the end of its last line.
    fn begin(&mut self, target: &Target, comment: &[u8], statement: &[u8]) -> Result<()>;
    /// A piece of the rows, not cut at their ends. The first one begins with the end of the statement's line.
    fn rows(&mut self, bytes: &[u8]) -> Result<()>;
    /// The rows have ended: how many there were.
    fn end(&mut self, rows: u64) -> Result<()>;
}

/// Where in the stream it is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Outside of rows.
    Text,
    /// In rows: how much of [`END_OF_ROWS`] has been seen, and held back.
    Rows(usize),
}

/// The machine. It may be fed in pieces of any size.
#[derive(Debug)]
pub(super) struct Splitter {
    state: State,
    /// The statement so far, or a line that has no end yet.
    text: Vec<u8>,
    /// Bytes of `text` that have been looked at for quotes.
    seen: usize,
    /// The quote that is open.
    quote: Option<u8>,
    /// The last comment that named something.
    comment: Vec<u8>,
    /// Line ends in the rows so far, the statement's own included.
    lines: u64,
    complete: bool,
}

impl Splitter {
    pub(super) fn new() -> Self {
        Self {
            state: State::Text,
            text: Vec::new(),
            seen: 0,
            quote: None,
            comment: Vec::new(),
            lines: 0,
            complete: false,
        }
    }

    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// `DumpFailed` for what is no stream of data, and the errors of `parts`.
    pub(super) fn push(&mut self, mut bytes: &[u8], parts: &mut dyn Parts) -> Result<()> {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Text => self.text(bytes, parts)?,
                State::Rows(held) => self.rows(held, bytes, parts)?,
            };
        }
        Ok(())
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// `DumpFailed` when it is not complete.
    pub(super) fn finish(&self) -> Result<()> {
        if self.complete && self.state == State::Text && self.text.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Code::DumpFailed,
            "what pg_dump wrote has no end: it is not complete",
        ))
    }

    /// Takes text up to the end of one line; gives what follows it.
    fn text<'b>(&mut self, bytes: &'b [u8], parts: &mut dyn Parts) -> Result<&'b [u8]> {
        let (line, rest, ended) = match memchr(b'\n', bytes) {
            Some(at) => {
                let (line, rest) = bytes.split_at(at + 1);
                (line, rest, true)
            }
            None => (bytes, &[][..], false),
        };
        if self.text.len() + line.len() > STATEMENT_LIMIT {
            return Err(Error::new(
                Code::DumpFailed,
                format!("pg_dump wrote a statement of more than {STATEMENT_LIMIT} bytes"),
            ));
        }
        self.text.extend_from_slice(line);
        if !ended {
            return Ok(rest);
        }
        let statement_goes_on = match self.text.first() {
            // A comment or a command of psql: one line.
            Some(b'-') if self.text.starts_with(b"--") => {
                self.take_comment();
                false
            }
            Some(b'\\') => {
                self.take_command()?;
                false
            }
            Some(b'\n') | None => false,
            Some(_) => {
                self.follow_quotes();
                self.quote.is_some() || !self.text.ends_with(b";\n")
            }
        };
        if !statement_goes_on {
            if !matches!(self.text.first(), Some(b'-' | b'\\' | b'\n') | None) {
                self.take_statement(parts)?;
            }
            self.text.clear();
            self.seen = 0;
        }
        Ok(rest)
    }

    fn take_comment(&mut self) {
        let line = self.text.strip_suffix(b"\n").unwrap_or(&self.text);
        if line == COMPLETE {
            self.complete = true;
        }
        if line.starts_with(b"-- Data for Name: ") {
            self.comment = line.to_vec();
        }
    }

    /// Newer versions guard their scripts with `\restrict` and `\unrestrict`. The statements that are kept are the
    /// known ones, so the guards have nothing to guard.
    fn take_command(&self) -> Result<()> {
        let known = [&b"\\restrict "[..], b"\\unrestrict "];
        if known.iter().any(|command| self.text.starts_with(command)) {
            return Ok(());
        }
        Err(unknown(&self.text))
    }

    fn follow_quotes(&mut self) {
        let mut rest = self.text.get(self.seen..).unwrap_or_default();
        loop {
            let next = match self.quote {
                None => memchr2(b'\'', b'"', rest),
                Some(quote) => memchr(quote, rest),
            };
            let Some(at) = next else { break };
            self.quote = match self.quote {
                None => rest.get(at).copied(),
                // A doubled quote opens it again at once.
                Some(_) => None,
            };
            rest = rest.get(at + 1..).unwrap_or_default();
        }
        self.seen = self.text.len();
    }

    fn take_statement(&mut self, parts: &mut dyn Parts) -> Result<()> {
        let sql = &self.text;
        if sql.starts_with(b"COPY ") {
            let statement = sql.strip_suffix(b"\n").unwrap_or(sql);
            let target = target(statement).ok_or_else(|| unknown(statement))?;
            parts.begin(&target, &self.comment, statement)?;
            self.lines = 0;
            // The end of this line is the first byte of the rows.
            self.state = State::Rows(1);
            return Ok(());
        }
        let starts = |words: &[&[u8]]| words.iter().any(|word| sql.starts_with(word));
        let kind = if starts(&[b"BEGIN;\n", b"COMMIT;\n"]) {
            // Around large objects. The whole restore is one transaction.
            return Ok(());
        } else if starts(&[
            b"GRANT ",
            b"REVOKE ",
            b"SET SESSION AUTHORIZATION ",
            b"RESET SESSION AUTHORIZATION",
        ]) {
            Kind::Grant
        } else if starts(&[b"SET ", b"SELECT pg_catalog.set_config("]) {
            Kind::Setting
        } else if starts(&[
            b"SELECT pg_catalog.lo_",
            b"SELECT pg_catalog.lowrite(",
            b"SELECT lo_",
            b"ALTER LARGE OBJECT ",
            b"COMMENT ON LARGE OBJECT ",
            b"SECURITY LABEL ",
        ]) {
            Kind::Blob
        } else {
            Kind::Other
        };
        parts.statement(kind, sql)
    }

    /// Takes rows; gives what follows their end.
    fn rows<'b>(&mut self, held: usize, bytes: &'b [u8], parts: &mut dyn Parts) -> Result<&'b [u8]> {
        let mut held = held;
        let mut rest = bytes;
        // What a former piece ended with may be the beginning of the end.
        while held > 0
            && let Some((first, tail)) = rest.split_first()
        {
            if END_OF_ROWS.get(held) == Some(first) {
                held += 1;
                rest = tail;
                if held == END_OF_ROWS.len() {
                    return self.end_of_rows(rest, parts);
                }
            } else {
                // No proper beginning of the end is also in its middle, so all that was held is rows.
                self.emit(END_OF_ROWS.get(..held).unwrap_or_default(), parts)?;
                held = 0;
                if *first == b'\n' {
                    held = 1;
                    rest = tail;
                }
            }
        }
        if held == 0 {
            if let Some(at) = memmem::find(rest, END_OF_ROWS) {
                let (rows, tail) = rest.split_at(at);
                self.emit(rows, parts)?;
                return self.end_of_rows(tail.get(END_OF_ROWS.len()..).unwrap_or_default(), parts);
            }
            held = (1..END_OF_ROWS.len())
                .rev()
                .find(|n| END_OF_ROWS.get(..*n).is_some_and(|start| rest.ends_with(start)))
                .unwrap_or(0);
            let (rows, _) = rest.split_at(rest.len() - held);
            self.emit(rows, parts)?;
        }
        self.state = State::Rows(held);
        Ok(&[])
    }

    fn emit(&mut self, rows: &[u8], parts: &mut dyn Parts) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let lines = memchr::memchr_iter(b'\n', rows).count();
        self.lines += u64::try_from(lines).unwrap_or(0);
        parts.rows(rows)
    }

    fn end_of_rows<'b>(&mut self, rest: &'b [u8], parts: &mut dyn Parts) -> Result<&'b [u8]> {
        self.state = State::Text;
        parts.rows(END_OF_ROWS)?;
        // Each line but the last has its end in what went before the end of the rows, and so has the statement.
        parts.end(self.lines)?;
        Ok(rest)
    }
}

/// The table of `COPY schema.table (columns) FROM stdin;`.
fn target(statement: &[u8]) -> Option<Target> {
    let rest = statement.strip_prefix(b"COPY ")?;
    let (schema, rest) = identifier(rest)?;
    let (table, rest) = identifier(rest.strip_prefix(b".")?)?;
    if !rest.starts_with(b" ") || !statement.ends_with(b" FROM stdin;") {
        return None;
    }
    Some(Target { schema, table })
}

/// An identifier as `pg_dump` writes it, without its quotes, and what follows it.
fn identifier(sql: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let Some(mut rest) = sql.strip_prefix(b"\"") else {
        let end = sql
            .iter()
            .position(|b| matches!(b, b'.' | b' ' | b'(' | b'\n'))
            .unwrap_or(sql.len());
        let (name, rest) = sql.split_at(end);
        return (!name.is_empty()).then(|| (name.to_vec(), rest));
    };
    let mut name = Vec::new();
    loop {
        let at = memchr(b'"', rest)?;
        let (part, tail) = rest.split_at(at);
        name.extend_from_slice(part);
        let tail = tail.get(1..)?;
        match tail.strip_prefix(b"\"") {
            Some(after) => {
                name.push(b'"');
                rest = after;
            }
            None => return Some((name, tail)),
        }
    }
}

fn unknown(text: &[u8]) -> Error {
    let shown: String = String::from_utf8_lossy(text).chars().take(80).collect();
    Error::new(
        Code::DumpFailed,
        format!(
            "pg_dump wrote something that this version of cofre does not know: `{}`",
            crate::text::escape(shown.trim_end())
        ),
    )
    .remedy("report it with the version of pg_dump; until then, dump with another version (`tools`)")
}

#[cfg(test)]
mod tests;
