//! Hostile archives and the API: a download gives the bytes as they are, whatever they claim to be; verify and restore
//! refuse them, and nothing of a name in them gets into an answer or the log as it is.

use crate::process::Service;
use crate::site::{Extra, Site, post};
use crate::support::hostile::kinds;
use crate::support::listing;

#[test]
fn hostile_archives_are_downloaded_as_they_are_and_neither_verified_nor_restored() {
    let site = Site::with(Extra {
        api: "restore_dir = \"restaurados\"",
        ..Extra::default()
    });
    site.app.write("restaurados/.existe", b"");
    site.app.write("outside/alvo.txt", b"INTACTO");
    let service = Service::start(&site);
    let record = site.create();
    let (name, sum) = (
        record["name"].as_str().unwrap(),
        record["sha256"].as_str().unwrap(),
    );
    let archive = site.app.archive(&record);
    let outside = site.app.path("outside");
    // A folder is made in there and removed again, which its own time tells, in the first line.
    let targets = || {
        listing(&site.app.path("restaurados"))
            .lines()
            .skip(1)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let around = || [listing(&outside), targets()];
    let before = around();
    for (number, kind) in kinds(name, outside.to_str().unwrap()).iter().enumerate() {
        let what = &kind.what;
        std::fs::write(&archive, &kind.bytes).unwrap();
        let reply = site.call("GET", "/api/backup/download/1").send();
        assert_eq!(reply.status, 200, "{what}: {reply}");
        assert!(reply.body == kind.bytes, "{what}: other bytes");
        let length = kind.bytes.len().to_string();
        assert_eq!(reply.header("content-length"), Some(length.as_str()), "{what}");
        let tag = reply.header("etag").unwrap_or_default();
        let size = record["size"].as_u64();
        assert!(
            !tag.contains(sum) || size == Some(kind.bytes.len() as u64),
            "{what}: {tag}"
        );
        // Each costs a sandbox or two; the command line judges them all.
        if number % 12 == 0 {
            let verified = site.call("POST", "/api/backup/verificar/1").send();
            let verified = verified.fails(422, "verify_failed");
            let restored = post(&site, "/api/backup/restaurar/1", "{}");
            assert_eq!(restored.status, 422, "{what}: {restored}");
            for reply in [&verified, &restored] {
                assert!(!reply.to_string().contains('\u{1b}'), "{what}: {reply}");
            }
        }
    }
    assert_eq!(around(), before);
    let log = service.log();
    assert!(
        !log.contains('\u{1b}') && !log.lines().any(|line| line.starts_with("INJECTED")),
        "{log}"
    );
}
