//! Tests of `reader`, on real folders and archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::super::testing::{Built, Item, build, item, with_manifest};
use super::*;
use crate::archive::EntryKind;
use crate::testing::Folder;

fn open(bytes: &[u8]) -> Result<ArchiveReader> {
    let folder = Folder::new();
    folder.write("a.zip", bytes);
    ArchiveReader::open(&folder.dir(), "a.zip")
}

/// Opens an archive and reads all of it; gives the contents by path.
fn read_all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let archive = open(bytes)?;
    let mut reader = archive.reader();
    (0..archive.len())
        .map(|i| {
            reader.start(&archive, i)?;
            let content = reader.read_to_end(1 << 30)?;
            Ok((archive.entry(i).path.to_owned(), content))
        })
        .collect()
}

fn error_of(bytes: &[u8]) -> String {
    match read_all(bytes) {
        Ok(read) => panic!("accepted: {read:?}"),
        Err(e) => e.to_string(),
    }
}

fn sample() -> Vec<Item> {
    vec![
        item("static/", ""),
        item("static/bom.txt", "BOM".repeat(100)),
        item("static/empty", ""),
        item(
            "static/long.bin",
            (0..300_000u32)
                .map(|n| (n.wrapping_mul(n) >> 7) as u8)
                .collect::<Vec<_>>(),
        )
        .deflated(),
        item("static/many.zst", "zstandard ".repeat(20_000)).zstd(),
        item("static/mau.txt", "MAU".repeat(100)).deflated().described(),
    ]
}

#[test]
fn a_good_archive_gives_every_content_kind_and_mode() {
    let items = sample();
    let built = build(&items);
    let read = read_all(&built.bytes).unwrap();
    assert_eq!(read.len(), items.len());
    for (item, (path, content)) in items.iter().zip(&read) {
        assert_eq!(item.name.trim_end_matches('/'), path);
        assert_eq!(&item.content, content);
    }
    let archive = open(&built.bytes).unwrap();
    assert_eq!(archive.entry(0).kind, EntryKind::Directory);
    assert_eq!(archive.entry(1).mode, Some(0o644));
    assert_eq!(archive.find("static/mau.txt"), Some(5));
    assert_eq!(archive.find("static/"), None);
    let mut places = archive.places();
    for i in 0..archive.len() {
        places.check(&archive, i).unwrap();
    }
}

#[test]
fn every_cut_is_refused_and_said_to_be_one() {
    let built = build(&sample());
    for len in (0..built.bytes.len())
        .rev()
        .step_by(7)
        .chain([0, 1, 2, 3, 4, 21, 22, 30])
    {
        let message = error_of(&built.bytes[..len]);
        assert!(
            message.contains("truncated") || message.contains("empty"),
            "{len}: {message}"
        );
    }
    let mut zeroed = built.bytes.clone();
    let half = zeroed.len() / 2;
    zeroed[half..].fill(0);
    assert!(error_of(&zeroed).contains("truncated"));
}

#[test]
fn no_flipped_bit_changes_a_content_unnoticed() {
    let mut items = sample();
    items[3].content.truncate(1000);
    items[4].content.truncate(1000);
    let built = build(&items);
    let good = read_all(&built.bytes).unwrap();
    let mut refused = 0usize;
    for at in 0..built.bytes.len() {
        // Two bits of each byte: all eight take minutes without optimisation.
        for bit in [at % 8, (at * 5 + 3) % 8] {
            let mut bytes = built.bytes.clone();
            bytes[at] ^= 1 << bit;
            match read_all(&bytes) {
                Err(_) => refused += 1,
                // What is not compared are times, attributes and versions; never a name or content.
                Ok(read) => assert_eq!(read, good, "bit {bit} of byte {at}"),
            }
        }
    }
    assert!(refused > 1000);
}

#[test]
fn bytes_before_between_and_behind_are_refused() {
    let built = build(&sample());
    let good = built.bytes.as_slice();
    assert!(error_of(&[b"X", good].concat()).contains("stands before"));
    assert!(error_of(&[b"PK\x03\x04junk", good].concat()).contains("does not end where"));
    assert!(error_of(&[good, b"\0"].concat()).contains("something was added"));
    assert!(error_of(&[good, &[0; 70_000]].concat()).contains("something was added"));
    assert!(error_of(&[good, good].concat()).contains("does not end where"));
    // A prefix whose offsets are adjusted.
    let mut shifted = [b"PK\x03\x04#!/bin/sh\n".as_slice(), good].concat();
    let by = 14;
    for at in built.central.iter().map(|at| at + 42).chain([built.end + 16]) {
        add(&mut shifted, at + by, u32::try_from(by).unwrap());
    }
    assert!(error_of(&shifted).contains("before the first entry"));
    // A gap between two entries, all offsets right.
    let mut gap = good.to_vec();
    gap.splice(built.local[2]..built.local[2], *b"hidden");
    for at in built.central[2..]
        .iter()
        .map(|at| at + 42)
        .chain([built.end + 16])
    {
        add(&mut gap, at + 6, 6);
    }
    assert!(
        error_of(&gap).contains("6 bytes behind its data belong to nothing"),
        "{}",
        error_of(&gap)
    );
}

fn add(bytes: &mut [u8], at: usize, n: u32) {
    let old = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    bytes[at..at + 4].copy_from_slice(&(old + n).to_le_bytes());
}

#[test]
fn what_is_no_zip_is_said_to_be_none() {
    for bytes in [&b"<html>404</html>"[..], b"\x1f\x8b\x08PK\x03\x04", b"MZ"] {
        assert!(error_of(bytes).contains("not a ZIP archive"));
    }
    let empty = open(&build(&[]).bytes).unwrap();
    assert!(empty.is_empty());
}

fn patched(patches: &[(usize, &[u8])]) -> Vec<u8> {
    let Built { mut bytes, .. } = build(&sample());
    for (at, new) in patches {
        bytes[*at..at + new.len()].copy_from_slice(new);
    }
    bytes
}

#[test]
fn headers_that_disagree_are_refused() {
    let built = build(&sample());
    let (local, central) = (built.local[1], built.central[1]);
    let other = u32::try_from(built.local[5]).unwrap().to_le_bytes();
    let inside = u32::try_from(built.local[1] + 5).unwrap().to_le_bytes();
    let three = 3u32.to_le_bytes();
    for (what, at, new) in [
        ("local name", local + 30, &b"static/xyz.exe"[..]),
        ("local escape", local + 30, b"../../fuga.txt"),
        ("central name", central + 46, b"static/exe.xyz"),
        ("local size", local + 22, &three),
        ("local compressed size", local + 18, &three),
        ("local crc", local + 14, &three),
        ("central size", central + 24, &three),
        ("central crc", central + 16, &three),
        ("local method", local + 8, b"\x08\0"),
        ("central method", central + 10, b"\x08\0"),
        ("offset of another", central + 42, &other),
        ("offset far out", central + 42, b"\xff\xff\xff\x7f"),
        ("offset inside", central + 42, &inside),
        ("fewer entries", built.end + 8, b"\x02\0\x02\0"),
        ("more entries", built.end + 8, b"\x07\0\x07\0"),
        ("entries of one disk only", built.end + 8, b"\x02\0"),
        ("descriptor crc", built.central[0] - 12, b"\x01"),
    ] {
        let result = read_all(&patched(&[(at, new)]));
        assert!(result.is_err(), "{what}: {result:?}");
    }
}

#[test]
fn names_that_could_leave_the_target_are_refused() {
    for name in ["../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a\0b", "a/.."] {
        let message = error_of(&build(&[item(name, "x")]).bytes);
        assert!(message.contains("unsafe"), "{message}");
    }
    assert!(
        open(&build(&[item("a\\b", "x")]).bytes)
            .unwrap()
            .check_foreign()
            .is_err()
    );
    let mut latin1 = build(&[item("aXb", "x")]).bytes;
    let at = latin1.iter().rposition(|b| *b == b'X').unwrap();
    latin1[at] = 0xe9;
    assert!(error_of(&latin1).contains("not UTF-8"));
}

#[test]
fn twice_the_same_name_and_file_against_folder_are_refused() {
    let twice = [item("a.txt", "FIRST"), item("a.txt", "SECOND")];
    assert!(error_of(&build(&twice).bytes).contains("a.txt is there twice"));
    let folder_and_file = [item("p/", ""), item("p", "x")];
    assert!(error_of(&build(&folder_and_file).bytes).contains("p is there twice"));
    let below_a_file = [item("p", "file"), item("p-q", ""), item("p/f/g.txt", "x")];
    assert!(error_of(&build(&below_a_file).bytes).contains("p is not a folder"));
    let below_a_link = [item("d", "/tmp").mode(0o120_777), item("d/x", "escaped")];
    assert!(error_of(&build(&below_a_link).bytes).contains("d is not a folder"));
    let case = [item("Leia.txt", "A"), item("LEIA.TXT", "B")];
    read_all(&build(&case).bytes).unwrap();
}

#[test]
fn devices_encrypted_entries_and_odd_methods_are_named() {
    let device = build(&[item("dev", "").mode(0o020_666)]).bytes;
    assert!(error_of(&device).contains("neither file, folder nor link"));
    let link = build(&[item(MANIFEST_NAME, "/etc/passwd").mode(0o120_777)]).bytes;
    assert!(error_of(&link).contains("not a regular file"));
    let built = build(&sample());
    let encrypted = patched(&[
        (built.central[1] + 8, b"\x01\x08"),
        (built.local[1] + 6, b"\x01\x08"),
    ]);
    assert!(error_of(&encrypted).contains("encrypted"));
    let bzip2 = patched(&[
        (built.central[1] + 10, b"\x0c\0"),
        (built.local[1] + 8, b"\x0c\0"),
    ]);
    assert!(error_of(&bzip2).contains("method 12"));
}

#[test]
fn a_content_that_outgrows_its_declared_size_stops_there() {
    let mut bytes = build(&[item("z", vec![0; 50 << 20]).deflated()]);
    for at in [bytes.local[0] + 22, bytes.central[0] + 24] {
        bytes.bytes[at..at + 4].copy_from_slice(&10u32.to_le_bytes());
    }
    assert!(error_of(&bytes.bytes).contains("more than the 10 bytes"));
    for at in [bytes.local[0] + 22, bytes.central[0] + 24] {
        bytes.bytes[at..at + 4].copy_from_slice(&0xffff_fffeu32.to_le_bytes());
    }
    assert!(error_of(&bytes.bytes).contains("its header says 4294967294"));
}

#[test]
fn a_foreign_bomb_is_refused_by_the_limit_it_meets() {
    let items: Vec<_> = (0..10).map(|n| item(&format!("z{n}"), "x")).collect();
    let mut built = build(&items);
    for at in built.central.iter().map(|at| at + 24) {
        built.bytes[at..at + 4].copy_from_slice(&(1u32 << 30).to_le_bytes());
    }
    // Stored entries with two sizes are refused at once; deflated ones may claim so.
    for at in built.central.iter().map(|at| at + 10) {
        built.bytes[at..at + 2].copy_from_slice(&8u16.to_le_bytes());
    }
    let e = open(&built.bytes).unwrap().check_foreign().unwrap_err();
    assert_eq!(e.kind, ErrorKind::Unsupported);
    assert!(e.to_string().contains("250 times"), "{e}");
}

#[test]
fn manifests_of_cofre_are_read_and_others_are_none() {
    let bytes = with_manifest("backup_x", &sample(), |_| {});
    let manifest = open(&bytes).unwrap().manifest().unwrap().unwrap();
    assert_eq!((manifest.header.id, manifest.entries.len()), (7, 6));
    assert_eq!(manifest.entries[1].path, "static/bom.txt");

    assert_eq!(open(&build(&sample()).bytes).unwrap().manifest(), Ok(None));
    for old in [
        "{}",
        r#"{"id":"x"}"#,
        r#"{"id": 3, "files": ["a"], "entries": 5, "format": 1}"#,
    ] {
        let bytes = build(&[item(MANIFEST_NAME, old)]).bytes;
        assert_eq!(open(&bytes).unwrap().manifest(), Ok(None), "{old}");
    }
}

#[test]
fn damaged_and_newer_manifests_are_errors() {
    let manifest_error = |text: &str| {
        let bytes = build(&[item(MANIFEST_NAME, text)]).bytes;
        open(&bytes).unwrap().manifest().unwrap_err()
    };
    for text in [
        "",
        "nope",
        "[]",
        "{\"id\":1",
        "{} x",
        "{\"format\":1}",
        "{\"format\":\"x\"}",
    ] {
        assert_eq!(manifest_error(text).kind, ErrorKind::Corrupt, "{text}");
    }
    let newer = manifest_error(r#"{"format":2,"anything":[]}"#);
    assert_eq!(newer.kind, ErrorKind::Unsupported);
    assert!(newer.remedy.is_some());
    let no_rows = with_manifest("x", &[], |m| {
        m.as_object_mut().unwrap().remove("entries");
    });
    assert!(
        open(&no_rows)
            .unwrap()
            .manifest()
            .unwrap_err()
            .message
            .contains("entries")
    );
    let loud = with_manifest("x", &[], |m| m["status"] = "\u{1b}[31m\n".into());
    let e = open(&loud).unwrap().manifest().unwrap_err();
    assert!(!e.message.contains(char::is_control), "{e}");
    let deep = manifest_error(&format!("{{\"a\":{}", "[".repeat(100_000)));
    assert_eq!(deep.kind, ErrorKind::Corrupt);
}

#[test]
fn a_damaged_manifest_entry_reports_its_own_error() {
    let mut built = build(&[item(MANIFEST_NAME, "{\"id\": 12345}")]);
    let at = built.local[0] + 30 + MANIFEST_NAME.len() + 8;
    built.bytes[at] ^= 1;
    let e = open(&built.bytes).unwrap().manifest().unwrap_err();
    assert!(e.message.contains("CRC"), "{e}");
}

#[test]
fn shown_names_have_no_control_characters_and_an_end() {
    assert_eq!(shown("é b"), "é b");
    assert_eq!(shown("a\x1b[31m\n\u{202e}b"), "a\\u{1b}[31m\\n\\u{202e}b");
    assert!(shown(&"x".repeat(5000)).chars().count() <= 201);
}

#[test]
fn archives_of_python_and_info_zip_are_read() {
    // Two independent writers, as they are installed; what isn't there is not compared.
    let script = r#"
import sys, zipfile
class Pipe:
    def __init__(self, f): self.f = f
    def write(self, b): return self.f.write(b)
    def flush(self): self.f.flush()
d = sys.argv[1]
for name, out in (("seek", open(d + "/seek.zip", "wb")), ("pipe", Pipe(open(d + "/pipe.zip", "wb")))):
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("static/relatório.txt", "conteúdo" * 1000)
        with z.open(zipfile.ZipInfo("static/z64"), "w", force_zip64=True) as f: f.write(b"x" * 70000)
        z.writestr("logs/", "")
    out.flush()
with zipfile.ZipFile(d + "/many.zip", "w") as z:
    for n in range(66000): z.writestr("t/%d" % n, "")
"#;
    let folder = Folder::new();
    let done = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(folder.root())
        .status();
    if !done.is_ok_and(|status| status.success()) {
        return;
    }
    for name in ["seek.zip", "pipe.zip"] {
        let bytes = std::fs::read(folder.root().join(name)).unwrap();
        let read = read_all(&bytes).unwrap();
        assert_eq!(read[0].0, "static/relatório.txt");
        assert_eq!(read[0].1, "conteúdo".repeat(1000).as_bytes());
        assert_eq!((read[1].1.len(), read[2].0.as_str()), (70_000, "logs"), "{name}");
    }
    let many = ArchiveReader::open(&folder.dir(), "many.zip").unwrap();
    assert_eq!(many.len(), 66_000);
}
