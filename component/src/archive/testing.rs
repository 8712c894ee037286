//! Archives for tests of the reading side, built by hand so that each field can be wrong.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::archive::BLOCK;
use crate::archive::codec::Codec;
use crate::types::Compression;

/// One entry to write.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    /// Type and permission bits; 0 for "made on Windows".
    pub(crate) mode: u32,
    /// ZIP's number of the compression.
    pub(crate) method: u16,
    /// Compressed in blocks, as the manifest says too.
    pub(crate) blocks: bool,
    pub(crate) descriptor: bool,
    /// Compressed bytes to take as they are.
    pub(crate) raw: Option<Vec<u8>>,
}

/// A stored file of mode 0644; a name that ends with `/` makes a directory.
pub(crate) fn item(name: &str, content: impl AsRef<[u8]>) -> Item {
    Item {
        name: name.to_owned(),
        content: content.as_ref().to_vec(),
        mode: if name.ends_with('/') { 0o040_755 } else { 0o100_644 },
        method: 0,
        blocks: false,
        descriptor: false,
        raw: None,
    }
}

impl Item {
    pub(crate) fn deflated(mut self) -> Self {
        self.method = 8;
        self
    }

    pub(crate) fn zstd(mut self) -> Self {
        self.method = 93;
        self
    }

    /// In blocks, by this method, with a descriptor as cofre writes it.
    pub(crate) fn in_blocks(mut self, method: u16) -> Self {
        self.method = method;
        self.blocks = true;
        self.described()
    }

    /// Compressed by this method into just these bytes.
    pub(crate) fn packed_as(mut self, method: u16, raw: Vec<u8>) -> Self {
        self.method = method;
        self.raw = Some(raw);
        self
    }

    pub(crate) fn described(mut self) -> Self {
        self.descriptor = true;
        self
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn packed_blocks(&self) -> Vec<Vec<u8>> {
        let compression = match self.method {
            8 => Compression::Deflate,
            _ => Compression::Zstd,
        };
        let mut codec = Codec::new(compression, 1).unwrap();
        let blocks = self.content.chunks(BLOCK as usize).map(|block| {
            let mut out = Vec::new();
            codec.block(block, &mut out).unwrap();
            out
        });
        let mut blocks: Vec<_> = blocks.collect();
        blocks
            .last_mut()
            .unwrap()
            .extend_from_slice(codec.method().tail());
        blocks
    }

    pub(crate) fn packed(&self) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        if self.blocks {
            return self.packed_blocks().concat();
        }
        if self.method == 0 {
            return self.content.clone();
        }
        if self.method == 93 {
            use structured_zstd::encoding::{CompressionLevel, compress_to_vec};
            return compress_to_vec(&self.content[..], CompressionLevel::Fastest);
        }
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        std::io::Write::write_all(&mut encoder, &self.content).unwrap();
        encoder.finish().unwrap()
    }

    fn shared_fields(&self) -> [u16; 5] {
        let flags = 0x800 | u16::from(self.descriptor) << 3;
        [20, flags, self.method, 0, 33]
    }
}

/// Offsets of what a test may want to damage.
pub(crate) struct Built {
    pub(crate) bytes: Vec<u8>,
    /// Of each local header.
    pub(crate) local: Vec<usize>,
    /// Of each central header.
    pub(crate) central: Vec<usize>,
    /// Of the end record.
    pub(crate) end: usize,
}

/// A valid archive with these entries.
pub(crate) fn build(items: &[Item]) -> Built {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    let (mut local, mut central) = (Vec::new(), Vec::new());
    for item in items {
        let packed = item.packed();
        let facts = [
            crc32fast::hash(&item.content),
            u32::try_from(packed.len()).unwrap(),
            u32::try_from(item.content.len()).unwrap(),
        ];
        let offset = out.len();
        local.push(offset);
        out.extend(b"PK\x03\x04");
        out.extend(item.shared_fields().iter().flat_map(|n| n.to_le_bytes()));
        let early = if item.descriptor { [0; 3] } else { facts };
        out.extend(early.iter().flat_map(|n| n.to_le_bytes()));
        out.extend(u16::try_from(item.name.len()).unwrap().to_le_bytes());
        out.extend([0; 2]);
        out.extend(item.name.as_bytes());
        out.extend(&packed);
        if item.descriptor {
            out.extend(b"PK\x07\x08");
            out.extend(facts.iter().flat_map(|n| n.to_le_bytes()));
        }
        central.push(directory.len());
        directory.extend(b"PK\x01\x02");
        directory.extend([20, if item.mode == 0 { 0 } else { 3 }]);
        directory.extend(item.shared_fields().iter().flat_map(|n| n.to_le_bytes()));
        directory.extend(facts.iter().flat_map(|n| n.to_le_bytes()));
        directory.extend(u16::try_from(item.name.len()).unwrap().to_le_bytes());
        directory.extend([0; 8]);
        directory.extend((item.mode << 16).to_le_bytes());
        directory.extend(u32::try_from(offset).unwrap().to_le_bytes());
        directory.extend(item.name.as_bytes());
    }
    let start = out.len();
    let count = u16::try_from(items.len()).unwrap().to_le_bytes();
    out.extend(&directory);
    let end = out.len();
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count);
    out.extend(count);
    out.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    out.extend(u32::try_from(start).unwrap().to_le_bytes());
    out.extend([0; 2]);
    Built {
        bytes: out,
        local,
        central: central.into_iter().map(|at| start + at).collect(),
        end,
    }
}

/// The items as cofre would archive them: sorted, with a manifest of one row for each. `tweak` may make it wrong.
pub(crate) fn with_manifest(
    name: &str,
    items: &[Item],
    tweak: impl FnOnce(&mut serde_json::Value),
) -> Vec<u8> {
    let mut items = items.to_vec();
    items.sort_by(|a, b| a.name.trim_end_matches('/').cmp(b.name.trim_end_matches('/')));
    let rows: Vec<_> = items.iter().map(row).collect();
    let mut manifest = serde_json::json!({
        "format": 1, "id": 7, "name": name, "type": "manual", "plan": "manual",
        "timestamp": "2026-11-25T02:00:00.000000", "started_at": "2026-11-25T02:00:00.000000-03:00",
        "status": "completed", "component_version": "0.1.0", "wit_version": "0.1.0",
        "file_count": items.iter().filter(|i| i.mode & 0o170_000 == 0o100_000).count(),
        "source_bytes": 0, "databases": [], "skipped": [], "entries": rows,
    });
    tweak(&mut manifest);
    // serde_json sorts the keys of its map; the format says that `format` is the first field.
    let mut text = String::from("{");
    let fields = manifest.as_object().unwrap();
    let first = fields.iter().filter(|(key, _)| *key == "format");
    for (key, value) in first.chain(fields.iter().filter(|(key, _)| *key != "format")) {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&format!("{key:?}:{value}"));
    }
    text.push('}');
    items.push(item(crate::manifest::MANIFEST_NAME, text).deflated());
    build(&items).bytes
}

fn row(item: &Item) -> serde_json::Value {
    let path = item.name.trim_end_matches('/');
    let crc32 = format!("{:08x}", crc32fast::hash(&item.content));
    let mode = format!("{:04o}", item.mode & 0o7777);
    match item.mode & 0o170_000 {
        0o040_000 => serde_json::json!({"path": path, "kind": "directory", "size": 0, "mode": mode}),
        0o120_000 => serde_json::json!({
            "path": path, "kind": "symlink", "size": item.content.len(), "mode": mode, "crc32": crc32,
            "target": String::from_utf8(item.content.clone()).unwrap(),
        }),
        _ if item.blocks => {
            let blocks = item.packed_blocks();
            let lengths: Vec<_> = blocks.iter().map(Vec::len).collect();
            serde_json::json!({
                "path": path, "kind": "file", "size": item.content.len(), "mode": mode, "crc32": crc32,
                "blocks": lengths,
            })
        }
        _ => serde_json::json!({
            "path": path, "kind": "file", "size": item.content.len(), "mode": mode, "crc32": crc32,
            "mtime": "2026-11-24T10:00:00.123456789Z",
        }),
    }
}
