//! The audit log: one line for each call and each run, also those that were refused; its formats and its file.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::process::{Service, until};
use crate::site::{Extra, Site, viewer};
use crate::support::{cofre_binary, run, tool};

/// Calls of every kind; the operation, who, and the status that the log has to have of each.
fn calls(site: &Site) -> Vec<(String, &'static str, u16)> {
    let mut made = Vec::new();
    let mut note = |operation: &str, who, status: u16, got: u16| {
        assert_eq!(status, got, "{operation}");
        made.push((operation.to_owned(), who, status));
    };
    let ops = |method: &str, path: &str, status| {
        (
            site.call(method, path).send().status,
            format!("{method} {path}"),
            status,
        )
    };
    for (got, operation, status) in [
        ops("POST", "/api/backup/criar", 200),
        ops("GET", "/api/backup/status", 200),
        ops("GET", "/api/backup/listar", 200),
        ops("GET", "/api/backup/info/1", 200),
        ops("GET", "/api/backup/download/1", 200),
        ops("HEAD", "/api/backup/download/1", 200),
        ops("POST", "/api/backup/verificar/1", 200),
        ops("POST", "/api/backup/restaurar/1", 409),
        ops("DELETE", "/api/backup/excluir/1", 409),
        ops("POST", "/api/backup/limpar", 200),
        ops("GET", "/api/backup/info/99", 404),
        ops("GET", "/api/backup/info/nada", 400),
        ops("GET", "/nada", 404),
        ops("PUT", "/api/backup/status", 405),
        ops("GET", "/api/openapi.json", 200),
    ] {
        note(&operation, "token:ops", status, got);
    }
    let got = site.anonymous("GET", "/api/backup/listar").send().status;
    note("GET /api/backup/listar", "anonymous", 401, got);
    let got = site.anonymous("GET", "/metrics").send().status;
    note("GET /metrics", "anonymous", 401, got);
    let call = site.anonymous("POST", "/api/backup/criar").bearer(viewer());
    note(
        "POST /api/backup/criar",
        "token:prometheus",
        403,
        call.send().status,
    );
    made
}

fn with_log(log: &str) -> Site {
    Site::with(Extra {
        tables: &format!("[log]\nfile = \"cofre.log\"\n{log}"),
        ..Extra::default()
    })
}

fn file(site: &Site) -> String {
    std::fs::read_to_string(site.app.path("cofre.log")).unwrap()
}

#[test]
fn every_call_is_one_line_of_text() {
    let site = with_log("");
    let service = Service::start(&site);
    let made = calls(&site);
    let lines = || -> Vec<String> {
        let log = file(&site);
        let audit = log.lines().filter(|line| line.contains("cofre::audit"));
        audit.map(str::to_owned).collect()
    };
    // One line more: the run itself.
    let lines = until("all lines", || {
        Some(lines()).filter(|lines| lines.len() > made.len())
    });
    assert_eq!(lines.len(), made.len() + 1, "{lines:#?}");
    let mut rest = lines.clone();
    for (operation, who, status) in made {
        let is_it = |line: &String| {
            let words = [operation.as_str(), who, &status.to_string(), "127.0.0.1"];
            words.iter().all(|word| line.contains(word))
        };
        let at = rest.iter().position(is_it);
        let line = rest.remove(at.unwrap_or_else(|| panic!("{operation} {who} {status} in {rest:#?}")));
        let level = match status {
            200..400 => "INFO",
            400..500 => "WARN",
            _ => "ERROR",
        };
        assert!(line.contains(level), "{line}");
        // The time comes first: RFC 3339.
        assert_eq!(line.as_bytes()[10], b'T', "{line}");
    }
    assert!(
        rest[0].contains("run") && rest[0].contains("completed") && rest[0].contains("token:ops"),
        "{rest:?}"
    );
    // Standard error has the same lines.
    for line in &lines {
        let words = line.split_once("cofre::audit").unwrap().1;
        assert!(service.log().contains(words), "{line}");
    }
}

#[test]
fn every_line_is_one_object_of_json() {
    let site = with_log("format = \"json\"\n");
    let service = Service::start(&site);
    let made = calls(&site);
    std::fs::rename(site.app.path("static"), site.app.path("longe")).unwrap();
    site.call("POST", "/api/backup/criar").json("{}").send().is(500);
    let parse = |text: &str| -> Vec<Value> {
        let parsed = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        parsed.collect()
    };
    let audit = |text: &str| -> Vec<Value> {
        let all = parse(text).into_iter();
        all.filter(|line| line["target"] == "cofre::audit" || line["operation"].is_string())
            .collect()
    };
    let lines = until("all lines", || {
        Some(audit(&file(&site))).filter(|lines| lines.len() >= made.len() + 3)
    });
    assert_eq!(lines.len(), made.len() + 3, "{lines:#?}");
    for (operation, who, status) in
        made.iter()
            .chain([&("POST /api/backup/criar".to_owned(), "token:ops", 500)])
    {
        let code = status.to_string();
        let found = lines.iter().find(|line| {
            line["operation"] == *operation && line["who"] == *who && line["status"] == code.as_str()
        });
        let line = found.unwrap_or_else(|| panic!("{operation} {who} {status} in {lines:#?}"));
        assert!(
            line["timestamp"].is_string() && line["took_ms"].is_u64(),
            "{line}"
        );
        assert_eq!(line["from"], "127.0.0.1", "{line}");
        let level = match status {
            200..400 => "INFO",
            400..500 => "WARN",
            _ => "ERROR",
        };
        assert_eq!(line["level"], level, "{line}");
    }
    let runs: Vec<_> = lines.iter().filter(|line| line["operation"] == "run").collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert_eq!(
        (&runs[1]["status"], &runs[1]["level"]),
        (&"failed".into(), &"ERROR".into())
    );
    assert!(
        runs[1]["error"]
            .as_str()
            .is_some_and(|text| text.contains("static")),
        "{runs:?}"
    );
    parse(&service.log());
}

#[test]
fn the_file_is_for_its_owner_and_is_opened_anew_after_rotation() {
    let site = with_log("");
    let _service = Service::start(&site);
    let mode = |name: &str| {
        std::fs::metadata(site.app.path(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!(mode("cofre.log"), 0o600);
    site.status();
    std::fs::rename(site.app.path("cofre.log"), site.app.path("cofre.log.1")).unwrap();
    site.call("GET", "/depois-da-troca").send().is(404);
    until("a new file", || {
        site.app
            .path("cofre.log")
            .exists()
            .then(|| file(&site))
            .filter(|log| log.contains("/depois-da-troca"))
    });
    assert_eq!(mode("cofre.log"), 0o600);
    let old = std::fs::read_to_string(site.app.path("cofre.log.1")).unwrap();
    assert!(
        old.contains("/api/backup/status") && !old.contains("/depois-da-troca"),
        "{old}"
    );
    // A full disk or a folder that went does not stop the service.
    std::fs::remove_file(site.app.path("cofre.log")).unwrap();
    std::fs::create_dir(site.app.path("cofre.log")).unwrap();
    site.create();
}

#[test]
fn a_log_file_that_can_not_be_opened_is_named() {
    let site = Site::with(Extra {
        tables: "[log]\nfile = \"falta/cofre.log\"\n",
        ..Extra::default()
    });
    let ended = site.app.cofre(&["serve"]).says("falta/cofre.log");
    assert!(matches!(ended.code, Some(2 | 8 | 10)), "{ended}");
}

#[test]
fn commands_that_change_something_are_audited_with_the_user() {
    let site = with_log("");
    site.app.create();
    site.app.create();
    site.app.cofre(&["list"]).exits(0);
    site.app.cofre(&["pin", "2"]).exits(0);
    site.app.cofre(&["delete", "1"]).exits(0);
    site.app.cofre(&["delete", "2"]).exits(10);
    site.app.cofre(&["create", "--type", "weekly"]).exits(0);
    let log = file(&site);
    let lines: Vec<_> = log.lines().filter(|line| line.contains("cofre::audit")).collect();
    let count = |word: &str| {
        lines
            .iter()
            .filter(|line| line.contains(&format!("operation={word}")))
            .count()
    };
    assert_eq!(count("create"), 3, "{log}");
    assert_eq!(count("pin"), 1, "{log}");
    assert_eq!(count("delete"), 2, "the refused one too: {log}");
    assert_eq!(count("list"), 0, "{log}");
    assert!(lines.iter().all(|line| line.contains("who=user:")), "{log}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("refused") && line.contains("delete")),
        "{log}"
    );
}

#[test]
fn the_unit_of_service_print_is_one_that_systemd_takes() {
    let site = Site::small();
    let printed = site.app.cofre(&["service", "print"]).exits(0);
    let unit = site.app.path("cofre.service");
    std::fs::write(&unit, &printed.stdout).unwrap();
    assert!(
        printed.stdout.contains("[Service]") && printed.stdout.contains("serve"),
        "{printed}"
    );
    let binary = cofre_binary().to_str().unwrap();
    assert!(
        printed.stdout.contains(binary),
        "the unit starts this program: {printed}"
    );
    // The manual page that the unit names may not be installed here.
    let verified = run(Command::new(tool("systemd-analyze"))
        .args(["verify", "--man=no"])
        .arg(&unit));
    let verified = verified.exits(0);
    assert!(!verified.stderr.contains("cofre.service"), "{verified}");
    let security = run(Command::new(tool("systemd-analyze"))
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .arg(&unit));
    security.exits(0);
}
