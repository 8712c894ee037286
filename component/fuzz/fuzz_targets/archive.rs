//! Any bytes as an archive: looked at in every way, none of which writes outside the target; what verification
//! praises is restored, and what is restored verifies.
#![no_main]

use cofre_component::catalog::rebuild;
use cofre_component::entries::{details, entries};
use cofre_component::restore::restore;
use cofre_component::types::RestoreRequest;
use cofre_component::verify::verify;
use cofre_component_fuzz::place::{NAME, NOW, Place};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let place = Place::new();
    place.put_archive(7, data);
    let before = place.tree("backups");

    let quick = verify(&place.roots, 7, true).unwrap();
    let full = verify(&place.roots, 7, false).unwrap();
    assert!(
        !quick.problems.is_empty() <= !full.problems.is_empty(),
        "{quick:?} {full:?}"
    );
    let listed = entries(&place.roots, 7, None, u32::MAX);
    let detailed = details(&place.roots, 7);
    let request = RestoreRequest { id: 7, only: vec![] };
    let restored = restore(&place.roots, &request);
    assert_eq!(place.tree("backups"), before);
    place.check_surroundings();

    if full.problems.is_empty() {
        listed.unwrap();
        detailed.unwrap();
    }
    match &restored {
        // What another ZIP reader thinks is for verification alone.
        Ok(_) => assert!(
            full.problems.iter().all(|p| p.contains("another ZIP reader")),
            "{full:?}"
        ),
        // No archive of cofre's: without entries, with names for Windows, or a bomb.
        Err(e) if full.manifest => assert!(!full.problems.is_empty(), "{e}"),
        Err(_) => {}
    }

    // The same archive without its row.
    std::fs::remove_file(place.path("backups/backup_history.json")).unwrap();
    let report = rebuild(&place.roots, NOW, "backups/").unwrap();
    if full.problems.is_empty() {
        assert_eq!(report.backups.len(), 1, "{report:?}");
        assert_eq!(report.backups[0].record.name, NAME);
    }
    place.check_surroundings();
});
