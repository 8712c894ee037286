//! Create, then restore, then compare with the sources: content, links, modes and times.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{
    App, archive_names, big_sparse_file, copy_tree, readers_accept, registry_tree, run, same_tree, set_mtime,
    tiny_files, tool, zstd_readers_accept,
};

#[test]
fn the_sample_comes_back_as_it_was() {
    let app = App::sample();
    let record = app.create();
    let archive = app.archive(&record);
    readers_accept(&archive);

    let name = record["name"].as_str().unwrap();
    assert!(
        name.starts_with("backup_20") && name.ends_with("_manual"),
        "{name}"
    );
    let names = archive_names(&archive);
    for expected in [
        "database/administradores.sql",
        "database/dp_users.sql",
        "database/porteiros.sql",
        "database/relatorios.sql",
        "database/tipos_relatorio.sql",
        "database/trafego_users.sql",
        "database/schema.sql",
        "database/restore.sql",
        "static/css/style.css",
        "static/images/logoAtl.jpeg",
        "static/js/admin.js",
        "static/js/app.js",
        "static/js/dp.js",
        "static/js/login.js",
        "static/js/trafego.js",
        "config/requirements.txt",
        "config/env.example",
        "config/.gitignore",
        "logs/app.log",
    ] {
        assert!(
            names.iter().any(|name| name == expected),
            "{expected} is not in {names:?}"
        );
    }
    assert_eq!(names.last().map(String::as_str), Some("backup_info.json"));
    let mut sorted = names[..names.len() - 1].to_vec();
    sorted.sort();
    assert_eq!(sorted, names[..names.len() - 1], "entries are sorted by path");

    app.cofre(&["verify"]).exits(0);
    let restored = app.restore("latest", "restored");
    for folder in ["static", "logs"] {
        same_tree(&app.path(folder), &restored.join(folder));
    }
    for file in ["requirements.txt", "env.example", ".gitignore"] {
        same_file(&app.path(file), &restored.join("config").join(file));
    }
    same_database(&app.path("app.db"), &restored.join("database"));
}

/// Content, mode and modification time of one file.
fn same_file(original: &Path, restored: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::read(original).unwrap(), std::fs::read(restored).unwrap());
    let facts = |path: &Path| {
        let meta = path.symlink_metadata().unwrap();
        (meta.mode(), meta.mtime(), meta.mtime_nsec())
    };
    assert_eq!(facts(original), facts(restored), "{}", restored.display());
}

/// Loads a restored dump as the manual says, and compares schema and rows with the original.
fn same_database(original: &Path, dump: &Path) {
    let loaded = dump.join("new.db");
    let load = ["-c", "exec sqlite3 new.db < restore.sql"];
    tool("sqlite3");
    run(Command::new(tool("sh")).current_dir(dump).args(load)).exits(0);
    let ask = |database: &Path, sql: &str| {
        let answer = run(Command::new(tool("sqlite3"))
            .args(["-batch", "-readonly"])
            .arg(database)
            // A dot command is an argument of its own: older versions don't end it at a line's end.
            .args(sql.split('\n')));
        answer.exits(0).stdout
    };
    let schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";
    assert_eq!(ask(original, schema), ask(&loaded, schema), "schema");
    let tables = ask(original, "SELECT name FROM sqlite_schema WHERE type = 'table'");
    assert!(tables.lines().count() >= 6, "{tables}");
    for table in tables.lines() {
        let columns = ask(
            original,
            &format!("SELECT group_concat('quote(\"' || name || '\")') FROM pragma_table_info('{table}')"),
        );
        let rows = format!("SELECT {} FROM \"{table}\" ORDER BY 1, 2", columns.trim());
        assert_eq!(ask(original, &rows), ask(&loaded, &rows), "rows of {table}");
    }
    assert_eq!(
        ask(&loaded, "PRAGMA foreign_key_check; PRAGMA integrity_check").trim(),
        "ok"
    );
}

#[test]
fn the_samples_database_is_what_its_script_makes() {
    let app = App::sample();
    tool("sqlite3");
    let load = ["-c", "exec sqlite3 made.db < banco.sql"];
    run(Command::new(tool("sh")).current_dir(app.root()).args(load)).exits(0);
    let dump = |name: &str| {
        run(Command::new(tool("sqlite3")).arg(app.path(name)).arg(".dump"))
            .exits(0)
            .stdout
    };
    assert_eq!(dump("made.db"), dump("app.db"));
}

/// Backs up `static/`, has every reader judge it, restores and compares.
fn comes_back(app: &App) {
    let record = app.create();
    readers_accept(&app.archive(&record));
    app.cofre(&["verify", "latest"]).exits(0);
    let restored = app.restore("latest", "restored");
    same_tree(&app.path("static"), &restored.join("static"));
    app.assert_no_leftovers();
}

#[test]
fn ten_thousand_real_files_come_back_as_they_were() {
    let app = App::new();
    let files = registry_tree(&app.path("static"), 10_000);
    comes_back(&app);
    assert!(app.history()[0]["file_count"].as_u64().unwrap() >= files as u64);
}

#[test]
fn a_file_of_more_than_4_gib_comes_back_as_it_was() {
    let app = App::new();
    big_sparse_file(&app.path("static/disco.img"));
    app.write("static/depois.txt", b"after the big one\n");
    comes_back(&app);
}

#[test]
fn seventy_thousand_tiny_files_come_back_as_they_were() {
    let app = App::new();
    tiny_files(&app.path("static"), 70_000);
    comes_back(&app);
    assert_eq!(app.history()[0]["file_count"], 70_000);
}

#[test]
fn modes_empty_folders_and_odd_names_come_back_as_they_were() {
    let app = App::new();
    for (name, mode) in [
        ("a", 0o600),
        ("b", 0o400),
        ("c", 0o755),
        ("d", 0o444),
        ("e", 0o666),
        ("f", 0o604),
    ] {
        let path = format!("static/modes/{name}");
        app.write(&path, name.as_bytes());
        std::fs::set_permissions(app.path(&path), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for (name, mode) in [
        ("vazia", 0o755),
        ("privada", 0o700),
        ("colante", 0o1777),
        ("só leitura", 0o555),
    ] {
        let dir = app.path("static/pastas").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    for name in [
        "com espaço ",
        "-rf",
        "~",
        "a\nb",
        "tab\tulado",
        "$(reboot)",
        "ação",
        "ac\u{327}a\u{303}o",
        "...",
        "CON",
        "a:b",
        "a\\b",
        "\u{1b}[31mvermelho",
        "\u{202e}txt.exe",
        "fim com ponto.",
        " início",
        "--help",
        "#comentário",
        "nul\r.txt",
        "zero\u{200b}width",
        "%2e%2e%2f",
        "`id`",
        "a;b|c,{}",
        "<b>negrito<b>",
        "*?[x]",
        "'aspas\"",
        "%s%n",
        ".oculto",
    ] {
        app.write(Path::new("static/nomes").join(name), name.as_bytes());
    }
    app.write(Path::new("static/nomes").join("n".repeat(255)), b"longest");
    app.write("static/vazio.txt", b"");
    let deep: String = (0..150).map(|level| format!("nível-{level:03}/")).collect();
    app.write(format!("static/{deep}fundo.txt"), b"deep");
    let record = app.create();
    app.cofre(&["verify"]).exits(0);
    let restored = app.restore(&record["id"].to_string(), "restored");
    same_tree(&app.path("static"), &restored.join("static"));
}

#[test]
fn times_before_1980_before_1970_and_after_2107_come_back_to_the_nanosecond() {
    let app = App::new();
    for (index, (seconds, nanos)) in [
        (0, 0),
        (1, 1),
        (315_532_799, 999_999_999),
        (315_532_800, 0),
        (-1, 999_999_999),
        (-1, 1),
        (-86_400, 123_456_789),
        (-2_000_000_000, 5),
        (2_147_483_648, 0),
        (4_294_967_296, 7),
        (4_354_819_200, 0),
        (1_756_690_369, 123_456_700),
    ]
    .into_iter()
    .enumerate()
    {
        app.write(format!("static/{index}/arquivo"), b"x");
        set_mtime(&app.path(format!("static/{index}/arquivo")), seconds, nanos);
        set_mtime(&app.path(format!("static/{index}")), seconds, nanos);
    }
    set_mtime(&app.path("static"), -7, 250_000_000);
    comes_back(&app);
}

#[test]
fn links_come_back_as_links_and_are_never_followed() {
    let app = App::new();
    app.write("static/css/style.css", b"body {}\n");
    app.write("fora/segredo.txt", b"outside the source\n");
    symlink("css/style.css", app.path("static/atalho.css")).unwrap();
    symlink("css", app.path("static/pasta")).unwrap();
    symlink("não existe", app.path("static/quebrado")).unwrap();
    symlink("laço", app.path("static/laço")).unwrap();
    symlink("..", app.path("static/css/acima")).unwrap();
    symlink("../fora", app.path("static/sai")).unwrap();
    comes_back(&app);
    let names = archive_names(&app.archives()[0]);
    assert!(!names.iter().any(|name| name.contains("segredo")), "{names:?}");
}

#[test]
fn absolute_links_are_recorded_and_recreated_on_request_only() {
    let app = App::small();
    symlink("/etc/hostname", app.path("static/absoluto")).unwrap();
    app.create();
    let without = app.restore("latest", "without");
    assert!(without.join("static/absoluto").symlink_metadata().is_err());
    let said = app.path("said");
    app.cofre(&["restore", "latest", "--to", said.to_str().unwrap()])
        .exits(0)
        .says("left out: static/absoluto");
    let with = app.path("with");
    app.cofre(&[
        "restore",
        "latest",
        "--absolute-links",
        "--to",
        with.to_str().unwrap(),
    ])
    .exits(0)
    .never_says("left out");
    assert_eq!(
        std::fs::read_link(with.join("static/absoluto")).unwrap(),
        Path::new("/etc/hostname")
    );
    same_tree(&app.path("static"), &with.join("static"));
}

#[test]
fn only_restores_what_a_glob_matches() {
    let app = App::sample();
    app.create();
    let target = app.path("parte");
    app.cofre(&[
        "restore",
        "latest",
        "--only",
        "static/js/*.js",
        "--to",
        target.to_str().unwrap(),
    ])
    .exits(0);
    same_tree(&app.path("static/js"), &target.join("static/js"));
    assert!(!target.join("static/css").exists() && !target.join("database").exists());
}

#[test]
fn restore_goes_beside_the_archive_by_default_and_never_into_a_folder_with_something_in_it() {
    let app = App::small();
    let record = app.create();
    app.cofre(&["restore", "latest"]).exits(0);
    let name = record["name"].as_str().unwrap();
    let beside = app.backups().join(format!("restore_{name}"));
    same_tree(&app.path("static"), &beside.join("static"));
    app.cofre(&["restore", "latest"])
        .exits(10)
        .says(&format!("restore_{name}"));

    app.write("ocupada/meu.txt", b"mine");
    let occupied = app.path("ocupada");
    app.cofre(&["restore", "latest", "--to", occupied.to_str().unwrap()])
        .exits(10)
        .says("ocupada");
    assert_eq!(std::fs::read_dir(&occupied).unwrap().count(), 1);

    let empty = app.path("vazia");
    std::fs::create_dir(&empty).unwrap();
    app.cofre(&["restore", "latest", "--to", empty.to_str().unwrap()])
        .exits(0);
    same_tree(&app.path("static"), &empty.join("static"));
}

#[test]
fn several_sources_filters_and_zstd_come_back() {
    let app = App::new();
    app.config(
        "[archive]\ncompression = \"zstd\"\n[sources.static]\npath = \"static\"\nexclude = [\"**/*.tmp\", \"cache\"]\n\
         [sources.enviados]\npath = \"uploads\"\ninclude = [\"**/*.pdf\"]\n",
    );
    app.write("static/a.js", b"a\n".repeat(5_000).as_slice());
    app.write("static/b.tmp", b"no");
    app.write("static/cache/c.js", b"no");
    app.write("uploads/2025/x.pdf", b"%PDF-1.4");
    app.write("uploads/2025/x.exe", b"no");
    app.create();
    app.cofre(&["verify"]).exits(0);
    let restored = app.restore("latest", "restored");
    zstd_readers_accept(&app.archives()[0]);
    let names = archive_names(&app.archives()[0]);
    let files: Vec<_> = names.iter().filter(|name| !name.ends_with('/')).collect();
    assert_eq!(files, ["enviados/2025/x.pdf", "static/a.js", "backup_info.json"]);
    let copy = app.path("copy");
    copy_tree(&app.path("static"), &copy);
    assert_eq!(
        std::fs::read(copy.join("a.js")).unwrap(),
        std::fs::read(restored.join("static/a.js")).unwrap()
    );
}
