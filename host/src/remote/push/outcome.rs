//! How a push ended: noted for the next try, for the exporter and `cofre status`, and told to whom it concerns.

use std::time::Duration;

use super::super::state::publish_totals;
use super::{Push, Pushed, pending};
use crate::error::{Code, Result};
use crate::notify::{self, now};

/// The wait after the first failure; it doubles with each further one,
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Push<'_> {
    /// Notes how it ended, for the next try, the exporter and `cofre status`.
    pub(super) fn settle(&mut self, result: &Result<Pushed>) {
        let problem = match result {
            Ok(pushed) => pushed.problems.first().cloned(),
            Err(error) if error.code == Code::Cancelled => return self.publish_totals(),
            Err(error) => Some(error.to_string()),
        };
        match &problem {
            None => {
                self.state.in_a_row = 0;
                self.state.last_error = None;
                self.state.not_before = None;
            }
            Some(text) => {
                self.state.failures += 1;
                self.state.in_a_row = self.state.in_a_row.saturating_add(1);
                self.state.last_error = Some(text.clone());
                self.state.not_before = Some(now() + wait_after(self.state.in_a_row));
                if self.state.in_a_row == 1 {
                    notify::copy_failed(self.context, &self.remote.name, text);
                }
            }
        }
        if let Err(error) = self.desk.save(&self.state) {
            tracing::error!("the state of the copies is not written: {error}");
        }
        self.publish_totals();
    }

    /// Tells the exporter; of a catalog that can't be read it has news of its own.
    pub(super) fn publish_totals(&self) {
        if let Ok(pending) = pending(self.context, &self.state) {
            publish_totals(&self.context.config, self.remote, &self.state, pending);
        }
    }
}

/// How long the service waits after so many failures in a row.
fn wait_after(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_has_an_end() {
        let seconds: Vec<u64> = [1, 2, 3, 6, 7, 40].map(|n| wait_after(n).as_secs()).to_vec();
        assert_eq!(seconds, [60, 120, 240, 1920, 3600, 3600]);
    }
}
