//! SQLite: what is in the database of an application that runs comes back through a plain `sqlite3`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::support::{App, run, tool};

/// An application whose only content is `app.db`, made by SQL.
fn app(sql: &str) -> App {
    let app = App::new();
    app.config("[databases.app]\nurl = \"sqlite:app.db\"\n");
    ask(&app.path("app.db"), sql);
    app
}

/// What SQLite's own shell says.
#[track_caller]
fn ask(database: &Path, sql: &str) -> String {
    let mut shell = Command::new(tool("sqlite3"));
    run(shell.args(["-batch", "-bail"]).arg(database).arg(sql))
        .exits(0)
        .stdout
}

/// A backup, restored and loaded as the manual says, by a shell that insists on foreign keys; the new database.
fn comes_back(app: &App) -> std::path::PathBuf {
    app.create();
    app.cofre(&["verify"]).exits(0);
    let folder = app.restore("latest", "restored").join("database");
    tool("sqlite3");
    let load = [
        "-c",
        "exec sqlite3 -cmd 'PRAGMA foreign_keys = ON' new.db < restore.sql",
    ];
    run(Command::new(tool("sh")).current_dir(&folder).args(load)).exits(0);
    app.cofre(&["drill"]).exits(0).says("passed");
    folder.join("new.db")
}

/// A shell that keeps a database open.
struct Writer {
    shell: Child,
    stdin: ChildStdin,
}

impl Writer {
    /// Runs SQL and waits until it is done.
    fn start(database: &Path, sql: &str) -> Self {
        let mut shell = Command::new(tool("sqlite3"))
            .args(["-batch", "-bail"])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = shell.stdin.take().unwrap();
        writeln!(stdin, "{sql}\n.print done").unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let done = lines.find(|line| line.as_ref().is_ok_and(|line| line == "done"));
        assert!(done.is_some(), "the shell ended early");
        Self { shell, stdin }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(writeln!(self.stdin, ".quit"));
        drop(self.shell.wait());
    }
}

#[test]
fn rows_that_are_only_in_the_wal_are_saved_and_uncommitted_ones_are_not() {
    let app = app(
        "PRAGMA journal_mode = WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES(0, 'antigo');",
    );
    let _writer = Writer::start(
        &app.path("app.db"),
        "PRAGMA wal_autocheckpoint = 0;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t(v) SELECT 'confirmado ' || i FROM n;
         BEGIN IMMEDIATE; INSERT INTO t(v) VALUES('NAO_CONFIRMADO'), ('NAO_CONFIRMADO');",
    );
    let files = || ["app.db", "app.db-wal", "app.db-shm"].map(|name| std::fs::read(app.path(name)).unwrap());
    let before = files();
    assert!(before[1].len() > 4_096, "the rows are in the log");
    let new = comes_back(&app);
    assert_eq!(
        ask(&new, "SELECT count(*), sum(v LIKE 'confirmado %') FROM t"),
        "101|100\n"
    );
    // Nothing was written back, by whoever has it open or by cofre.
    assert!(files() == before, "the files of the database are as they were");
}

#[test]
fn generated_columns_are_computed_again() {
    let app = app(
        "CREATE TABLE pedidos(id INTEGER PRIMARY KEY, total REAL GENERATED ALWAYS AS (qtd * preco) STORED, qtd INT, preco REAL,
             rotulo TEXT AS ('pedido ' || id) VIRTUAL, nota TEXT DEFAULT 'sem');
         CREATE INDEX i_total ON pedidos(total);
         CREATE UNIQUE INDEX u_rotulo ON pedidos(rotulo);
         INSERT INTO pedidos(qtd, preco, nota) VALUES(2, 9.5, 'O''Brien'), (3, 0.1, NULL), (0, 1e300, '');
         CREATE TABLE so_gerada(a INT, b INT AS (a + 1));
         INSERT INTO so_gerada(a) VALUES(41);",
    );
    let new = comes_back(&app);
    assert_eq!(
        ask(
            &new,
            "SELECT *, quote(nota) FROM pedidos; SELECT * FROM so_gerada"
        ),
        "1|19.0|2|9.5|pedido 1|O'Brien|'O''Brien'\n2|0.3|3|0.1|pedido 2||NULL\n3|0.0|0|1.0e+300|pedido 3||''\n41|42\n"
    );
    for table in ["pedidos", "so_gerada"] {
        let columns = format!("SELECT * FROM pragma_table_xinfo('{table}')");
        assert_eq!(ask(&new, &columns), ask(&app.path("app.db"), &columns));
    }
}

#[test]
fn full_text_finds_what_it_found() {
    let app = app(
        "CREATE TABLE cao(id INTEGER PRIMARY KEY, nome TEXT);
         INSERT INTO cao VALUES(1, 'Cleo'), (2, 'Panqueca');
         CREATE VIRTUAL TABLE f1 USING fts5(corpo, tokenize = 'unicode61 remove_diacritics 2');
         INSERT INTO f1 VALUES('ação direta'), ('outra linha');
         CREATE VIRTUAL TABLE f2 USING fts5(nome, content = 'cao', content_rowid = 'id');
         INSERT INTO f2(f2) VALUES('rebuild');
         CREATE VIRTUAL TABLE f3 USING fts5(x, content = '');
         INSERT INTO f3(rowid, x) VALUES(7, 'sem conteudo');
         CREATE VIRTUAL TABLE voc USING fts5vocab(f1, 'row');
         CREATE VIRTUAL TABLE caixa USING rtree(id, x0, x1);
         INSERT INTO caixa VALUES(1, 0, 9);
         CREATE TRIGGER cao_ai AFTER INSERT ON cao BEGIN INSERT INTO f2(rowid, nome) VALUES(new.id, new.nome); END;",
    );
    let new = comes_back(&app);
    for (sql, expected) in [
        ("SELECT corpo FROM f1 WHERE f1 MATCH 'acao'", "ação direta\n"),
        ("SELECT rowid FROM f2 WHERE f2 MATCH 'cleo'", "1\n"),
        ("SELECT rowid FROM f3 WHERE f3 MATCH 'conteudo'", "7\n"),
        ("SELECT count(*) FROM voc", "4\n"),
        ("SELECT id FROM caixa WHERE x1 > 5", "1\n"),
        // The trigger did not fire while the rows were loaded, and does now.
        (
            "INSERT INTO cao VALUES(3, 'Rex'); SELECT rowid FROM f2 WHERE f2 MATCH 'rex'",
            "3\n",
        ),
        ("PRAGMA integrity_check", "ok\n"),
    ] {
        assert_eq!(ask(&new, sql), expected, "{sql}");
    }
    let manifest = app.manifest(&app.history()[0]);
    let mut tables: Vec<_> = manifest["databases"][0]["tables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    tables.sort_unstable();
    assert_eq!(
        tables,
        ["caixa", "cao", "f1", "f2", "f3", "voc"],
        "no table of a module's own"
    );
}

#[test]
fn order_triggers_and_counters_are_no_matter() {
    let app = app(
        "PRAGMA encoding = 'UTF-16le'; PRAGMA user_version = 42; PRAGMA application_id = 1234;
         CREATE TABLE a_filho(id INTEGER PRIMARY KEY, pai INT NOT NULL REFERENCES z_pai(id));
         CREATE TABLE z_pai(id INTEGER PRIMARY KEY, favorito INT REFERENCES a_filho(id) DEFERRABLE INITIALLY DEFERRED);
         PRAGMA foreign_keys = ON; BEGIN; INSERT INTO z_pai VALUES(1, 10); INSERT INTO a_filho VALUES(10, 1); COMMIT;
         CREATE TABLE seq(id INTEGER PRIMARY KEY AUTOINCREMENT, v);
         INSERT INTO seq VALUES(1000, 'x'); DELETE FROM seq; INSERT INTO seq(v) VALUES('ação');
         CREATE TABLE wr(k TEXT, j INT, v BLOB, PRIMARY KEY(k, j)) WITHOUT ROWID; INSERT INTO wr VALUES('b', 2, x'00'), ('a', 1, NULL);
         CREATE TABLE estrita(i INTEGER, a ANY) STRICT; INSERT INTO estrita VALUES(1, '1'), (2, 2);
         CREATE TABLE conta(id INTEGER PRIMARY KEY, saldo INT); CREATE TABLE auditoria(q TEXT);
         INSERT INTO conta VALUES(1, 100), (2, 50); INSERT INTO auditoria VALUES('uma linha só');
         CREATE TRIGGER t_aud AFTER INSERT ON conta BEGIN INSERT INTO auditoria VALUES('gatilho; ' || new.id); END;
         CREATE TRIGGER t_neg BEFORE INSERT ON conta WHEN new.saldo < 60 BEGIN SELECT RAISE(ABORT, 'saldo baixo'); END;
         CREATE VIEW a_v2 AS SELECT * FROM z_v1; CREATE VIEW z_v1 AS SELECT id, saldo * 2 AS dobro FROM conta;
         CREATE INDEX i_parcial ON conta(abs(saldo)) WHERE saldo > 0; CREATE TABLE \"sem linhas\"(x); ANALYZE;",
    );
    let new = comes_back(&app);
    let names = "SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2";
    assert_eq!(ask(&new, names), ask(&app.path("app.db"), names));
    for (sql, expected) in [
        ("PRAGMA foreign_key_check", ""),
        ("SELECT * FROM auditoria", "uma linha só\n"),
        ("SELECT count(*) FROM conta", "2\n"),
        ("SELECT k, j, quote(v) FROM wr", "a|1|NULL\nb|2|X'00'\n"),
        ("SELECT i, typeof(a) FROM estrita", "1|text\n2|integer\n"),
        ("SELECT id, v FROM seq", "1001|ação\n"),
        ("INSERT INTO seq(v) VALUES('n') RETURNING id", "1002\n"),
        ("SELECT * FROM a_v2", "1|200\n2|100\n"),
        ("PRAGMA encoding", "UTF-16le\n"),
        ("PRAGMA user_version", "42\n"),
        ("PRAGMA application_id", "1234\n"),
    ] {
        assert_eq!(ask(&new, sql), expected, "{sql}");
    }
}
