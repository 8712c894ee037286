//! The same input at the same time gives the same bytes.

use std::path::Path;
use std::process::Command;

use crate::support::{
    App, Rng, cofre_binary, copy_tree, readers_accept, registry_tree, run, tiny_files, tool,
    zstd_readers_accept,
};

/// A backup made while the clock stands still.
fn archive_at(app: &App, moment: &str) -> (String, Vec<u8>) {
    create_at(app, &app.path("cofre.toml"), moment);
    let archives = app.archives();
    let name = archives[0].file_name().unwrap().to_str().unwrap().to_owned();
    (name, std::fs::read(&archives[0]).unwrap())
}

fn create_at(app: &App, config: &Path, moment: &str) {
    let mut command = Command::new(tool("faketime"));
    command
        // Only the wall clock: deadlines run on, and files keep their own times.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .env_remove("COFRE_CONFIG")
        .env("TZ", "America/Sao_Paulo")
        .current_dir(app.root())
        .args(["-f", moment])
        .arg(cofre_binary())
        .arg("--config")
        .arg(config)
        .args(["create", "--type", "manual"]);
    run(&mut command).exits(0);
}

#[test]
fn two_runs_in_fresh_folders_give_identical_archives() {
    let first = App::sample();
    let second = App::new();
    std::fs::remove_dir(second.path("static")).unwrap();
    copy_tree(first.root(), second.root());
    let (name, one) = archive_at(&first, "2025-08-31 21:52:49");
    let (other_name, two) = archive_at(&second, "2025-08-31 21:52:49");
    assert_eq!(
        (name.as_str(), &name),
        ("backup_20250831_215249_manual.zip", &other_name)
    );
    assert!(one == two, "{} and {} bytes, not the same", one.len(), two.len());
}

/// Thousands of small files, large ones of all kinds, links, empty folders and files, and a database.
fn varied() -> App {
    let app = App::sample();
    tiny_files(&app.path("static/muitos"), 2_500);
    registry_tree(&app.path("static/fontes"), 1_500);
    let mut rng = Rng::fixed(11);
    app.write("static/ruído.bin", &rng.bytes(13_000_001));
    app.write("static/limite.bin", &rng.bytes(8 << 20));
    app.write("static/zeros.raw", &vec![0; 21 << 20]);
    let text: String = (0..700_000)
        .map(|i| format!("{} linha {i}\n", rng.below(999)))
        .collect();
    app.write("static/registro.log", text.as_bytes());
    // Starts like something that doesn't compress, and goes on otherwise.
    let mixed = [rng.bytes(5 << 20), vec![b'x'; 5 << 20], rng.bytes(1)].concat();
    app.write("static/misto.bin", &mixed);
    std::fs::create_dir_all(app.path("static/vazia/também")).unwrap();
    app.write("static/nada", b"");
    std::os::unix::fs::symlink("ruído.bin", app.path("static/elo")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", app.path("static/fora")).unwrap();
    app
}

#[test]
fn the_number_of_workers_does_not_change_a_byte() {
    let app = varied();
    let config = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    for compression in ["deflate", "zstd", "store"] {
        let variants = [1, 2, 3, 8].map(|workers| {
            let folder = format!("{compression}-{workers}");
            let table = format!("[archive]\nworkers = {workers}\ncompression = \"{compression}\"\n#");
            let config = config
                .replace("\"backups\"", &format!("\"{folder}\""))
                .replace("compression = \"deflate\"\nlevel       = 6\n", "")
                .replace("[archive]", &table);
            let file = app.path(format!("{folder}.toml"));
            std::fs::write(&file, config).unwrap();
            (file, app.path(folder))
        });
        // A first run, and one that finds most things unchanged.
        for (moment, text) in [("2040-08-31 21:52:49", "depois"), ("2040-09-01 21:52:49", "fim")] {
            for (config, _) in &variants {
                create_at(&app, config, moment);
            }
            let date = &moment[..10].replace('-', "");
            let name = format!("backup_{date}_215249_manual.zip");
            for extension in ["", ".sha256"] {
                let mut all = variants
                    .iter()
                    .map(|(_, folder)| std::fs::read(folder.join(format!("{name}{extension}"))).unwrap());
                let first = all.next().unwrap();
                assert!(
                    all.all(|other| first == other),
                    "{compression} at {moment}{extension}"
                );
            }
            app.write("static/muitos/001/01500.txt", text.as_bytes());
            app.write("static/novo.bin", &Rng::fixed(12).bytes(9 << 20));
        }
        let newest = variants[0].1.join("backup_20400901_215249_manual.zip");
        if compression == "zstd" {
            zstd_readers_accept(&newest);
        } else {
            readers_accept(&newest);
        }
        for (_, folder) in &variants {
            let text = std::fs::read_to_string(folder.join("backup_history.json")).unwrap();
            let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(rows[1]["reused_bytes"].as_u64().unwrap() > 1 << 20, "{}", rows[1]);
        }
        std::fs::remove_file(app.path("static/novo.bin")).unwrap();
        app.write("static/muitos/001/01500.txt", b"antes");
    }
}
