//! The format of `schedule.json`, for whoever reads it: the service, `cofre status`, the exporter.
//!
//! A JSON object; times are RFC 3339 in UTC. Fields that this version does not know survive a rewrite.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The format that this version reads and writes.
pub const FORMAT: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// [`FORMAT`].
    pub format: u32,
    /// When the scheduler last looked whether something is due; written about once a minute while it is awake.
    #[serde(default)]
    pub last_tick: Option<DateTime<Utc>>,
    /// The plans of the configuration by name.
    #[serde(default)]
    pub plans: BTreeMap<String, PlanState>,
    /// Plans that left the configuration, and when that was seen: what runs of them are older is over.
    #[serde(default)]
    pub former: BTreeMap<String, DateTime<Utc>>,
    /// The scheduled verification; none unless it is configured.
    #[serde(default)]
    pub verify: Option<CheckState>,
    /// The scheduled restore drill; none unless it is configured.
    #[serde(default)]
    pub drill: Option<CheckState>,
    /// What a later version may add.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What is remembered of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanState {
    /// When the service first saw the plan. A plan without a success counts as old as this.
    pub created: DateTime<Utc>,
    /// Since when it is to run as it is now: its creation, or its last change.
    #[serde(default)]
    pub since: Option<DateTime<Utc>>,
    /// Its pattern and zone; another one in the configuration is a change.
    #[serde(default)]
    pub when: Option<String>,
    /// The newest time at which it was due and which was run or given up.
    #[serde(default)]
    pub last_due: Option<DateTime<Utc>>,
    /// When the service last started a run of it.
    #[serde(default)]
    pub last_started: Option<DateTime<Utc>>,
    /// When a run that the service started last completed.
    #[serde(default)]
    pub last_success: Option<DateTime<Utc>>,
    /// When it runs next; null when it is disabled or never comes due.
    #[serde(default)]
    pub next: Option<DateTime<Utc>>,
    /// How many runs could not start at their time since the plan was created, made up for or not.
    #[serde(default)]
    pub missed: u64,
    /// The due time of the last run that was missed.
    #[serde(default)]
    pub last_missed: Option<DateTime<Utc>>,
    /// Up to which due time missed runs are counted.
    #[serde(default)]
    pub counted: Option<DateTime<Utc>>,
    /// The longest time between two runs that the plan asks for.
    #[serde(default)]
    pub expected_interval_seconds: u64,
    /// Whether it runs at all.
    #[serde(default)]
    pub enabled: bool,
    /// When it was reported that the plan has had no success for too long; null again after a success.
    #[serde(default)]
    pub stale_notified: Option<DateTime<Utc>>,
    /// What a later version may add.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What is remembered of a scheduled check of archives: the verification, or the restore drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckState {
    /// When the service first saw it.
    #[serde(default = "now")]
    pub created: DateTime<Utc>,
    /// The newest time at which it was due and which was done or given up.
    #[serde(default)]
    pub last_due: Option<DateTime<Utc>>,
    /// When it runs next.
    #[serde(default)]
    pub next: Option<DateTime<Utc>>,
    /// When the last one that went through ended.
    #[serde(default)]
    pub last_finished: Option<DateTime<Utc>>,
    /// How many archives were sound then.
    #[serde(default)]
    pub sound: u64,
    /// How many were not.
    #[serde(default)]
    pub failed: u64,
    /// How many could not be looked at.
    #[serde(default)]
    pub given_up: u64,
    /// The longest time between two of them that the configuration asks for.
    #[serde(default)]
    pub expected_interval_seconds: u64,
    /// What a later version may add.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Default for ScheduleState {
    fn default() -> Self {
        Self {
            format: FORMAT,
            last_tick: None,
            plans: BTreeMap::new(),
            former: BTreeMap::new(),
            verify: None,
            drill: None,
            other: Map::new(),
        }
    }
}

impl PlanState {
    /// A plan that was just seen for the first time.
    #[must_use]
    pub fn new(created: DateTime<Utc>) -> Self {
        Self {
            created,
            since: None,
            when: None,
            last_due: None,
            last_started: None,
            last_success: None,
            next: None,
            missed: 0,
            last_missed: None,
            counted: None,
            expected_interval_seconds: 0,
            enabled: true,
            stale_notified: None,
            other: Map::new(),
        }
    }
}

/// An earlier version kept of a drill only how often it is to be held.
fn now() -> DateTime<Utc> {
    // Not `Utc::now()`, which panics when the clock is before 1970.
    std::time::SystemTime::now().into()
}

impl CheckState {
    /// A check that was just seen for the first time.
    #[must_use]
    pub fn new(created: DateTime<Utc>) -> Self {
        Self {
            created,
            last_due: None,
            next: None,
            last_finished: None,
            sound: 0,
            failed: 0,
            given_up: 0,
            expected_interval_seconds: 0,
            other: Map::new(),
        }
    }
}
