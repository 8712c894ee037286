//! Any bytes as `backup_history.json` and, behind a NUL, as `.catalog.json`: what is valid survives being written,
//! what is not is left as it is, and `rebuild` mends everything without losing a row that can be read.
#![no_main]

use cofre_component::catalog::{self, Catalog, Record, Status, rebuild};
use cofre_component::error::ErrorKind;
use cofre_component::types::RunRequest;
use cofre_component::{run, status};
use cofre_component_fuzz::place::{NOW, Place};
use libfuzzer_sys::fuzz_target;

/// Ids above this one are not taken over by `rebuild`.
const SANE_ID: u64 = (1 << 52) - 1;

fn place(data: &[u8]) -> Place {
    let (history, state) = match data.iter().position(|b| *b == 0) {
        Some(at) => (&data[..at], Some(&data[at + 1..])),
        None => (data, None),
    };
    let place = Place::new();
    place.write("backups/backup_history.json", history);
    if let Some(state) = state {
        place.write("backups/.catalog.json", state);
    }
    place
}

fn rows(place: &Place) -> cofre_component::Result<Vec<Record>> {
    Catalog::load(&place.backups()).map(|c| c.records().to_vec())
}

/// A catalog that is valid: read in every way, written, and a run added.
fn check_valid(place: &Place, before: &[Record]) {
    status::status(&place.roots, NOW).unwrap();
    assert_eq!(catalog::list(&place.roots).unwrap().len(), before.len());
    for row in before {
        assert_eq!(
            catalog::find(&place.roots, &row.id.to_string()).unwrap().record,
            *row
        );
        assert_eq!(catalog::find(&place.roots, &row.name).unwrap().record, *row);
    }
    let mut catalog = Catalog::load(&place.backups()).unwrap();
    catalog.publish(&place.backups()).unwrap();
    assert_eq!(rows(place).unwrap(), before);

    let request = RunRequest {
        backup_type: "manual".into(),
        plan: "manual".into(),
        started_at: NOW.into(),
        zip_path_prefix: "backups/".into(),
    };
    let files = place.tree("backups");
    match run::begin(&place.roots, &request) {
        Ok(new) => {
            let after = rows(place).unwrap();
            assert_eq!(after.last(), Some(&new));
            assert_eq!(after.len(), before.len() + 1);
            for (old, row) in before.iter().zip(&after) {
                assert!(new.id > old.id);
                assert!(old.status == Status::InProgress || old == row);
                assert_eq!((old.id, &old.name), (row.id, &row.name));
            }
        }
        // There is no id left to give.
        Err(e) => {
            assert_eq!(e.kind, ErrorKind::CatalogInvalid, "{e}");
            assert_eq!(
                files.get("backup_history.json"),
                place.tree("backups").get("backup_history.json")
            );
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let first = place(data);
    let before = first.tree("backups");
    let valid = match rows(&first) {
        Ok(rows) => {
            check_valid(&first, &rows);
            Some(rows)
        }
        Err(e) => {
            assert!(
                matches!(e.kind, ErrorKind::CatalogInvalid | ErrorKind::Unsupported),
                "{e}"
            );
            assert!(
                e.to_string().len() < 2000 && !e.to_string().contains(char::is_control),
                "{e:?}"
            );
            None
        }
    };

    let second = place(data);
    match rebuild(&second.roots, NOW, "backups/") {
        Ok(report) => {
            let after = rows(&second).unwrap();
            assert_eq!(report.backups.len(), after.len());
            for old in valid.iter().flatten() {
                let row = after.iter().find(|r| r.name == old.name).unwrap();
                assert!(row.id == old.id || old.id > SANE_ID, "{old:?} {row:?}");
            }
            if valid.is_none() {
                let aside = |name: &str| {
                    before
                        .get(name)
                        .is_none_or(|old| second.tree("backups").values().any(|new| new == old))
                };
                assert!(aside("backup_history.json"), "the old catalog is lost");
            }
            // A second one finds nothing to do.
            let once = second.tree("backups");
            rebuild(&second.roots, NOW, "backups/").unwrap();
            assert_eq!(second.tree("backups"), once);
        }
        Err(e) => {
            assert_eq!(e.kind, ErrorKind::Unsupported, "{e}");
            assert_eq!(second.tree("backups"), before);
        }
    }
});
