//! The end records of a ZIP: where its central directory is. They have to be the last bytes of the file; nothing
//! is searched for, so that no two programs can find different ones.

use super::directory::CENTRAL_SIZE;
use super::fields::{array, u16_at, u32_at, u64_at};
use super::reader::{corrupt, unsupported};
use super::window::Window;
use crate::error::Result;

/// Most entries that an archive may have, so that the table fits the sandbox's memory.
pub(crate) const MAX_ENTRIES: u64 = 1_000_000;

const END: u32 = 0x0605_4b50;
const END_SIZE: usize = 22;
const END64: u32 = 0x0606_4b50;
const END64_SIZE: usize = 56;
const LOCATOR: u32 = 0x0706_4b50;
const LOCATOR_SIZE: usize = 20;

/// Where the central directory is.
pub(super) struct Ends {
    /// Number of entries.
    pub(super) entries: u64,
    /// Offset of the first.
    pub(super) start: u64,
    /// Offset behind the last.
    pub(super) end: u64,
}

/// Disk, disk of the directory, entries on this disk, entries, length and offset of the directory.
type Fields = [u64; 6];
const SATURATED: Fields = [0xffff, 0xffff, 0xffff, 0xffff, 0xffff_ffff, 0xffff_ffff];

/// Finds the end record of a file of `size` bytes, and the ZIP64 one where there is one.
pub(super) fn find(window: &mut Window, size: u64) -> Result<Ends> {
    if size == 0 {
        return Err(corrupt("the file is empty"));
    }
    if !b"PK\x03\x04".starts_with(window.some(0, 4)?) && window.some(0, 4)? != b"PK\x05\x06" {
        return Err(corrupt(
            "the file is not a ZIP archive, or something stands before it",
        ));
    }
    let truncated =
        || corrupt("the end record is not at the end: the file is truncated, or something was added");
    let end_at = size.checked_sub(END_SIZE as u64).ok_or_else(truncated)?;
    let end: [u8; END_SIZE] = array(window.exact(end_at, END_SIZE)?);
    if u32_at(&end, 0) != END || u16_at(&end, 20) != 0 {
        return Err(truncated());
    }
    let (fields, directory_end) = choose(small_fields(&end), find64(window, end_at)?, end_at)?;
    let [disk, directory_disk, here, entries, length, start] = fields;
    if disk != 0 || directory_disk != 0 || here != entries {
        return Err(unsupported("the archive is one part of several"));
    }
    if start.checked_add(length) != Some(directory_end) {
        return Err(corrupt(
            "the central directory does not end where the end record begins",
        ));
    }
    if entries > MAX_ENTRIES {
        return Err(unsupported(format!(
            "the archive claims {entries} entries, more than {MAX_ENTRIES}"
        )));
    }
    if entries.saturating_mul(CENTRAL_SIZE as u64) > length {
        return Err(corrupt(
            "the end record counts more entries than the directory can hold",
        ));
    }
    Ok(Ends {
        entries,
        start,
        end: directory_end,
    })
}

fn small_fields(end: &[u8; END_SIZE]) -> Fields {
    [
        u64::from(u16_at(end, 4)),
        u64::from(u16_at(end, 6)),
        u64::from(u16_at(end, 8)),
        u64::from(u16_at(end, 10)),
        u64::from(u32_at(end, 12)),
        u64::from(u32_at(end, 16)),
    ]
}

/// The fields that count, and where the directory has to end.
fn choose(small: Fields, large: Option<(Fields, u64)>, end_at: u64) -> Result<(Fields, u64)> {
    let Some((large, at)) = large else {
        return Ok((small, end_at));
    };
    // What looks like a locator can be the tail of the directory, which then ends right here.
    if small[4] + small[5] == end_at && (2..6).all(|i| small[i] != SATURATED[i]) {
        return Ok((small, end_at));
    }
    if (0..6).all(|i| small[i] == SATURATED[i] || small[i] == large[i]) {
        Ok((large, at))
    } else {
        Err(corrupt("the two end records disagree"))
    }
}

/// The ZIP64 end record and its offset, where a locator in front of the end record names it.
fn find64(window: &mut Window, end_at: u64) -> Result<Option<(Fields, u64)>> {
    let Some(locator_at) = end_at.checked_sub(LOCATOR_SIZE as u64) else {
        return Ok(None);
    };
    let locator: [u8; LOCATOR_SIZE] = array(window.exact(locator_at, LOCATOR_SIZE)?);
    let at = u64_at(&locator, 8);
    if u32_at(&locator, 0) != LOCATOR || at.checked_add(END64_SIZE as u64) != Some(locator_at) {
        return Ok(None);
    }
    let end: [u8; END64_SIZE] = array(window.exact(at, END64_SIZE)?);
    if u32_at(&end, 0) != END64 || u64_at(&end, 4) != END64_SIZE as u64 - 12 {
        return Err(corrupt("the ZIP64 end record is damaged"));
    }
    if u32_at(&locator, 4) != 0 || u32_at(&locator, 16) > 1 {
        return Err(unsupported("the archive is one part of several"));
    }
    let fields = [
        u64::from(u32_at(&end, 16)),
        u64::from(u32_at(&end, 20)),
        u64_at(&end, 24),
        u64_at(&end, 32),
        u64_at(&end, 40),
        u64_at(&end, 48),
    ];
    Ok(Some((fields, at)))
}
