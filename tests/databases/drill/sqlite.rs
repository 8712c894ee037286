//! Drills of SQLite databases.

use super::tamper::{flip, tamper};
use super::{Scrape, fails, is_not_held, nowhere, passes, sqlite};
use crate::support::{App, cofre_binary, is_root, run, tool};

const SCHEMA: &str = "PRAGMA user_version = 7;
CREATE TABLE setores(id INTEGER PRIMARY KEY AUTOINCREMENT, nome TEXT NOT NULL UNIQUE);
CREATE TABLE relatorios(id INTEGER PRIMARY KEY, setor INTEGER REFERENCES setores(id), texto TEXT, foto BLOB);
CREATE VIRTUAL TABLE busca USING fts5(texto);
INSERT INTO setores(nome) VALUES('obras'),('saúde');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 500)
  INSERT INTO relatorios SELECT i, 1 + i % 2, 'linha ' || i || char(13,10), randomblob(20) FROM n;
INSERT INTO busca SELECT texto FROM relatorios;
CREATE INDEX por_setor ON relatorios(setor);
CREATE VIEW totais AS SELECT setor, count(*) AS quantos FROM relatorios GROUP BY setor;
CREATE TRIGGER apaga AFTER DELETE ON setores BEGIN DELETE FROM relatorios WHERE setor = old.id; END;";

/// An application with a database, and a backup of it.
fn app() -> (App, serde_json::Value) {
    let app = App::small();
    sqlite(&app.path("app.db"), SCHEMA);
    app.config("[sources.static]\npath = \"static\"\n[databases.app]\nurl = \"sqlite:app.db\"\n");
    let record = app.create();
    (app, record)
}

#[test]
fn a_good_backup_passes_and_is_recorded() {
    let (app, record) = app();
    let report = passes(&app);
    assert_eq!(report["backup"]["id"], record["id"], "{report}");
    let database = &report["databases"][0];
    assert_eq!(database["status"], "loaded", "{report}");
    assert_eq!(database["name"], "app", "{report}");
    // setores, relatorios, busca, sqlite_sequence.
    assert_eq!(database["tables"], 4, "{report}");
    assert_eq!(database["rows"], 2 + 500 + 500 + 1, "{report}");
    assert_eq!(report["manifest"], true, "{report}");
    assert!(report["files"].as_u64().unwrap() >= 7, "{report}");
    assert!(report["duration_seconds"].is_f64(), "{report}");
    app.cofre(&["drill", "1"])
        .exits(0)
        .says("passed")
        .says("4 tables");
    app.cofre(&["show", "latest"])
        .exits(0)
        .says("drilled")
        .says("passed");
    let scrape = Scrape::of(&app);
    assert_eq!((scrape.last_result(), scrape.failures()), ("passed", 0.0));
}

#[test]
fn each_kind_of_damage_has_its_own_message_and_metric() {
    for (reason, words, change) in [
        (
            "file_missing",
            &["relatorios.sql", "table relatorios"][..],
            "del files['database/relatorios.sql']",
        ),
        (
            "file_truncated",
            &["relatorios.sql", "middle of a statement"],
            "files['database/relatorios.sql'] = files['database/relatorios.sql'][:5000]",
        ),
        (
            "rows_differ",
            &["table setores", "1 rows", "had 2"],
            "replace('database/setores.sql', \"(1,'obras'),\\n\", '')",
        ),
        (
            "tables_differ",
            &["table extra"],
            "append('database/schema.sql', 'CREATE TABLE extra(x);\\n')",
        ),
        (
            "unexpected_file",
            &["surpresa.sql"],
            "files['database/surpresa.sql'] = b'SELECT 1;'",
        ),
        (
            "load_failed",
            &["setores.sql"],
            "replace('database/setores.sql', 'obras', \"obras', 'x\")",
        ),
        (
            "unexpected_file",
            &["outro"],
            "files['database/outro/a.sql'] = b'SELECT 1;'; files['database/outro/'] = b''",
        ),
    ] {
        let (app, record) = app();
        tamper(&app, &record, change);
        fails(&app, reason, words);
        let scrape = Scrape::of(&app);
        assert_eq!(
            (scrape.last_result(), scrape.failures()),
            (reason, 1.0),
            "{change}"
        );
    }
}

#[test]
fn an_archive_that_was_flipped_or_is_gone_is_found_before_anything_is_loaded() {
    let (app, record) = app();
    flip(&app, &record);
    let report = fails(&app, "archive_damaged", &[]);
    assert_eq!(report["databases"], serde_json::json!([]), "{report}");
    assert_eq!(Scrape::of(&app).last_result(), "archive_damaged");
    std::fs::remove_file(app.archive(&record)).unwrap();
    fails(&app, "archive_missing", &[]);
    let scrape = Scrape::of(&app);
    assert_eq!(
        (scrape.last_result(), scrape.failures()),
        ("archive_missing", 2.0)
    );
    // A good one afterwards counts.
    app.create();
    passes(&app);
    let scrape = Scrape::of(&app);
    assert_eq!((scrape.last_result(), scrape.failures()), ("passed", 2.0));
}

#[test]
fn a_table_file_that_the_manifest_has_and_the_archive_does_not_is_damage_of_the_archive() {
    let (app, record) = app();
    // Without its row being taken out: what the component compares.
    tamper_without_rows(&app, &record);
    app.cofre(&["drill"])
        .exits(5)
        .says("archive_damaged")
        .says("relatorios.sql");
}

/// Deletes a table's file from the zip, with a right checksum, and leaves the manifest as it was.
fn tamper_without_rows(app: &App, record: &serde_json::Value) {
    let archive = app.archive(record);
    let script = "import zipfile,sys,hashlib,json,os\na=sys.argv[1]\nz=zipfile.ZipFile(a)\n\
                  o=zipfile.ZipFile(a+'.new','w',zipfile.ZIP_DEFLATED)\n\
                  [o.writestr(i,z.read(i)) for i in z.infolist() if i.filename!='database/relatorios.sql']\no.close()\n\
                  os.replace(a+'.new',a)\nd=open(a,'rb').read()\nh=hashlib.sha256(d).hexdigest()\nn=os.path.basename(a)\n\
                  open(a+'.sha256','w').write(h+'  '+n+'\\n')\np=os.path.join(os.path.dirname(a),'backup_history.json')\n\
                  c=json.load(open(p))\nc[-1].update(sha256=h,size=len(d))\njson.dump(c,open(p,'w'))";
    let mut python = std::process::Command::new(crate::support::tool("python3"));
    crate::support::run(python.arg("-c").arg(script).arg(&archive)).exits(0);
}

#[test]
fn hostile_sql_is_refused_and_reaches_nothing() {
    let evil = "/evil/";
    for (file, sql, words) in [
        (
            "setores.sql",
            "ATTACH 'PLACE/other.db' AS o; CREATE TABLE o.x(y);",
            "attaches",
        ),
        ("schema.sql", "ATTACH 'PLACE/other.db' AS o;", "attaches"),
        (
            "schema.sql",
            "SELECT load_extension('PLACE/evil.so');",
            "load_extension",
        ),
        (
            "schema.sql",
            "CREATE VIEW v AS SELECT load_extension('PLACE/evil.so'); SELECT * FROM v;",
            "load_extension",
        ),
        (
            "setores.sql",
            "PRAGMA writable_schema = ON;",
            "PRAGMA writable_schema",
        ),
        ("restore.sql", ".shell touch PLACE/shell", "did not write"),
        ("restore.sql", ".system touch PLACE/shell", "did not write"),
        ("restore.sql", ".output PLACE/out", "did not write"),
        ("restore.sql", ".read '|touch PLACE/pipe'", "did not write"),
    ] {
        let (app, record) = app();
        std::fs::create_dir(app.path("evil")).unwrap();
        let place = nowhere(&app, "");
        let sql = sql.replace("PLACE", place.to_str().unwrap().trim_end_matches('/'));
        assert!(sql.contains(evil) || sql.contains("PRAGMA"));
        tamper(
            &app,
            &record,
            &format!("append('database/{file}', {sql:?} + '\\n')"),
        );
        fails(&app, "hostile_sql", &[file, words]);
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0, "{sql}");
        assert_eq!(Scrape::of(&app).last_result(), "hostile_sql");
        // The guided restore uses the same loader.
        let into = format!("sqlite:{}", app.path("new.db").display());
        app.cofre(&["restore", "latest", "--database", "app", "--into", &into])
            .exits(5)
            .says(words);
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0, "{sql}");
        assert!(!app.path("new.db").exists());
    }
}

#[test]
fn commands_of_the_shell_in_a_table_file_are_wrong_sql_and_nothing_else() {
    let (app, record) = app();
    std::fs::create_dir(app.path("evil")).unwrap();
    let change = format!(
        "append('database/setores.sql', '.shell touch {}\\n;\\n')",
        nowhere(&app, "shell").display()
    );
    tamper(&app, &record, &change);
    fails(&app, "load_failed", &["setores.sql"]);
    assert!(!nowhere(&app, "shell").exists());
}

#[test]
fn several_databases_are_drilled_each() {
    let app = App::small();
    sqlite(&app.path("um.db"), "CREATE TABLE a(x); INSERT INTO a VALUES(1);");
    sqlite(
        &app.path("dois.db"),
        "CREATE TABLE b(x); INSERT INTO b VALUES(1),(2);",
    );
    app.config(
        "[sources.static]\npath = \"static\"\n[databases.um]\nurl = \"sqlite:um.db\"\n[databases.dois]\nurl = \"sqlite:dois.db\"\n",
    );
    let record = app.create();
    let report = passes(&app);
    let rows: Vec<_> = report["databases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| &d["rows"])
        .collect();
    assert_eq!(rows.len(), 2);
    tamper(&app, &record, "replace('database/dois/b.sql', '(1,1),\\n', '')");
    let report = fails(&app, "rows_differ", &["database dois", "table b"]);
    let status = |name: &str| {
        let all = report["databases"].as_array().unwrap();
        all.iter().find(|d| d["name"] == name).unwrap()["status"].clone()
    };
    assert_eq!((status("um"), status("dois")), ("loaded".into(), "failed".into()));
    tamper(
        &app,
        &record,
        "files['database/tres/'] = b''; files['database/tres/a.sql'] = b'SELECT 1;'",
    );
    fails(&app, "unexpected_file", &["database/tres"]);
}

#[test]
fn what_is_not_there_has_the_usual_codes() {
    let (app, _) = app();
    app.cofre(&["drill", "99"]).exits(4);
    app.config("[sources.static]\npath = \"nada\"\n");
    app.cofre(&["create"]).exits(10);
    app.cofre(&["drill", "2"]).exits(4).says("has no archive");
    // The newest backup, not the newest run.
    app.cofre(&["drill"]).exits(0);
}

#[test]
fn a_manifest_of_an_unknown_engine_is_not_drilled() {
    let (app, record) = app();
    tamper(&app, &record, "manifest['databases'][0]['engine'] = 'oracle'");
    is_not_held(&app, 10, "not_possible", &["oracle"]);
}

#[test]
fn a_failure_is_told_by_webhook() {
    let (app, record) = app();
    // Nobody listens: what waits can be listed.
    app.config(
        "[sources.static]\npath = \"static\"\n[databases.app]\nurl = \"sqlite:app.db\"\n[[webhooks]]\nname = \"painel\"\n\
         url = \"http://127.0.0.1:9/\"\nevents = [\"drill_failed\"]\n",
    );
    passes(&app);
    let waiting = || app.json(&["webhook", "list"]);
    let before = waiting();
    flip(&app, &record);
    fails(&app, "archive_damaged", &[]);
    assert_ne!(waiting(), before, "one waits");
    let outbox = crate::support::listing(&app.path(".cofre"));
    assert!(outbox.contains("outbox"), "{outbox}");
}

#[test]
fn a_disk_that_is_too_small_is_said_before_anything_is_restored() {
    let (app, _) = app();
    // 64 MiB stay free: the state folder lies on a file system of 32 MiB.
    std::fs::create_dir(app.path("small")).unwrap();
    let config = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    app.config(&format!("state_dir = \"small\"\n{config}"));
    let script = "mount -t tmpfs -o size=32m,mode=0700 tmpfs \"$1/small\" || exit 99; \"$2\" --config \"$1/cofre.toml\" drill";
    let mut command = std::process::Command::new(tool("unshare"));
    command.arg("--mount");
    if !is_root() {
        command.arg("--map-root-user");
    }
    command
        .args(["sh", "-c", script, "sh"])
        .arg(app.root())
        .arg(cofre_binary())
        .env_remove("COFRE_CONFIG");
    run(&mut command).exits(7).says("are free");
}
