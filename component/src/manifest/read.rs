//! Reading a manifest as a stream: the rows go to the caller one by one, so that 200,000 of them need no memory.

use std::cell::RefCell;
use std::fmt;
use std::io::Read;

use serde::de::value::{MapAccessDeserializer, StrDeserializer, U32Deserializer};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::{MANIFEST_FORMAT, MANIFEST_NAME, ManifestEntry, ManifestHeader};
use crate::archive::reader::shown;
use crate::error::{Error, ErrorKind, Result};

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
    let mut json = serde_json::Deserializer::from_reader(reader);
    let parsed = json
        .deserialize_map(ManifestVisitor { row, failed: &failed })
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

type Failed = RefCell<Option<Error>>;

struct ManifestVisitor<'a> {
    row: &'a mut dyn FnMut(ManifestEntry) -> Result<()>,
    /// Our own error, which does not fit through serde's.
    failed: &'a Failed,
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
        while let Some(row) = seq.next_element()? {
            if let Err(e) = (self.0.row)(row) {
                *self.0.failed.borrow_mut() = Some(e);
                return Err(de::Error::custom("row"));
            }
        }
        Ok(())
    }
}
