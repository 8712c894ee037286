//! The clients that were written for the original system: its document's snippets through Python's requests, each
//! of its routes by curl, and the JSON that they get, field by field.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::process::Service;
use crate::python::script;
use crate::receiver::Receiver;
use crate::site::{Extra, Site, admin};
use crate::support::{Run, cofre_binary, run, tool};

/// Runs a script of the seed against the API.
#[track_caller]
fn seed(site: &Site, name: &str, args: &[&str]) -> Run {
    let mut python = script(&format!("seed/{name}"));
    python
        .env("COFRE_URL", site.url(""))
        .env("COFRE_TOKEN", admin())
        // The clients and the service share the machine's local time.
        .env("TZ", "America/Sao_Paulo");
    run(python.args(args)).exits(0)
}

/// A site in the zone in which [`seed`] runs its scripts.
fn site(tables: &str) -> Site {
    Site::with(Extra {
        top: "time_zone = \"America/Sao_Paulo\"",
        tables,
        ..Extra::default()
    })
}

#[test]
fn the_seeds_scripts_create_see_the_status_and_list() {
    let site = site("");
    let _service = Service::start(&site);
    seed(&site, "use.py", &[])
        .says("Backup concluído: backup_")
        .says("Espaço total: 0.0");
    assert_eq!(site.app.archives().len(), 2);
    site.app.cofre(&["verify", "--all"]).exits(0);
}

#[test]
fn the_seeds_monitoring_loop_reads_the_age_of_the_last_backup() {
    let site = site("");
    let _service = Service::start(&site);
    seed(&site, "monitor.py", &[])
        .never_says("ALERTA")
        .says("uma volta");

    let old = site.app.command(&["create"]);
    let mut faketime = Command::new(tool("faketime"));
    faketime
        .args(["-f", "-5d"])
        .arg(cofre_binary())
        .args(old.get_args());
    run(faketime.env_remove("COFRE_CONFIG")).exits(0);
    seed(&site, "monitor.py", &[]).says("ALERTA: Último backup há 5 dias!");

    site.create();
    seed(&site, "monitor.py", &[])
        .never_says("ALERTA")
        .says("uma volta");
}

#[test]
fn a_receiver_gets_what_the_seeds_own_function_sends() {
    let receiver = Receiver::start();
    let hook = format!(
        "[[webhooks]]\nname = \"painel\"\nurl = \"{}\"",
        receiver.url("/cofre")
    );
    let site = site(&hook);
    let _service = Service::start(&site);
    let record = site.create();
    let ours = receiver.wait_for(1).remove(0);
    seed(&site, "notify.py", &[&receiver.url("/seed")]).says("Notificação enviada com sucesso");
    let theirs = receiver.at("/seed").remove(0);

    assert_eq!((ours.method.as_str(), ours.path.as_str()), ("POST", "/cofre"));
    let kind = ours.header("content-type").expect("a content type");
    assert!(kind.starts_with("application/json"), "{kind}");
    let (ours, theirs) = (ours.json(), theirs.json());
    let fields = theirs.as_object().expect("an object");
    assert_eq!(fields.len(), 5, "{theirs}");
    for (field, value) in fields {
        assert_eq!(&ours[field], value, "{field} of {ours}");
    }
    assert_eq!(ours["backup_id"], record["id"]);
}

#[test]
fn curl_runs_each_route_of_the_seed() {
    let site = site("");
    let _service = Service::start(&site);
    let made = site
        .call("POST", "/api/backup/criar")
        .json("{\n  \"tipo\": \"manual\"\n}\n")
        .send()
        .is(200)
        .json();
    assert_eq!(made["success"], true, "{made}");
    assert!(
        made["message"].as_str().is_some_and(|text| !text.is_empty()),
        "{made}"
    );
    let record = &made["backup"];
    assert_eq!(record["type"], "manual", "{made}");
    assert_eq!(record["status"], "completed", "{made}");
    assert_eq!(keys(&made), ["backup", "message", "success"]);

    let status = site.get("/api/backup/status");
    assert_eq!(keys(&status), ["status", "success"]);
    assert_eq!(&status["status"]["last_backup"], record);
    let list = site.get("/api/backup/listar");
    assert_eq!(keys(&list), ["backups", "success"]);
    assert_eq!(list["backups"], Value::Array(vec![record.clone()]));

    let route = format!("/api/backup/download/{}", record["id"]);
    let download = site.call("GET", &route).send().is(200);
    assert_eq!(download.body, std::fs::read(site.app.archive(record)).unwrap());
    assert_eq!(download.header("content-type"), Some("application/zip"));
    let name = record["name"].as_str().unwrap();
    assert_eq!(
        download.header("content-disposition"),
        Some(format!("attachment; filename=\"{name}.zip\"").as_str())
    );
}

fn keys(object: &Value) -> Vec<&str> {
    let object = object
        .as_object()
        .unwrap_or_else(|| panic!("an object: {object}"));
    object.keys().map(String::as_str).collect()
}

/// A type of JSON; `?` behind it allows null.
fn is(value: &Value, kind: &str) -> bool {
    if let Some(kind) = kind.strip_suffix('?') {
        return value.is_null() || is(value, kind);
    }
    match kind {
        "int" => value.is_u64(),
        "number" => value.is_number(),
        "text" => value.is_string(),
        "bool" => value.is_boolean(),
        "list" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    }
}

/// Asserts that an object has exactly these fields, each of its type.
#[track_caller]
pub(crate) fn has_fields(object: &Value, fields: &[(&str, &str)]) {
    let mut wanted: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    wanted.sort_unstable();
    assert_eq!(keys(object), wanted, "{object}");
    for (name, kind) in fields {
        assert!(is(&object[*name], kind), "{name} is to be {kind}: {object}");
    }
}

/// The first eight are the original system's.
const RECORD: [(&str, &str); 26] = [
    ("id", "int"),
    ("name", "text"),
    ("type", "text"),
    ("timestamp", "text"),
    ("status", "text"),
    ("size", "int"),
    ("error", "text?"),
    ("zip_path", "text?"),
    ("plan", "text?"),
    ("started_at", "text?"),
    ("finished_at", "text?"),
    ("duration_seconds", "number?"),
    ("file_count", "int?"),
    ("source_bytes", "int?"),
    ("skipped", "int?"),
    ("changed", "int?"),
    ("sha256", "text?"),
    ("reused_bytes", "int?"),
    ("pinned", "bool"),
    ("verified_at", "text?"),
    ("verify_status", "text?"),
    ("drilled_at", "text?"),
    ("drill_status", "text?"),
    ("restored_at", "text?"),
    ("archive_present", "bool"),
    ("encrypted", "bool"),
];

const STATUS: [(&str, &str); 16] = [
    ("total_backups", "int"),
    ("completed_backups", "int"),
    ("failed_backups", "int"),
    ("partial_backups", "int"),
    ("total_size_bytes", "int"),
    ("total_size_mb", "number"),
    ("max_backups", "int"),
    ("backup_dir", "text"),
    ("last_backup", "object?"),
    ("last_success", "object?"),
    ("archives_missing", "list"),
    ("archives_unknown", "list"),
    ("future", "list"),
    ("schedules", "list"),
    ("remotes", "list"),
    ("running", "object?"),
];

#[test]
fn record_and_status_have_the_fields_of_the_design_and_no_others() {
    let plan = "[[schedules]]\nname = \"weekly\"\nat = \"sunday 03:00\"\n";
    let site = site(plan);
    // About 2.34 MiB that do not compress, so that rounding shows.
    site.app.write(
        "static/grande.bin",
        &crate::support::Rng::fixed(1).bytes(2_457_600),
    );
    let _service = Service::start(&site);
    let empty = site.status();
    has_fields(&empty, &STATUS);
    assert!(
        empty["last_backup"].is_null() && empty["running"].is_null(),
        "{empty}"
    );
    assert_eq!(empty["total_size_mb"].as_f64(), Some(0.0));

    let record = site.create();
    has_fields(&record, &RECORD);
    for field in [
        "plan",
        "started_at",
        "finished_at",
        "duration_seconds",
        "file_count",
        "source_bytes",
        "sha256",
        "zip_path",
    ] {
        assert!(!record[field].is_null(), "{field}: {record}");
    }
    let timestamp = record["timestamp"].as_str().unwrap();
    let parts: Vec<_> = timestamp.split(['-', 'T', ':', '.']).map(str::len).collect();
    assert_eq!(
        parts,
        [4, 2, 2, 2, 2, 2, 6],
        "local, microseconds, no offset: {timestamp}"
    );
    let name = record["name"].as_str().unwrap();
    let digits: String = timestamp[..19].chars().filter(char::is_ascii_digit).collect();
    assert_eq!(name, format!("backup_{}_{}_manual", &digits[..8], &digits[8..]));
    let zip = record["zip_path"].as_str().unwrap();
    assert!(zip.ends_with(&format!("{name}.zip")), "{zip}");
    let size = std::fs::metadata(site.app.archive(&record)).unwrap().len();
    assert_eq!(record["size"].as_u64(), Some(size));

    let status = site.status();
    has_fields(&status, &STATUS);
    has_fields(&status["last_backup"], &RECORD);
    assert_eq!(status["total_size_bytes"].as_u64(), Some(size));
    let rounded = (size as f64 / 1_048_576.0 * 100.0).round() / 100.0;
    assert_eq!(status["total_size_mb"].as_f64(), Some(rounded));
    let plan = &status["schedules"][0];
    has_fields(
        plan,
        &[
            ("plan", "text"),
            ("next_run", "text?"),
            ("last_run", "text?"),
            ("missed", "int"),
            ("late_since", "text?"),
            ("enabled", "bool"),
        ],
    );
    assert_eq!(plan["plan"], "weekly");
    assert!(plan["next_run"].is_string(), "{plan}");

    // The same row in the file, which old programs read: they know the first eight fields.
    let row = &site.app.history()[0];
    for (field, kind) in &RECORD[..8] {
        assert!(is(&row[*field], kind), "{field} of {row}");
        assert_eq!(row[*field], record[*field], "{field}");
    }
}

#[test]
fn partial_and_failed_runs_answer_as_the_design_says() {
    let site = site("");
    let unreadable = site.app.path("static/segredo.txt");
    site.app.write("static/segredo.txt", b"segredo");
    std::fs::set_permissions(&unreadable, std::fs::Permissions::from_mode(0o000)).unwrap();
    let _service = Service::start_unprivileged(&site);
    let partial = site
        .call("POST", "/api/backup/criar")
        .json("{}")
        .send()
        .is(200)
        .json();
    assert_eq!(partial["success"], true, "{partial}");
    has_fields(&partial["backup"], &RECORD);
    assert_eq!(partial["backup"]["status"], "partial", "{partial}");
    assert!(partial["backup"]["error"].is_string(), "{partial}");
    let route = format!("/api/backup/download/{}", partial["backup"]["id"]);
    site.call("GET", &route).send().is(200);

    std::fs::remove_dir_all(site.app.path("static")).unwrap();
    let failed = site.call("POST", "/api/backup/criar").json("{}").send();
    let body = failed.fails(500, "source_missing").json();
    assert!(body["detail"].is_string(), "{body}");
    has_fields(&body["backup"], &RECORD);
    assert_eq!(body["backup"]["status"], "failed", "{body}");
    assert!(body["backup"]["error"].is_string(), "{body}");
    let status = site.status();
    assert_eq!(status["failed_backups"], 1, "{status}");
    assert_eq!(status["last_backup"], body["backup"], "{status}");
    let route = format!("/api/backup/download/{}", body["backup"]["id"]);
    site.call("GET", &route).send().fails(400, "not_completed");
}
