//! The bytes of ZIP headers (PKWARE's APPNOTE 6.3.10, Info-ZIP's extended timestamp). Order of entries and
//! buffering are the writer's.

use super::{EntryKind, Meta};
use crate::archive::codec::Method;
use crate::archive::local::LOCAL_SIZE;

/// Names are UTF-8.
const FLAG_UTF8: u16 = 1 << 11;
/// Sizes and CRC follow the data.
const FLAG_DESCRIPTOR: u16 = 1 << 3;
/// "Made by" Unix, which is what makes the upper half of the attributes a mode.
const MADE_BY_UNIX: u16 = 3 << 8;
const VERSION_ZIP64: u16 = 45;
const EXTRA_ZIP64: u16 = 0x0001;
const EXTRA_TIMESTAMP: u16 = 0x5455;
/// 1980-01-01 00:00:00, the first DOS time.
const DOS_MIN: i64 = 315_532_800;
/// 2107-12-31 23:59:58, the last one.
const DOS_MAX: i64 = 4_354_819_198;

/// Sizes and CRC of an entry, all 0 where they follow the data.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    pub(super) crc32: u32,
    pub(super) size: u64,
    pub(super) stored: u64,
}

/// What local and central header have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    version: u16,
    flags: u16,
    method: Method,
    dos: u32,
    /// The extended timestamp, where the time fits it.
    unix: Option<i32>,
    attributes: u32,
    directory: bool,
    zip64: bool,
}

fn put16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// A 32-bit field, full of ones where the value stands in the ZIP64 field.
fn low32(value: u64, elsewhere: bool) -> u32 {
    if elsewhere {
        u32::MAX
    } else {
        u32::try_from(value).unwrap_or(u32::MAX)
    }
}

/// Date and time as DOS has them, in UTC and clamped to the years that DOS knows.
fn dos_time(seconds: i64) -> u32 {
    use chrono::{DateTime, Datelike, Timelike};
    let clamped = seconds.clamp(DOS_MIN, DOS_MAX);
    let Some(t) = DateTime::from_timestamp(clamped, 0) else {
        return 0x0021_0000;
    };
    let year = u32::try_from(t.year() - 1980).unwrap_or(0);
    let date = (year << 9) | (t.month() << 5) | t.day();
    let time = (t.hour() << 11) | (t.minute() << 5) | (t.second() / 2);
    (date << 16) | time
}

fn attributes(meta: &Meta<'_>) -> u32 {
    // An unknown mode is written as the narrowest: a secret must not come out wider than it went in.
    let (kind, unknown, dos) = match meta.kind {
        EntryKind::File => (0o100_000, 0o600, 0),
        EntryKind::Directory => (0o040_000, 0o700, 0x10),
        EntryKind::Symlink => (0o120_000, 0o777, 0),
    };
    ((kind | (meta.mode.unwrap_or(unknown) & 0o7777)) << 16) | dos
}

impl Fixed {
    pub(super) fn new(meta: &Meta<'_>, method: Method, descriptor: bool, zip64: bool) -> Self {
        let seconds = meta.mtime_ns.map(|ns| ns.div_euclid(1_000_000_000));
        let version = match method {
            Method::Zstd => 63,
            _ if zip64 => VERSION_ZIP64,
            _ => 20,
        };
        Self {
            version,
            flags: FLAG_UTF8 | if descriptor { FLAG_DESCRIPTOR } else { 0 },
            method,
            dos: dos_time(seconds.unwrap_or(DOS_MIN)),
            unix: seconds.and_then(|s| i32::try_from(s).ok()),
            attributes: attributes(meta),
            directory: meta.kind == EntryKind::Directory,
            zip64,
        }
    }

    fn name(self, path: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(path.as_bytes());
        if self.directory {
            out.push(b'/');
        }
    }

    fn name_length(self, path: &str) -> u16 {
        u16::try_from(path.len() + usize::from(self.directory)).unwrap_or(u16::MAX)
    }

    fn timestamp(self, out: &mut Vec<u8>) {
        if let Some(seconds) = self.unix {
            put16(out, EXTRA_TIMESTAMP);
            put16(out, 5);
            out.push(1); // only the modification time follows
            out.extend_from_slice(&seconds.to_le_bytes());
        }
    }

    /// The fields from "version needed" to the uncompressed size, the same in both headers.
    fn middle(self, sizes: Sizes, zip64: bool, out: &mut Vec<u8>) {
        put16(out, self.flags);
        put16(out, self.method as u16);
        put32(out, self.dos);
        put32(out, sizes.crc32);
        put32(out, low32(sizes.stored, zip64));
        put32(out, low32(sizes.size, zip64));
    }

    fn local_extra(self) -> u16 {
        let timestamp = if self.unix.is_some() { 9 } else { 0 };
        timestamp + if self.zip64 { 20 } else { 0 }
    }

    /// Bytes of the header in front of an entry.
    pub(super) fn local_length(self, path: &str) -> u64 {
        LOCAL_SIZE as u64 + u64::from(self.name_length(path)) + u64::from(self.local_extra())
    }

    /// The header in front of an entry.
    pub(super) fn local(self, path: &str, sizes: Sizes, out: &mut Vec<u8>) {
        put32(out, 0x0403_4b50);
        put16(out, self.version);
        self.middle(sizes, self.zip64, out);
        put16(out, self.name_length(path));
        put16(out, self.local_extra());
        self.name(path, out);
        if self.zip64 {
            put16(out, EXTRA_ZIP64);
            put16(out, 16);
            put64(out, sizes.size);
            put64(out, sizes.stored);
        }
        self.timestamp(out);
    }

    /// The record of an entry in the central directory.
    pub(super) fn central(
        self,
        path: &str,
        sizes: Sizes,
        zip64: bool,
        start: u64,
        limit: u64,
        out: &mut Vec<u8>,
    ) {
        let far = start >= limit;
        let zip64_length = if zip64 { 16 } else { 0 } + if far { 8 } else { 0 };
        let version = if far {
            self.version.max(VERSION_ZIP64)
        } else {
            self.version
        };
        put32(out, 0x0201_4b50);
        put16(out, MADE_BY_UNIX | version);
        put16(out, version);
        self.middle(sizes, zip64, out);
        put16(out, self.name_length(path));
        let extra =
            if self.unix.is_some() { 9 } else { 0 } + if zip64_length > 0 { 4 + zip64_length } else { 0 };
        put16(out, extra);
        put16(out, 0); // comment
        put16(out, 0); // disk
        put16(out, 0); // internal attributes
        put32(out, self.attributes);
        put32(out, low32(start, far));
        self.name(path, out);
        if zip64_length > 0 {
            put16(out, EXTRA_ZIP64);
            put16(out, zip64_length);
            if zip64 {
                put64(out, sizes.size);
                put64(out, sizes.stored);
            }
            if far {
                put64(out, start);
            }
        }
        self.timestamp(out);
    }
}

impl Sizes {
    /// What follows the data of a streamed entry.
    pub(super) fn descriptor(self, zip64: bool, out: &mut Vec<u8>) {
        put32(out, 0x0807_4b50);
        put32(out, self.crc32);
        if zip64 {
            put64(out, self.stored);
            put64(out, self.size);
        } else {
            put32(out, low32(self.stored, false));
            put32(out, low32(self.size, false));
        }
    }
}

/// What stands at the end: the ZIP64 records where they are needed, then the classic one.
pub(super) fn end(count: u64, start: u64, length: u64, limit: u64, out: &mut Vec<u8>) {
    let zip64 = count >= 0xFFFF || start >= limit || length >= limit;
    if zip64 {
        put32(out, 0x0606_4b50);
        put64(out, 44);
        put16(out, MADE_BY_UNIX | VERSION_ZIP64);
        put16(out, VERSION_ZIP64);
        put32(out, 0);
        put32(out, 0);
        put64(out, count);
        put64(out, count);
        put64(out, length);
        put64(out, start);
        put32(out, 0x0706_4b50);
        put32(out, 0);
        put64(out, start + length);
        put32(out, 1);
    }
    put32(out, 0x0605_4b50);
    put16(out, 0);
    put16(out, 0);
    let short = if count >= 0xFFFF {
        u16::MAX
    } else {
        u16::try_from(count).unwrap_or(u16::MAX)
    };
    put16(out, short);
    put16(out, short);
    put32(out, low32(length, length >= limit));
    put32(out, low32(start, start >= limit));
    put16(out, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dos_times_are_clamped_to_the_years_that_dos_knows() {
        assert_eq!(dos_time(i64::MIN), 0x0021_0000);
        assert_eq!(dos_time(0), 0x0021_0000);
        assert_eq!(dos_time(DOS_MIN + 3), 0x0021_0001);
        assert_eq!(dos_time(i64::MAX), dos_time(DOS_MAX));
        assert_eq!(
            dos_time(DOS_MAX),
            (((127 << 9) | (12 << 5) | 31) << 16) | (23 << 11) | (59 << 5) | 29
        );
    }
}
