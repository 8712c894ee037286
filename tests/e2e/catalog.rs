//! A catalog that can't be read is never overwritten; every command says so and names the way out.

use std::path::Path;

use crate::support::{App, archive_names, same_tree};

/// Every command that needs the catalog refuses it with a message, and leaves it as it is.
fn refused_and_untouched(history: &[u8]) {
    let app = App::small();
    app.create();
    let archives = app.archives();
    std::fs::write(app.history_path(), history).unwrap();
    for args in [
        vec!["list"],
        vec!["status"],
        vec!["create"],
        vec!["verify"],
        vec!["show", "1"],
        vec!["restore", "1"],
        vec!["delete", "1"],
        vec!["prune"],
        vec!["pin", "1"],
        vec!["diff", "1", "1"],
    ] {
        app.cofre(&args)
            .exits(10)
            .says("backup_history.json")
            .says("cofre rebuild");
    }
    assert_eq!(std::fs::read(app.history_path()).unwrap(), history);
    assert_eq!(app.archives(), archives);
    app.assert_no_leftovers();

    app.cofre(&["rebuild"]).exits(0).says("backup_history.json");
    let kept: Vec<_> = app
        .backup_files()
        .into_iter()
        .filter(|name| name.contains(".broken-"))
        .collect();
    assert_eq!(kept.len(), 1, "the broken file is kept aside: {kept:?}");
    assert_eq!(std::fs::read(app.backups().join(&kept[0])).unwrap(), history);
    // Rows whose archive is gone may have been saved from the old file: the made one is good all the same.
    app.cofre(&["verify", app.archives()[0].file_name().unwrap().to_str().unwrap()])
        .exits(0);
    let (rows, ids) = (app.history().len(), known_ids(&app));
    let next = app.create()["id"].as_u64().unwrap();
    assert!(!ids.contains(&next), "{next} was given out again");
    assert_eq!(app.history().len(), rows + 1);
}

fn known_ids(app: &App) -> Vec<u64> {
    app.history()
        .iter()
        .filter_map(|row| row["id"].as_u64())
        .collect()
}

#[test]
fn an_empty_history_is_refused_until_rebuilt() {
    refused_and_untouched(b"");
}

#[test]
fn a_history_that_is_not_json_is_refused_until_rebuilt() {
    refused_and_untouched(b"[{\"id\": 1, \"name\": \"backup_2025");
}

#[test]
fn a_history_of_another_shape_is_refused_until_rebuilt() {
    refused_and_untouched(b"{\"backups\": []}");
}

#[test]
fn a_history_that_is_not_utf8_is_refused_until_rebuilt() {
    refused_and_untouched(b"[\"\xff\xfe\"]");
}

#[test]
fn a_history_with_one_id_twice_is_refused_until_rebuilt() {
    let row = |name: &str| {
        format!(
            "{{\"id\": 1, \"name\": \"{name}\", \"type\": \"manual\", \"timestamp\": \"2025-08-31T21:52:49.123456\", \
             \"status\": \"completed\", \"size\": 1, \"error\": null, \"zip_path\": null}}"
        )
    };
    let rows = format!(
        "[{}, {}]",
        row("backup_20250831_215249_manual"),
        row("backup_20250831_215250_manual")
    );
    refused_and_untouched(rows.as_bytes());
}

#[test]
fn a_name_that_leads_out_of_the_folder_is_refused() {
    refused_and_untouched(
        b"[{\"id\": 1, \"name\": \"../../etc/backup_20250831_215249_manual\", \"type\": \"manual\", \
          \"timestamp\": \"2025-08-31T21:52:49.123456\", \"status\": \"completed\", \"size\": 1, \"error\": null, \
          \"zip_path\": null}]",
    );
}

#[test]
fn a_missing_history_beside_archives_is_not_an_empty_one() {
    let app = App::small();
    app.create();
    std::fs::remove_file(app.history_path()).unwrap();
    app.cofre(&["create"]).exits(10).says("cofre rebuild");
    app.cofre(&["rebuild"]).exits(0);
    assert_eq!(app.history().len(), 1);
}

#[test]
fn an_archive_that_rebuild_refuses_stands_in_the_way_of_no_new_backup() {
    let app = App::small();
    let archive = app.archive(&app.create());
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() - 1]).unwrap();
    std::fs::write(app.history_path(), b"").unwrap();
    app.cofre(&["create"]).exits(10).says("cofre rebuild");
    app.cofre(&["rebuild"]).exits(5).says("truncated");
    let record = app.create();
    assert_ne!(app.archive(&record), archive);
    assert_eq!(
        std::fs::read(&archive).unwrap().len(),
        bytes.len() - 1,
        "left alone"
    );
}

#[test]
fn zip_path_is_for_old_clients_and_opens_nothing() {
    let app = App::small();
    let record = app.create();
    app.write("isca.zip", b"not an archive");
    let text = std::fs::read_to_string(app.history_path()).unwrap();
    let mut rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    rows[0]["zip_path"] = "../isca.zip".into();
    std::fs::write(app.history_path(), rows.to_string()).unwrap();
    app.cofre(&["verify", "latest"]).exits(0);
    app.cofre(&["delete", "latest", "--force"]).exits(0);
    assert!(app.path("isca.zip").exists() && !app.archive(&record).exists());
}

#[test]
fn rebuild_finds_every_archive_again_and_resurrects_no_deleted_one() {
    let app = App::small();
    let records: Vec<_> = (0..3).map(|_| app.create()).collect();
    let gone = std::fs::read(app.archive(&records[1])).unwrap();
    app.cofre(&["delete", "2"]).exits(0);
    std::fs::write(app.archive(&records[1]), gone).unwrap();
    std::fs::write(app.history_path(), b"torn").unwrap();
    app.cofre(&["rebuild"]).exits(0);
    let ids: Vec<_> = app
        .history()
        .iter()
        .map(|row| row["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [1, 3]);
    assert_eq!(app.create()["id"], 4, "an id is never used again");
    let restored = app.restore("1", "restored");
    same_tree(&app.path("static"), &restored.join("static"));
}

#[test]
fn the_catalog_has_the_fields_of_the_original_system_first() {
    let app = App::small();
    let record = app.create();
    let text = std::fs::read_to_string(app.history_path()).unwrap();
    let order = [
        "id",
        "name",
        "type",
        "timestamp",
        "status",
        "size",
        "error",
        "zip_path",
    ];
    let positions: Vec<_> = order
        .iter()
        .map(|field| text.find(&format!("\"{field}\":")).unwrap())
        .collect();
    assert!(positions.is_sorted(), "{text}");
    let row = &app.history()[0];
    let size = std::fs::metadata(app.archive(&record)).unwrap().len();
    assert_eq!(row["size"], size);
    let timestamp = row["timestamp"].as_str().unwrap();
    assert_eq!(
        (timestamp.len(), &timestamp[10..11]),
        (26, "T"),
        "local, without offset, microseconds: {timestamp}"
    );
    let zip_path = row["zip_path"].as_str().unwrap();
    assert!(
        Path::new(zip_path).ends_with(format!("{}.zip", row["name"].as_str().unwrap())),
        "{zip_path}"
    );
    assert!(archive_names(&app.archive(&record)).contains(&"backup_info.json".to_owned()));
}
