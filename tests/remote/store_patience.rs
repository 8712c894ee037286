//! Servers that hang, send without end, or don't know a call: nobody waits for them for long, and none fills the memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cofre::remote::store::{Store, Tuning};
use cofre::{Code, Error};

use crate::proxy::Action;
use crate::site::{PART, Site, impatient, text, upload};

const NOT_IMPLEMENTED: &str = "<Error><Code>NotImplemented</Code><Message>A header you provided implies functionality \
                               that is not implemented.</Message></Error>";
const DENIED: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

#[test]
fn every_call_of_a_server_that_hangs_can_be_stopped() {
    let site = Site::new();
    for method in ["GET", "HEAD", "PUT", "POST", "DELETE"] {
        site.proxy.on(method, "", 0..1_000, Action::Stall);
    }
    let asked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&asked);
    let stop = move || {
        seen.store(true, Ordering::SeqCst);
        Err(Error::new(Code::Cancelled, "stopped"))
    };
    let store = site.store().stopped_by(Arc::new(stop));
    let all = [
        store.list("archives").map(drop),
        store.head("rows/a").map(drop),
        store.get("rows/a", 10).map(drop),
        store.put("rows/a", b"x", None),
        store.put_new("rows/a", b"x", None).map(drop),
        store.delete("rows/a"),
        store.versions("rows/a").map(drop),
        store.lock_of("rows/a", None).map(drop),
        store.has_object_lock().map(drop),
        store.unfinished("").map(drop),
        upload(&store, "archives/a", &site.file("large", PART + 1)).map(drop),
    ];
    for done in all {
        assert_eq!(done.unwrap_err().code, Code::Cancelled);
    }
    assert!(asked.load(Ordering::SeqCst));
}

#[test]
fn a_call_is_not_repeated_for_longer_than_it_may_take() {
    let site = Site::new();
    site.proxy.on(
        "GET",
        "versions",
        0..1_000,
        Action::Answer(503, &[], String::new()),
    );
    let tuning = Tuning {
        retries: 1_000,
        retry_time: Duration::ZERO,
        ..impatient()
    };
    let store = Store::open_with(&site.remote(), tuning).unwrap();
    let error = store.versions("rows/a").unwrap_err();
    assert!(text(&error).contains("too busy"), "{error}");
    assert_eq!(site.proxy.count("GET", "versions"), 1);
}

/// On a slow line the first attempt alone takes longer than that.
#[test]
fn a_part_is_sent_again_however_long_the_first_attempt_took() {
    let site = Site::new();
    let file = site.file("original", PART + 1);
    let late = "<Error><Code>RequestTimeout</Code><Message>idle</Message></Error>";
    let answer = || Action::Answer(400, &[], late.to_owned());
    site.proxy.on("PUT", "partNumber=1", 0..2, answer());
    let tuning = Tuning {
        retry_time: Duration::ZERO,
        ..impatient()
    };
    let store = Store::open_with(&site.remote(), tuning).unwrap();
    upload(&store, "archives/a", &file).unwrap();
    site.has("archives/a", &file);
    assert_eq!(site.proxy.count("PUT", "partNumber=1"), 3);
    // Not without end.
    site.proxy.on("PUT", "partNumber=1", 0..100, answer());
    let error = upload(&store, "archives/b", &file).unwrap_err();
    assert!(text(&error).contains("RequestTimeout"), "{error}");
    assert_eq!(site.proxy.count("PUT", "partNumber=1"), 3 + 3);
}

#[test]
fn small_calls_wait_for_less_than_large_ones() {
    let site = Site::new();
    site.proxy.on("GET", "", 0..1_000, Action::Stall);
    let tuning = Tuning {
        idle: Duration::from_secs(3_600),
        idle_small: Duration::from_millis(100),
        retries: 0,
        ..impatient()
    };
    let store = Store::open_with(&site.remote(), tuning).unwrap();
    for error in [store.list("").unwrap_err(), store.versions("rows/a").unwrap_err()] {
        assert_eq!(error.code, Code::Stuck, "{}", text(&error));
    }
}

#[test]
fn an_answer_without_end_is_not_read_to_it() {
    let site = Site::new();
    let large = format!(
        "<ListBucketResult><IsTruncated>false</IsTruncated><!--{}--></ListBucketResult>",
        "x".repeat(9 << 20)
    );
    site.proxy
        .on("GET", "list-type=2", 0..1, Action::Answer(200, &[], large));
    let error = site.store().list("archives").unwrap_err();
    assert!(text(&error).contains("more than 8388608 bytes"), "{error}");
    site.proxy.clear();
    for page in 0..600 {
        let answer = format!(
            "<ListBucketResult><IsTruncated>true</IsTruncated>\
             <NextContinuationToken>{page}</NextContinuationToken></ListBucketResult>"
        );
        site.proxy.on(
            "GET",
            "list-type=2",
            page..page + 1,
            Action::Answer(200, &[], answer),
        );
    }
    let error = site.store().list("archives").unwrap_err();
    assert!(text(&error).contains("more than 500 pages"), "{error}");
}

#[test]
fn a_store_without_versions_and_locks_says_so_and_has_none() {
    let site = Site::new();
    let store = site.store();
    store.put("rows/a", b"a", None).unwrap();
    for (status, body) in [(501, NOT_IMPLEMENTED), (405, ""), (400, NOT_IMPLEMENTED)] {
        for fragment in ["versions", "retention", "object-lock"] {
            site.proxy.on(
                "GET",
                fragment,
                0..100,
                Action::Answer(status, &[], body.to_owned()),
            );
        }
        assert_eq!(store.versions("rows/a").unwrap(), []);
        assert_eq!(store.lock_of("rows/a", None).unwrap(), None);
        assert!(!store.has_object_lock().unwrap());
        site.proxy.clear();
    }
    site.proxy.on(
        "GET",
        "versions",
        0..100,
        Action::Answer(403, &[], DENIED.to_owned()),
    );
    assert_eq!(store.versions("rows/a").unwrap_err().code, Code::AccessDenied);
}
