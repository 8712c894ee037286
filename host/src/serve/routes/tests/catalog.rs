//! `status`, `listar`, `info`.

use super::*;

#[tokio::test]
async fn the_status_has_the_fields_of_the_design_before_and_after_the_first_run() {
    let app = App::new();
    let expected = [
        "archives_missing",
        "archives_unknown",
        "backup_dir",
        "completed_backups",
        "failed_backups",
        "future",
        "last_backup",
        "last_success",
        "max_backups",
        "partial_backups",
        "remotes",
        "running",
        "schedules",
        "total_backups",
        "total_size_bytes",
        "total_size_mb",
    ];
    let json = app.get("/api/backup/status").await.is(200);
    assert_eq!(keys(&json), ["status", "success"]);
    assert_eq!(keys(&json["status"]), expected);
    assert_eq!(json["status"]["last_backup"], Value::Null);
    assert_eq!(json["status"]["total_backups"], 0);
    let backup = app.create().await;
    let json = app.get("/api/backup/status").await.is(200);
    let status = &json["status"];
    assert_eq!(keys(status), expected);
    assert_eq!(status["last_backup"], backup);
    assert_eq!(status["total_backups"], 1);
    assert_eq!(status["completed_backups"], 1);
    assert_eq!(status["failed_backups"], 0);
    assert_eq!(status["total_size_bytes"], backup["size"]);
    assert_eq!(status["max_backups"], 30);
    assert_eq!(status["backup_dir"], "backups");
    assert!(status["schedules"].is_array());
}

#[tokio::test]
async fn the_list_is_oldest_first_and_empty_before_the_first_run() {
    let app = App::new();
    let json = app.get("/api/backup/listar").await.is(200);
    assert_eq!(keys(&json), ["backups", "success"]);
    assert_eq!(json["backups"], serde_json::json!([]));
    let (first, second) = (app.create().await, app.create().await);
    assert_eq!(app.list().await, [first, second]);
}

#[tokio::test]
async fn info_has_the_entries_page_by_page_only_where_asked() {
    let app = App::new();
    let backup = app.create().await;
    let json = app.get("/api/backup/info/1").await.is(200);
    assert_eq!(
        keys(&json),
        [
            "backup",
            "component_version",
            "databases",
            "entries",
            "skipped",
            "success"
        ]
    );
    assert_eq!(json["backup"], backup);
    assert_eq!(json["entries"], Value::Null);
    let paths = |json: &Value| -> Vec<String> {
        let entries = json["entries"].as_array().unwrap();
        entries
            .iter()
            .map(|e| e["path"].as_str().unwrap().to_owned())
            .collect()
    };
    let json = app.get("/api/backup/info/1?entries=true").await.is(200);
    let all = paths(&json);
    assert!(all.contains(&"static/css/style.css".to_owned()), "{all:?}");
    let mut paged = Vec::new();
    loop {
        let after = paged
            .last()
            .map(|path| format!("&after={path}"))
            .unwrap_or_default();
        let json = app
            .get(&format!("/api/backup/info/1?entries=true&limit=1{after}"))
            .await
            .is(200);
        let page = paths(&json);
        assert!(page.len() <= 1);
        let Some(path) = page.into_iter().next() else {
            break;
        };
        paged.push(path);
    }
    assert_eq!(paged, all);
    app.get("/api/backup/info/1?entries=true&after=nothing")
        .await
        .refuses(404, "not_found");
}

#[tokio::test]
async fn bad_queries_are_refused() {
    let app = App::new();
    app.create().await;
    for query in [
        "entries=1",
        "entries=",
        "entries=TRUE",
        "entries=true&entries=true",
        "limit=0",
        "limit=10001",
        "limit=-1",
        "limit=x",
        "limit=",
        "limit=4294967297",
        "limit=1&limit=2",
    ] {
        app.get(&format!("/api/backup/info/1?{query}"))
            .await
            .refuses(400, "invalid_query");
    }
    // What is not known is passed over, as everywhere.
    app.get("/api/backup/info/1?x=1&entries=false").await.is(200);
}

#[tokio::test]
async fn info_shows_rows_without_an_archive_and_says_what_is_damaged() {
    let app = App::new();
    let name = app.create().await["name"].as_str().unwrap().to_owned();
    let archive = app.path(&format!("backups/{name}.zip"));
    let bytes = std::fs::read(&archive).unwrap();
    std::fs::write(&archive, &bytes[..bytes.len() / 2]).unwrap();
    app.get("/api/backup/info/1").await.refuses(422, "corrupt");
    std::fs::remove_file(&archive).unwrap();
    let json = app.get("/api/backup/info/1?entries=true").await.is(200);
    assert_eq!(json["backup"]["archive_present"], false);
    assert_eq!(json["entries"], Value::Null);
    let status = app.get("/api/backup/status").await.is(200);
    assert_eq!(status["status"]["archives_missing"], serde_json::json!([1]));
}
