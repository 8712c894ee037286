//! What Prometheus finds at `/metrics` of the real service, and at an exporter beside it that outlives it.

use std::process::{Child, Command, Stdio};

use cofre_exporter::names;
use serde_json::Value;

use crate::http::Call;
use crate::process::{Service, until};
use crate::site::{Extra, Site, free_port, viewer};
use crate::support::{exporter_binary, run};

/// The answer of a scrape.
pub(crate) struct Scrape(String);

impl Scrape {
    fn of(site: &Site) -> Self {
        Self(
            site.anonymous("GET", "/metrics")
                .bearer(viewer())
                .send()
                .is(200)
                .text(),
        )
    }

    /// The value of a series, written as in the answer.
    fn find(&self, series: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series))?;
        line.trim().parse().ok()
    }

    #[track_caller]
    fn get(&self, series: &str) -> f64 {
        self.find(series)
            .unwrap_or_else(|| panic!("{series} in\n{}", self.0))
    }

    /// A metric of the plan `manual`.
    #[track_caller]
    fn manual(&self, name: &str) -> f64 {
        self.get(&format!("{name}{{repository=\"relatorios\",plan=\"manual\"}}"))
    }

    /// Requests that were answered.
    fn requests(&self, method: &str, code: u16) -> f64 {
        let series = format!("cofre_http_requests_total{{code=\"{code}\",method=\"{method}\"}}");
        self.find(&series).unwrap_or(0.0)
    }

    fn timed(&self, method: &str) -> f64 {
        self.get(&format!(
            "cofre_http_request_duration_seconds_count{{method=\"{method}\"}}"
        ))
    }
}

#[test]
fn every_answer_is_counted_by_method_and_code_and_by_nothing_else() {
    let site = Site::small();
    let service = Service::start(&site);
    let before = Scrape::of(&site);
    for metric in names::SERVE {
        assert!(before.0.contains(metric.name), "{}", metric.name);
    }
    assert_eq!(
        before.find("cofre_http_requests_total{code=\"500\",method=\"POST\"}"),
        Some(0.0)
    );

    site.create();
    for _ in 0..2 {
        site.get("/api/backup/listar");
    }
    site.anonymous("GET", "/api/backup/listar").send().is(401);
    site.call("GET", "/no/such/page-4711").send().is(404);
    site.call("POST", "/api/backup/criar")
        .json("{\"tipo\": 7}")
        .send()
        .is(422);
    site.anonymous("BREW", "/api/backup/criar").send().is(401);
    site.anonymous("COFRE", "/").send().is(401);

    let after = Scrape::of(&site);
    let more = |method, code| after.requests(method, code) - before.requests(method, code);
    assert_eq!(more("POST", 200), 1.0);
    assert_eq!(more("POST", 422), 1.0);
    // The first scrape was counted when it had its answer.
    assert_eq!(more("GET", 200), 3.0);
    assert_eq!((more("GET", 401), more("GET", 404)), (1.0, 1.0));
    assert_eq!(more("other", 401), 2.0);
    assert_eq!(after.timed("POST") - before.timed("POST"), 2.0);
    for secret in ["4711", "/api", "BREW", "COFRE\""] {
        assert!(!after.0.contains(secret), "{secret} in\n{}", after.0);
    }

    let component: Value = site.app.json(&["component"]);
    let digest = component["digest"].as_str().unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let info = format!("cofre_component_info{{digest=\"{digest}\",version=\"{version}\"}}");
    assert_eq!(after.get(&info), 1.0);
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn neither_a_deleted_backup_nor_a_restart_takes_back_what_was_counted() {
    // Nobody listens there.
    let hook = format!(
        "[[webhooks]]\nname = \"painel\"\nurl = \"http://127.0.0.1:{}/\"\n",
        free_port()
    );
    let site = Site::with(Extra {
        tables: &hook,
        ..Extra::default()
    });
    let service = Service::start(&site);
    let webhooks = "cofre_webhook_failures_total{repository=\"relatorios\"}";
    assert_eq!(Scrape::of(&site).get(webhooks), 0.0);

    let first = site.create();
    assert_eq!(Scrape::of(&site).manual("cofre_backup_runs_total"), 1.0);
    site.create();
    let path = format!("/api/backup/excluir/{}", first["id"]);
    site.call("DELETE", &path).send().is(200);
    assert_eq!(site.list().len(), 1);
    let failures = until("a failed delivery", || {
        Some(Scrape::of(&site).get(webhooks)).filter(|failures| *failures >= 1.0)
    });
    assert_eq!(Scrape::of(&site).manual("cofre_backup_runs_total"), 2.0);
    assert_eq!(service.terminate(), Some(0));

    let service = Service::start(&site);
    let again = Scrape::of(&site);
    assert_eq!(again.manual("cofre_backup_runs_total"), 2.0);
    assert_eq!(again.manual("cofre_backup_failures_total"), 0.0);
    assert!(again.get(webhooks) >= failures, "{failures}");
    assert_eq!(service.terminate(), Some(0));
}

/// `cofre-exporter` for the site's configuration.
pub(crate) struct Exporter {
    child: Child,
    url: String,
}

impl Exporter {
    pub(crate) fn start(site: &Site) -> Self {
        let port = free_port();
        let child = Command::new(exporter_binary())
            .arg("--config")
            .arg(site.app.path("cofre.toml"))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}/metrics");
        let exporter = Self { child, url };
        until("the exporter answers", || {
            Call::new("GET", &exporter.url).try_send().ok()
        });
        exporter
    }

    pub(crate) fn scrape(&self) -> Scrape {
        Scrape(Call::new("GET", &self.url).send().is(200).text())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn kill_nine_of_the_service_leaves_the_exporter_answering_and_the_age_rising() {
    let site = Site::with(Extra {
        tables: "[[schedules]]\nname = \"daily\"\nat = \"02:00\"\n[verify]\nat = \"sunday 04:00\"\n\
            [drill]\nat = \"05:00\"\n",
        ..Extra::default()
    });
    let service = Service::start(&site);
    run(&mut site.app.command(&["create", "--plan", "daily"])).exits(0);
    let exporter = Exporter::start(&site);
    let tick = "cofre_scheduler_last_tick_timestamp_seconds{repository=\"relatorios\"}";
    let ticked = until("a first tick", || {
        exporter.scrape().find(tick).filter(|tick| *tick > 0.0)
    });

    service.kill();
    let dead = exporter.scrape();
    let of_daily = |name: &str| format!("{name}{{repository=\"relatorios\",plan=\"daily\"}}");
    let last = of_daily("cofre_backup_last_success_timestamp_seconds");
    let age = of_daily("cofre_backup_last_success_age_seconds");
    let (then, was) = (dead.get(&last), dead.get(&age));
    assert!(then > 0.0 && was >= 0.0, "{then} {was}");
    let later = until("an age that rises", || {
        Some(exporter.scrape()).filter(|scrape| scrape.get(&age) > was + 1.0)
    });
    assert_eq!(later.get(&last), then);
    assert_eq!(later.get("cofre_up"), 1.0, "the backups themselves are fine");
    // By these the missing scheduler is noticed, and what it was to do.
    assert!(later.get(tick) >= ticked);
    for (metric, value) in [
        ("cofre_scheduler_expected", 1.0),
        ("cofre_verify_expected_interval_seconds", 604_800.0),
        ("cofre_drill_expected_interval_seconds", 86_400.0),
    ] {
        let series = format!("{metric}{{repository=\"relatorios\"}}");
        assert_eq!(later.get(&series), value, "{metric}");
    }
}
