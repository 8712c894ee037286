//! Databases in use, left by a crash, or in places where cofre may only read.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Child, ChildStdin, ChildStdout};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::*;
use crate::testing;

/// Name, size, owner and change time of the files of a database.
fn files_of(dir: &Path) -> Vec<(String, u64, u32, i64)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("app.db"))
        .map(|entry| {
            let meta = entry.metadata().unwrap();
            // The index of the WAL is written by readers too.
            let written = if entry.file_name() == "app.db-shm" {
                0
            } else {
                meta.mtime() * 1_000_000_000 + meta.mtime_nsec()
            };
            (
                entry.file_name().into_string().unwrap(),
                meta.len(),
                meta.uid(),
                written,
            )
        })
        .collect();
    files.sort();
    files
}

fn rows_in(folder: &Path, text: &str) -> usize {
    std::fs::read_to_string(folder.join("t.sql"))
        .unwrap()
        .lines()
        .filter(|line| line.contains(text))
        .count()
}

/// The application: a process of its own, since locks are a process's.
struct App {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl App {
    fn new(db: &Path) -> Self {
        let mut child = Command::new("sqlite3")
            .args(["-init", "/dev/null", "-batch", "-bail"])
            .arg(db)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (
            child.stdin.take().unwrap(),
            BufReader::new(child.stdout.take().unwrap()),
        );
        Self { child, input, output }
    }

    /// Runs statements to their end.
    fn run(&mut self, sql: &str) {
        self.input
            .write_all(format!("{sql}\n.print (done)\n").as_bytes())
            .unwrap();
        let mut line = String::new();
        while line != "(done)\n" {
            line.clear();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "the application failed"
            );
        }
    }

    /// Kills it, as a power cut would.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it close the database and end.
    fn close(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

/// A database with one row in the file, 100 in the WAL and 2 that are not committed.
fn wal_writer(db: &Path) -> App {
    let mut app = App::new(db);
    app.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);");
    app.run("INSERT INTO t VALUES(0,'antigo'); PRAGMA wal_checkpoint(TRUNCATE);");
    for i in 0..100 {
        app.run(&format!("INSERT INTO t(v) VALUES('confirmado {i}');"));
    }
    app.run("BEGIN IMMEDIATE; INSERT INTO t(v) VALUES('NAO_CONFIRMADO'),('NAO_CONFIRMADO');");
    app
}

#[test]
fn rows_in_the_wal_are_dumped_and_uncommitted_ones_are_not() {
    let case = Case {
        temp: tempfile::tempdir().unwrap(),
    };
    let mut writer = wal_writer(&case.db());
    let before = files_of(case.temp.path());
    let info = case.dump().unwrap();
    assert_eq!(files_of(case.temp.path()), before, "the original is as it was");
    assert_eq!(info.tables[0].rows, 101);
    let folder = case.temp.path().join("database");
    assert_eq!(
        (rows_in(&folder, "'confirmado"), rows_in(&folder, "NAO")),
        (100, 0)
    );
    writer.run("ROLLBACK; INSERT INTO t(v) VALUES('depois');");
    writer.close();
}

#[test]
fn a_wal_database_that_nobody_has_open_gets_no_new_files() {
    let case = Case::new("CREATE TABLE t(v); INSERT INTO t VALUES('x');");
    Connection::open(case.db())
        .unwrap()
        .query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))
        .unwrap();
    let before = files_of(case.temp.path());
    assert_eq!(before.len(), 1);
    assert_eq!(case.dump().unwrap().tables[0].rows, 1);
    assert_eq!(files_of(case.temp.path()), before);
}

#[test]
fn a_wal_left_by_a_crash_is_read_without_touching_it() {
    for with_index in [true, false] {
        let live = tempfile::tempdir().unwrap();
        let writer = wal_writer(&live.path().join("app.db"));
        let case = Case {
            temp: tempfile::tempdir().unwrap(),
        };
        for suffix in ["", "-wal", "-shm"] {
            if suffix != "-shm" || with_index {
                let name = format!("app.db{suffix}");
                std::fs::copy(live.path().join(&name), case.temp.path().join(&name)).unwrap();
            }
        }
        writer.kill();
        let before = files_of(case.temp.path());
        assert_eq!(case.dump().unwrap().tables[0].rows, 101);
        assert_eq!(files_of(case.temp.path()), before, "index: {with_index}");
    }
}

#[test]
fn a_hot_journal_is_rolled_back_in_the_copy_alone() {
    let live = tempfile::tempdir().unwrap();
    let db = live.path().join("app.db");
    let mut app = App::new(&db);
    app.run(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)
         INSERT INTO t SELECT i, replace(hex(zeroblob(250)),'0','v') FROM n;
         PRAGMA cache_size=5; BEGIN IMMEDIATE; UPDATE t SET v = 'NOVO';",
    );
    // What a power cut would leave: changed pages in the file, the journal beside it.
    let case = Case {
        temp: tempfile::tempdir().unwrap(),
    };
    for suffix in ["", "-journal"] {
        let name = format!("app.db{suffix}");
        std::fs::copy(live.path().join(&name), case.temp.path().join(&name)).unwrap();
    }
    app.kill();
    let before = files_of(case.temp.path());
    assert_eq!(before.len(), 2);
    assert!(String::from_utf8_lossy(&std::fs::read(case.db()).unwrap()).contains("NOVO"));
    assert_eq!(case.dump().unwrap().tables[0].rows, 2000);
    assert_eq!(rows_in(&case.temp.path().join("database"), "NOVO"), 0);
    assert_eq!(files_of(case.temp.path()), before);
}

/// Accounts whose sum never changes, moved between by a writer as fast as it can.
#[test]
fn a_dump_under_a_concurrent_writer_is_of_one_moment() {
    for mode in ["wal", "delete"] {
        let case = Case {
            temp: tempfile::tempdir().unwrap(),
        };
        let mut app = App::new(&case.db());
        app.run(&format!(
            "PRAGMA journal_mode={mode}; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=50; PRAGMA busy_timeout=20000;
             CREATE TABLE conta(id INTEGER PRIMARY KEY, saldo, fill); CREATE TABLE movimento(id INTEGER PRIMARY KEY, valor);
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i<2999)
             INSERT INTO conta SELECT i, 1000, hex(zeroblob(2500)) FROM n; INSERT INTO movimento(valor) VALUES(7);"
        ));
        let stop = AtomicBool::new(false);
        let (moved, dumps) = std::thread::scope(|scope| {
            let (app, stop_it) = (&mut app, &stop);
            let writer = scope.spawn(move || {
                let mut n = 0_u64;
                while !stop_it.load(Ordering::Relaxed) {
                    app.run(&format!(
                        "BEGIN IMMEDIATE; UPDATE conta SET saldo = saldo - 7 WHERE id = {};
                         UPDATE conta SET saldo = saldo + 7 WHERE id = {}; INSERT INTO movimento(valor) VALUES(7); COMMIT;",
                        n * 31 % 3000,
                        n * 17 % 3000
                    ));
                    n += 1;
                }
                n
            });
            // Also when an assertion below fails.
            let stopper = Stopper(&stop);
            let end = Instant::now() + Duration::from_secs(3);
            let (mut dumps, mut last) = (0, 0);
            while Instant::now() < end || dumps < 3 {
                let folder = case.temp.path().join(format!("dump{dumps}"));
                let info = dump_to(&case.db(), &folder).unwrap();
                let restored = case.temp.path().join(format!("new{dumps}.db"));
                load_well(&folder, &restored);
                let new = Connection::open(&restored).unwrap();
                let sum: i64 = new
                    .query_row("SELECT sum(saldo) FROM conta", [], |row| row.get(0))
                    .unwrap();
                assert_eq!(sum, 3_000_000, "{mode}");
                let rows: i64 = new
                    .query_row("SELECT count(*) FROM movimento", [], |row| row.get(0))
                    .unwrap();
                assert_eq!(rows, i64::try_from(info.tables[1].rows).unwrap());
                assert!(rows > last, "{mode}: the writer went on between the dumps");
                last = rows;
                dumps += 1;
            }
            drop(stopper);
            (writer.join().unwrap(), dumps)
        });
        assert!(moved > 20 && dumps >= 3, "{mode}: {moved} moves, {dumps} dumps");
        app.close();
        case.round_trip();
    }
}

/// The folder with the database is exchanged with a link to another one's, as fast as the disk allows.
#[test]
fn a_link_swapped_in_never_gives_rows_of_another_database() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    let mut apps = Vec::new();
    for (dir, text) in [("mine", "MINE"), ("foreign", "FOREIGN")] {
        std::fs::create_dir(root.join(dir)).unwrap();
        let mut app = App::new(&root.join(dir).join("app.db"));
        app.run("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(id INTEGER PRIMARY KEY, v);");
        app.run(&format!(
            "INSERT INTO t(v) VALUES('{text}'); PRAGMA wal_checkpoint; INSERT INTO t(v) VALUES('{text}');"
        ));
        apps.push(app);
    }
    symlink("foreign", root.join("link")).unwrap();
    let stop = AtomicBool::new(false);
    let (dumped, refused) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let (a, b, cwd) = (root.join("mine"), root.join("link"), rustix::fs::CWD);
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(cwd, &a, cwd, &b, rustix::fs::RenameFlags::EXCHANGE).unwrap();
            }
        });
        let stopper = Stopper(&stop);
        let end = Instant::now() + Duration::from_secs(3);
        let (mut dumped, mut refused) = (0_u32, 0_u32);
        while Instant::now() < end {
            let out = root.join(format!("out{dumped}-{refused}"));
            if dump_to(&root.join("mine/app.db"), &out).is_ok() {
                assert_eq!((rows_in(&out, "MINE"), rows_in(&out, "FOREIGN")), (2, 0));
                dumped += 1;
            } else {
                refused += 1;
            }
        }
        drop(stopper);
        (dumped, refused)
    });
    assert!(
        dumped > 0 && refused > 0,
        "the race was run: {dumped} dumped, {refused} refused"
    );
    apps.into_iter().for_each(App::kill);
}

struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_database_in_a_folder_that_only_may_be_read_is_dumped() {
    let name = "dump::sqlite::tests::live::a_database_in_a_folder_that_only_may_be_read_is_dumped";
    testing::as_nobody(name, |work| {
        let states = [
            ("no wal", 1),
            ("closed", 100),
            ("in use", 101),
            ("crashed", 101),
            ("crashed without index", 101),
        ];
        for (state, rows) in states {
            let dir = work.join(state);
            std::fs::create_dir(&dir).unwrap();
            let db = dir.join("app.db");
            let app = database_in_state(&db, state);
            let set_modes = |file: u32, folder: u32| {
                std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).unwrap();
                for entry in std::fs::read_dir(&dir).unwrap() {
                    std::fs::set_permissions(entry.unwrap().path(), PermissionsExt::from_mode(file)).unwrap();
                }
                std::fs::set_permissions(&dir, PermissionsExt::from_mode(folder)).unwrap();
            };
            set_modes(0o444, 0o555);
            let before = files_of(&dir);
            let info = dump_to(&db, &work.join(format!("out {state}"))).unwrap();
            assert_eq!(files_of(&dir), before, "{state}");
            assert_eq!(info.tables[0].rows, rows, "{state}");
            set_modes(0o644, 0o755);
            if let Some(app) = app {
                app.kill();
            }
        }
    });
}

fn database_in_state(db: &Path, state: &str) -> Option<App> {
    if state == "no wal" {
        let mut app = App::new(db);
        app.run("CREATE TABLE t(v); INSERT INTO t VALUES(1);");
        app.close();
        return None;
    }
    let mut app = wal_writer(db);
    match state {
        "in use" => return Some(app),
        "closed" => {
            app.run("ROLLBACK; DELETE FROM t WHERE id = 0;");
            app.close();
        }
        _ => app.kill(),
    }
    if state == "crashed without index" {
        std::fs::remove_file(db.with_extension("db-shm")).unwrap();
    }
    None
}

#[test]
fn root_leaves_no_file_of_its_own_beside_the_applications_database() {
    if !rustix::process::geteuid().is_root() {
        return as_somebody_else();
    }
    let case = Case {
        temp: tempfile::tempdir().unwrap(),
    };
    std::os::unix::fs::chown(case.temp.path(), Some(testing::NOBODY), Some(testing::NOBODY)).unwrap();
    let writer = wal_writer(&case.db());
    for suffix in ["", "-wal", "-shm"] {
        let path = case.temp.path().join(format!("app.db{suffix}"));
        std::os::unix::fs::chown(path, Some(testing::NOBODY), Some(testing::NOBODY)).unwrap();
    }
    case.dump().unwrap();
    let owners: Vec<_> = files_of(case.temp.path())
        .into_iter()
        .map(|(name, _, uid, _)| (name, uid))
        .collect();
    assert!(
        owners.iter().all(|(_, uid)| *uid == testing::NOBODY),
        "{owners:?}"
    );
    writer.kill();
}

/// Where the tests don't run as root: an ordinary user can only meet files of its own.
fn as_somebody_else() {
    let case = Case {
        temp: tempfile::tempdir().unwrap(),
    };
    let writer = wal_writer(&case.db());
    let before = files_of(case.temp.path());
    case.dump().unwrap();
    assert_eq!(files_of(case.temp.path()), before);
    writer.kill();
}
