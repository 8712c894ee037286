//! The rule that makes a file name of a table's name, and back.
//!
//! A file name is the table's name with some characters written as `%XX`, their UTF-8 bytes in hexadecimal, and
//! `.sql` at the end; the way back is to decode these ([`table_name`]). Written so are:
//!
//! 1. everything but letters, digits, `_`, `-` and `.` (of all scripts; combining marks are no letters, so that
//!    two spellings of one accent never meet on a disk that takes them for the same);
//! 2. the first character, if it is `.` or `-` or the name is one that is taken (`schema`, `restore`,
//!    `pre-data`, `post-data`, `event-triggers`, `sequences`, `blobs`, `grants`, `backup_info`) or that Windows
//!    reserves (`con`, `nul`, `com1`, ..., also before a `.`), in any case;
//! 3. a last `.`;
//! 4. in names that differ only in case, every capital letter and every letter that is not ASCII.
//!
//! A name longer than 200 bytes is cut and ends in `%~` and 16 digits of its SHA-256: only the manifest, which
//! maps every file to its table, has the whole of it. The empty name is `%`.

use std::collections::HashMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Longest encoded name in bytes, without `.sql`; file systems take 255.
const LIMIT: usize = 200;

/// Names that a dump's own files have, or that Windows reserves.
const RESERVED: [&str; 13] = [
    "schema",
    "restore",
    "pre-data",
    "post-data",
    "event-triggers",
    "sequences",
    "blobs",
    "grants",
    "backup_info",
    "con",
    "prn",
    "aux",
    "nul",
];

/// The file names of tables, in their order. Different names give different files, also on a disk that takes
/// capital and small letters for the same.
#[must_use]
pub fn file_names<S: AsRef<str>>(tables: &[S]) -> Vec<String> {
    let mut twins: HashMap<String, u32> = HashMap::new();
    for table in tables {
        *twins.entry(fold(table.as_ref())).or_default() += 1;
    }
    tables
        .iter()
        .map(|table| {
            let table = table.as_ref();
            let twin = twins.get(&fold(table)).is_some_and(|n| *n > 1);
            format!("{}.sql", encode(table, twin))
        })
        .collect()
}

/// The table's name that a file name stands for; `None` for what the rule doesn't produce, and for a name that
/// was cut.
#[must_use]
pub fn table_name(file: &str) -> Option<String> {
    let encoded = file.strip_suffix(".sql")?;
    if encoded == "%" {
        return Some(String::new());
    }
    let mut out = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            out.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2)?;
        out.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    String::from_utf8(out).ok()
}

/// Equal for names that some disk may take for the same.
fn fold(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

fn encode(name: &str, twin: bool) -> String {
    if name.is_empty() {
        return "%".to_owned();
    }
    let taken = is_reserved(name);
    let mut out = String::with_capacity(name.len());
    let last = name.chars().count() - 1;
    for (i, c) in name.chars().enumerate() {
        let plain = match c {
            '.' => i != 0 && i != last,
            '-' => i != 0,
            '_' => true,
            c if c.is_ascii() => c.is_ascii_alphanumeric() && !(twin && c.is_ascii_uppercase()),
            // Compatibility ideographs and single jamo have a second spelling.
            c => {
                c.is_alphanumeric()
                    && !twin
                    && !matches!(c, '\u{1100}'..='\u{11ff}' | '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
            }
        };
        if plain && !(i == 0 && taken) {
            out.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    if out.len() > LIMIT { cut(name, &out) } else { out }
}

fn is_reserved(name: &str) -> bool {
    let lower = name.to_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let port = |prefix| {
        stem.strip_prefix(prefix)
            .is_some_and(|n: &str| n.len() == 1 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    RESERVED.contains(&stem) || port("com") || port("lpt")
}

fn cut(name: &str, encoded: &str) -> String {
    let mut end = LIMIT - 18;
    while !encoded.is_char_boundary(end) {
        end -= 1;
    }
    let digest = Sha256::digest(name.as_bytes());
    let mut out = format!("{}%~", &encoded[..end]);
    for byte in &digest[..8] {
        let _ = write!(out, "{byte:02X}");
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ordinary_names_stay_readable() {
        for (name, file) in [
            ("relatorios", "relatorios.sql"),
            ("tipos_relatorio", "tipos_relatorio.sql"),
            ("DpUsers", "DpUsers.sql"),
            ("public.users", "public.users.sql"),
            ("relatórios", "relatórios.sql"),
            ("sem linhas", "sem%20linhas.sql"),
            ("a/b", "a%2Fb.sql"),
            ("../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd.sql"),
            ("100%", "100%25.sql"),
            ("schema", "%73chema.sql"),
            ("Restore", "%52estore.sql"),
            ("pre-data", "%70re-data.sql"),
            ("Grants", "%47rants.sql"),
            ("nul.x", "%6Eul.x.sql"),
            ("COM1", "%43OM1.sql"),
            ("command", "command.sql"),
            (".hidden", "%2Ehidden.sql"),
            ("-rf", "%2Drf.sql"),
            ("end.", "end%2E.sql"),
            ("", "%.sql"),
            ("a\nb", "a%0Ab.sql"),
            ("'|x", "%27%7Cx.sql"),
            ("e\u{301}", "e%CC%81.sql"),
        ] {
            assert_eq!(file_names(&[name]), [file], "{name:?}");
            assert_eq!(table_name(file).as_deref(), Some(name));
        }
    }

    #[test]
    fn names_that_differ_only_in_case_get_files_that_differ_in_more() {
        let tables = [
            "foto",
            "Foto",
            "FOTO",
            "é",
            "É",
            "\u{212a}elvin",
            "kelvin",
            "\u{fb01}m",
            "fim",
            "other",
            "SS",
            "ß",
        ];
        let files = file_names(&tables);
        let folded: HashSet<_> = files.iter().map(|file| fold(file)).collect();
        assert_eq!(folded.len(), tables.len(), "{files:?}");
        for (table, file) in tables.iter().zip(&files) {
            assert_eq!(table_name(file).as_deref(), Some(*table));
        }
        assert_eq!(files[0], "foto.sql");
        assert_eq!(files[1], "%46oto.sql");
        assert_eq!(files[9], "other.sql");
    }

    #[test]
    fn long_names_are_cut_and_stay_different() {
        let names = [
            "é".repeat(150),
            format!("{}x", "é".repeat(150)),
            format!("{}/", "a".repeat(250)),
        ];
        let files = file_names(&names);
        for file in &files {
            assert!(file.len() <= 204, "{} bytes", file.len());
            assert_eq!(table_name(file), None);
        }
        assert_eq!(files.iter().collect::<HashSet<_>>().len(), 3);
    }

    #[test]
    fn what_the_rule_does_not_produce_decodes_to_nothing() {
        for file in ["x", "a%2.sql", "a%zz.sql", "%FF.sql"] {
            assert_eq!(table_name(file), None, "{file}");
        }
    }
}
