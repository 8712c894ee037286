//! Tests of `writer`, on real folders and archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::Command;

use super::*;
use crate::archive::ArchiveReader;
use crate::archive::codec::Codec;
use crate::fs::Roots;
use crate::types::Compression;

const MTIME: i64 = 1_700_000_001_234_567_890;

/// What our own reader says of an archive.
fn accept_ourselves(zip: &Path) {
    let roots = Roots::new().with("/backups", zip.parent().unwrap());
    let name = zip.file_name().unwrap().to_str().unwrap();
    let archive = ArchiveReader::open(&roots.open("/backups").unwrap(), name).unwrap();
    let mut places = archive.places();
    let mut reader = archive.reader();
    for index in 0..archive.len() {
        places.check(&archive, index).unwrap();
        reader.start(&archive, index).unwrap();
        while reader.next_chunk().unwrap().is_some() {}
    }
    archive.manifest().unwrap();
}

/// What the independent readers and our own say of an archive; each has to accept it without a warning.
pub(crate) fn accept(zip: &Path) {
    accept_ourselves(zip);
    let python = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\n";
    for (program, arguments) in [
        ("unzip", &["-tqq"][..]),
        ("7z", &["t", "-bso0"]),
        ("python3", &["-W", "error", "-c", python]),
        ("bsdtar", &["-xOf"]),
    ] {
        for locale in ["C", "C.UTF-8"] {
            if program == "bsdtar" && locale == "C" {
                continue; // it has no names beyond ASCII there
            }
            let out = Command::new(program)
                .args(arguments)
                .arg(zip)
                .env("LC_ALL", locale)
                .stdout(std::process::Stdio::null())
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&out.stderr);
            assert!(
                out.status.success() && errors.trim().is_empty(),
                "{program} {locale}: {} {errors}",
                out.status
            );
        }
    }
}

fn python(zip: &Path, code: &str) -> String {
    let out = Command::new("python3")
        .args([
            "-c",
            &format!("import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\n{code}"),
        ])
        .arg(zip)
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

fn archive(dir: &Path) -> ZipWriter {
    let roots = Roots::new().with("/backups", dir);
    ZipWriter::new(roots.open("/backups").unwrap().create("a.zip").unwrap())
}

fn meta(path: &str) -> Meta<'_> {
    Meta {
        path,
        kind: EntryKind::File,
        mode: Some(0o640),
        mtime_ns: Some(MTIME),
    }
}

fn stored(bytes: &[u8]) -> Content {
    Content {
        method: Method::Store,
        crc32: crc32fast::hash(bytes),
        size: bytes.len() as u64,
        stored: bytes.len() as u64,
    }
}

fn stream(zip: &mut ZipWriter, path: &str, hint: u64, bytes: &[u8]) {
    zip.begin(&meta(path), Method::Store, hint).unwrap();
    for piece in bytes.chunks(1000) {
        zip.append(piece).unwrap();
    }
    zip.end(bytes.len() as u64, crc32fast::hash(bytes)).unwrap();
}

#[test]
fn entries_of_every_kind_are_accepted_and_keep_mode_time_and_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut zip = archive(dir.path());
    for (path, kind, mode, mtime_ns) in [
        ("d", EntryKind::Directory, None, None),
        ("d/ação ☃.txt", EntryKind::File, Some(0o4755), Some(MTIME)),
        ("d/e", EntryKind::Directory, Some(0o1777), Some(0)),
        ("d/f", EntryKind::File, None, Some(-5_000_000_000_000_000_000)),
        (
            "d/g",
            EntryKind::File,
            Some(0o600),
            Some(5_000_000_000_000_000_000),
        ),
        ("d/l", EntryKind::Symlink, None, Some(MTIME)),
    ] {
        let content = match kind {
            EntryKind::File => b"hello".as_slice(),
            EntryKind::Directory => b"",
            EntryKind::Symlink => b"f",
        };
        let meta = Meta {
            path,
            kind,
            mode,
            mtime_ns,
        };
        zip.add(&meta, &stored(content), content).unwrap();
    }
    stream(&mut zip, "d/s", 10, &[9; 5000]);
    zip.finish().unwrap();
    let path = dir.path().join("a.zip");
    accept(&path);
    let shown = python(
        &path,
        "for i in z.infolist(): print(i.filename,oct(i.external_attr>>16),i.date_time[0],i.flag_bits)",
    );
    assert_eq!(
        shown,
        "d/ 0o40700 1980 2048\nd/ação ☃.txt 0o104755 2023 2048\nd/e/ 0o41777 1980 2048\n\
         d/f 0o100600 1980 2048\nd/g 0o100600 2107 2048\nd/l 0o120777 2023 2048\nd/s 0o100640 2023 2056\n"
    );
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let mut extract = Command::new("bsdtar");
    extract.arg("-xpf").arg(&path).arg("-C").arg(&out);
    assert!(extract.status().unwrap().success());
    use std::os::unix::fs::MetadataExt;
    let seen = std::fs::metadata(out.join("d/s")).unwrap();
    assert_eq!((seen.mtime(), seen.mode() & 0o777), (1_700_000_001, 0o640));
    assert_eq!(std::fs::read_link(out.join("d/l")).unwrap(), Path::new("f"));
}

#[test]
fn zip64_fields_are_accepted_wherever_they_stand() {
    let dir = tempfile::tempdir().unwrap();
    // Everything beyond 3000 bytes counts as too large: sizes, offsets and the directory itself.
    let mut zip = archive(dir.path()).with_zip64_from(3000);
    zip.add(&meta("small"), &stored(b"x"), b"x").unwrap();
    zip.add(&meta("large"), &stored(&[1; 5000]), &[1; 5000]).unwrap();
    stream(&mut zip, "streamed large", 9000, &[2; 9000]);
    stream(&mut zip, "shrunk", 9000, &[3; 10]);
    zip.add(&meta("behind"), &stored(b"y"), b"y").unwrap();
    zip.finish().unwrap();
    let path = dir.path().join("a.zip");
    accept(&path);
    assert_eq!(
        python(&path, "print([(i.filename,i.file_size) for i in z.infolist()])").trim(),
        "[('small', 1), ('large', 5000), ('streamed large', 9000), ('shrunk', 10), ('behind', 1)]"
    );
}

#[test]
fn a_stream_that_grows_beyond_32_bits_by_compression_has_zip64_fields() {
    let mut codec = Codec::new(Compression::Deflate, 1).unwrap();
    let mut x = 1_u64;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        144 + (x >> 33) as u8 % 112 // what has nine bits in deflate's fixed codes
    };
    let plain: Vec<u8> = (0..300_000).map(|_| next()).collect();
    let mut packed = Vec::new();
    codec.block(&plain, &mut packed).unwrap();
    packed.extend_from_slice(Method::Deflate.tail());
    let limit = plain.len() as u64 + 1000;
    assert!(packed.len() as u64 > limit, "it grew");

    let dir = tempfile::tempdir().unwrap();
    let mut zip = archive(dir.path()).with_zip64_from(limit);
    zip.begin(&meta("grown"), Method::Deflate, plain.len() as u64)
        .unwrap();
    zip.append(&packed).unwrap();
    zip.end(plain.len() as u64, crc32fast::hash(&plain)).unwrap();
    zip.finish().unwrap();
    accept(&dir.path().join("a.zip"));
}

#[test]
fn an_entry_that_outgrows_its_fields_is_an_error_and_no_broken_archive() {
    let dir = tempfile::tempdir().unwrap();
    let mut zip = archive(dir.path()).with_zip64_from(5000);
    zip.begin(&meta("a"), Method::Store, 10).unwrap();
    zip.append(&[0; 6000]).unwrap();
    let e = zip.end(6000, 0).unwrap_err();
    assert_eq!((e.kind, e.subject.as_deref()), (ErrorKind::Io, Some("a")));
}

#[test]
fn a_given_up_entry_leaves_no_trace_even_as_the_last_and_longest() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut results = Vec::new();
    for (i, dir) in dirs.iter().enumerate() {
        let mut zip = archive(dir.path());
        zip.add(&meta("a"), &stored(b"a"), b"a").unwrap();
        if i == 0 {
            zip.begin(&meta("gone"), Method::Store, 3_000_000).unwrap();
            for _ in 0..3 {
                zip.append(&[7; 1_000_000]).unwrap();
            }
            zip.give_up();
        }
        stream(&mut zip, "b", 5000, &[8; 5000]);
        if i == 0 {
            zip.begin(&meta("gone too"), Method::Store, 3_000_000).unwrap();
            zip.append(&[7; 2_000_000]).unwrap();
            zip.give_up();
        }
        results.push((
            zip.finish().unwrap(),
            std::fs::read(dir.path().join("a.zip")).unwrap(),
        ));
    }
    accept(&dirs[0].path().join("a.zip"));
    assert!(results[0] == results[1]);
    let (finished, bytes) = &results[0];
    assert_eq!(finished.size, bytes.len() as u64);
    let sum = Command::new("sha256sum")
        .arg(dirs[0].path().join("a.zip"))
        .output()
        .unwrap();
    assert!(
        String::from_utf8(sum.stdout)
            .unwrap()
            .starts_with(&finished.sha256)
    );
}

#[test]
fn seventy_thousand_entries_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let mut zip = archive(dir.path());
    for i in 0..70_000 {
        let path = format!("many/{i:06}");
        zip.add(&meta(&path), &stored(path.as_bytes()), path.as_bytes())
            .unwrap();
    }
    zip.finish().unwrap();
    let path = dir.path().join("a.zip");
    accept(&path);
    assert_eq!(python(&path, "print(len(z.namelist()))").trim(), "70000");
}

#[test]
fn an_empty_archive_and_those_around_65535_entries_are_accepted() {
    for count in [0, 65_534, 65_535, 65_536] {
        let dir = tempfile::tempdir().unwrap();
        let mut zip = archive(dir.path());
        for i in 0..count {
            zip.add(&meta(&i.to_string()), &stored(b""), b"").unwrap();
        }
        zip.finish().unwrap();
        let path = dir.path().join("a.zip");
        // The one number that means something else in the end record.
        if count == 65_535 {
            accept(&path);
        }
        let found = python(&path, "print(len(z.namelist()))");
        assert_eq!(found.trim(), count.to_string());
    }
}
