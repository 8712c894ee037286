//! Every metric: its name, its labels and its help text. The README's table is checked against this list.
//!
//! Conventions: all timestamps are Unix times in seconds, 0 meaning never; the label values are aliases and the
//! names of plans and remotes, never an id, path, hash or URL. Renaming one is a breaking change.

/// A metric's definition. Those that end in `_total` are counters, kept in files across restarts; all others are
/// gauges, facts of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// One sentence for `# HELP`.
    pub help: &'static str,
    /// Label names, in the order in which values are given.
    pub labels: &'static [&'static str],
}

impl Metric {
    /// Whether it only ever grows.
    #[must_use]
    pub fn is_counter(&self) -> bool {
        self.name.ends_with("_total")
    }
}

const GLOBAL: &[&str] = &[];
const REPOSITORY: &[&str] = &["repository"];
const PLAN: &[&str] = &["repository", "plan"];
const REMOTE: &[&str] = &["repository", "remote"];

macro_rules! metrics {
    ($(#[$of_list:meta])* $list:ident: $($id:ident = $name:literal, $labels:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric { name: $name, help: $help, labels: $labels };
        )*
        $(#[$of_list])*
        pub const $list: &[Metric] = &[$($id),*];
    };
}

metrics! {
    /// What every exporter exports, in the order of the README's table.
    ALL:

    BUILD_INFO = "cofre_build_info", &["version"],
        "Constant 1, labelled with the exporter's version.";
    UP = "cofre_up", GLOBAL,
        "Whether all of every repository and its state could be read and its catalog is valid (1) or not (0).";
    TIME = "cofre_time_seconds", GLOBAL,
        "The exporter's clock as Unix time in seconds, to detect a wrong clock.";
    COLLECTOR_SUCCESS = "cofre_exporter_collector_success", &["repository", "collector"],
        "Whether this part of the repository could be read at this scrape (1) or not (0).";
    COLLECTOR_DURATION = "cofre_exporter_collector_duration_seconds", &["repository", "collector"],
        "How long reading this part of the repository took, in seconds.";

    PLAN_INFO = "cofre_plan_info", PLAN,
        "Constant 1 for each plan: manual, those of the schedule, and others that run without one.";
    PLAN_ENABLED = "cofre_plan_enabled", PLAN,
        "Whether the schedule has this plan switched on (1) or not (0, as for manual).";
    PLAN_CREATED = "cofre_plan_created_timestamp_seconds", PLAN,
        "Since when this plan is to run: when the scheduler, or else the configuration, first had it; 0 if unknown.";
    PLAN_INTERVAL = "cofre_plan_expected_interval_seconds", PLAN,
        "Longest time between two runs of this plan by its schedule, in seconds; 0 where it isn't known.";
    PLAN_NEXT_RUN = "cofre_plan_next_run_timestamp_seconds", PLAN,
        "When the next run of this plan is due; 0 where none is.";
    SCHEDULER_EXPECTED = "cofre_scheduler_expected", REPOSITORY,
        "Whether cofre serve is to run for this repository (1) or something else starts its backups (0).";
    SCHEDULER_TICK = "cofre_scheduler_last_tick_timestamp_seconds", REPOSITORY,
        "When the scheduler of cofre serve last noted that it is alive; 0 where it never did.";

    LAST_SUCCESS = "cofre_backup_last_success_timestamp_seconds", PLAN,
        "When the newest completed backup of this plan ended; 0 where there is none. A partial one doesn't count.";
    LAST_SUCCESS_AGE = "cofre_backup_last_success_age_seconds", PLAN,
        "Seconds since the newest completed backup of this plan ended; since 1970 where there is none.";
    LAST_ATTEMPT = "cofre_backup_last_attempt_timestamp_seconds", PLAN,
        "When the newest run of this plan started, however it ended; 0 where there is none.";
    RUN_START = "cofre_backup_start_timestamp_seconds", PLAN,
        "When the run of this plan that is going on started; 0 while none is.";
    LAST_STATUS = "cofre_backup_last_status", &["repository", "plan", "status"],
        "How the newest ended run of this plan ended: 1 for that status, 0 for all others.";
    CONSECUTIVE_FAILURES = "cofre_backup_consecutive_failures", PLAN,
        "Failed runs of this plan since its newest published backup; cancelled runs neither count nor end the row.";
    RUNS = "cofre_backup_runs_total", PLAN,
        "Runs of this plan that ended, in whatever way; counted in the catalog's state, so a prune takes none back.";
    FAILURES = "cofre_backup_failures_total", PLAN,
        "Runs of this plan that failed or were cancelled.";
    PARTIAL = "cofre_backup_partial_total", PLAN,
        "Runs of this plan that were published although something is missing in the backup.";
    MISSED = "cofre_backup_missed_total", PLAN,
        "Runs of this plan that could not start when they were due: machine off, or another run in the way.";
    LAST_DURATION = "cofre_backup_last_duration_seconds", PLAN,
        "How long the newest published (completed or partial) backup of this plan took; 0 where there is none.";
    LAST_SIZE = "cofre_backup_last_size_bytes", PLAN,
        "Size of the archive of this plan's newest published backup in bytes; 0 where there is none.";
    LAST_SOURCE = "cofre_backup_last_source_bytes", PLAN,
        "Bytes of the files in this plan's newest published backup before compression; 0 where there is none.";
    LAST_FILES = "cofre_backup_last_files", PLAN,
        "Files in this plan's newest published backup; 0 where there is none.";
    LAST_SKIPPED = "cofre_backup_last_skipped_files", PLAN,
        "Files that this plan's newest published backup had to skip; 0 where there is none.";

    REPOSITORY_UP = "cofre_repository_up", REPOSITORY,
        "Whether the backups folder and its catalog could be read in time (1) or not (0).";
    CATALOG_VALID = "cofre_repository_catalog_valid", REPOSITORY,
        "Whether there is a catalog that was read and is valid (1) or not (0); if 0, what it said before stands.";
    REPOSITORY_SIZE = "cofre_repository_size_bytes", REPOSITORY,
        "Bytes of all backup archives in the folder.";
    BACKUPS = "cofre_repository_backups", REPOSITORY,
        "Completed and partial backups whose archive is in the folder.";
    ARCHIVES_MISSING = "cofre_repository_archives_missing", REPOSITORY,
        "Completed and partial backups in the catalog whose archive is not in the folder.";
    ARCHIVES_UNKNOWN = "cofre_repository_archives_unknown", REPOSITORY,
        "Backup archives in the folder that the catalog doesn't know.";
    FREE = "cofre_repository_free_bytes", REPOSITORY,
        "Bytes free for backups on the folder's file system.";
    CAPACITY = "cofre_repository_capacity_bytes", REPOSITORY,
        "Size of the folder's file system in bytes.";
    LOCK_HELD = "cofre_repository_lock_held", REPOSITORY,
        "Whether a writing run on this machine holds the backups folder's lock (1) or not (0).";

    VERIFY_LAST_SUCCESS = "cofre_verify_last_success_timestamp_seconds", REPOSITORY,
        "When an archive was last verified and found sound; 0 where none was.";
    VERIFY_FAILURES = "cofre_verify_failures_total", PLAN,
        "Verifications of this plan's archives that found something wrong.";
    VERIFY_INTERVAL = "cofre_verify_expected_interval_seconds", REPOSITORY,
        "Time between two scheduled verifications in seconds; 0 where none is scheduled.";
    DRILL_LAST_SUCCESS = "cofre_drill_last_success_timestamp_seconds", REPOSITORY,
        "When a restore drill last passed; 0 where none did.";
    DRILL_LAST_RESULT = "cofre_drill_last_result", &["repository", "result"],
        "What the newest restore drill came to: 1 for that result, 0 for all others. One that could not be held has none.";
    DRILL_FAILURES = "cofre_drill_failures_total", PLAN,
        "Restore drills of this plan's archives that did not pass.";
    DRILL_INTERVAL = "cofre_drill_expected_interval_seconds", REPOSITORY,
        "Time between two scheduled restore drills in seconds; 0 where none is scheduled.";

    WEBHOOK_FAILURES = "cofre_webhook_failures_total", REPOSITORY,
        "Tries to deliver to a webhook that failed, all webhooks together; each repeated try counts.";

    REMOTE_LAST_SUCCESS = "cofre_remote_last_success_timestamp_seconds", &["repository", "plan", "remote"],
        "When a completed backup of this plan was last copied to this remote; 0 where none was.";
    REMOTE_PENDING = "cofre_remote_pending_backups", REMOTE,
        "Backups that were still to be copied to this remote after the last try; 0 before the first one.";
    REMOTE_COPIES = "cofre_remote_copies", REMOTE,
        "Copies at this remote, as far as this machine made them.";
    REMOTE_SIZE = "cofre_remote_size_bytes", REMOTE,
        "Bytes of the copies at this remote, as far as this machine made them.";
    REMOTE_FAILURES = "cofre_remote_failures_total", REMOTE,
        "Tries to copy to this remote that failed; each repeated try counts.";
    REMOTE_CONSECUTIVE_FAILURES = "cofre_remote_consecutive_failures", REMOTE,
        "Tries to copy to this remote that failed since one succeeded.";
}

metrics! {
    /// What `cofre serve` exports besides [`ALL`].
    SERVE:

    COMPONENT_INFO = "cofre_component_info", &["version", "digest"],
        "Constant 1, labelled with the version and the SHA-256 of the sandboxed component that makes the backups.";
    HTTP_REQUESTS = "cofre_http_requests_total", &["method", "code"],
        "Requests to the API of cofre serve that were answered, since it started.";
    HTTP_DURATION = "cofre_http_request_duration_seconds", &["method"],
        "Time until requests to the API of cofre serve had the head of their answer, in seconds; a backup is one of them.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_prefixed_and_described() {
        let mut seen = std::collections::BTreeSet::new();
        for metric in ALL.iter().chain(SERVE) {
            assert!(seen.insert(metric.name), "{} is defined twice", metric.name);
            assert!(metric.name.starts_with("cofre_"), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}: help is no sentence", metric.name);
        }
    }
}
