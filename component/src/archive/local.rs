//! The headers beside an entry's data, held against the central directory: no name or size counts that is not
//! in both, and between the end of the data and the next entry there is nothing unknown.

use super::directory::Location;
use super::fields::{parse_extra, u16_at, u32_at, u64_at, widen};
use super::reader::corrupt;
use super::window::Window;
use super::writer::EntryKind;
use crate::error::Result;

const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;
/// Length of a local header without name and extra field.
pub(super) const LOCAL_SIZE: usize = 30;

/// The flag that the sizes follow behind the data.
const SIZES_FOLLOW: u16 = 1 << 3;
/// Bits that tell the compressor's effort, which may differ.
const EFFORT: u16 = 1 << 1 | 1 << 2;

/// Compares the local header of the entry `at`, whose path is `name`, with the central one. Gives where the data begins
/// and ends.
pub(super) fn check_header(window: &mut Window, at: &Location, name: &str) -> Result<(u64, u64)> {
    let fixed = window.exact(at.offset, LOCAL_SIZE)?;
    if u32_at(fixed, 0) != LOCAL {
        return Err(corrupt(
            "its local header is not where the central directory says",
        ));
    }
    let [name_len, extra_len] = [26, 28].map(|i| usize::from(u16_at(fixed, i)));
    let bytes = window.exact(at.offset, LOCAL_SIZE + name_len + extra_len)?;
    let data = at.offset + bytes.len() as u64;
    let (fixed, rest) = bytes.split_at(LOCAL_SIZE);
    let (local_name, extra) = rest.split_at(name_len);
    let slash: &[u8] = match at.kind {
        EntryKind::Directory => b"/",
        EntryKind::File | EntryKind::Symlink => b"",
    };
    if local_name.strip_prefix(name.as_bytes()) != Some(slash) {
        return Err(corrupt(format!(
            "its local header has another name, {}",
            local_name.escape_ascii()
        )));
    }
    if (u16_at(fixed, 6) ^ at.flags) & !EFFORT != 0 || u16_at(fixed, 8) != at.method {
        return Err(corrupt("its local header has other flags or another method"));
    }
    let crc32 = u32_at(fixed, 14);
    let [size, compressed] = widen(
        [u32_at(fixed, 22), u32_at(fixed, 18)],
        parse_extra(extra, local_name)?.zip64,
    )?;
    let same = (crc32, size, compressed) == (at.crc32, at.size, at.compressed_size);
    let open = at.flags & SIZES_FOLLOW != 0 && crc32 == 0 && is_open(size) && is_open(compressed);
    if !same && !open {
        return Err(corrupt("its local header has other sizes or another checksum"));
    }
    match data.checked_add(at.compressed_size) {
        Some(end) if end <= at.limit => Ok((data, end)),
        _ => Err(corrupt("its data reaches into what follows")),
    }
}

/// A size that a local header leaves open.
fn is_open(size: u64) -> bool {
    matches!(size, 0 | 0xffff_ffff | u64::MAX)
}

/// Checks what stands between the end of the data and the next entry: nothing, or a data descriptor that repeats
/// the central directory.
pub(super) fn check_tail(window: &mut Window, at: &Location, data_end: u64) -> Result<()> {
    let gap = at.limit.saturating_sub(data_end);
    if at.flags & SIZES_FOLLOW == 0 {
        return match gap {
            0 => Ok(()),
            _ => Err(corrupt(format!("{gap} bytes behind its data belong to nothing"))),
        };
    }
    // With or without signature, with 32-bit or 64-bit sizes.
    let len = match gap {
        12 | 16 | 20 | 24 => usize::try_from(gap).unwrap_or(0),
        _ => {
            return Err(corrupt(format!(
                "{gap} bytes behind its data are not a data descriptor"
            )));
        }
    };
    let mut fields = window.exact(data_end, len)?;
    if matches!(len, 16 | 24) {
        if u32_at(fields, 0) != DESCRIPTOR {
            return Err(corrupt("its data descriptor is damaged"));
        }
        fields = &fields[4..];
    }
    let (compressed, size) = if fields.len() == 12 {
        (u64::from(u32_at(fields, 4)), u64::from(u32_at(fields, 8)))
    } else {
        (u64_at(fields, 4), u64_at(fields, 12))
    };
    if (u32_at(fields, 0), size, compressed) == (at.crc32, at.size, at.compressed_size) {
        Ok(())
    } else {
        Err(corrupt("its data descriptor has other sizes or another checksum"))
    }
}
