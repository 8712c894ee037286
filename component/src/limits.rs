//! What an archive may unpack to: the host sets it, verify and restore hold to it.
//!
//! A manifest, whose sizes are compared before anything is unpacked, vouches for any ratio: ten sparse gigabytes that
//! cofre packed to almost nothing are no bomb. Nothing vouches for an archive without one.

use std::cell::Cell;

/// Limits of unpacking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Free bytes where a restore writes.
    pub room: u64,
    /// An archive without a manifest may claim this many bytes,
    pub foreign_bytes: u64,
    /// or this many times its own size, whichever is more.
    pub foreign_ratio: u64,
}

impl UnpackLimits {
    /// Where the host sets none.
    pub const DEFAULT: Self = Self {
        room: u64::MAX,
        foreign_bytes: 4 << 30,
        foreign_ratio: 250,
    };

    /// Sets the limits of this instance, which has one thread.
    pub fn set(self) {
        CURRENT.set(self);
    }

    /// Those that were set last.
    #[must_use]
    pub fn current() -> Self {
        CURRENT.get()
    }

    /// The most that an archive of `size` bytes without a manifest may unpack to.
    pub(crate) fn foreign(&self, size: u64) -> u64 {
        self.foreign_bytes.max(size.saturating_mul(self.foreign_ratio))
    }
}

thread_local! {
    static CURRENT: Cell<UnpackLimits> = const { Cell::new(UnpackLimits::DEFAULT) };
}
