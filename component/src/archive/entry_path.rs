//! The one check of paths in an archive: what the writer refuses to write and the reader refuses to read.
//!
//! Everything that later touches the file system (restore) relies on it, so it stands alone and is small.

use crate::error::{Error, ErrorKind, Result};

/// Checks a path in an archive (without the `/` that marks a directory): relative, no empty, `.` or `..`
/// component, no NUL.
///
/// # Errors
/// `InvalidInput` that names the path and says what is wrong with it.
pub fn check(path: &str) -> Result<()> {
    let problem = if path.is_empty() {
        Some("it is empty")
    } else if path.contains('\0') {
        Some("it contains a NUL")
    } else if path.starts_with('/') {
        Some("it is absolute")
    } else {
        path.split('/').find_map(|component| match component {
            "" => Some("it has an empty component"),
            "." => Some("it has a component `.`"),
            ".." => Some("it has a component `..`"),
            _ => None,
        })
    };
    problem.map_or(Ok(()), |problem| Err(unsafe_path(path, problem)))
}

/// [`check`] for archives that cofre did not make: a backslash or a drive letter, which other programs take for
/// a separator or a root, is refused too.
///
/// # Errors
/// As for [`check`].
pub fn check_foreign(path: &str) -> Result<()> {
    check(path)?;
    if path.contains('\\') {
        return Err(unsafe_path(path, "it contains a backslash"));
    }
    let bytes = path.as_bytes();
    if bytes.len() >= 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' {
        return Err(unsafe_path(path, "it starts with a drive letter"));
    }
    Ok(())
}

/// Whether a link at `path` with this relative target may lead out of the folder that `path` is below. A `..` behind
/// a name counts as well: the name may be that of another link.
#[must_use]
pub fn leads_out(path: &str, target: &str) -> bool {
    let steps = || target.split('/').filter(|step| !matches!(*step, "" | "."));
    let up = steps().take_while(|step| *step == "..").count();
    up > path.matches('/').count() || steps().skip(up).any(|step| step == "..")
}

fn unsafe_path(path: &str, problem: &str) -> Error {
    // A path may be 64 KiB long; its beginning is enough to find it.
    let shown: String = path.chars().take(200).collect();
    Error::new(
        ErrorKind::InvalidInput,
        "check path",
        format!("the path is unsafe: {problem}"),
    )
    .about(shown)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ordinary_and_odd_names_are_fine() {
        for path in [
            "static/a.txt",
            "static/...",
            "static/..a",
            "static/a..",
            "static/ a ",
            "static/-rf",
            "static/\u{1b}[31m",
            "static/é\u{202e}",
            "static/a\\b",
            "c:/x",
        ] {
            check(path).unwrap();
        }
    }

    #[test]
    fn what_could_leave_the_target_is_refused_with_its_reason() {
        for (path, reason) in [
            ("", "empty"),
            ("/etc/passwd", "absolute"),
            ("//x", "absolute"),
            ("..", "`..`"),
            ("a/../../x", "`..`"),
            ("a/..", "`..`"),
            ("./a", "`.`"),
            ("a/./b", "`.`"),
            ("a//b", "empty component"),
            ("a/", "empty component"),
            ("a\0b", "NUL"),
        ] {
            let e = check(path).unwrap_err();
            assert_eq!(e.kind, ErrorKind::InvalidInput);
            assert!(e.message.contains(reason), "{path:?}: {e}");
        }
    }

    #[test]
    fn foreign_archives_may_not_use_windows_separators_or_drives() {
        check_foreign("static/a.txt").unwrap();
        check_foreign("static/c:x").unwrap();
        for path in ["static\\a", "..\\..\\x", "C:x", "c:/x", "a/../b"] {
            check_foreign(path).unwrap_err();
        }
    }

    #[test]
    fn links_that_may_lead_out_are_told_from_those_that_stay() {
        for (path, target) in [
            ("a", "b"),
            ("a/b/c", "../../x"),
            ("a/b", "../b"),
            ("a", "./b/./c"),
            ("a/b", ".."),
        ] {
            assert!(!leads_out(path, target), "{path} -> {target}");
        }
        for (path, target) in [
            ("a", ".."),
            ("a/b", "../../x"),
            ("a/b", "c/../d"),
            ("a/b", ".././/../x"),
        ] {
            assert!(leads_out(path, target), "{path} -> {target}");
        }
    }

    #[test]
    fn an_error_about_a_huge_path_stays_short() {
        let e = check(&format!("{}/..", "x".repeat(60_000))).unwrap_err();
        assert!(e.to_string().len() < 400);
    }
}
