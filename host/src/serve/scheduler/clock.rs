//! The scheduler's clock, which tests can move.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};

/// Names a file with the seconds to add to the scheduler's now. For tests; nothing else of cofre is affected.
const VARIABLE: &str = "COFRE_TEST_SCHEDULE_CLOCK";

/// What the scheduler takes for now.
#[derive(Debug)]
pub(super) struct Clock(Option<PathBuf>);

impl Clock {
    /// The system's clock, or the moved one of a test.
    pub(super) fn from_env() -> Self {
        let file = std::env::var_os(VARIABLE).map(PathBuf::from);
        if let Some(file) = &file {
            tracing::warn!(
                "{VARIABLE} is set: THE SCHEDULE RUNS BY A MOVED CLOCK, by the seconds in {}. Unset it unless this is \
                 a test",
                crate::text::shown(file)
            );
        }
        Self(file)
    }

    /// A clock moved by what a file says.
    #[cfg(test)]
    pub(super) const fn moved(file: PathBuf) -> Self {
        Self(Some(file))
    }

    /// Now, in milliseconds.
    pub(super) fn now(&self) -> DateTime<Utc> {
        // Not `Utc::now()`, which panics when the clock is before 1970.
        let now = DateTime::<Utc>::from(SystemTime::now()).trunc_subsecs(3);
        let Some(file) = &self.0 else { return now };
        let seconds = std::fs::read_to_string(file)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        seconds
            .and_then(TimeDelta::try_seconds)
            .and_then(|moved| now.checked_add_signed(moved))
            .unwrap_or(now)
    }

    /// The longest time between two looks at the clock: it may be set, and the machine may sleep.
    pub(super) const fn patience(&self) -> Duration {
        match self.0 {
            Some(_) => Duration::from_millis(200),
            None => Duration::from_secs(5),
        }
    }
}
