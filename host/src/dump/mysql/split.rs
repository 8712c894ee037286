//! Cuts the output of `mariadb-dump` into statements while it streams: those of the schema as a whole, the rows in
//! the pieces in which they come, counted.
//!
//! The tool writes the rows of a table as INSERT statements of about a megabyte. A value is a number, NULL, digits
//! in hexadecimal, or a text in quotes in which a backslash escapes. Everything else is cut as the client program
//! would cut it: at the delimiter, outside of quotes and comments.

use super::statement;
use crate::error::{Code, Error, Result};

/// Longest statement of the schema, in bytes. A routine's body is the longest thing there.
const STATEMENT_LIMIT: usize = 64 * 1024 * 1024;

/// Longest head of an INSERT, in bytes: a name has at most 64 characters of at most four bytes each.
const HEAD_LIMIT: usize = 1024;

/// Bytes that have to be seen to know what begins here: `/*M!`.
const LOOK_AHEAD: usize = 4;

/// The tool's first line since MariaDB 10.5.25 and its contemporaries. It forbids the client what `source` needs,
/// and clients of other makers don't know it.
const SANDBOX: &[u8] = b"/*M!999999\\-";

/// Takes what was cut.
pub(super) trait Sink {
    /// A statement without its delimiter, and the delimiter.
    ///
    /// # Errors
    /// Whatever ends the dump.
    fn statement(&mut self, text: &[u8], delimiter: &[u8]) -> Result<()>;

    /// An INSERT begins; `table` is the name without its quotes.
    ///
    /// # Errors
    /// Whatever ends the dump.
    fn begin_rows(&mut self, table: &[u8]) -> Result<()>;

    /// The next bytes of the INSERT, the first and the last of it included.
    ///
    /// # Errors
    /// Whatever ends the dump.
    fn rows(&mut self, bytes: &[u8]) -> Result<()>;

    /// It has ended, and had so many rows.
    ///
    /// # Errors
    /// Whatever ends the dump.
    fn end_rows(&mut self, rows: u64) -> Result<()>;
}

/// The cutter. It takes pieces of any length and keeps no more than one statement of the schema.
#[derive(Debug)]
pub(super) struct Splitter {
    buffer: Vec<u8>,
    /// Where the statement begins.
    start: usize,
    /// How far it is scanned, and in which state.
    position: usize,
    state: State,
    delimiter: Vec<u8>,
    /// A backslash escapes: not under the SQL mode NO_BACKSLASH_ESCAPES, in which a routine may have been made.
    backslash: bool,
    rows: Option<Rows>,
}

/// Where in the text the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// In quotes of this kind.
    Quoted(u8),
    /// Behind a backslash in them.
    Escaped(u8),
    /// In a comment to the end of the line.
    Line,
    /// In a comment between `/*` and `*/`.
    Block,
}

/// An INSERT on its way through.
#[derive(Debug, Default)]
struct Rows {
    depth: u32,
    /// The word VALUES has been seen: what stands in parentheses before it are columns.
    values: bool,
    count: u64,
}

/// What a statement begins with.
enum Head {
    /// Too little to say.
    More,
    /// `INSERT INTO` and this table's name.
    Insert(Vec<u8>),
    /// The client's command for another delimiter, of so many bytes.
    Delimiter(Vec<u8>, usize),
    Other,
}

impl Default for Splitter {
    fn default() -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            position: 0,
            state: State::Text,
            delimiter: b";".to_vec(),
            backslash: true,
            rows: None,
        }
    }
}

impl Splitter {
    /// Takes the next piece.
    ///
    /// # Errors
    /// `DumpFailed` for what the tool doesn't write; those of the sink.
    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        let taken = self.pass_rows(bytes, sink)?;
        self.buffer.extend_from_slice(&bytes[taken..]);
        self.cut(false, sink)
    }

    /// The end of the output.
    ///
    /// # Errors
    /// `DumpFailed` in the middle of a statement.
    pub(super) fn finish(&mut self, sink: &mut impl Sink) -> Result<()> {
        self.cut(true, sink)?;
        if self.rows.is_some() || !self.buffer.is_empty() {
            return Err(broken("ended within a statement"));
        }
        Ok(())
    }

    fn cut(&mut self, end: bool, sink: &mut impl Sink) -> Result<()> {
        while self.rows.is_none() && self.step(end, sink)? {}
        self.buffer.drain(..self.start);
        self.position -= self.start;
        self.start = 0;
        Ok(())
    }

    /// Deals with what the buffer begins with; false when it holds too little.
    fn step(&mut self, end: bool, sink: &mut impl Sink) -> Result<bool> {
        if self.position == self.start {
            let skipped = skip_blank(&self.buffer[self.start..], end);
            self.begin(self.start + skipped);
            match head(&self.buffer[self.start..], end)? {
                Head::More => return Ok(false),
                Head::Other => {}
                Head::Delimiter(delimiter, length) => {
                    self.delimiter = delimiter;
                    self.begin(self.start + length);
                    return Ok(true);
                }
                Head::Insert(table) => {
                    sink.begin_rows(&table)?;
                    self.rows = Some(Rows::default());
                    let buffer = std::mem::take(&mut self.buffer);
                    let taken = self.pass_rows(&buffer[self.start..], sink)?;
                    self.buffer = buffer;
                    // The state is that of the rows until they end.
                    self.start += taken;
                    self.position = self.start;
                    return Ok(true);
                }
            }
        }
        let Some(at) = self.scan(end) else {
            if self.buffer.len() - self.start > STATEMENT_LIMIT {
                return Err(broken("wrote a statement of more than 64 MiB that is no INSERT"));
            }
            return Ok(false);
        };
        let text = self.buffer[self.start..at].trim_ascii_end();
        if let Some(escapes) = statement::backslash_escapes(text) {
            self.backslash = escapes;
        }
        sink.statement(text, &self.delimiter)?;
        self.begin(at + self.delimiter.len());
        Ok(true)
    }

    fn begin(&mut self, start: usize) {
        self.start = start;
        self.position = start;
        self.state = State::Text;
    }

    /// Looks for the delimiter that ends the statement.
    fn scan(&mut self, end: bool) -> Option<usize> {
        while let Some(rest) = self.buffer.get(self.position..)
            && let Some(&c) = rest.first()
        {
            let mut step = 1;
            match self.state {
                State::Text => {
                    if !end && rest.len() < LOOK_AHEAD.max(self.delimiter.len()) {
                        return None;
                    }
                    if rest.starts_with(&self.delimiter) {
                        return Some(self.position);
                    }
                    self.state = match c {
                        b'\'' | b'"' | b'`' => State::Quoted(c),
                        b'#' => State::Line,
                        b'-' if is_line_comment(rest) => State::Line,
                        b'/' if is_block_comment(rest) => {
                            step = 2;
                            State::Block
                        }
                        _ => State::Text,
                    };
                }
                State::Quoted(_) | State::Escaped(_) => self.state = quoted(self.state, c, self.backslash),
                State::Line if c == b'\n' => self.state = State::Text,
                State::Block if c == b'*' => {
                    if rest.len() < 2 && !end {
                        return None;
                    }
                    if rest.starts_with(b"*/") {
                        step = 2;
                        self.state = State::Text;
                    }
                }
                State::Line | State::Block => {}
            }
            self.position += step;
        }
        None
    }

    /// Passes on what belongs to the INSERT, if there is one; how many bytes that is.
    fn pass_rows(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<usize> {
        let Some(rows) = &mut self.rows else { return Ok(0) };
        let mut state = self.state;
        for (i, &c) in bytes.iter().enumerate() {
            match state {
                State::Text => match c {
                    b'\'' | b'"' | b'`' => state = State::Quoted(c),
                    b'(' => {
                        rows.count += u64::from(rows.values && rows.depth == 0);
                        rows.depth += 1;
                    }
                    b')' => rows.depth = rows.depth.saturating_sub(1),
                    // No other word outside of quotes and parentheses has this letter.
                    b'V' if rows.depth == 0 => rows.values = true,
                    b';' if rows.depth == 0 => {
                        let count = rows.count;
                        self.state = State::Text;
                        self.rows = None;
                        sink.rows(&bytes[..=i])?;
                        sink.end_rows(count)?;
                        return Ok(i + 1);
                    }
                    _ => {}
                },
                // The tool itself works under an SQL mode in which it escapes.
                _ => state = quoted(state, c, true),
            }
        }
        self.state = state;
        sink.rows(bytes)?;
        Ok(bytes.len())
    }
}

/// The state after one more byte in quotes. Two quotes for one end the text and begin the next, which comes to the
/// same.
fn quoted(state: State, c: u8, backslash: bool) -> State {
    match state {
        State::Quoted(quote) if c == quote => State::Text,
        State::Quoted(quote) if c == b'\\' && quote != b'`' && backslash => State::Escaped(quote),
        State::Escaped(quote) => State::Quoted(quote),
        other => other,
    }
}

fn is_line_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"--")
        && rest
            .get(2)
            .is_none_or(|c| c.is_ascii_whitespace() || c.is_ascii_control())
}

/// A comment that no server executes: `/*!` and `/*M!` are read as what they hold.
fn is_block_comment(rest: &[u8]) -> bool {
    rest.starts_with(b"/*") && !rest.starts_with(b"/*!") && !rest.starts_with(b"/*M!")
}

/// How many bytes at the beginning are white space, comments of a line, or the sandbox's mark.
fn skip_blank(bytes: &[u8], end: bool) -> usize {
    let mut at = 0;
    loop {
        let rest = &bytes[at..];
        let trimmed = rest.trim_ascii_start();
        at += rest.len() - trimmed.len();
        let stop: &[u8] = if is_line_comment(trimmed) && (end || trimmed.len() > 2) {
            b"\n"
        } else if trimmed.starts_with(SANDBOX) {
            b"*/"
        } else {
            return at;
        };
        match find(trimmed, stop) {
            Some(found) => at += found + stop.len(),
            None if end && stop == b"\n" => return bytes.len(),
            None => return at,
        }
    }
}

/// What a statement begins with, once nothing blank is before it.
fn head(bytes: &[u8], end: bool) -> Result<Head> {
    let may_grow_to = |what: &[u8]| !end && bytes.len() < what.len() && what.starts_with(bytes);
    if bytes.is_empty()
        || [&b"INSERT "[..], b"DELIMITER ", SANDBOX]
            .into_iter()
            .any(may_grow_to)
        || (!end && (bytes.starts_with(SANDBOX) || is_line_comment(bytes)))
    {
        return Ok(Head::More);
    }
    if let Some(rest) = bytes.strip_prefix(b"DELIMITER ") {
        let Some(line) = find(rest, b"\n").or(end.then_some(rest.len())) else {
            return Ok(Head::More);
        };
        let delimiter = rest[..line].trim_ascii();
        if delimiter.is_empty() {
            return Err(broken("wrote an empty delimiter"));
        }
        return Ok(Head::Delimiter(
            delimiter.to_vec(),
            bytes.len() - rest.len() + line,
        ));
    }
    let Some(rest) = bytes.strip_prefix(b"INSERT ") else {
        return Ok(Head::Other);
    };
    match insert_into(rest) {
        Some(table) => Ok(Head::Insert(table)),
        None if bytes.len() < HEAD_LIMIT && !end => Ok(Head::More),
        None => Err(broken("wrote an INSERT in a form that cofre doesn't know")),
    }
}

/// The name behind `INTO`, when all of it is there.
fn insert_into(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes
        .trim_ascii_start()
        .strip_prefix(b"INTO ")?
        .trim_ascii_start();
    let (name, length) = statement::unquote(rest)?;
    // Another quote may follow that makes it part of the name.
    (rest.len() > length).then_some(name)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The tool's output is not what it has been until now.
fn broken(what: &str) -> Error {
    Error::new(Code::DumpFailed, format!("the dump program {what}"))
        .remedy("report it with the program's version (`mariadb-dump --version`)")
}

#[cfg(test)]
mod tests;
