//! `prune`: applies retention. The catalog without the backups is durable before their files go.

use crate::catalog::{Catalog, Record, time};
use crate::delete::{publish_without, remove_buried};
use crate::error::Result;
use crate::fs::{BACKUPS, Roots};
use crate::retention::{self, RecordView};
use crate::types::{Backup, RetentionPolicy, Verdict};

/// Removes what `policy` does not keep, or with `dry_run` only says so. One verdict a row, oldest first.
///
/// # Errors
/// `InvalidInput` for a policy that keeps nothing or a bad time, `CatalogInvalid` (nothing is removed on such
/// evidence), or an I/O error; a file that can't be removed is tried again by the next run.
pub fn prune(roots: &Roots, policy: &RetentionPolicy, now: &str, dry_run: bool) -> Result<Vec<Verdict>> {
    let now = time::parse_instant(now, "time of the prune")?;
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    let rows: Vec<RecordView<'_>> = catalog
        .records()
        .iter()
        .map(|record| RecordView {
            record,
            archive_present: catalog.archive_present(record),
        })
        .collect();
    let decisions = retention::decide(&rows, policy, now)?;
    let verdicts: Vec<Verdict> = rows
        .iter()
        .zip(decisions)
        .map(|(row, decision)| Verdict {
            backup: Backup::of(row.record, &catalog),
            keep: decision.keep,
            reasons: decision.reasons,
        })
        .collect();
    if dry_run {
        return Ok(verdicts);
    }
    let going = verdicts.iter().filter(|v| !v.keep);
    let gone: Vec<Record> = going
        .map(|v| catalog.remove(v.backup.record.id))
        .collect::<Result<_>>()?;
    if gone.is_empty() {
        catalog.settle(&dir)?;
    } else {
        publish_without(&dir, &mut catalog, &gone)?;
    }
    // Whoever prunes wants the space, also that of a delete that was interrupted.
    let names: Vec<String> = catalog.pending().map(|t| t.name.clone()).collect();
    if !names.is_empty() {
        remove_buried(&dir, &mut catalog, &names)?;
    }
    Ok(verdicts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::catalog::Status;
    use crate::error::ErrorKind;
    use crate::testing::{Folder, policy, row, row_with};

    const NOW: &str = "2024-06-01T00:00:00-03:00";

    fn four() -> Vec<crate::catalog::Record> {
        (1..=4)
            .map(|n| row(n, &format!("2024-01-0{n}T02:00:00")))
            .collect()
    }

    #[test]
    fn what_goes_goes_with_its_files_and_the_rest_is_not_touched() {
        let rows = four();
        let folder = Folder::with(&rows);
        folder.write("backup_20230101_020000_clienteB.zip", b"x");
        folder.write("backup_20230101_020000_unknown.zip", b"x");
        let verdicts = prune(&folder.roots, &policy(2), NOW, false).unwrap();
        let kept: Vec<bool> = verdicts.iter().map(|v| v.keep).collect();
        assert_eq!(kept, [false, false, true, true]);
        assert_eq!(verdicts[0].reasons, ["over max_backups"]);
        assert_eq!(folder.ids(), [3, 4]);
        for (row, kept) in rows.iter().zip(kept) {
            assert_eq!(folder.has(&row.archive_name()), kept);
            assert_eq!(folder.has(&row.sidecar_name()), kept);
        }
        assert!(folder.has("backup_20230101_020000_clienteB.zip"));
        assert!(folder.has("backup_20230101_020000_unknown.zip"));
        assert_eq!(folder.catalog().pending().count(), 0);
    }

    #[test]
    fn a_dry_run_says_the_same_and_changes_nothing() {
        let folder = Folder::with(&four());
        let before = (folder.names(), folder.read("backup_history.json"));
        let said = prune(&folder.roots, &policy(1), NOW, true).unwrap();
        assert_eq!((folder.names(), folder.read("backup_history.json")), before);
        assert_eq!(prune(&folder.roots, &policy(1), NOW, false).unwrap(), said);
        assert_eq!(folder.ids(), [4]);
    }

    #[test]
    fn nothing_to_do_writes_nothing() {
        let folder = Folder::with(&four());
        let before = folder.names();
        prune(&folder.roots, &policy(4), NOW, false).unwrap();
        assert_eq!(folder.names(), before);
    }

    #[test]
    fn a_bad_policy_or_a_broken_catalog_removes_nothing() {
        let folder = Folder::with(&four());
        let e = prune(&folder.roots, &policy(0), NOW, false).unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput);
        let e = prune(&folder.roots, &policy(1), "hoje", false).unwrap_err();
        assert_eq!(e.kind, ErrorKind::InvalidInput);
        folder.write("backup_history.json", b"");
        let before = folder.names();
        let e = prune(&folder.roots, &policy(1), NOW, false).unwrap_err();
        assert_eq!(e.kind, ErrorKind::CatalogInvalid);
        assert_eq!(folder.names(), before);
    }

    #[test]
    fn an_emptied_source_that_only_fails_never_pushes_good_ones_out() {
        let mut rows = four();
        for n in 5..=9 {
            rows.push(row_with(n, &format!("2024-05-0{n}T02:00:00"), Status::Failed));
        }
        let folder = Folder::with(&rows);
        prune(&folder.roots, &policy(4), NOW, false).unwrap();
        assert_eq!(folder.ids(), [1, 2, 3, 4, 9]);
    }
}
