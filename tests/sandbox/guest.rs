//! Builds the hostile guest (`guest/`) and gives each test a folder tree and a session with it.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cofre::engine::{Access, Limits, Mounts, Session};
use cofre::{Code, Engine};
use tempfile::TempDir;

pub const SECRET: &str = "the outside secret";

/// The guest as a component; `features` as for cargo.
pub fn build(features: &str) -> Vec<u8> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sandbox/guest/Cargo.toml");
    // The variants share what they depend on, and overwrite each other's result: one after the other.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest");
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--release",
            "--locked",
            "--target",
            "wasm32-wasip2",
            "--features",
            features,
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target)
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    fs::read(target.join("wasm32-wasip2/release/cofre_hostile_guest.wasm")).unwrap()
}

/// The engine with the hostile guest, built and compiled once for all tests.
pub fn hostile() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE
        .get_or_init(|| Engine::from_component(&build("")).unwrap())
        .clone()
}

/// `outside/secret.txt`, which no mount contains, and what is mounted: `source/` with links of all kinds that lead
/// to it, and an empty `backups/`.
pub struct Tree(TempDir);

impl Tree {
    pub fn new() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        fs::create_dir(tree.path("outside")).unwrap();
        fs::write(tree.path("outside/secret.txt"), SECRET).unwrap();
        fs::create_dir_all(tree.path("source/folder")).unwrap();
        fs::create_dir(tree.path("backups")).unwrap();
        for root in ["source", "backups"] {
            fs::write(tree.path(root).join("file.txt"), "inside").unwrap();
        }
        symlink(tree.path("outside/secret.txt"), tree.path("source/absolute")).unwrap();
        symlink("../outside/secret.txt", tree.path("source/relative")).unwrap();
        symlink(tree.path("outside"), tree.path("source/absolute-folder")).unwrap();
        symlink("../outside", tree.path("source/relative-folder")).unwrap();
        symlink("..", tree.path("source/up")).unwrap();
        symlink("file.txt", tree.path("source/good")).unwrap();
        tree
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    pub fn handle(&self, below: &str) -> OwnedFd {
        fs::File::open(self.path(below)).unwrap().into()
    }

    /// A hostile session: `/sources/s`, and `/backups` read-write.
    pub fn session(&self) -> Session {
        self.session_with(Limits::default())
    }

    pub fn session_with(&self, limits: Limits) -> Session {
        let mounts = Mounts::new()
            .source("s", self.handle("source"))
            .backups(self.handle("backups"), Access::ReadWrite)
            .limits(limits);
        hostile().open(mounts).unwrap()
    }
}

/// Limits that a test can wait for.
pub fn impatient() -> Limits {
    Limits {
        stall: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// What the guest got by `command`, or why it did not get it.
pub fn attempt(session: &mut Session, command: &str) -> Result<String, String> {
    match session.find(command.to_owned()) {
        Ok(backup) => Ok(backup.name),
        Err(error) if error.code == Code::Refused => Err(error.message),
        Err(error) => panic!("{command}: the guest did not answer: {error}"),
    }
}
