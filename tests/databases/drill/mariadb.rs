//! Drills and guided restores of MariaDB databases, on a real server.

use serde_json::Value;

use super::tamper::tamper;
use super::{Scrape, fails, is_not_held, nowhere, passes};
use crate::support::App;
use crate::support::mariadb::MariaDb;

const SCHEMA: &str = "SET FOREIGN_KEY_CHECKS = 0;
CREATE TABLE setores(id INT AUTO_INCREMENT PRIMARY KEY, nome VARCHAR(50) NOT NULL, chefe INT, FOREIGN KEY (chefe) REFERENCES pessoas(id));
CREATE TABLE pessoas(id INT PRIMARY KEY, nome TEXT, setor INT, foto BLOB, FOREIGN KEY (setor) REFERENCES setores(id));
CREATE TABLE `nome com espaço/e barra`(`a``b` TEXT);
CREATE TABLE vazia(x INT);
INSERT INTO setores VALUES (1, 'obras', 2), (2, 'saúde', 1);
INSERT INTO pessoas VALUES (1, 'O''Neill \\\\! \\n', 1, X'00ff27'), (2, NULL, 2, NULL), (3, 'três', 1, '');
INSERT INTO `nome com espaço/e barra` VALUES ('\\\\! touch x'), (';');
CREATE VIEW por_setor AS SELECT setor, COUNT(*) AS n FROM pessoas GROUP BY setor;
CREATE TRIGGER marca BEFORE INSERT ON pessoas FOR EACH ROW SET NEW.nome = UPPER(NEW.nome);
CREATE FUNCTION dobro(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
DELIMITER ;;
CREATE PROCEDURE conta() BEGIN SELECT COUNT(*) FROM pessoas; SELECT ';'; END;;
DELIMITER ;
";

/// A server with a database and a role for drills, an application, and a backup of it.
struct Site {
    server: MariaDb,
    app: App,
    record: Value,
}

impl Site {
    fn new() -> Self {
        let server = MariaDb::start();
        server.database("loja");
        server.sql("loja", SCHEMA);
        server.sql(
            "mysql",
            r"CREATE USER drill IDENTIFIED BY 'segredo'; GRANT ALL ON `cofre\_drill\_%`.* TO drill;",
        );
        let app = App::small();
        let site = Self {
            server,
            app,
            record: Value::Null,
        };
        site.configure("drill", "segredo");
        let record = site.app.create();
        Self { record, ..site }
    }

    fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "mysql://{user}:{password}@127.0.0.1:{}/{database}",
            self.server.port
        )
    }

    fn configure(&self, user: &str, password: &str) {
        self.app
            .write("drill.url", self.url(user, password, "mysql").as_bytes());
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(self.app.path("drill.url"), private).unwrap();
        let socket = self.server.socket();
        self.app.config(&format!(
            "[sources.static]\npath = \"static\"\n[databases.loja]\nurl = \"mysql://root@/loja?socket={}\"\n[drill]\nmysql_file = \"drill.url\"\n",
            socket.display()
        ));
    }

    #[track_caller]
    fn is_clean(&self) {
        let left = self.server.sql(
            "mysql",
            "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'cofre%'",
        );
        assert_eq!(left, "", "scratch databases");
    }
}

#[test]
fn a_database_with_keys_in_a_circle_passes_and_each_damage_has_its_reason() {
    let site = Site::new();
    let report = passes(&site.app);
    let database = &report["databases"][0];
    assert_eq!(
        (&database["tables"], &database["rows"]),
        (&4.into(), &7.into()),
        "{report}"
    );
    site.is_clean();
    site.app.cofre(&["-vv", "drill"]).exits(0).never_says("segredo");
    let archive = site.app.archive(&site.record);
    let good = std::fs::read(&archive).unwrap();
    for (reason, words, change) in [
        (
            "file_missing",
            &["pessoas.sql", "table pessoas"][..],
            "del files['database/pessoas.sql']",
        ),
        (
            "file_truncated",
            &["pessoas.sql", "middle of a statement"],
            "files['database/pessoas.sql'] = files['database/pessoas.sql'][:-8]",
        ),
        (
            "rows_differ",
            &["table setores", "1 rows", "had 2"],
            "replace('database/setores.sql', \"(1,'obras',2),\\n\", '')",
        ),
        (
            "tables_differ",
            &["table nova"],
            "append('database/pre-data.sql', 'CREATE TABLE `nova` (x int);\\n')",
        ),
        (
            "load_failed",
            &["the server refused it", "ERROR 1136"],
            "replace('database/setores.sql', \"(1,'obras',2)\", \"(1,'obras')\")",
        ),
        (
            "unexpected_file",
            &["extra.sql"],
            "files['database/extra.sql'] = b''",
        ),
    ] {
        std::fs::write(&archive, &good).unwrap();
        tamper(&site.app, &site.record, change);
        fails(&site.app, reason, words);
        assert_eq!(Scrape::of(&site.app).last_result(), reason, "{change}");
        site.is_clean();
    }
}

#[test]
fn events_that_change_rows_at_once_make_no_difference() {
    let site = Site::new();
    // In the database itself they do nothing; counting so many tables takes longer than the event waits.
    let tables: Vec<String> = (0..60)
        .map(|i| format!("CREATE TABLE z{i:02}(x INT); INSERT INTO z{i:02} VALUES (1);"))
        .collect();
    site.server.sql("loja", &tables.concat());
    site.server.sql(
        "loja",
        "CREATE EVENT limpa ON SCHEDULE EVERY 1 SECOND DO DELETE FROM z59 WHERE DATABASE() <> 'loja';
         SET GLOBAL event_scheduler = ON;",
    );
    site.app.create();
    passes(&site.app);
    site.is_clean();
}

#[test]
fn hostile_archives_reach_nothing() {
    let site = Site::new();
    let archive = site.app.archive(&site.record);
    let good = std::fs::read(&archive).unwrap();
    let evil = site.app.path("evil");
    std::fs::create_dir(&evil).unwrap();
    for path in [site.app.root(), &evil] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    let place = nowhere(&site.app, "mark").display().to_string();
    for (reason, file, sql) in [
        ("hostile_sql", "pre-data.sql", format!("\\! touch {place}\n;")),
        ("hostile_sql", "setores.sql", format!("\\! touch {place}\n;")),
        ("hostile_sql", "post-data.sql", format!("system touch {place}\n;")),
        ("hostile_sql", "post-data.sql", "source /etc/passwd\n;".to_owned()),
        ("hostile_sql", "post-data.sql", format!("tee {place}\n;")),
        (
            "hostile_sql",
            "setores.sql",
            format!("SELECT 1 INTO OUTFILE '{place}';"),
        ),
        (
            "hostile_sql",
            "setores.sql",
            "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE pessoas;".to_owned(),
        ),
        ("hostile_sql", "post-data.sql", "USE loja;".to_owned()),
        ("hostile_sql", "post-data.sql", "DROP DATABASE loja;".to_owned()),
        (
            "hostile_sql",
            "post-data.sql",
            "SET GLOBAL general_log = 1;".to_owned(),
        ),
        (
            "hostile_sql",
            "post-data.sql",
            "SET PASSWORD = PASSWORD('x');".to_owned(),
        ),
        ("hostile_sql", "restore.sql", format!("\\! touch {place}")),
        ("hostile_sql", "restore.sql", "source /etc/passwd".to_owned()),
        // What looks like a dump's, with a command of the client's in it: the client knows none.
        (
            "hostile_sql",
            "pre-data.sql",
            format!("CREATE TABLE `b` (x int) \\! touch {place}\n;"),
        ),
        (
            "hostile_sql",
            "post-data.sql",
            format!("/*!50003 SET @a = 1 */ \\! touch {place}\n;"),
        ),
        // Other databases, by name: the role has no rights there.
        (
            "load_failed",
            "pre-data.sql",
            "CREATE TABLE `loja`.`b` (x int);".to_owned(),
        ),
        (
            "load_failed",
            "post-data.sql",
            "/*!50001 DROP VIEW IF EXISTS `loja`.`por_setor`*/;".to_owned(),
        ),
        (
            "load_failed",
            "pre-data.sql",
            "CREATE TABLE `b` AS SELECT LOAD_FILE('/etc/passwd') INTO OUTFILE '/tmp/x';".to_owned(),
        ),
    ] {
        std::fs::write(&archive, &good).unwrap();
        let literal = serde_json::to_string(&sql).unwrap();
        tamper(
            &site.app,
            &site.record,
            &format!("append('database/{file}', {literal} + '\\n')"),
        );
        let report = site.app.cofre(&["--json", "drill"]).exits(5).json();
        assert_eq!(report["problems"][0]["reason"], reason, "{file}: {sql}: {report}");
        assert_eq!(std::fs::read_dir(&evil).unwrap().count(), 0, "{sql}");
        site.is_clean();
    }
    assert_eq!(site.server.sql("loja", "SELECT COUNT(*) FROM por_setor"), "2\n");
    assert_eq!(site.server.sql("loja", "SHOW TABLES LIKE 'b'"), "");
}

#[test]
fn a_role_with_other_rights_and_a_server_that_is_down_say_nothing_about_the_backup() {
    let mut site = Site::new();
    let config = std::fs::read_to_string(site.app.path("cofre.toml")).unwrap();
    site.app.config(config.split("[drill]").next().unwrap());
    is_not_held(
        &site.app,
        2,
        "not_configured",
        &["not drilled: configure [drill] mysql"],
    );
    site.app.config(&config);
    for (grant, undo, words) in [
        (
            "GRANT FILE ON *.* TO drill",
            "REVOKE FILE ON *.* FROM drill",
            "FILE ON *.*",
        ),
        (
            "GRANT SUPER ON *.* TO drill",
            "REVOKE SUPER ON *.* FROM drill",
            "SUPER ON *.*",
        ),
        (
            "GRANT SELECT ON loja.* TO drill",
            "REVOKE SELECT ON loja.* FROM drill",
            "`loja`.*",
        ),
    ] {
        site.server.sql("mysql", grant);
        let report = is_not_held(&site.app, 2, "role_too_strong", &[words, "CREATE USER drill"]);
        assert!(!report.to_string().contains("PASSWORD '*"), "{report}");
        site.server.sql("mysql", undo);
    }
    passes(&site.app);
    // A right that the role lacks in its scratch database.
    site.server
        .sql("mysql", r"REVOKE TRIGGER ON `cofre\_drill\_%`.* FROM drill");
    is_not_held(&site.app, 10, "not_possible", &["TRIGGER command denied"]);
    site.server
        .sql("mysql", r"GRANT ALL ON `cofre\_drill\_%`.* TO drill");
    site.configure("drill", "errada");
    is_not_held(
        &site.app,
        10,
        "not_possible",
        &["Access denied", "says nothing about the backup"],
    );
    site.configure("drill", "segredo");
    let old = |digits: &str| format!("cofre_drill_1000000000_{}", digits.repeat(16));
    for digits in ["00", "05", "0f", "1a"] {
        site.server.database(&old(digits));
    }
    // Another that can't be removed, since a file of nobody's lies in its folder.
    let stuck = old("0a");
    site.server.database(&stuck);
    let file = site.server.folder().join("data").join(&stuck).join("strange");
    std::fs::write(&file, "").unwrap();
    passes(&site.app);
    let left = site.server.sql("mysql", "SHOW DATABASES LIKE 'cofre%'");
    assert_eq!(left, format!("{stuck}\n"));
    std::fs::remove_file(file).unwrap();
    passes(&site.app);
    site.is_clean();
    // A load that takes longer than it may.
    tamper(
        &site.app,
        &site.record,
        "append('database/pre-data.sql', 'CREATE TABLE `z` AS SELECT SLEEP(1000);\\n')",
    );
    site.app.config(&format!("{config}timeout = \"3s\"\n"));
    is_not_held(
        &site.app,
        10,
        "not_possible",
        &["drill.timeout", "says nothing about the backup"],
    );
    site.is_clean();
    site.app.config(&config);
    site.server.kill();
    is_not_held(&site.app, 10, "not_possible", &["says nothing about the backup"]);
}

#[test]
fn a_database_is_restored_into_an_empty_one_and_replaces_another_only_by_force() {
    let site = Site::new();
    site.server.database("nova");
    site.server.sql(
        "mysql",
        "CREATE USER dono IDENTIFIED BY 'chave'; GRANT ALL ON nova.* TO dono;",
    );
    site.app
        .write("into.url", site.url("dono", "chave", "nova").as_bytes());
    let file = site.app.path("into.url").display().to_string();
    let restore = |more: &[&str]| {
        let mut args = vec![
            "--json",
            "restore",
            "latest",
            "--database",
            "loja",
            "--into-file",
            &file,
        ];
        args.extend_from_slice(more);
        site.app.cofre(&args).never_says("chave")
    };
    let restored = restore(&[]).exits(0).json();
    assert_eq!(
        (&restored["tables"], &restored["rows"]),
        (&4.into(), &7.into()),
        "{restored}"
    );
    let same = "SELECT SHA1(GROUP_CONCAT(CONCAT_WS('|', id, nome, setor, HEX(foto)) ORDER BY id)) FROM pessoas; SELECT dobro(2); \
                SELECT * FROM por_setor ORDER BY setor; SELECT * FROM `nome com espaço/e barra`;";
    assert_eq!(site.server.sql("nova", same), site.server.sql("loja", same));
    site.server
        .sql("nova", "CREATE TABLE extra(x INT); INSERT INTO extra VALUES (1);");
    restore(&[])
        .exits(10)
        .says("extra (")
        .says("view por_setor")
        .says("function dobro")
        .says("--force");
    assert_eq!(site.server.sql("nova", "SELECT COUNT(*) FROM extra"), "1\n");
    // More than the arguments of a program may hold.
    let many: Vec<String> = (0..1500)
        .map(|i| format!("CREATE VIEW v{i:059} AS SELECT 1;"))
        .collect();
    site.server.sql("nova", &many.concat());
    site.server.sql(
        "nova",
        "ALTER DATABASE nova CHARACTER SET latin1 COLLATE latin1_swedish_ci",
    );
    restore(&["--force"]).exits(0);
    assert_eq!(site.server.sql("nova", "SHOW TABLES LIKE 'extra'"), "");
    let characters = "SELECT @@character_set_database, @@collation_database";
    assert_eq!(
        site.server.sql("nova", characters),
        site.server.sql("loja", characters)
    );
    assert_eq!(site.server.sql("nova", same), site.server.sql("loja", same));
    // What can be seen before is seen before anything is removed; the rest is said.
    let archive = site.app.archive(&site.record);
    let good = std::fs::read(&archive).unwrap();
    tamper(
        &site.app,
        &site.record,
        "append('database/pre-data.sql', 'USE loja;\\n')",
    );
    restore(&["--force"]).exits(5).says("no dump of cofre's has");
    assert_eq!(site.server.sql("nova", same), site.server.sql("loja", same));
    std::fs::write(&archive, &good).unwrap();
    tamper(
        &site.app,
        &site.record,
        "replace('database/setores.sql', \"(1,'obras',2)\", \"(1,'obras')\")",
    );
    restore(&["--force"]).exits(5).says("half loaded");
    // More statements than one, where the client program is told of another delimiter.
    std::fs::write(&archive, &good).unwrap();
    let evil = "DELIMITER ;;\\nSET @a = 1; DROP TABLE loja.setores;;\\nDELIMITER ;\\n";
    tamper(
        &site.app,
        &site.record,
        &format!("append('database/post-data.sql', '{evil}')"),
    );
    restore(&["--force"]).exits(5).says("no dump of cofre's has");
    // Nor may the role have rights in other databases.
    site.server.sql("mysql", "GRANT SELECT ON loja.* TO dono");
    restore(&["--force"])
        .exits(10)
        .says("beyond this database")
        .says("`loja`.*")
        .says("--trust-archive");
    site.server.sql("mysql", "REVOKE ALL ON loja.* FROM dono");
    // Root has rights on the whole server.
    let socket = site.server.socket();
    let into = format!("mysql://root@/nova?socket={}", socket.display());
    site.app
        .cofre(&[
            "restore",
            "latest",
            "--database",
            "loja",
            "--into",
            &into,
            "--force",
        ])
        .exits(10)
        .says("--trust-archive");
}
