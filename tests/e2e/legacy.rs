//! Histories and archives of the original Python system.

use std::process::Command;

use crate::support::{App, run, tool};

/// The row as the original system wrote it, with Windows paths and a list that cofre does not know.
const ROW: &str = r#"[
  {
    "id": 3,
    "name": "backup_20250831_215249_manual",
    "type": "teste_script",
    "timestamp": "2025-08-31T21:52:49.123456",
    "status": "completed",
    "files": [
      "database\\relatorios.sql"
    ],
    "size": 51234,
    "error": null,
    "zip_path": "backups\\backup_20250831_215249_manual.zip"
  }
]"#;

/// A backups folder of the original system: its history, and an archive with its small `backup_info.json`.
fn original() -> App {
    let app = App::small();
    app.write("backups/backup_history.json", ROW.as_bytes());
    let make = "
import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:
    z.writestr('database/relatorios.sql', 'CREATE TABLE relatorios (id INTEGER);\\n' * 50)
    z.writestr('static/css/style.css', 'body { margin: 0 }\\n')
    z.writestr('backup_info.json', json.dumps({'id': 3, 'type': 'teste_script', 'files': ['database\\\\relatorios.sql']}))
";
    let archive = app.backups().join("backup_20250831_215249_manual.zip");
    run(Command::new(tool("python3")).arg("-c").arg(make).arg(&archive)).exits(0);
    app
}

#[test]
fn an_original_history_loads_as_it_is() {
    let app = original();
    let list = app.json(&["list"]);
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    for (field, value) in [
        ("name", "backup_20250831_215249_manual"),
        ("type", "teste_script"),
        ("status", "completed"),
    ] {
        assert_eq!(list[0][field], value);
    }
    assert_eq!(
        (list[0]["id"].as_u64(), list[0]["size"].as_u64()),
        (Some(3), Some(51_234))
    );
    let status = app.json(&["status"]);
    assert_eq!(status["total_backups"], 1);
    assert_eq!(
        std::fs::read_to_string(app.history_path()).unwrap(),
        ROW,
        "reading changes nothing"
    );
}

#[test]
fn the_next_backup_continues_an_original_history_and_keeps_its_fields() {
    let app = original();
    assert_eq!(app.create()["id"], 4);
    let rows = app.history();
    let before: serde_json::Value = serde_json::from_str(ROW).unwrap();
    for (field, value) in before[0].as_object().unwrap() {
        assert_eq!(&rows[0][field], value, "{field}");
    }
}

#[test]
fn an_original_archive_verifies_and_restores_by_its_own_checksums() {
    let app = original();
    // A size that does not fit is all that tells of an archive that was exchanged, so it is insisted on.
    app.cofre(&["verify", "3"]).exits(5).says("51234");
    let size = std::fs::metadata(&app.archives()[0]).unwrap().len();
    let row = ROW.replace("51234", &size.to_string());
    app.write("backups/backup_history.json", row.as_bytes());
    app.cofre(&["verify", "3"])
        .exits(0)
        .says("verified (no manifest)");
    assert_eq!(app.history()[0]["verify_status"], "verified (no manifest)");
    let restored = app.restore("backup_20250831_215249_manual", "restored");
    assert_eq!(
        std::fs::read_to_string(restored.join("static/css/style.css")).unwrap(),
        "body { margin: 0 }\n"
    );
    assert_eq!(
        std::fs::read_to_string(restored.join("database/relatorios.sql"))
            .unwrap()
            .lines()
            .count(),
        50
    );
}

#[test]
fn an_original_history_without_its_archives_loads_and_says_so() {
    let app = original();
    std::fs::remove_file(app.backups().join("backup_20250831_215249_manual.zip")).unwrap();
    app.cofre(&["list"]).exits(0).says("missing");
    app.create();
    assert_eq!(app.history().len(), 2);
}

#[test]
fn rebuild_takes_original_archives_in() {
    let app = original();
    std::fs::write(app.history_path(), b"").unwrap();
    app.cofre(&["rebuild"]).exits(0);
    let rows = app.history();
    assert_eq!(rows[0]["name"], "backup_20250831_215249_manual");
    assert_eq!(
        rows[0]["timestamp"].as_str().map(|time| &time[..19]),
        Some("2025-08-31T21:52:49")
    );
    app.cofre(&["verify", "latest"]).exits(0);
}
