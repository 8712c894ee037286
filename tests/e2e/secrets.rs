//! A secret file is never readable by others: not in the archive's attributes, not in a restore, not in staging,
//! not in the backups folder, at no moment.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{App, archive_modes, run, tool};

fn secret_app() -> App {
    let app = App::sample();
    let config = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    app.config(&config.replace("\".gitignore\"]", "\".gitignore\", \".env\"]"));
    app.write(".env", b"SECRET_KEY=segredo\n");
    app.write("static/chave.pem", b"-----BEGIN PRIVATE KEY-----\n");
    for secret in [".env", "static/chave.pem", "app.db"] {
        std::fs::set_permissions(app.path(secret), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    app
}

/// Every file below `dir` that group or others may read.
fn exposed(dir: &Path, found: &mut Vec<String>, wanted: &dyn Fn(&Path) -> bool) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        if metadata.is_dir() {
            exposed(&path, found, wanted);
        } else if metadata.is_file() && metadata.mode() & 0o077 != 0 && wanted(&path) {
            found.push(format!("{} {:o}", path.display(), metadata.mode() & 0o7777));
        }
    }
}

/// Runs cofre with the widest umask while another thread looks for what it exposes below `watched`.
fn watched_run(app: &App, args: &[&str], watched: &[&Path], wanted: &(dyn Fn(&Path) -> bool + Sync)) {
    let command = app.command(args);
    let (stop, found) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for dir in watched {
                    exposed(dir, &mut found.lock().unwrap(), wanted);
                }
            }
        });
        let mut wide = Command::new(tool("sh"));
        wide.args(["-c", "umask 000; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        let ended = run(wide.env_remove("COFRE_CONFIG"));
        stop.store(true, Ordering::Relaxed);
        ended.exits(0);
    });
    let mut found = found.into_inner().unwrap();
    found.dedup();
    assert!(found.is_empty(), "{args:?} exposed {found:?}");
}

#[test]
fn a_secret_is_never_wider_than_0600_anywhere() {
    let app = secret_app();
    for _ in 0..3 {
        // Staged copies of files that everybody may read keep their mode; the folder around them is 0700.
        watched_run(
            &app,
            &["create"],
            &[&app.backups(), &app.path(".cofre")],
            &|path| {
                let public = ["requirements.txt", "env.example", ".gitignore"];
                !path.starts_with(app.path(".cofre")) || !public.iter().any(|name| path.ends_with(name))
            },
        );
    }
    for dir in [app.backups(), app.path(".cofre")] {
        assert_eq!(
            std::fs::metadata(&dir).unwrap().mode() & 0o7777,
            0o700,
            "{}",
            dir.display()
        );
    }
    for file in app.backup_files() {
        let mode = std::fs::metadata(app.backups().join(&file)).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{file}");
    }
    let modes = archive_modes(&app.archives()[0]);
    for (name, mode) in &modes {
        if ["config/.env", "static/chave.pem"].contains(&name.as_str()) || name.starts_with("database/") {
            assert_eq!(mode & 0o077, 0, "{name} {mode:o}");
        }
    }
    assert!(
        modes
            .iter()
            .any(|(name, mode)| name == "config/.env" && *mode == 0o100_600),
        "{modes:?}"
    );

    let secret = |path: &Path| {
        ["chave.pem", ".env"].iter().any(|name| path.ends_with(name))
            || path.extension().is_some_and(|e| e == "sql")
    };
    let target = app.path("restored");
    let partial = app.path(".restored.partial");
    watched_run(
        &app,
        &["restore", "latest", "--to", target.to_str().unwrap()],
        &[&target, &partial],
        &secret,
    );
    for name in ["config/.env", "static/chave.pem"] {
        assert_eq!(
            std::fs::metadata(target.join(name)).unwrap().mode() & 0o7777,
            0o600,
            "{name}"
        );
    }
}
