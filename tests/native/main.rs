//! The engine compiled natively, with no sandbox around it: hostile archives write nothing outside of the target here
//! either. The sandbox is the second wall, not the first.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests; the builder of archives is used in part"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cofre_component::fs::{BACKUPS, Roots, TARGET};
use cofre_component::restore::restore;
use cofre_component::types::RestoreRequest;
use cofre_component::verify::verify;
use hostile::{End, kinds};

#[path = "../support/hostile/mod.rs"]
mod hostile;
#[path = "../support/zip.rs"]
mod zip;

const NAME: &str = "backup_20260101_020000_manual";

/// Everything below a folder but `left_out`: the content of a file, the target of a link, nothing of a folder.
fn tree(dir: &Path, left_out: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for item in std::fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        if path == left_out {
            continue;
        }
        let content = if kind.is_symlink() {
            std::fs::read_link(&path)
                .unwrap()
                .into_os_string()
                .into_encoded_bytes()
        } else if kind.is_dir() {
            tree(&path, left_out, found);
            Vec::new()
        } else {
            std::fs::read(&path).unwrap()
        };
        found.insert(path, content);
    }
}

#[test]
fn hostile_archives_write_nothing_outside_of_the_target_without_a_sandbox() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name);
    let (backups, target, outside) = (path("backups"), path("deep/target"), path("outside"));
    for dir in [&backups, &outside, &path("deep")] {
        std::fs::create_dir(dir).unwrap();
    }
    std::fs::write(outside.join("alvo.txt"), "INTACTO").unwrap();
    // A row of the original system, which knows no checksum.
    let row = format!(
        r#"[{{"id":1,"name":"{NAME}","type":"manual","timestamp":"2026-01-01T02:00:00.000000","status":"completed","size":0,"error":null,"zip_path":"x"}}]"#
    );
    std::fs::write(backups.join("backup_history.json"), row).unwrap();
    let roots = Roots::new().with(BACKUPS, &backups).with(TARGET, &target);
    let mut judged = 0;
    for kind in kinds(NAME, outside.to_str().unwrap()) {
        let what = &kind.what;
        std::fs::write(backups.join(format!("{NAME}.zip")), &kind.bytes).unwrap();
        std::fs::create_dir(&target).unwrap();
        let (mut before, mut after, mut made) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        tree(temp.path(), &target, &mut before);
        let verified = verify(&roots, 1, false).unwrap();
        let only = Vec::new();
        let restored = restore(&roots, &RestoreRequest { id: 1, only });
        tree(temp.path(), &target, &mut after);
        assert!(before == after, "{what}: something outside of the target changed");
        match &kind.end {
            End::Refused(says, _) | End::Found(says, _) => {
                let e = restored.expect_err(what).to_string();
                let problems = verified.problems.join("\n");
                assert!(
                    says.is_empty() || e.contains(says.split(" (").next().unwrap()),
                    "{what}: {e}"
                );
                assert!(says.is_empty() || !problems.is_empty(), "{what}");
                assert!(!problems.contains('\u{1b}'), "{what}: {problems}");
            }
            // Absolute links are the host's.
            End::FineWithout(_) => {
                restored.expect(what);
                assert!(verified.problems.is_empty(), "{what}: {:?}", verified.problems);
            }
            End::Fine(paths) => {
                restored.expect(what);
                assert!(verified.problems.is_empty(), "{what}: {:?}", verified.problems);
                tree(&target, Path::new(""), &mut made);
                let is_file = |path: &&PathBuf| !path.symlink_metadata().unwrap().is_dir();
                let files: Vec<_> = made
                    .keys()
                    .filter(is_file)
                    .map(|p| p.strip_prefix(&target).unwrap())
                    .collect();
                assert_eq!(files, paths.iter().map(Path::new).collect::<Vec<_>>(), "{what}");
            }
        }
        std::fs::remove_dir_all(&target).unwrap();
        judged += 1;
    }
    assert!(judged > 150, "{judged}");
}
