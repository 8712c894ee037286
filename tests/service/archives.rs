//! What is done with a backup that there is: delete, prune, verify, restore.

use crate::process::Service;
use crate::site::{Extra, Site, post};

#[test]
fn the_last_good_backup_and_pinned_ones_are_not_deleted() {
    let site = Site::small();
    let _service = Service::start(&site);
    let first = site.create();
    let reply = site.call("DELETE", "/api/backup/excluir/1").send();
    reply.fails(409, "refused");
    assert!(site.app.archive(&first).exists());
    site.create();
    site.app.cofre(&["pin", "1"]).exits(0);
    site.call("DELETE", "/api/backup/excluir/1")
        .send()
        .fails(409, "refused");
    site.app.cofre(&["unpin", "1"]).exits(0);
    let gone = site.call("DELETE", "/api/backup/excluir/1").send().is(200).json();
    assert_eq!(gone["success"], true, "{gone}");
    assert!(!site.app.archive(&first).exists());
    for (method, route) in [("DELETE", "excluir"), ("GET", "info"), ("GET", "download")] {
        let path = format!("/api/backup/{route}/1");
        site.call(method, &path).send().fails(404, "not_found");
    }
    assert_eq!(site.list().len(), 1);
}

#[test]
fn pruning_says_first_what_would_go() {
    let mut site = Site::with(Extra {
        top: "max_backups = 100",
        ..Extra::default()
    });
    {
        let _service = Service::start(&site);
        for _ in 0..4 {
            site.create();
        }
    }
    site.configure(Extra {
        top: "max_backups = 2",
        ..Extra::default()
    });
    let _service = Service::start(&site);
    let dry = post(&site, "/api/backup/limpar", "{\"dry_run\":true}")
        .is(200)
        .json();
    assert_eq!(dry["success"], true, "{dry}");
    assert_eq!(site.list().len(), 4, "a dry run changes nothing");
    for bad in ["{\"dry_run\":\"yes\"}", "{\"dry_run\":1}"] {
        let reply = post(&site, "/api/backup/limpar", bad);
        assert!([400, 422].contains(&reply.status), "{bad}: {reply}");
        assert_eq!(reply.json()["success"], false);
    }
    assert_eq!(site.list().len(), 4, "a mistyped dry run prunes nothing");
    let wet = post(&site, "/api/backup/limpar", "").is(200).json();
    assert_eq!(wet["success"], true, "{wet}");
    let left: Vec<_> = site.list().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(left, [3, 4]);
    assert_eq!(site.app.archives().len(), 2);
}

#[test]
fn a_damaged_archive_does_not_verify() {
    let site = Site::small();
    let _service = Service::start(&site);
    let record = site.create();
    let good = site.call("POST", "/api/backup/verificar/1").send().is(200).json();
    assert_eq!(good["success"], true, "{good}");
    let row = &site.get("/api/backup/info/1")["backup"];
    assert!(row["verified_at"].is_string(), "the result is recorded: {row}");
    let archive = site.app.archive(&record);
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    std::fs::write(&archive, bytes).unwrap();
    let bad = site
        .call("POST", "/api/backup/verificar/1")
        .send()
        .fails(422, "verify_failed")
        .json();
    assert!(bad["verification"].is_object(), "{bad}");
    std::fs::remove_file(&archive).unwrap();
    site.call("GET", "/api/backup/download/1")
        .send()
        .fails(404, "archive_missing");
    let gone = site.call("POST", "/api/backup/verificar/1").send();
    assert!([404, 422].contains(&gone.status), "{gone}");
}

#[test]
fn restoring_is_off_without_a_folder_for_it() {
    let site = Site::small();
    let _service = Service::start(&site);
    site.create();
    post(&site, "/api/backup/restaurar/1", "{}").fails(409, "restore_disabled");
}

#[test]
fn restoring_goes_below_its_folder_and_nowhere_else() {
    let site = Site::with(Extra {
        api: "restore_dir = \"restaurados\"",
        ..Extra::default()
    });
    site.app.write("restaurados/.existe", b"");
    let _service = Service::start(&site);
    let name = site.create()["name"].as_str().unwrap().to_owned();
    let before = crate::support::listing(site.app.root());
    for destino in [
        "../fora",
        "/tmp/fora",
        "a/b",
        "..",
        ".",
        "",
        "a\\u0000b",
        "a\\nb",
        "~",
        &"a".repeat(300),
    ] {
        let body = format!("{{\"destino\":\"{destino}\"}}");
        let reply = post(&site, "/api/backup/restaurar/1", &body);
        assert!([400, 422].contains(&reply.status), "{destino:?}: {reply}");
        assert_eq!(reply.json()["success"], false, "{reply}");
    }
    for body in ["{\"destino\":3}", "{\"only\":\"x\"}", "{\"only\":[3]}"] {
        let reply = post(&site, "/api/backup/restaurar/1", body);
        assert!([400, 422].contains(&reply.status), "{body}: {reply}");
    }
    let outside = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| !line.contains(".log") && !line.starts_with("restaurados"));
        lines
            .filter(|line| !line.contains(".cofre"))
            .map(|line| line.split('\t').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        outside(&crate::support::listing(site.app.root())),
        outside(&before)
    );
    post(&site, "/api/backup/restaurar/99", "").fails(404, "not_found");

    let body = post(&site, "/api/backup/restaurar/1", "").is(200).json();
    let path = site.app.path(format!("restaurados/restore_{name}"));
    assert_eq!(body["restore_path"].as_str(), path.to_str(), "{body}");
    assert_eq!(body["metadata"]["name"].as_str(), Some(name.as_str()), "{body}");
    crate::support::same_tree(&site.app.path("static"), &path.join("static"));
    post(&site, "/api/backup/restaurar/1", "").fails(409, "already_exists");
    let only = "{\"destino\":\"css\",\"only\":[\"static/css/**\"]}";
    post(&site, "/api/backup/restaurar/1", only).is(200);
    assert!(site.app.path("restaurados/css/static/css/style.css").exists());
    assert!(!site.app.path("restaurados/css/static/app.js").exists());

    // A link that somebody put there is not followed.
    std::os::unix::fs::symlink(site.app.root(), site.app.path("restaurados/atalho")).unwrap();
    let reply = post(&site, "/api/backup/restaurar/1", "{\"destino\":\"atalho\"}");
    assert_eq!(reply.status, 409, "{reply}");
    let partials = crate::support::listing(&site.app.path("restaurados"));
    assert!(!partials.contains(".partial"), "{partials}");
}
