//! ZIP archives byte by byte, so that any field of them can lie: nothing here checks anything.

use std::io::Write as _;

/// One entry as it is to be written.
#[derive(Clone)]
pub(crate) struct Entry {
    /// Bytes, since it need not be UTF-8.
    pub(crate) name: Vec<u8>,
    /// What stands in the local header instead of `name`.
    pub(crate) local_name: Option<Vec<u8>>,
    /// What is packed.
    pub(crate) content: Vec<u8>,
    /// What is in the archive instead of the packed content.
    pub(crate) packed: Option<Vec<u8>>,
    /// ZIP's number of the compression; 0 and 8 are done.
    pub(crate) method: u16,
    /// General purpose flags.
    pub(crate) flags: u16,
    /// Unix type and permission bits.
    pub(crate) mode: u32,
    /// Sizes and CRC that both headers give instead of the true ones.
    pub(crate) size: Option<u32>,
    pub(crate) packed_size: Option<u32>,
    pub(crate) crc: Option<u32>,
    /// Extra fields of both headers.
    pub(crate) extra: Vec<u8>,
    /// Extra fields of the local header instead of those.
    pub(crate) local_extra: Option<Vec<u8>>,
    /// Comment of the entry.
    pub(crate) comment: Vec<u8>,
    /// Where the central directory says that it begins, instead of where it does.
    pub(crate) offset: Option<u32>,
}

/// A stored file of mode 0644; with a `/` at the end of the name a folder.
pub(crate) fn entry(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Entry {
    let name = name.as_ref().to_vec();
    Entry {
        mode: if name.ends_with(b"/") {
            0o040_755
        } else {
            0o100_644
        },
        name,
        local_name: None,
        content: content.as_ref().to_vec(),
        packed: None,
        method: 0,
        flags: 0x800,
        size: None,
        packed_size: None,
        crc: None,
        extra: Vec::new(),
        local_extra: None,
        comment: Vec::new(),
        offset: None,
    }
}

/// A symbolic link.
pub(crate) fn link(name: &str, target: impl AsRef<[u8]>) -> Entry {
    Entry {
        mode: 0o120_777,
        ..entry(name, target)
    }
}

impl Entry {
    /// Compressed by Deflate.
    pub(crate) fn deflated(mut self) -> Self {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&self.content).expect("to memory");
        self.packed = Some(encoder.finish().expect("to memory"));
        self.method = 8;
        self
    }

    /// With a data descriptor behind the data.
    pub(crate) fn described(mut self) -> Self {
        self.flags |= 8;
        self
    }

    /// CRC-32 of the content.
    pub(crate) fn true_crc(&self) -> u32 {
        crc32fast::hash(&self.content)
    }

    fn data(&self) -> &[u8] {
        self.packed.as_deref().unwrap_or(&self.content)
    }

    /// CRC, packed size and size as the headers give them.
    fn facts(&self) -> [u32; 3] {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a small archive");
        [
            self.crc.unwrap_or_else(|| self.true_crc()),
            self.packed_size.unwrap_or_else(|| length(self.data())),
            self.size.unwrap_or_else(|| length(&self.content)),
        ]
    }
}

/// An archive's bytes, and where in them the things are that a test may want to change.
#[derive(Clone)]
pub(crate) struct Zip {
    pub(crate) bytes: Vec<u8>,
    /// Of each local header.
    pub(crate) local: Vec<usize>,
    /// Of each entry's data.
    pub(crate) data: Vec<usize>,
    /// Of each central header.
    pub(crate) central: Vec<usize>,
    /// Of the end record.
    pub(crate) end: usize,
}

impl Zip {
    /// Writes something over what is there.
    pub(crate) fn put(mut self, at: usize, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// Flips one bit.
    pub(crate) fn flip(mut self, at: usize) -> Self {
        self.bytes[at] ^= 0x10;
        self
    }

    /// Puts something in between, with or without the offsets of what is behind it made right.
    pub(crate) fn insert(mut self, at: usize, bytes: &[u8], adjust: bool) -> Self {
        if adjust {
            let fields = self.central.iter().map(|at| at + 42).chain([self.end + 16]);
            for field in fields.collect::<Vec<_>>() {
                let old = u32::from_le_bytes(self.bytes[field..field + 4].try_into().expect("four bytes"));
                if old as usize >= at {
                    let new = old + u32::try_from(bytes.len()).expect("a small archive");
                    self.bytes[field..field + 4].copy_from_slice(&new.to_le_bytes());
                }
            }
        }
        self.bytes.splice(at..at, bytes.iter().copied());
        self
    }

    /// Cut off behind so many bytes.
    pub(crate) fn cut(mut self, length: usize) -> Self {
        self.bytes.truncate(length);
        self
    }

    /// With the end record behind a ZIP64 end record of these fields (disks, entries twice, length and offset of the
    /// directory) and its locator.
    pub(crate) fn zip64(self, fields: [u64; 4]) -> Self {
        let mut records = Vec::from(*b"PK\x06\x06");
        records.extend(44u64.to_le_bytes());
        records.extend([45, 0, 45, 0]);
        records.extend([0; 8]);
        records.extend(fields.iter().flat_map(|n| n.to_le_bytes()));
        records.extend(b"PK\x06\x07\0\0\0\0");
        records.extend((self.end as u64).to_le_bytes());
        records.extend(1u32.to_le_bytes());
        let at = self.end;
        let mut zip = self.insert(at, &records, false);
        zip.end += records.len();
        let end = zip.end;
        zip.put(end + 8, [0xff; 12])
    }
}

/// The bytes of a ZIP64 field with these numbers.
pub(crate) fn zip64_field(numbers: &[u64]) -> Vec<u8> {
    let mut field = vec![1, 0, u8::try_from(numbers.len() * 8).expect("few numbers"), 0];
    field.extend(numbers.iter().flat_map(|n| n.to_le_bytes()));
    field
}

/// An archive of these entries. More than 65,535 wrap around in the end record: see [`Zip::zip64`].
pub(crate) fn zip(entries: &[Entry]) -> Zip {
    let mut out = Vec::new();
    let (mut local, mut data, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
    let u16_of = |n: usize| u16::try_from(n).expect("a short field").to_le_bytes();
    for entry in entries {
        local.push(out.len());
        offsets.push(u32::try_from(out.len()).expect("a small archive"));
        let facts = entry.facts();
        let name = entry.local_name.as_ref().unwrap_or(&entry.name);
        let extra = entry.local_extra.as_ref().unwrap_or(&entry.extra);
        let described = entry.flags & 8 != 0;
        out.extend(b"PK\x03\x04");
        out.extend(
            [20, entry.flags, entry.method, 0, 33]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        let early = if described { [0; 3] } else { facts };
        out.extend(early.iter().flat_map(|n| n.to_le_bytes()));
        out.extend(u16_of(name.len()));
        out.extend(u16_of(extra.len()));
        out.extend(name);
        out.extend(extra);
        data.push(out.len());
        out.extend(entry.data());
        if described {
            out.extend(b"PK\x07\x08");
            out.extend(facts.iter().flat_map(|n| n.to_le_bytes()));
        }
    }
    let start = out.len();
    let mut central = Vec::new();
    for (entry, offset) in entries.iter().zip(offsets) {
        central.push(out.len());
        out.extend(b"PK\x01\x02");
        out.extend([20, 3]);
        out.extend(
            [20, entry.flags, entry.method, 0, 33]
                .iter()
                .flat_map(|n| n.to_le_bytes()),
        );
        out.extend(entry.facts().iter().flat_map(|n| n.to_le_bytes()));
        out.extend(u16_of(entry.name.len()));
        out.extend(u16_of(entry.extra.len()));
        out.extend(u16_of(entry.comment.len()));
        out.extend([0; 4]);
        out.extend((entry.mode << 16).to_le_bytes());
        out.extend(entry.offset.unwrap_or(offset).to_le_bytes());
        out.extend(&entry.name);
        out.extend(&entry.extra);
        out.extend(&entry.comment);
    }
    let end = out.len();
    let wrapped = u16::try_from(entries.len() & 0xffff)
        .expect("sixteen bits")
        .to_le_bytes();
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(wrapped);
    out.extend(wrapped);
    out.extend(u32::try_from(end - start).expect("a small archive").to_le_bytes());
    out.extend(u32::try_from(start).expect("a small archive").to_le_bytes());
    out.extend([0; 2]);
    Zip {
        bytes: out,
        local,
        data,
        central,
        end,
    }
}

/// The manifest that cofre would write for these entries, as text.
pub(crate) fn manifest(name: &str, entries: &[Entry]) -> String {
    let rows: Vec<_> = entries.iter().map(row).collect();
    let files = entries.iter().filter(|e| e.mode & 0o170_000 == 0o100_000).count();
    format!(
        r#"{{"format":1,"id":1,"name":"{name}","type":"manual","plan":"manual","timestamp":"2026-01-01T02:00:00.000000","started_at":"2026-01-01T02:00:00.000000-03:00","status":"completed","component_version":"0.1.0","wit_version":"0.1.0","file_count":{files},"source_bytes":0,"databases":[],"skipped":[],"entries":[{}]}}"#,
        rows.join(",")
    )
}

fn row(entry: &Entry) -> String {
    let name = String::from_utf8_lossy(&entry.name);
    let path = serde_json::Value::from(name.trim_end_matches('/'));
    let mode = format!("{:04o}", entry.mode & 0o7777);
    let size = entry
        .size
        .unwrap_or_else(|| u32::try_from(entry.content.len()).expect("a small archive"));
    let crc = format!("{:08x}", entry.crc.unwrap_or_else(|| entry.true_crc()));
    match entry.mode & 0o170_000 {
        0o040_000 => format!(r#"{{"path":{path},"kind":"directory","size":0,"mode":"{mode}"}}"#),
        0o120_000 => {
            let target = serde_json::Value::from(String::from_utf8_lossy(&entry.content));
            format!(
                r#"{{"path":{path},"kind":"symlink","size":{size},"mode":"{mode}","crc32":"{crc}","target":{target}}}"#
            )
        }
        _ => format!(r#"{{"path":{path},"kind":"file","size":{size},"mode":"{mode}","crc32":"{crc}"}}"#),
    }
}
