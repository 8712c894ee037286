//! Archives with odd names, kinds, links and lies: nothing is ever written outside the target, what is restored is
//! what the archive says, and restore and verify are of one opinion.
#![no_main]

use std::collections::BTreeMap;

use cofre_component::restore::restore;
use cofre_component::types::RestoreRequest;
use cofre_component::verify::verify;
use cofre_component_fuzz::place::{Place, Thing};
use cofre_component_fuzz::zip::{Archive, Kind, text};
use libfuzzer_sys::{arbitrary, fuzz_target};

#[derive(Debug, arbitrary::Arbitrary)]
struct Input {
    archive: Archive,
    only: Vec<String>,
}

fn check_content(archive: &Archive, tree: &BTreeMap<String, Thing>, everything: bool, left_out: &[&str]) {
    let mut described = BTreeMap::new();
    for entry in &archive.entries {
        let path = text(&entry.name);
        let content = entry.content.bytes();
        let thing = match entry.kind {
            Kind::Link => Thing::Link(String::from_utf8(content).unwrap()),
            Kind::Folder => Thing::Folder,
            _ if path.ends_with('/') => Thing::Folder,
            _ => Thing::File(content),
        };
        described.insert(path.trim_end_matches('/').to_owned(), thing);
    }
    for (path, thing) in tree {
        match described.get(path) {
            Some(said) => assert_eq!(said, thing, "{path}"),
            // A folder that others lie in, or the manifest.
            None => assert!(*thing == Thing::Folder || path == "backup_info.json", "{path}"),
        }
    }
    // Only links are left out: absolute ones, and where no manifest vouches for them, those that lead out.
    for path in left_out {
        match described.get(*path) {
            Some(Thing::Link(target)) => assert!(target.starts_with('/') || !archive.manifest, "{path}"),
            other => panic!("{path} was left out: {other:?}"),
        }
    }
    for path in described.keys() {
        assert!(
            !everything || left_out.contains(&path.as_str()) || tree.contains_key(path),
            "{path} is missing"
        );
    }
}

fuzz_target!(|input: Input| {
    let place = Place::new();
    place.put_archive(7, &input.archive.bytes());
    let before = place.tree("backups");
    let full = verify(&place.roots, 7, false).unwrap();
    let request = RestoreRequest {
        id: 7,
        only: input.only.clone(),
    };
    let restored = restore(&place.roots, &request);
    assert_eq!(place.tree("backups"), before);
    place.check_surroundings();
    match restored {
        Ok(report) => {
            assert!(
                !input.only.is_empty() || full.problems.iter().all(|p| p.contains("another ZIP reader")),
                "{full:?}"
            );
            assert_eq!(report.manifest, full.manifest);
            if input.archive.is_honest() {
                let left_out: Vec<&str> = report
                    .links_left_out
                    .iter()
                    .map(|link| link.path.as_str())
                    .collect();
                check_content(
                    &input.archive,
                    &place.tree("target"),
                    input.only.is_empty(),
                    &left_out,
                );
            }
        }
        Err(e) => {
            assert!(
                e.to_string().len() < 20_000 && !e.to_string().contains(char::is_control),
                "{e:?}"
            );
            // Of names, what is too long for this system may fit another.
            let too_long = e.message.contains("too long");
            assert!(
                too_long || !full.manifest || !full.problems.is_empty() || !input.only.is_empty(),
                "{e}"
            );
        }
    }
});
