//! What all routes have in common: ids, unknown routes and methods, the end of the service.

use super::*;

/// Every route of one backup.
const OF_ONE: [(Method, &str); 5] = [
    (Method::GET, "info"),
    (Method::GET, "download"),
    (Method::POST, "verificar"),
    (Method::POST, "restaurar"),
    (Method::DELETE, "excluir"),
];

#[tokio::test]
async fn what_is_no_id_is_refused_by_every_route_of_one_backup() {
    let app = App::new();
    app.create().await;
    for (method, route) in OF_ONE {
        for bad in [
            "0",
            "-1",
            "01",
            "1.0",
            "9223372036854775808",
            "18446744073709551616",
            "latest",
            "backup_20250831_215249_manual",
            "%2e%2e",
            "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "%00",
            "%ff",
            "1%0a",
        ] {
            let answer = app
                .call(method.clone(), &format!("/api/backup/{route}/{bad}"))
                .await;
            answer.refuses(400, "invalid_id");
        }
        for unknown in ["2", "9223372036854775807"] {
            let answer = app
                .call(method.clone(), &format!("/api/backup/{route}/{unknown}"))
                .await;
            // Restoring is off here, which is said first.
            match route {
                "restaurar" => answer.refuses(409, "restore_disabled"),
                _ => answer.refuses(404, "not_found"),
            };
        }
    }
    assert_eq!(app.list().await.len(), 1);
}

#[tokio::test]
async fn before_the_first_run_nothing_is_found() {
    let app = App::with("[api]\nrestore_dir = \"restored\"");
    std::fs::create_dir(app.path("restored")).unwrap();
    for (method, route) in OF_ONE {
        let answer = app.call(method, &format!("/api/backup/{route}/1")).await;
        answer.refuses(404, "not_found");
    }
}

#[tokio::test]
async fn an_unknown_route_is_a_404_in_json() {
    let app = App::new();
    for path in [
        "/",
        "/api",
        "/api/backup",
        "/api/backup/criar/",
        "/api/backup/info",
        "/api/backup/info/",
        "/api/backup/info/1/2",
        "/api/backup/../../etc/passwd",
        "/API/backup/listar",
        "//api/backup/listar",
        "/api/backup/%6cistar%0a",
    ] {
        app.get(path).await.refuses(404, "unknown_route");
    }
}

#[tokio::test]
async fn another_method_is_a_405_that_names_the_right_ones() {
    let app = App::new();
    for (path, allow) in [
        ("/api/backup/criar", "POST"),
        ("/api/backup/status", "GET,HEAD"),
        ("/api/backup/listar", "GET,HEAD"),
        ("/api/backup/download/1", "GET,HEAD"),
        ("/api/backup/info/1", "GET,HEAD"),
        ("/api/backup/verificar/1", "POST"),
        ("/api/backup/restaurar/1", "POST"),
        ("/api/backup/excluir/1", "DELETE"),
        ("/api/backup/limpar", "POST"),
        ("/api/backup/progresso", "GET,HEAD"),
        ("/api/openapi.json", "GET,HEAD"),
        ("/healthz", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY", "BREW"] {
            if allow.split(',').any(|allowed| allowed == method) {
                continue;
            }
            let answer = app.call(method.parse().unwrap(), path).await;
            answer.refuses(405, "method_not_allowed");
            assert_eq!(answer.field("allow"), allow, "{method} {path}");
        }
        let answer = app.call(Method::OPTIONS, path).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.field("allow"), allow);
    }
}

#[tokio::test]
async fn health_and_head_answer() {
    let app = App::new();
    let answer = app.get("/healthz").await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body[..]),
        (200, &b"{\"status\":\"ok\"}"[..])
    );
    for path in [
        "/healthz",
        "/api/backup/listar",
        "/api/backup/status",
        "/metrics",
        "/api/openapi.json",
    ] {
        let head = app.call(Method::HEAD, path).await;
        assert_eq!(head.status, 200, "{path}");
        assert!(
            head.body.is_empty() && head.field("content-length") != "0",
            "{path}"
        );
        assert_eq!(head.field("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn the_metrics_are_the_exporters() {
    let app = App::new();
    app.create().await;
    let answer = app.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.field("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        text.contains("cofre_") && text.contains("repository=\"relatorios\""),
        "{text}"
    );
    let zipped = app.get_with("/metrics", &[("accept-encoding", "gzip")]).await;
    assert_eq!(zipped.field("content-encoding"), "gzip");
    assert_eq!(&zipped.body[..2], b"\x1f\x8b");
}

#[tokio::test]
async fn while_the_service_ends_nothing_new_is_begun() {
    let app = App::with("[api]\nrestore_dir = \"restored\"");
    app.create().await;
    app.end.send_replace(true);
    for (path, body) in [
        ("/api/backup/criar", "{}"),
        ("/api/backup/verificar/1", ""),
        ("/api/backup/restaurar/1", "{}"),
    ] {
        app.post(path, body).await.refuses(503, "shutting_down");
    }
    app.get("/api/backup/progresso")
        .await
        .refuses(503, "shutting_down");
    assert_eq!(app.list().await.len(), 1);
}

#[tokio::test]
async fn an_invalid_catalog_is_said_and_left_alone() {
    let app = App::new();
    app.create().await;
    let file = app.path("backups/backup_history.json");
    std::fs::write(&file, "[{]").unwrap();
    for path in [
        "/api/backup/listar",
        "/api/backup/status",
        "/api/backup/info/1",
        "/api/backup/download/1",
    ] {
        let json = app.get(path).await.refuses(500, "catalog_invalid");
        assert!(
            json["detail"].as_str().unwrap().contains("cofre rebuild"),
            "{json}"
        );
    }
    let json = app
        .post("/api/backup/criar", "{}")
        .await
        .refuses(500, "catalog_invalid");
    assert!(json.get("backup").is_none());
    assert_eq!(std::fs::read(&file).unwrap(), b"[{]");
}
