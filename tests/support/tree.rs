//! Comparing two trees by programs that know nothing of cofre.

use std::path::Path;
use std::process::Command;

use super::command::{run, tool};

/// One line per path, sorted: path, type, mode, modification time with nanoseconds, size of a file, link target.
pub(crate) fn listing(root: &Path) -> String {
    let find = run(Command::new(tool("find")).current_dir(root).args([
        ".",
        // A folder's size is the file system's affair.
        "(",
        "-type",
        "d",
        "-printf",
        "%P\\t%y\\t%m\\t%T@\\n",
        ")",
        "-o",
        "-printf",
        "%P\\t%y\\t%m\\t%T@\\t%s\\t%l\\n",
    ]));
    let mut lines: Vec<_> = find.exits(0).stdout.lines().map(str::to_owned).collect();
    lines.sort();
    lines.join("\n")
}

/// Asserts that two trees have the same content, links, modes and modification times, the roots' own included.
#[track_caller]
pub(crate) fn same_tree(a: &Path, b: &Path) {
    let diff = run(Command::new(tool("diff"))
        .args(["-r", "--no-dereference"])
        .arg(a)
        .arg(b));
    assert_eq!(
        diff.code,
        Some(0),
        "{} and {} differ: {diff}",
        a.display(),
        b.display()
    );
    let (left, right) = (listing(a), listing(b));
    for (a, b) in left.lines().zip(right.lines()) {
        assert_eq!(a, b, "path, type, mode, time, size or target");
    }
    assert_eq!(left.lines().count(), right.lines().count(), "number of paths");
}
