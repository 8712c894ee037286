//! What chance does to an archive, and what stands around it.

use super::*;

pub(super) fn cuts() -> Vec<Kind> {
    let whole = rich();
    let (length, end, central) = (whole.bytes.len(), whole.end, whole.central[0]);
    let mut kinds = vec![refused("no byte", [], "the file is empty")];
    for cut in [
        1,
        4,
        30,
        length / 2,
        central,
        central + 10,
        end,
        end + 4,
        length - 1,
    ] {
        let what = format!("cut to {cut} of {length} bytes");
        kinds.push(refused(
            &what,
            whole.clone().cut(cut),
            "is truncated, or something was added",
        ));
    }
    let mut zeroed = whole.bytes;
    zeroed[length / 2..].fill(0);
    kinds.push(refused(
        "zeros from the middle on",
        zeroed,
        "is truncated, or something was added",
    ));
    kinds
}

pub(super) fn flips() -> Vec<Kind> {
    let z = rich;
    let (local, data, central, end) = {
        let z = z();
        (z.local, z.data, z.central, z.end)
    };
    vec![
        refused("flip: first signature", z().flip(0), "not a ZIP archive"),
        found(
            "flip: local signature",
            z().flip(local[1]),
            "entry static/a.txt: its local header is not where",
        ),
        found(
            "flip: local name",
            z().flip(local[1] + 32),
            "entry static/a.txt: its local header has another name",
        ),
        found(
            "flip: local CRC",
            z().flip(local[1] + 14),
            "entry static/a.txt: its local header has other sizes or another checksum",
        ),
        found(
            "flip: local flags",
            z().flip(local[1] + 7),
            "entry static/a.txt: its local header has other flags",
        ),
        found(
            "flip: stored data",
            z().flip(data[1]),
            "entry static/a.txt: its content has the CRC",
        ),
        found(
            "flip: compressed data",
            z().flip(data[2]),
            "entry static/b.txt: its ",
        ),
        found(
            "flip: descriptor",
            z().flip(central[0] - 9),
            &format!("entry {SHOWN}: its data descriptor"),
        ),
        refused(
            "flip: central signature",
            z().flip(central[1]),
            "entry 2 of the central directory: it does not begin with its signature",
        ),
        found(
            "flip: central name",
            z().flip(central[1] + 48),
            "its local header has another name, static/a.txt",
        ),
        found(
            "flip: central CRC",
            z().flip(central[1] + 16),
            "entry static/a.txt: its local header has other sizes or another checksum",
        ),
        refused(
            "flip: central size",
            z().flip(central[1] + 24),
            "static/a.txt is stored, but has two sizes",
        ),
        refused(
            "flip: central offset",
            z().flip(central[1] + 43),
            "overlaps what follows it",
        ),
        refused(
            "flip: end signature",
            z().flip(end),
            "is truncated, or something was added",
        ),
        unsupported(
            "flip: end record's count",
            z().flip(end + 8),
            "one part of several",
        ),
        refused(
            "flip: directory's offset",
            z().flip(end + 16),
            "does not end where the end record begins",
        ),
        refused(
            "flip: directory's length",
            z().flip(end + 12),
            "does not end where the end record begins",
        ),
    ]
}

pub(super) fn junk() -> Vec<Kind> {
    let z = || old([]);
    let (at, end) = (z().central[0], z().end);
    let script = b"PK\x03\x04#!/bin/sh\nexit 1\n";
    vec![
        refused(
            "one byte before",
            z().insert(0, b"X", false),
            "something stands before it",
        ),
        refused(
            "a script before",
            z().insert(0, b"#!/bin/sh\nexit 1\n", true),
            "something stands before it",
        ),
        refused(
            "a script that begins like a ZIP",
            z().insert(0, script, true),
            "21 bytes stand before the first entry",
        ),
        found(
            "hidden behind an entry",
            z().insert(at, b"hidden", true),
            "entry static/a.txt: 6 bytes behind its data belong to nothing",
        ),
        refused(
            "hidden before the end record",
            z().insert(end, b"hidden", false),
            "does not end where the end record begins",
        ),
        refused(
            "one byte behind",
            [z().bytes, vec![0]].concat(),
            "something was added",
        ),
        refused(
            "70,000 bytes behind",
            [z().bytes, vec![0; 70_000]].concat(),
            "something was added",
        ),
        refused(
            "two archives glued",
            [z().bytes, z().bytes].concat(),
            "does not end where the end record begins",
        ),
        refused(
            "a comment",
            [z().put(end + 20, [4, 0]).bytes, b"fala".to_vec()].concat(),
            "something was added",
        ),
        refused(
            "a comment with an end record",
            with_comment(&zip(&[]).bytes),
            "does not end where the end record begins",
        ),
        refused(
            "a comment with an archive",
            with_comment(&z().bytes),
            "does not end where the end record begins",
        ),
        fine(
            "an entry's comment with an end record",
            old([Entry {
                comment: zip(&[]).bytes,
                ..entry("static/b.txt", "b")
            }]),
            &["backup_info.json", "static/a.txt", "static/b.txt"],
        ),
        refused("a page of HTML", b"<html>404</html>", "not a ZIP archive"),
        refused("gzip", b"\x1f\x8b\x08\0\0\0\0\0\0\xffnada", "not a ZIP archive"),
        refused("a ZIP without entries", zip(&[]), "the archive has no entries"),
    ]
}

fn with_comment(comment: &[u8]) -> Vec<u8> {
    let z = old([]);
    let at = z.end + 20;
    let length = u16::try_from(comment.len())
        .expect("a short comment")
        .to_le_bytes();
    [z.put(at, length).bytes, comment.to_vec()].concat()
}
