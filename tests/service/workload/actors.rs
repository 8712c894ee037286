//! The clients of the API. Each function is one call, or a few that belong together.

use std::io::Read as _;
use std::net::TcpStream;

use serde_json::Value;

use crate::support::Rng;
use crate::wire::Answer;

use super::shared::Shared;
use super::sources::{self, check_restored, digest};

pub(super) type Actor = fn(&Shared<'_>, &mut Rng);

pub(super) const ALL: [Actor; 10] = [
    sources::change,
    create,
    remove,
    download,
    ranges,
    verify,
    restore,
    look,
    look,
    watch,
];

const GONE: (u16, &str) = (404, "not_found");
const BUSY: (u16, &str) = (409, "busy");
/// A run that has just begun or has no archive.
const NO_ARCHIVE: (u16, &str) = (400, "not_completed");
const GOOD: (u16, &str) = (200, "");

/// The ids of the list, of which one may go at any time.
fn ids(shared: &Shared<'_>) -> Vec<u64> {
    let Some(answer) = shared.call("GET", "/api/backup/listar", "", &[GOOD]) else {
        return Vec::new();
    };
    let rows = answer.json()["backups"].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["id"].as_u64()).collect()
}

/// One of the list, or now and then one that has gone or never was.
fn some_id(shared: &Shared<'_>, rng: &mut Rng) -> u64 {
    let ids = ids(shared);
    if ids.is_empty() || rng.below(12) == 0 {
        return 1 + rng.below(1_000);
    }
    ids[usize::try_from(rng.below(ids.len() as u64)).unwrap()]
}

fn create(shared: &Shared<'_>, rng: &mut Rng) {
    let body = ["", "{}", "{\"tipo\":\"manual\"}", "{\"tipo\":\"teste_script\"}"];
    let body = body[usize::try_from(rng.below(4)).unwrap()];
    if rng.below(3) == 0 {
        begin_one(shared);
    } else if let Some(answer) = shared.call("POST", "/api/backup/criar", body, &[GOOD, BUSY])
        && answer.status == 200
    {
        made(shared, &answer.json()["backup"]);
    }
    shared.pause_random(rng, 400);
}

/// A backup whose client does not wait for its end.
fn begin_one(shared: &Shared<'_>) {
    let bytes = crate::wire::request("POST", "/api/backup/criar", &[("Prefer", "respond-async")], b"");
    match crate::wire::call(shared.site.port, &bytes) {
        Ok(answer) => drop(shared.answered("POST", "/api/backup/criar", answer, &[(202, ""), BUSY])),
        Err(error) => shared.violation(format!("criar has no answer: {error}")),
    }
}

pub(super) fn made(shared: &Shared<'_>, record: &Value) {
    let status = record["status"].as_str().unwrap_or_default();
    shared.count(&format!("backups made, {status}"));
    if status == "partial" {
        println!("partial: {record}");
    }
}

/// Deletes now and then, prunes, or asks what would go.
fn remove(shared: &Shared<'_>, rng: &mut Rng) {
    match rng.below(4) {
        0 => {
            let body = if rng.below(2) == 0 {
                ""
            } else {
                "{\"dry_run\":true}"
            };
            shared.call("POST", "/api/backup/limpar", body, &[GOOD, BUSY]);
        }
        1 => {
            let id = some_id(shared, rng);
            shared.condemn(id);
            let path = format!("/api/backup/excluir/{id}");
            let allowed = [GOOD, GONE, BUSY, (409, "refused")];
            if let Some(answer) = shared.call("DELETE", &path, "", &allowed)
                && answer.status == 200
            {
                let body = answer.json();
                if body["backup"]["id"] != id {
                    shared.violation(format!("excluir {id} answered {body}"));
                }
            }
        }
        _ => {}
    }
    shared.pause_random(rng, 500);
}

/// The entity tag without its quotes.
fn tag(answer: &Answer) -> String {
    answer
        .field("etag")
        .unwrap_or_default()
        .trim_matches('"')
        .to_owned()
}

/// A whole archive, sometimes slowly, sometimes left in the middle.
fn download(shared: &Shared<'_>, rng: &mut Rng) {
    let path = format!("/api/backup/download/{}", some_id(shared, rng));
    let allowed = [GOOD, GONE, NO_ARCHIVE, (404, "archive_missing")];
    let Some((answer, length, mut stream)) = shared.begin(&path, &[], &allowed) else {
        return;
    };
    if answer.status == 200 {
        let mut bytes = Vec::new();
        if rng.below(4) == 0 {
            read(shared, &mut stream, rng.below(length), &mut bytes);
            if rng.below(2) == 0 {
                shared.count("downloads left in the middle");
                return;
            }
            // Retention may take the archive away meanwhile; what is open stays.
            shared.pause_random(rng, 900);
        }
        let rest = length - bytes.len() as u64;
        read(shared, &mut stream, rest, &mut bytes);
        if digest(&bytes) != tag(&answer) {
            let got = bytes.len();
            shared.violation(format!(
                "{path}: {got} of {length} bytes are not those of the entity tag"
            ));
        }
        shared.count("downloads compared");
    }
    shared.pause_random(rng, 100);
}

fn read(shared: &Shared<'_>, stream: &mut TcpStream, length: u64, into: &mut Vec<u8>) {
    match stream.take(length).read_to_end(into) {
        Ok(read) if read as u64 == length => {}
        Ok(read) => shared.violation(format!("a download ends after {read} of {length} bytes")),
        Err(error) => shared.violation(format!("a download breaks: {error}")),
    }
}

/// An archive in two parts, bound together by its entity tag.
fn ranges(shared: &Shared<'_>, rng: &mut Rng) {
    let path = format!("/api/backup/download/{}", some_id(shared, rng));
    let gone = [GONE, NO_ARCHIVE, (404, "archive_missing")];
    let cut = 1 + rng.below(40_000);
    let mut allowed = vec![(206, "")];
    allowed.extend(gone);
    let first = shared.begin(&path, &[("Range", &format!("bytes=0-{}", cut - 1))], &allowed);
    let Some((first, length, mut stream)) = first.filter(|(answer, ..)| answer.status == 206) else {
        return;
    };
    let mut bytes = Vec::new();
    read(shared, &mut stream, length, &mut bytes);
    let etag = first.field("etag").unwrap_or_default().to_owned();
    shared.pause_random(rng, 300);
    // All of it came with the first part when the archive is that small.
    allowed.push((416, "range_not_satisfiable"));
    let rest = format!("bytes={}-", bytes.len());
    let second = shared.begin(&path, &[("Range", &rest), ("If-Match", &etag)], &allowed);
    let Some((second, length, mut stream)) = second.filter(|(answer, ..)| answer.status == 206) else {
        return;
    };
    read(shared, &mut stream, length, &mut bytes);
    if digest(&bytes) != tag(&second) {
        shared.violation(format!(
            "{path}: two parts of {} bytes are not the archive",
            bytes.len()
        ));
    }
    shared.count("downloads in two parts compared");
    shared.pause_random(rng, 100);
}

fn verify(shared: &Shared<'_>, rng: &mut Rng) {
    let path = format!("/api/backup/verificar/{}", some_id(shared, rng));
    // What was deleted meanwhile is gone, not damaged: no 422.
    shared.call("POST", &path, "", &[GOOD, GONE, NO_ARCHIVE]);
    shared.pause_random(rng, 300);
}

fn restore(shared: &Shared<'_>, rng: &mut Rng) {
    let folder = format!("r-{}", rng.next());
    let path = format!("/api/backup/restaurar/{}", some_id(shared, rng));
    let body = format!("{{\"destino\":\"{folder}\"}}");
    let allowed = [GOOD, GONE, NO_ARCHIVE, (404, "archive_missing")];
    let target = shared.site.app.path("restaurados").join(&folder);
    if let Some(answer) = shared.call("POST", &path, &body, &allowed) {
        if answer.status == 200 {
            if check_restored(shared, &target) == 0 {
                shared.violation(format!("{path} restored nothing"));
            }
            std::fs::remove_dir_all(&target).unwrap();
        } else if target.exists() {
            shared.violation(format!("{path} left {}", target.display()));
        }
    }
    shared.pause_random(rng, 400);
}

/// Everything that only looks.
fn look(shared: &Shared<'_>, rng: &mut Rng) {
    match rng.below(6) {
        0 => {
            if let Some(answer) = shared.call("GET", "/api/backup/status", "", &[GOOD]) {
                let status = &answer.json()["status"];
                let sum =
                    ["completed_backups", "failed_backups"].map(|key| status[key].as_u64().unwrap_or(0));
                if status["total_backups"].as_u64() < Some(sum.iter().sum()) {
                    shared.violation(format!("totals that don't fit together: {status}"));
                }
            }
        }
        1 => {
            let path = format!("/api/backup/info/{}?entries=true&limit=20", some_id(shared, rng));
            shared.call("GET", &path, "", &[GOOD, GONE, (404, "archive_missing")]);
        }
        2 => drop(shared.call("GET", "/metrics", "", &[GOOD])),
        3 => drop(shared.call("GET", "/healthz", "", &[GOOD])),
        4 => {
            let mut seen = ids(shared);
            let count = seen.len();
            seen.dedup();
            if seen.len() != count || !seen.is_sorted() {
                shared.violation(format!("the list's ids: {seen:?}"));
            }
        }
        _ => drop(shared.call("GET", "/api/openapi.json", "", &[GOOD])),
    }
    shared.pause_random(rng, 60);
}

/// Follows the events for a while.
fn watch(shared: &Shared<'_>, rng: &mut Rng) {
    if let Some((_, _, mut stream)) = shared.begin("/api/backup/progresso", &[], &[GOOD]) {
        let mut bytes = [0; 512];
        for _ in 0..1 + rng.below(5) {
            // The first event comes at once, later ones with a run or as a sign of life.
            stream
                .set_read_timeout(Some(std::time::Duration::from_secs(2)))
                .unwrap();
            // Nothing within the time is no event, and no end.
            if let Ok(0) = stream.read(&mut bytes) {
                shared.violation("the stream of events ended".to_owned());
            }
        }
    }
    shared.pause_random(rng, 500);
}
