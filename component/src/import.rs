//! `import-rows` and `identify`: a catalog that is taken over from a copy elsewhere. The archives come afterwards, one
//! by one, under the names that the rows give them.

use std::collections::{HashMap, HashSet};

use crate::catalog::{Catalog, Record, Status, check_row};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{BACKUPS, Roots};
use crate::types::Backup;

/// Longest identity of a repository, in bytes.
const MAX_IDENTITY: usize = 64;

/// Adds rows that the catalog does not have, and gives those. A row that is there already stays as it is; one that was
/// deleted here comes back only with `revive`. A row with the id 0 gets the next one.
///
/// # Errors
/// `InvalidInput` for a row that can't be one of a backup with an archive, `Refused` where an id or a name is there with
/// another name or id: nothing is changed then. `CatalogInvalid`, or an I/O error.
pub fn import_rows(
    roots: &Roots,
    rows: Vec<Record>,
    zip_path_prefix: &str,
    revive: bool,
) -> Result<Vec<Backup>> {
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load_to_fill(&dir)?;
    // Rows of archives that are here fill a catalog that has lost them; others would only hide that.
    if !rows.iter().any(|row| catalog.archive_present(row)) {
        catalog.check_emptied()?;
    }
    let mut added = Vec::new();
    for row in rows {
        if is_known(&catalog, &row)? || (!revive && catalog.was_deleted(&row.name)) {
            continue;
        }
        added.push(taken_in(row, zip_path_prefix)?);
    }
    check_among(&added)?;
    let names: HashSet<String> = added.iter().map(|row| row.name.clone()).collect();
    if !added.is_empty() {
        let (anew, known): (Vec<_>, Vec<_>) = added.into_iter().partition(|row| row.id == 0);
        catalog.take_in(known);
        anew.into_iter().for_each(|row| catalog.take_in_anew(row));
        catalog.publish(&dir)?;
    }
    let new = catalog.records().iter().filter(|row| names.contains(&row.name));
    Ok(new.map(|row| Backup::of(row, &catalog)).collect())
}

/// Gives the identity of this repository, which becomes `id` where it has none yet.
///
/// # Errors
/// `InvalidInput` for an identity of other characters than letters, digits and `-`, or of more than 64. `CatalogInvalid`,
/// or an I/O error.
pub fn identify(roots: &Roots, id: &str) -> Result<String> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if id.is_empty() || id.len() > MAX_IDENTITY || !id.chars().all(good) {
        let message = "an identity has 1 to 64 letters, digits and `-`";
        return Err(Error::new(ErrorKind::InvalidInput, "identify", message));
    }
    let dir = roots.open(BACKUPS)?;
    let mut catalog = Catalog::load(&dir)?;
    if let Some(known) = catalog.repository() {
        return Ok(known.to_owned());
    }
    catalog.set_repository(id);
    catalog.publish_state(&dir)?;
    Ok(id.to_owned())
}

/// Whether the catalog has this row.
fn is_known(catalog: &Catalog, row: &Record) -> Result<bool> {
    let same_id = |known: &Record| row.id != 0 && known.id == row.id;
    let same = |known: &&Record| same_id(known) || known.name == row.name;
    match catalog.records().iter().find(same) {
        None => Ok(false),
        Some(known) if (row.id == 0 || known.id == row.id) && known.name == row.name => Ok(true),
        Some(known) => Err(mixed(row, known)),
    }
}

/// Two histories in one catalog: each id would stand for two backups.
fn mixed(row: &Record, known: &Record) -> Error {
    let message = format!(
        "id {} of {} meets id {} of {}: they are of two histories",
        row.id, row.name, known.id, known.name
    );
    Error::new(ErrorKind::Refused, "import rows", message)
        .remedy("take the rows into a backups folder of their own; nothing was changed")
}

fn check_among(rows: &[Record]) -> Result<()> {
    let mut ids = HashMap::new();
    let mut names = HashMap::new();
    for row in rows {
        let same_id = if row.id == 0 {
            None
        } else {
            ids.insert(row.id, row)
        };
        let twins = [same_id, names.insert(row.name.as_str(), row)];
        if let Some(other) = twins.into_iter().flatten().next() {
            return Err(mixed(row, other));
        }
    }
    Ok(())
}

/// A row as it is taken in: what this folder knows better is its own.
fn taken_in(mut row: Record, zip_path_prefix: &str) -> Result<Record> {
    let bad = |message: String| {
        let name: String = row.name.chars().take(100).collect();
        Error::new(ErrorKind::InvalidInput, "import rows", message).about(name)
    };
    check_row(&row).map_err(&bad)?;
    if !matches!(row.status, Status::Completed | Status::Partial) {
        return Err(bad("a run without an archive can't be taken in".to_owned()));
    }
    let is_digest =
        |text: &str| text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !row.sha256.as_deref().is_some_and(is_digest) {
        return Err(bad("the row has no SHA-256 of its archive".to_owned()));
    }
    row.zip_path = Some(format!("{zip_path_prefix}{}", row.archive_name()));
    Ok(row)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;
    use crate::delete::delete;
    use crate::testing::{Folder, row, row_with};

    fn copied(id: u64, local: &str) -> Record {
        Record {
            sha256: Some("0".repeat(64)),
            zip_path: Some("/etc/passwd".to_owned()),
            ..row(id, local)
        }
    }

    #[test]
    fn an_empty_folder_takes_over_rows_in_the_order_of_their_ids_and_counts_on_from_them() {
        let folder = Folder::new();
        let rows = vec![copied(7, "2024-01-07T02:00:00"), copied(3, "2024-01-03T02:00:00")];
        let added = import_rows(&folder.roots, rows, "backups/", false).unwrap();
        assert_eq!(added.iter().map(|b| b.record.id).collect::<Vec<_>>(), [3, 7]);
        assert!(added.iter().all(|b| !b.archive_present));
        let path = added[0].record.zip_path.as_deref();
        assert_eq!(path, Some("backups/backup_20240103_020000_automated.zip"));
        assert_eq!(folder.ids(), [3, 7]);
        let mut catalog = folder.catalog();
        assert_eq!(
            catalog.append(|id| copied(id, "2024-01-08T02:00:00")).unwrap().id,
            8
        );
    }

    #[test]
    fn a_row_without_an_id_gets_the_next_one_and_its_place_by_time() {
        let folder = Folder::with(&[row(1, "2024-01-05T02:00:00"), row(2, "2024-01-06T02:00:00")]);
        delete(&folder.roots, 2, true, "2024-02-01T00:00:00Z").unwrap();
        let rows = || vec![copied(0, "2024-01-01T02:00:00"), copied(0, "2024-01-09T02:00:00")];
        let added = import_rows(&folder.roots, rows(), "", false).unwrap();
        let ids: Vec<_> = added.iter().map(|b| b.record.id).collect();
        assert_eq!(ids, [3, 4], "not that of the deleted one");
        assert_eq!(folder.ids(), [3, 1, 4]);
        assert_eq!(import_rows(&folder.roots, rows(), "", false).unwrap(), []);
        // One at a time they leave the others where they are.
        let more = vec![copied(0, "2024-01-02T02:00:00")];
        import_rows(&folder.roots, more, "", false).unwrap();
        assert_eq!(folder.ids(), [3, 5, 1, 4]);
    }

    #[test]
    fn rows_that_are_there_stay_and_deleted_ones_come_back_only_when_asked_for() {
        let rows = [row(1, "2024-01-01T02:00:00"), row(2, "2024-01-02T02:00:00")];
        let folder = Folder::with(&rows);
        delete(&folder.roots, 1, true, "2024-02-01T00:00:00Z").unwrap();
        let copies = || vec![copied(1, "2024-01-01T02:00:00"), copied(2, "2024-01-02T02:00:00")];
        assert_eq!(import_rows(&folder.roots, copies(), "", false).unwrap(), []);
        assert_eq!(folder.ids(), [2]);
        assert_eq!(import_rows(&folder.roots, copies(), "", true).unwrap().len(), 1);
        assert_eq!(folder.ids(), [1, 2]);
        assert_eq!(folder.catalog().get(2).unwrap().sha256, None, "its own row stays");
    }

    #[test]
    fn two_histories_are_never_mixed_and_nothing_is_changed() {
        let folder = Folder::with(&[row(1, "2024-01-01T02:00:00")]);
        let before = folder.read("backup_history.json");
        let cases = [
            vec![copied(1, "2024-01-05T02:00:00")],
            vec![copied(9, "2024-01-01T02:00:00")],
            vec![copied(5, "2024-01-05T02:00:00"), copied(5, "2024-01-06T02:00:00")],
            vec![copied(5, "2024-01-05T02:00:00"), copied(6, "2024-01-05T02:00:00")],
        ];
        for rows in cases {
            let e = import_rows(&folder.roots, rows, "", true).unwrap_err();
            assert_eq!(e.kind, ErrorKind::Refused, "{e}");
            assert_eq!(folder.read("backup_history.json"), before);
        }
    }

    #[test]
    fn a_row_that_is_none_of_a_backup_is_refused() {
        let folder = Folder::new();
        let good = copied(1, "2024-01-01T02:00:00");
        let cases = [
            Record {
                name: "../../etc/passwd".to_owned(),
                ..good.clone()
            },
            Record {
                sha256: None,
                ..good.clone()
            },
            Record {
                sha256: Some("F".repeat(64)),
                ..good.clone()
            },
            Record {
                timestamp: "yesterday".to_owned(),
                ..good.clone()
            },
            Record { id: u64::MAX, ..good },
            row_with(1, "2024-01-01T02:00:00", Status::Failed),
        ];
        for row in cases {
            let e = import_rows(&folder.roots, vec![row], "", true).unwrap_err();
            assert_eq!(e.kind, ErrorKind::InvalidInput, "{e}");
        }
        assert!(folder.names().is_empty());
    }

    #[test]
    fn an_identity_is_given_once_and_survives_a_rebuild() {
        let folder = Folder::with(&[]);
        assert_eq!(identify(&folder.roots, "first-1").unwrap(), "first-1");
        assert_eq!(identify(&folder.roots, "second").unwrap(), "first-1");
        crate::catalog::rebuild(&folder.roots, "2024-02-01T00:00:00Z", "").unwrap();
        assert_eq!(identify(&folder.roots, "third").unwrap(), "first-1");
        for bad in ["", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(
                identify(&folder.roots, bad).unwrap_err().kind,
                ErrorKind::InvalidInput
            );
        }
    }
}
