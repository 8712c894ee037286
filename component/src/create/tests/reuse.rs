//! Runs that copy what is unchanged from the archive before: never a stale byte, and the same bytes as a full run.

use std::os::unix::fs::MetadataExt;

use super::*;

/// Runs of these tests start long after every file was written, unless they say otherwise.
const LATER: [&str; 3] = [
    "2099-01-01T10:00:00.000000+00:00",
    "2099-01-02T10:00:00.000000+00:00",
    "2099-01-03T10:00:00.000000+00:00",
];

/// What a host sees of the source.
fn seen(place: &Place) -> Vec<Observation> {
    fn walk(root: &Path, path: &Path, list: &mut Vec<Observation>) {
        let meta = disk::symlink_metadata(path).unwrap();
        let kind = if meta.is_dir() {
            Kind::Directory
        } else if meta.is_symlink() {
            Kind::Symlink(disk::read_link(path).unwrap().to_str().unwrap().into())
        } else {
            Kind::File
        };
        let is_file = kind == Kind::File;
        list.push(Observation {
            path: path.strip_prefix(root).unwrap().to_str().unwrap().into(),
            kind,
            size: if is_file { meta.len() } else { 0 },
            mtime_ns: Some(meta.mtime() * 1_000_000_000 + meta.mtime_nsec()),
            ctime_ns: Some(meta.ctime() * 1_000_000_000 + meta.ctime_nsec()),
            inode: Some(meta.ino()),
            mode: Some(meta.mode() & 0o7777),
            uid: None,
            gid: None,
        });
        if meta.is_dir() {
            for entry in disk::read_dir(path).unwrap() {
                walk(root, &entry.unwrap().path(), list);
            }
        }
    }
    let mut list = Vec::new();
    walk(&place.path("s"), &place.path("s"), &mut list);
    list
}

fn request_at(place: &Place, start: &str) -> CreateRequest {
    let mut request = request();
    request.run.started_at = start.into();
    request.sources[0].inventory = Inventory::Observed(seen(place));
    request
}

/// The files among what a request's host saw.
fn files(request: &mut CreateRequest) -> impl Iterator<Item = &mut Observation> {
    let Inventory::Observed(list) = &mut request.sources[0].inventory else {
        panic!()
    };
    list.iter_mut().filter(|seen| seen.kind == Kind::File)
}

fn made(place: &Place, request: CreateRequest) -> Record {
    create(&place.roots, request).unwrap().backup.record
}

/// The same run in a copy of the backups folder, reading every byte: it has to give the same archive.
fn full_twin(place: &Place, before: &Path, request: CreateRequest) -> Vec<u8> {
    let roots = Roots::new()
        .with("/sources/s", place.path("s"))
        .with(BACKUPS, before);
    let request = CreateRequest {
        full: true,
        ..request
    };
    let row = create(&roots, request).unwrap().backup.record;
    assert_eq!(row.reused_bytes, Some(0));
    disk::read(before.join(row.archive_name())).unwrap()
}

/// The backups folder as it is now, elsewhere.
fn copy_of_backups(place: &Place, name: &str) -> PathBuf {
    let to = place.path(name);
    let mut cp = Command::new("cp");
    cp.arg("-a").arg(place.path("backups")).arg(&to);
    assert!(cp.status().unwrap().success());
    to
}

#[test]
fn an_unchanged_source_is_copied_and_gives_the_bytes_of_a_full_run() {
    for (compression, level) in [
        (Compression::Deflate, 6),
        (Compression::Zstd, 3),
        (Compression::Store, 0),
    ] {
        let place = Place::new();
        tree(&place);
        let at = |start| CreateRequest {
            compression,
            level,
            ..request_at(&place, start)
        };
        let first = made(&place, at(LATER[0]));
        assert_eq!(first.reused_bytes, Some(0));
        let before = copy_of_backups(&place, "before");
        let second = made(&place, at(LATER[1]));
        assert!(second.reused_bytes.unwrap() > first.size / 2, "{compression:?}");
        let zip = place.zip(&second);
        if compression != Compression::Zstd {
            accept(&zip);
        }
        assert!(disk::read(&zip).unwrap() == full_twin(&place, &before, at(LATER[1])));
        assert_eq!(second.file_count, first.file_count);
    }
}

#[test]
fn any_step_size_copies_the_same_bytes() {
    let place = Place::new();
    tree(&place);
    made(&place, request_at(&place, LATER[0]));
    place.write("many/3/f3", b"other content");
    disk::remove_file(place.path("s/many/4/f4")).unwrap();
    place.write("many/5/new", b"new");
    let request = request_at(&place, LATER[1]);
    let mut sums = Vec::new();
    for budget in [1000, 100_000, 1 << 20, u64::MAX] {
        let folder = copy_of_backups(&place, &format!("b{budget}"));
        let roots = Roots::new()
            .with("/sources/s", place.path("s"))
            .with(BACKUPS, folder);
        let mut job = Job::new(Request::Create(request.clone()));
        let row = loop {
            if let (_, Some(Outcome::Created(report))) = job.step(&roots, budget, Some(END)).unwrap() {
                break report.backup.record;
            }
        };
        assert!(row.reused_bytes.unwrap() > 0);
        sums.push(row.sha256.unwrap());
    }
    assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
}

#[test]
fn whatever_changes_the_content_of_a_file_no_stale_byte_is_copied() {
    type Change = fn(&Path);
    let rewrite: Change = |path| disk::write(path, "CONTENT 9\n".repeat(180)).unwrap();
    let rewrite_and_backdate: Change = |path| {
        let time = disk::metadata(path).unwrap().modified().unwrap();
        disk::write(path, "CONTENT 9\n".repeat(180)).unwrap();
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    let replace_by_equal_size_and_time: Change = |path| {
        let time = disk::metadata(path).unwrap().modified().unwrap();
        let other = path.with_file_name("other");
        disk::write(&other, "CONTENT 9\n".repeat(180)).unwrap();
        File::options()
            .write(true)
            .open(&other)
            .unwrap()
            .set_modified(time)
            .unwrap();
        disk::rename(&other, path).unwrap();
    };
    let grow: Change = |path| {
        let mut file = File::options().append(true).open(path).unwrap();
        file.write_all(b"more").unwrap();
    };
    for change in [
        rewrite,
        rewrite_and_backdate,
        replace_by_equal_size_and_time,
        grow,
    ] {
        let place = Place::new();
        tree(&place);
        made(&place, request_at(&place, LATER[0]));
        let path = place.path("s/many/2/f9");
        change(&path);
        let row = made(&place, request_at(&place, LATER[1]));
        assert!(row.reused_bytes.unwrap() > 0);
        assert!(unzip(&place.zip(&row), "s/many/2/f9") == disk::read(&path).unwrap());
        // What was read anew is copied by the run after that, and is the new content there as well.
        let row = made(&place, request_at(&place, LATER[2]));
        assert!(unzip(&place.zip(&row), "s/many/2/f9") == disk::read(&path).unwrap());
        accept(&place.zip(&row));
    }
}

#[test]
fn a_file_that_was_changed_just_before_the_run_that_read_it_is_read_again() {
    let second = 1_000_000_000;
    let start = time::parse_instant(LATER[0], "start")
        .unwrap()
        .timestamp_nanos_opt()
        .unwrap();
    for (mtime, ctime, copied) in [
        (start - 3 * second, start - 3 * second, true),
        (start - second, start - 3 * second, false),
        // Backdated: its time says nothing, the inode's does.
        (start - 3 * second, start - second, false),
        // A clock that jumped back.
        (start + 90 * second, start - 3 * second, false),
    ] {
        let place = Place::new();
        tree(&place);
        let request = |start: &str| {
            let mut request = request_at(&place, start);
            for file in files(&mut request) {
                (file.mtime_ns, file.ctime_ns) = (Some(mtime), Some(ctime));
            }
            request
        };
        // What the file system itself says of a time counts where it is another than what was observed.
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(mtime.try_into().unwrap());
        for file in seen(&place).iter().filter(|o| o.kind == Kind::File) {
            let file = File::open(place.path("s").join(&file.path)).unwrap();
            file.set_modified(time).unwrap();
        }
        made(&place, request(LATER[0]));
        let row = made(&place, request(LATER[1]));
        assert_eq!(row.reused_bytes.unwrap() > 0, copied, "{mtime} {ctime}");
    }
}

#[test]
fn a_file_that_was_not_what_was_observed_is_never_copied() {
    let place = Place::new();
    tree(&place);
    let request = |start: &str| {
        let mut request = request_at(&place, start);
        for file in files(&mut request) {
            file.mtime_ns = file.mtime_ns.map(|ns| ns - 5_000_000_000);
        }
        request
    };
    made(&place, request(LATER[0]));
    assert_eq!(made(&place, request(LATER[1])).reused_bytes, Some(0));
}

#[test]
fn a_previous_archive_that_is_damaged_is_noticed_and_everything_is_read() {
    for part in ["data", "header", "end", "cut"] {
        let place = Place::new();
        tree(&place);
        let first = made(&place, request_at(&place, LATER[0]));
        let zip = place.zip(&first);
        let mut bytes = disk::read(&zip).unwrap();
        let length = bytes.len();
        match part {
            "data" => bytes[length / 2] ^= 1,
            "header" => bytes[6] ^= 1,
            "end" => bytes[length - 30] ^= 1,
            _ => bytes.truncate(length / 2),
        }
        disk::write(&zip, bytes).unwrap();
        let mut log = Vec::new();
        let mut job = Job::new(Request::Create(request_at(&place, LATER[1])));
        let row = loop {
            let (progress, outcome) = job.step(&place.roots, 100_000, Some(END)).unwrap();
            log.extend(progress.log);
            if let Some(Outcome::Created(report)) = outcome {
                break report.backup.record;
            }
        };
        assert_eq!(row.reused_bytes, Some(0), "{part}");
        if part != "cut" {
            assert!(log.iter().any(|line| line.contains("damaged")), "{part}: {log:?}");
        }
        let zip = place.zip(&row);
        let mut extract = Command::new("unzip");
        extract.arg("-q").arg(&zip).arg("-d");
        comes_back(&place, extract.arg(place.path("out")));
    }
}

#[test]
fn a_cache_that_is_odd_or_of_something_else_costs_a_full_run_and_nothing_else() {
    type Spoil = fn(String) -> String;
    let spoils: [(&str, Spoil); 8] = [
        ("gone", |_| String::new()),
        ("cut", |text| text[..text.len() / 2].to_owned()),
        ("no JSON", |text| text.replacen("\"s/", "s/", 1)),
        ("other id", |text| text.replacen("\"id\":1", "\"id\":2", 1)),
        ("other component", |text| {
            text.replacen("\"component\":\"", "\"component\":\"9", 1)
        }),
        ("other level", |text| {
            text.replacen("\"level\":6", "\"level\":5", 1)
        }),
        ("other checksum", |text| {
            text.replacen("\"sha256\":\"", "\"sha256\":\"0", 1)
        }),
        ("other offsets", |text| {
            let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
            let middle = rows.len() / 2;
            rows[middle] = rows[middle + 1].replace(&path_of(&rows[middle + 1]), &path_of(&rows[middle]));
            rows.join("\n") + "\n"
        }),
    ];
    for (what, spoil) in spoils {
        let place = Place::new();
        tree(&place);
        made(&place, request_at(&place, LATER[0]));
        let cache = place.path("backups/.scan.json");
        let text = disk::read_to_string(&cache).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
        let spoiled = spoil(text.clone());
        assert_ne!(spoiled, text);
        disk::write(&cache, spoiled).unwrap();
        let row = made(&place, request_at(&place, LATER[1]));
        // Another file's row only does not match.
        if what != "other offsets" {
            assert_eq!(row.reused_bytes, Some(0), "{what}");
        }
        assert!(unzip(&place.zip(&row), "s/many/2/f9") == disk::read(place.path("s/many/2/f9")).unwrap());
    }
}

fn path_of(row: &str) -> String {
    row.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn another_method_or_level_than_before_is_never_mixed_in() {
    let place = Place::new();
    tree(&place);
    made(&place, request_at(&place, LATER[0]));
    let request = CreateRequest {
        compression: Compression::Zstd,
        level: 3,
        ..request_at(&place, LATER[1])
    };
    assert_eq!(made(&place, request).reused_bytes, Some(0));
}

#[test]
fn without_ctime_and_inode_nothing_is_copied() {
    let place = Place::new();
    tree(&place);
    for start in &LATER[..2] {
        let mut request = request_at(&place, start);
        request.sources[0].inventory = Inventory::Scan;
        assert_eq!(made(&place, request).reused_bytes, Some(0));
    }
    assert!(!place.path("backups/.scan.json").exists());
}

#[test]
fn a_partial_run_copies_but_is_not_copied_from() {
    let place = Place::new();
    tree(&place);
    made(&place, request_at(&place, LATER[0]));
    let cache = disk::read(place.path("backups/.scan.json")).unwrap();
    let mut request = request_at(&place, LATER[1]);
    if let Inventory::Observed(list) = &mut request.sources[0].inventory {
        let unreadable = Kind::Unreadable("access denied".into());
        list.push(Observation::new("secret".into(), unreadable));
    }
    let row = made(&place, request);
    assert_eq!(row.status, Status::Partial);
    assert!(row.reused_bytes.unwrap() > 0);
    assert_eq!(disk::read(place.path("backups/.scan.json")).unwrap(), cache);
}

#[test]
fn an_archive_whose_row_or_file_is_gone_is_not_copied_from() {
    for gone in ["file", "row"] {
        let place = Place::new();
        tree(&place);
        let first = made(&place, request_at(&place, LATER[0]));
        if gone == "file" {
            disk::remove_file(place.zip(&first)).unwrap();
        } else {
            crate::delete::delete(&place.roots, first.id, true, LATER[0]).unwrap();
        }
        let row = made(&place, request_at(&place, LATER[1]));
        assert_eq!(row.reused_bytes, Some(0), "{gone}");
    }
}

#[test]
fn a_copy_is_seen_to_get_on_in_the_middle_of_an_entry_and_where_nothing_is_written() {
    let place = Place::new();
    for name in ["a-gone", "b-kept", "c-gone"] {
        place.write(name, &noise(9 << 20));
    }
    made(&place, request_at(&place, LATER[0]));
    for name in ["a-gone", "c-gone"] {
        disk::remove_file(place.path("s").join(name)).unwrap();
    }
    let mut job = Job::new(Request::Create(request_at(&place, LATER[1])));
    let (mut still, mut longest, mut seen) = (0, 0, (0, 0));
    let report = loop {
        let (progress, outcome) = job.step(&place.roots, 256 << 10, Some(END)).unwrap();
        assert!(progress.bytes_done <= progress.bytes_total);
        let now = (progress.bytes_done, progress.bytes_total);
        still = if now == seen { still + 1 } else { 0 };
        (seen, longest) = (now, longest.max(still));
        if let Some(Outcome::Created(report)) = outcome {
            break report;
        }
    };
    assert!(report.backup.record.reused_bytes.unwrap() >= 9 << 20);
    // Each of the three takes 36 steps.
    assert!(longest < 10, "{longest} steps without progress");
    assert_eq!(seen.0, seen.1);
}

#[test]
fn a_cache_that_cannot_be_read_costs_time_and_not_the_backup() {
    let place = Place::new();
    tree(&place);
    let cache = place.path("backups/.scan.json");
    symlink("/dev/null", &cache).unwrap();
    assert_eq!(made(&place, request_at(&place, LATER[0])).reused_bytes, Some(0));
    // It was replaced, and not followed.
    assert!(!disk::symlink_metadata(&cache).unwrap().is_symlink());
    assert!(made(&place, request_at(&place, LATER[1])).reused_bytes.unwrap() > 0);
}

#[test]
fn a_row_whose_blocks_are_not_its_content_is_not_copied() {
    let place = Place::new();
    tree(&place);
    made(&place, request_at(&place, LATER[0]));
    let cache = place.path("backups/.scan.json");
    let text = disk::read_to_string(&cache).unwrap();
    let row = text.lines().find(|row| row.contains("huge/text.log")).unwrap();
    let (before, blocks) = row.rsplit_once(",[").unwrap();
    disk::write(&cache, text.replace(row, &format!("{before},[1{blocks}"))).unwrap();
    let row = made(&place, request_at(&place, LATER[1]));
    assert!(row.reused_bytes.unwrap() > 0);
    let verified = crate::verify::verify(&place.roots, row.id, false).unwrap();
    assert_eq!(verified.problems, Vec::<String>::new());
}
