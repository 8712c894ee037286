//! Trees that other backup programs stumbled over: names that look alike, names of the archive's own layout, times
//! beyond every field, links in circles, hard links and holes.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use crate::support::{App, archive_names, readers_accept, same_tree, set_mtime};

#[test]
fn names_that_look_alike_are_files_of_their_own() {
    let app = App::new();
    let twins = [
        // Composed and decomposed.
        "relat\u{f3}rio_a\u{e7}\u{e3}o.txt",
        "relato\u{301}rio_ac\u{327}a\u{303}o.txt",
        "Foto.jpg",
        "foto.jpg",
        "FOTO.JPG",
        // The sign of the kelvin, and two letters.
        "\u{212a}.txt",
        "K.txt",
        "k.txt",
        // A ligature, and letters that fold into others.
        "\u{fb01}m.txt",
        "fim.txt",
        "stra\u{df}e.txt",
        "STRASSE.txt",
        "\u{130}.txt",
        "i.txt",
        "Docs/x.txt",
        "docs/x.txt",
    ];
    for name in twins {
        app.write(Path::new("static").join(name), name.as_bytes());
    }
    let record = app.create();
    assert_eq!(record["file_count"], twins.len());
    readers_accept(&app.archive(&record));
    app.cofre(&["verify"]).exits(0);
    let restored = app.restore("latest", "restored");
    for name in twins {
        let content = std::fs::read_to_string(restored.join("static").join(name)).unwrap();
        assert_eq!(content, name);
    }
    same_tree(&app.path("static"), &restored.join("static"));
}

#[test]
fn sources_may_hold_files_named_like_the_archives_own() {
    let app = App::new();
    app.config("[sources.static]\npath = \"static\"\n[sources.outra]\npath = \"fora/static\"\n");
    for (source, path) in [("static", "static"), ("outra", "fora/static")] {
        for own in [
            "backup_info.json",
            "database/usuarios.sql",
            "database/restore.sql",
            "config/app.toml",
            "logs/app.log",
            "static/index.html",
        ] {
            app.write(Path::new(path).join(own), format!("{own} of {source}").as_bytes());
        }
    }
    // A file in one, a folder in the other.
    app.write("static/META-INF", b"a file");
    app.write("fora/static/META-INF/x", b"in a folder");
    let record = app.create();
    assert_eq!(
        app.manifest(&record)["name"],
        record["name"],
        "the manifest is cofre's own"
    );
    let names = archive_names(&app.archive(&record));
    let mut unique = names.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    readers_accept(&app.archive(&record));
    app.cofre(&["verify"]).exits(0);
    let restored = app.restore("latest", "restored");
    same_tree(&app.path("static"), &restored.join("static"));
    same_tree(&app.path("fora/static"), &restored.join("outra"));
}

#[test]
fn times_are_the_same_whatever_the_zone() {
    let app = App::new();
    for (index, seconds) in [
        0,
        315_532_799,
        315_532_800,
        1_714_885_505,
        2_147_483_648,
        4_294_967_296,
        4_354_819_199,
        4_354_819_200,
        7_258_118_400,
    ]
    .into_iter()
    .enumerate()
    {
        app.write(format!("static/{index}.txt"), b"x");
        set_mtime(&app.path(format!("static/{index}.txt")), seconds, 999_999_999);
    }
    for zone in ["UTC", "America/Sao_Paulo", "Asia/Kolkata"] {
        let there = |args: &[&str]| {
            let mut command = app.command(args);
            crate::support::run(command.env("TZ", zone)).exits(0)
        };
        there(&["create"]);
        there(&["verify"]);
        let target = app.path(zone.replace('/', "-"));
        there(&["restore", "latest", "--to", target.to_str().unwrap()]);
        same_tree(&app.path("static"), &target.join("static"));
    }
}

#[test]
fn a_time_beyond_what_an_archive_holds_is_kept_as_the_nearest_and_said() {
    // A file system that holds such times, as not each one does.
    let memory = tempfile::Builder::new()
        .prefix("cofre-e2e-")
        .tempdir_in("/dev/shm")
        .unwrap();
    let future = memory.path().join("2446.txt");
    std::fs::write(&future, b"far away").unwrap();
    std::fs::write(memory.path().join("hoje.txt"), b"today").unwrap();
    set_mtime(&future, 15_032_385_534, 0);
    let app = App::new();
    app.config(&format!(
        "[sources.static]\npath = \"{}\"\n",
        memory.path().display()
    ));
    app.cofre(&["create"]).exits(0).says(
        "outside of the years 1677 to 2262 are kept as the nearest within: 1 (the first: static/2446.txt)",
    );
    app.cofre(&["verify"]).exits(0);
    let restored = app.restore("latest", "restored").join("static/2446.txt");
    let restored = restored.metadata().unwrap();
    assert_eq!(
        (restored.mtime(), restored.size()),
        (9_223_372_036, 8),
        "11 April 2262"
    );
}

#[test]
fn links_in_circles_are_kept_as_links_and_followed_by_nobody() {
    let app = App::new();
    app.write("static/ok.txt", b"ok\n");
    app.write("static/A/a.txt", b"a\n");
    app.write("static/B/b.txt", b"b\n");
    std::fs::create_dir_all(app.path("static/fundo/x/y")).unwrap();
    for (target, link) in [
        ("eu", "eu"),
        ("ping", "pong"),
        ("pong", "ping"),
        ("../B", "A/para_B"),
        ("../A", "B/para_A"),
        ("../../..", "fundo/x/y/raiz"),
        (".", "ponto"),
    ] {
        symlink(target, app.path("static").join(link)).unwrap();
    }
    let record = app.create();
    assert_eq!(record["file_count"], 3);
    assert!(record["size"].as_u64().unwrap() < 20_000, "{record}");
    readers_accept(&app.archive(&record));
    let restored = app.restore("latest", "restored");
    same_tree(&app.path("static"), &restored.join("static"));
}

#[test]
fn hard_links_come_back_as_copies_and_holes_as_zeros() {
    let app = App::new();
    app.write("static/h1.bin", b"three names");
    std::fs::create_dir(app.path("static/sub")).unwrap();
    for other in ["h2.bin", "sub/h3.bin"] {
        std::fs::hard_link(app.path("static/h1.bin"), app.path("static").join(other)).unwrap();
    }
    // Something at both ends of 64 MiB of nothing.
    let mut image = vec![0; 64 << 20];
    image[..4].copy_from_slice(b"here");
    image[(64 << 20) - 5..].copy_from_slice(b"there");
    let sparse = std::fs::File::create(app.path("static/esparso.img")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"here", 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"there", (64 << 20) - 5).unwrap();
    let record = app.create();
    assert!(record["size"].as_u64().unwrap() < 1 << 20, "{record}");
    readers_accept(&app.archive(&record));
    let restored = app.restore("latest", "restored").join("static");
    assert!(std::fs::read(restored.join("esparso.img")).unwrap() == image);
    for name in ["h1.bin", "h2.bin", "sub/h3.bin"] {
        assert_eq!(std::fs::read(restored.join(name)).unwrap(), b"three names");
        assert_eq!(restored.join(name).metadata().unwrap().nlink(), 1, "{name}");
    }
}
