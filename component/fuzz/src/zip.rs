//! Archives with everything that may be wrong with one: described, so that a fuzzer changes names, kinds and lies
//! instead of bytes under a checksum.

use libfuzzer_sys::arbitrary;
use structured_zstd::encoding::{CompressionLevel, compress_to_vec};

use crate::place::NAME;

/// A whole archive.
#[derive(Debug, arbitrary::Arbitrary)]
pub struct Archive {
    /// In the order of the central directory.
    pub entries: Vec<Entry>,
    /// Whether there is a manifest with a row for each entry.
    pub manifest: bool,
    /// Bytes that are something else in the end: where, and by what they are changed.
    pub patches: Vec<(u16, u8)>,
    /// Bytes of a local header that differ from the central one.
    pub local_patch: Option<(u8, u8, u8)>,
    /// Bytes before the first entry.
    pub junk: Option<u8>,
}

/// One entry.
#[derive(Debug, arbitrary::Arbitrary)]
pub struct Entry {
    /// Parts of its name; see [`Part`].
    pub name: Vec<Part>,
    /// What its type bits say.
    pub kind: Kind,
    /// What is in it.
    pub content: Content,
    /// How it is compressed.
    pub method: Method,
    /// Whether sizes and CRC stand behind it as well.
    pub descriptor: bool,
    /// Permission bits.
    pub mode: u16,
    /// A CRC that is wrong.
    pub wrong_crc: bool,
    /// A size that is wrong by this.
    pub wrong_size: Option<i8>,
    /// What its row in the manifest gets wrong.
    pub row: RowLie,
}

/// A part of a name.
#[derive(Debug, arbitrary::Arbitrary)]
pub enum Part {
    /// `a`
    A,
    /// `b`
    B,
    /// `/`
    Slash,
    /// `..`
    Up,
    /// `.`
    Dot,
    /// `\`
    Backslash,
    /// `C:`
    Drive,
    /// NUL
    Nul,
    /// `link`, which is the name of a link beside the target
    Link,
    /// `s`, a source's usual name
    S,
    /// `backup_info.json`
    Manifest,
    /// A right-to-left override
    Rtl,
    /// Anything
    Any(char),
    /// 200 times `x`
    Long,
}

/// What an entry is.
#[derive(Debug, arbitrary::Arbitrary, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, FIFO, socket or nothing that is known.
    Other(u8),
    /// Made where there are no modes.
    NoMode,
}

/// A content.
#[derive(Debug, arbitrary::Arbitrary)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A path, for links.
    Path(Vec<Part>),
    /// An absolute path, for links.
    Absolute(Vec<Part>),
    /// One byte so many times.
    Run(u8, u16),
}

/// A compression.
#[derive(Debug, arbitrary::Arbitrary)]
pub enum Method {
    /// None.
    Store,
    /// Deflate.
    Deflate,
    /// Zstandard.
    Zstd,
    /// A number that may mean anything.
    Unknown(u16),
}

/// What a row of the manifest says that is not so.
#[derive(Debug, arbitrary::Arbitrary, PartialEq, Eq)]
pub enum RowLie {
    /// Nothing.
    None,
    /// It is there twice.
    Twice,
    /// It is missing.
    Missing,
    /// Another size.
    Size,
    /// Another mode.
    Mode,
    /// Another target.
    Target,
    /// Recorded as an absolute link that is not in the archive.
    AbsoluteLink,
    /// Blocks of these lengths.
    Blocks(Vec<u64>),
}

/// The text of the parts of a name.
#[must_use]
pub fn text(parts: &[Part]) -> String {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::A => out.push('a'),
            Part::B => out.push('b'),
            Part::Slash => out.push('/'),
            Part::Up => out.push_str(".."),
            Part::Dot => out.push('.'),
            Part::Backslash => out.push('\\'),
            Part::Drive => out.push_str("C:"),
            Part::Nul => out.push('\0'),
            Part::Link => out.push_str("link"),
            Part::S => out.push('s'),
            Part::Manifest => out.push_str("backup_info.json"),
            Part::Rtl => out.push('\u{202e}'),
            Part::Any(c) => out.push(*c),
            Part::Long => out.push_str(&"x".repeat(200)),
        }
    }
    out
}

impl Content {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Path(parts) => text(parts).into_bytes(),
            Self::Absolute(parts) => format!("/{}", text(parts)).into_bytes(),
            Self::Run(byte, length) => vec![*byte; usize::from(*length)],
        }
    }
}

/// An entry as it is written.
struct Flat {
    name: String,
    content: Vec<u8>,
    mode: u16,
    method: u16,
    descriptor: bool,
    wrong_crc: bool,
    wrong_size: i8,
}

impl Archive {
    /// Whether nothing in it was made wrong on purpose.
    #[must_use]
    pub fn is_honest(&self) -> bool {
        let honest = |e: &Entry| {
            !e.wrong_crc && e.wrong_size.unwrap_or(0) == 0 && (!self.manifest || e.row == RowLie::None)
        };
        self.patches.iter().all(|(_, by)| *by == 0)
            && self.local_patch.is_none_or(|(_, _, by)| by == 0)
            && self.junk.is_none()
            && self.entries.iter().all(honest)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut all: Vec<Flat> = self.entries.iter().map(flat).collect();
        if self.manifest {
            all.push(Flat {
                name: "backup_info.json".to_owned(),
                content: self.manifest_text(&all).into_bytes(),
                mode: 0o100_600,
                method: 8,
                descriptor: false,
                wrong_crc: false,
                wrong_size: 0,
            });
        }
        let mut out = vec![0; usize::from(self.junk.unwrap_or(0))];
        let mut directory = Vec::new();
        for entry in &all {
            write(entry, &mut out, &mut directory);
        }
        let start = out.len() as u32;
        if let Some((entry, at, by)) = self.local_patch
            && let Some(header) = local_headers(&all, self.junk).nth(usize::from(entry))
            && let Some(byte) = out.get_mut(header + usize::from(at % 30))
        {
            *byte ^= by;
        }
        out.extend(&directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend([(all.len() as u16).to_le_bytes(); 2].concat());
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend([0; 2]);
        for (at, by) in &self.patches {
            let at = usize::from(*at) % out.len();
            out[at] ^= by;
        }
        out
    }

    fn manifest_text(&self, all: &[Flat]) -> String {
        let mut rows = Vec::new();
        for (entry, flat) in self.entries.iter().zip(all) {
            let row = row(entry, flat);
            match &entry.row {
                RowLie::Twice => rows.extend([row.clone(), row]),
                RowLie::Missing => {}
                _ => rows.push(row),
            }
        }
        let files = rows.iter().filter(|r| r["kind"] == "file").count();
        format!(
            r#"{{"format":1,"id":7,"name":"{NAME}","type":"manual","plan":"manual",
            "timestamp":"2026-11-25T02:00:00.000000","started_at":"2026-11-25T02:00:00.000000-03:00",
            "status":"completed","component_version":"0.1.0","wit_version":"0.1.0","file_count":{files},
            "source_bytes":0,"databases":[],"skipped":[],"entries":{}}}"#,
            serde_json::Value::Array(rows)
        )
    }
}

fn flat(entry: &Entry) -> Flat {
    let mut name = text(&entry.name);
    let bits = match entry.kind {
        Kind::File => 0o100_000,
        Kind::Folder => 0o040_000,
        Kind::Link => 0o120_000,
        // Never a link, which is a kind of its own.
        Kind::Other(n) => u16::from(n % 10) << 12,
        Kind::NoMode => 0,
    };
    let folder = entry.kind == Kind::Folder;
    if folder && !name.ends_with('/') {
        name.push('/');
    }
    Flat {
        content: if folder { Vec::new() } else { entry.content.bytes() },
        mode: if bits == 0 { 0 } else { bits | entry.mode & 0o7777 },
        method: match entry.method {
            _ if folder => 0,
            Method::Store => 0,
            Method::Deflate => 8,
            Method::Zstd => 93,
            Method::Unknown(n) => n,
        },
        descriptor: entry.descriptor,
        wrong_crc: entry.wrong_crc,
        wrong_size: entry.wrong_size.unwrap_or(0),
        name,
    }
}

fn row(entry: &Entry, flat: &Flat) -> serde_json::Value {
    let mut row = serde_json::json!({
        "path": flat.name.trim_end_matches('/'), "size": flat.content.len(),
        "mode": format!("{:04o}", flat.mode & 0o7777), "crc32": format!("{:08x}", crc32fast::hash(&flat.content)),
        "kind": if flat.name.ends_with('/') { "directory" } else if entry.kind == Kind::Link { "symlink" } else { "file" },
    });
    if entry.kind == Kind::Link {
        row["target"] = String::from_utf8_lossy(&flat.content).into_owned().into();
    }
    if flat.mode == 0 {
        row.as_object_mut().unwrap().remove("mode");
    }
    match &entry.row {
        RowLie::Size => row["size"] = (flat.content.len() + 1).into(),
        RowLie::Mode => row["mode"] = "7777".into(),
        RowLie::Target => row["target"] = "elsewhere".into(),
        RowLie::AbsoluteLink => {
            row["kind"] = "absolute-symlink".into();
            row["path"] = format!("{}~", row["path"].as_str().unwrap()).into();
            row["target"] = "/etc/passwd".into();
        }
        RowLie::Blocks(blocks) => row["blocks"] = blocks.clone().into(),
        RowLie::None | RowLie::Twice | RowLie::Missing => {}
    }
    row
}

fn packed(entry: &Flat) -> Vec<u8> {
    match entry.method {
        8 => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, &entry.content).unwrap();
            encoder.finish().unwrap()
        }
        93 => compress_to_vec(&entry.content[..], CompressionLevel::Fastest),
        _ => entry.content.clone(),
    }
}

fn write(entry: &Flat, out: &mut Vec<u8>, directory: &mut Vec<u8>) {
    let packed = packed(entry);
    let offset = out.len() as u32;
    let size = (entry.content.len() as i64 + i64::from(entry.wrong_size)) as u32;
    let facts = [
        crc32fast::hash(&entry.content) ^ u32::from(entry.wrong_crc),
        packed.len() as u32,
        size,
    ];
    let flags = 0x800 | u16::from(entry.descriptor) << 3;
    let shared = [20, flags, entry.method, 0, 33];
    let early = if entry.descriptor { [0; 3] } else { facts };
    let bytes16 = |numbers: &[u16]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let bytes32 = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    out.extend(b"PK\x03\x04");
    out.extend(bytes16(&shared));
    out.extend(bytes32(&early));
    out.extend(bytes16(&[entry.name.len() as u16, 0]));
    out.extend(entry.name.as_bytes());
    out.extend(&packed);
    if entry.descriptor {
        out.extend(b"PK\x07\x08");
        out.extend(bytes32(&facts));
    }
    directory.extend(b"PK\x01\x02");
    directory.extend([20, if entry.mode == 0 { 0 } else { 3 }]);
    directory.extend(bytes16(&shared));
    directory.extend(bytes32(&facts));
    directory.extend(bytes16(&[entry.name.len() as u16, 0, 0, 0, 0]));
    directory.extend(bytes32(&[u32::from(entry.mode) << 16, offset]));
    directory.extend(entry.name.as_bytes());
}

/// Where the local headers begin.
fn local_headers(all: &[Flat], junk: Option<u8>) -> impl Iterator<Item = usize> {
    let mut at = usize::from(junk.unwrap_or(0));
    all.iter().map(move |entry| {
        let here = at;
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        write(entry, &mut out, &mut directory);
        at += out.len();
        here
    })
}
