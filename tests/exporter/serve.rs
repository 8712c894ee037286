//! What `cofre serve` adds: the component and its API's requests.

use std::time::Duration;

use cofre_exporter::{Exporter, Repository, Requests, Scope, names};

use crate::backups::{Backups, plan, row, state_of};
use crate::metrics::Metrics;

/// What a scrape of the library gets.
pub(crate) fn scrape(exporter: &Exporter) -> Metrics {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let text = runtime.block_on(exporter.scrape(Duration::from_secs(10), Scope::Scrape));
    Metrics::checked(&text.unwrap())
}

fn repository(backups: &Backups) -> Repository {
    Repository {
        alias: "relatorios".to_owned(),
        path: backups.path(),
    }
}

#[test]
fn the_library_gives_schedules_component_and_requests_as_well() {
    let backups = Backups::with(&[row(1, "completed")]);
    backups.state(&state_of(&[("daily", plan())]));
    let requests = Requests::new().unwrap();
    let exporter = Exporter::watching([repository(&backups).with_state(backups.state_dir())])
        .with_component("0.1.0", "ab12")
        .with_requests(requests.clone());
    let before = scrape(&exporter);
    assert_eq!(before.daily("cofre_plan_enabled"), 1.0);
    assert_eq!(
        before.get("cofre_component_info{digest=\"ab12\",version=\"0.1.0\"}"),
        1.0
    );
    let failures = "cofre_http_requests_total{code=\"500\",method=\"POST\"}";
    assert_eq!(before.get(failures), 0.0, "or the first failure is no increase");

    requests.count("POST", 500, Duration::from_millis(20));
    requests.count("GET", 200, Duration::from_secs(2));
    requests.count("BREW", 418, Duration::ZERO);
    let after = scrape(&exporter);
    assert_eq!(after.get(failures), 1.0);
    assert_eq!(
        after.get("cofre_http_requests_total{code=\"200\",method=\"GET\"}"),
        1.0
    );
    assert_eq!(
        after.get("cofre_http_requests_total{code=\"418\",method=\"other\"}"),
        1.0
    );
    assert_eq!(
        after.get("cofre_http_request_duration_seconds_sum{method=\"GET\"}"),
        2.0
    );
    for metric in names::SERVE {
        let is_there = after
            .names()
            .into_iter()
            .any(|name| name.starts_with(metric.name));
        assert!(is_there, "{}", metric.name);
    }
}

#[test]
fn a_repository_alone_is_one_without_a_schedule() {
    let backups = Backups::with(&[row(1, "completed")]);
    let metrics = scrape(&Exporter::new([repository(&backups)]));
    assert_eq!(metrics.statuses("daily"), ["success"]);
    assert!(!metrics.names().contains("cofre_plan_enabled"));
}
