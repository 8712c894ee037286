//! What is small: listing, looking, reading, putting, deleting; and whole files up and down again.

use cofre::Code;
use cofre::remote::store::{Checked, ToSend, Upload};

use crate::proxy::Action;
use crate::site::{PART, PREFIX, Site, clean, open, opened, same_files, text, upload};
use crate::support::Rng;

#[test]
fn files_of_every_size_come_back_as_they_went() {
    let site = Site::new();
    let store = site.store();
    for (number, size) in [0, 1, PART - 1, PART, PART + 1, 3 * PART, 4 * PART + 7]
        .into_iter()
        .enumerate()
    {
        let key = format!("archives/20300101-{number} ö+&=%.zip");
        let file = site.file("original", size);
        let uploaded = upload(&store, &key, &file).unwrap();
        assert_eq!(uploaded.checked, Checked::Sha256, "{size} bytes");
        assert!(
            uploaded.etag.is_some() && uploaded.version.is_none(),
            "{uploaded:?}"
        );
        let copy = site.dir.path().join("copy");
        let mut to = std::fs::File::create(&copy).unwrap();
        let done = store.download(&key, None, &mut to, &|_| Ok(())).unwrap();
        assert_eq!(done, size);
        same_files(&file, &copy);
        let found = store.head(&key).unwrap().unwrap();
        assert_eq!((found.size, found.key), (size, key));
    }
    assert_eq!(store.list("archives").unwrap().len(), 7);
    assert!(
        site.proxy.most_at_a_time() <= 3,
        "more parts at a time than configured"
    );
}

#[test]
fn another_program_sees_the_same_bytes() {
    let site = Site::new();
    let file = site.file("original", 2 * PART + 3);
    upload(&site.store(), "archives/a.zip", &file).unwrap();
    site.has("archives/a.zip", &file);
}

#[test]
fn a_list_has_what_is_below_the_prefix_and_nothing_else() {
    let site = Site::new();
    let store = site.store();
    let file = site.file("other", 3);
    for foreign in [
        "archives/not-ours",
        "backups/of-another/archives/x",
        "backups/of me too/archives/y",
    ] {
        let path = format!("{}/{}", site.bucket, foreign.replace(' ', "%20"));
        crate::server::server().put(&path, &file);
    }
    assert_eq!(store.list("").unwrap(), []);
    for key in [
        "cofre-repository.json",
        "rows/a.json",
        "archives/a",
        "archives/b",
        "archives-of-old/c",
    ] {
        store.put(key, key.as_bytes(), None).unwrap();
    }
    let keys = |folder| {
        let mut keys: Vec<_> = store
            .list(folder)
            .unwrap()
            .into_iter()
            .map(|object| object.key)
            .collect();
        keys.sort();
        keys
    };
    assert_eq!(keys("archives"), ["archives/a", "archives/b"]);
    assert_eq!(keys("rows"), ["rows/a.json"]);
    assert_eq!(keys("none"), [""; 0]);
    assert_eq!(keys("").len(), 5);
    // Without a prefix all of the bucket is there.
    let mut whole = site.remote();
    let cofre::config::Place::Bucket(bucket) = &mut whole.place else {
        panic!()
    };
    bucket.prefix.clear();
    let whole = open(&whole);
    assert_eq!(whole.list("").unwrap().len(), 8);
    assert_eq!(
        whole.get(&format!("{PREFIX}/rows/a.json"), 100).unwrap().unwrap(),
        b"rows/a.json"
    );
}

#[test]
fn a_list_of_many_has_them_all() {
    let site = Site::new();
    let store = site.store();
    // More than the 1000 of one answer.
    std::thread::scope(|scope| {
        for part in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..260 {
                    store.put(&format!("rows/{part}-{number}"), b"x", None).unwrap();
                }
            });
        }
    });
    assert_eq!(store.list("rows").unwrap().len(), 1040);
}

#[test]
fn put_new_puts_once() {
    let site = Site::new();
    let store = site.store();
    assert!(store.put_new("cofre-repository.json", b"first", None).unwrap());
    assert!(!store.put_new("cofre-repository.json", b"second", None).unwrap());
    assert_eq!(
        store.get("cofre-repository.json", 100).unwrap().unwrap(),
        b"first"
    );
    store.put("cofre-repository.json", b"third", None).unwrap();
    assert_eq!(
        store.get("cofre-repository.json", 100).unwrap().unwrap(),
        b"third"
    );
}

#[test]
fn of_several_who_put_new_one_wins() {
    let site = Site::new();
    let won: Vec<u8> = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..4_u8)
            .map(|number| {
                let store = site.store();
                scope.spawn(move || {
                    store
                        .put_new("marker", &[number], None)
                        .unwrap()
                        .then_some(number)
                })
            })
            .collect();
        tries.into_iter().filter_map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(won.len(), 1, "who won: {won:?}");
    assert_eq!(site.store().get("marker", 10).unwrap().unwrap(), won);
}

#[test]
fn a_marker_whose_answer_was_lost_is_ours_all_the_same() {
    let site = Site::new();
    let store = site.store();
    site.proxy.on("PUT", "marker", 0..1, Action::LoseAnswer);
    assert!(store.put_new("marker", b"mine", None).unwrap());
    assert_eq!(site.proxy.count("PUT", "marker"), 2);
    site.proxy.on("PUT", "marker", 0..1, Action::LoseAnswer);
    assert!(!store.put_new("marker", b"another's", None).unwrap());
    assert_eq!(store.get("marker", 100).unwrap().unwrap(), b"mine");
}

#[test]
fn what_is_missing_is_no_error_and_what_is_too_large_is() {
    let site = Site::new();
    let store = site.store();
    assert_eq!(store.head("rows/none.json").unwrap(), None);
    assert_eq!(store.get("rows/none.json", 10).unwrap(), None);
    store.delete("rows/none.json").unwrap();
    store.put("rows/a.json", b"0123456789", None).unwrap();
    assert_eq!(store.get("rows/a.json", 10).unwrap().unwrap(), b"0123456789");
    let error = store.get("rows/a.json", 9).unwrap_err();
    assert_eq!(error.code, Code::Corrupt);
    assert_eq!(
        text(&error),
        "remote offsite: read rows/a.json: it is larger than 9 bytes"
    );
    store.delete("rows/a.json").unwrap();
    store.delete("rows/a.json").unwrap();
    assert_eq!(store.get("rows/a.json", 10).unwrap(), None);
    // A bucket without versions and locks has none, and says so.
    store.put("rows/b.json", b"b", None).unwrap();
    assert_eq!(store.lock_of("rows/b.json", None).unwrap(), None);
    assert!(!store.has_object_lock().unwrap());
    assert_eq!(store.unfinished("").unwrap(), []);
}

#[test]
fn names_that_are_no_keys_are_refused_before_anything_is_sent() {
    let site = Site::new();
    let store = site.store();
    let long = "x".repeat(201);
    for key in [
        "",
        "/a",
        "a/",
        "a//b",
        "../a",
        "a/../b",
        ".",
        "a/.hidden",
        "a\nb",
        "a\0",
        &long,
    ] {
        for error in [
            store.put(key, b"x", None).unwrap_err(),
            store.head(key).unwrap_err(),
            store.delete(key).unwrap_err(),
        ] {
            assert_eq!(error.code, Code::Usage, "{key:?}");
            assert!(text(&error).contains("can't be used for an object"), "{error}");
        }
    }
    assert_eq!(site.proxy.seen().len(), 0);
}

#[test]
fn a_store_shows_nothing_that_lets_one_in() {
    let site = Site::new();
    let store = site.store();
    clean(&format!("{store:?}"));
    let mut state = Upload::default();
    let (file, size) = opened(&site.file("original", PART + 1));
    store
        .upload(
            &ToSend::whole("archives/a", &file, size),
            &mut state,
            &mut |_| Ok(()),
            &|_| Ok(()),
        )
        .unwrap();
    clean(&format!("{state:?} {}", serde_json::to_string(&state).unwrap()));
}

#[test]
fn what_is_sent_is_counted_and_paced() {
    let site = Site::new();
    let mut remote = site.remote();
    remote.rate = Some(40_000_000);
    let store = open(&remote);
    let file = site.file("original", 2 * PART + 11);
    upload(&store, "archives/a", &file).unwrap();
    site.has("archives/a", &file);
    // All that the server got, and the few bytes that put the parts together, went through the meter.
    assert_eq!(store.sent(), site.proxy.body_bytes() as u64);
    assert!(
        store.sent() >= 2 * PART + 11 && store.sent() < 2 * PART + 10_000,
        "{}",
        store.sent()
    );
    let before = store.sent();
    let mut rng = Rng::fixed(7);
    store.put("rows/a", &rng.bytes(5_000), None).unwrap();
    assert_eq!(store.sent(), before + 5_000);
}
