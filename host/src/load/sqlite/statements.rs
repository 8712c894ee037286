//! A table's file, one statement at a time: it may be larger than memory.
//!
//! Where a statement ends only decides what SQLite is given at once. It is no wall: the authorizer judges each of
//! them, wherever it was cut.

use std::io::{self, BufRead, BufReader, Read};

/// Longest statement that SQLite takes.
const LONGEST: usize = 1_000_000_000;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A statement with its semicolon, and what stands before it.
    Statement(&'a str),
    /// Nothing but blanks and comments any more.
    End,
    /// The beginning of a statement, and no end.
    Truncated,
    /// A statement that no SQLite takes.
    TooLong,
    /// Bytes that are no text.
    NotText,
}

/// Where a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    Quoted(u8),
    Line,
    Block,
}

/// Reads statements.
pub(super) struct Statements<R> {
    input: BufReader<R>,
    text: Vec<u8>,
}

impl<R: Read> Statements<R> {
    pub(super) fn of(input: R) -> Self {
        Self {
            input: BufReader::with_capacity(256 * 1024, input),
            text: Vec::new(),
        }
    }

    /// Reads up to the end of the next statement.
    pub(super) fn next(&mut self) -> io::Result<Next<'_>> {
        self.text.clear();
        let mut lexer = Lexer::new();
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                break;
            }
            let end = chunk.iter().position(|byte| lexer.ends_with(*byte));
            let taken = end.map_or(chunk.len(), |at| at + 1);
            self.text
                .extend_from_slice(chunk.get(..taken).unwrap_or_default());
            self.input.consume(taken);
            if self.text.len() > LONGEST {
                return Ok(Next::TooLong);
            }
            if end.is_some() {
                return Ok(self.statement());
            }
        }
        Ok(if lexer.has_begun {
            Next::Truncated
        } else {
            Next::End
        })
    }

    fn statement(&mut self) -> Next<'_> {
        drop_carriage_returns(&mut self.text);
        match std::str::from_utf8(&self.text) {
            Ok(text) if !text.contains('\0') => Next::Statement(text),
            _ => Next::NotText,
        }
    }
}

/// Follows quotes and comments.
struct Lexer {
    state: State,
    previous: u8,
    /// Something that is neither blank nor comment was seen.
    has_begun: bool,
}

impl Lexer {
    const fn new() -> Self {
        Self {
            state: State::Plain,
            previous: 0,
            has_begun: false,
        }
    }

    /// Takes a byte; true for the semicolon that ends a statement.
    fn ends_with(&mut self, byte: u8) -> bool {
        let before = std::mem::replace(&mut self.previous, byte);
        match (self.state, byte) {
            (State::Plain, b';') => return true,
            (State::Plain, b'-') if before == b'-' => self.state = State::Line,
            (State::Plain, b'*') if before == b'/' => {
                self.state = State::Block;
                self.previous = 0;
            }
            // Whether these begin a comment is only known by the next byte.
            (State::Plain, b'-' | b'/') => {}
            (State::Plain, b'\'' | b'"' | b'`') => self.quote(byte),
            (State::Plain, b'[') => self.quote(b']'),
            (State::Plain, byte) => self.has_begun |= !byte.is_ascii_whitespace(),
            // A doubled quote ends and begins again, which comes to the same.
            (State::Quoted(end), byte) if byte == end => self.state = State::Plain,
            (State::Line, b'\n') => self.state = State::Plain,
            (State::Block, b'/') if before == b'*' => {
                self.state = State::Plain;
                self.previous = 0;
            }
            (State::Quoted(_) | State::Line | State::Block, _) => {}
        }
        false
    }

    fn quote(&mut self, end: u8) {
        self.state = State::Quoted(end);
        self.has_begun = true;
    }
}

/// SQLite's shell takes the CR of a line that ends in CRLF away, and cofre doubles it for that reason.
fn drop_carriage_returns(text: &mut Vec<u8>) {
    if !text.contains(&b'\r') {
        return;
    }
    let mut kept = Vec::with_capacity(text.len());
    for (at, byte) in text.iter().enumerate() {
        if *byte != b'\r' || text.get(at + 1) != Some(&b'\n') {
            kept.push(*byte);
        }
    }
    *text = kept;
}

/// A whole file as SQLite's shell reads it.
pub(super) fn as_the_shell_reads(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// Whether the last statement of a file has its end.
pub(super) fn ends_whole(text: &str) -> bool {
    let mut lexer = Lexer::new();
    for byte in text.bytes() {
        if lexer.ends_with(byte) {
            lexer = Lexer::new();
        }
    }
    !lexer.has_begun && matches!(lexer.state, State::Plain | State::Line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut statements = Statements::of(text.as_bytes());
        let mut out = Vec::new();
        loop {
            match statements.next().unwrap() {
                Next::Statement(sql) => out.push(sql.to_owned()),
                Next::End => return out,
                other => {
                    out.push(format!("{other:?}"));
                    return out;
                }
            }
        }
    }

    #[test]
    fn a_statement_ends_at_a_semicolon_outside_of_quotes_and_comments() {
        assert_eq!(
            all(
                "CREATE TABLE \"a;b\"([c;d], `e;f`) /* ; */ -- ;\n;\nINSERT INTO x VALUES('a;''b', 1-1, 4/2);\n"
            ),
            [
                "CREATE TABLE \"a;b\"([c;d], `e;f`) /* ; */ -- ;\n;",
                "\nINSERT INTO x VALUES('a;''b', 1-1, 4/2);"
            ]
        );
        assert_eq!(all(""), [""; 0]);
        assert_eq!(all("-- nothing; at all"), [""; 0]);
        assert_eq!(all("/* nothing; */ \n"), [""; 0]);
    }

    #[test]
    fn a_beginning_without_an_end_is_seen() {
        for cut in [
            "INSERT INTO x VALUES(1),\n(2)",
            "SELECT 'a;",
            "CREATE TABLE x(\"",
            "x /* ;",
        ] {
            assert_eq!(all(cut), ["Truncated"], "{cut}");
            assert!(!ends_whole(&format!("SELECT 1;\n{cut}")), "{cut}");
        }
        assert!(ends_whole("SELECT 1;\n-- the end; it's here"));
        assert!(ends_whole(
            "CREATE TRIGGER a AFTER INSERT ON b BEGIN SELECT 1; END;\n"
        ));
    }

    #[test]
    fn text_is_read_as_the_shell_reads_it_and_what_is_no_text_is_refused() {
        assert_eq!(all("SELECT 'a\r\r\nb\rc\r\n';"), ["SELECT 'a\r\nb\rc\n';"]);
        assert_eq!(as_the_shell_reads("a\r\r\nb\r\n"), "a\r\nb\n");
        assert_eq!(all("SELECT 'a\0';"), ["NotText"]);
        let mut statements = Statements::of(&b"SELECT '\xff';"[..]);
        assert_eq!(statements.next().unwrap(), Next::NotText);
    }
}
