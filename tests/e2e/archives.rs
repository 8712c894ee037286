//! Archives that were deleted, replaced or damaged: found by `verify`, refused by `restore`, never papered over.

use std::path::Path;
use std::process::Command;

use crate::support::{App, Rng, readers_accept, run, same_tree, tool};

/// Nothing is left of a restore that was refused.
fn restore_is_refused(app: &App, code: i32) {
    let target = app.path("refused");
    app.cofre(&["restore", "latest", "--to", target.to_str().unwrap()])
        .exits(code);
    assert!(!target.exists(), "complete or not at all");
    let left: Vec<_> = std::fs::read_dir(app.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(".partial"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

fn damage(archive: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(archive).unwrap();
    change(&mut bytes);
    std::fs::write(archive, bytes).unwrap();
}

#[test]
fn an_archive_deleted_by_hand_is_named_by_verify_list_and_status() {
    let app = App::small();
    let record = app.create();
    std::fs::remove_file(app.archive(&record)).unwrap();
    let name = record["name"].as_str().unwrap();
    app.cofre(&["verify", "latest"]).exits(5).says(name);
    restore_is_refused(&app, 4);
    app.cofre(&["list"]).exits(0).says(name).says("missing");
    app.cofre(&["status"]).exits(0).says("missing");
    app.create();
    app.cofre(&["verify"]).exits(0);
}

#[test]
fn an_archive_replaced_by_hand_fails_verify_and_restore() {
    let app = App::small();
    let first = app.create();
    app.write("static/app.js", b"'another content';\n");
    let second = app.create();
    std::fs::copy(app.archive(&first), app.archive(&second)).unwrap();
    app.cofre(&["verify", "latest"])
        .exits(5)
        .says(second["name"].as_str().unwrap());
    restore_is_refused(&app, 5);
    app.cofre(&["verify", &first["id"].to_string()]).exits(0);
}

#[test]
fn a_link_in_place_of_an_archive_is_not_followed() {
    let app = App::small();
    let archive = app.archive(&app.create());
    let elsewhere = app.path("elsewhere.zip");
    std::fs::rename(&archive, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &archive).unwrap();
    let verified = app.cofre(&["verify", "latest"]);
    assert!(matches!(verified.code, Some(4 | 5 | 8)), "{verified}");
}

#[test]
fn a_truncated_archive_fails_verify_and_restore_at_any_length() {
    let app = App::sample();
    let archive = app.archive(&app.create());
    let whole = std::fs::read(&archive).unwrap();
    let mut rng = Rng::new("a_truncated_archive");
    let mut lengths = vec![0, 1, 21, 22, whole.len() - 1];
    lengths.extend((0..8).map(|_| rng.below(whole.len() as u64) as usize));
    for length in lengths {
        std::fs::write(&archive, &whole[..length]).unwrap();
        app.cofre(&["verify", "latest"]).exits(5);
        app.cofre(&["verify", "--quick"]).exits(5);
        restore_is_refused(&app, 5);
    }
    app.cofre(&["status"]).exits(0).says("its verification FAILED");
    std::fs::remove_file(&archive).unwrap();
    app.cofre(&["status"]).exits(0).says("its archive is MISSING");
}

#[test]
fn a_flipped_bit_anywhere_fails_verify_and_restore() {
    let app = App::sample();
    let archive = app.archive(&app.create());
    let whole = std::fs::read(&archive).unwrap();
    let mut rng = Rng::new("a_flipped_bit");
    for _ in 0..24 {
        let (at, bit) = (rng.below(whole.len() as u64) as usize, rng.below(8));
        std::fs::write(&archive, &whole).unwrap();
        damage(&archive, |bytes| bytes[at] ^= 1 << bit);
        app.cofre(&["verify", "latest"]).exits(5);
        restore_is_refused(&app, 5);
    }
    std::fs::write(&archive, &whole).unwrap();
    app.cofre(&["verify", "latest"]).exits(0);
}

#[test]
fn without_a_checksum_a_flipped_content_is_still_found_by_the_entries_own() {
    let app = App::new();
    let content = Rng::fixed(7).bytes(200_000);
    app.write("static/foto.jpeg", &content);
    let archive = app.archive(&app.create());
    // Whoever can replace the archive can replace its checksums as well.
    let mut sidecar = archive.clone().into_os_string();
    sidecar.push(".sha256");
    std::fs::remove_file(sidecar).unwrap();
    damage(&archive, |bytes| {
        let at = bytes
            .windows(64)
            .position(|window| window == &content[1_000..1_064])
            .expect("stored as it is");
        bytes[at] ^= 0x10;
    });
    let text = std::fs::read_to_string(app.history_path()).unwrap();
    let mut rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    rows[0]["sha256"] = serde_json::Value::Null;
    std::fs::write(app.history_path(), rows.to_string()).unwrap();
    app.cofre(&["verify", "latest"]).exits(5).says("foto.jpeg");
    restore_is_refused(&app, 5);
}

#[test]
fn verify_all_names_the_bad_one_and_checks_the_others() {
    let app = App::small();
    let first = app.create();
    let second = app.create();
    damage(&app.archive(&first), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    app.cofre(&["verify", "--all"])
        .exits(5)
        .says(first["name"].as_str().unwrap());
    let history = app.history();
    assert_eq!(history[0]["verify_status"], "failed", "{}", history[0]);
    assert_eq!(history[1]["verify_status"], "verified", "{}", history[1]);
    readers_accept(&app.archive(&second));
}

#[test]
fn a_restored_folder_can_be_backed_up_and_compared() {
    let app = App::sample();
    app.create();
    let restored = app.restore("latest", "restored");
    let again = App::new();
    std::fs::remove_dir(again.path("static")).unwrap();
    crate::support::copy_tree(&restored.join("static"), &again.path("static"));
    again.create();
    let twice = again.restore("latest", "restored");
    same_tree(&app.path("static"), &twice.join("static"));
}

#[test]
fn a_restore_that_fails_leaves_the_live_files_alone() {
    let app = App::small();
    let record = app.create();
    // Live files under the very names: never restored over, whatever the archive is like.
    let live = app.path("live");
    let target = live.to_str().unwrap();
    for name in ["static/app.js", "static/css/style.css"] {
        app.write(format!("live/{name}"), b"VIVO");
    }
    app.cofre(&["restore", "latest", "--to", target])
        .exits(10)
        .says("restore into a new folder");
    // The content of the last entry is another one.
    let archive = app.archive(&record);
    let damage = "import sys, zipfile\nname = sys.argv[1]\ndata = bytearray(open(name, 'rb').read())\n\
                  last = zipfile.ZipFile(name).infolist()[-1]\n\
                  data[last.header_offset + 30 + len(last.filename) + 40] ^= 255\nopen(name, 'wb').write(data)";
    run(Command::new(tool("python3")).args(["-c", damage]).arg(&archive)).exits(0);
    for to in [target, app.path("new").to_str().unwrap()] {
        let run = app.cofre(&["restore", "latest", "--to", to]);
        assert!(matches!(run.code, Some(5 | 10)), "{run}");
    }
    for name in ["static/app.js", "static/css/style.css"] {
        assert_eq!(std::fs::read(live.join(name)).unwrap(), b"VIVO");
    }
    assert!(!app.path("new").exists());
    app.assert_no_leftovers();
}
