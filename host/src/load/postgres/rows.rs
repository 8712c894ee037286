//! A table's file: `COPY … FROM stdin;`, its rows, `\.`. Nothing else is accepted, and only these are passed on.
//!
//! What is no row is read here in the narrow form that cofre writes, so that nothing has to be guessed of what psql
//! would make of it: comments and settings are left out, the statement is taken apart, and the rows end at the first
//! line that is `\.`, as they do for psql.

use std::io::{self, BufRead};
use std::ops::Range;

use super::scan::is_restriction;

/// Longest line that is no row, and longest statement, in bytes: a table of 1,600 columns with names of 63 bytes has
/// less.
const LONGEST: usize = 1 << 20;

/// A table's rows in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copy {
    /// The statement, up to its line end.
    pub(super) statement: String,
    /// The schema in it.
    pub(super) schema: String,
    /// The table in it.
    pub(super) table: String,
    /// Where the rows lie, `\.` not included.
    pub(super) rows: Range<u64>,
}

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum Fault {
    /// It could not be read.
    Io(io::Error),
    /// It ends before the rows do.
    Truncated,
    /// A line that cofre does not write.
    Foreign(String),
    /// A NUL byte.
    Nul,
    /// It is in another encoding than UTF-8.
    Encoding(String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads a table's file and finds its rows; none for a file that has only comments and settings.
pub(super) fn find(input: &mut dyn BufRead) -> Result<Vec<Copy>, Fault> {
    let mut found = Vec::new();
    let mut at = 0_u64;
    let mut pending = String::new();
    while let Some(line) = line(input, &mut at)? {
        if pending.is_empty() {
            if let Some(name) = encoding(&line).filter(|name| *name != "UTF8") {
                return Err(Fault::Encoding(name.to_owned()));
            }
            if is_harmless(&line) {
                continue;
            }
        }
        pending.push_str(&line);
        match statement(&pending) {
            Parsed::Copy { schema, table } => {
                let begin = at;
                let end = rows(input, &mut at)?;
                found.push(Copy {
                    statement: std::mem::take(&mut pending),
                    schema,
                    table,
                    rows: begin..end,
                });
            }
            // A line end within a quoted name.
            Parsed::Unfinished if pending.len() <= LONGEST => {}
            _ if !pending.ends_with('\n') => return Err(Fault::Truncated),
            Parsed::Unfinished | Parsed::Foreign => return Err(Fault::Foreign(pending)),
        }
    }
    if pending.is_empty() {
        Ok(found)
    } else {
        Err(Fault::Truncated)
    }
}

/// The next line with its end.
fn line(input: &mut dyn BufRead, at: &mut u64) -> Result<Option<String>, Fault> {
    let mut bytes = Vec::new();
    let read = io::Read::take(&mut *input, LONGEST as u64 + 1).read_until(b'\n', &mut bytes)?;
    *at += read as u64;
    if read == 0 {
        return Ok(None);
    }
    if bytes.contains(&0) {
        return Err(Fault::Nul);
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| Fault::Foreign(String::from_utf8_lossy(e.as_bytes()).into_owned()))?;
    if text.len() > LONGEST {
        return Err(Fault::Foreign(text));
    }
    Ok(Some(text))
}

/// The encoding that a setting names.
fn encoding(line: &str) -> Option<&str> {
    line.trim_end()
        .strip_prefix("SET client_encoding = '")?
        .strip_suffix("';")
}

/// Blanks, comments, and the settings that cofre makes itself.
fn is_harmless(line: &str) -> bool {
    let line = line.trim_end_matches(['\n', '\r']);
    line.is_empty() || line.starts_with("--") || is_restriction(line) || is_setting(line)
}

pub(super) fn is_setting(line: &str) -> bool {
    if line == "SELECT pg_catalog.set_config('search_path', '', false);" {
        return true;
    }
    let setting = line
        .strip_prefix("SET ")
        .and_then(|rest| rest.strip_suffix(';'))
        .and_then(|rest| rest.split_once(" = "));
    let Some((name, value)) = setting else {
        return false;
    };
    let plain = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_'-".contains(&b))
    };
    match name {
        "client_encoding" => value == "'UTF8'",
        "standard_conforming_strings" => value == "on",
        _ => name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && plain(value),
    }
}

enum Parsed {
    Copy { schema: String, table: String },
    Unfinished,
    Foreign,
}

/// Takes `COPY SCHEMA.TABLE (COLUMN, …) FROM stdin;` apart.
fn statement(text: &str) -> Parsed {
    let mut rest = Rest(text);
    let parsed = (|| {
        rest.word("COPY ")?;
        let schema = rest.name()?;
        rest.word(".")?;
        let table = rest.name()?;
        rest.word(" ")?;
        if rest.word("(").is_ok() {
            loop {
                rest.name()?;
                if rest.word(", ").is_err() {
                    break;
                }
            }
            rest.word(") ")?;
        } else if rest.0.starts_with(' ') {
            // pg_dump writes an empty list of columns as nothing between two spaces.
            rest.word(" ")?;
        }
        rest.word("FROM stdin;")?;
        Ok((schema, table))
    })();
    match parsed {
        Ok((schema, table)) if rest.0 == "\n" || rest.0 == "\r\n" => Parsed::Copy { schema, table },
        Err(Stopped::Unfinished) => Parsed::Unfinished,
        Ok(_) | Err(Stopped::Foreign) => Parsed::Foreign,
    }
}

struct Rest<'a>(&'a str);

enum Stopped {
    Unfinished,
    Foreign,
}

impl Rest<'_> {
    fn word(&mut self, word: &str) -> Result<(), Stopped> {
        self.0 = self.0.strip_prefix(word).ok_or(Stopped::Foreign)?;
        Ok(())
    }

    /// An identifier, plain or in quotes.
    fn name(&mut self) -> Result<String, Stopped> {
        let Some(quoted) = self.0.strip_prefix('"') else {
            let end = self
                .0
                .find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'))
                .unwrap_or(self.0.len());
            let (name, rest) = self.0.split_at(end);
            self.0 = rest;
            let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
            return if plain {
                Ok(name.to_owned())
            } else {
                Err(Stopped::Foreign)
            };
        };
        let mut name = String::new();
        let mut rest = quoted;
        loop {
            let (before, after) = rest.split_once('"').ok_or(Stopped::Unfinished)?;
            name.push_str(before);
            match after.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => {
                    self.0 = after;
                    return Ok(name);
                }
            }
        }
    }
}

/// Passes over rows up to and including the line `\.`, and gives where that begins.
fn rows(input: &mut dyn BufRead, at: &mut u64) -> Result<u64, Fault> {
    const END: &[u8] = b"\\.";
    // The first bytes of the current line, one more than any of interest.
    let mut head: Vec<u8> = Vec::with_capacity(4);
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            return Err(Fault::Truncated);
        }
        if memchr::memchr(0, chunk).is_some() {
            return Err(Fault::Nul);
        }
        let (mut from, mut ended) = (0, false);
        while let Some(rest) = chunk.get(from..).filter(|rest| !rest.is_empty() && !ended) {
            let end = memchr::memchr(b'\n', rest);
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            head.extend(line.iter().take(4 - head.len()));
            let Some(end) = end else { break };
            from += end + 1;
            // psql would end there too; cofre writes no such line.
            if head == b"\\.\r" {
                return Err(Fault::Foreign("\\.\r".to_owned()));
            }
            ended = head == END;
            head.clear();
        }
        let taken = if ended { from } else { chunk.len() };
        input.consume(taken);
        *at += taken as u64;
        if ended {
            return Ok(at.saturating_sub(END.len() as u64 + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    const HEAD: &str = "--\n-- PostgreSQL database dump\n--\n\n\\restrict AbC\n\nSET statement_timeout = 0;\n\
                        SET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\
                        SELECT pg_catalog.set_config('search_path', '', false);\n\n";

    /// Reads with buffers of every size.
    fn read(text: &[u8]) -> Result<Vec<Copy>, Fault> {
        for size in [1, 2, 3, 5, 7] {
            let _ = find(&mut io::BufReader::with_capacity(size, text));
        }
        let mut results = [1, 2, 3, 64, 1 << 16]
            .map(|size| find(&mut io::BufReader::with_capacity(size, text)))
            .into_iter();
        let first = results.next().unwrap();
        for other in results {
            assert_eq!(format!("{other:?}"), format!("{first:?}"));
        }
        first
    }

    #[test]
    fn rows_are_found_to_the_byte() {
        let rows = "1\tum\\n\n\\.x\n \\.\n\\..\n\\\\.\n2\t\\N\n";
        let text = format!(
            "{HEAD}COPY public.a (id, \"No\"\"me\") FROM stdin;\n{rows}\\.\n\n-- end\n\\unrestrict AbC\n"
        );
        let found = read(text.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        let Copy { rows: range, .. } = &found[0];
        let (begin, end) = (range.start as usize, range.end as usize);
        assert_eq!(&text[begin..end], rows);
        assert_eq!(
            (found[0].schema.as_str(), found[0].table.as_str()),
            ("public", "a")
        );
        assert_eq!(
            found[0].statement,
            "COPY public.a (id, \"No\"\"me\") FROM stdin;\n"
        );
    }

    #[test]
    fn names_may_hold_anything_and_a_table_may_have_no_column_or_row() {
        let text =
            "COPY \"a b\".\"x\ny;\\!\" (\"\"\"\", b) FROM stdin;\n\\.\nCOPY s.nothing  FROM stdin;\n\\.\n";
        let found = read(text.as_bytes()).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|copy| (copy.schema.as_str(), copy.table.as_str()))
            .collect();
        assert_eq!(names, [("a b", "x\ny;\\!"), ("s", "nothing")]);
        assert!(found.iter().all(|copy| copy.rows.is_empty()));
        assert_eq!(read(HEAD.as_bytes()).unwrap(), []);
        assert_eq!(read(b"").unwrap(), []);
    }

    #[test]
    fn what_cofre_does_not_write_is_refused() {
        for line in [
            "\\! touch x",
            "SELECT 1;",
            "COPY a FROM stdin;",
            "COPY public.a FROM PROGRAM 'touch x';",
            "COPY public.a FROM '/etc/passwd';",
            "COPY public.a (id) FROM stdin; \\! touch x",
            "COPY public.a (id) FROM stdin WITH (FORMAT csv);",
            "copy public.a (id) from stdin;",
            "COPY public.a (id FROM stdin;",
            "COPY public.a (f(x)) FROM stdin;",
            " COPY public.a FROM stdin;",
            "SET standard_conforming_strings = off;",
            "SET role = 'x'; DROP TABLE a;",
            "SELECT pg_catalog.set_config('role', 'x', false);",
            "/* \n\\! touch x */",
            "\\restrict a; \\! x",
        ] {
            let text = format!("{HEAD}{line}\n");
            assert!(
                matches!(read(text.as_bytes()), Err(Fault::Foreign(_))),
                "{line}: {:?}",
                read(text.as_bytes())
            );
            // After the rows as well.
            let text = format!("COPY public.a FROM stdin;\n1\n\\.\n{line}\n");
            assert!(matches!(read(text.as_bytes()), Err(Fault::Foreign(_))), "{line}");
        }
        assert!(matches!(
            read(b"COPY public.a FROM stdin;\n1\n\\.\r\n"),
            Err(Fault::Foreign(_))
        ));
        assert!(matches!(
            read(b"COPY public.a FROM stdin;\n\0\n\\.\n"),
            Err(Fault::Nul)
        ));
        assert!(
            matches!(read(b"SET client_encoding = 'SJIS';\n"), Err(Fault::Encoding(name)) if name == "SJIS")
        );
        assert!(matches!(read(b"-- \0\n"), Err(Fault::Nul)));
        assert!(matches!(read(b"-- \xff\n"), Err(Fault::Foreign(_))));
    }

    #[test]
    fn rows_without_an_end_are_seen() {
        for cut in [
            "COPY public.a FROM stdin;\n",
            "COPY public.a FROM stdin;\n1\n2\n",
            "COPY public.a FROM stdin;\n1\n\\.",
            "COPY public.\"a",
            "COPY public.a FROM st",
        ] {
            assert!(matches!(read(cut.as_bytes()), Err(Fault::Truncated)), "{cut:?}");
        }
    }
}
