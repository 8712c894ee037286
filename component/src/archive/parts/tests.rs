//! Tests of what is unpacked in one go and in parts, held against the stream and against other programs' output.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::super::testing::{Item, build, item};
use super::super::{ArchiveReader, EntryReader};
use super::*;
use crate::error::Result;
use crate::testing::Folder;

const SKIPPABLE: &[u8] = b"\x50\x2a\x4d\x18\x03\0\0\0abc";

fn open(item: &Item) -> ArchiveReader {
    let folder = Folder::new();
    folder.write("a.zip", &build(std::slice::from_ref(item)).bytes);
    ArchiveReader::open(&folder.dir(), "a.zip").unwrap()
}

fn at_once(reader: &mut EntryReader, archive: &ArchiveReader) -> Result<Vec<u8>> {
    let (at, path) = archive.place(0);
    let mut content = Vec::new();
    let read = reader.read(at, path, &mut |piece| {
        content.extend_from_slice(piece);
        Ok(())
    });
    read.map(|()| content)
}

fn streamed(archive: &ArchiveReader) -> Result<Vec<u8>> {
    archive.read(0)?.read_to_end(1 << 30)
}

/// What both ways of reading say of an entry, which has to be the same.
fn both(item: &Item) -> Result<Vec<u8>> {
    let archive = open(item);
    let (one, other) = (at_once(&mut archive.reader(), &archive), streamed(&archive));
    assert_eq!(one, other);
    one
}

fn frame(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, 3).unwrap()
}

fn text(bytes: usize) -> Vec<u8> {
    let lines = (0u32..).flat_map(|n| format!("{:08x}\n", n.wrapping_mul(0x9e37_79b9)).into_bytes());
    lines.take(bytes).collect()
}

#[test]
fn zstd_frames_one_after_another_are_one_content() {
    for size in [10, 100_000, BLOCK as usize + 100_000] {
        let content = text(size);
        let (first, rest) = content.split_at(size / 3);
        let (second, third) = rest.split_at(size / 3);
        let frames = [frame(first), frame(second), frame(third)];
        let with_size = |packed: Vec<u8>| item("z", content.clone()).packed_as(93, packed);
        let good = [
            frames.concat(),
            [&frames[0], SKIPPABLE, &frames[1], &frames[2], SKIPPABLE].concat(),
            [&frame(b""), &frames[0], &frame(b""), &frames[1], &frames[2]]
                .map(Vec::as_slice)
                .concat(),
        ];
        for packed in good {
            assert!(both(&with_size(packed)).unwrap() == content);
        }
        let last = &frames[2][..frames[2].len() - 1];
        for (what, packed) in [
            (
                "left over",
                [frames.concat().as_slice(), b"junk of some length"].concat(),
            ),
            ("a little left over", [frames.concat().as_slice(), b"\0"].concat()),
            ("cut", [&frames[0], &frames[1], last].concat()),
            ("one too few", frames[..2].concat()),
            ("one twice", [frames.concat(), frames[2].clone()].concat()),
            (
                "cut skippable",
                [frames.concat().as_slice(), &SKIPPABLE[..9]].concat(),
            ),
            ("none", SKIPPABLE.to_vec()),
            ("nothing", vec![]),
        ] {
            assert!(both(&with_size(packed)).is_err(), "{what} of {size}");
        }
    }
    assert_eq!(both(&item("z", "").packed_as(93, frame(b""))).unwrap(), b"");
    assert!(both(&item("z", "").packed_as(93, vec![])).is_err());
}

#[test]
fn a_reader_goes_on_after_an_entry_that_was_damaged() {
    for method in [8, 93] {
        let content = text(5000);
        let good = item("x", content.clone());
        let good = if method == 8 { good.deflated() } else { good.zstd() };
        let mut bad = good.packed();
        bad[100] ^= 0xff;
        let items = [good.clone(), item("y", content.clone()).packed_as(method, bad)];
        let folder = Folder::new();
        folder.write("a.zip", &build(&items).bytes);
        let archive = ArchiveReader::open(&folder.dir(), "a.zip").unwrap();
        let mut reader = archive.reader();
        for _ in 0..3 {
            for index in [0, 1] {
                let (at, path) = archive.place(index);
                let read = reader.read(at, path, &mut |_| Ok(()));
                assert_eq!(read.is_ok(), index == 0, "{method}: {read:?}");
            }
        }
    }
}

/// Reads an entry part by part, and joins them.
fn in_parts(item: &Item, blocks: Option<Vec<u64>>) -> Result<Vec<u8>> {
    let archive = open(item);
    let (at, path) = archive.place(0);
    let mut reader = archive.reader();
    let mut content = Vec::new();
    for part in Cut::new(at, blocks).unwrap() {
        assert_eq!(part.offset, content.len() as u64);
        content.extend_from_slice(reader.part(at, path, &part)?);
    }
    Ok(content)
}

#[test]
fn parts_are_the_whole_for_every_size_around_that_of_a_block() {
    let block = BLOCK as usize;
    for size in [block + 1, 2 * block - 1, 2 * block, 2 * block + 1] {
        let content = text(size);
        for method in [8, 93] {
            let item = item("x", content.clone()).in_blocks(method);
            let blocks = item.packed_blocks().iter().map(|b| b.len() as u64).collect();
            assert!(
                in_parts(&item, Some(blocks)).unwrap() == content,
                "{method} {size}"
            );
            assert!(both(&item).unwrap() == content);
        }
        assert!(in_parts(&item("x", content.clone()), None).unwrap() == content);
    }
}

#[test]
fn a_block_that_does_not_end_as_one_is_refused_even_where_it_has_its_bytes() {
    // One deflate stream over both blocks, cut where the first has given all its bytes, in the middle of the codes.
    let block = BLOCK as usize;
    let item = item("x", [text(block).as_slice(), &[200, 201, 202, 203]].concat()).deflated();
    let packed = item.packed();
    let mut inflate = Decompress::new(false);
    let mut out = vec![0; block + 4];
    let begin = packed.len() - 2000;
    inflate
        .decompress(&packed[..begin], &mut out, FlushDecompress::None)
        .unwrap();
    let cuts = (begin..packed.len()).filter(|&at| {
        let given = usize::try_from(inflate.total_out()).unwrap();
        inflate
            .decompress(&packed[at..=at], &mut out[given..], FlushDecompress::None)
            .unwrap();
        inflate.total_out() == BLOCK
    });
    let cuts: Vec<u64> = cuts.map(|at| at as u64 + 1).collect();
    assert!(!cuts.is_empty());
    let archive = open(&item);
    let (at, path) = archive.place(0);
    let mut reader = archive.reader();
    for first in cuts {
        let mut parts = Cut::new(at, Some(vec![first, at.compressed_size - first])).unwrap();
        let part = parts.next().unwrap();
        assert!(reader.part(at, path, &part).is_err(), "{first}");
    }
}

#[test]
fn parts_that_an_entry_cannot_have_are_no_reason_to_make_room_for_them() {
    let item = item("x", text(BLOCK as usize + 10));
    let archive = open(&item);
    let (at, path) = archive.place(0);
    let good = Cut::new(at, None).unwrap().next().unwrap();
    for part in [
        Part {
            size: u64::MAX,
            ..good
        },
        Part {
            packed: u64::MAX,
            ..good
        },
        Part {
            skip: u64::MAX,
            ..good
        },
        Part {
            offset: u64::MAX,
            ..good
        },
        Part { skip: 11, ..good },
        Part { offset: 11, ..good },
        Part {
            size: BLOCK + 1,
            ..good
        },
    ] {
        assert!(archive.reader().part(at, path, &part).is_err(), "{part:?}");
    }
    // Stored, and yet of two lengths.
    assert!(
        archive
            .reader()
            .part(at, path, &Part { packed: 7, ..good })
            .is_err()
    );
}

#[test]
fn only_large_files_are_cut_and_only_where_the_blocks_are_known() {
    let small = open(&item("x", text(BLOCK as usize)));
    assert!(Cut::new(small.place(0).0, None).is_none());
    let whole = open(&item("x", text(BLOCK as usize + 1)).deflated());
    let at = whole.place(0).0;
    assert!(Cut::new(at, None).is_none());
    let size = at.compressed_size;
    for (blocks, fit) in [
        (vec![size], false),
        (vec![1, size - 1], true),
        (vec![0, size], false),
        (vec![1, size], false),
        (vec![u64::MAX, size + 1], false),
        (vec![1, 1, size - 2], false),
    ] {
        assert_eq!(at.lies_in(&blocks), fit, "{blocks:?}");
        assert_eq!(Cut::new(at, Some(blocks)).is_some(), fit);
    }
}
