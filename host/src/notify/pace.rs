//! How often and for how long a delivery is tried.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::outbox::{Entry, Message};

/// Seconds before each further try of a webhook: three days in all, so that a receiver may be down over a weekend.
/// The steps are those of the Standard Webhooks specification.
const WEBHOOK: [u64; 10] = [5, 30, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
/// Seconds before each further try of a ping: an hour in all. Later it would tell of a run that is no news.
const PING: [u64; 11] = [5, 15, 30, 60, 120, 300, 300, 600, 600, 600, 900];

/// The times of deliveries.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// Waits between the tries of a webhook.
    pub(super) webhook: Vec<Duration>,
    /// Waits between the tries of a ping.
    pub(super) ping: Vec<Duration>,
    /// Age at which a ping is given up.
    pub(super) ping_life: Duration,
    /// What one try may take.
    pub(super) timeout: Duration,
    /// How often the outbox is looked at for what other processes put there.
    pub(super) poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            webhook: WEBHOOK.map(Duration::from_secs).to_vec(),
            ping: PING.map(Duration::from_secs).to_vec(),
            ping_life: Duration::from_secs(3600),
            timeout: super::TIMEOUT,
            poll: Duration::from_secs(1),
        }
    }
}

impl Pace {
    /// How long to wait after the entry's tries so far have failed; none when that was the last.
    pub(super) fn wait(&self, entry: &Entry) -> Option<Duration> {
        let steps = match entry.message {
            Message::Webhook { .. } => &self.webhook,
            Message::Ping { .. } => &self.ping,
        };
        let at = usize::try_from(entry.attempts.saturating_sub(1)).ok()?;
        steps
            .get(at)
            .map(|step| step.mul_f64(spread(&entry.id, entry.attempts)))
    }

    /// The longest wait that an entry of ours can have; a longer one comes from a clock that was wrong.
    pub(super) fn longest() -> Duration {
        Duration::from_secs(2 * 86_400)
    }
}

/// 0.9 to 1.1, another for each event and try: many senders that failed together don't come back together.
fn spread(id: &str, attempt: u32) -> f64 {
    let digest = Sha256::digest(format!("{id} {attempt}"));
    let byte = digest.first().copied().unwrap_or_default();
    0.9 + 0.2 * f64::from(byte) / 255.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::notify::payload::Payload;

    #[test]
    fn a_webhook_is_tried_for_more_than_three_days_and_then_given_up() {
        let payload = Payload::bare("test", "r", crate::notify::now());
        let message = Message::Webhook {
            name: "ops".to_owned(),
            payload: Box::new(payload),
        };
        let mut entry = Entry::new("msg_1".to_owned(), message);
        let mut total = Duration::ZERO;
        let mut waits = Vec::new();
        loop {
            entry.attempts += 1;
            let Some(wait) = Pace::default().wait(&entry) else {
                break;
            };
            assert!(wait < Pace::longest());
            total += wait;
            waits.push(wait);
        }
        assert_eq!((entry.attempts, waits.len()), (11, 10));
        assert!((4.5..=5.5).contains(&waits[0].as_secs_f64()), "{waits:?}");
        assert!(total > Duration::from_secs(66 * 3600), "{total:?}");
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    }

    #[test]
    fn tries_of_two_events_are_spread() {
        let spreads: Vec<_> = (0..20).map(|n| spread(&format!("msg_{n}"), 1)).collect();
        assert!(spreads.iter().all(|s| (0.9..=1.1).contains(s)), "{spreads:?}");
        let (low, high) = (
            spreads.iter().copied().fold(2.0, f64::min),
            spreads.iter().copied().fold(0.0, f64::max),
        );
        assert!(high - low > 0.1, "{spreads:?}");
    }
}
