//! Tests of `create`, on real folders and archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod changing;
mod ends;
mod large;
mod property;
mod reuse;
mod spread;

use std::fs::{self as disk, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::*;
use crate::archive::writer::tests::accept;
use crate::manifest::{Manifest, ManifestEntry};
use crate::types::{Compression, Observation, RunRequest};

const START: &str = "2026-11-25T14:30:00.123456-03:00";
const END: &str = "2026-11-25T14:30:10.123456-03:00";

/// A source `s`, a backups folder and a place to extract.
struct Place {
    temp: tempfile::TempDir,
    roots: Roots,
}

impl Place {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        for folder in ["s", "backups", "out"] {
            disk::create_dir(temp.path().join(folder)).unwrap();
        }
        let roots = Roots::new()
            .with("/sources/s", temp.path().join("s"))
            .with(BACKUPS, temp.path().join("backups"));
        Self { temp, roots }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path("s").join(name);
        disk::create_dir_all(path.parent().unwrap()).unwrap();
        disk::write(&path, content).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        File::open(path).unwrap().set_modified(time).unwrap();
    }

    fn zip(&self, record: &Record) -> PathBuf {
        self.path("backups").join(record.archive_name())
    }

    /// Names in the backups folder, without the component's own state file.
    fn backups(&self) -> Vec<String> {
        let mut names: Vec<_> = disk::read_dir(self.path("backups"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .filter(|n| n != ".catalog.json" && n != ".scan.json")
            .collect();
        names.sort();
        names
    }

    fn rows(&self) -> Vec<Record> {
        Catalog::load(&self.roots.open(BACKUPS).unwrap())
            .unwrap()
            .records()
            .to_vec()
    }
}

fn request() -> CreateRequest {
    CreateRequest {
        run: RunRequest {
            backup_type: "manual".into(),
            plan: "manual".into(),
            started_at: START.into(),
            zip_path_prefix: "backups/".into(),
        },
        begun: None,
        sources: vec![Source {
            folder: "s".into(),
            root: "/sources/s".into(),
            inventory: Inventory::Scan,
            include: vec![],
            exclude: vec![],
            allow_empty: false,
        }],
        databases: vec![],
        compression: Compression::Deflate,
        level: 6,
        full: false,
    }
}

fn observed(list: Vec<(&str, Kind, Option<i64>)>) -> CreateRequest {
    let mut request = request();
    let list = list.into_iter().map(|(path, kind, mtime_ns)| Observation {
        size: 5,
        mtime_ns,
        mode: Some(0o600),
        ..Observation::new(path.into(), kind)
    });
    request.sources[0].inventory = Inventory::Observed(list.collect());
    request
}

/// The end of a job stepped with `budget`, after each step `between` with the path being worked on.
fn run_stepped(
    place: &Place,
    request: CreateRequest,
    budget: u64,
    mut between: impl FnMut(&str),
) -> CreateReport {
    let mut job = Job::new(Request::Create(request));
    loop {
        let (progress, outcome) = job.step(&place.roots, budget, Some(END)).unwrap();
        if let Some(Outcome::Created(report)) = outcome {
            return report;
        }
        between(progress.current.as_deref().unwrap_or(""));
    }
}

fn unzip(zip: &Path, name: &str) -> Vec<u8> {
    let out = Command::new("unzip")
        .arg("-p")
        .arg(zip)
        .arg(name)
        .output()
        .unwrap();
    assert!(out.status.success(), "{name}");
    out.stdout
}

fn manifest(zip: &Path) -> Manifest {
    serde_json::from_slice(&unzip(zip, MANIFEST_NAME)).unwrap()
}

fn entry<'a>(manifest: &'a Manifest, path: &str) -> &'a ManifestEntry {
    manifest.entries.iter().find(|e| e.path == path).unwrap()
}

fn noise(n: usize) -> Vec<u8> {
    let mut x = 88_172_645_463_325_252_u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()[2]
    };
    (0..n).map(|_| next()).collect()
}

fn sample(place: &Place) {
    place.write("css/a.css", b"body { color: red }\n".repeat(50).as_slice());
    place.write("ação.txt", "olá\n".as_bytes());
    place.write("empty", b"");
    place.write("img/noise.bin", &noise(70_000));
    place.write("big/noise.bin", &noise(1_300_000));
    place.write("big/text.log", &b"a line of a log\n".repeat(100_000));
    disk::create_dir(place.path("s/hollow")).unwrap();
    symlink("css/a.css", place.path("s/link")).unwrap();
    symlink("/etc/passwd", place.path("s/absolute")).unwrap();
    let mut touch = Command::new("find");
    touch.arg(place.path("s"));
    touch.args(["-exec", "touch", "-h", "-d", "@1700000000.123456789", "{}", "+"]);
    assert!(touch.status().unwrap().success());
}

/// Extracts into `out` and compares that with the source, but for its absolute link, which no archive has.
fn comes_back(place: &Place, extract: &mut Command) {
    assert!(extract.status().unwrap().success());
    disk::remove_file(place.path("s/absolute")).unwrap();
    let mut diff = Command::new("diff");
    diff.args(["-r", "--no-dereference"]);
    diff.args([place.path("s"), place.path("out/s")]);
    assert!(diff.status().unwrap().success());
}

/// The sample, many small files in folders, and some of several blocks.
fn tree(place: &Place) {
    sample(place);
    for i in 0..300 {
        let content = format!("content {i}\n").repeat(i % 40 * 20);
        place.write(&format!("many/{}/f{i}", i % 7), content.as_bytes());
    }
    let lines: String = (0..700_000).map(|i| format!("line {i}\n")).collect();
    place.write("huge/text.log", lines.as_bytes());
    place.write("huge/noise.bin", &noise(9 << 20));
    place.write("huge/exact.bin", &vec![7; 8 << 20]);
}

#[test]
fn a_backup_is_a_plain_zip_with_its_checksum_and_its_row() {
    for compression in [Compression::Deflate, Compression::Store] {
        let place = Place::new();
        sample(&place);
        let request = CreateRequest {
            compression,
            ..request()
        };
        let report = run_stepped(&place, request, u64::MAX, |_| {});
        let row = &report.backup.record;
        let zip = place.zip(row);
        accept(&zip);
        assert_eq!(row.name, "backup_20261125_143000_manual");
        assert_eq!(
            place.backups(),
            [
                "backup_20261125_143000_manual.zip",
                "backup_20261125_143000_manual.zip.sha256",
                "backup_history.json"
            ]
        );
        assert_eq!(place.rows(), std::slice::from_ref(row));
        assert_eq!(row.status, Status::Completed);
        assert_eq!(row.size, disk::metadata(&zip).unwrap().len());
        assert_eq!(
            (row.file_count, row.changed, row.skipped),
            (Some(6), Some(0), Some(0))
        );
        assert_eq!(row.duration_seconds, Some(10.0));
        let mut check = Command::new("sha256sum");
        check.args(["-c", "--strict", "--status"]).arg(row.sidecar_name());
        assert!(
            check
                .current_dir(place.path("backups"))
                .status()
                .unwrap()
                .success()
        );

        let manifest = manifest(&zip);
        assert_eq!(manifest.header.id, row.id);
        assert_eq!(manifest.header.source_bytes, row.source_bytes.unwrap());
        assert_eq!(entry(&manifest, "s/absolute").kind, "absolute-symlink");
        assert_eq!(entry(&manifest, "s/link").target.as_deref(), Some("css/a.css"));
        let css = entry(&manifest, "s/css/a.css");
        assert_eq!(css.mtime.as_deref(), Some("2023-11-14T22:13:20.123456789Z"));
        assert_eq!(css.mode, None);

        let mut extract = Command::new("unzip");
        extract.args(["-qq", "-X"]).arg(&zip).arg("-d");
        comes_back(&place, extract.arg(place.path("out")));
    }
}

#[test]
fn what_does_not_compress_is_stored_and_the_rest_is_not() {
    let place = Place::new();
    sample(&place);
    let report = create(&place.roots, request()).unwrap();
    let code = "import sys,zipfile\nfor i in zipfile.ZipFile(sys.argv[1]).infolist(): print(i.compress_type, i.filename)";
    let mut python = Command::new("python3");
    python.args(["-c", code]).arg(place.zip(&report.backup.record));
    let shown = String::from_utf8(python.output().unwrap().stdout).unwrap();
    assert_eq!(
        shown,
        "0 s/\n0 s/ação.txt\n0 s/big/\n0 s/big/noise.bin\n8 s/big/text.log\n0 s/css/\n8 s/css/a.css\n0 s/empty\n\
         0 s/hollow/\n0 s/img/\n0 s/img/noise.bin\n0 s/link\n8 backup_info.json\n"
    );
}

#[test]
fn zstd_entries_are_read_back_by_another_program() {
    let place = Place::new();
    sample(&place);
    let request = CreateRequest {
        compression: Compression::Zstd,
        level: 3,
        ..request()
    };
    let report = create(&place.roots, request).unwrap();
    let zip = place.zip(&report.backup.record);
    let mut extract = Command::new("bsdtar");
    extract.arg("-xf").arg(&zip).arg("-C").arg(place.path("out"));
    comes_back(&place, extract.env("LC_ALL", "C.UTF-8"));
}

#[test]
fn the_same_input_gives_the_same_bytes_in_steps_of_any_size() {
    for compression in [Compression::Deflate, Compression::Zstd] {
        let mut sums = Vec::new();
        for budget in [u64::MAX, 1, 100_000] {
            let place = Place::new();
            sample(&place);
            let request = CreateRequest {
                compression,
                ..request()
            };
            let report = run_stepped(&place, request, budget, |_| {});
            sums.push(report.backup.record.sha256.unwrap());
        }
        assert!(sums.iter().all(|s| *s == sums[0]), "{sums:?}");
    }
}

#[test]
fn of_the_optional_fields_of_an_observation_only_mode_and_time_reach_the_archive() {
    let sum = |change: &dyn Fn(&mut Observation)| {
        let place = Place::new();
        place.write("f", b"12345");
        let mut request = observed(vec![("f", Kind::File, Some(1_700_000_000_123_456_789))]);
        if let Inventory::Observed(list) = &mut request.sources[0].inventory {
            list.iter_mut().for_each(change);
        }
        create(&place.roots, request)
            .unwrap()
            .backup
            .record
            .sha256
            .unwrap()
    };
    let bare = sum(&|_| ());
    let with_identity = sum(&|seen| {
        (seen.ctime_ns, seen.inode, seen.uid, seen.gid) = (Some(7), Some(8), Some(9), Some(10));
    });
    assert_eq!(bare, with_identity);
    assert_ne!(bare, sum(&|seen| seen.mode = None));
    assert_ne!(bare, sum(&|seen| seen.mtime_ns = Some(1_700_000_000_000_000_000)));
}

#[test]
fn something_unreadable_makes_the_run_partial_and_the_row_says_what() {
    let place = Place::new();
    place.write("a", b"hello");
    let request = observed(vec![
        ("a", Kind::File, Some(-1)),
        ("b\x1b", Kind::Unreadable("permission denied".into()), None),
        ("c", Kind::Special, None),
        ("d", Kind::LeftOut("a live database".into()), None),
    ]);
    let row = create(&place.roots, request).unwrap().backup.record;
    assert_eq!(row.status, Status::Partial);
    assert_eq!((row.skipped, row.file_count), (Some(3), Some(1)));
    let text = row.error.clone().unwrap();
    assert!(
        text.contains("permission denied") && !text.contains('\x1b'),
        "{text}"
    );
    let manifest = manifest(&place.zip(&row));
    assert_eq!(manifest.header.status, Status::Partial);
    assert_eq!(manifest.header.skipped.len(), 3);
    assert_eq!(
        entry(&manifest, "s/a").mtime.as_deref(),
        Some("1969-12-31T23:59:59.999999999Z")
    );
    assert_eq!(entry(&manifest, "s/a").mode.as_deref(), Some("0600"));
}

#[test]
fn times_of_any_year_are_kept_by_the_manifest_and_accepted_by_readers() {
    let place = Place::new();
    let times = [
        i64::MIN + 1,
        -1,
        0,
        315_532_800_000_000_000,
        4_354_819_199_000_000_000,
        i64::MAX,
    ];
    let names: Vec<String> = (0..times.len()).map(|i| format!("t{i}")).collect();
    for name in &names {
        place.write(name, b"hello");
    }
    let list = names.iter().zip(times);
    let request = observed(list.map(|(n, t)| (n.as_str(), Kind::File, Some(t))).collect());
    let row = create(&place.roots, request).unwrap().backup.record;
    accept(&place.zip(&row));
    let manifest = manifest(&place.zip(&row));
    for (name, time) in names.iter().zip(times) {
        let seen = entry(&manifest, &format!("s/{name}")).mtime.clone().unwrap();
        assert_eq!(crate::manifest::parse_time(&seen), Some(time));
    }
}

#[test]
fn a_dry_run_lists_what_a_run_would_take_and_writes_nothing() {
    let place = Place::new();
    sample(&place);
    let mut request = request();
    request.sources[0].exclude = vec!["big".into()];
    let (entries, skips) = plan(&place.roots, request).unwrap();
    assert!(skips.is_empty() && place.backups().is_empty());
    let paths: Vec<_> = entries.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "s",
            "s/absolute",
            "s/ação.txt",
            "s/css",
            "s/css/a.css",
            "s/empty",
            "s/hollow",
            "s/img",
            "s/img/noise.bin",
            "s/link"
        ]
    );
    assert_eq!(entries[1].kind, Kind::Symlink("/etc/passwd".into()));
}

#[test]
fn progress_counts_to_its_totals() {
    let place = Place::new();
    sample(&place);
    let mut job = Job::new(Request::Create(request()));
    let mut last = Progress::default();
    while let (now, None) = job.step(&place.roots, 300_000, None).unwrap() {
        assert!(now.bytes_done >= last.bytes_done && now.files_done >= last.files_done);
        last = now;
    }
    assert_eq!(
        (last.files_done, last.bytes_done),
        (last.files_total, last.bytes_total)
    );
    assert_eq!(last.files_total, 6);
}
