//! Numbers and extra fields of ZIP headers, shared by the central and the local ones.

use super::reader::{corrupt, unsupported};
use crate::error::Result;

/// The first `N` of `bytes`, which has at least as many.
pub(super) fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(&bytes[at..]))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(&bytes[at..]))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(&bytes[at..]))
}

/// What cofre reads of an entry's extra fields.
pub(super) struct Extra<'a> {
    /// Content of the ZIP64 field.
    pub(super) zip64: Option<&'a [u8]>,
    /// Modification time in seconds since 1970.
    pub(super) mtime: Option<i64>,
}

/// Parses the extra fields of an entry whose header has the name `raw_name`.
pub(super) fn parse_extra<'a>(mut extra: &'a [u8], raw_name: &[u8]) -> Result<Extra<'a>> {
    let mut found = Extra {
        zip64: None,
        mtime: None,
    };
    // Up to three bytes of padding are what some programs leave.
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(data) = extra.get(4..4 + len) else {
            return Err(corrupt("an extra field is cut off"));
        };
        extra = &extra[4 + len..];
        match id {
            0x0001 if found.zip64.replace(data).is_some() => {
                return Err(corrupt("the ZIP64 field is there twice"));
            }
            0x5455 if data.len() >= 5 && data[0] & 1 != 0 => {
                found.mtime = Some(i64::from(u32_at(data, 1).cast_signed()));
            }
            0x7075 if data.get(5..).is_some_and(|name| name != raw_name) => {
                return Err(corrupt("the entry has two different names"));
            }
            0x9901 => return Err(unsupported("the entry is encrypted")),
            _ => {}
        }
    }
    Ok(found)
}

/// Takes the saturated ones of the 32-bit fields from the ZIP64 extra field, where they stand in this order.
pub(super) fn widen<const N: usize>(small: [u32; N], zip64: Option<&[u8]>) -> Result<[u64; N]> {
    let mut wide = small.map(u64::from);
    let Some(mut rest) = zip64 else {
        return Ok(wide);
    };
    for field in wide.iter_mut().filter(|f| **f == u64::from(u32::MAX)) {
        if rest.len() < 8 {
            return Err(corrupt("the ZIP64 field is too short"));
        }
        *field = u64_at(rest, 0);
        rest = &rest[8..];
    }
    Ok(wide)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_saturated_fields_are_taken_from_the_zip64_field() {
        let field: Vec<u8> = [5u64, 7].iter().flat_map(|n| n.to_le_bytes()).collect();
        assert_eq!(widen([u32::MAX, 3, u32::MAX], Some(&field)).unwrap(), [5, 3, 7]);
        assert_eq!(widen([u32::MAX], None).unwrap(), [u64::from(u32::MAX)]);
        widen([u32::MAX; 3], Some(&field)).map(|_| ()).unwrap_err();
    }

    #[test]
    fn times_before_1970_are_signed() {
        let mut field = vec![0x55, 0x54, 5, 0, 1];
        field.extend((-86_400i32).to_le_bytes());
        assert_eq!(parse_extra(&field, b"x").unwrap().mtime, Some(-86_400));
    }

    #[test]
    fn cut_and_contradicting_fields_are_refused() {
        for field in [
            &[0x55, 0x54, 9, 0, 1][..],
            &[0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, b'y'],
            &[1, 0, 0, 0, 1, 0, 0, 0],
            &[0x01, 0x99, 0, 0],
        ] {
            assert!(parse_extra(field, b"x").is_err(), "{field:?}");
        }
        assert!(parse_extra(&[0x75, 0x70, 6, 0, 1, 0, 0, 0, 0, b'x'], b"x").is_ok());
    }
}
