//! Any bytes as `.scan.json`, the cache of what an earlier archive has already: however wrong it is, the new archive
//! has what the source has. An input that begins with a new line is put behind the true first line, and one that
//! begins with `!` is tried with a large file among the others.
#![no_main]

use std::fs::File;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use cofre_component::create::create;
use cofre_component::restore::restore;
use cofre_component::types::{
    Compression, CreateRequest, Inventory, Kind, Observation, RestoreRequest, RunRequest, Source,
};
use cofre_component::verify::verify;
use cofre_component_fuzz::place::Place;
use libfuzzer_sys::fuzz_target;

const MTIME_NS: i64 = 1_600_000_000_000_000_000;

/// Names and contents of the source.
fn files(large: bool) -> Vec<(&'static str, Vec<u8>)> {
    let noise = (0..2000_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8);
    let mut files = vec![
        ("a", "a line that comes again\n".repeat(100).into_bytes()),
        ("b", noise.collect()),
        ("c", vec![]),
        ("d", b"short".to_vec()),
    ];
    if large {
        files.push(("e", vec![b'x'; (4 << 20) + 10]));
    }
    files
}

fn request(large: bool, start: &str) -> CreateRequest {
    let seen = files(large)
        .into_iter()
        .zip(1..)
        .map(|((name, content), inode)| Observation {
            size: content.len() as u64,
            mtime_ns: Some(MTIME_NS),
            ctime_ns: Some(MTIME_NS),
            inode: Some(inode),
            mode: Some(0o644),
            ..Observation::new(name.to_owned(), Kind::File)
        });
    CreateRequest {
        run: RunRequest {
            backup_type: "manual".into(),
            plan: "manual".into(),
            started_at: start.into(),
            zip_path_prefix: "backups/".into(),
        },
        begun: None,
        sources: vec![Source {
            folder: "s".into(),
            root: "/sources/s".into(),
            inventory: Inventory::Observed(seen.collect()),
            include: vec![],
            exclude: vec![],
            allow_empty: false,
        }],
        databases: vec![],
        compression: Compression::Deflate,
        level: 1,
        full: false,
    }
}

fn with_source(large: bool) -> Place {
    let place = Place::new();
    for (name, content) in files(large) {
        let path = place.path("source").join(name);
        std::fs::write(&path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(MTIME_NS as u64);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    }
    place
}

/// A source and a backups folder with one backup of it, made once.
fn earlier(large: bool) -> &'static Place {
    static PLACES: [OnceLock<Place>; 2] = [OnceLock::new(), OnceLock::new()];
    PLACES[usize::from(large)].get_or_init(|| {
        let place = with_source(large);
        create(&place.roots, request(large, "2026-11-25T02:00:00.000000-03:00")).unwrap();
        place
    })
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fuzz_target!(|data: &[u8]| {
    let (large, data) = match data.strip_prefix(b"!") {
        Some(rest) => (true, rest),
        None => (false, data),
    };
    let earlier = earlier(large);
    let place = with_source(large);
    copy(&earlier.path("backups"), &place.path("backups"));
    let mut cache = Vec::new();
    if data.starts_with(b"\n") {
        let good = std::fs::read(earlier.path("backups/.scan.json")).unwrap();
        let head = good.iter().position(|b| *b == b'\n').unwrap();
        cache.extend_from_slice(&good[..head]);
    }
    cache.extend_from_slice(data);
    place.write("backups/.scan.json", &cache);

    let report = create(&place.roots, request(large, "2026-11-26T02:00:00.000000-03:00")).unwrap();
    assert_eq!(report.backup.record.error, None);
    let id = report.backup.record.id;
    let verified = verify(&place.roots, id, false).unwrap();
    assert_eq!(verified.problems, Vec::<String>::new());
    restore(
        &place.roots,
        &RestoreRequest {
            id,
            only: vec!["s".into()],
        },
    )
    .unwrap();
    assert!(place.tree("target/s") == place.tree("source"));
});
