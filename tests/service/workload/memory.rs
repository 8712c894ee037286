//! The service's resident memory over time.

use std::time::{Duration, Instant};

/// The most that it may ever have, whatever goes on.
const MOST: u64 = 600 << 20;
/// From this length on, memory also has to be flat.
const LONG: Duration = Duration::from_secs(240);
/// How much more the last third may have than the second one; what grows with each call is far beyond.
const GROWTH: u64 = 24 << 20;

pub(super) struct Memory {
    pid: u32,
    every: Duration,
    total: Duration,
    next: Instant,
    began: Instant,
    samples: Vec<(Duration, u64)>,
}

impl Memory {
    pub(super) fn new(pid: u32, total: Duration) -> Self {
        let every = if total < LONG {
            Duration::from_secs(1)
        } else {
            Duration::from_secs(10)
        };
        Self {
            pid,
            every,
            total,
            next: Instant::now(),
            began: Instant::now(),
            samples: Vec::new(),
        }
    }

    /// Takes a sample when it is time for one.
    pub(super) fn sample(&mut self) {
        if Instant::now() < self.next {
            return;
        }
        self.next += self.every;
        self.samples.push((self.began.elapsed(), resident(self.pid)));
    }

    pub(super) fn report(&self) -> String {
        let shown: Vec<_> = self
            .samples
            .iter()
            .map(|(at, bytes)| format!("{}s {}", at.as_secs(), bytes >> 20))
            .collect();
        format!("resident memory, MiB: {}", shown.join(", "))
    }

    #[track_caller]
    pub(super) fn assert_flat(&self) {
        let most = self.samples.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
        assert!(most < MOST, "{} MiB at most", most >> 20);
        if self.total < LONG {
            return;
        }
        let third = self.samples.len() / 3;
        let average = |part: &[(Duration, u64)]| {
            part.iter().map(|(_, bytes)| bytes).sum::<u64>() / u64::try_from(part.len().max(1)).unwrap()
        };
        let (second, last) = (
            average(&self.samples[third..2 * third]),
            average(&self.samples[2 * third..]),
        );
        assert!(
            last < second + GROWTH,
            "it grows: {} MiB, then {} MiB: {}",
            second >> 20,
            last >> 20,
            self.report()
        );
    }
}

fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .expect("VmRSS");
    kib.trim().parse::<u64>().expect("a number") << 10
}
