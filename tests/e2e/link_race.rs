//! Links swapped in while cofre runs, as an application's own user could do it to a root process: not one byte of
//! what they lead to ends up in an archive.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{App, archive_names, run, tool};

/// How long the race runs.
const RACE: Duration = Duration::from_secs(10);

/// In every foreign file, and in no name.
const FOREIGN: &str = "FOREIGN-BYTES-6f1c";

fn exchange(a: &Path, b: &Path) {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, a, rustix::fs::CWD, b, flags).unwrap();
}

#[test]
fn links_swapped_in_for_ten_seconds_bring_no_foreign_byte() {
    let app = App::new();
    app.config(
        "max_backups = 100000\n[sources.static]\npath = \"app/static\"\n\
         [sources.config]\nfiles = [\"app/requirements.txt\"]\n",
    );
    for index in 0..30 {
        app.write(format!("app/static/sub/{index}.txt"), b"ours");
        app.write(format!("fora/static/sub/{index}.txt"), FOREIGN.as_bytes());
        app.write(format!("fora/static/sub/alheio-{index}.txt"), FOREIGN.as_bytes());
    }
    app.write("app/static/arquivo.txt", b"ours");
    app.write("fora/static/arquivo.txt", FOREIGN.as_bytes());
    app.write("app/requirements.txt", b"Flask\n");
    app.write("fora/requirements.txt", FOREIGN.as_bytes());
    // Each with its replacement: the application's folder itself, the source, a folder and a file in it, a single file.
    let pairs = [
        ("app", "fora"),
        ("app/static", "fora/static"),
        ("app/static/sub", "fora/static/sub"),
        ("app/static/arquivo.txt", "fora/static/arquivo.txt"),
        ("app/requirements.txt", "fora/requirements.txt"),
    ];
    std::fs::create_dir(app.path("trocas")).unwrap();
    for (index, (_, foreign)) in pairs.iter().enumerate() {
        symlink(app.path(foreign), app.path(format!("trocas/{index}"))).unwrap();
    }

    let stop = AtomicBool::new(false);
    let codes = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                let index = round % pairs.len();
                let (ours, link) = (app.path(pairs[index].0), app.path(format!("trocas/{index}")));
                exchange(&ours, &link);
                for _ in 0..(round % 200) {
                    std::hint::spin_loop();
                }
                if round % 3 == 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
                exchange(&ours, &link);
                round += 1;
            }
        });
        let began = Instant::now();
        let mut codes = Vec::new();
        while began.elapsed() < RACE {
            codes.push(app.cofre(&["create"]).code);
        }
        stop.store(true, Ordering::Relaxed);
        codes
    });

    assert!(
        codes.iter().all(|code| matches!(code, Some(0 | 3 | 8 | 10))),
        "{codes:?}"
    );
    let archives = app.archives();
    assert!(
        !archives.is_empty(),
        "no run of {} got through: {codes:?}",
        codes.len()
    );
    for archive in &archives {
        let names = archive_names(archive);
        assert!(!names.iter().any(|name| name.contains("alheio")), "{names:?}");
        let content = run(Command::new(tool("unzip")).arg("-p").arg(archive)).exits(0);
        assert!(!content.stdout.contains(FOREIGN), "{}", archive.display());
    }
    eprintln!("{} runs, {} archives", codes.len(), archives.len());
}
