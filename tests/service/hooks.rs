//! Programs before and after a run, by the service.

use serde_json::Value;

use crate::process::{Service, until};
use crate::receiver::Receiver;
use crate::site::{Extra, Site};

fn with(tables: &str) -> Site {
    Site::with(Extra {
        tables,
        ..Extra::default()
    })
}

#[test]
fn a_failing_before_stops_the_run_with_a_failed_record_and_is_told() {
    let receiver = Receiver::start();
    let site = with(&format!(
        "[hooks]\nbefore = [\"sh\", \"-c\", \"echo antes; echo o disco sumiu >&2; exit 3\"]\n\
         after = [\"sh\", \"-c\", \"echo $COFRE_STATUS > depois.txt\"]\n[[webhooks]]\nurl = \"{}\"\n",
        receiver.url("/")
    ));
    let service = Service::start(&site);
    let failed = site.call("POST", "/api/backup/criar").json("{}").send();
    let body = failed.fails(500, "hook_failed").json();
    assert_eq!(body["backup"]["status"], "failed", "{body}");
    assert!(
        body["backup"]["error"]
            .as_str()
            .unwrap()
            .contains("o disco sumiu"),
        "{body}"
    );
    assert_eq!(receiver.wait_for(1)[0].event(), "backup_failed");
    assert!(site.app.archives().is_empty());
    service.logs(&["before", "antes"]);
    service.logs(&["before", "o disco sumiu"]);
    assert_eq!(
        std::fs::read_to_string(site.app.path("depois.txt")).unwrap(),
        "failed\n"
    );
    assert_eq!(site.app.history()[0]["status"], "failed");
}

#[test]
fn a_before_that_takes_too_long_or_does_not_exist_stops_the_run() {
    let site = with("[hooks]\nbefore = [\"sh\", \"-c\", \"sleep 600 & sleep 600\"]\ntimeout = \"1s\"\n");
    let _service = Service::start(&site);
    let body = site
        .call("POST", "/api/backup/criar")
        .json("{}")
        .send()
        .fails(500, "hook_failed")
        .json();
    let error = body["backup"]["error"].as_str().unwrap();
    assert!(
        error.contains("longer than 1") && error.contains("hooks.timeout"),
        "{body}"
    );

    let site = with("[hooks]\nbefore = [\"./falta.sh\"]\n");
    let _service = Service::start(&site);
    let body = site
        .call("POST", "/api/backup/criar")
        .json("{}")
        .send()
        .fails(500, "hook_failed")
        .json();
    assert!(body["detail"].as_str().unwrap().contains("falta.sh"), "{body}");
}

#[test]
fn after_gets_the_result_in_its_environment_and_its_failure_changes_nothing() {
    let site = with(
        "[hooks]\nbefore = [\"sh\", \"-c\", \"env > antes.txt\"]\n\
         after = [\"sh\", \"-c\", \"env > depois.new && mv depois.new depois.txt; echo adeus; exit 7\"]\n",
    );
    let service = Service::start(&site);
    let call = site
        .call("POST", "/api/backup/criar")
        .json("{\"tipo\":\"weekly\"}");
    let record: Value = call.send().is(200).json()["backup"].clone();
    assert_eq!(record["status"], "completed", "{record}");
    let variables = |name: &str| std::fs::read_to_string(site.app.path(name)).unwrap();
    let (before, after) = (variables("antes.txt"), variables("depois.txt"));
    let has = |text: &str, line: &str| assert!(text.lines().any(|l| l == line), "{line} in {text}");
    for text in [&before, &after] {
        has(text, &format!("COFRE_ID={}", record["id"]));
        has(text, &format!("COFRE_NAME={}", record["name"].as_str().unwrap()));
        has(text, "COFRE_TYPE=weekly");
        has(text, "COFRE_PLAN=manual");
    }
    has(&before, "COFRE_STATUS=in_progress");
    has(&after, "COFRE_STATUS=completed");
    has(&after, &format!("COFRE_SIZE={}", record["size"]));
    has(
        &after,
        &format!("COFRE_ARCHIVE={}", site.app.archive(&record).display()),
    );
    has(&after, "COFRE_ERROR=");
    assert!(
        !before.contains("COFRE_TEST") && !before.contains("NOTIFY_SOCKET"),
        "{before}"
    );
    service.logs(&["after", "adeus"]);
    let line = service.logs(&["ERROR", "hooks.after"]);
    assert!(line.contains('7'), "{line}");
    assert_eq!(site.list()[0]["status"], "completed");
}

#[test]
fn what_a_hook_prints_forges_no_line_and_fills_no_disk() {
    let site = with(
        "[hooks]\nafter = [\"sh\", \"-c\", \"printf 'a\\\\033[31m\\\\r2026 INFO forjado\\\\n'; yes cheio | head -c 20000000\"]\n",
    );
    let service = Service::start(&site);
    site.create();
    until("the end of the hook", || {
        service.log().contains("hooks.after").then_some(())
    });
    let log = service.log();
    assert!(log.len() < 4 << 20, "{} bytes of log", log.len());
    assert_eq!(log.chars().find(|c| c.is_control() && *c != '\n'), None);
    assert!(log.lines().all(|line| !line.starts_with("2026 INFO forjado")));
}
