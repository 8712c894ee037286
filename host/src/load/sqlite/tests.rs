//! Good dumps, broken ones, and hostile ones: what each comes to, and that nothing else happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::engine::wit::types::{DatabaseInfo, TableInfo};
use crate::source;

const RESTORE: &str = "-- Loads this database\n.bail on\nPRAGMA foreign_keys = OFF;\nPRAGMA ignore_check_constraints = ON;\n\
                       BEGIN IMMEDIATE;\nPRAGMA defer_foreign_keys = ON;\n.read 'a.sql'\n.read 'schema.sql'\nCOMMIT;\n";

/// A restored archive with one table of two rows, as a dump has it.
struct Case {
    temp: tempfile::TempDir,
    info: DatabaseInfo,
}

impl Case {
    fn new() -> Self {
        let case = Self {
            temp: tempfile::tempdir().unwrap(),
            info: DatabaseInfo {
                name: "app".into(),
                engine: "sqlite".into(),
                version: "3".into(),
                folder: "database".into(),
                tables: vec![TableInfo {
                    name: "a".into(),
                    file: Some("a.sql".into()),
                    rows: 2,
                }],
            },
        };
        fs::create_dir(case.temp.path().join("database")).unwrap();
        case.write(
            "a.sql",
            "CREATE TABLE a(x);\nINSERT INTO \"a\"(rowid,\"x\") VALUES\n(1,'um'),\n(2,'dois');\n",
        );
        case.write("schema.sql", "CREATE INDEX i ON a(x);\n");
        case.write("restore.sql", RESTORE);
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join("database").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn append(&self, name: &str, text: &str) {
        let before = fs::read_to_string(self.path(name)).unwrap();
        self.write(name, &format!("{before}{text}"));
    }

    fn load(&self) -> std::result::Result<Loaded, Problem> {
        self.load_within(Duration::from_secs(60))
    }

    fn load_within(&self, longest: Duration) -> std::result::Result<Loaded, Problem> {
        let stop = Stop::new(&std::sync::Arc::default(), longest);
        let restored = source::open_dir_nofollow(self.temp.path()).unwrap();
        let dump = DumpFolder::open(restored.as_fd(), &self.info)?;
        load(&dump, &self.temp.path().join("new.db"), &stop)
    }

    /// What is found: the reason, and a sentence with these words.
    #[track_caller]
    fn finds(&self, reason: Reason, words: &[&str]) {
        let problem = match self.load() {
            Err(problem) => problem,
            Ok(loaded) => loaded.problems.into_iter().next().expect("a problem"),
        };
        assert_eq!(problem.reason, reason, "{problem}");
        for word in words {
            assert!(problem.to_string().contains(word), "`{word}` in: {problem}");
        }
        assert!(problem.to_string().contains("database app"), "{problem}");
    }
}

#[test]
fn a_dump_is_loaded_and_counted() {
    let case = Case::new();
    let loaded = case.load().unwrap();
    assert_eq!((loaded.tables, loaded.rows), (1, 2));
    assert_eq!((loaded.problems, loaded.notes), (vec![], vec![]));
}

#[test]
fn settings_of_the_script_are_taken_over_and_the_script_is_not_run() {
    let case = Case::new();
    let script = RESTORE.replace(
        "COMMIT;\n",
        "PRAGMA application_id = 7;\nPRAGMA user_version = -3;\nCOMMIT;\n-- The original was in WAL mode.\n\
         PRAGMA journal_mode = WAL;\n",
    );
    let script = script.replace(
        "BEGIN",
        "PRAGMA page_size = 8192;\nPRAGMA auto_vacuum = 2;\nBEGIN",
    );
    case.write("restore.sql", &script);
    case.load().unwrap();
    let db = Connection::open(case.temp.path().join("new.db")).unwrap();
    let pragma = |name: &str| -> String {
        db.query_row(
            &format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"),
            [],
            |row| row.get(0),
        )
        .unwrap()
    };
    let settings = [
        "application_id",
        "user_version",
        "page_size",
        "auto_vacuum",
        "journal_mode",
    ];
    assert_eq!(settings.map(pragma), ["7", "-3", "8192", "2", "wal"]);
}

#[test]
fn each_fault_of_a_dump_has_its_reason() {
    let case = Case::new();
    fs::remove_file(case.path("a.sql")).unwrap();
    case.finds(Reason::FileMissing, &["a.sql", "table a"]);

    let case = Case::new();
    fs::remove_file(case.path("schema.sql")).unwrap();
    case.finds(Reason::FileMissing, &["schema.sql"]);

    let case = Case::new();
    case.write("b.sql", "");
    case.finds(Reason::UnexpectedFile, &["b.sql"]);

    let case = Case::new();
    fs::create_dir(case.path("b")).unwrap();
    case.finds(Reason::UnexpectedFile, &["b "]);

    for cut in [
        "",
        "CREATE TABLE a(",
        "CREATE TABLE a(x);\nINSERT INTO a VALUES\n(1),\n",
        "CREATE TABLE a(x);\nINSERT INTO a VALUES('u",
    ] {
        let case = Case::new();
        case.write("a.sql", cut);
        case.finds(Reason::FileTruncated, &["a.sql"]);
    }
    let case = Case::new();
    case.append("schema.sql", "CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1;");
    case.finds(Reason::FileTruncated, &["schema.sql"]);
    let case = Case::new();
    case.write("restore.sql", ".bail on\n");
    case.finds(Reason::FileTruncated, &["restore.sql"]);

    let case = Case::new();
    case.write("a.sql", "CREATE TABLE a(x);\nINSERT INTO a VALUES\n(1);\n");
    case.finds(Reason::RowsDiffer, &["table a", "1 rows", "had 2"]);

    let case = Case::new();
    case.append("schema.sql", "CREATE TABLE b(x);\n");
    case.finds(Reason::TablesDiffer, &["table b"]);

    let case = Case::new();
    case.write("a.sql", "CREATE TABLE b(x);\n");
    case.write("schema.sql", "");
    case.finds(Reason::TablesDiffer, &["table a"]);

    let case = Case::new();
    case.write("a.sql", "CREATE TABLE a(x);\nINSERT INTO a VALUES (1,2,3);\n");
    case.finds(Reason::LoadFailed, &["a.sql", "3 values"]);

    let case = Case::new();
    fs::write(case.path("a.sql"), b"CREATE TABLE a('\xff');\n").unwrap();
    case.finds(Reason::LoadFailed, &["a.sql", "UTF-8"]);
}

#[test]
fn a_manifest_can_not_lead_elsewhere() {
    for (folder, file) in [
        ("database", "../a.sql"),
        ("database", "x/a.sql"),
        ("database/app", "a.sql"),
        ("database", "/etc/passwd"),
    ] {
        let mut case = Case::new();
        fs::create_dir(case.path("app")).unwrap();
        fs::copy(case.path("schema.sql"), case.path("app/schema.sql")).unwrap();
        fs::copy(case.path("restore.sql"), case.path("app/restore.sql")).unwrap();
        case.info.folder = folder.into();
        case.info.tables[0].file = Some(file.into());
        case.finds(Reason::UnexpectedFile, &["outside of its folder"]);
    }
    for folder in ["..", "static", "/etc", "database/..", "database/a/b", "databases"] {
        let mut case = Case::new();
        case.info.folder = folder.into();
        case.finds(Reason::UnexpectedFile, &["where no dump lies"]);
    }
}

#[test]
fn what_reaches_beyond_the_database_is_refused_and_does_not_happen() {
    let evil = tempfile::tempdir().unwrap();
    let other = evil.path().join("other.db");
    let shown = other.display();
    for (sql, words) in [
        (format!("ATTACH '{shown}' AS o; CREATE TABLE o.x(y);"), "attaches"),
        ("SELECT load_extension('/tmp/evil.so');".into(), "load_extension"),
        (
            "CREATE TABLE b(x DEFAULT (load_extension('/tmp/evil.so')));".into(),
            "load_extension",
        ),
        ("SELECT fts3_tokenizer('simple', x'00');".into(), "fts3_tokenizer"),
        ("PRAGMA writable_schema = ON;".into(), "PRAGMA writable_schema"),
        ("PRAGMA journal_mode = WAL;".into(), "PRAGMA journal_mode"),
        (
            "PRAGMA temp_store_directory = '/tmp';".into(),
            "PRAGMA temp_store_directory",
        ),
        ("PRAGMA trusted_schema = ON;".into(), "PRAGMA trusted_schema"),
        ("COMMIT;".into(), "transaction"),
        ("SAVEPOINT x;".into(), "transaction"),
        ("CREATE TEMP TABLE t(x);".into(), "temporary"),
        ("CREATE VIRTUAL TABLE v USING dbstat;".into(), "module dbstat"),
        (
            "CREATE VIRTUAL TABLE v USING sqlite_dbpage;".into(),
            "module sqlite_dbpage",
        ),
        ("DROP TABLE a;".into(), "drops"),
        ("ALTER TABLE a RENAME TO b;".into(), "alters"),
        ("SELECT * FROM pragma_database_list;".into(), "database_list"),
    ] {
        for file in ["a.sql", "schema.sql"] {
            let case = Case::new();
            case.append(file, &format!("{sql}\n"));
            case.finds(Reason::HostileSql, &[file, words]);
        }
        assert!(!other.exists(), "{sql}");
    }
    let case = Case::new();
    case.append("schema.sql", &format!("VACUUM INTO '{shown}';\n"));
    case.finds(Reason::LoadFailed, &["schema.sql", "VACUUM"]);
    assert!(!other.exists());
}

#[test]
fn a_script_with_a_line_that_cofre_does_not_write_is_refused() {
    for line in [
        ".shell touch /tmp/x",
        ".read '/etc/passwd'",
        ".read '|touch x'",
        "PRAGMA page_size = x;",
        "ATTACH 'x' AS y;",
        ".load evil",
    ] {
        let case = Case::new();
        case.append("restore.sql", &format!("{line}\n"));
        case.finds(Reason::HostileSql, &["restore.sql", "did not write"]);
    }
}

#[test]
fn commands_of_the_shell_in_a_dump_are_nothing_but_wrong_sql() {
    let case = Case::new();
    case.append("a.sql", ".shell touch evil\n");
    case.finds(Reason::FileTruncated, &["a.sql"]);
    let case = Case::new();
    case.append("a.sql", ".shell touch evil\n;\n");
    case.finds(Reason::LoadFailed, &["a.sql", "syntax error"]);
}

#[test]
fn triggers_do_not_run_and_views_do_not_either() {
    let case = Case::new();
    case.append(
        "schema.sql",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END;\nINSERT INTO a VALUES(3);\n\
         CREATE VIEW v AS SELECT load_extension('x') FROM nowhere;\n",
    );
    case.finds(Reason::RowsDiffer, &["3 rows"]);
}

#[test]
fn a_bomb_is_stopped_by_time_and_by_size() {
    let case = Case::new();
    case.append(
        "a.sql",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) SELECT count(*) FROM r;\n",
    );
    let began = Instant::now();
    let problem = case.load_within(Duration::from_millis(300)).unwrap_err();
    assert_eq!(problem.reason, Reason::NotPossible, "{problem}");
    assert!(problem.to_string().contains("too long"), "{problem}");
    assert!(began.elapsed() < Duration::from_secs(30));

    let case = Case::new();
    case.append(
        "a.sql",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) INSERT INTO a SELECT zeroblob(1000000) FROM r;\n",
    );
    case.finds(Reason::LoadFailed, &["a.sql", "larger than"]);
    // Within one call of a function nothing looks at the clock.
    let case = Case::new();
    case.append(
        "a.sql",
        "SELECT instr(zeroblob(300000000), zeroblob(150000000)||x'01');\n",
    );
    case.finds(Reason::LoadFailed, &["a.sql", "much larger than its whole dump"]);
}

#[test]
fn rows_that_break_a_foreign_key_are_said_and_no_fault_of_the_backup() {
    let case = Case::new();
    case.write(
        "a.sql",
        "CREATE TABLE a(x REFERENCES a(rowid));\nINSERT INTO a VALUES(7),(8);\n",
    );
    let loaded = case.load().unwrap();
    assert_eq!(loaded.problems, []);
    assert!(!loaded.notes.is_empty());
    let case = Case::new();
    case.write(
        "a.sql",
        "CREATE TABLE a(x INTEGER PRIMARY KEY, y REFERENCES a);\nINSERT INTO a VALUES(7,9),(8,7);\n",
    );
    let loaded = case.load().unwrap();
    assert!(
        loaded.notes[0].contains("1 rows break a foreign key"),
        "{:?}",
        loaded.notes
    );
}

#[test]
fn a_table_that_needs_a_module_of_the_application_is_left_out_and_said() {
    let case = Case::new();
    case.write(
        "a.sql",
        "CREATE TABLE IF NOT EXISTS a_content(x);\nDELETE FROM a_content;\n\
         -- Plain SQLite can't open this table: it needs a module or tokenizer of the application.\n\
         PRAGMA writable_schema = ON;\nINSERT INTO sqlite_master VALUES(1);\n",
    );
    case.write("schema.sql", "");
    let loaded = case.load().unwrap();
    assert!(loaded.notes[0].contains("module"), "{:?}", loaded.notes);
    assert_eq!(
        loaded.problems[0].reason,
        Reason::RowsDiffer,
        "it had two rows, says the manifest"
    );
}

#[test]
fn it_stops_on_request() {
    let case = Case::new();
    let cancel = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let stop = Stop::new(&cancel, Duration::from_secs(60));
    case.append(
        "a.sql",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM r) SELECT count(*) FROM r;\n",
    );
    let restored = source::open_dir_nofollow(case.temp.path()).unwrap();
    let dump = DumpFolder::open(restored.as_fd(), &case.info).unwrap();
    let problem = load(&dump, &case.temp.path().join("new.db"), &stop).unwrap_err();
    assert_eq!(problem.error.code, Code::Cancelled, "{problem}");
}

#[test]
fn the_names_of_the_reasons_are_those_of_the_metric() {
    let recorded: Vec<_> = Reason::ALL
        .iter()
        .filter(|reason| reason.is_about_backup())
        .map(|reason| reason.name())
        .collect();
    assert_eq!(recorded, cofre_exporter::facts::DRILL_FINDINGS);
}
