//! `progresso`.

use super::*;

use std::time::{Duration, Instant};

const ROUTE: &str = "/api/backup/progresso";

/// A stream of events, read one by one.
struct Events(Body, String);

impl Events {
    async fn of(app: &App) -> Self {
        let request = request(Method::GET, ROUTE).body(Body::empty()).unwrap();
        let answer = app.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()[CONTENT_TYPE], "text/event-stream");
        Self(answer.into_body(), String::new())
    }

    /// Name and data of the next event; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.1.split_once("\n\n") {
                let field = |name: &str| {
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap()
                        .trim()
                };
                let found = (
                    field("event:").to_owned(),
                    serde_json::from_str(field("data:")).unwrap(),
                );
                self.1 = rest.to_owned();
                return Some(found);
            }
            let frame = tokio::time::timeout(Duration::from_secs(60), self.0.frame())
                .await
                .unwrap()?;
            let data = frame.unwrap().into_data().unwrap();
            self.1.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

#[tokio::test]
async fn a_run_is_followed_from_idle_to_its_end_and_idle_again() {
    let app = App::held();
    app.big();
    let mut events = Events::of(&app).await;
    assert_eq!(
        events.next().await.unwrap(),
        ("idle".to_owned(), serde_json::json!({}))
    );
    let request = request(Method::POST, "/api/backup/criar").header("prefer", "respond-async");
    app.send(request.body(Body::empty()).unwrap()).await.is(202);
    app.release().await;
    let began = Instant::now();
    let mut steps = 0;
    let ended = loop {
        let (name, data) = events.next().await.unwrap();
        match name.as_str() {
            "progress" => {
                let fields = [
                    "bytes_done",
                    "bytes_total",
                    "current",
                    "files_done",
                    "files_total",
                    "id",
                    "name",
                    "plan",
                ];
                assert_eq!(keys(&data), fields);
                assert_eq!((&data["id"], &data["plan"]), (&1.into(), &"manual".into()));
                steps += 1;
            }
            "ended" => break data,
            other => panic!("event {other}"),
        }
    };
    assert!(steps >= 1);
    let most = 2 + began.elapsed().as_millis() / 250;
    assert!(steps <= most, "{steps} events, {most} would do");
    assert_eq!(ended, app.list().await[0]);
    assert_eq!(events.next().await.unwrap().0, "idle");
    // Whoever comes while a run goes on is told at once.
    let request = super::request(Method::POST, "/api/backup/criar").header("prefer", "respond-async");
    app.send(request.body(Body::empty()).unwrap()).await.is(202);
    let mut late = Events::of(&app).await;
    assert_eq!(late.next().await.unwrap().0, "progress");
    app.end.send_replace(true);
    while late.next().await.is_some() {}
    while events.next().await.is_some() {}
    let run = app.current().await;
    app.release().await;
    run.end().await;
}

#[tokio::test]
async fn a_failed_run_ends_with_its_record() {
    let app = App::new();
    std::fs::remove_dir_all(app.path("static")).unwrap();
    let mut events = Events::of(&app).await;
    assert_eq!(events.next().await.unwrap().0, "idle");
    app.post("/api/backup/criar", "")
        .await
        .refuses(500, "source_missing");
    let mut names = Vec::new();
    let ended = loop {
        let (name, data) = events.next().await.unwrap();
        names.push(name.clone());
        if name == "ended" {
            break data;
        }
    };
    assert_eq!(ended["status"], "failed", "{names:?}");
}

#[tokio::test]
async fn streams_are_bounded_and_a_place_comes_back() {
    let app = App::new();
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(Events::of(&app).await);
    }
    let answer = app.get(ROUTE).await;
    answer.refuses(503, "overloaded");
    assert!(answer.field("retry-after").parse::<u32>().unwrap() > 0);
    open.pop();
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let request = request(Method::GET, ROUTE).body(Body::empty()).unwrap();
        if app.router.clone().oneshot(request).await.unwrap().status() == 200 {
            break;
        }
        assert!(Instant::now() < end, "the place is free again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
