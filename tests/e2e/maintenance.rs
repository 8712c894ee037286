//! Pins, deletes, prune, diff, show and doctor.

use std::process::Command;

use crate::support::{App, run, tool};

#[test]
fn prune_keeps_the_newest_and_the_pinned_and_says_why() {
    let app = App::small();
    let rows: Vec<_> = (0..5).map(|_| app.create()).collect();
    app.cofre(&["pin", "1"]).exits(0);
    app.keys("max_backups = 2");
    let dry = app.cofre(&["prune", "--dry-run"]).exits(0).says("pinned");
    assert!(dry.stdout.contains(rows[1]["name"].as_str().unwrap()), "{dry}");
    assert_eq!(app.archives().len(), 5, "a dry run removes nothing");
    app.cofre(&["prune"]).exits(0);
    let ids: Vec<_> = app
        .history()
        .iter()
        .map(|row| row["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, [1, 4, 5]);
    assert_eq!(app.archives().len(), 3);
    app.cofre(&["unpin", "1"]).exits(0);
    app.cofre(&["prune"]).exits(0);
    assert_eq!(app.archives().len(), 2);
}

#[test]
fn create_prunes_by_itself() {
    let app = App::small();
    app.keys("max_backups = 2");
    for _ in 0..4 {
        app.create();
    }
    assert_eq!(app.archives().len(), 2);
}

#[test]
fn the_last_good_backup_is_deleted_by_force_only() {
    let app = App::small();
    let record = app.create();
    app.cofre(&["delete", "1"]).exits(10).says("--force");
    assert!(app.archive(&record).exists());
    app.cofre(&["delete", "1", "--force"]).exits(0);
    assert!(app.history().is_empty() && app.archives().is_empty());
    assert_eq!(app.create()["id"], 2, "an id is never used again");
}

#[test]
fn a_pinned_backup_is_not_deleted() {
    let app = App::small();
    app.create();
    app.create();
    app.cofre(&["pin", "1"]).exits(0);
    app.cofre(&["delete", "1"]).exits(10).says("pin");
    assert_eq!(app.archives().len(), 2);
}

#[test]
fn diff_names_what_changed_between_two_backups() {
    let app = App::small();
    app.create();
    app.write("static/app.js", b"'changed';\n");
    app.write("static/novo.js", b"new\n");
    std::fs::remove_file(app.path("static/css/style.css")).unwrap();
    app.create();
    let rows = app.json(&["diff", "1", "2"]);
    let text = rows.to_string();
    for name in ["static/app.js", "static/novo.js", "static/css/style.css"] {
        assert!(text.contains(name), "{text}");
    }
    app.cofre(&["diff", "1", "2"]).exits(0).says("static/novo.js");
    app.cofre(&["diff", "1", "99"]).exits(4);
}

#[test]
fn an_unknown_selector_exits_with_4() {
    let app = App::small();
    for args in [["show", "latest"], ["verify", "latest"], ["restore", "latest"]] {
        app.cofre(&args).exits(4);
    }
    app.create();
    for args in [
        ["show", "99"],
        ["verify", "99"],
        ["restore", "backup_20200101_000000_manual"],
        ["delete", "99"],
    ] {
        app.cofre(&args).exits(4).says(args[1]);
    }
    for hostile in [
        "../../etc/passwd",
        "backup_20200101_000000_manual/../x",
        "",
        "\u{1b}[31m",
        "backup_history.json",
        "backup_history",
        ".",
        "..",
        "/etc/passwd",
        "..%2Fmarcador.txt",
        "..\\marcador.txt",
        "C:\\x",
        "-1",
        "0",
        "1 ",
        "*",
        "backup_*",
        "id\nX: 1",
        "null",
        "99999999999999999999",
        &"a".repeat(5_000),
    ] {
        for command in ["show", "verify", "restore", "drill", "pin", "unpin", "delete"] {
            let run = app
                .cofre(&[command, hostile])
                .never_says("\u{1b}[31m")
                .never_says("id\nX");
            assert!(matches!(run.code, Some(2 | 4)), "{run}");
        }
    }
    assert_eq!(app.archives().len(), 1);
}

#[test]
fn prune_counts_all_types_together_by_the_time_in_the_name_and_touches_nothing_else() {
    let app = App::small();
    // Archives of the original system: nothing but what their names say is known of them.
    let make = "import os, sys, zipfile\nfor name in sys.argv[1:]:\n    \
                with zipfile.ZipFile(name, 'w') as z: z.writestr('backup_info.json', '{}')";
    let days = |range: std::ops::RangeInclusive<u32>, hour: u32, kind: &str| -> Vec<String> {
        let name = |day| format!("backup_202403{day:02}_{hour:02}0000_{kind}.zip");
        range.map(name).collect()
    };
    let mut known = days(1..=30, 2, "diario");
    known.extend(days(1..=6, 3, "semanal"));
    known.push("backup_20230125_020000_manual.zip".to_owned());
    let strangers = [
        "backup_20240301_020000_diario_clienteB.zip",
        "backup_financeiro.zip",
        "xbackup_20240301_020000_diario.zip",
        "notas.txt",
    ];
    std::fs::create_dir(app.backups()).unwrap();
    let files = known.iter().map(String::as_str).chain(strangers);
    run(Command::new(tool("python3"))
        .args(["-c", make])
        .args(files.map(|name| app.backups().join(name))))
    .exits(0);
    // The oldest of the daily ones looks as if it were new: somebody copied it back.
    let copied = app.backups().join("backup_20240301_020000_diario.zip");
    crate::support::set_mtime(&copied, 2_000_000_000, 0);
    app.cofre(&["rebuild"]).exits(0);

    app.keys("max_backups = 30");
    known.sort();
    let (gone, kept) = known.split_at(7);
    assert_eq!(gone[0], "backup_20230125_020000_manual.zip");
    let dry = app.json(&["prune", "--dry-run"]);
    let would: Vec<_> = dry["verdicts"]
        .as_array()
        .unwrap_or_else(|| panic!("{dry}"))
        .iter()
        .filter(|verdict| verdict["keep"] == false)
        .map(|verdict| format!("{}.zip", verdict["backup"]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(would, gone, "{dry}");
    assert_eq!(app.archives().len(), known.len() + 2, "a dry run removes nothing");
    app.cofre(&["prune"]).exits(0);
    for name in gone {
        assert!(!app.backups().join(name).exists(), "{name}");
    }
    for name in kept.iter().map(String::as_str).chain(strangers) {
        assert!(app.backups().join(name).exists(), "{name}");
    }
    for wrong in ["0", "-1", "\"abc\""] {
        app.keys(&format!("max_backups = {wrong}"));
        app.cofre(&["prune"]).exits(2).says("max_backups");
    }
    app.keys("max_backups = 1");
    app.cofre(&["prune"]).exits(0);
    let newest = app.history();
    assert_eq!(newest.len(), 1);
    assert_eq!(newest[0]["name"], "backup_20240330_020000_diario");
}

#[test]
fn selectors_are_an_id_a_name_with_or_without_zip_or_latest() {
    let app = App::small();
    app.create();
    let record = app.create();
    let name = record["name"].as_str().unwrap();
    for selector in ["2", name, &format!("{name}.zip"), "latest"] {
        assert_eq!(app.json(&["show", selector])["backup"]["id"], 2, "{selector}");
    }
}

#[test]
fn doctor_finds_nothing_wrong_with_a_good_setup_and_names_what_is() {
    let app = App::sample();
    app.create();
    app.cofre(&["doctor"]).exits(0);
    std::fs::remove_file(&app.archives()[0]).unwrap();
    let name = app.history()[0]["name"].as_str().unwrap().to_owned();
    app.cofre(&["doctor"]).says(&name);
    std::fs::remove_dir_all(app.path("logs")).unwrap();
    app.cofre(&["doctor"]).says("logs");
}

#[test]
fn what_could_not_be_removed_is_said_until_it_can() {
    let app = App::small();
    let rows: Vec<_> = (0..4).map(|_| app.create()).collect();
    let name = |at: usize| rows[at]["name"].as_str().unwrap();
    // In the place of its archive, and of the checksum file of another.
    let in_the_way = app.archive(&rows[0]);
    std::fs::remove_file(&in_the_way).unwrap();
    std::fs::create_dir(&in_the_way).unwrap();
    app.cofre(&["delete", "1"])
        .exits(10)
        .says(name(0))
        .says("it left the catalog");
    let sidecar = app.backups().join(format!("{}.zip.sha256", name(1)));
    std::fs::remove_file(&sidecar).unwrap();
    std::fs::create_dir(&sidecar).unwrap();
    app.keys("max_backups = 2");
    let pruned = app.cofre(&["prune"]).exits(10).says("it left the catalog");
    assert!(
        pruned.stdout.contains("VERDICT") && pruned.stdout.contains("over max_backups"),
        "{pruned}"
    );
    app.cofre(&["doctor"])
        .exits(10)
        .says("could not be removed")
        .says(name(0));
    std::fs::remove_dir(&in_the_way).unwrap();
    std::fs::remove_dir(&sidecar).unwrap();
    app.cofre(&["prune"]).exits(0);
    app.cofre(&["doctor"]).never_says("could not be removed");
}

#[test]
fn what_is_in_the_way_of_the_catalog_is_named_and_not_the_catalog() {
    let app = App::small();
    app.create();
    for file in ["backup_history.json", ".catalog.json"] {
        let partial = app.backups().join(format!(".{file}.partial"));
        std::fs::create_dir(&partial).unwrap();
        let said = app.cofre(&["create"]).exits(10);
        assert!(said.stderr.contains(partial.to_str().unwrap()), "{said}");
        assert!(said.stderr.contains("move what is in the way"), "{said}");
        std::fs::remove_dir(&partial).unwrap();
        app.create();
    }
}

/// Runs a command below a limit of the shell's.
fn limited(app: &App, limit: &str, command: &str) -> crate::support::Run {
    run(Command::new("sh")
        .args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"])
        .arg(crate::support::cofre_binary())
        .arg("--config")
        .arg(app.path("cofre.toml"))
        .arg(command))
}

#[test]
fn too_little_memory_is_no_bug() {
    let app = App::small();
    app.create();
    limited(&app, "-v 300000", "list").exits(10).says("ulimit -v");
}

#[test]
fn a_write_beyond_a_limit_on_the_size_of_files_is_an_error_like_any_other() {
    let app = App::small();
    app.write(
        "static/big",
        &crate::support::Rng::new("a limit on the size of files").bytes(4 << 20),
    );
    limited(&app, "-f 1000", "create").exits(7).says("LimitFSIZE");
    assert_eq!(app.history()[0]["status"], "failed");
    assert!(app.archives().is_empty());
    app.create();
}

#[test]
fn when_no_id_is_left_that_is_said() {
    let app = App::small();
    app.create();
    let mut rows = app.history();
    rows[0]["id"] = ((1_u64 << 53) - 1).into();
    app.write("backups/backup_history.json", &serde_json::to_vec(&rows).unwrap());
    app.cofre(&["create"])
        .exits(10)
        .says("the ids are used up")
        .says("cofre rebuild");
    app.cofre(&["rebuild"]).exits(0);
    app.create();
}
