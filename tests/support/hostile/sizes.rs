//! Sizes that lie, and bombs.

use super::*;

pub(super) fn sizes() -> Vec<Kind> {
    let zeros = || entry("static/z", vec![0; 20 << 20]).deflated();
    let says = |size| {
        old([Entry {
            size: Some(size),
            ..zeros()
        }])
    };
    let limit = "no manifest vouches for that (if you trust it, raise `limits.foreign_mib` or `limits.foreign_ratio`)";
    let bomb = |count: usize| {
        let one = |n| Entry {
            name: format!("static/{n}").into_bytes(),
            size: Some(1 << 30),
            ..zeros()
        };
        old((0..count).map(one))
    };
    vec![
        found(
            "20 MiB that are said to be 10 bytes",
            says(10),
            "entry static/z: it has more than the 10 bytes that its header says",
        ),
        found(
            "20 MiB that are said to be 100",
            says(100 << 20),
            "entry static/z: it has 20971520 bytes, its header says 104857600",
        ),
        kind(
            "20 MiB that are said to be 4 GiB",
            says(u32::MAX - 1),
            End::Found(limit.to_owned(), 10),
        ),
        kind(
            "a bomb of twenty files",
            bomb(20),
            End::Found(limit.to_owned(), 10),
        ),
        refused(
            "a bomb whose files share their bytes",
            shared(),
            "overlaps what follows it",
        ),
        refused(
            "a bomb of entries in entries",
            nested(),
            "overlaps what follows it",
        ),
        found(
            "a wrong CRC in both headers",
            old([Entry {
                crc: Some(1),
                ..entry("static/b", "b")
            }]),
            "entry static/b: its content has the CRC 71beeff9, its header says 00000001",
        ),
        found(
            "a wrong CRC of compressed data",
            old([Entry {
                crc: Some(1),
                ..entry("static/b", "b").deflated()
            }]),
            "entry static/b: its content has the CRC 71beeff9",
        ),
        refused(
            "a packed size beyond the end",
            old([Entry {
                packed_size: Some(1 << 20),
                ..entry("static/b", "b").deflated()
            }]),
            "overlaps what follows it, or lies beyond the end",
        ),
        found(
            "compressed data that ends early",
            old([Entry {
                packed: Some(vec![0]),
                method: 8,
                ..entry("static/b", "b")
            }]),
            "entry static/b: its compressed data",
        ),
        found(
            "bytes behind compressed data",
            old([Entry {
                packed: Some([entry("", "b").deflated().packed.expect("deflated"), vec![0; 9]].concat()),
                method: 8,
                ..entry("static/b", "b")
            }]),
            "entry static/b: 9 bytes of its compressed data are left over",
        ),
    ]
}

/// Entries of which each has the same data.
fn shared() -> Zip {
    let z = old([entry("static/b", "b").deflated()]);
    let first = u32::try_from(z.local[2]).expect("a small archive");
    old((0..30).map(|n| Entry {
        offset: Some(first),
        ..entry(format!("static/{n:02}"), "b").deflated()
    }))
}

/// Entries of which each has the next one in its data.
fn nested() -> Zip {
    let one = |n: u32| Entry {
        packed_size: Some(4_000 - n * 100),
        ..entry(format!("static/{n:02}"), vec![b'b'; 100]).deflated()
    };
    old((0..30).map(one))
}
