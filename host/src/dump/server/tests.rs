//! URLs as people write them.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn parse(url: &str) -> Server {
    Server::parse(&Secret::new(url)).unwrap()
}

#[test]
fn every_part_of_a_url_is_found_and_decoded() {
    let server = parse(
        "postgres://app%40x:p%40s%3As%2F%23%25%20w%C3%A9@db.example:5433/my%2Fdb?sslmode=require&connect_timeout=3",
    );
    assert_eq!(server.kind, Kind::Postgres);
    assert_eq!(server.user.as_deref(), Some("app@x"));
    assert_eq!(server.password.as_ref().unwrap().expose(), "p@s:s/#% wé");
    assert_eq!(server.host, Host::Tcp("db.example".into()));
    assert_eq!(server.port, Some(5433));
    assert_eq!(server.database, "my/db");
    assert_eq!(
        server.options,
        [
            ("sslmode".to_owned(), "require".to_owned()),
            ("connect_timeout".to_owned(), "3".to_owned())
        ]
    );
}

#[test]
fn a_password_may_hold_at_signs_colons_hashes_and_spaces_as_they_are() {
    let server = parse("mysql://u:p@s:s#w x@localhost/app");
    assert_eq!(server.kind, Kind::Mysql);
    assert_eq!(server.user.as_deref(), Some("u"));
    assert_eq!(server.password.as_ref().unwrap().expose(), "p@s:s#w x");
    assert_eq!(server.host, Host::Tcp("localhost".into()));
}

#[test]
fn sockets_and_missing_parts() {
    let socket = Host::Socket("/run/pg".into());
    for url in [
        "postgres://%2Frun%2Fpg/app",
        "postgres:///app?host=/run/pg",
        "mysql:///app?socket=%2Frun%2Fpg",
    ] {
        assert_eq!(parse(url).host, socket, "{url}");
    }
    let server = parse("postgres:///app");
    assert_eq!(
        (server.host, server.user, server.port),
        (Host::Default, None, None)
    );
    let server = parse("postgres://u@[::1]:5433/app");
    assert_eq!(
        (&server.host, server.port),
        (&Host::Tcp("::1".into()), Some(5433))
    );
    assert_eq!(server.place(), "[::1]:5433");
    // An empty password is one.
    assert_eq!(parse("postgres://u:@h/app").password.unwrap().expose(), "");
}

#[test]
fn neither_display_nor_debug_shows_the_password() {
    let server = parse("postgres://app:hunter2@db:5433/shop?sslmode=require");
    assert_eq!(server.to_string(), "`shop` on db:5433 as app");
    assert!(!format!("{server:?}").contains("hunter2"));
}

#[test]
fn bad_urls_are_explained_without_their_text() {
    for (url, problem) in [
        ("hunter2", "is not a URL"),
        ("oracle://u:hunter2@h/x", "begins with neither"),
        ("postgres://u:hunter2@h", "which database"),
        ("postgres://u:hunter2%zz@h/x", "a `%` in the password"),
        ("postgres://u:hunter2%2@h/x", "a `%` in the password"),
        ("postgres://u:hunter2%ff@h/x", "a `%` in the password"),
        ("postgres://u:hunter2/x@h/x", "as its port"),
        ("postgres://u:hunter2%0a@h/x", "a line end"),
        ("postgres://u:hunter2%00@h/x", "a NUL"),
        ("postgres://u@h1,h2/x", "several hosts"),
        ("postgres://u@h:0/x", "1 to 65535"),
        ("postgres://u@[::1/x", "without a `]`"),
        ("postgres://u@h/x?password=hunter2", "has the option `password`"),
    ] {
        let error = Server::parse(&Secret::new(url)).unwrap_err();
        assert_eq!(error.code, Code::Config);
        assert!(error.message.contains(problem), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
