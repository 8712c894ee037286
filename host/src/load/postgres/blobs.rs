//! `blobs.sql`: large objects, as `pg_dump` writes them. Only the three calls that fill one are accepted, line by line,
//! and passed on.

use std::io::{self, BufRead, Write};

use super::rows::Fault;

/// Longest line, in bytes: `pg_dump` writes 16 KiB at a time, in hexadecimal.
const LONGEST: u64 = 1 << 20;

/// Looks through the file.
pub(super) fn check(input: &mut dyn BufRead) -> Result<(), Fault> {
    each(input, &mut |_| Ok(()))
}

/// Writes its calls.
pub(super) fn copy(input: &mut dyn BufRead, out: &mut dyn Write) -> io::Result<()> {
    each(input, &mut |line| out.write_all(line.as_bytes())).map_err(|fault| match fault {
        Fault::Io(error) => error,
        other => io::Error::other(format!("blobs.sql changed while it was loaded: {other:?}")),
    })
}

fn each(input: &mut dyn BufRead, take: &mut dyn FnMut(&str) -> io::Result<()>) -> Result<(), Fault> {
    let mut is_open = false;
    loop {
        let mut line = Vec::new();
        let read = io::Read::take(&mut *input, LONGEST + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return if is_open { Err(Fault::Truncated) } else { Ok(()) };
        }
        let line = String::from_utf8(line)
            .map_err(|e| Fault::Foreign(String::from_utf8_lossy(e.as_bytes()).into_owned()))?;
        let text = match line.strip_suffix('\n') {
            Some(text) if line.len() as u64 <= LONGEST => text,
            Some(_) => return Err(Fault::Foreign(line)),
            None => return Err(Fault::Truncated),
        };
        if is_left_out(text) {
            continue;
        }
        match call(text) {
            Some(opens) => is_open = opens.unwrap_or(is_open),
            None => return Err(Fault::Foreign(line)),
        }
        take(&line)?;
    }
}

/// Blanks, comments, settings, and the transaction, since there is one already.
fn is_left_out(text: &str) -> bool {
    text.is_empty()
        || text.starts_with("--")
        || text == "BEGIN;"
        || text == "COMMIT;"
        || super::rows::is_setting(text)
}

/// Whether it is one of the calls, and whether a large object is open after it.
fn call(text: &str) -> Option<Option<bool>> {
    let inner = text.strip_prefix("SELECT pg_catalog.")?.strip_suffix(");")?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if inner == "lo_close(0" {
        return Some(Some(false));
    }
    if let Some(rest) = inner.strip_prefix("lo_open('") {
        return (digits(rest.strip_suffix("', 131072")?)).then_some(Some(true));
    }
    if let Some(rest) = inner.strip_prefix("lo_create('") {
        return digits(rest.strip_suffix('\'')?).then_some(None);
    }
    let hex = inner.strip_prefix("lowrite(0, '\\x")?.strip_suffix('\'')?;
    hex.bytes().all(|b| b.is_ascii_hexdigit()).then_some(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    const GOOD: &str = "SET client_encoding = 'UTF8';\n-- x\n\nBEGIN;\n\nSELECT pg_catalog.lo_open('16385', 131072);\n\
                        SELECT pg_catalog.lowrite(0, '\\x00ff');\nSELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n";

    #[test]
    fn only_the_calls_are_passed_on() {
        let mut out = Vec::new();
        copy(&mut GOOD.as_bytes(), &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "SELECT pg_catalog.lo_open('16385', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00ff');\n\
             SELECT pg_catalog.lo_close(0);\n"
        );
    }

    #[test]
    fn everything_else_is_refused() {
        for line in [
            "SELECT pg_catalog.lo_import('/etc/passwd');",
            "SELECT pg_catalog.lo_open('1', 131072); \\! x",
            "SELECT pg_catalog.lo_open('1''', 131072);",
            "SELECT pg_catalog.lowrite(0, '\\x00'); SELECT 1, ('');",
            "SELECT pg_catalog.lowrite(0, 'a');",
            "\\! x",
            "ROLLBACK;",
        ] {
            let text = format!("{GOOD}{line}\n");
            assert!(
                matches!(check(&mut text.as_bytes()), Err(Fault::Foreign(_))),
                "{line}"
            );
        }
        let cut = GOOD.split("SELECT pg_catalog.lo_close").next().unwrap();
        assert!(matches!(check(&mut cut.as_bytes()), Err(Fault::Truncated)));
        assert!(matches!(
            check(&mut &GOOD.as_bytes()[..GOOD.len() - 3]),
            Err(Fault::Truncated)
        ));
    }
}
