//! Statements of a database's schema, written so that SQLite's shell takes them as they are.
//!
//! The text stays the original's, but for three habits of the shell: it drops the CR of a line that ends in
//! CRLF, it takes a line of only `/` or `go` for the end of a statement, and it needs a semicolon that no comment
//! swallows.

use std::io::{self, Write};

/// A name in double quotes.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Writes a statement with its semicolon.
pub(super) fn write_statement(out: &mut dyn Write, sql: &str) -> io::Result<()> {
    let sql = hide_terminators(sql);
    write_lines(out, &sql)?;
    // A semicolon of its own line would be stored as part of some statements: only where it has to be.
    let last = sql.rsplit('\n').next().unwrap_or_default();
    out.write_all(if last.contains("--") { b"\n;\n" } else { b";\n" })
}

/// Writes text with the CR of each CRLF doubled: the shell takes one away.
pub(super) fn write_lines(out: &mut dyn Write, text: &str) -> io::Result<()> {
    if text.contains("\r\n") {
        out.write_all(text.replace("\r\n", "\r\r\n").as_bytes())
    } else {
        out.write_all(text.as_bytes())
    }
}

/// `CREATE TABLE …` as `CREATE TABLE IF NOT EXISTS …`; SQLite stores both alike.
pub(super) fn if_not_exists(sql: &str) -> String {
    match sql.split_at_checked("CREATE TABLE ".len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case("CREATE TABLE ") => {
            format!("CREATE TABLE IF NOT EXISTS {rest}")
        }
        _ => sql.to_owned(),
    }
}

/// Puts an empty comment before a `/` or `go` that is alone on its line, outside of quotes and comments.
fn hide_terminators(sql: &str) -> String {
    let suspicious = |line: &str| {
        let line = line.trim_start();
        line.starts_with('/') || line.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("go"))
    };
    if !sql.lines().any(suspicious) {
        return sql.to_owned();
    }
    let mut out = String::with_capacity(sql.len() + 8);
    let mut state = State::Plain;
    for line in sql.split_inclusive('\n') {
        if state == State::Plain && suspicious(line) && !line.trim_start().starts_with("/*") {
            out.push_str("/**/");
        }
        out.push_str(line);
        state = state.after(line);
    }
    out
}

/// Where in a statement a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Plain,
    /// Within quotes that this character ends.
    Quoted(char),
    Comment,
}

impl State {
    fn after(mut self, line: &str) -> Self {
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            self = match (self, c, chars.peek()) {
                // A doubled quote ends and begins again, which comes to the same.
                (Self::Quoted(end), c, _) if c == end => Self::Plain,
                (Self::Comment, '*', Some('/')) => {
                    chars.next();
                    Self::Plain
                }
                (Self::Plain, '-', Some('-')) => return Self::Plain,
                (Self::Plain, '/', Some('*')) => {
                    chars.next();
                    Self::Comment
                }
                (Self::Plain, '\'' | '"' | '`', _) => Self::Quoted(c),
                (Self::Plain, '[', _) => Self::Quoted(']'),
                (state, ..) => state,
            };
        }
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;
    use std::process::{Command, Stdio};

    /// What the real shell stores when it is fed a statement.
    fn stored(statement: &[u8]) -> String {
        let temp = tempfile::tempdir().unwrap();
        let db = temp.path().join("x.db");
        let mut shell = Command::new("sqlite3")
            .args(["-batch", "-bail"])
            .arg(&db)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(statement).unwrap();
        assert!(shell.wait().unwrap().success());
        let db = rusqlite::Connection::open(&db).unwrap();
        db.query_row(
            "SELECT sql FROM sqlite_schema ORDER BY rowid LIMIT 1",
            [],
            |row| row.get(0),
        )
        .unwrap()
    }

    #[test]
    fn the_shell_stores_what_was_stored() {
        for sql in [
            "CREATE TABLE t(a INT, b TEXT DEFAULT 'x;\r\ny')",
            "CREATE TABLE t(a,\r\n  b -- comment; with ' and \"\r\n)",
            "CREATE TABLE \"a\r\nb\"(\"c\nd\")",
            "CREATE TABLE t(a) -- the end",
            "CREATE TABLE t(a DEFAULT '\n/\ngo\n')",
            "CREATE TABLE [odd ]\"name\"(a /* ; \n*/ )",
            "CREATE VIEW v AS SELECT 1 AS x, '\r\n.quit\r\n' AS y",
            "CREATE TABLE t(a CHECK(a <> '--'), b)",
        ] {
            let mut out = Vec::new();
            if rusqlite::Connection::open_in_memory()
                .unwrap()
                .execute_batch(sql)
                .is_err()
            {
                continue;
            }
            let expected: String = {
                let db = rusqlite::Connection::open_in_memory().unwrap();
                db.execute_batch(sql).unwrap();
                db.query_row("SELECT sql FROM sqlite_schema", [], |row| row.get(0))
                    .unwrap()
            };
            write_statement(&mut out, &expected).unwrap();
            assert_eq!(stored(&out), expected, "{sql:?}");
        }
    }

    #[test]
    fn a_line_that_the_shell_takes_for_an_end_is_hidden_from_it() {
        for sql in [
            "CREATE VIEW v AS SELECT 8\n/\n2 AS x",
            "CREATE VIEW v AS SELECT\n go\nFROM (SELECT 1 AS go)",
        ] {
            let mut out = Vec::new();
            write_statement(&mut out, sql).unwrap();
            assert_eq!(stored(&out).replace("/**/", ""), sql);
        }
        assert_eq!(
            hide_terminators("CREATE TABLE t(a DEFAULT '\n/\n')"),
            "CREATE TABLE t(a DEFAULT '\n/\n')"
        );
    }
}
