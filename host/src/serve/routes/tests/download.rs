//! `download`. What a range or condition means is tested beside its code; here is what comes of it.

use super::*;

const ROUTE: &str = "/api/backup/download/1";

/// An application with one backup: its name, its archive's path and bytes.
async fn backed_up() -> (App, String, PathBuf, Vec<u8>) {
    let app = App::new();
    let name = app.create().await["name"].as_str().unwrap().to_owned();
    let archive = app.path(&format!("backups/{name}.zip"));
    let bytes = std::fs::read(&archive).unwrap();
    (app, name, archive, bytes)
}

#[tokio::test]
async fn the_whole_archive_comes_with_its_name_and_digest() {
    let (app, name, _, bytes) = backed_up().await;
    let sha256 = app.list().await[0]["sha256"].as_str().unwrap().to_owned();
    let answer = app.get(ROUTE).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == bytes);
    let expected = [
        ("content-type", "application/zip".to_owned()),
        ("content-length", bytes.len().to_string()),
        (
            "content-disposition",
            format!("attachment; filename=\"{name}.zip\""),
        ),
        ("etag", format!("\"{sha256}\"")),
        ("accept-ranges", "bytes".to_owned()),
        ("cache-control", "no-store".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    let head = app.call(Method::HEAD, ROUTE).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    for (field, value) in expected {
        assert_eq!(answer.field(field), value);
        assert_eq!(head.field(field), value);
    }
}

#[tokio::test]
async fn a_range_is_a_part_of_it() {
    let (app, _, _, bytes) = backed_up().await;
    let size = bytes.len();
    for (range, first, last) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=10-19".to_owned(), 10, 19),
        (format!("bytes={}-", size - 5), size - 5, size - 1),
        ("bytes=-7".to_owned(), size - 7, size - 1),
        (format!("bytes=0-{}", size * 2), 0, size - 1),
    ] {
        let answer = app.get_with(ROUTE, &[("range", &range)]).await;
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == bytes[first..=last], "{range}");
        assert_eq!(
            answer.field("content-range"),
            format!("bytes {first}-{last}/{size}")
        );
        assert_eq!(answer.field("content-length"), (last - first + 1).to_string());
        assert_eq!(answer.field("content-type"), "application/zip");
        assert!(answer.headers.contains_key("etag"));
    }
    for range in [
        format!("bytes={size}-"),
        "bytes=9-1".to_owned(),
        "bytes=x".to_owned(),
    ] {
        let answer = app.get_with(ROUTE, &[("range", &range)]).await;
        answer.refuses(416, "range_not_satisfiable");
        assert_eq!(answer.field("content-range"), format!("bytes */{size}"));
    }
    let several = app.get_with(ROUTE, &[("range", "bytes=0-1,5-6")]).await;
    assert_eq!((several.status.as_u16(), several.body.len()), (200, size));
    assert!(!several.headers.contains_key("content-range"));
}

#[tokio::test]
async fn conditions_are_held_against_the_digest() {
    let (app, _, _, bytes) = backed_up().await;
    let etag = app.get(ROUTE).await.field("etag").to_owned();
    let answer = app
        .get_with(ROUTE, &[("if-none-match", &etag), ("range", "bytes=0-1")])
        .await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
    assert_eq!(answer.field("etag"), etag);
    let answer = app.get_with(ROUTE, &[("if-none-match", "\"x\"")]).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, bytes.len()));
    let answer = app
        .get_with(ROUTE, &[("if-range", &etag), ("range", "bytes=0-1")])
        .await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (206, 2));
    let answer = app
        .get_with(ROUTE, &[("if-range", "\"x\""), ("range", "bytes=0-1")])
        .await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, bytes.len()));
    app.get_with(ROUTE, &[("if-match", "\"x\"")])
        .await
        .refuses(412, "precondition_failed");
}

#[tokio::test]
async fn an_archive_without_a_digest_has_no_tag() {
    let (app, _, _, bytes) = backed_up().await;
    app.edit_row("sha256", Value::Null);
    let answer = app.get_with(ROUTE, &[("if-none-match", "\"null\"")]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == bytes && !answer.headers.contains_key("etag"));
}

#[tokio::test]
async fn an_archive_of_another_size_than_the_row_says_comes_as_it_is() {
    let (app, _, archive, mut bytes) = backed_up().await;
    bytes.extend_from_slice(b"more");
    std::fs::write(&archive, &bytes).unwrap();
    let answer = app.get(ROUTE).await;
    assert_eq!(answer.field("content-length"), bytes.len().to_string());
    assert!(answer.body == bytes && !answer.headers.contains_key("etag"));
}

#[tokio::test]
async fn a_partial_backup_can_be_downloaded() {
    let (app, _, _, bytes) = backed_up().await;
    app.edit_row("status", "partial".into());
    assert!(app.get(ROUTE).await.body == bytes);
}

#[tokio::test]
async fn a_missing_archive_and_one_that_is_no_file_are_refused() {
    let (app, name, archive, _) = backed_up().await;
    let elsewhere = app.path("secret.zip");
    std::fs::rename(&archive, &elsewhere).unwrap();
    let json = app.get(ROUTE).await.refuses(404, "archive_missing");
    assert!(json["detail"].as_str().unwrap().contains(&name));
    std::os::unix::fs::symlink(&elsewhere, &archive).unwrap();
    app.get(ROUTE).await.refuses(500, "sandbox_refused");
    std::fs::remove_file(&archive).unwrap();
    std::fs::create_dir(&archive).unwrap();
    app.get(ROUTE).await.refuses(500, "sandbox_refused");
    std::fs::remove_dir(&archive).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &archive,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    app.get(ROUTE).await.refuses(500, "sandbox_refused");
}

#[tokio::test]
async fn a_download_of_an_archive_that_is_pruned_meanwhile_finishes() {
    let app = App::new();
    app.big();
    let name = app.create().await["name"].as_str().unwrap().to_owned();
    let archive = app.path(&format!("backups/{name}.zip"));
    let bytes = std::fs::read(&archive).unwrap();
    app.create().await;
    let request = request(Method::GET, ROUTE).body(Body::empty()).unwrap();
    let mut body = app.router.clone().oneshot(request).await.unwrap().into_body();
    let mut got = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
    app.call(Method::DELETE, "/api/backup/excluir/1").await.is(200);
    assert!(!archive.exists());
    while let Some(frame) = body.frame().await {
        got.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    assert!(got == bytes);
    app.get(ROUTE).await.refuses(404, "not_found");
}

#[tokio::test]
async fn many_downloads_at_once_are_all_whole() {
    let app = Arc::new(App::new());
    app.big();
    let name = app.create().await["name"].as_str().unwrap().to_owned();
    let bytes = std::fs::read(app.path(&format!("backups/{name}.zip"))).unwrap();
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let app = Arc::clone(&app);
            tokio::spawn(async move { app.get(ROUTE).await.body })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap() == bytes);
    }
}
