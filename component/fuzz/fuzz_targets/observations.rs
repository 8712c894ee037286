//! Any bytes as the host's list of observations: the run fails or its archive verifies, and what is in it is what is
//! there.
#![no_main]

use std::os::unix::fs::symlink;

use cofre_component::create::create;
use cofre_component::restore::restore;
use cofre_component::types::{Compression, CreateRequest, Inventory, RestoreRequest, RunRequest, Source};
use cofre_component::verify::verify;
use cofre_component_fuzz::place::{NOW, Place, Thing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let place = Place::new();
    place.write("source/a", b"one");
    std::fs::create_dir(place.path("source/d")).unwrap();
    place.write("source/d/b", b"two, which is longer");
    symlink("../../beside/file", place.path("source/d/l")).unwrap();
    place.write("staging/seen", data);
    let request = CreateRequest {
        run: RunRequest {
            backup_type: "manual".into(),
            plan: "manual".into(),
            started_at: NOW.into(),
            zip_path_prefix: "backups/".into(),
        },
        begun: None,
        sources: vec![Source {
            folder: "s".into(),
            root: "/sources/s".into(),
            inventory: Inventory::ObservedFile("seen".into()),
            include: vec![],
            exclude: vec![],
            allow_empty: false,
        }],
        databases: vec![],
        compression: Compression::Deflate,
        level: 1,
        full: false,
    };
    let sources = place.tree("source");
    let created = create(&place.roots, request);
    assert_eq!(place.tree("source"), sources);
    if let Ok(report) = created {
        let id = report.backup.record.id;
        let verified = verify(&place.roots, id, false).unwrap();
        assert!(verified.problems.is_empty() && verified.manifest, "{verified:?}");
        // A link or folder that is not there may have a name that this system can't have.
        if let Err(e) = restore(&place.roots, &RestoreRequest { id, only: vec![] }) {
            assert!(e.message.contains("too long"), "{e}");
        }
        for (path, thing) in place.tree("target") {
            if let (Some(inside), Thing::File(_)) = (path.strip_prefix("s/"), &thing) {
                assert_eq!(sources.get(inside), Some(&thing), "{path}");
            }
        }
    }
    place.check_surroundings();
});
