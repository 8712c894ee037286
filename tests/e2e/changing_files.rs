//! Files that grow, shrink, vanish or turn unreadable while they are read: the run ends, the archive is valid for
//! every reader, and what it says of itself is true.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::support::{App, Rng, archive_names, readers_accept};

/// Something that disturbs the sources until it is dropped.
struct Meanwhile {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Meanwhile {
    fn repeat(mut act: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                act();
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Meanwhile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(
            std::thread::panicking() || matches!(ended, Some(Ok(()))),
            "the disturbing thread failed"
        );
    }
}

/// Some runs during the disturbance: each ends with one of `codes`, keeps the stable files, and verifies.
fn holds(app: &App, codes: &[i32], disturbance: impl FnMut() + Send + 'static) {
    for index in 0..40 {
        app.write(
            format!("static/estavel/{index:02}.txt"),
            format!("stable {index}\n").as_bytes(),
        );
    }
    let meanwhile = Meanwhile::repeat(disturbance);
    for _ in 0..4 {
        let run = app.cofre_unprivileged(&["create"]);
        assert!(codes.iter().any(|code| run.code == Some(*code)), "{run}");
        let archives = app.archives();
        let newest = archives.last().unwrap();
        readers_accept(newest);
        let names = archive_names(newest);
        let stable = names
            .iter()
            .filter(|name| name.starts_with("static/estavel/") && !name.ends_with('/'))
            .count();
        assert_eq!(stable, 40);
        app.cofre(&["verify", "latest"]).exits(0);
    }
    drop(meanwhile);
    app.assert_no_leftovers();
}

#[test]
fn a_growing_file_is_kept_up_to_its_size_at_open() {
    let app = App::new();
    app.write("static/cresce.log", &vec![b'.'; 4 << 20]);
    let path = app.path("static/cresce.log");
    holds(&app, &[0], move || {
        use std::io::Write as _;
        let mut log = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        log.write_all(&[b'+'; 4_096]).unwrap();
        std::thread::sleep(std::time::Duration::from_micros(200));
    });
    assert!(
        app.history().iter().any(|row| row["changed"].as_u64() >= Some(1)),
        "no run saw the file change"
    );
}

#[test]
fn a_shrinking_file_is_kept_as_long_as_it_was_and_named_as_changed() {
    let app = App::new();
    let content = Rng::fixed(1).bytes(32 << 20);
    app.write("static/encolhe.bin", &content);
    let path = app.path("static/encolhe.bin");
    holds(&app, &[0], move || {
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(1_024).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(3));
        std::fs::write(&path, &content).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(3));
    });
}

#[test]
fn files_and_folders_that_come_and_go_cost_nothing_but_themselves() {
    let app = App::new();
    let root = app.path("static");
    let mut round = 0_u32;
    holds(&app, &[0], move || {
        round += 1;
        let (dir, moved) = (
            root.join(format!("vai-{}", round % 7)),
            root.join(format!("veio-{}", round % 5)),
        );
        std::fs::create_dir_all(&dir).unwrap();
        for index in 0..20 {
            std::fs::write(dir.join(format!("{index}.tmp")), b"short-lived").unwrap();
        }
        let _ = std::fs::remove_dir_all(&moved);
        std::fs::rename(&dir, &moved).unwrap();
        for index in 0..10 {
            let _ = std::fs::remove_file(moved.join(format!("{index}.tmp")));
        }
    });
}

#[test]
fn a_file_that_turns_unreadable_makes_the_run_partial_at_most() {
    let app = App::new();
    app.write("static/as_vezes.txt", b"sometimes");
    let path: PathBuf = app.path("static/as_vezes.txt");
    holds(&app, &[0, 3], move || {
        for mode in [0o000, 0o644] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
    });
}

#[test]
fn a_file_that_becomes_a_fifo_does_not_hang_the_run() {
    let app = App::new();
    app.write("static/ora_fila", b"file");
    let path = app.path("static/ora_fila");
    let fifo = app.path("fila");
    crate::support::run(std::process::Command::new(crate::support::tool("mkfifo")).arg(&fifo)).exits(0);
    holds(&app, &[0, 3], move || {
        rustix::fs::renameat_with(
            rustix::fs::CWD,
            &path,
            rustix::fs::CWD,
            &fifo,
            rustix::fs::RenameFlags::EXCHANGE,
        )
        .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(300));
    });
}
