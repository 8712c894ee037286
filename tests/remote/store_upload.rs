//! Uploads that are disturbed: what the server has stays, and what is in the end is what was sent.

use std::cell::{Cell, RefCell};
use std::process::Command;

use cofre::remote::store::{Checked, ToSend, Upload};
use cofre::{Code, Error};

use crate::proxy::{Action, with_header};
use crate::site::{PART, Site, impatient, opened, resume, text, upload};
use crate::support::{run, tool};

/// A file of four parts, the last one short.
const SIZE: u64 = 3 * PART + 1_000;

#[test]
fn a_connection_that_breaks_in_a_part_is_taken_up_again() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    for (turn, bytes) in [0, 1, 100_000, PART - 1].into_iter().enumerate() {
        let key = format!("archives/{turn}");
        site.proxy.on(
            "PUT",
            &format!("{key}?partNumber=2"),
            0..2,
            Action::CutRequest(bytes),
        );
        let uploaded = upload(&site.store(), &key, &file).unwrap();
        assert_eq!(uploaded.checked, Checked::Sha256);
        site.has(&key, &file);
        assert_eq!(site.proxy.count("PUT", &format!("{key}?partNumber=2")), 3);
        assert_eq!(
            site.proxy.count("PUT", &format!("{key}?partNumber=1")),
            1,
            "a part that was there is sent again"
        );
        assert_eq!(site.proxy.count("POST", &format!("{key}?uploads")), 1);
    }
}

#[test]
fn answers_that_are_lost_do_no_harm() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    site.proxy.on("POST", "?uploads", 0..1, Action::LoseAnswer);
    site.proxy.on("PUT", "partNumber=3", 0..1, Action::LoseAnswer);
    site.proxy.on("POST", "?uploadId", 0..1, Action::LoseAnswer);
    let store = site.store();
    let uploaded = upload(&store, "archives/a", &file).unwrap();
    assert_eq!(uploaded.checked, Checked::Sha256);
    site.has("archives/a", &file);
    // The one whose name never came can be seen, and cleared away.
    let left = store.unfinished("archives").unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    store.abort(&left[0]).unwrap();
    assert_eq!(store.unfinished("archives").unwrap(), []);
    site.has("archives/a", &file);
}

/// Uploads until so many parts are saved, and is then stopped. What was saved last.
fn stopped_after(site: &Site, key: &str, file: &std::path::Path, parts: usize) -> String {
    let store = site.store();
    let (file, size) = opened(file);
    let saved = RefCell::new(String::new());
    let many = Cell::new(0);
    let stop = |_| {
        if many.get() >= parts {
            return Err(Error::new(Code::Cancelled, "stopped by the test"));
        }
        Ok(())
    };
    let mut save = |state: &Upload| {
        many.set(state.parts.len());
        *saved.borrow_mut() = serde_json::to_string(state).unwrap();
        stop(0)
    };
    let error = store
        .upload(
            &ToSend::whole(key, &file, size),
            &mut Upload::default(),
            &mut save,
            &|_| Ok(()),
        )
        .unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    saved.into_inner()
}

#[test]
fn a_new_process_sends_only_what_is_missing() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    let saved = stopped_after(&site, "archives/a", &file, 2);
    let mut state: Upload = serde_json::from_str(&saved).unwrap();
    assert_eq!((state.parts.len(), state.size, state.part_bytes), (2, SIZE, PART));
    // The last part is short, and may be one of those that are there.
    let there = state
        .parts
        .iter()
        .map(|part| if part.number == 3 { SIZE - 3 * PART } else { PART });
    let missing = SIZE - there.sum::<u64>();
    let store = site.store();
    assert_eq!(store.unfinished("").unwrap().len(), 1);
    let uploaded = resume(&store, "archives/a", &file, &mut state).unwrap();
    assert_eq!(uploaded.checked, Checked::Sha256);
    site.has("archives/a", &file);
    let sent = store.sent();
    // And the list of parts in the end.
    assert!(
        (missing..missing + 5_000).contains(&sent),
        "{sent} bytes were sent, {missing} were missing"
    );
    assert_eq!(site.proxy.count("POST", "?uploads"), 1);
    assert_eq!(store.unfinished("").unwrap(), []);
    // Once more, as after a crash between the end of the upload and the note of it.
    let again = resume(&site.store(), "archives/a", &file, &mut state).unwrap();
    assert_eq!(again.checked, Checked::Sha256);
    site.has("archives/a", &file);
}

#[test]
fn what_was_saved_for_another_content_is_of_no_use() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    let saved = stopped_after(&site, "archives/a", &file, 2);
    let other = site.file("other", SIZE);
    let longer = site.file("longer", SIZE + 1);
    for file in [other, longer] {
        let mut state: Upload = serde_json::from_str(&saved).unwrap();
        let uploaded = resume(&site.store(), "archives/a", &file, &mut state).unwrap();
        assert_eq!(uploaded.checked, Checked::Sha256);
        site.has("archives/a", &file);
    }
    let mut state: Upload = serde_json::from_str(&saved).unwrap();
    resume(&site.store(), "archives/another", &file, &mut state).unwrap();
    site.has("archives/another", &file);
}

#[test]
fn an_upload_that_the_server_lost_begins_anew() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    let saved = stopped_after(&site, "archives/a", &file, 3);
    let store = site.store();
    for left in store.unfinished("archives").unwrap() {
        store.abort(&left).unwrap();
        store.abort(&left).unwrap();
    }
    let mut state: Upload = serde_json::from_str(&saved).unwrap();
    let old = state.upload_id.clone();
    let uploaded = resume(&store, "archives/a", &file, &mut state).unwrap();
    assert_eq!(uploaded.checked, Checked::Sha256);
    assert_ne!(state.upload_id, old);
    site.has("archives/a", &file);
}

#[test]
fn a_part_that_the_server_lost_begins_anew() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    let saved = stopped_after(&site, "archives/a", &file, 4);
    let mut state: Upload = serde_json::from_str(&saved).unwrap();
    // All parts are there, and what one is called is forgotten.
    let digits: String = "0".repeat(32);
    let real = state.parts[1].etag.clone();
    let start = real
        .find("&quot;")
        .map(|at| at + 6)
        .or_else(|| real.find('"').map(|at| at + 1))
        .unwrap();
    state.parts[1].etag.replace_range(start..start + 32, &digits);
    assert_ne!(state.parts[1].etag, real);
    let uploaded = resume(&site.store(), "archives/a", &file, &mut state).unwrap();
    assert_eq!(uploaded.checked, Checked::Sha256);
    site.has("archives/a", &file);
}

#[test]
fn a_server_in_trouble_is_asked_again() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    let busy = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
    let answer = |status| Action::Answer(status, &[("Retry-After", "1")], busy.to_owned());
    site.proxy.on("POST", "?uploads", 0..2, answer(503));
    site.proxy.on("PUT", "partNumber=1", 0..2, answer(500));
    site.proxy.on("PUT", "partNumber=2", 0..1, answer(503));
    site.proxy.on("PUT", "partNumber=3", 0..1, answer(429));
    site.proxy.on("POST", "?uploadId", 0..1, answer(502));
    site.proxy.on("HEAD", "archives/a", 0..1, answer(503));
    upload(&site.store(), "archives/a", &file).unwrap();
    site.has("archives/a", &file);
    for (method, fragment, times) in [
        ("POST", "?uploads", 3),
        ("PUT", "partNumber=1", 3),
        ("PUT", "partNumber=2", 2),
        ("PUT", "partNumber=3", 2),
        ("PUT", "partNumber=4", 1),
        ("POST", "?uploadId", 2),
        ("HEAD", "archives/a", 2),
    ] {
        assert_eq!(site.proxy.count(method, fragment), times, "{method} {fragment}");
    }
    site.proxy.on("PUT", "rows/a", 0..100, answer(503));
    let error = site.store().put("rows/a", b"x", None).unwrap_err();
    assert_eq!(error.code, Code::Io);
    assert!(
        text(&error).contains("write rows/a: the server is too busy, also after several attempts"),
        "{error}"
    );
    assert_eq!(site.proxy.count("PUT", "rows/a"), 1 + impatient().retries);
}

#[test]
fn a_server_that_says_nothing_is_given_up_and_asked_again() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    let tuning = || cofre::remote::store::Tuning {
        idle: std::time::Duration::from_secs(3),
        retries: 2,
        ..impatient()
    };
    let store = cofre::remote::store::Store::open_with(&site.remote(), tuning()).unwrap();
    site.proxy.on("PUT", "partNumber=2", 0..1, Action::Stall);
    site.proxy.on("POST", "?uploadId", 0..1, Action::Stall);
    upload(&store, "archives/a", &file).unwrap();
    site.has("archives/a", &file);
    site.proxy.on("GET", "rows/a", 0..100, Action::Stall);
    let error = store.get("rows/a", 10).unwrap_err();
    assert_eq!(error.code, Code::Stuck);
    assert!(text(&error).contains("read rows/a: no answer in time"), "{error}");
}

#[test]
fn a_call_that_waits_can_be_stopped() {
    let site = Site::new();
    let (file, size) = opened(&site.file("original", SIZE));
    site.proxy.on("PUT", "partNumber=", 0..100, Action::Stall);
    let looked = Cell::new(0);
    let control = |_| {
        looked.set(looked.get() + 1);
        if looked.get() > 3 {
            return Err(Error::new(Code::Cancelled, "stopped by the test"));
        }
        Ok(())
    };
    let error = site
        .store()
        .upload(
            &ToSend::whole("archives/a", &file, size),
            &mut Upload::default(),
            &mut |_| Ok(()),
            &control,
        )
        .unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
}

#[test]
fn bytes_that_change_on_the_way_are_sent_again() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    site.proxy.on("PUT", "partNumber=2", 0..1, Action::Flip(77));
    site.proxy.on("PUT", "rows/a", 0..1, Action::Flip(0));
    let store = site.store();
    upload(&store, "archives/a", &file).unwrap();
    site.has("archives/a", &file);
    assert_eq!(site.proxy.count("PUT", "partNumber=2"), 2);
    store.put("rows/a", b"content", None).unwrap();
    assert_eq!(store.get("rows/a", 100).unwrap().unwrap(), b"content");
}

fn other_etag(head: &str) -> String {
    with_header(head, "etag", Some("\"00000000000000000000000000000000-4\""))
}

fn other_sum(head: &str) -> String {
    with_header(
        head,
        "x-amz-checksum-sha256",
        Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=-4"),
    )
}

fn other_size(head: &str) -> String {
    with_header(head, "content-length", Some("15729639"))
}

fn no_sum(head: &str) -> String {
    with_header(head, "x-amz-checksum-sha256", None)
}

fn no_sum_and_other_etag(head: &str) -> String {
    other_etag(&no_sum(head))
}

#[test]
fn a_server_that_has_something_else_than_was_sent_is_found_out() {
    let site = Site::new();
    let file = site.file("original", SIZE);
    type Lie = (&'static str, &'static str, fn(&str) -> String, &'static str);
    let lies: [Lie; 5] = [
        ("HEAD", "/lie", other_etag, "its ETag is"),
        ("HEAD", "/lie", other_sum, "its SHA-256 is"),
        ("HEAD", "/lie", other_size, "15729639 bytes instead of 15729640"),
        ("PUT", "partNumber=3", other_sum, "the SHA-256 of part 3"),
        ("HEAD", "/lie", no_sum_and_other_etag, "its MD5 is"),
    ];
    for (method, fragment, lie, says) in lies {
        site.proxy.on(method, fragment, 0..1, Action::Edit(lie));
        let error = upload(&site.store(), "archives/lie", &file).unwrap_err();
        site.proxy.clear();
        assert_eq!(error.code, Code::Corrupt, "{error}");
        let said = text(&error);
        assert!(
            said.contains("remote offsite: upload archives/lie: the server stored something else"),
            "{said}"
        );
        assert!(said.contains(says), "{said}");
    }
    // The same for what goes in one request.
    site.proxy.on("PUT", "rows/lie", 0..1, Action::Edit(other_sum));
    let error = site.store().put("rows/lie", b"x", None).unwrap_err();
    assert_eq!(error.code, Code::Corrupt, "{error}");
}

#[test]
fn a_server_without_new_sums_is_judged_by_the_old_one() {
    let site = Site::new();
    site.proxy.on("HEAD", "archives/", 0..100, Action::Edit(no_sum));
    site.proxy
        .on("PUT", "archives/small", 0..100, Action::Edit(no_sum));
    for (key, size) in [("archives/large", SIZE), ("archives/small", 100)] {
        let file = site.file("original", size);
        let uploaded = upload(&site.store(), key, &file).unwrap();
        assert_eq!(uploaded.checked, Checked::Md5);
        site.has(key, &file);
    }
}

#[test]
fn a_file_that_becomes_shorter_is_an_error() {
    let site = Site::new();
    let path = site.file("original", SIZE);
    let (file, size) = opened(&path);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(SIZE - 1)
        .unwrap();
    let error = site
        .store()
        .upload(
            &ToSend::whole("archives/a", &file, size),
            &mut Upload::default(),
            &mut |_| Ok(()),
            &|_| Ok(()),
        )
        .unwrap_err();
    assert_eq!(error.code, Code::Corrupt);
    assert!(
        text(&error).contains("of what is uploaded as archives/a"),
        "{error}"
    );
}

#[test]
fn what_is_still_being_written_is_sent_as_it_grows() {
    use std::os::unix::fs::FileExt as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    let site = Site::new();
    let whole = std::fs::read(site.file("original", SIZE)).unwrap();
    for small in [true, false] {
        let size = if small { 1_000 } else { SIZE };
        let path = site.dir.path().join("growing");
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        let far = AtomicU64::new(0);
        let before = site.proxy.count("PUT", "partNumber");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // What nobody may send yet is there, and is not what it will be.
                file.write_all_at(&vec![b'x'; size as usize], 0).unwrap();
                for (number, piece) in whole[..size as usize].chunks(1 << 20).enumerate() {
                    if !small && number == 7 {
                        // The first part goes before the rest is written.
                        while site.proxy.count("PUT", "partNumber") == before {
                            std::thread::yield_now();
                        }
                    }
                    file.write_all_at(piece, (number as u64) << 20).unwrap();
                    far.fetch_add(piece.len() as u64, Ordering::SeqCst);
                }
            });
            let ready = |end| Ok(end <= far.load(Ordering::SeqCst));
            let what = ToSend {
                ready: &ready,
                ..ToSend::whole("archives/grown", &file, size)
            };
            site.store()
                .upload(&what, &mut Upload::default(), &mut |_| Ok(()), &|_| Ok(()))
                .unwrap();
        });
        site.has("archives/grown", &path);
        assert_eq!(std::fs::read(&path).unwrap(), whole[..size as usize]);
    }
}

#[test]
fn what_can_not_be_finished_is_no_object() {
    let site = Site::new();
    for size in [1_000, SIZE] {
        let (file, size) = opened(&site.file("original", size));
        let ready = |end| {
            if end < size {
                return Ok(true);
            }
            Err(Error::new(Code::Corrupt, "the end of it is bad"))
        };
        let what = ToSend {
            ready: &ready,
            ..ToSend::whole("archives/a", &file, size)
        };
        let store = site.store();
        let error = store
            .upload(&what, &mut Upload::default(), &mut |_| Ok(()), &|_| Ok(()))
            .unwrap_err();
        assert_eq!(error.message, "the end of it is bad");
        assert_eq!(store.list("archives").unwrap(), []);
    }
}

#[test]
fn what_was_sent_is_asked_about_before_it_is_an_object() {
    let site = Site::new();
    for size in [1_000, SIZE] {
        let path = site.file("original", size);
        let (file, size) = opened(&path);
        let asked = RefCell::new(String::new());
        let right = |sha256: &str| {
            *asked.borrow_mut() = sha256.to_owned();
            Err(Error::new(Code::Corrupt, "something else"))
        };
        let what = ToSend {
            right: &right,
            ..ToSend::whole("archives/a", &file, size)
        };
        let store = site.store();
        let mut state = Upload::default();
        for _ in 0..2 {
            // The second time all parts are there.
            let error = store
                .upload(&what, &mut state, &mut |_| Ok(()), &|_| Ok(()))
                .unwrap_err();
            assert_eq!(error.message, "something else");
            let said = run(Command::new(tool("sha256sum")).arg(&path)).exits(0).stdout;
            assert_eq!(said.split(' ').next(), Some(asked.take().as_str()));
            assert_eq!(store.list("archives").unwrap(), []);
        }
    }
}
