//! What goes wrong before anything is stored: credentials, buckets, regions, clocks, networks. Each error names the
//! remote, the operation and the cause, and none holds what lets one in.

use cofre::Code;
use cofre::config::{Bucket, Place, Remote};
use cofre::remote::store::Store;

use crate::proxy::Action;
use crate::server::{ADMIN, READER};
use crate::site::{PART, Site, impatient, open, text, upload};

/// What each kind of call says, as one text; all fail with this code.
#[track_caller]
fn all_fail(site: &Site, store: &Store, code: Code) -> Vec<String> {
    let large = site.file("large", PART + 1);
    let small = site.file("small", 10);
    let errors = [
        store.list("archives").unwrap_err(),
        store.get("rows/a", 10).unwrap_err(),
        store.put("rows/a", b"x", None).unwrap_err(),
        store.put_new("rows/a", b"x", None).unwrap_err(),
        store
            .download("archives/a", None, &mut Vec::new(), &|_| Ok(()))
            .unwrap_err(),
        upload(store, "archives/a", &large).unwrap_err(),
        upload(store, "archives/a", &small).unwrap_err(),
        store.versions("archives/a").unwrap_err(),
        store.has_object_lock().unwrap_err(),
        store.unfinished("").unwrap_err(),
    ];
    let texts: Vec<String> = errors.iter().map(text).collect();
    for (error, text) in errors.iter().zip(&texts) {
        assert_eq!(error.code, code, "{text}");
        assert!(text.starts_with("remote offsite: "), "{text}");
        assert!(error.remedy.is_some(), "no remedy: {text}");
    }
    texts
}

#[track_caller]
fn all_say(texts: &[String], fragment: &str) {
    for text in texts {
        assert!(text.contains(fragment), "`{fragment}` is not in: {text}");
    }
}

fn bucket(remote: &mut Remote) -> &mut Bucket {
    match &mut remote.place {
        Place::Bucket(bucket) => bucket,
        Place::Folder(_) => panic!("a folder"),
    }
}

#[test]
fn wrong_credentials_are_told_apart() {
    let site = Site::new();
    let store = open(&site.remote_of((ADMIN.0, "wrong/secret+012345")));
    let texts = all_fail(&site, &store, Code::AccessDenied);
    all_say(
        &texts,
        "the server does not accept the credentials: the secret key is wrong",
    );
    let store = open(&site.remote_of(("AKIDNOBODY", ADMIN.1)));
    let texts = all_fail(&site, &store, Code::AccessDenied);
    all_say(&texts, "the server does not know the access key");
    // An answer to HEAD has no words.
    let error = store.head("rows/a").unwrap_err();
    assert_eq!(error.code, Code::AccessDenied);
    assert!(
        text(&error).contains("look at rows/a: the server refuses access"),
        "{error}"
    );
    let reader = open(&site.remote_of(READER));
    assert_eq!(reader.list("").unwrap(), []);
    let error = reader.put("rows/a", b"x", None).unwrap_err();
    assert_eq!(error.code, Code::AccessDenied);
    assert!(
        text(&error).contains("the server refuses access (AccessDenied"),
        "{error}"
    );
    // Nothing of this is tried again.
    assert_eq!(site.proxy.count("GET", "object-lock"), 2);
}

#[test]
fn an_unknown_bucket_is_named_as_the_cause() {
    let site = Site::new();
    let mut remote = site.remote();
    bucket(&mut remote).bucket = "nobody-made-this".to_owned();
    let store = open(&remote);
    all_say(
        &all_fail(&site, &store, Code::NotFound),
        "there is no such bucket",
    );
    let remedy = store.list("").unwrap_err().remedy;
    assert!(remedy.is_some_and(|remedy| remedy.contains("`url`")));
}

#[test]
fn a_wrong_region_is_told_with_the_right_one() {
    // As Amazon answers; the test's own server takes every region.
    let site = Site::new();
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header is malformed; the \
                     region 'us-east-1' is wrong; expecting 'eu-west-3'</Message><Region>eu-west-3</Region></Error>";
    let moved = "<Error><Code>PermanentRedirect</Code><Message>The bucket you are attempting to access must be addressed \
                 using the specified endpoint.</Message></Error>";
    for (status, body) in [(400, malformed), (301, moved)] {
        for method in ["GET", "PUT", "POST", "HEAD"] {
            let headers = &[("x-amz-bucket-region", "eu-west-3")];
            site.proxy.on(
                method,
                "",
                0..100,
                Action::Answer(status, headers, body.to_owned()),
            );
        }
        let texts = all_fail(&site, &site.store(), Code::Config);
        all_say(&texts, "the bucket is in the region eu-west-3");
        all_say(&texts, "correct `region`");
        site.proxy.clear();
    }
    assert_eq!(site.store().list("").unwrap(), []);
}

#[test]
fn a_wrong_clock_is_named() {
    let site = Site::new();
    // As the test's own server answers.
    let skewed = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>RequestTimeTooSkewed</Code><Message>The difference \
                  between the request time and the server&#39;s time is too large.</Message></Error>";
    let date = &[("Date", "Tue, 01 Jan 2019 00:00:00 GMT")];
    for method in ["GET", "PUT", "POST", "HEAD"] {
        site.proxy
            .on(method, "", 0..100, Action::Answer(403, date, skewed.to_owned()));
    }
    let store = site.store();
    let texts = all_fail(&site, &store, Code::AccessDenied);
    all_say(&texts, "for its clock is wrong by ");
    all_say(&texts, "ahead of the server's");
    // Without words it is known by the date.
    let error = store.head("rows/a").unwrap_err();
    assert!(text(&error).contains("its clock is wrong"), "{error}");
}

#[test]
fn a_full_store_is_told_from_other_trouble() {
    let site = Site::new();
    let full = "<Error><Code>QuotaExceeded</Code><Message>over quota</Message></Error>";
    site.proxy
        .on("PUT", "", 0..100, Action::Answer(403, &[], full.to_owned()));
    let file = site.file("large", PART + 1);
    for error in [
        site.store().put("rows/a", b"x", None).unwrap_err(),
        upload(&site.store(), "archives/a", &file).unwrap_err(),
    ] {
        assert_eq!(error.code, Code::NoSpace);
        assert!(
            text(&error).contains("the store is full, or its quota is used up"),
            "{error}"
        );
    }
}

#[test]
fn a_server_that_is_away_is_told_so() {
    let site = Site::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut remote = site.remote();
    bucket(&mut remote).endpoint = Some(format!("http://{free}"));
    let texts = all_fail(&site, &open(&remote), Code::Io);
    all_say(&texts, "no connection to the server (");
    all_say(&texts, "Connection refused");
    bucket(&mut remote).endpoint = Some("https://nobody.invalid".to_owned());
    let error = open(&remote).list("").unwrap_err();
    assert_eq!(error.code, Code::Io);
    assert!(text(&error).contains("no connection to the server ("), "{error}");
}

#[test]
fn a_server_that_speaks_something_else_is_an_error() {
    let site = Site::new();
    for (status, body) in [
        (200, "<html>hello</html>"),
        (200, ""),
        (404, "not here"),
        (418, "{\"a\": 1}"),
    ] {
        for method in ["GET", "PUT", "POST", "HEAD"] {
            site.proxy
                .on(method, "", 0..100, Action::Answer(status, &[], body.to_owned()));
        }
        let store = site.store();
        for error in [
            store.list("").unwrap_err(),
            store.unfinished("").unwrap_err(),
            store.has_object_lock().unwrap_err(),
            store.versions("rows/a").unwrap_err(),
            upload(&store, "archives/a", &site.file("large", PART + 1)).unwrap_err(),
        ] {
            assert!(text(&error).starts_with("remote offsite: "), "{error}");
        }
        site.proxy.clear();
    }
}

#[test]
fn what_a_server_says_can_not_play_tricks_on_a_terminal() {
    let site = Site::new();
    let body = format!(
        "<Error><Code>Odd\x1b[2J</Code><Message>\x07{}</Message></Error>",
        "x".repeat(100_000)
    );
    site.proxy.on("GET", "", 0..100, Action::Answer(400, &[], body));
    for error in [
        site.store().list("").unwrap_err(),
        site.store().versions("a").unwrap_err(),
    ] {
        let said = text(&error);
        assert!(
            said.contains("the server answered 400 (Odd\\x1b[2J: \\x07xxx") && said.len() < 600,
            "{said}"
        );
    }
}

#[test]
fn what_can_not_be_opened_says_why() {
    let site = Site::new();
    let refuses = |change: &dyn Fn(&mut Bucket), code: Code, says: &str| {
        let mut remote = site.remote();
        change(bucket(&mut remote));
        let error = Store::open_with(&remote, impatient()).unwrap_err();
        assert_eq!(error.code, code, "{error}");
        let said = text(&error);
        assert!(
            said.starts_with("remote offsite: ") && said.contains(says),
            "{said}"
        );
    };
    let missing = site.dir.path().join("no-such-file");
    refuses(
        &|bucket| bucket.credentials_file = Some(missing.clone()),
        Code::Io,
        "no-such-file",
    );
    refuses(
        &|bucket| bucket.profile = Some("other".to_owned()),
        Code::Config,
        "there is no section [other]",
    );
    for endpoint in [
        "minio.example",
        "ftp://minio.example",
        "https://user@minio.example",
        "http://",
    ] {
        refuses(
            &|bucket| bucket.endpoint = Some(endpoint.to_owned()),
            Code::Config,
            "is not a URL",
        );
    }
    assert_eq!(site.proxy.seen().len(), 0);
}

#[test]
fn nothing_goes_to_another_machine_without_tls() {
    let site = Site::new();
    let mut remote = site.remote();
    bucket(&mut remote).endpoint = Some("http://minio.example".to_owned());
    let error = open(&remote).list("").unwrap_err();
    let said = text(&error);
    assert!(
        said.contains("list") && (said.contains("scheme") || said.contains("URL")),
        "{said}"
    );
}
