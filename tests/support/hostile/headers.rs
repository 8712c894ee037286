//! Headers that contradict each other, or ask for what cofre does not read.

use super::*;

pub(super) fn headers() -> Vec<Kind> {
    let z = || {
        old([
            entry("static/bom.txt", "BOM".repeat(100)),
            entry("static/mau.txt", "MAU".repeat(100)),
        ])
    };
    let Zip {
        local, central, end, ..
    } = z();
    let (l, c) = (local[2], central[2]);
    let at = |offset: usize| u32::try_from(offset).expect("a small archive").to_le_bytes();
    vec![
        found(
            "another local name",
            z().put(l + 30, "static/xyz.exe"),
            "entry static/bom.txt: its local header has another name, static/xyz.exe",
        ),
        found(
            "a local name that leads out",
            z().put(l + 30, "../../fuga.txt"),
            "entry static/bom.txt: its local header has another name, ../../fuga.txt",
        ),
        found(
            "a local name with control characters",
            z().put(l + 30, "static/\x1b[2J\nx"),
            r"its local header has another name, static/\x1b[2J\nx",
        ),
        found(
            "another central name",
            z().put(c + 46, "static/exe.xyz"),
            "entry static/exe.xyz: its local header has another name, static/bom.txt",
        ),
        found(
            "another local size",
            z().put(l + 22, at(3)),
            "entry static/bom.txt: its local header has other sizes",
        ),
        found(
            "another local method",
            z().put(l + 8, [8, 0]),
            "entry static/bom.txt: its local header has other flags or another method",
        ),
        found(
            "encrypted by the local header only",
            z().put(l + 6, [1, 8]),
            "entry static/bom.txt: its local header has other flags",
        ),
        refused(
            "another central size",
            z().put(c + 24, at(3)),
            "static/bom.txt is stored, but has two sizes",
        ),
        found(
            "another central method",
            z().put(c + 10, [8, 0]),
            "entry static/bom.txt: its local header has other flags or another method",
        ),
        refused(
            "the offset of another",
            z().put(c + 42, at(local[3])),
            "overlaps what follows it",
        ),
        refused(
            "an offset far out",
            z().put(c + 42, [0xff, 0xff, 0xff, 0x7f]),
            "the entry static/bom.txt overlaps what follows it, or lies beyond the end",
        ),
        refused(
            "an offset into another's data",
            z().put(c + 42, at(l + 5)),
            "overlaps what follows it",
        ),
        refused(
            "fewer entries than there are",
            z().put(end + 8, [2, 0, 2, 0]),
            "more than its 2 entries need",
        ),
        refused(
            "more entries than there are",
            z().put(end + 8, [9, 0, 9, 0]),
            "counts more entries than the directory can hold",
        ),
        refused(
            "a central header that reaches out",
            z().put(central[3] + 30, [255, 255]),
            "it reaches beyond the directory's end",
        ),
        found(
            "another descriptor",
            rich_descriptor(),
            "its data descriptor has other sizes or another checksum",
        ),
        refused(
            "two Unicode names",
            old([Entry {
                extra: b"\x75\x70\x0a\0\x01\0\0\0\0../..".to_vec(),
                ..entry("static/b", "b")
            }]),
            "the entry has two different names",
        ),
        refused(
            "an extra field that is cut off",
            old([Entry {
                extra: b"\x55\x54\xff\0\x01".to_vec(),
                ..entry("static/b", "b")
            }]),
            "an extra field is cut off",
        ),
    ]
}

fn rich_descriptor() -> Zip {
    let z = rich();
    let at = z.central[0] - 4;
    z.put(at, [1])
}

pub(super) fn methods() -> Vec<Kind> {
    let of = |method: u16, flags: u16| {
        old([Entry {
            method,
            flags,
            ..entry("static/b", "b")
        }])
    };
    let end = old([]).end;
    let mut kinds: Vec<_> = [1u16, 6, 9, 12, 14, 95, 97, 98, 99, u16::MAX]
        .iter()
        .map(|&method| {
            unsupported(
                &format!("method {method}"),
                of(method, 0x800),
                &format!("static/b is compressed by method {method}, which cofre does not read"),
            )
        })
        .collect();
    kinds.push(unsupported("encrypted", of(0, 0x801), "static/b is encrypted"));
    kinds.push(unsupported(
        "strongly encrypted",
        of(0, 0x841),
        "static/b is encrypted",
    ));
    kinds.push(unsupported(
        "an encrypted directory",
        of(0, 0x2800),
        "static/b is encrypted",
    ));
    kinds.push(unsupported(
        "AES by its extra field",
        old([Entry {
            extra: b"\x01\x99\x07\0\x02\0AE\x03\0\0".to_vec(),
            ..entry("static/b", "b")
        }]),
        "encrypted",
    ));
    kinds.push(unsupported(
        "patch data",
        of(8, 0x820),
        "static/b is compressed by method 8, which cofre does not read",
    ));
    kinds.push(unsupported(
        "a disk of several",
        old([]).put(end + 4, [1, 0, 1, 0]),
        "one part of several",
    ));
    let z = old([]);
    let at = z.central[1] + 34;
    kinds.push(unsupported(
        "an entry on another disk",
        z.put(at, [1, 0]),
        "one part of several",
    ));
    kinds.push(found(
        "data that is no zstd",
        of(93, 0x800),
        "entry static/b: its compressed data is damaged",
    ));
    kinds
}

pub(super) fn zip64() -> Vec<Kind> {
    let all = Some(u32::MAX);
    let huge = |numbers: &[u64]| {
        old([Entry {
            size: all,
            packed_size: all,
            extra: zip64_field(numbers),
            method: 8,
            packed: Some(vec![3, 0]),
            ..entry("static/b", "")
        }])
    };
    let fields = |change: fn(&mut [u64; 4])| {
        let z = old([]);
        let (start, end) = (z.central[0] as u64, z.end as u64);
        let mut fields = [2, 2, end - start, start];
        change(&mut fields);
        z.zip64(fields)
    };
    let located = fields(|_| {});
    let locator = located.end - 12;
    vec![
        fine("a ZIP64 end record without need", fields(|_| {}), PLAIN),
        fine(
            "ZIP64 sizes without need",
            huge(&[0, 2]),
            &["backup_info.json", "static/a.txt", "static/b"],
        ),
        refused(
            "a ZIP64 packed size of 16 EiB",
            huge(&[0, u64::MAX]),
            "overlaps what follows it, or lies beyond the end",
        ),
        kind(
            "a ZIP64 size of 16 EiB",
            huge(&[u64::MAX, 2]),
            End::Found("it claims to unpack to 18446744073709551615 bytes".to_owned(), 10),
        ),
        refused(
            "a ZIP64 field that is too short",
            huge(&[0]),
            "the ZIP64 field is too short",
        ),
        refused(
            "two ZIP64 fields",
            old([Entry {
                size: all,
                packed_size: all,
                extra: [zip64_field(&[0, 2]), zip64_field(&[9, 9])].concat(),
                method: 8,
                packed: Some(vec![3, 0]),
                ..entry("static/b", "")
            }]),
            "the ZIP64 field is there twice",
        ),
        found(
            "other ZIP64 sizes in the local header",
            old([Entry {
                size: all,
                packed_size: all,
                extra: zip64_field(&[0, 2]),
                local_extra: Some(zip64_field(&[9, 2])),
                method: 8,
                packed: Some(vec![3, 0]),
                ..entry("static/b", "")
            }]),
            "entry static/b: its local header has other sizes",
        ),
        refused(
            "a ZIP64 offset of 16 EiB",
            old([Entry {
                offset: all,
                extra: zip64_field(&[u64::MAX]),
                ..entry("static/b", "b")
            }]),
            "the entry static/b overlaps what follows it, or lies beyond the end",
        ),
        refused(
            "a ZIP64 offset that wraps around",
            old([Entry {
                offset: all,
                extra: zip64_field(&[u64::MAX - 30]),
                ..entry("static/b", "b")
            }]),
            "the entry static/b overlaps what follows it, or lies beyond the end",
        ),
        unsupported("ZIP64: other counts", fields(|f| f[0] = 1), "one part of several"),
        refused(
            "ZIP64: more entries than there are",
            fields(|f| (f[0], f[1]) = (3, 3)),
            "counts more entries than the directory can hold",
        ),
        unsupported(
            "ZIP64: 16 Ei entries",
            fields(|f| (f[0], f[1]) = (u64::MAX, u64::MAX)),
            "entries, more than 1000000",
        ),
        refused(
            "ZIP64: a directory of 16 EiB",
            fields(|f| f[2] = u64::MAX),
            "does not end where the end record begins",
        ),
        refused(
            "ZIP64: a directory that begins behind the end",
            fields(|f| f[3] = u64::MAX),
            "does not end where the end record begins",
        ),
        refused(
            "ZIP64: the two end records disagree",
            {
                let z = fields(|_| {});
                let at = z.end + 10;
                z.put(at, [9, 0])
            },
            "the two end records disagree",
        ),
        refused(
            "ZIP64: a locator to nowhere",
            located.clone().put(locator, u64::MAX.to_le_bytes()),
            "does not end where the end record begins",
        ),
        unsupported(
            "ZIP64: a locator of several disks",
            located.put(locator + 8, [2]),
            "one part of several",
        ),
    ]
}
