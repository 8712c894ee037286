//! A catalog that somebody forged, and archives that are something else: nothing outside the backups folder is ever
//! read, changed or removed.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::process::Service;
use crate::site::{Extra, Site};
use crate::support::tool;

use super::is_well;

const SECRET: &[u8] = b"PK\x03\x04 segredo de fora";

fn site() -> Site {
    let site = Site::with(Extra {
        api: "restore_dir = \"restaurados\"",
        ..Extra::default()
    });
    std::fs::create_dir(site.app.path("restaurados")).unwrap();
    site.app.write("fora.zip", SECRET);
    site.app.write("fora.zip.sha256", SECRET);
    site
}

/// Asks everything about backup 1; the statuses. Whatever they are, nothing of the secret comes, and it stays.
fn ask_everything(site: &Site, what: &str) -> Vec<u16> {
    let mut statuses = Vec::new();
    for (method, path) in [
        ("GET", "listar"),
        ("GET", "status"),
        ("GET", "info/1"),
        ("GET", "info/1?entries=true"),
        ("GET", "download/1"),
        ("POST", "verificar/1"),
        ("POST", "restaurar/1"),
        ("POST", "limpar"),
        ("DELETE", "excluir/1"),
    ] {
        let reply = site.call(method, &format!("/api/backup/{path}")).send();
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(
            !text.contains("segredo") && !text.contains("root:x"),
            "{what}: {reply}"
        );
        if reply.status >= 500 {
            let code = reply.json()["code"].as_str().unwrap_or_default().to_owned();
            // A folder in the place of an archive is not removed, and that is said.
            let mut known = vec!["catalog_invalid", "sandbox_refused"];
            known.extend((method == "DELETE").then_some("io"));
            assert!(known.contains(&code.as_str()), "{what}: {reply}");
        }
        statuses.push(reply.status);
    }
    for file in ["fora.zip", "fora.zip.sha256"] {
        let left = std::fs::read(site.app.path(file)).unwrap_or_default();
        assert_eq!(left, SECRET, "{what}: {file}");
    }
    statuses
}

#[test]
fn a_forged_row_reads_and_removes_nothing_outside() {
    let site = site();
    let service = Service::start(&site);
    site.create();
    site.create();
    let good = site.app.history();
    let (outside, root) = (
        site.app.path("fora"),
        site.app.root().to_str().unwrap().to_owned(),
    );
    let forge = |key: &str, value: Value| {
        let mut rows = good.clone();
        rows[0][key] = value;
        site.app.write(
            "backups/backup_history.json",
            serde_json::to_vec(&rows).unwrap().as_slice(),
        );
    };
    for name in [
        json!("../fora"),
        json!("..\\fora"),
        json!(outside.to_str().unwrap()),
        json!("/etc/passwd"),
        json!("backup_20260101_000000_../../fora"),
        json!("backup_20260101_000000_manual/../../fora"),
        json!("backup_20260101_000000_manual\u{0}"),
        json!("."),
        json!(".."),
        json!(""),
        json!(null),
        json!(7),
        json!(["../fora"]),
        json!("x".repeat(100_000)),
    ] {
        forge("name", name.clone());
        let statuses = ask_everything(&site, &format!("name {:.60}", name.to_string()));
        assert!(
            statuses.iter().all(|status| *status >= 400),
            "{name:.60}: {statuses:?}"
        );
    }
    // Where the row says that the archive is counts for nothing.
    for path in [
        "../fora.zip",
        "/etc/passwd",
        &format!("{root}/fora.zip"),
        "..\\fora.zip",
        "\u{0}",
        "",
    ] {
        forge("zip_path", json!(path));
        let archive = std::fs::read(site.app.archive(&good[0])).unwrap();
        let reply = site.call("GET", "/api/backup/download/1").send().is(200);
        assert_eq!(reply.body, archive, "{path}");
        site.call("POST", "/api/backup/verificar/1").send().is(200);
    }
    // Other fields: a digest that would be a header, sizes beyond all numbers, an id twice.
    let whole = Whole::of(&site, &[site.app.archive(&good[0])]);
    let fields = [
        ("sha256", json!("a\"\r\nX-Y: z")),
        ("sha256", json!("A".repeat(1 << 20))),
        ("size", json!(u64::MAX)),
        ("size", json!(-1)),
        ("size", json!(1e300)),
        ("id", good[1]["id"].clone()),
        ("id", json!(-1)),
        ("id", json!(1e300)),
        ("timestamp", json!("\u{1b}[2J")),
        ("status", json!("ótimo")),
        ("plan", json!("\n".repeat(1000))),
    ];
    let count = fields.len();
    let mut judged = 0;
    for (key, value) in fields {
        forge(key, value.clone());
        ask_everything(&site, &format!("{key} {:.60}", value.to_string()));
        // A delete that was allowed took the archive along.
        whole.put_back();
        judged += 1;
    }
    assert_eq!(judged, count);
    assert!(!service.log().contains("\u{1b}"));
    is_up(&site);
}

/// The files of a backup and of the catalog, to be put back.
struct Whole(Vec<(PathBuf, Vec<u8>)>);

impl Whole {
    fn of(site: &Site, files: &[PathBuf]) -> Self {
        let catalog = ["backup_history.json", ".catalog.json"].map(|name| site.app.backups().join(name));
        let all = catalog.iter().chain(files);
        Self(
            all.map(|path| (path.clone(), std::fs::read(path).unwrap()))
                .collect(),
        )
    }

    fn put_back(&self) {
        for (path, bytes) in &self.0 {
            std::fs::write(path, bytes).unwrap();
        }
    }
}

/// As [`is_well`] with a catalog that may be broken.
fn is_up(site: &Site) {
    site.anonymous("GET", "/healthz").send().is(200);
    site.anonymous("GET", "/api/backup/status").send().is(401);
}

#[test]
fn what_lies_in_the_place_of_an_archive_is_not_followed_opened_or_waited_for() {
    let site = site();
    let _service = Service::start(&site);
    let record = site.create();
    let archive = site.app.archive(&record);
    let kept = site.app.path("guardado");
    std::fs::rename(&archive, &kept).unwrap();
    let catalog = Whole::of(&site, &[]);
    let outside = site.app.path("fora.zip");
    type Put<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let puts: [Put<'_>; 6] = [
        (
            "a link to a file",
            Box::new(|| symlink(&outside, &archive).unwrap()),
        ),
        (
            "a link to the right archive",
            Box::new(|| symlink(&kept, &archive).unwrap()),
        ),
        (
            "a relative link",
            Box::new(|| symlink("../fora.zip", &archive).unwrap()),
        ),
        (
            "a link to itself",
            Box::new(|| symlink(&archive, &archive).unwrap()),
        ),
        ("a folder", Box::new(|| std::fs::create_dir(&archive).unwrap())),
        (
            "a FIFO",
            Box::new(|| {
                crate::support::run(std::process::Command::new(tool("mkfifo")).arg(&archive)).exits(0);
            }),
        ),
    ];
    for (what, put) in puts {
        put();
        let verify = site.call("POST", "/api/backup/verificar/1").send();
        assert!([404, 422, 500].contains(&verify.status), "{what}: {verify}");
        let statuses = ask_everything(&site, what);
        // Neither downloaded nor restored.
        assert!(statuses[4] >= 400 && statuses[6] >= 400, "{what}: {statuses:?}");
        let placed = std::fs::symlink_metadata(&archive);
        if placed.is_ok_and(|found| found.is_dir()) {
            std::fs::remove_dir(&archive).unwrap();
        } else {
            drop(std::fs::remove_file(&archive));
        }
        // Without its archive it was no good one, and could be deleted.
        catalog.put_back();
    }
    std::fs::rename(&kept, &archive).unwrap();
    site.call("POST", "/api/backup/verificar/1").send().is(200);
    is_well(&site);
}
