//! Archives on their way out of a full disk: what a crash at any point leaves, and what the next command makes of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use super::*;
use crate::delete::delete;
use crate::testing::{Folder, policy, row, run_request};

const NOW: &str = "2024-06-01T00:00:00-03:00";

/// What a crash leaves once the mark is there: the row is still in the file, and the archive is cut off.
fn given_up(name: &str, folder: &Folder) {
    give_up(&folder.dir(), std::iter::once(name)).unwrap();
    assert!(!folder.has(&format!("{name}.zip")) && folder.has(&mark_of(name)));
    assert!(folder.read("backup_history.json").contains(name));
}

#[test]
fn a_mark_counts_like_a_tombstone_until_the_next_writer_has_put_one_in_its_place() {
    let rows = [row(1, "2024-01-01T02:00:00"), row(2, "2024-01-02T02:00:00")];
    type Writer = fn(&Folder);
    let writers: [(&str, Writer, bool); 4] = [
        ("delete again", |f| drop(delete(&f.roots, 2, true, NOW)), false),
        (
            "pin",
            |f| drop(crate::pin::pin(&f.roots, 2, true).unwrap()),
            false,
        ),
        (
            "prune",
            |f| {
                let policy = policy(4);
                drop(crate::prune::prune(&f.roots, &policy, NOW, false).unwrap());
            },
            true,
        ),
        (
            "rebuild",
            |f| drop(crate::catalog::rebuild(&f.roots, NOW, "").unwrap()),
            false,
        ),
    ];
    for (what, write, cleans) in writers {
        let folder = Folder::with(&rows);
        given_up(&rows[0].name, &folder);
        assert!(!folder.catalog().records().iter().any(|r| r.id == 1), "{what}");
        assert!(folder.catalog().is_taken(&rows[0].name), "{what}");
        write(&folder);
        assert!(
            !folder.read("backup_history.json").contains(&rows[0].name),
            "{what}"
        );
        assert!(folder.read(".catalog.json").contains(&rows[0].name), "{what}");
        assert_eq!(folder.has(&mark_of(&rows[0].name)), !cleans, "{what}");
        crate::run::begin(&folder.roots, &run_request(NOW)).unwrap();
        assert!(!folder.has(&mark_of(&rows[0].name)), "{what}");
        assert!(folder.catalog().is_taken(&rows[0].name), "{what}");
        assert_eq!(folder.catalog().pending().count(), 0, "{what}");
    }
}

#[test]
fn a_mark_beside_its_archive_says_nothing_and_is_removed() {
    let rows = [row(1, "2024-01-01T02:00:00"), row(2, "2024-01-02T02:00:00")];
    let folder = Folder::with(&rows);
    folder.write(&mark_of(&rows[0].name), b"");
    assert_eq!(folder.ids(), [1, 2]);
    crate::run::begin(&folder.roots, &run_request(NOW)).unwrap();
    assert!(folder.has(&rows[0].archive_name()) && !folder.has(&mark_of(&rows[0].name)));
    assert_eq!(folder.ids(), [1, 2, 3]);
}
