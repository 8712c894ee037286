//! The outside readers of an archive.

use std::path::Path;
use std::process::Command;

use super::command::{Run, run, tool};

/// Asserts that Info-ZIP, 7-Zip, Python, libarchive and `sha256sum -c` all accept an archive without a warning.
#[track_caller]
pub(crate) fn readers_accept(archive: &Path) {
    run(Command::new(tool("unzip")).arg("-tq").arg(archive))
        .exits(0)
        .says("No errors detected")
        .never_says("warning");
    run(Command::new(tool("7z")).args(["t", "-bd"]).arg(archive))
        .exits(0)
        .says("Everything is Ok")
        .never_says("WARNING");
    // Python exits with 0 even when it found a bad checksum: its words count.
    run(Command::new(tool("python3"))
        .args(["-m", "zipfile", "-t"])
        .arg(archive))
    .exits(0)
    .says("Done testing")
    .never_says("corrupted");
    tool("bsdtar");
    let to_nowhere = ["-c", "exec bsdtar -xOf \"$1\" >/dev/null", "bsdtar"];
    run(Command::new(tool("sh"))
        .env("LC_ALL", "C.UTF-8")
        .args(to_nowhere)
        .arg(archive))
    .exits(0);
    sidecar_fits(archive);
}

/// Asserts that 7-Zip accepts an archive whose entries are Zstandard or stored, that the `zstd` command reads each of
/// them as the bytes that its checksum is of, and that there is at least one.
#[track_caller]
pub(crate) fn zstd_readers_accept(archive: &Path) {
    run(Command::new(tool("7z")).args(["t", "-bd"]).arg(archive))
        .exits(0)
        .says("Everything is Ok")
        .never_says("WARNING");
    tool("zstd");
    let lines = "\
import struct, subprocess, zlib
f = open(sys.argv[1], 'rb')
frames = 0
for i in z.infolist():
    f.seek(i.header_offset)
    name, extra = struct.unpack('<26xHH', f.read(30))
    f.seek(name + extra, 1)
    data = f.read(i.compress_size)
    if i.compress_type == 93:
        data = subprocess.run(['zstd', '-dcq'], input=data, stdout=subprocess.PIPE, check=True).stdout
        frames += 1
    else:
        assert i.compress_type == 0, i
    assert len(data) == i.file_size and zlib.crc32(data) == i.CRC, i
assert frames
";
    python(archive, lines);
    sidecar_fits(archive);
}

/// Asserts that `sha256sum -c` accepts what lies beside an archive.
#[track_caller]
fn sidecar_fits(archive: &Path) {
    let folder = archive.parent().expect("an archive lies in a folder");
    let name = archive
        .file_name()
        .expect("an archive has a name")
        .to_str()
        .expect("in UTF-8");
    run(Command::new(tool("sha256sum"))
        .current_dir(folder)
        .arg("-c")
        .arg(format!("{name}.sha256")))
    .exits(0)
    .says(&format!("{name}: OK"));
}

/// Runs a few lines of Python on an archive: `z` is the open `ZipFile`.
#[track_caller]
fn python(archive: &Path, lines: &str) -> Run {
    let script = format!("import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\n{lines}");
    run(Command::new(tool("python3"))
        .env("PYTHONIOENCODING", "utf-8")
        .arg("-c")
        .arg(script)
        .arg(archive))
    .exits(0)
}

/// The names in an archive, in its order; a folder's end in `/`.
#[track_caller]
pub(crate) fn archive_names(archive: &Path) -> Vec<String> {
    let listed = python(
        archive,
        "print('\\0'.join(i.filename for i in z.infolist()), end='')",
    );
    listed.stdout.split('\0').map(str::to_owned).collect()
}

/// The names in an archive with their Unix modes, as the external attributes have them.
#[track_caller]
pub(crate) fn archive_modes(archive: &Path) -> Vec<(String, u32)> {
    let listed = python(
        archive,
        "for i in z.infolist(): print(i.external_attr >> 16, i.filename)",
    );
    let row = |line: &str| {
        let (mode, name) = line.split_once(' ').expect("mode and name");
        (name.to_owned(), mode.parse().expect("a number"))
    };
    listed.stdout.lines().map(row).collect()
}

/// The text of one entry.
#[track_caller]
pub(crate) fn archive_text(archive: &Path, entry: &str) -> String {
    run(Command::new(tool("unzip")).arg("-p").arg(archive).arg(entry))
        .exits(0)
        .stdout
}
