//! Guessing is slow: wrong credentials are counted by the client's address. Good ones are never held back, also
//! not behind a proxy from whose address somebody guesses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

/// Wrong credentials that an address has at once, for somebody who mistypes and for a job with an old token.
const BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// And one more for each of these.
const PERIOD: Duration = Duration::from_secs(6);
/// Addresses that are remembered. Beyond that all new ones share one count; each takes about 100 bytes.
const ADDRESSES: usize = 50_000;
/// From this number on, those that have served their time are forgotten, at most once a [`SWEEP`].
const SWEEP_FROM: usize = 1_000;
const SWEEP: Duration = Duration::from_secs(10);

/// The address that stands for all that can't be remembered; no client has it.
const CROWD: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Counts wrong credentials.
pub(super) struct Throttle {
    limiter: RateLimiter<IpAddr, DashMapStateStore<IpAddr>, DefaultClock>,
    clock: DefaultClock,
    swept: Mutex<Instant>,
    addresses: usize,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("addresses", &self.limiter.len())
            .finish_non_exhaustive()
    }
}

impl Throttle {
    pub(super) fn new() -> Self {
        Self::with(ADDRESSES)
    }

    fn with(addresses: usize) -> Self {
        // None only for a period of zero.
        let quota = Quota::with_period(PERIOD).unwrap_or(Quota::per_minute(BURST));
        let clock = DefaultClock::default();
        Self {
            limiter: RateLimiter::dashmap_with_clock(quota.allow_burst(BURST), clock.clone()),
            clock,
            swept: Mutex::new(Instant::now()),
            addresses,
        }
    }

    /// Counts a wrong credential.
    ///
    /// # Errors
    /// The address has given too many: how long to wait, at least a second.
    pub(super) fn wrong(&self, client: IpAddr) -> Result<(), Duration> {
        self.sweep();
        let key = if self.limiter.len() < self.addresses {
            bucket(client)
        } else {
            CROWD
        };
        self.limiter
            .check_key(&key)
            .map_err(|until| until.wait_time_from(self.clock.now()).max(Duration::from_secs(1)))
    }

    fn sweep(&self) {
        if self.limiter.len() < SWEEP_FROM {
            return;
        }
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.elapsed() >= SWEEP {
            *swept = Instant::now();
            self.limiter.retain_recent();
        }
    }
}

/// Who counts as one: an IPv4 address, or the /64 that an IPv6 host chooses its addresses from.
fn bucket(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_a_burst_and_others_are_not_held_back_by_it() {
        let throttle = Throttle::new();
        for attempt in 0..BURST.get() {
            assert_eq!(throttle.wrong(ip("192.0.2.1")), Ok(()), "{attempt}");
        }
        let wait = throttle.wrong(ip("192.0.2.1")).unwrap_err();
        assert!(wait >= Duration::from_secs(1) && wait <= PERIOD, "{wait:?}");
        assert!(throttle.wrong(ip("::ffff:192.0.2.1")).is_err());
        assert_eq!(throttle.wrong(ip("192.0.2.2")), Ok(()));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_count_together() {
        let throttle = Throttle::new();
        for host in 0..BURST.get() {
            assert_eq!(throttle.wrong(ip(&format!("2001:db8::{host:x}:1"))), Ok(()));
        }
        assert!(throttle.wrong(ip("2001:db8::ffff:0:0:1")).is_err());
        assert_eq!(throttle.wrong(ip("2001:db8:0:1::1")), Ok(()));
    }

    #[test]
    fn memory_is_bounded_whatever_addresses_come() {
        let throttle = Throttle::with(100);
        let mut held_back = 0;
        for n in 0..10_000_u32 {
            let client = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
            held_back += u32::from(throttle.wrong(client).is_err());
        }
        // 100 addresses and the crowd.
        assert!(throttle.limiter.len() <= 101, "{}", throttle.limiter.len());
        assert!(held_back >= 10_000 - 100 - BURST.get() - 1, "{held_back}");
    }
}
