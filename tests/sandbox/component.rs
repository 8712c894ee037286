//! The real component: what it may import, and that it is what it says.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use cofre::engine::wit::engine::{CreateRequest, RestoreRequest, RunRequest};
use cofre::engine::wit::jobs::Request;
use cofre::engine::wit::types::{Compression, Inventory, Source, Status};
use cofre::engine::{Access, Control, Mounts};
use cofre::{Code, Engine};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use wasmtime::component::types::ComponentItem;

/// Reviewed by hand. Whoever adds a line says in the commit why the component needs it.
const IMPORTS: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    // For the type of the filesystem's times only; see the test below.
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure-seed",
];

#[test]
fn the_component_imports_exactly_what_was_reviewed() {
    let engine = Engine::new().unwrap();
    let mut imports: Vec<&str> = engine
        .info()
        .imports
        .iter()
        .map(|name| name.split('@').next().unwrap())
        .collect();
    imports.sort_unstable();
    assert_eq!(imports, IMPORTS);
}

#[test]
fn the_component_can_not_read_a_clock() {
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::from_binary(&engine, Engine::wasm()).unwrap();
    let functions: Vec<String> = component
        .component_type()
        .imports(&engine)
        .filter(|(name, _)| name.starts_with("wasi:clocks/"))
        .flat_map(|(_, import)| match import.ty {
            ComponentItem::ComponentInstance(clock) => clock
                .exports(&engine)
                .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                .map(|(name, _)| name.to_owned())
                .collect::<Vec<_>>(),
            other => panic!("a clock that is no interface: {other:?}"),
        })
        .collect();
    assert_eq!(functions, Vec::<String>::new());
}

#[test]
fn the_component_exports_the_version_of_the_wit_package() {
    let engine = Engine::new().unwrap();
    let wit = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/types.wit")).unwrap();
    let version = engine.info().wit.as_str();
    assert!(
        wit.contains(&format!("package cofre:backup@{version};")),
        "{version}"
    );
    let mut exports = engine.info().exports.clone();
    exports.sort_unstable();
    assert_eq!(
        exports,
        [
            format!("cofre:backup/engine@{version}"),
            format!("cofre:backup/jobs@{version}"),
            format!("cofre:backup/shards@{version}")
        ]
    );
}

#[test]
fn the_digest_is_that_of_the_published_bytes() {
    let digest: String = Sha256::digest(Engine::wasm())
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(Engine::new().unwrap().info().digest, digest);
}

#[test]
fn the_component_contains_no_path_of_the_machine_that_built_it() {
    let text = String::from_utf8_lossy(Engine::wasm());
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../component");
    let home = std::env::var("HOME").unwrap_or_default();
    for path in [env!("CARGO_MANIFEST_DIR"), workspace, "/.cargo/registry"] {
        assert!(!text.contains(path), "{path}");
    }
    assert!(home.len() < 2 || !text.contains(&format!("{home}/")), "{home}");
}

/// A source with the shapes that a scan meets: empty, nested, compressible and not, odd names, a link.
fn fill(source: &Path) {
    fs::create_dir_all(source.join("a/b/c")).unwrap();
    fs::create_dir(source.join("empty folder")).unwrap();
    fs::write(source.join("empty"), "").unwrap();
    fs::write(source.join("a/olá \"quoted\" 日本.txt"), "text ".repeat(1000)).unwrap();
    fs::write(source.join("a/b/c/deep"), "deep").unwrap();
    let noise: Vec<u8> = (0_u32..3_000_000)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(source.join("large.bin"), noise).unwrap();
    fs::write(source.join("left.tmp"), "left out").unwrap();
    std::os::unix::fs::symlink("a/b/c/deep", source.join("link")).unwrap();
    // Hosts of WASI have panicked on times before 1970.
    for (name, year) in [("before 1970", -5), ("before 1980", 5)] {
        let seconds = Duration::from_secs(i64::unsigned_abs(year) * 365 * 86_400);
        let time = if year < 0 {
            UNIX_EPOCH - seconds
        } else {
            UNIX_EPOCH + seconds
        };
        let file = fs::File::create(source.join(name)).unwrap();
        file.set_modified(time).unwrap();
    }
}

fn create_request(folder: &str) -> CreateRequest {
    CreateRequest {
        run: RunRequest {
            backup_type: "manual".to_owned(),
            plan: "manual".to_owned(),
            started_at: "2026-11-25T12:34:56.000000-03:00".to_owned(),
            zip_path_prefix: "backups/".to_owned(),
        },
        begun: None,
        sources: vec![Source {
            folder: folder.to_owned(),
            root: "/sources/s".to_owned(),
            inventory: Inventory::Scan,
            include: vec![],
            exclude: vec!["**/*.tmp".to_owned()],
            allow_empty: false,
        }],
        databases: vec![],
        compression: Compression::Deflate,
        level: 6,
        full: true,
    }
}

/// Folders `source` (filled), `backups` and `target`.
fn folders() -> TempDir {
    let temp = tempfile::tempdir().unwrap();
    for name in ["source", "backups", "target"] {
        fs::create_dir(temp.path().join(name)).unwrap();
    }
    fill(&temp.path().join("source"));
    temp
}

fn handle(temp: &TempDir, name: &str) -> OwnedFd {
    fs::File::open(temp.path().join(name)).unwrap().into()
}

fn writing(temp: &TempDir) -> Mounts {
    Mounts::new()
        .source("s", handle(temp, "source"))
        .backups(handle(temp, "backups"), Access::ReadWrite)
}

fn reading(temp: &TempDir) -> Mounts {
    Mounts::new().backups(handle(temp, "backups"), Access::ReadOnly)
}

#[test]
fn a_backup_is_created_listed_verified_and_restored_through_sessions_of_least_authority() {
    let temp = folders();
    let engine = Engine::new().unwrap();
    let report = engine
        .open(writing(&temp))
        .unwrap()
        .create(create_request("static"))
        .unwrap();
    assert_eq!(report.backup.name, "backup_20261125_123456_manual");
    assert_eq!(report.backup.status, Status::Completed, "{report:?}");

    let mut session = engine.open(reading(&temp)).unwrap();
    let rows = session.list().unwrap();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].archive_present);
    let id = rows[0].id;
    assert_eq!(session.find("latest".to_owned()).unwrap().id, id);
    let checked = session.verify(id, false).unwrap();
    assert_eq!(checked.problems, Vec::<String>::new());
    assert!(checked.manifest && checked.checksum, "{checked:?}");
    let paths: Vec<String> = session
        .entries(id, None, 100)
        .unwrap()
        .into_iter()
        .map(|entry| entry.path)
        .collect();
    assert!(paths.contains(&"static/a/b/c/deep".to_owned()), "{paths:?}");
    assert!(!paths.iter().any(|path| path.contains("left.tmp")), "{paths:?}");
    drop(session);

    let request = RestoreRequest { id, only: vec![] };
    let mounts = reading(&temp).target(handle(&temp, "target"));
    let restored = engine.open(mounts).unwrap().restore(request).unwrap();
    assert!(restored.manifest, "{restored:?}");
    fs::remove_file(temp.path().join("source/left.tmp")).unwrap();
    let difference = Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([temp.path().join("source"), temp.path().join("target/static")])
        .output()
        .unwrap();
    assert!(
        difference.status.success(),
        "{}",
        String::from_utf8_lossy(&difference.stdout)
    );
}

#[test]
fn reading_sessions_can_not_delete_and_say_so() {
    let temp = folders();
    let engine = Engine::new().unwrap();
    let report = engine
        .open(writing(&temp))
        .unwrap()
        .create(create_request("static"))
        .unwrap();
    let now = "2026-11-25T13:00:00-03:00".to_owned();
    let error = engine
        .open(reading(&temp))
        .unwrap()
        .delete(report.backup.id, true, now)
        .unwrap_err();
    assert_eq!(error.code, Code::AccessDenied, "{error}");
    assert_eq!(engine.open(reading(&temp)).unwrap().list().unwrap().len(), 1);
}

#[test]
fn progress_reaches_the_totals_and_a_cancelled_run_leaves_no_archive() {
    let temp = folders();
    let engine = Engine::new().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut control = Control {
        on_progress: Box::new({
            let seen = Arc::clone(&seen);
            move |progress| {
                seen.lock()
                    .unwrap()
                    .push((progress.files_done, progress.files_total))
            }
        }),
        ..Control::default()
    };
    let request = || Request::Create(create_request("static"));
    engine
        .open(writing(&temp))
        .unwrap()
        .run(request(), &mut control)
        .unwrap();
    let (done, total) = *seen.lock().unwrap().last().unwrap();
    assert_eq!(done, total);
    assert!(total >= 4, "{total} files");

    let mut control = Control {
        cancel: Arc::new(AtomicBool::new(true)),
        ..Control::default()
    };
    let error = engine
        .open(writing(&temp))
        .unwrap()
        .run(request(), &mut control)
        .unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    let archives = fs::read_dir(temp.path().join("backups"))
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains(".zip")
        })
        .count();
    assert_eq!(archives, 2, "the archive and the sidecar of the first run");
}
