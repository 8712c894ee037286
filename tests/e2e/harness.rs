//! The judges themselves: each has to see what it is there to see.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

use crate::support::{App, copy_tree, readers_accept, run, same_tree, set_mtime, tool};

fn objects(judge: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(judge)).is_err()
}

#[test]
fn the_comparison_of_trees_sees_content_mode_time_link_and_missing_folder() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("content", |dir| {
            std::fs::write(dir.join("app.js"), b"'use strikt';\n").unwrap()
        }),
        ("mode", |dir| {
            std::fs::set_permissions(dir.join("app.js"), std::fs::Permissions::from_mode(0o640)).unwrap();
        }),
        ("time of a file", |dir| {
            set_mtime(&dir.join("app.js"), 1_756_690_369, 1)
        }),
        ("time of a folder", |dir| {
            set_mtime(&dir.join("css"), 1_756_690_369, 1)
        }),
        ("link", |dir| {
            std::fs::remove_file(dir.join("link")).unwrap();
            symlink("app.jsx", dir.join("link")).unwrap();
        }),
        ("folder", |dir| std::fs::remove_dir(dir.join("vazia")).unwrap()),
    ];
    for (what, change) in changes {
        let app = App::small();
        symlink("app.js", app.path("static/link")).unwrap();
        std::fs::create_dir(app.path("static/vazia")).unwrap();
        copy_tree(&app.path("static"), &app.path("copy"));
        same_tree(&app.path("static"), &app.path("copy"));
        change(&app.path("copy"));
        assert!(
            objects(|| same_tree(&app.path("static"), &app.path("copy"))),
            "{what}"
        );
    }
}

#[test]
fn the_readers_object_to_a_damaged_archive_and_to_a_wrong_checksum_file() {
    let app = App::small();
    let archive = app.path("a.zip");
    let make =
        "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as z: z.writestr('a.txt', b'x' * 500)";
    run(Command::new(tool("python3")).arg("-c").arg(make).arg(&archive)).exits(0);
    let seal = || {
        let sum = run(Command::new(tool("sha256sum"))
            .current_dir(app.root())
            .arg("a.zip"))
        .exits(0);
        app.write("a.zip.sha256", sum.stdout.as_bytes());
    };
    seal();
    readers_accept(&archive);
    let whole = std::fs::read(&archive).unwrap();
    let mut damaged = whole.clone();
    damaged[200] ^= 1;
    std::fs::write(&archive, &damaged).unwrap();
    seal();
    assert!(
        objects(|| readers_accept(&archive)),
        "a flipped bit in the content"
    );
    std::fs::write(&archive, &whole).unwrap();
    assert!(
        objects(|| readers_accept(&archive)),
        "the checksum of another file"
    );
}
