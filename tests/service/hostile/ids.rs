//! Ids that want to be paths.

use crate::process::Service;
use crate::site::{Extra, Site};
use crate::wire::{answers, request};

use super::is_well;

#[test]
fn an_id_is_a_number_and_never_a_path() {
    let site = Site::with(Extra {
        api: "restore_dir = \"restaurados\"",
        ..Extra::default()
    });
    std::fs::create_dir(site.app.path("restaurados")).unwrap();
    site.app.write("backups.zip", b"PK segredo de fora");
    let _service = Service::start(&site);
    let record = site.create();
    let name = record["name"].as_str().unwrap();
    let long = "9".repeat(5_000);
    let own = format!("{name}.zip");
    let before = crate::support::listing(&site.app.backups());
    let targets = [
        "..",
        "%2e%2e",
        "%2e%2e%2fbackups",
        "..%2f..%2fetc%2fpasswd",
        "%252e%252e%252fbackups",
        "..%5c..%5cbackups",
        "%2fetc%2fpasswd",
        "%00",
        "1%00",
        "1%00.zip",
        "1%2f",
        "1%2f..%2f1",
        "1/..",
        "1/../1",
        "./1",
        "..;/1",
        "1;x=y",
        "1%3fx",
        "1%23x",
        "0x1",
        "%ef%bc%91",
        "%c0%ae%c0%ae",
        "%c0%b1",
        "%e0%80%b1",
        "%ff",
        "%",
        "%z1",
        "1%",
        "-1",
        "%2b1",
        "1%20",
        "%201",
        "1%0d%0aX-Y:%20z",
        "1.0",
        "1e0",
        "latest",
        "0",
        "18446744073709551617",
        &long,
        name,
        &own,
        "backup_history",
        "*",
        "%7b%7d",
        "1,1",
    ];
    for (method, route) in [
        ("GET", "info"),
        ("GET", "download"),
        ("POST", "verificar"),
        ("POST", "restaurar"),
        ("DELETE", "excluir"),
    ] {
        for target in targets {
            let path = format!("/api/backup/{route}/{target}");
            for got in answers(site.port, &request(method, &path, &[], b"")) {
                assert!([400, 404, 405].contains(&got.status), "{method} {path}: {got}");
                got.code();
                assert!(got.field("x-y").is_none(), "{got}");
                let text = String::from_utf8_lossy(&got.body).into_owned();
                assert!(
                    !text.contains("segredo") && !text.contains("root:"),
                    "{method} {path}: {got}"
                );
            }
        }
    }
    assert_eq!(crate::support::listing(&site.app.backups()), before);
    assert!(
        crate::support::listing(&site.app.path("restaurados"))
            .lines()
            .count()
            <= 1
    );
    // A digit may be written as RFC 3986 allows.
    site.call("GET", "/api/backup/info/%31").send().is(200);
    is_well(&site);
}
