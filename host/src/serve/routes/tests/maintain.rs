//! `verificar`, `restaurar`, `excluir`, `limpar`.

use super::*;

use crate::lock::BackupsLock;

const RESTORE: &str = "[api]\nrestore_dir = \"restored\"";

fn restorable() -> App {
    let app = App::with(RESTORE);
    std::fs::create_dir(app.path("restored")).unwrap();
    app
}

fn restored(app: &App) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(app.path("restored"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_good_archive_verifies_and_the_catalog_knows() {
    let app = App::new();
    app.create().await;
    let json = app.post("/api/backup/verificar/1", "").await.is(200);
    assert_eq!(keys(&json), ["message", "success", "verification"]);
    let verification = &json["verification"];
    assert_eq!(
        keys(verification),
        [
            "backup", "bytes", "checksum", "entries", "manifest", "problems", "status"
        ]
    );
    assert_eq!(verification["status"], "verified");
    assert_eq!(verification["problems"], serde_json::json!([]));
    let row = app.list().await.remove(0);
    assert_eq!(row["verify_status"], "verified");
    assert_eq!(verification["backup"], row);
}

#[tokio::test]
async fn a_damaged_or_missing_archive_is_a_422_and_the_catalog_knows() {
    let app = App::new();
    let name = app.create().await["name"].as_str().unwrap().to_owned();
    let archive = app.path(&format!("backups/{name}.zip"));
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let json = app
        .post("/api/backup/verificar/1", "")
        .await
        .refuses(422, "verify_failed");
    assert_eq!(
        keys(&json),
        ["code", "detail", "message", "success", "verification"]
    );
    assert_eq!(json["verification"]["status"], "failed");
    assert!(!json["verification"]["problems"].as_array().unwrap().is_empty());
    assert_eq!(app.list().await[0]["verify_status"], "failed");
    std::fs::remove_file(&archive).unwrap();
    let json = app
        .post("/api/backup/verificar/1", "")
        .await
        .refuses(422, "verify_failed");
    assert_eq!(json["verification"]["status"], "failed");
}

#[tokio::test]
async fn a_verification_stands_though_the_catalog_is_held() {
    let app = App::new();
    app.create().await;
    let folder = std::fs::File::open(app.path("backups")).unwrap();
    let _lock = BackupsLock::acquire(&folder).unwrap();
    let json = app.post("/api/backup/verificar/1", "").await.is(200);
    assert_eq!(json["verification"]["status"], "verified");
    assert_eq!(json["verification"]["backup"]["verify_status"], Value::Null);
}

#[tokio::test]
async fn a_run_without_an_archive_is_neither_verified_restored_nor_downloaded() {
    let app = restorable();
    std::fs::remove_dir_all(app.path("static")).unwrap();
    app.post("/api/backup/criar", "")
        .await
        .refuses(500, "source_missing");
    app.post("/api/backup/verificar/1", "")
        .await
        .refuses(400, "not_completed");
    app.post("/api/backup/restaurar/1", "")
        .await
        .refuses(400, "not_completed");
    app.get("/api/backup/download/1")
        .await
        .refuses(400, "not_completed");
    assert_eq!(restored(&app), [""; 0]);
}

#[tokio::test]
async fn without_restore_dir_nothing_is_restored() {
    let app = App::new();
    app.create().await;
    app.post("/api/backup/restaurar/1", "{}")
        .await
        .refuses(409, "restore_disabled");
    // What is wrong with the request is said first.
    app.post("/api/backup/restaurar/1", "{\"destino\":\"/etc\"}")
        .await
        .refuses(422, "invalid_destination");
}

#[tokio::test]
async fn restore_goes_into_a_new_folder_below_restore_dir_and_nowhere_else() {
    let app = restorable();
    let name = app.create().await["name"].as_str().unwrap().to_owned();
    let json = app.post("/api/backup/restaurar/1", "").await.is(200);
    assert_eq!(
        keys(&json),
        [
            "backup",
            "links_left_out",
            "message",
            "metadata",
            "restore_path",
            "success"
        ]
    );
    let path = app.path("restored").join(format!("restore_{name}"));
    assert_eq!(json["restore_path"], path.to_str().unwrap());
    assert_eq!(json["metadata"]["name"], name);
    assert!(json["metadata"].get("entries").is_none());
    let text = std::fs::read_to_string(path.join("static/css/style.css")).unwrap();
    assert_eq!(text, "body { margin: 0 }\n");
    assert!(app.list().await[0]["restored_at"].is_string());
    app.post("/api/backup/restaurar/1", "{}")
        .await
        .refuses(409, "already_exists");
    let json = app
        .post("/api/backup/restaurar/1", "{\"destino\":\"teste-1.a_B\"}")
        .await
        .is(200);
    assert_eq!(
        json["restore_path"],
        app.path("restored/teste-1.a_B").to_str().unwrap()
    );
    for bad in [
        "",
        ".",
        "..",
        ".x",
        "-x",
        "a/b",
        "../x",
        "/etc/cofre",
        "a\\\\b",
        "a b",
        "á",
        "a\\u0000",
        "a\\n",
    ] {
        let body = format!("{{\"destino\":\"{bad}\"}}");
        app.post("/api/backup/restaurar/1", &body)
            .await
            .refuses(422, "invalid_destination");
    }
    let long = format!("{{\"destino\":\"{}\"}}", "a".repeat(129));
    app.post("/api/backup/restaurar/1", &long)
        .await
        .refuses(422, "invalid_destination");
    for bad in ["{\"destino\":1}", "{\"destino\":null}", "{\"destino\":[\"a\"]}"] {
        app.post("/api/backup/restaurar/1", bad)
            .await
            .refuses(422, "invalid_destination");
    }
    assert_eq!(
        restored(&app),
        [format!("restore_{name}"), "teste-1.a_B".to_owned()]
    );
}

#[tokio::test]
async fn a_link_in_the_place_of_restore_dir_is_not_followed() {
    let app = restorable();
    app.create().await;
    std::fs::remove_dir(app.path("restored")).unwrap();
    std::fs::create_dir(app.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", app.path("restored")).unwrap();
    app.post("/api/backup/restaurar/1", "{}")
        .await
        .refuses(500, "invalid_config");
    assert_eq!(std::fs::read_dir(app.path("elsewhere")).unwrap().count(), 0);
}

#[tokio::test]
async fn only_what_matches_is_restored() {
    let app = restorable();
    std::fs::write(app.path("static/notes [1.txt"), "x").unwrap();
    app.create().await;
    for (only, destino, expected) in [
        ("[\"static/**/*.css\"]", "css", "static/css/style.css"),
        ("[\"static/css/\"]", "folder", "static/css/style.css"),
        // No glob, so that it is the path itself.
        ("[\"static/notes [1.txt\"]", "literal", "static/notes [1.txt"),
    ] {
        let body = format!("{{\"destino\":\"{destino}\",\"only\":{only}}}");
        let json = app.post("/api/backup/restaurar/1", &body).await.is(200);
        assert_eq!(json["metadata"], Value::Null);
        let root = app.path("restored").join(destino);
        assert!(root.join(expected).is_file(), "{only}");
        assert!(!root.join("static/app.js").exists(), "{only}");
    }
    let count = restored(&app).len();
    let nothing = app
        .post(
            "/api/backup/restaurar/1",
            "{\"destino\":\"none\",\"only\":[\"nada\"]}",
        )
        .await
        .refuses(404, "not_found");
    // The backup is there.
    assert_ne!(nothing["message"], "Backup não encontrado");
    for bad in ["\"x\"", "[1]", "[null]", "{}", "null", "true"] {
        let body = format!("{{\"only\":{bad}}}");
        app.post("/api/backup/restaurar/1", &body)
            .await
            .refuses(422, "invalid_body");
    }
    assert_eq!(restored(&app).len(), count);
}

#[tokio::test]
async fn a_missing_or_damaged_archive_restores_nothing() {
    let app = restorable();
    let name = app.create().await["name"].as_str().unwrap().to_owned();
    let archive = app.path(&format!("backups/{name}.zip"));
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    app.post("/api/backup/restaurar/1", "")
        .await
        .refuses(422, "corrupt");
    std::fs::remove_file(&archive).unwrap();
    app.post("/api/backup/restaurar/1", "")
        .await
        .refuses(404, "archive_missing");
    assert_eq!(restored(&app), [""; 0]);
}

#[tokio::test]
async fn the_last_good_backup_is_not_deleted_an_older_one_is() {
    let app = App::new();
    let first = app.create().await;
    app.call(Method::DELETE, "/api/backup/excluir/1")
        .await
        .refuses(409, "refused");
    let second = app.create().await;
    let json = app.call(Method::DELETE, "/api/backup/excluir/1").await.is(200);
    assert_eq!(keys(&json), ["backup", "message", "success"]);
    assert_eq!(json["backup"]["name"], first["name"]);
    app.call(Method::DELETE, "/api/backup/excluir/2")
        .await
        .refuses(409, "refused");
    app.call(Method::DELETE, "/api/backup/excluir/1")
        .await
        .refuses(404, "not_found");
    assert_eq!(app.list().await, [second]);
}

#[tokio::test]
async fn a_pinned_backup_is_not_deleted() {
    let app = App::new();
    app.create().await;
    app.create().await;
    app.service
        .context
        .exclusive()
        .unwrap()
        .writer()
        .unwrap()
        .pin(1, true)
        .unwrap();
    app.call(Method::DELETE, "/api/backup/excluir/1")
        .await
        .refuses(409, "refused");
}

#[tokio::test]
async fn prune_says_what_would_go_and_then_removes_it() {
    let app = App::new();
    let json = app.post("/api/backup/limpar", "").await.is(200);
    assert_eq!(
        keys(&json),
        ["dry_run", "message", "removed", "success", "verdicts"]
    );
    assert_eq!(json["verdicts"], serde_json::json!([]));
    for _ in 0..3 {
        app.create().await;
    }
    // Three are there, and from now on one stays.
    let app = app.reconfigured("max_backups = 1");
    for (body, dry_run, left) in [("{\"dry_run\":true}", true, 3), ("", false, 1)] {
        let json = app.post("/api/backup/limpar", body).await.is(200);
        assert_eq!(json["dry_run"], dry_run);
        assert_eq!(json["removed"], serde_json::json!([1, 2]));
        let verdicts = json["verdicts"].as_array().unwrap();
        assert!(
            verdicts
                .iter()
                .all(|verdict| keys(verdict) == ["backup", "keep", "reasons"])
        );
        assert_eq!(app.list().await.len(), left);
    }
    let json = app
        .post("/api/backup/limpar", "{\"dry_run\":false}")
        .await
        .is(200);
    assert_eq!(json["removed"], serde_json::json!([]));
    for bad in ["{\"dry_run\":1}", "{\"dry_run\":\"true\"}", "{\"dry_run\":null}"] {
        app.post("/api/backup/limpar", bad)
            .await
            .refuses(422, "invalid_body");
    }
    let folder = std::fs::File::open(app.path("backups")).unwrap();
    let _lock = BackupsLock::acquire(&folder).unwrap();
    app.post("/api/backup/limpar", "").await.refuses(409, "busy");
    app.post("/api/backup/limpar", "{\"dry_run\":true}").await.is(200);
    app.call(Method::DELETE, "/api/backup/excluir/3")
        .await
        .refuses(409, "busy");
}
