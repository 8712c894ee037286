//! How fast bytes may leave: one budget for all requests of a store together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Largest piece of a body that leaves at once; a slow line gets smaller ones, so that it flows evenly.
const PIECE: usize = 64 * 1024;
const SMALLEST_PIECE: usize = 4 * 1024;

/// The budget.
#[derive(Debug)]
pub(super) struct Pace {
    /// Bytes a second; none is as fast as it goes.
    rate: Option<u64>,
    /// When the line is free again.
    free: Mutex<Option<Instant>>,
}

impl Pace {
    pub(super) const fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            free: Mutex::new(None),
        }
    }

    /// How many bytes may leave in one piece: a tenth of a second's worth.
    pub(super) fn piece(&self) -> usize {
        self.rate.map_or(PIECE, |rate| {
            usize::try_from(rate / 10)
                .unwrap_or(PIECE)
                .clamp(SMALLEST_PIECE, PIECE)
        })
    }

    /// Books a piece: when it may leave. Unused time is not saved up for later, so that nothing leaves in a burst.
    fn book(&self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rate else { return now };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free.map_or(now, |free| free.max(now));
        let takes = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        *free = Some(at + takes);
        at
    }

    /// When so many bytes may leave, for those who wait in their own way; `None` is at once.
    pub(super) fn due(&self, bytes: usize) -> Option<Instant> {
        self.rate?;
        Some(self.book(Instant::now(), bytes))
    }

    /// Waits until so many bytes may leave.
    pub(super) async fn wait(&self, bytes: usize) {
        let now = Instant::now();
        let at = self.book(now, bytes);
        if at > now {
            tokio::time::sleep_until(at.into()).await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn no_more_leaves_than_the_rate_allows_however_many_ask() {
        let pace = Pace::new(Some(100_000));
        let start = Instant::now();
        let piece = pace.piece();
        assert_eq!(piece, 10_000);
        let mut now = start;
        for turn in 0_u64..1_000 {
            // Four parts ask at the same moment, and every seventh time after a long pause.
            let gap = if turn % 7 == 0 { 900 } else { 1 };
            now += Duration::from_millis(gap);
            for _ in 0..4 {
                let before = pace.free.lock().unwrap().unwrap_or(start);
                let at = pace.book(now, piece);
                assert!(at >= now && at >= before, "two pieces overlap");
                let after = pace.free.lock().unwrap().unwrap();
                assert_eq!(after - at, Duration::from_millis(100), "a piece takes its time");
            }
        }
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let pace = Pace::new(None);
        let now = Instant::now();
        assert_eq!(pace.book(now, usize::MAX), now);
        assert_eq!(pace.piece(), PIECE);
    }

    #[test]
    fn the_smallest_rate_still_moves() {
        let pace = Pace::new(Some(1));
        let now = Instant::now();
        assert_eq!(pace.book(now, 3), now);
        assert_eq!(pace.book(now, 1), now + Duration::from_secs(3));
        assert_eq!(pace.piece(), SMALLEST_PIECE);
    }
}
