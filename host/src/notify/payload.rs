//! What a webhook is sent: the original system's five fields first, then what else is known. Fields that an event
//! has no value for are null.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Event;
use crate::api::convert::status_word;
use crate::engine::wit::types::{Backup, Status};

/// How many problems of a check are named.
const PROBLEMS: usize = 20;
/// Longest text that is passed on, in characters: the whole of it is in the catalog and the log.
const TEXT: usize = 1000;

/// The body of a webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    /// Name of the event, or `test`.
    pub event: String,
    /// Id of the backup that it is about.
    pub backup_id: Option<u64>,
    /// Its name, without `.zip`.
    pub backup_name: Option<String>,
    /// Its time: local, ISO 8601 without offset, as in the catalog.
    pub timestamp: Option<String>,
    /// Size of its archive in MiB, not rounded.
    pub size_mb: Option<f64>,
    /// The repository's alias.
    pub repository: String,
    /// When the event happened, RFC 3339.
    pub occurred_at: Option<String>,
    /// The schedule's name, or `manual`.
    pub plan: Option<String>,
    /// The backup's type.
    #[serde(rename = "type")]
    pub backup_type: Option<String>,
    /// The backup's status, as in the catalog.
    pub status: Option<String>,
    /// Why it failed or is partial.
    pub error: Option<String>,
    /// Size of its archive in bytes.
    pub size_bytes: Option<u64>,
    /// How long its run took.
    pub duration_seconds: Option<f64>,
    /// Files in it.
    pub file_count: Option<u64>,
    /// Things that were skipped.
    pub skipped: Option<u64>,
    /// `verify_failed` and `drill_failed` only: what is wrong with it, the first twenty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<String>>,
    /// `copy_failed` only: name of the remote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// `backup_stale` only.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
}

/// How long a plan has had no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    /// Its last completed run, RFC 3339 in UTC; null for none.
    pub last_success: Option<String>,
    /// Seconds since then; null for none.
    pub age_seconds: Option<u64>,
    /// From how many seconds on it counts as stale.
    pub limit_seconds: u64,
}

impl Payload {
    /// One without a backup.
    #[must_use]
    pub fn bare(event: &str, repository: &str, occurred_at: DateTime<Utc>) -> Self {
        Self {
            event: event.to_owned(),
            backup_id: None,
            backup_name: None,
            timestamp: None,
            size_mb: None,
            repository: repository.to_owned(),
            occurred_at: Some(rfc3339(occurred_at)),
            plan: None,
            backup_type: None,
            status: None,
            error: None,
            size_bytes: None,
            duration_seconds: None,
            file_count: None,
            skipped: None,
            problems: None,
            remote: None,
            stale: None,
        }
    }

    /// One about a run that has ended: the same row always gives the same payload.
    #[must_use]
    pub fn of_run(event: Event, repository: &str, backup: &Backup) -> Self {
        Self {
            event: event.name().to_owned(),
            backup_id: Some(backup.id),
            backup_name: Some(backup.name.clone()),
            timestamp: Some(backup.timestamp.clone()),
            size_mb: Some(mebibytes(backup.size)),
            repository: repository.to_owned(),
            occurred_at: backup.finished_at.clone(),
            plan: backup.plan.clone(),
            backup_type: Some(backup.backup_type.clone()),
            status: Some(status_word(backup.status).to_owned()),
            error: backup.error.as_deref().map(cut),
            size_bytes: Some(backup.size),
            duration_seconds: backup.duration_seconds,
            file_count: backup.file_count,
            skipped: backup.skipped,
            problems: None,
            remote: None,
            stale: None,
        }
    }

    /// One about an archive whose check did not end well.
    #[must_use]
    pub fn of_check(
        event: Event,
        repository: &str,
        backup: &Backup,
        problems: &[String],
        at: DateTime<Utc>,
    ) -> Self {
        Self {
            occurred_at: Some(rfc3339(at)),
            problems: Some(problems.iter().take(PROBLEMS).map(|p| cut(p)).collect()),
            ..Self::of_run(event, repository, backup)
        }
    }

    /// Its bytes as they are sent and signed.
    ///
    /// # Errors
    /// When it can't be written as JSON, which no field allows.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

/// The event of a run's end; none while it goes on.
pub(super) fn event_of(status: Status) -> Option<Event> {
    match status {
        Status::InProgress => None,
        Status::Completed => Some(Event::BackupCompleted),
        Status::Partial => Some(Event::BackupPartial),
        Status::Failed | Status::Cancelled => Some(Event::BackupFailed),
    }
}

/// The id of an event: what it is about always gives the same, so that a receiver knows what is sent again. The
/// backup's name is in `about` too, since ids start again with a new backups folder.
pub(super) fn event_id(repository: &str, event: &str, about: &str) -> String {
    let digest = Sha256::digest(format!("{repository}\0{event}\0{about}"));
    let mut id = format!("msg_{}", crate::text::hex(&digest));
    // Half of the digest is more than enough to tell events apart.
    id.truncate("msg_".len() + 32);
    id
}

pub(super) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// The front of a long text.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "the original divides floats too")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn value(payload: &Payload) -> Value {
        serde_json::from_slice(&payload.to_bytes().unwrap()).unwrap()
    }

    #[test]
    fn the_original_fields_come_first_and_with_their_values() {
        let mut backup = crate::notify::tests::row(7, Status::Completed);
        backup.size = 1_572_864;
        let payload = Payload::of_run(Event::BackupCompleted, "relatorios", &backup);
        let text = String::from_utf8(payload.to_bytes().unwrap()).unwrap();
        let front = r#"{"event":"backup_completed","backup_id":7,"backup_name":"backup_7","timestamp":"2026-11-25T02:00:05.123456","size_mb":1.5,"#;
        assert!(text.starts_with(front), "{text}");
        let value = value(&payload);
        assert_eq!(value["repository"], "relatorios");
        assert_eq!(value["type"], "automated");
        assert_eq!(value["size_bytes"], 1_572_864);
        assert!(value.get("problems").is_none() && value.get("last_success").is_none());
    }

    #[test]
    fn a_failed_run_has_a_size_of_zero_as_a_float() {
        let payload = Payload::of_run(
            Event::BackupFailed,
            "r",
            &crate::notify::tests::row(7, Status::Failed),
        );
        assert!(
            String::from_utf8(payload.to_bytes().unwrap())
                .unwrap()
                .contains(r#""size_mb":0.0"#)
        );
    }

    #[test]
    fn problems_are_limited_in_number_and_length() {
        let problems = vec!["ção".repeat(1000); 30];
        let backup = crate::notify::tests::row(7, Status::Completed);
        let payload = Payload::of_check(Event::VerifyFailed, "r", &backup, &problems, DateTime::UNIX_EPOCH);
        let problems = payload.problems.clone().unwrap();
        assert_eq!((problems.len(), problems[0].chars().count()), (20, 1001));
        assert_eq!(value(&payload)["event"], "verify_failed");
        assert_eq!(value(&payload)["occurred_at"], "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn a_stale_plan_that_never_succeeded_says_null_and_every_payload_survives_the_outbox() {
        let mut payload = Payload::bare("backup_stale", "r", DateTime::UNIX_EPOCH);
        payload.stale = Some(Stale {
            last_success: None,
            age_seconds: None,
            limit_seconds: 60,
        });
        let shown = value(&payload);
        assert_eq!(shown["last_success"], Value::Null);
        assert!(shown.as_object().unwrap().contains_key("last_success"));
        assert_eq!(shown["limit_seconds"], json!(60));
        assert_eq!(shown["backup_id"], Value::Null);
        let again: Payload = serde_json::from_value(shown).unwrap();
        assert_eq!(again, payload);
        let bare = Payload::bare("test", "r", DateTime::UNIX_EPOCH);
        let again: Payload = serde_json::from_slice(&bare.to_bytes().unwrap()).unwrap();
        assert_eq!(again, bare);
    }

    #[test]
    fn an_event_has_one_id_and_another_event_another() {
        let id = event_id("r", "backup_failed", "7 backup_7");
        assert_eq!(id, event_id("r", "backup_failed", "7 backup_7"));
        assert_ne!(id, event_id("r", "backup_failed", "7 backup_8"));
        assert_ne!(id, event_id("r", "backup_completed", "7 backup_7"));
        assert_eq!(id.len(), 36);
    }
}
