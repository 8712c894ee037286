//! A backups folder that loses its history while cofre is used: the disk that it lies on was unmounted, and what is
//! there now is the bare mount point. No new history begins on it by itself.

use crate::process::Service;
use crate::site::Site;
use crate::support::listing;

/// Takes the backups away, as an unmounted disk does; an empty folder stays.
fn unmount(site: &Site) {
    std::fs::rename(site.app.backups(), site.app.path("disco")).unwrap();
    std::fs::create_dir(site.app.backups()).unwrap();
}

fn mount(site: &Site) {
    std::fs::remove_dir(site.app.backups()).unwrap();
    std::fs::rename(site.app.path("disco"), site.app.backups()).unwrap();
}

fn is_untouched(site: &Site) {
    assert!(
        listing(&site.app.backups()).lines().count() <= 1,
        "{}",
        listing(&site.app.backups())
    );
}

/// Everything that writes is refused, by the API and by commands, and nothing is written.
fn all_is_refused(site: &Site) {
    let reply = site.call("POST", "/api/backup/criar").json("{}").send();
    let detail = reply.fails(500, "refused").json()["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        detail.contains("is its disk mounted?") && detail.contains("backups"),
        "{detail}"
    );
    site.call("POST", "/api/backup/limpar")
        .json("{}")
        .send()
        .fails(409, "refused");
    for route in ["info/1", "download/1"] {
        site.call("GET", &format!("/api/backup/{route}"))
            .send()
            .fails(409, "refused");
    }
    site.call("POST", "/api/backup/verificar/1")
        .send()
        .fails(409, "refused");
    site.call("POST", "/api/backup/limpar")
        .json("{\"dry_run\":true}")
        .send()
        .fails(409, "refused");
    // The list and the totals are those of the empty folder, and say so.
    let status = site.call("GET", "/api/backup/status").send().is(200).json();
    let listed = site.call("GET", "/api/backup/listar").send().is(200).json();
    for note in [&status["status"]["note"], &listed["note"]] {
        assert!(note.as_str().unwrap().contains("is its disk mounted?"), "{note}");
    }
    for args in [&["list"][..], &["status"]] {
        site.app.cofre(args).exits(0).says("is its disk mounted?");
        let args = [&["--json"], args].concat();
        site.app.cofre(&args).exits(0).says("is its disk mounted?");
    }
    for args in [
        &["verify"][..],
        &["verify", "--all"],
        &["verify", "1"],
        &["restore", "latest"],
        &[
            "restore",
            "latest",
            "--database",
            "app",
            "--into",
            "sqlite:new.db",
        ],
        &["drill"],
        &["show", "1"],
        &["diff", "1", "2"],
        &["prune", "--dry-run"],
        &["create"],
        &["create", "--full", "--type", "outro"],
        &["prune"],
        &["rebuild"],
    ] {
        site.app
            .cofre(args)
            .exits(10)
            .says("is its disk mounted?")
            .says("--new-history");
    }
    site.app.cofre(&["doctor"]).exits(10).says("is its disk mounted?");
    is_untouched(site);
}

#[test]
fn no_new_history_begins_on_a_bare_mount_point() {
    let site = Site::small();
    {
        let service = Service::start(&site);
        site.create();
        site.create();
        unmount(&site);
        all_is_refused(&site);
        service.logs(&["cofre::audit", "operation=run", "is its disk mounted?"]);
    }
    // Nor at the next start, which can tell.
    let _service = Service::start(&site);
    all_is_refused(&site);
    mount(&site);
    assert_eq!(site.create()["id"], 3);
    site.app.cofre(&["verify", "--all"]).exits(0);
    site.app.cofre(&["doctor"]).never_says("is its disk mounted?");
    for route in ["status", "listar"] {
        let reply = site.call("GET", &format!("/api/backup/{route}")).send().is(200);
        assert!(!reply.to_string().contains("is its disk mounted?"), "{reply}");
    }
}

#[test]
fn a_folder_that_has_gone_is_not_made_again_by_itself() {
    let site = Site::small();
    site.app.create();
    std::fs::rename(site.app.backups(), site.app.path("disco")).unwrap();
    let _service = Service::start(&site);
    site.call("POST", "/api/backup/criar")
        .json("{}")
        .send()
        .fails(500, "refused");
    for args in [
        &["create"][..],
        &["verify", "--all"],
        &["restore", "1"],
        &["prune"],
    ] {
        site.app.cofre(args).exits(10).says("is its disk mounted?");
    }
    for args in [&["list"][..], &["status"]] {
        site.app.cofre(args).exits(0).says("is its disk mounted?");
    }
    assert!(!site.app.backups().exists());
    std::fs::rename(site.app.path("disco"), site.app.backups()).unwrap();
    assert_eq!(site.create()["id"], 2);
}

#[test]
fn what_was_removed_on_purpose_begins_anew_when_told() {
    let site = Site::small();
    site.app.create();
    site.app.create();
    for gone in [true, false] {
        std::fs::remove_dir_all(site.app.backups()).unwrap();
        if !gone {
            std::fs::create_dir(site.app.backups()).unwrap();
        }
        site.app.cofre(&["create"]).exits(10);
        let record = site.app.json(&["create", "--new-history"]);
        assert_eq!(record["id"], 1, "{record}");
        // Told once is enough.
        assert_eq!(site.app.create()["id"], 2);
    }
}

#[test]
fn another_folder_a_lost_note_and_archives_without_a_catalog_are_no_unmounted_disk() {
    let site = Site::small();
    site.app.create();
    let text = std::fs::read_to_string(site.app.path("cofre.toml")).unwrap();
    site.app.config(&format!("backup_dir = \"outros\"\n{text}"));
    assert_eq!(site.app.create()["id"], 1);
    site.app.config(&text);
    assert_eq!(site.app.create()["id"], 2);
    // Each of the two is known by itself.
    for (toml, folder) in [
        (&text, "backups"),
        (&format!("backup_dir = \"outros\"\n{text}"), "outros"),
    ] {
        site.app.config(toml);
        std::fs::rename(site.app.path(folder), site.app.path("disco")).unwrap();
        std::fs::create_dir(site.app.path(folder)).unwrap();
        site.app.cofre(&["create"]).exits(10).says("is its disk mounted?");
        std::fs::remove_dir(site.app.path(folder)).unwrap();
        std::fs::rename(site.app.path("disco"), site.app.path(folder)).unwrap();
    }
    site.app.config(&text);
    std::fs::remove_file(site.app.history_path()).unwrap();
    std::fs::remove_file(site.app.backups().join(".catalog.json")).unwrap();
    site.app.cofre(&["create"]).exits(10).says("cofre rebuild");
    site.app.cofre(&["rebuild"]).exits(0);
    for note in [&b"{"[..], b"", b"[1]", b"{\"backup_dir\":3}"] {
        std::fs::remove_dir_all(site.app.backups()).unwrap();
        site.app.write(".cofre/history.json", note);
        site.app.cofre(&["create"]).exits(0).says("history.json");
    }
}
