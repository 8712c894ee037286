//! MariaDB: a real server, dumped while others write, loaded again with its own client, compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::mariadb::MariaDb;
use crate::support::{App, Run, spawn};

mod bad;
mod meddling;
mod secrets;

/// Tables, triggers, routines and values of every kind, and the load.
const SCHEMA: &str = include_str!("mariadb.sql");

/// A password with every character that has a meaning in a URL, an option file or a shell, and as it stands in a URL.
const PASSWORD: &str = r##"Zx@:/#% "q'\$(a)é"##;
const PASSWORD_IN_URL: &str = "Zx%40%3A%2F%23%25%20%22q%27%5C%24%28a%29%C3%A9";

/// What the manual tells an administrator to grant to the user of the backup.
const GRANTS: &str = "SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE";

/// The server that all tests share which don't break it.
fn server() -> &'static MariaDb {
    static SERVER: OnceLock<MariaDb> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = MariaDb::start();
        server.sql(
            "mysql",
            &format!("CREATE USER backup@'%' IDENTIFIED BY {}", quoted(PASSWORD)),
        );
        server.sql("mysql", "GRANT SELECT ON mysql.proc TO backup@'%'");
        server
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Makes a database that the user of the backup may read.
fn database(server: &MariaDb, name: &str) {
    server.database(name);
    server.sql(
        "mysql",
        &format!("GRANT {GRANTS} ON `{}`.* TO backup@'%'", name.replace('_', "\\_")),
    );
}

fn url(server: &MariaDb, database: &str) -> String {
    format!(
        "mysql://backup:{PASSWORD_IN_URL}@127.0.0.1:{}/{database}",
        server.port
    )
}

/// An application folder that backs up one database.
fn app(url: &str) -> App {
    app_with(url, "", "")
}

/// The same with further keys of the database and of the top.
fn app_with(url: &str, keys: &str, top: &str) -> App {
    let app = App::new();
    app.write("db.url", url.as_bytes());
    private(&app.path("db.url"));
    app.config(&format!(
        "{top}\n[databases.app]\nurl_file = \"db.url\"\n{keys}\n"
    ));
    app
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("chmod");
}

/// Backs up, and restores into a folder: that of the dump.
#[track_caller]
fn dumped(app: &App) -> PathBuf {
    app.create();
    app.assert_no_leftovers();
    app.restore("latest", "back").join("database")
}

/// Loads a dump into a new database as a user who has rights on nothing else.
#[track_caller]
fn load(server: &MariaDb, dump: &Path, database: &str) {
    server.database(database);
    server.sql(
        "mysql",
        &format!("CREATE USER IF NOT EXISTS loader@'%' IDENTIFIED BY 'l'; GRANT ALL ON `{database}`.* TO loader@'%'"),
    );
    load_again(server, dump, database).exits(0);
}

fn load_again(server: &MariaDb, dump: &Path, database: &str) -> Run {
    let script = std::fs::read_to_string(dump.join("restore.sql")).expect("restore.sql");
    let port = format!("--port={}", server.port);
    let arguments = [
        "--host=127.0.0.1",
        &port,
        "--user=loader",
        "--password=l",
        "--protocol=tcp",
    ];
    let arguments = [&arguments[..], &["--abort-source-on-error", database]].concat();
    server.client_in(dump, &arguments, Some(&script))
}

/// The files of a dump, without who made what.
fn files(dump: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(dump).expect("the dump");
    let text = |path: PathBuf| {
        let text = std::fs::read_to_string(path).expect("a file of the dump");
        let lines = text.lines().filter(|line| !line.starts_with("-- DEFINER="));
        lines.collect::<Vec<_>>().join("\n")
    };
    entries
        .map(|entry| entry.expect("an entry"))
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                text(entry.path()),
            )
        })
        .collect()
}

#[track_caller]
fn assert_same(a: &BTreeMap<String, String>, b: &BTreeMap<String, String>) {
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(a), names(b));
    for (name, text) in a {
        for (i, (a, b)) in text.lines().zip(b[name].lines()).enumerate() {
            let short = |line: &str| line.chars().take(300).collect::<String>();
            assert!(a == b, "line {} of {name}:\n{}\n{}", i + 1, short(a), short(b));
        }
        assert_eq!(text.lines().count(), b[name].lines().count(), "lines of {name}");
    }
}

/// What the server's own program says of a database, without its name and the users.
fn own_dump(server: &MariaDb, database: &str) -> String {
    let mut command = server.command("mariadb-dump");
    command.args([
        "--single-transaction",
        "--hex-blob",
        "--routines",
        "--events",
        "--skip-dump-date",
        "--skip-comments",
    ]);
    let run = crate::support::run(command.args(["--dump-history", database])).exits(0);
    let clean = |line: &str| {
        let line = line.replace(&format!("`{database}`"), "`db`");
        let line = line
            .replace("`root`@`localhost`", "`user`")
            .replace("`loader`@`%`", "`user`");
        line.replace("\"root\"@\"localhost\"", "`user`")
            .replace("\"loader\"@\"%\"", "`user`")
    };
    run.stdout.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// Clients that write until this value goes.
struct Load(Vec<Child>);

impl Load {
    fn start(server: &MariaDb, database: &str) -> Self {
        let start = || {
            spawn(
                server
                    .command("mariadb")
                    .args([database, "--execute=CALL work(100000000)"]),
            )
        };
        let load = Self(vec![start(), start()]);
        let before = moves(server, database);
        let deadline = Instant::now() + Duration::from_secs(60);
        while moves(server, database) < before + 100 {
            assert!(Instant::now() < deadline, "the load does not write");
            std::thread::sleep(Duration::from_millis(20));
        }
        load
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn moves(server: &MariaDb, database: &str) -> u64 {
    number(server, database, "SELECT COUNT(*) FROM ledger")
}

#[track_caller]
fn number(server: &MariaDb, database: &str, query: &str) -> u64 {
    let answer = server.sql(database, query);
    answer
        .trim()
        .parse()
        .unwrap_or_else(|error| panic!("{query}: {answer}: {error}"))
}

#[test]
fn a_database_under_load_comes_back_as_it_was_at_one_moment() {
    let server = server();
    database(server, "shop");
    server.sql("shop", SCHEMA);
    let load_while = Load::start(server, "shop");
    let first = app(&url(server, "shop"));
    let before = moves(server, "shop");
    let dump = dumped(&first);
    let after = moves(server, "shop");
    drop(load_while);

    load(server, &dump, "shop_back");
    let there = moves(server, "shop_back");
    assert!(
        before <= there && there < after,
        "{before} <= {there} < {after}: others wrote while the dump was made"
    );
    assert_eq!(number(server, "shop_back", "SELECT broken_promises()"), 0);
    assert_eq!(
        server
            .sql("shop_back", "CALL `odd ``name`()")
            .matches("CREATE DEFINER=`x`@`y`")
            .count(),
        2
    );
    // It lives on: keys are numbered further, triggers fire, the sequence is its own.
    server.sql(
        "shop_back",
        "CALL work(10); INSERT INTO orders (total) VALUES (1)",
    );
    assert_eq!(number(server, "shop_back", "SELECT broken_promises()"), 0);
    assert_eq!(
        number(
            server,
            "shop_back",
            "SELECT COUNT(*) FROM ledger WHERE note NOT LIKE 'moved%;;'"
        ),
        0
    );
    let own = "SELECT (SELECT MAX(id) FROM orders) > (SELECT MAX(id) FROM shop.orders) AND LASTVAL(`order numbers`) IS NULL";
    assert_eq!(number(server, "shop_back", own), 1);

    // What it was loaded from is what it is dumped to.
    server.sql("mysql", "DROP DATABASE shop_back");
    load(server, &dump, "shop_copy");
    server.sql("mysql", &format!("GRANT {GRANTS} ON shop_copy.* TO backup@'%'"));
    let second = app(&url(server, "shop_copy"));
    let again = dumped(&second);
    assert_same(&files(&dump), &files(&again));
}

#[test]
fn a_quiet_database_and_its_copy_are_the_same_to_the_servers_own_program() {
    let server = server();
    database(server, "quiet");
    server.sql("quiet", SCHEMA);
    server.sql("quiet", "CALL work(200)");
    let app = app(&url(server, "quiet"));
    let dump = dumped(&app);
    load(server, &dump, "quiet_copy");
    let (a, b) = (own_dump(server, "quiet"), own_dump(server, "quiet_copy"));
    for (a, b) in a.lines().zip(b.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(a.len(), b.len());

    let manifest = app.manifest(&app.history().pop().expect("a row"));
    let info = &manifest["databases"][0];
    assert_eq!(info["engine"], "mysql");
    assert!(
        info["version"].as_str().is_some_and(|v| v.contains("MariaDB")),
        "{info}"
    );
    let tables = info["tables"].as_array().expect("tables");
    let expected = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
                    AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')";
    assert_eq!(tables.len() as u64, number(server, "quiet", expected));
    for table in tables {
        let name = table["name"].as_str().expect("a name").replace('`', "``");
        let all = if name == "history" {
            " FOR SYSTEM_TIME ALL"
        } else {
            ""
        };
        let rows = number(server, "quiet", &format!("SELECT COUNT(*) FROM `{name}`{all}"));
        assert_eq!(table["rows"], rows, "rows of {name}");
        let file = table["file"].as_str().expect("a file");
        assert!(dump.join(file).is_file(), "{file}");
    }
    assert_eq!(files(&dump).len(), tables.len() + 3);
}

#[test]
fn what_the_dump_can_not_keep_is_said() {
    let server = server();
    database(server, "said");
    server.sql(
        "said",
        "CREATE TABLE loose (id INT) ENGINE = MyISAM; CREATE TABLE inexact (f FLOAT); CREATE TABLE hollow (id INT)",
    );
    let run = app(&url(server, "said")).cofre(&["-v", "create"]).exits(0);
    run.says("without transactions")
        .says(": loose")
        .says("6 digits")
        .says(": inexact")
        .says("tables without rows: hollow, inexact, loose")
        .says("3 tables with 0 rows");
}

#[test]
fn a_load_ends_at_the_first_error() {
    let server = server();
    database(server, "ends");
    server.sql(
        "ends",
        "CREATE TABLE a (id INT); CREATE TABLE b (id INT); INSERT INTO b VALUES (1)",
    );
    let app = app(&url(server, "ends"));
    let dump = dumped(&app);
    let file = dump.join("a.sql");
    let text = std::fs::read_to_string(&file).expect("a.sql");
    std::fs::write(
        &file,
        format!("{text}INSERT INTO a VALUES (1), (2);\nINSERT INTO nothing VALUES (1);\n"),
    )
    .expect("a.sql");
    server.database("ends_copy");
    server.sql(
        "mysql",
        "CREATE USER IF NOT EXISTS loader@'%' IDENTIFIED BY 'l'; GRANT ALL ON ends_copy.* TO loader@'%'",
    );
    load_again(server, &dump, "ends_copy").exits(1).says("nothing");
    assert_eq!(
        number(
            server,
            "ends_copy",
            "SELECT (SELECT COUNT(*) FROM a) + (SELECT COUNT(*) FROM b)"
        ),
        0
    );
}

#[test]
fn rows_of_excluded_tables_stay_behind_and_their_tables_come() {
    let server = server();
    database(server, "some");
    server.sql(
        "some",
        "CREATE TABLE kept (id INT); CREATE TABLE `log.1` (id INT); CREATE TABLE log_2 (id INT);
         INSERT INTO kept VALUES (1); INSERT INTO `log.1` VALUES (1), (2); INSERT INTO log_2 VALUES (3)",
    );
    let app = app_with(&url(server, "some"), "exclude_tables = [\"log*\"]", "");
    let dump = dumped(&app);
    assert_eq!(files(&dump).len(), 4);
    load(server, &dump, "some_copy");
    let counts = "SELECT CONCAT((SELECT COUNT(*) FROM kept), (SELECT COUNT(*) FROM `log.1`), (SELECT COUNT(*) FROM log_2))";
    assert_eq!(server.sql("some_copy", counts).trim(), "100");
}

#[test]
fn rows_to_which_others_refer_can_not_be_left_out() {
    let server = server();
    database(server, "keys");
    server.sql(
        "keys",
        "CREATE TABLE parent (id INT PRIMARY KEY); INSERT INTO parent VALUES (1);
         CREATE TABLE child (id INT, CONSTRAINT of_parent FOREIGN KEY (id) REFERENCES parent (id)); INSERT INTO child VALUES (1)",
    );
    let run = app_with(&url(server, "keys"), "exclude_tables = [\"parent\"]", "").cofre(&["create"]);
    run.exits(2)
        .says("of_parent (child refers to parent)")
        .says("rows of both");
    let both = app_with(
        &url(server, "keys"),
        "exclude_tables = [\"parent\", \"child\"]",
        "",
    );
    assert_eq!(files(&dumped(&both)).len(), 3);
    let one = app_with(&url(server, "keys"), "exclude_tables = [\"child\"]", "");
    assert_eq!(files(&dumped(&one)).len(), 4);
}

#[test]
fn the_socket_serves_as_well_as_the_port() {
    let server = server();
    database(server, "by_socket");
    server.sql("by_socket", "CREATE TABLE t (id INT); INSERT INTO t VALUES (1)");
    let socket = server.socket().display().to_string();
    let app = app(&format!(
        "mysql://backup:{PASSWORD_IN_URL}@localhost/by_socket?socket={socket}"
    ));
    assert!(dumped(&app).join("t.sql").is_file());
}
