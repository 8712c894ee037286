//! Trees to back up.

use std::fs::{File, FileTimes};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::command::{run, tool};

/// Writes a file and the folders above it.
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    }
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Copies what is in `from` into `to` with modes, times and links.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    let mut source = from.as_os_str().to_owned();
    source.push("/.");
    std::fs::create_dir_all(to).expect("the target of the copy");
    run(Command::new(tool("cp")).arg("-a").arg(source).arg(to)).exits(0);
}

/// Sets the modification time of a file or folder to whole seconds and nanoseconds around 1970.
pub(crate) fn set_mtime(path: &Path, seconds: i64, nanos: u32) {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 {
        SystemTime::UNIX_EPOCH - whole
    } else {
        SystemTime::UNIX_EPOCH + whole
    };
    let time = base + Duration::from_nanos(nanos.into());
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.set_times(FileTimes::new().set_modified(time))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Copies at least `files` real files into `to`: sources of the crates that cofre itself is built from.
pub(crate) fn registry_tree(to: &Path, files: usize) -> usize {
    let mut crates: Vec<PathBuf> = Vec::new();
    for index in std::fs::read_dir(cargo_home().join("registry/src")).expect("cargo's registry/src") {
        let index = index.expect("an entry").path();
        crates.extend(
            std::fs::read_dir(index)
                .expect("an index")
                .map(|entry| entry.expect("a crate").path()),
        );
    }
    crates.sort();
    let mut copied = 0;
    for source in crates {
        if copied >= files {
            break;
        }
        let count = count_files(&source);
        let name = source.file_name().expect("a crate has a name");
        copy_tree(&source, &to.join(name));
        copied += count;
    }
    assert!(
        copied >= files,
        "cargo's registry has only {copied} of {files} source files: run `cargo fetch` first"
    );
    copied
}

fn cargo_home() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME or CARGO_HOME")).join(".cargo");
    std::env::var_os("CARGO_HOME").map_or_else(home, PathBuf::from)
}

fn count_files(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            match entry.file_type().expect("a type") {
                kind if kind.is_dir() => count_files(&entry.path()),
                kind if kind.is_file() => 1,
                _ => 0,
            }
        })
        .sum()
}

/// `count` files of a few bytes in folders of a thousand.
pub(crate) fn tiny_files(to: &Path, count: usize) {
    for index in 0..count {
        let dir = to.join(format!("{:03}", index / 1_000));
        if index % 1_000 == 0 {
            std::fs::create_dir_all(&dir).expect("a folder");
        }
        std::fs::write(
            dir.join(format!("{index:05}.txt")),
            format!("relatório {index}\n"),
        )
        .expect("a tiny file");
    }
}

/// A file of a bit more than 4 GiB that takes almost no space: data at both ends and around the 4 GiB mark.
pub(crate) fn big_sparse_file(path: &Path) {
    use std::os::unix::fs::FileExt as _;
    const GIB_4: u64 = 4 << 30;
    let file = File::create(path).expect("the big file");
    file.set_permissions(std::fs::Permissions::from_mode(0o640))
        .expect("its mode");
    for (offset, text) in [
        (0, "primeiro"),
        (GIB_4 - 4, "na divisa"),
        (GIB_4 + 70_000, "último"),
    ] {
        file.write_all_at(text.as_bytes(), offset).expect("write");
    }
}
