//! `criar`.

use super::*;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::lock::BackupsLock;

/// The fields of DESIGN section 4, and whether the archive is there.
const FIELDS: [&str; 26] = [
    "archive_present",
    "changed",
    "drill_status",
    "drilled_at",
    "duration_seconds",
    "encrypted",
    "error",
    "file_count",
    "finished_at",
    "id",
    "name",
    "pinned",
    "plan",
    "restored_at",
    "reused_bytes",
    "sha256",
    "size",
    "skipped",
    "source_bytes",
    "started_at",
    "status",
    "timestamp",
    "type",
    "verified_at",
    "verify_status",
    "zip_path",
];

#[tokio::test]
async fn a_backup_has_the_fields_of_the_design_and_the_catalog_has_the_same() {
    let app = App::new();
    let json = app
        .post("/api/backup/criar", "{\"tipo\":\"manual\"}")
        .await
        .is(200);
    assert_eq!(keys(&json), ["backup", "message", "success"]);
    assert_eq!(json["message"], "Backup criado com sucesso");
    let backup = &json["backup"];
    assert_eq!(keys(backup), FIELDS);
    assert_eq!(backup["id"], 1);
    assert_eq!(backup["type"], "manual");
    assert_eq!(backup["plan"], "manual");
    assert_eq!(backup["status"], "completed");
    assert_eq!(backup["error"], Value::Null);
    assert_eq!(backup["file_count"], 2);
    let name = backup["name"].as_str().unwrap();
    assert_eq!(backup["zip_path"], format!("backups/{name}.zip"));
    let size = std::fs::metadata(app.path(&format!("backups/{name}.zip")))
        .unwrap()
        .len();
    assert_eq!(backup["size"], size);
    // As `datetime.fromisoformat` and a naive subtraction need it.
    let timestamp = backup["timestamp"].as_str().unwrap();
    assert!(
        chrono::NaiveDateTime::parse_from_str(timestamp, "%Y-%m-%dT%H:%M:%S%.6f").is_ok(),
        "{timestamp}"
    );
    assert_eq!(app.list().await, std::slice::from_ref(backup));
}

#[tokio::test]
async fn old_clients_bodies_are_understood() {
    let app = App::new();
    for (content_type, body, expected) in [
        (None, "", "manual"),
        (Some("application/json"), "", "manual"),
        (Some("application/x-www-form-urlencoded"), "", "manual"),
        (Some("application/json"), "{}", "manual"),
        (
            Some("application/json; charset=utf-8"),
            "{\"tipo\":\"scheduled\"}",
            "scheduled",
        ),
        (
            Some("Application/JSON"),
            " {\"usuario\":[1,null],\"tipo\":\"a_b-3\"} ",
            "a_b-3",
        ),
    ] {
        let mut builder = request(Method::POST, "/api/backup/criar");
        if let Some(content_type) = content_type {
            builder = builder.header(CONTENT_TYPE, content_type);
        }
        let answer = app.send(builder.body(Body::from(body)).unwrap()).await;
        let json = answer.is(200);
        assert_eq!(json["backup"]["type"], expected, "{content_type:?} {body}");
    }
}

#[tokio::test]
async fn bad_bodies_are_refused_and_make_no_backup() {
    let app = App::new();
    let long = format!("{{\"tipo\":\"{}\"}}", "a".repeat(33));
    for (body, status, code) in [
        ("tipo=manual", 400, "invalid_json"),
        ("{\"tipo\":", 400, "invalid_json"),
        ("{\"tipo\":\"manual\"} x", 400, "invalid_json"),
        ("\u{feff}{}", 400, "invalid_json"),
        (" ", 400, "invalid_json"),
        ("null", 422, "invalid_body"),
        ("[]", 422, "invalid_body"),
        ("\"manual\"", 422, "invalid_body"),
        ("{\"tipo\":\"\"}", 422, "invalid_type"),
        ("{\"tipo\":null}", 422, "invalid_type"),
        ("{\"tipo\":1}", 422, "invalid_type"),
        ("{\"tipo\":[\"manual\"]}", 422, "invalid_type"),
        ("{\"tipo\":{\"a\":1}}", 422, "invalid_type"),
        ("{\"tipo\":true}", 422, "invalid_type"),
        ("{\"tipo\":\"../../etc\"}", 422, "invalid_type"),
        ("{\"tipo\":\"Manual\"}", 422, "invalid_type"),
        ("{\"tipo\":\"manual\\n2026 INFO forged\"}", 422, "invalid_type"),
        ("{\"tipo\":\"manual\\u0000\"}", 422, "invalid_type"),
        (long.as_str(), 422, "invalid_type"),
    ] {
        let json = app.post("/api/backup/criar", body).await.refuses(status, code);
        assert!(
            !json["detail"].as_str().unwrap_or_default().contains('\n'),
            "{json}"
        );
    }
    for content_type in [
        Some("text/plain"),
        Some("application/xml"),
        Some("multipart/form-data"),
        Some(""),
        None,
    ] {
        let mut builder = request(Method::POST, "/api/backup/criar");
        if let Some(content_type) = content_type {
            builder = builder.header(CONTENT_TYPE, content_type);
        }
        let answer = app.send(builder.body(Body::from("{}")).unwrap()).await;
        answer.refuses(415, "unsupported_media_type");
    }
    let deep = "[".repeat(60_000);
    app.post("/api/backup/criar", &deep)
        .await
        .refuses(400, "invalid_json");
    assert!(!app.path("backups").exists());
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_however_it_comes() {
    let app = App::new();
    let body = format!("{{\"tipo\":\"{}\"}}", "a".repeat(10 << 20));
    app.post("/api/backup/criar", &body)
        .await
        .refuses(413, "body_too_large");
    let just = format!("{{\"tipo\":\"{}\"}}", "a".repeat(64 << 10));
    app.post("/api/backup/criar", &just)
        .await
        .refuses(413, "body_too_large");
    // Chunked: no length is announced.
    let chunks =
        tokio_stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 10]))));
    let builder = request(Method::POST, "/api/backup/criar").header(CONTENT_TYPE, "application/json");
    let answer = app.send(builder.body(Body::from_stream(chunks)).unwrap()).await;
    answer.refuses(413, "body_too_large");
    assert!(!app.path("backups").exists());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_the_callers_mistake() {
    let app = App::new();
    let chunks = tokio_stream::iter([
        Ok(Bytes::from("{\"tipo\":")),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    let builder = request(Method::POST, "/api/backup/criar").header(CONTENT_TYPE, "application/json");
    let answer = app.send(builder.body(Body::from_stream(chunks)).unwrap()).await;
    answer.refuses(400, "bad_request");
}

#[tokio::test]
async fn a_failed_run_is_a_500_with_its_record() {
    let app = App::new();
    std::fs::remove_dir_all(app.path("static")).unwrap();
    let json = app
        .post("/api/backup/criar", "{}")
        .await
        .refuses(500, "source_missing");
    assert_eq!(keys(&json), ["backup", "code", "detail", "message", "success"]);
    assert_eq!(json["backup"]["status"], "failed");
    assert!(json["detail"].as_str().unwrap().contains("static"), "{json}");
    assert_eq!(app.list().await, [json["backup"].clone()]);
}

#[tokio::test]
async fn a_partial_run_is_a_200_that_says_so() {
    let app = App::new();
    std::fs::write(app.path("static").join(OsStr::from_bytes(b"c\xf3pia")), "x").unwrap();
    let json = app.post("/api/backup/criar", "{}").await.is(200);
    assert_eq!(json["backup"]["status"], "partial");
    assert!(json["backup"]["error"].is_string());
    assert_ne!(json["message"], "Backup criado com sucesso");
}

#[tokio::test]
async fn a_second_create_is_refused_while_the_first_goes_on() {
    let app = App::held();
    let builder = request(Method::POST, "/api/backup/criar").header("prefer", "wait=1, respond-async");
    let answer = app.send(builder.body(Body::empty()).unwrap()).await;
    let json = answer.is(202);
    assert_eq!(json["backup"]["status"], "in_progress");
    assert_eq!(answer.field("location"), "/api/backup/info/1");
    assert_eq!(answer.field("preference-applied"), "respond-async");
    app.post("/api/backup/criar", "{}").await.refuses(409, "busy");
    let status = app.get("/api/backup/status").await.is(200)["status"].clone();
    assert_eq!(keys(&status["running"]), ["id", "name", "plan"]);
    assert_eq!(status["running"]["name"], json["backup"]["name"]);
    // Deleting needs the lock that the run holds.
    app.call(Method::DELETE, "/api/backup/excluir/1")
        .await
        .refuses(409, "busy");
    let run = app.current().await;
    app.release().await;
    run.end().await;
    let json = app.get(answer.field("location")).await.is(200);
    assert_eq!(json["backup"]["status"], "completed");
    let status = app.get("/api/backup/status").await.is(200);
    assert_eq!(status["status"]["running"], Value::Null);
}

#[tokio::test]
async fn of_many_creates_at_once_one_is_made() {
    let app = Arc::new(App::held());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let app = Arc::clone(&app);
        calls.spawn(async move { app.post("/api/backup/criar", "{}").await.status.as_u16() });
    }
    for _ in 0..7 {
        assert_eq!(calls.join_next().await.unwrap().unwrap(), 409);
    }
    app.release().await;
    assert_eq!(calls.join_next().await.unwrap().unwrap(), 200);
    assert_eq!(app.list().await.len(), 1);
}

#[tokio::test]
async fn a_lock_of_another_process_refuses_with_and_without_waiting() {
    let app = App::new();
    app.create().await;
    let folder = std::fs::File::open(app.path("backups")).unwrap();
    let lock = BackupsLock::acquire(&folder).unwrap();
    app.post("/api/backup/criar", "{}").await.refuses(409, "busy");
    let builder = request(Method::POST, "/api/backup/criar").header("prefer", "respond-async");
    let answer = app.send(builder.body(Body::empty()).unwrap()).await;
    answer.refuses(409, "busy");
    drop(lock);
    app.create().await;
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_its_backup() {
    let app = App::held();
    // The call is dropped as soon as its run goes on.
    let run = tokio::select! {
        answer = app.post("/api/backup/criar", "{}") => panic!("{answer:?}"),
        run = app.current() => run,
    };
    app.release().await;
    run.end().await;
    assert_eq!(app.list().await[0]["status"], "completed");
}

#[tokio::test]
async fn a_run_that_ends_with_the_service_is_answered() {
    let app = Arc::new(App::held());
    let call = tokio::spawn({
        let app = Arc::clone(&app);
        async move { app.post("/api/backup/criar", "{}").await }
    });
    let run = app.current().await;
    run.begun().await;
    app.end.send_replace(true);
    run.cancel();
    let json = call.await.unwrap().refuses(500, "cancelled");
    assert_eq!(json["backup"]["status"], "cancelled");
}
