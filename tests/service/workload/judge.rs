//! The checker itself has to see what it is there to see.

use std::time::Instant;

use serde_json::{Value, json};

use crate::site::{Extra, Site};

use super::KEPT;
use super::checker::Checker;
use super::shared::Shared;

/// What a broken promise looks like, done to the files of a good repository.
type Damage = fn(&Site, &[Value]);

fn write(site: &Site, rows: &[Value]) {
    site.app
        .write("backups/backup_history.json", &serde_json::to_vec(rows).unwrap());
}

fn without(site: &Site, rows: &[Value], at: usize) {
    let mut rows = rows.to_vec();
    rows.remove(at);
    write(site, &rows);
}

fn changed(site: &Site, rows: &[Value], at: usize, key: &str, value: Value) {
    let mut rows = rows.to_vec();
    rows[at][key] = value;
    write(site, &rows);
}

const DAMAGES: [(&str, Damage); 11] = [
    ("an archive gone", |site, rows| {
        std::fs::remove_file(site.app.archive(&rows[1])).unwrap()
    }),
    ("a checksum gone", |site, rows| {
        std::fs::remove_file(site.app.archive(&rows[1]).with_extension("zip.sha256")).unwrap();
    }),
    ("a bit", |site, rows| {
        let path = site.app.archive(&rows[2]);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[40] ^= 1;
        std::fs::write(path, bytes).unwrap();
    }),
    ("a cut", |site, rows| {
        let path = site.app.archive(&rows[2]);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("half a catalog", |site, rows| {
        let text = serde_json::to_vec(rows).unwrap();
        site.app
            .write("backups/backup_history.json", &text[..text.len() / 2]);
    }),
    ("no catalog", |site, _| {
        std::fs::remove_file(site.app.history_path()).unwrap()
    }),
    ("the newest gone", |site, rows| {
        without(site, rows, rows.len() - 1)
    }),
    ("one too many gone", |site, rows| without(site, rows, 1)),
    ("an id twice", |site, rows| {
        changed(site, rows, 1, "id", rows[0]["id"].clone())
    }),
    ("another name for an id", |site, rows| {
        changed(site, rows, 1, "name", json!("backup_20200101_000000_manual"))
    }),
    ("a run that failed", |site, rows| {
        changed(site, rows, 0, "status", json!("failed"))
    }),
];

#[test]
fn the_checker_sees_each_kind_of_damage() {
    let site = Site::with(Extra {
        top: &format!("max_backups = {KEPT}"),
        ..Extra::default()
    });
    for _ in 0..3 {
        site.app.create();
    }
    let rows = site.app.history();
    let kept = site.app.path("guardado");
    crate::support::copy_tree(&site.app.backups(), &kept);
    for (what, damage) in DAMAGES {
        let shared = Shared::new(&site, Instant::now());
        let mut checker = Checker::new(&shared);
        checker.look_at_all();
        shared.assert_no_violation();
        damage(&site, &rows);
        checker.look_at_all();
        assert!(shared.violations() > 0, "{what} is not seen");
        std::fs::remove_dir_all(site.app.backups()).unwrap();
        crate::support::copy_tree(&kept, &site.app.backups());
    }
}
