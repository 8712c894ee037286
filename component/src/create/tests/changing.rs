//! Files that change, shrink, grow or vanish while they are read.

use super::*;

#[test]
fn a_file_that_changes_once_is_read_again_and_is_not_marked() {
    let place = Place::new();
    place.write("f", &vec![1; 9 << 20]);
    let mut changes = 0;
    let report = run_stepped(&place, request(), 2 << 20, |at| {
        if at == "s/f" && changes == 0 {
            changes += 1;
            place.write("f", &vec![2; 10 << 20]);
        }
    });
    assert_eq!(changes, 1);
    let zip = place.zip(&report.backup.record);
    accept(&zip);
    assert_eq!(report.changed, Vec::<String>::new());
    assert_eq!(report.backup.record.changed, Some(0));
    assert!(unzip(&zip, "s/f") == vec![2; 10 << 20]);
}

#[test]
fn a_file_that_goes_on_growing_is_kept_up_to_its_size_at_open_and_marked() {
    let place = Place::new();
    place.write("a", b"before");
    place.write("f", &vec![b'x'; 13 << 20]);
    place.write("z", b"behind");
    let report = run_stepped(&place, request(), 1 << 20, |at| {
        if at == "s/f" {
            let mut file = File::options().append(true).open(place.path("s/f")).unwrap();
            file.write_all(b"more").unwrap();
        }
    });
    let zip = place.zip(&report.backup.record);
    accept(&zip);
    assert_eq!(report.changed, ["s/f"]);
    assert_eq!(report.backup.record.status, Status::Completed);
    let manifest = manifest(&zip);
    let row = entry(&manifest, "s/f");
    assert!(row.changed);
    let content = unzip(&zip, "s/f");
    assert_eq!(content.len() as u64, row.size);
    assert!(content.starts_with(&vec![b'x'; 13 << 20]));
}

#[test]
fn a_file_that_shrinks_twice_has_what_was_read_and_no_padding() {
    let place = Place::new();
    place.write("f", &vec![7; 22 << 20]);
    let mut size = 22_u64 << 20;
    let mut at_work = 0;
    let report = run_stepped(&place, request(), 3 << 19, |at| {
        at_work += i32::from(at == "s/f");
        if at == "s/f" && at_work > 1 {
            size = size.saturating_sub(3 << 20).max(1 << 20);
            let file = File::options().write(true).open(place.path("s/f")).unwrap();
            file.set_len(size).unwrap();
            file.write_at(&[7], 0).unwrap();
        }
    });
    let zip = place.zip(&report.backup.record);
    accept(&zip);
    assert_eq!(report.changed, ["s/f"]);
    let content = unzip(&zip, "s/f");
    assert!(content.len() < 22 << 20 && content.iter().all(|b| *b == 7));
    assert_eq!(entry(&manifest(&zip), "s/f").size, content.len() as u64);
}

#[test]
fn files_that_vanish_or_turn_into_something_else_are_named_and_not_missing() {
    let place = Place::new();
    for name in ["a", "gone", "now-a-folder", "now-a-link", "z"] {
        place.write(name, b"hello");
    }
    let mut changed = false;
    let report = run_stepped(&place, request(), 1, |at| {
        if at == "s/a" && !std::mem::replace(&mut changed, true) {
            for name in ["gone", "now-a-folder", "now-a-link"] {
                disk::remove_file(place.path("s").join(name)).unwrap();
            }
            disk::create_dir(place.path("s/now-a-folder")).unwrap();
            symlink("/etc/passwd", place.path("s/now-a-link")).unwrap();
        }
    });
    assert!(changed);
    let zip = place.zip(&report.backup.record);
    accept(&zip);
    assert_eq!(report.backup.record.status, Status::Completed);
    assert_eq!(report.backup.record.file_count, Some(2));
    let skips: Vec<_> = report
        .skips
        .iter()
        .map(|s| (s.path.as_str(), s.missing))
        .collect();
    assert_eq!(
        skips,
        [
            ("s/gone", false),
            ("s/now-a-folder", false),
            ("s/now-a-link", false)
        ]
    );
    assert_eq!(manifest(&zip).header.skipped, report.skips);
}

#[test]
fn a_large_file_that_vanishes_while_it_is_read_leaves_nothing_behind() {
    let place = Place::new();
    place.write("a", b"hello");
    place.write("f", &noise(9 << 20));
    let mut steps = 0;
    let report = run_stepped(&place, request(), 2 << 20, |at| {
        steps += i32::from(at == "s/f");
        if at == "s/f" && steps == 1 {
            // It changes, and its second reading finds it gone.
            place.write("f", b"short");
            disk::remove_file(place.path("s/f")).unwrap();
        }
    });
    let zip = place.zip(&report.backup.record);
    accept(&zip);
    assert_eq!(report.skips.len(), 1);
    assert!(report.backup.record.size < 10_000);
}

#[test]
fn a_large_file_that_ends_early_while_it_is_read_again_does_not_stop_what_comes_behind_it() {
    let place = Place::new();
    place.write("f", &vec![7; 22 << 20]);
    for name in ["g", "h"] {
        place.write(name, b"behind");
    }
    let mut at_work = 0;
    let report = run_stepped(&place, request(), 1 << 20, |at| {
        at_work += i32::from(at == "s/f");
        assert!(at_work < 100, "the run does not get on");
        if at == "s/f" {
            let file = File::options().write(true).open(place.path("s/f")).unwrap();
            file.set_len(if at_work % 2 == 0 { 22 << 20 } else { 5 << 20 })
                .unwrap();
        }
    });
    accept(&place.zip(&report.backup.record));
    assert_eq!(report.backup.record.file_count, Some(3));
}
