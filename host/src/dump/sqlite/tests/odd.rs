//! One odd schema or value after the other.

use super::*;
use crate::dump::file_name;

#[test]
fn an_ordinary_database_becomes_one_file_a_table() {
    let case = Case::new(
        "CREATE TABLE usuarios(id INTEGER PRIMARY KEY, nome TEXT NOT NULL, saldo REAL);
         INSERT INTO usuarios VALUES(1, 'José', 19.99), (2, 'O''Brien', NULL);
         CREATE TABLE vazia(x);
         CREATE INDEX por_nome ON usuarios(nome);",
    );
    let info = case.round_trip();
    assert_eq!(
        case.files(),
        ["restore.sql", "schema.sql", "usuarios.sql", "vazia.sql"]
    );
    assert_eq!(
        (info.engine.as_str(), info.folder.as_str(), info.version.as_str()),
        ("sqlite", "database", rusqlite::version())
    );
    let tables: Vec<_> = info
        .tables
        .iter()
        .map(|t| (t.name.as_str(), t.file.as_deref().unwrap(), t.rows))
        .collect();
    assert_eq!(
        tables,
        [("usuarios", "usuarios.sql", 2), ("vazia", "vazia.sql", 0)]
    );
    assert_eq!(
        case.file("usuarios.sql"),
        "CREATE TABLE usuarios(id INTEGER PRIMARY KEY, nome TEXT NOT NULL, saldo REAL);\n\
         INSERT INTO \"usuarios\"(\"id\",\"nome\",\"saldo\") VALUES\n(1,'José',19.99),\n(2,'O''Brien',NULL);\n"
    );
    assert_eq!(
        case.file("schema.sql"),
        "CREATE INDEX por_nome ON usuarios(nome);\n"
    );
}

#[test]
fn every_kind_of_value_comes_back_with_its_type() {
    let case = Case::new(
        "CREATE TABLE t(v); CREATE TABLE typed(i INTEGER, r REAL, x TEXT, b BLOB, n NUMERIC);
         INSERT INTO t VALUES(NULL),(0),(-1),(9223372036854775807),(-9223372036854775808),
           (0.1),(-0.0),(1e300),(4.9e-324),(9e999),(-9e999),(3.0),(0.1+0.2),(1.7976931348623157e308),
           (x''),(x'00'),(x'ff00fe'),(zeroblob(70000)),
           (''),('NULL'),('''); DROP TABLE t; --'),('a'||char(0)||'b'),(char(0)),('tab'||char(9)),
           ('crlf'||char(13,10)||'end'),(char(13)),(char(10)),('\\n'||char(10)||'\\r'||char(13)),
           (CAST(x'fffe80' AS TEXT)),(CAST(x'eda080' AS TEXT)),('日本語 🦀 ação'),(char(0xfeff)||'bom'),
           ('.quit'||char(10)||'.quit'),('/'||char(10)||'/'||char(10)||'go;'),(char(27)||'[31m'),(char(26)||'x'),('#c');
         INSERT INTO typed VALUES('12','34','56','78','90'),(1.5,2,3,4,5),('x','y',x'00','z','w'),
           (1e18,1e18,1e18,1e18,1e18),(9007199254740993,9007199254740993,9007199254740993,0,9007199254740993);",
    );
    let info = case.round_trip();
    assert_eq!(info.tables[0].rows, 37);
    assert_eq!(
        case.restored_value::<i64>("SELECT count(*) FROM t WHERE typeof(v) = 'real'"),
        9
    );
    // Each row stays on one line, for whoever looks with grep.
    assert_eq!(
        case.file("t.sql")
            .lines()
            .filter(|line| line.starts_with('('))
            .count(),
        37
    );
}

#[test]
fn utf_16_databases_keep_their_encoding_and_texts_that_utf_8_has_not() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let lone = if encoding == "UTF-16le" {
            "x'3dd8'"
        } else {
            "x'd83d'"
        };
        let case = Case::new(&format!(
            "PRAGMA encoding = '{encoding}';
             CREATE TABLE t(v);
             INSERT INTO t VALUES('ação'),('🦀'),(CAST({lone} AS TEXT)),('a'||char(0)||'b'),('l'||char(13,10)),
               (char(0xfeff)||'x'),(x'00'),(''),(char(0xfffd));
             CREATE TABLE \"tábua\"(\"coluna ç\" TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO \"tábua\" VALUES('é');"
        ));
        case.round_trip();
        assert_eq!(case.restored_value::<String>("PRAGMA encoding"), encoding);
    }
}

#[test]
fn generated_columns_are_computed_and_not_inserted() {
    let case = Case::new(
        "CREATE TABLE pedidos(id INTEGER PRIMARY KEY, total REAL GENERATED ALWAYS AS (qtd*preco) STORED, qtd INT, preco REAL,
           rotulo TEXT AS ('pedido ' || id) VIRTUAL, nota TEXT DEFAULT 'sem');
         CREATE INDEX i_total ON pedidos(total); CREATE UNIQUE INDEX u_rotulo ON pedidos(rotulo);
         INSERT INTO pedidos(qtd,preco,nota) VALUES(2,9.5,'O''Brien'),(3,0.1,NULL),(0,1e300,'');
         CREATE TABLE so_gerada(a INT, b INT AS (a+1)); INSERT INTO so_gerada(a) VALUES(41);",
    );
    case.round_trip();
    assert_eq!(
        case.restored_value::<f64>("SELECT total FROM pedidos WHERE id = 1"),
        19.0
    );
    assert_eq!(case.restored_value::<i64>("SELECT b FROM so_gerada"), 42);
}

#[test]
fn order_does_not_matter_to_foreign_keys_triggers_views_and_counters() {
    let case = Case::new(
        "PRAGMA encoding='UTF-16le'; PRAGMA user_version=42; PRAGMA application_id=-1234; PRAGMA foreign_keys=ON;
         CREATE TABLE a_filho(id INTEGER PRIMARY KEY, pai INT NOT NULL REFERENCES z_pai(id));
         CREATE TABLE z_pai(id INTEGER PRIMARY KEY, favorito INT REFERENCES a_filho(id) DEFERRABLE INITIALLY DEFERRED);
         BEGIN; INSERT INTO z_pai VALUES(1,10); INSERT INTO a_filho VALUES(10,1); COMMIT;
         CREATE TABLE seq(id INTEGER PRIMARY KEY AUTOINCREMENT, v);
         INSERT INTO seq VALUES(1000,'x'); DELETE FROM seq; INSERT INTO seq(v) VALUES('ação'); DELETE FROM seq;
         CREATE TABLE wr(k TEXT, j INT, v BLOB, PRIMARY KEY(k,j)) WITHOUT ROWID; INSERT INTO wr VALUES('b',2,x'00'),('a',1,NULL);
         CREATE TABLE estrita(i INTEGER, a ANY, r REAL, x TEXT, b BLOB) STRICT;
         INSERT INTO estrita VALUES(1,'1',1.5,'x',x'00'),(2,2,2,'a'||char(0),x'');
         CREATE TABLE conta(id INTEGER PRIMARY KEY, saldo INT); CREATE TABLE auditoria(q TEXT);
         INSERT INTO conta VALUES(1,100),(2,50); INSERT INTO auditoria VALUES('uma linha so');
         CREATE TRIGGER t_aud AFTER INSERT ON conta BEGIN INSERT INTO auditoria VALUES('gatilho; ' || new.id); END;
         CREATE TRIGGER t_neg BEFORE INSERT ON conta WHEN new.saldo<60 BEGIN SELECT RAISE(ABORT,'saldo baixo'); END;
         CREATE VIEW a_v2 AS SELECT * FROM z_v1; CREATE VIEW z_v1 AS SELECT id, saldo*2 AS dobro FROM conta;
         CREATE TRIGGER na_vista INSTEAD OF INSERT ON z_v1 BEGIN INSERT INTO auditoria VALUES(CASE WHEN 1 THEN 'x' END); END;
         CREATE INDEX i_parcial ON conta(abs(saldo) DESC) WHERE saldo>0; CREATE TABLE \"sem linhas\"(x); ANALYZE;",
    );
    let info = case.round_trip();
    assert_eq!(
        case.restored_value::<i64>("INSERT INTO seq(v) VALUES('n') RETURNING id"),
        1002
    );
    assert_eq!(case.restored_value::<i64>("SELECT sum(dobro) FROM a_v2"), 300);
    let violations: i64 = case.restored_value("SELECT count(*) FROM pragma_foreign_key_check");
    assert_eq!(violations, 0);
    let names: Vec<_> = info.tables.iter().map(|t| t.name.as_str()).collect();
    assert!(
        names.contains(&"sqlite_sequence") && names.contains(&"sqlite_stat1"),
        "{names:?}"
    );
}

#[test]
fn a_shell_with_foreign_keys_on_by_default_loads_it_too() {
    let case = Case::new(
        "PRAGMA foreign_keys=ON;
         CREATE TABLE a_filho(id INTEGER PRIMARY KEY, pai INT NOT NULL REFERENCES z_pai(id));
         CREATE TABLE z_pai(id INTEGER PRIMARY KEY); INSERT INTO z_pai VALUES(1); INSERT INTO a_filho VALUES(10,1);",
    );
    case.dump().unwrap();
    let folder = case.temp.path().join("database");
    let output = Command::new("sqlite3")
        .args(["-init", "/dev/null", "-cmd", "PRAGMA foreign_keys=ON"])
        .arg(case.restored())
        .current_dir(&folder)
        .stdin(Stdio::from(
            std::fs::File::open(folder.join("restore.sql")).unwrap(),
        ))
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_same(&case.db(), &case.restored());
}

#[test]
fn full_text_and_spatial_tables_find_again_what_they_found() {
    let case = Case::new(
        "CREATE TABLE cao(id INTEGER PRIMARY KEY, nome TEXT); INSERT INTO cao VALUES(1,'Cleo'),(2,'Panqueca');
         CREATE VIRTUAL TABLE f1 USING fts5(corpo, tokenize='unicode61 remove_diacritics 2');
         INSERT INTO f1 VALUES('ação direta'),('outra linha'); DELETE FROM f1 WHERE rowid=2; INSERT INTO f1(rowid,corpo) VALUES(77,'mais');
         CREATE VIRTUAL TABLE f2 USING fts5(nome, content='cao', content_rowid='id'); INSERT INTO f2(f2) VALUES('rebuild');
         CREATE VIRTUAL TABLE f3 USING fts5(x, content=''); INSERT INTO f3(rowid,x) VALUES(7,'sem conteudo');
         CREATE VIRTUAL TABLE voc USING fts5vocab(f1, 'row');
         CREATE TRIGGER cao_ai AFTER INSERT ON cao BEGIN INSERT INTO f2(rowid,nome) VALUES(new.id,new.nome); END;
         CREATE VIRTUAL TABLE caixa USING rtree(id,x0,x1,+dono TEXT); INSERT INTO caixa VALUES(1,0,9,'eu'),(5,2.5,3.25,NULL);
         CREATE VIRTUAL TABLE f4 USING fts4(a, b, prefix='2'); INSERT INTO f4 VALUES('quatro palavras','aqui');
         CREATE VIRTUAL TABLE \"estranho \"\"nome\" USING fts5(\"coluna um\"); INSERT INTO \"estranho \"\"nome\" VALUES('achei');
         CREATE TABLE f1_minha(x); INSERT INTO f1_minha VALUES(1);",
    );
    let info = case.round_trip();
    for (sql, found) in [
        ("SELECT corpo FROM f1 WHERE f1 MATCH 'acao'", "ação direta"),
        ("SELECT group_concat(rowid) FROM f2 WHERE f2 MATCH 'cleo'", "1"),
        (
            "SELECT group_concat(rowid) FROM f3 WHERE f3 MATCH 'conteudo'",
            "7",
        ),
        ("SELECT group_concat(id) FROM caixa WHERE x0 > 1", "5"),
        ("SELECT dono FROM caixa WHERE id = 1", "eu"),
        ("SELECT b FROM f4 WHERE f4 MATCH 'qu*'", "aqui"),
        (
            "SELECT * FROM \"estranho \"\"nome\" WHERE \"estranho \"\"nome\" MATCH 'achei'",
            "achei",
        ),
        ("SELECT group_concat(term) FROM voc", "acao,direta,mais"),
    ] {
        assert_eq!(case.restored_value::<String>(sql), found, "{sql}");
    }
    let db = Connection::open(case.restored()).unwrap();
    db.execute_batch(
        "INSERT INTO f1(f1) VALUES('integrity-check'); INSERT INTO f4(f4) VALUES('integrity-check');
         INSERT INTO f1 VALUES('novo'); INSERT INTO cao VALUES(3,'Novo'); INSERT INTO f3(rowid,x) VALUES(8,'mais');",
    )
    .unwrap();
    let names: Vec<_> = info.tables.iter().map(|t| (t.name.as_str(), t.rows)).collect();
    assert_eq!(
        names,
        [
            ("cao", 2),
            ("f1_minha", 1),
            ("f1", 2),
            ("f2", 2),
            ("f3", 1),
            ("voc", 3),
            ("caixa", 2),
            ("f4", 1),
            ("estranho \"nome", 1)
        ],
        "no shadow table is listed, and a user's table with a similar name is"
    );
}

#[test]
fn a_table_of_a_module_that_only_the_application_has_is_kept_with_its_content() {
    let case = Case::new(
        "CREATE TABLE vetores_chunks(a INTEGER PRIMARY KEY, b BLOB); INSERT INTO vetores_chunks VALUES(1,x'00');",
    );
    let db = Connection::open(case.db()).unwrap();
    db.execute_batch(
        "PRAGMA writable_schema=ON;
         INSERT INTO sqlite_schema VALUES('table','vetores','vetores',0,'CREATE VIRTUAL TABLE vetores USING vec0(e float[3])');
         PRAGMA writable_schema=OFF;",
    )
    .unwrap();
    drop(db);
    let info = case.round_trip();
    assert_eq!(info.tables.len(), 2);
}

#[test]
fn rowids_are_kept_even_where_the_usual_names_are_taken() {
    let case = Case::new(
        "CREATE TABLE t(x); INSERT INTO t(rowid,x) VALUES(5,'a'),(-3,'b'),(9223372036854775807,'c');
         CREATE TABLE u(rowid, _rowid_); INSERT INTO u VALUES(1,2),(3,4); DELETE FROM u WHERE oid=1;
         CREATE TABLE alltaken(rowid, _rowid_, oid); INSERT INTO alltaken VALUES(1,2,3);
         CREATE TABLE alias(oid INTEGER PRIMARY KEY, x); INSERT INTO alias VALUES(7,'x');
         CREATE TABLE notalias(id INTEGER PRIMARY KEY DESC, x); INSERT INTO notalias(rowid,id,x) VALUES(9,1,'x');
         CREATE TABLE intpk(id INT PRIMARY KEY, x); INSERT INTO intpk(rowid,id) VALUES(4,1);",
    );
    case.round_trip();
    assert_eq!(case.restored_value::<i64>("SELECT oid FROM u"), 2);
    assert_eq!(case.restored_value::<i64>("SELECT rowid FROM notalias"), 9);
}

#[test]
fn names_of_every_kind_get_files_of_their_own() {
    let names = [
        "schema",
        "RESTORE",
        "restore.sql",
        "a/b",
        "../fora",
        "é",
        "É",
        "sem \"aspas\"",
        "it's",
        "select",
        "linha\nnova",
        "crlf\r\nx",
        "con",
        ".oculta",
        "100%",
        "日本語",
        "|echo PWNED",
        "",
        "; DROP",
    ];
    let mut sql = String::new();
    for name in names {
        let quoted = ddl::quote(name);
        sql.push_str(&format!(
            "CREATE TABLE {quoted}({quoted} TEXT, b); INSERT INTO {quoted} VALUES('x', 1);\n"
        ));
    }
    let case = Case::new(&sql);
    let info = case.round_trip();
    assert_eq!(info.tables.len(), names.len());
    for table in &info.tables {
        let file = table.file.as_deref().unwrap();
        assert_eq!(file_name::table_name(file).as_ref(), Some(&table.name));
        assert!(case.temp.path().join("database").join(file).is_file(), "{file}");
    }
    assert_eq!(case.files().len(), names.len() + 2);
}

#[test]
fn tables_that_are_left_out_keep_their_definition_and_lose_their_rows() {
    let case = Case::new(
        "CREATE TABLE kept(x); INSERT INTO kept VALUES(1);
         CREATE TABLE log_a(x); INSERT INTO log_a VALUES(1),(2);
         CREATE VIRTUAL TABLE log_text USING fts5(x); INSERT INTO log_text VALUES('word');",
    );
    let out = case.temp.path().join("database");
    let tables = TableFilter::new(&[], &["log_*".to_owned()]).unwrap();
    let info = dump_rows_of(&case.db(), &out, &tables).unwrap();
    let rows: Vec<_> = info.tables.iter().map(|t| (t.name.as_str(), t.rows)).collect();
    assert_eq!(rows, [("kept", 1), ("log_a", 0), ("log_text", 0)]);
    load_well(&out, &case.restored());
    let db = Connection::open(case.restored()).unwrap();
    for (table, wanted) in [("kept", 1), ("log_a", 0), ("log_text", 0)] {
        let count: i64 = db
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap();
        assert_eq!(count, wanted, "{table}");
    }
}
