//! Archives that are encrypted in the backups folder, behind the API and under the schedule, without the identity.

use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::process::{Service, until};
use crate::receiver::Receiver;
use crate::schedule::{Moved, tables};
use crate::site::{Extra, Site, post};
use crate::support::App;

/// The tables of `encrypt_local` with a recipient whose identity nobody keeps.
fn encryption() -> String {
    let app = App::small();
    app.cofre(&["key", "new", app.path("keys").to_str().unwrap()])
        .exits(0);
    let identity = std::fs::read_to_string(app.path("keys/cofre-identity.txt")).unwrap();
    let line = identity
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "));
    let recipient = line.expect("the public key");
    format!("[encryption]\nrecipients = [\"{recipient}\"]\nencrypt_local = true\n")
}

fn sealed(site: &Site, record: &Value) -> PathBuf {
    PathBuf::from(format!("{}.age", site.app.archive(record).to_str().unwrap()))
}

#[test]
fn what_is_encrypted_is_listed_and_sent_as_it_is_and_what_needs_it_open_is_refused() {
    let site = Site::with(Extra {
        api: "restore_dir = \"restaurados\"",
        tables: &encryption(),
        ..Extra::default()
    });
    site.app.write("restaurados/.existe", b"");
    let _service = Service::start(&site);
    let record = site.create();
    assert_eq!(record["encrypted"], true, "{record}");
    assert_eq!(site.list()[0]["encrypted"], true);
    let bytes = std::fs::read(sealed(&site, &record)).unwrap();
    for method in ["GET", "HEAD"] {
        let reply = site.call(method, "/api/backup/download/1").send().is(200);
        assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
        let name = format!(
            "attachment; filename=\"{}.zip.age\"",
            record["name"].as_str().unwrap()
        );
        assert_eq!(reply.header("content-disposition"), Some(name.as_str()));
        let sum: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(reply.header("etag"), Some(format!("\"{sum}\"").as_str()));
        if method == "GET" {
            assert_eq!(reply.body, bytes);
        }
    }
    let info = site.get("/api/backup/info/1?entries=true");
    assert_eq!(info["backup"]["encrypted"], true, "{info}");
    assert!(info["entries"].is_null(), "{info}");
    let whole = site.call("POST", "/api/backup/verificar/1").send().is(200).json();
    assert_eq!(whole["verification"]["status"], "whole (not opened)", "{whole}");
    assert!(
        whole["message"].as_str().unwrap().contains("não foi aberto"),
        "{whole}"
    );
    let refused = post(&site, "/api/backup/restaurar/1", "{}")
        .fails(409, "encrypted")
        .json();
    assert!(
        refused["message"].as_str().unwrap().contains("criptografado"),
        "{refused}"
    );
    assert!(
        refused["detail"].as_str().unwrap().contains("identity"),
        "{refused}"
    );
    let left = std::fs::read_dir(site.app.path("restaurados")).unwrap().count();
    assert_eq!(left, 1, "nothing is made");
    std::fs::write(sealed(&site, &record), &bytes[..bytes.len() - 1]).unwrap();
    site.call("POST", "/api/backup/verificar/1")
        .send()
        .fails(422, "verify_failed");
}

#[test]
fn where_nobody_can_open_them_drills_are_refused_once_and_verifications_go_on() {
    let receiver = Receiver::start();
    let hook = format!(
        "{}[verify]\nat = \"04:00\"\nmax_age = \"1d\"\n[drill]\nat = \"05:00\"\n\
         [[webhooks]]\nurl = \"{}\"\nevents = [\"drill_failed\", \"verify_failed\"]\n",
        encryption(),
        receiver.url("/treino")
    );
    let moved = Moved::new(tables(&hook));
    let service = moved.start();
    service.logs(&["WARN", "no drill can be held here"]);
    let record = moved.site.create();
    for days in 1..=2 {
        let before = moved.state()["drill"]["last_finished"].clone();
        moved.at(24 * days, 0);
        until("a round of drills", || {
            let drill = moved.state()["drill"].clone();
            (drill["last_finished"] != before && drill["given_up"] == 1).then_some(())
        });
    }
    let row = until("the verification in the catalog", || {
        let row = moved.site.list().remove(0);
        row["verified_at"].is_string().then_some(row)
    });
    assert_eq!(row["verify_status"], "whole (not opened)", "{row}");
    assert!(row["drilled_at"].is_null(), "{row}");
    let said = format!("{} is encrypted", record["name"].as_str().unwrap());
    let log = service.log();
    assert_eq!(log.matches(&said).count(), 1, "once:\n{log}");
    assert_eq!(receiver.received().len(), 0, "nobody is told that it failed");
}
