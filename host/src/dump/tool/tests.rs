//! Finding programs, and what they are told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use super::*;

fn script(dir: &Path, name: &str, body: &str) {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn server(url: &str) -> Server {
    Server::parse(&Secret::new(url)).unwrap()
}

const NEVER: AtomicBool = AtomicBool::new(false);

#[test]
fn versions_are_read_from_what_the_programs_say() {
    for (line, major, minor, text) in [
        (
            "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
            15,
            18,
            "15.18",
        ),
        ("psql (PostgreSQL) 18beta1", 18, 0, "18beta1"),
        (
            "mysqldump  Ver 10.19 Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)",
            10,
            11,
            "10.11.14-MariaDB",
        ),
        (
            "mariadb-dump from 11.8.3-MariaDB, client 10.19 for debian-linux-gnu (x86_64)",
            11,
            8,
            "11.8.3-MariaDB",
        ),
        (
            "mysqldump  Ver 8.0.40 for Linux on x86_64 (MySQL Community Server - GPL)",
            8,
            0,
            "8.0.40",
        ),
    ] {
        let version = Version::parse(line).expect(line);
        assert_eq!(
            (version.major, version.minor, version.text.as_str()),
            (major, minor, text)
        );
    }
    assert_eq!(Version::parse("no number"), None);
}

#[test]
fn a_program_that_is_missing_or_older_than_the_server_is_an_error_with_the_package() {
    let temp = tempfile::tempdir().unwrap();
    let error = Tool::postgres("pg_dump", Some(15), Some(temp.path())).unwrap_err();
    assert_eq!(error.code, Code::DumpFailed);
    assert!(error.message.contains("pg_dump is not in "), "{error}");
    script(temp.path(), "pg_dump", "echo 'pg_dump (PostgreSQL) 13.4'");
    let tool = Tool::postgres("pg_dump", Some(12), Some(temp.path())).unwrap();
    assert_eq!((tool.version.major, tool.version.minor), (13, 4));
    let error = Tool::postgres("pg_dump", Some(15), Some(temp.path())).unwrap_err();
    for part in [
        "pg_dump 13.4",
        "PostgreSQL 15",
        "apt install postgresql-client-15",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    script(temp.path(), "psql", "echo what >&2; exit 3");
    let error = Tool::postgres("psql", None, Some(temp.path())).unwrap_err();
    assert!(error.message.contains("psql can't be used"), "{error}");
}

#[test]
fn the_first_of_several_names_is_taken() {
    let temp = tempfile::tempdir().unwrap();
    script(temp.path(), "mysqldump", "echo 'mysqldump  Ver 8.0.40 for Linux'");
    let names = ["mariadb-dump", "mysqldump"];
    let tool = Tool::named(&names, Some(temp.path()), "mariadb-client").unwrap();
    assert_eq!(tool.name, "mysqldump");
    let error = Tool::named(&["cofre-no-such", "cofre-neither"], None, "mariadb-client").unwrap_err();
    assert!(
        error
            .message
            .contains("cofre-no-such or cofre-neither is not installed"),
        "{error}"
    );
    assert!(error.remedy.unwrap().contains("apt install mariadb-client"));
}

#[test]
fn the_password_is_in_a_private_file_only_and_goes_with_the_login() {
    let temp = tempfile::tempdir().unwrap();
    script(
        temp.path(),
        "pg_dump",
        "if [ \"$1\" = --version ]; then echo 'pg_dump 15.1'; else env; echo \"$@\"; cat \"$PGPASSFILE\" >&2; fi",
    );
    let tool = Tool::postgres("pg_dump", None, Some(temp.path())).unwrap();
    let login = Login::new(
        &server("postgres://app:p%3As%5Cs%20@db:5433/shop?sslmode=require"),
        temp.path(),
    )
    .unwrap();
    let file = login.file.clone().unwrap();
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "*:*:*:*:p\\:s\\\\s \n");
    let mut out = Vec::new();
    let watch = Watch {
        cancel: &NEVER,
        stall: Duration::from_secs(30),
    };
    login
        .run(&tool, ["-Fc"], watch, &mut |bytes| {
            out.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    let out = String::from_utf8(out).unwrap();
    for line in [
        "PGHOST=db",
        "PGPORT=5433",
        "PGUSER=app",
        "PGDATABASE=shop",
        "PGSSLMODE=require",
        "-Fc",
    ] {
        assert!(out.lines().any(|l| l == line), "{line} in {out}");
    }
    assert!(!out.contains("p:s"), "{out}");
    // Cargo's own are in the environment of a test.
    assert!(!out.contains("CARGO"), "{out}");
    drop(login);
    assert!(!file.exists());
}

#[test]
fn a_failing_program_is_quoted_without_the_password() {
    let temp = tempfile::tempdir().unwrap();
    let body = "if [ \"$1\" = --version ]; then echo 'pg_dump 15.1'; exit; fi
echo 'pg_dump: warning: never mind' >&2; echo 'pg_dump: error: no way with hunter2' >&2; echo 'pg_dump: detail: x' >&2; exit 1";
    script(temp.path(), "pg_dump", body);
    let tool = Tool::postgres("pg_dump", None, Some(temp.path())).unwrap();
    let login = Login::new(&server("postgres://app:hunter2@db/shop"), temp.path()).unwrap();
    let watch = Watch {
        cancel: &NEVER,
        stall: Duration::from_secs(30),
    };
    let error = login.run(&tool, [""; 0], watch, &mut |_| Ok(())).unwrap_err();
    assert_eq!(
        error.message,
        "database `shop` on db as app: pg_dump failed (exit status: 1): pg_dump: error: no way with (secret); pg_dump: detail: x"
    );
}

#[test]
fn a_program_that_says_nothing_for_too_long_is_ended_and_one_that_does_is_not() {
    let temp = tempfile::tempdir().unwrap();
    let body = "if [ \"$1\" = --version ]; then echo 'pg_dump 15.1'; exit; fi
if [ \"$1\" = talk ]; then for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done; else sleep 1000; fi";
    script(temp.path(), "pg_dump", body);
    let tool = Tool::postgres("pg_dump", None, Some(temp.path())).unwrap();
    let login = Login::new(&server("postgres:///shop"), temp.path()).unwrap();
    let watch = Watch {
        cancel: &NEVER,
        stall: Duration::from_secs(3),
    };
    login.run(&tool, ["talk"], watch, &mut |_| Ok(())).unwrap();
    let error = login.run(&tool, ["still"], watch, &mut |_| Ok(())).unwrap_err();
    assert!(error.message.contains("made no progress for 3.0 s"), "{error}");
}

#[test]
fn the_sinks_own_error_ends_the_program() {
    let temp = tempfile::tempdir().unwrap();
    script(
        temp.path(),
        "pg_dump",
        "if [ \"$1\" = --version ]; then echo 'pg_dump 15.1'; else yes; fi",
    );
    let tool = Tool::postgres("pg_dump", None, Some(temp.path())).unwrap();
    let login = Login::new(&server("postgres:///shop"), temp.path()).unwrap();
    let watch = Watch {
        cancel: &NEVER,
        stall: Duration::from_secs(30),
    };
    let error = login
        .run(&tool, [""; 0], watch, &mut |_| {
            Err(Error::new(Code::NoSpace, "full"))
        })
        .unwrap_err();
    assert_eq!(error.code, Code::NoSpace);
}

#[test]
fn an_unknown_option_is_named_with_the_known_ones() {
    let temp = tempfile::tempdir().unwrap();
    let error = Login::new(&server("postgres://h/x?sslmod=require"), temp.path()).unwrap_err();
    assert!(error.message.contains("`sslmod`"), "{error}");
    assert!(error.remedy.unwrap().contains("sslmode"));
}

#[test]
fn an_option_file_quotes_what_has_a_meaning_in_it() {
    let text = option_file(&server("mysql://u:p%22q%5C%23%20@h:3307/x"));
    assert_eq!(
        text,
        "[client]\nuser=\"u\"\npassword=\"p\\\"q\\\\# \"\nhost=\"h\"\nport=\"3307\"\n"
    );
}
