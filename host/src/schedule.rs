//! When a plan is due: a pure function of the plan, its last run and the time. No clock is read here, nothing is
//! stored, nothing runs; `serve::scheduler` does that.

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::config::When;

/// The first time after `after` at which `when` is due in `zone`; none if it never is.
#[must_use]
pub fn next_run(_when: &When, _zone: Tz, _after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    None
}

/// The longest time between two runs that `when` asks for, rounded to what the plan means: a day, a week, an hour.
#[must_use]
pub fn expected_interval(_when: &When, _zone: Tz) -> Duration {
    Duration::from_secs(86_400)
}

/// When each plan of the configuration runs and ran.
#[must_use]
pub fn status(_context: &crate::context::Context) -> Vec<crate::api::types::ScheduleStatus> {
    Vec::new()
}
