//! Versions and Object Lock: what the server itself refuses to delete.

use chrono::{DateTime, TimeDelta, Utc};
use cofre::Code;
use cofre::config::LockMode;
use cofre::remote::store::{ToSend, Until, Upload};

use crate::site::{PART, Site, opened, text};

fn in_days(mode: LockMode, days: i64) -> Until {
    // Dates at the server have whole seconds.
    let at = DateTime::from_timestamp(Utc::now().timestamp(), 0).unwrap() + TimeDelta::days(days);
    Until { mode, at }
}

#[test]
fn a_bucket_says_whether_it_has_locks() {
    assert!(Site::with_locks().store().has_object_lock().unwrap());
    assert!(!Site::new().store().has_object_lock().unwrap());
}

#[test]
fn what_is_locked_stays() {
    let site = Site::with_locks();
    let store = site.store();
    for (key, mode) in [("rows/g", LockMode::Governance), ("rows/c", LockMode::Compliance)] {
        let until = in_days(mode, 2);
        assert!(store.put_new(key, b"first", Some(&until)).unwrap());
        assert!(!store.put_new(key, b"second", Some(&until)).unwrap());
        assert_eq!(store.lock_of(key, None).unwrap(), Some(until));
        let version = store.head(key).unwrap().unwrap().version.unwrap();
        let error = store.delete_version(key, &version).unwrap_err();
        assert_eq!(error.code, Code::AccessDenied);
        assert!(
            text(&error).contains(&format!(
                "remote offsite: delete {key}: the server refuses access"
            )),
            "{error}"
        );
        // It can be hidden and be covered, and is still there.
        store.put(key, b"other", None).unwrap();
        store.delete(key).unwrap();
        assert_eq!(store.get(key, 100).unwrap(), None);
        assert_eq!(store.get_version(key, &version, 100).unwrap().unwrap(), b"first");
        assert_eq!(store.lock_of(key, Some(&version)).unwrap(), Some(until));
    }
}

#[test]
fn uploads_of_every_size_are_locked_from_the_first_moment() {
    let site = Site::with_locks();
    let store = site.store();
    let until = in_days(LockMode::Compliance, 2);
    for (key, size) in [("archives/small", 1_000), ("archives/large", 2 * PART + 1)] {
        let path = site.file("original", size);
        let (file, size) = opened(&path);
        let uploaded = store
            .upload(
                &ToSend {
                    lock: Some(&until),
                    ..ToSend::whole(key, &file, size)
                },
                &mut Upload::default(),
                &mut |_| Ok(()),
                &|_| Ok(()),
            )
            .unwrap();
        let version = uploaded.version.unwrap();
        assert_eq!(store.lock_of(key, Some(&version)).unwrap(), Some(until));
        assert_eq!(
            store.delete_version(key, &version).unwrap_err().code,
            Code::AccessDenied
        );
        let mut copy = Vec::new();
        store
            .download(key, Some(&version), &mut copy, &|_| Ok(()))
            .unwrap();
        assert!(copy == std::fs::read(&path).unwrap(), "{key} came back otherwise");
    }
}

#[test]
fn a_lock_becomes_longer_and_never_shorter() {
    let site = Site::with_locks();
    let store = site.store();
    let two = in_days(LockMode::Compliance, 2);
    let three = in_days(LockMode::Compliance, 3);
    store.put("rows/a", b"a", Some(&two)).unwrap();
    let version = store.head("rows/a").unwrap().unwrap().version.unwrap();
    store.extend_lock("rows/a", Some(&version), &two).unwrap();
    store.extend_lock("rows/a", Some(&version), &three).unwrap();
    assert_eq!(store.lock_of("rows/a", Some(&version)).unwrap(), Some(three));
    for weaker in [two, in_days(LockMode::Governance, 5)] {
        let error = store.extend_lock("rows/a", Some(&version), &weaker).unwrap_err();
        assert_eq!(error.code, Code::Refused);
        assert!(
            text(&error).contains("can't be made shorter or weaker"),
            "{error}"
        );
    }
    assert_eq!(store.lock_of("rows/a", Some(&version)).unwrap(), Some(three));
    // What had none gets its first.
    store.put("rows/b", b"b", None).unwrap();
    assert_eq!(store.lock_of("rows/b", None).unwrap(), None);
    store.extend_lock("rows/b", None, &two).unwrap();
    assert_eq!(store.lock_of("rows/b", None).unwrap(), Some(two));
}

#[test]
fn a_date_with_a_fraction_of_a_second_is_not_cut_short() {
    let site = Site::with_locks();
    let store = site.store();
    let exact = in_days(LockMode::Governance, 1);
    let until = Until {
        at: exact.at + TimeDelta::milliseconds(1),
        ..exact
    };
    store.put("rows/a", b"a", Some(&until)).unwrap();
    let lock = store.lock_of("rows/a", None).unwrap().unwrap();
    assert_eq!(lock.at, exact.at + TimeDelta::seconds(1));
}

#[test]
fn versions_are_listed_newest_first() {
    let site = Site::with_locks();
    let store = site.store();
    assert_eq!(store.versions("rows/a").unwrap(), []);
    store.put("rows/a", b"1", None).unwrap();
    store.put("rows/a", b"22", None).unwrap();
    // Begins with the same letters and is another one.
    store.put("rows/a.json", b"333", None).unwrap();
    store.put("rows/a/b", b"4444", None).unwrap();
    let versions = store.versions("rows/a").unwrap();
    assert_eq!(versions.len(), 2, "{versions:?}");
    assert!(versions[0].latest && !versions[1].latest && !versions.iter().any(|one| one.deleted));
    assert_eq!(versions[0].size, 2);
    store.delete("rows/a").unwrap();
    let versions = store.versions("rows/a").unwrap();
    assert_eq!(versions.len(), 3, "{versions:?}");
    assert!(versions[0].deleted && versions[0].latest, "{versions:?}");
    // Without a lock a version goes for good; with the mark gone, what it hid is back.
    store.delete_version("rows/a", &versions[0].version).unwrap();
    assert_eq!(store.get("rows/a", 10).unwrap().unwrap(), b"22");
    let newest = store.head("rows/a").unwrap().unwrap().version.unwrap();
    store.delete_version("rows/a", &newest).unwrap();
    assert_eq!(store.get("rows/a", 10).unwrap().unwrap(), b"1");
    assert_eq!(store.versions("rows/a.json").unwrap().len(), 1);
}

#[test]
fn more_versions_than_one_answer_holds_are_all_listed() {
    let site = Site::with_locks();
    let store = site.store();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..255 {
                    store.put("rows/a", b"1", None).unwrap();
                }
            });
        }
    });
    let versions = store.versions("rows/a").unwrap();
    let names: std::collections::BTreeSet<_> = versions.iter().map(|one| &one.version).collect();
    assert_eq!((versions.len(), names.len()), (1_020, 1_020));
}

#[test]
fn a_lock_where_there_are_none_is_an_error() {
    let site = Site::new();
    let until = in_days(LockMode::Governance, 1);
    let error = site.store().put("rows/a", b"a", Some(&until)).unwrap_err();
    assert!(text(&error).contains("remote offsite: write rows/a"), "{error}");
    assert_eq!(site.store().get("rows/a", 10).unwrap(), None);
}
