//! A look at a section of a dump (`pre-data.sql`, …), lexed as psql lexes it: outside of quotes and comments there must
//! be no backslash, since psql takes one for a command of its own (`\!` starts a program), wherever in a line it stands.
//!
//! This gives an attack its name. It is not what keeps it from happening: psql never reads this text as a script, see
//! [`super::script`].

/// What is wrong with a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// A backslash where psql would take it for a command; what stands there.
    Command(String),
    /// A `COPY` from or to a program or a file.
    CopyProgram(String),
    /// A NUL byte, which no SQL text has.
    Nul,
    /// It ends within quotes or a comment.
    Unfinished,
}

/// Where a byte stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Plain,
    /// `'…'`; with `E` before it, a backslash escapes.
    Single {
        escapes: bool,
    },
    Double,
    Dollar(Vec<u8>),
    Line,
    Block(u32),
}

/// Looks through a section. Gives its text as SQL, without the two commands that `pg_dump` itself writes around it
/// (`\restrict KEY` and `\unrestrict KEY`, each alone on its line).
pub(super) fn section(text: &str) -> Result<String, Fault> {
    let bytes = text.as_bytes();
    if bytes.contains(&0) {
        return Err(Fault::Nul);
    }
    let mut out = String::with_capacity(text.len());
    let mut kept = 0;
    let mut state = State::Plain;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        if state == State::Plain && is_line_start(bytes, at) && is_copy(line_at(text, at)) {
            return Err(Fault::CopyProgram(line_at(text, at).to_owned()));
        }
        if state == State::Plain && *byte == b'\\' {
            let line = line_at(text, at);
            if !is_restriction(line) || !is_line_start(bytes, at) {
                return Err(Fault::Command(line.to_owned()));
            }
            out.push_str(text.get(kept..at).unwrap_or_default());
            at += line.len();
            kept = at;
            continue;
        }
        let (next, step) = step(&state, bytes, at, rest);
        state = next;
        at += step;
    }
    if !matches!(state, State::Plain | State::Line) {
        return Err(Fault::Unfinished);
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    Ok(out)
}

/// The state after what stands at `at`, and its bytes.
fn step(state: &State, bytes: &[u8], at: usize, rest: &[u8]) -> (State, usize) {
    match state {
        State::Plain => match rest {
            [b'-', b'-', ..] => (State::Line, 2),
            [b'/', b'*', ..] => (State::Block(1), 2),
            [b'\'', ..] => {
                let escapes = is_escape_string(bytes, at);
                (State::Single { escapes }, 1)
            }
            [b'"', ..] => (State::Double, 1),
            [b'$', ..] if !follows_identifier(bytes, at) => match dollar_tag(rest) {
                Some(tag) => (State::Dollar(tag.to_vec()), tag.len()),
                None => (State::Plain, 1),
            },
            _ => (State::Plain, 1),
        },
        State::Single { escapes: true } if rest.starts_with(b"\\") => (state.clone(), 2),
        // A doubled quote ends and begins again; with the same escapes.
        State::Single { .. } if rest.starts_with(b"''") => (state.clone(), 2),
        State::Single { .. } if rest.starts_with(b"'") => (State::Plain, 1),
        State::Double if rest.starts_with(b"\"") => (State::Plain, 1),
        State::Dollar(tag) if rest.starts_with(tag) => (State::Plain, tag.len()),
        State::Line if rest.starts_with(b"\n") => (State::Plain, 1),
        State::Block(depth) if rest.starts_with(b"/*") => (State::Block(depth + 1), 2),
        State::Block(1) if rest.starts_with(b"*/") => (State::Plain, 2),
        State::Block(depth) if rest.starts_with(b"*/") => (State::Block(depth - 1), 2),
        _ => (state.clone(), 1),
    }
}

/// Whether the quote at `at` begins `E'…'`.
fn is_escape_string(bytes: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| bytes.get(at));
    before(1).is_some_and(|b| b.eq_ignore_ascii_case(&b'e')) && !before(2).is_some_and(|b| is_identifier(*b))
}

/// Whether what stands before `at` goes on with a `$`.
fn follows_identifier(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1)
        .and_then(|at| bytes.get(at))
        .is_some_and(|b| is_identifier(*b))
}

const fn is_identifier(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// `$tag$` at the beginning.
fn dollar_tag(rest: &[u8]) -> Option<&[u8]> {
    let tail = rest.get(1..)?;
    let end = tail.iter().position(|b| *b == b'$')?;
    let tag = tail.get(..end)?;
    let good = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80;
    let starts_well = tag.first().is_none_or(|b| !b.is_ascii_digit());
    (starts_well && tag.iter().all(good)).then(|| rest.get(..end + 2))?
}

fn line_at(text: &str, at: usize) -> &str {
    let rest = text.get(at..).unwrap_or_default();
    rest.lines().next().unwrap_or_default()
}

fn is_line_start(bytes: &[u8], at: usize) -> bool {
    at.checked_sub(1)
        .is_none_or(|before| bytes.get(before) == Some(&b'\n'))
}

/// `\restrict KEY` or `\unrestrict KEY`, as `pg_dump` writes them.
pub(super) fn is_restriction(line: &str) -> bool {
    let key = line
        .strip_prefix("\\restrict ")
        .or_else(|| line.strip_prefix("\\unrestrict "));
    key.is_some_and(|key| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// A statement that begins with `COPY` has no place in a section: rows lie in files of their own. The role may not run
/// programs anyway. In the body of a function it is the application's business.
fn is_copy(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|word| word.eq_ignore_ascii_case("copy"))
        && words.any(|word| {
            let word = word.trim_end_matches(';');
            ["program", "stdin", "stdout"]
                .iter()
                .any(|known| word.eq_ignore_ascii_case(known))
                || word.starts_with('\'')
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn what_pg_dump_writes_passes_unchanged_but_for_its_own_two_commands() {
        let text = "--\n-- it's a \\! comment\n--\nSET x = 'a\\b';\nCREATE TABLE \"a\\!b\" (c text DEFAULT E'it\\'s \\\\! ');\n\
                    /* \\! /* nested \\! */ \\! */ CREATE FUNCTION f() RETURNS text AS $_$ SELECT '\\!' $_$;\n\
                    DO $a$ $b$ \\! $b$\nCOPY x FROM stdin;\n$a$; COMMENT ON TABLE a$b IS 'x''\\! y'; SELECT U&'\\0041', $1;\n";
        assert_eq!(section(text).unwrap(), text);
        let wrapped = format!("-- x\n\\restrict AbC123\n{text}\\unrestrict AbC123\n");
        assert_eq!(section(&wrapped).unwrap(), format!("-- x\n\n{text}\n"));
    }

    #[test]
    fn a_command_is_found_wherever_psql_would_see_it() {
        for text in [
            "\\! touch x\n",
            "SELECT 1; \\! touch x\n",
            "SELECT 1 \\g |touch x\n",
            "SELECT 1\\;\n",
            "  \\copy a from program 'touch x'\n",
            "/* a */\\! touch x",
            "SELECT 'a''b' \\! x",
            "SELECT 'a\\' \\! x'\n",
            "SELECT E'a\\\\' \\! x",
            "SELECT e'a''' \\! x",
            "SELECT somee'a\\' \\! x'",
            "SELECT $a$ $b$ $a$ \\! x",
            "SELECT a$b$ \\! $b$",
            "SELECT $1$ \\! $1$",
            "SELECT \"a\"\"b\" \\! x",
            "-- x\r\\n\n\\! x",
            "\\restrict a b\n",
            "\\restrict\n",
            "SELECT 1; \\restrict abc\n",
            "\\unrestrict a;\\! x\n",
        ] {
            assert!(
                matches!(section(text), Err(Fault::Command(_))),
                "{text:?}: {:?}",
                section(text)
            );
        }
    }

    #[test]
    fn other_faults_have_names() {
        for open in ["SELECT 'a", "SELECT \"a", "SELECT $x$ a $y$", "/* /* */"] {
            assert_eq!(section(open), Err(Fault::Unfinished), "{open}");
        }
        assert_eq!(section("a\0"), Err(Fault::Nul));
        for copy in [
            "COPY a FROM PROGRAM 'id';",
            " copy a to '/tmp/x';",
            "COPY a FROM stdin;",
        ] {
            assert!(matches!(section(copy), Err(Fault::CopyProgram(_))), "{copy}");
        }
    }
}
