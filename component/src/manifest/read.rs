//! Reading a manifest as a stream: the rows go to the caller one by one, so that 200,000 of them need no memory.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::value::{MapAccessDeserializer, StrDeserializer, U32Deserializer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::{MANIFEST_FORMAT, MANIFEST_NAME, ManifestEntry, ManifestHeader};
use crate::archive::reader::shown;
use crate::error::{Error, ErrorKind, Result};

/// Most bytes of a manifest outside of its rows, all of which may be in memory at the same time.
const HEADER_BYTES: u64 = 32 << 20;

/// Most bytes of one row: room for [`MAX_BLOCKS`].
const ROW_BYTES: u64 = 40 << 20;

/// Most blocks of one file, which are those of 16 TiB.
const MAX_BLOCKS: usize = 4 << 20;

/// Reads a manifest; each of its rows is given to `row`. `None` for a JSON object that is not cofre's (the
/// original system's has no `format` as its first field).
///
/// # Errors
/// `Corrupt` for what is not JSON or lacks a field, `Unsupported` for a newer format, what `row` returns, and an
/// I/O error of `reader` as `Corrupt`.
pub fn read_manifest(
    reader: &mut dyn Read,
    row: &mut dyn FnMut(ManifestEntry) -> Result<()>,
) -> Result<Option<ManifestHeader>> {
    let failed = RefCell::new(None);
    let meter = Meter::default();
    meter.allow(HEADER_BYTES);
    let metered = BufReader::new(Metered {
        reader,
        meter: &meter,
    });
    let mut json = serde_json::Deserializer::from_reader(metered);
    let parsed = json
        .deserialize_map(ManifestVisitor {
            row,
            failed: &failed,
            meter: &meter,
        })
        .and_then(|header| json.end().map(|()| header));
    match (parsed, failed.into_inner()) {
        (_, Some(e)) => Err(e),
        (Ok(header), None) => Ok(header),
        (Err(e), None) => Err(Error::new(
            ErrorKind::Corrupt,
            "read manifest",
            // It may quote what the manifest says.
            format!("{MANIFEST_NAME} is damaged: {}", shown(&e.to_string())),
        )),
    }
}

/// The lengths of a file's blocks, no more than there can be: a short text has room for many.
pub(super) fn blocks<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Vec<u64>>, D::Error> {
    struct Blocks;
    impl<'de> Visitor<'de> for Blocks {
        type Value = Option<Vec<u64>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the lengths of blocks")
        }

        fn visit_none<E>(self) -> std::result::Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_some<D: Deserializer<'de>>(self, some: D) -> std::result::Result<Self::Value, D::Error> {
            some.deserialize_seq(self)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
            let mut lengths = Vec::new();
            while let Some(length) = seq.next_element()? {
                if lengths.len() == MAX_BLOCKS {
                    return Err(de::Error::custom("a row has more blocks than a file can have"));
                }
                lengths.push(length);
            }
            Ok(Some(lengths))
        }
    }
    deserializer.deserialize_option(Blocks)
}

/// How much has been read, and how much may be: small text can be large in memory, so no piece that is there as a
/// whole may be long.
#[derive(Default)]
struct Meter {
    used: Cell<u64>,
    until: Cell<u64>,
}

impl Meter {
    /// From here on, so many bytes.
    fn allow(&self, bytes: u64) {
        self.until.set(self.used.get().saturating_add(bytes));
    }

    fn left(&self) -> u64 {
        self.until.get().saturating_sub(self.used.get())
    }
}

struct Metered<'a> {
    reader: &'a mut dyn Read,
    meter: &'a Meter,
}

impl Read for Metered<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.meter.left() == 0 {
            return Err(io::Error::other("its header, or one row, is too long to be real"));
        }
        let n = self.reader.read(out)?;
        self.meter.used.update(|used| used + n as u64);
        Ok(n)
    }
}

type Failed = RefCell<Option<Error>>;

struct ManifestVisitor<'a> {
    row: &'a mut dyn FnMut(ManifestEntry) -> Result<()>,
    /// Our own error, which does not fit through serde's.
    failed: &'a Failed,
    meter: &'a Meter,
}

impl<'de> Visitor<'de> for ManifestVisitor<'_> {
    type Value = Option<ManifestHeader>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some("format") => {}
            None => return Ok(None),
            Some(_) => {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(None);
            }
        }
        let format = map.next_value::<u32>()?;
        if format == 0 || format > MANIFEST_FORMAT {
            *self.failed.borrow_mut() = Some(
                Error::new(
                    ErrorKind::Unsupported,
                    "read manifest",
                    format!("it has format {format}, this version reads {MANIFEST_FORMAT}"),
                )
                .remedy("use a newer cofre"),
            );
            return Err(de::Error::custom("format"));
        }
        let mut has_rows = false;
        let header = ManifestHeader::deserialize(MapAccessDeserializer::new(HeaderFields {
            map,
            format: Some(format),
            pending_format: false,
            rows: self,
            has_rows: &mut has_rows,
        }))?;
        if !has_rows {
            return Err(de::Error::missing_field("entries"));
        }
        Ok(Some(header))
    }
}

/// The fields of the header as a map of their own: `format` again, and `entries` taken out on the way.
struct HeaderFields<'a, 'b, A> {
    map: A,
    format: Option<u32>,
    pending_format: bool,
    rows: ManifestVisitor<'a>,
    has_rows: &'b mut bool,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for HeaderFields<'_, '_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> std::result::Result<Option<K::Value>, A::Error> {
        if self.format.is_some() && !self.pending_format {
            self.pending_format = true;
            let key: StrDeserializer<'_, A::Error> = "format".into_deserializer();
            return seed.deserialize(key).map(Some);
        }
        while let Some(key) = self.map.next_key::<String>()? {
            if key != "entries" {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            if std::mem::replace(self.has_rows, true) {
                return Err(de::Error::duplicate_field("entries"));
            }
            self.map.next_value_seed(Rows(&mut self.rows))?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> std::result::Result<V::Value, A::Error> {
        match self.format.take() {
            Some(format) => {
                let value: U32Deserializer<A::Error> = format.into_deserializer();
                seed.deserialize(value)
            }
            None => self.map.next_value_seed(seed),
        }
    }
}

struct Rows<'a, 'b>(&'a mut ManifestVisitor<'b>);

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rows of a manifest")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<(), A::Error> {
        let meter = self.0.meter;
        let left = meter.left();
        meter.allow(ROW_BYTES);
        while let Some(row) = seq.next_element()? {
            meter.allow(ROW_BYTES);
            if let Err(e) = (self.0.row)(row) {
                *self.0.failed.borrow_mut() = Some(e);
                return Err(de::Error::custom("row"));
            }
        }
        meter.allow(left);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"format":1,"id":7,"name":"n","type":"manual","plan":"manual","timestamp":"t","started_at":"t",
        "status":"completed","component_version":"0","wit_version":"0","file_count":0,"source_bytes":0,"databases":[]"#;

    fn rows_of(text: &str) -> Result<usize> {
        let mut rows = 0;
        read_manifest(&mut text.as_bytes(), &mut |_| {
            rows += 1;
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn many_rows_are_read_and_nothing_that_grows_in_memory_is() {
        let row = r#"{"path":"a","kind":"file","size":1}"#;
        let many = format!(
            "{HEAD},\"skipped\":[],\"entries\":[{row}{}]}}",
            format!(",{row}").repeat(1_200_000)
        );
        assert!(many.len() as u64 > HEADER_BYTES);
        assert_eq!(rows_of(&many).unwrap(), 1_200_001);
        let (piece, text) = ("1,".repeat(17 << 20), "x".repeat(41 << 20));
        let blocks = format!(
            r#"{HEAD},"skipped":[],"entries":[{{"path":"a","kind":"file","size":1,"blocks":[{piece}1]}}]}}"#
        );
        let e = rows_of(&blocks).unwrap_err();
        assert!(e.message.contains("more blocks than a file can have"), "{e}");
        for hostile in [
            format!(r#"{HEAD},"skipped":[],"entries":[{{"path":"{text}","kind":"file","size":1}}]}}"#),
            format!(r#"{HEAD},"other":[{piece}1],"skipped":[],"entries":[]}}"#),
            format!(r#"{HEAD},"skipped":[],"entries":[{row}],"{text}":1}}"#),
            format!(r#"{{"{text}":1}}"#),
        ] {
            let e = rows_of(&hostile).unwrap_err();
            assert_eq!(e.kind, ErrorKind::Corrupt);
            assert!(e.message.contains("too long to be real"), "{e}");
        }
    }
}
