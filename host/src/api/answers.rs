//! The envelopes of the REST API: what a route answers and takes, around the objects of `types`.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::types::{Backup, Details, Pruned, Restored, ScheduleStatus, Status, Verification};
use crate::remote::RemoteStatus;

/// What `criar` takes. Other fields are ignored, as by the original system.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[allow(
    dead_code,
    reason = "read field by field, so that each mistake has its own answer"
)]
pub struct CreateBody {
    /// Type in the archive's name.
    #[schema(value_type = String, required = false, default = "manual", pattern = "^[a-z0-9_-]{1,32}$")]
    tipo: Option<String>,
}

/// What `restaurar` takes.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[allow(dead_code, reason = "see `CreateBody`")]
pub struct RestoreBody {
    /// Name of the new folder below the configured `restore_dir`; `restore_NAME` when it is missing.
    #[schema(value_type = String, required = false, pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
    destino: Option<String>,
    /// Globs of paths in the archive; everything when it is missing or empty. What is no glob is a path.
    #[schema(value_type = Vec<String>, required = false)]
    only: Option<Vec<String>>,
}

/// What `limpar` takes.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[allow(dead_code, reason = "see `CreateBody`")]
pub struct PruneBody {
    /// Only say what would go.
    #[schema(value_type = bool, required = false, default = false)]
    dry_run: Option<bool>,
}

/// What `info` takes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InfoQuery {
    /// Whether to list the entries.
    #[serde(default)]
    #[param(required = false)]
    pub entries: bool,
    /// The entries after this path, which has to be in the archive.
    pub after: Option<String>,
    /// At most this many entries.
    #[serde(default = "page")]
    #[param(required = false, minimum = 1, maximum = 10_000)]
    pub limit: u32,
}

/// Entries of one answer when the caller does not say.
fn page() -> u32 {
    1_000
}

/// A backup that was made, begun or removed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BackupAnswer {
    /// Always true: anything else is a failure.
    pub success: bool,
    /// A Portuguese sentence for people.
    pub message: &'static str,
    /// The backup.
    pub backup: Backup,
}

/// `listar`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ListAnswer {
    /// Always true.
    pub success: bool,
    /// The catalog's rows, oldest first.
    pub backups: Vec<Backup>,
    /// That the backups folder had a history and has none now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StatusAnswer {
    /// Always true.
    pub success: bool,
    /// The totals and what the service does.
    pub status: ServiceStatus,
}

/// The totals of the catalog and what the service does.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ServiceStatus {
    /// The totals.
    #[serde(flatten)]
    pub totals: Status,
    /// The plans of the configuration.
    pub schedules: Vec<ScheduleStatus>,
    /// The copies off the machine.
    pub remotes: Vec<RemoteStatus>,
    /// The run that goes on in this service.
    pub running: Option<Running>,
}

/// A run that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Running {
    /// Id of its row.
    pub id: u64,
    /// Name of its archive.
    pub name: String,
    /// The schedule's name, or `manual`.
    pub plan: String,
}

/// `info`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InfoAnswer {
    /// Always true.
    pub success: bool,
    /// The backup with what is in it.
    #[serde(flatten)]
    pub details: Details,
}

/// `verificar` of a good archive.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VerifyAnswer {
    /// Always true.
    pub success: bool,
    /// A Portuguese sentence for people.
    pub message: &'static str,
    /// What was found.
    pub verification: Verification,
}

/// `restaurar`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RestoreAnswer {
    /// A Portuguese sentence for people.
    pub message: &'static str,
    /// What was restored.
    #[serde(flatten)]
    pub restored: Restored,
}

/// `limpar`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PruneAnswer {
    /// Always true.
    pub success: bool,
    /// A Portuguese sentence for people.
    pub message: &'static str,
    /// What went or would go.
    #[serde(flatten)]
    pub pruned: Pruned,
}

/// An event of `progresso`.
#[derive(Debug, Clone, PartialEq, Eq, ToSchema)]
#[allow(dead_code, reason = "describes what the library for events writes")]
pub struct ProgressEvent {
    /// What it is about.
    #[schema(pattern = "^(progress|ended|idle)$")]
    event: String,
    /// JSON: of `progress` an object `Progress`; of `ended` an object `Backup`, or null where it can't be read; of
    /// `idle` an empty object.
    data: String,
}

/// The data of an event `progress` of `progresso`: how far the running backup is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Progress {
    /// Id of its row.
    pub id: u64,
    /// Name of its archive.
    pub name: String,
    /// The schedule's name, or `manual`.
    pub plan: String,
    /// Files done.
    pub files_done: u64,
    /// Files in all, as far as is known.
    pub files_total: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all, as far as is known.
    pub bytes_total: u64,
    /// What is being read.
    pub current: Option<String>,
}

/// `healthz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// Always `ok`: the service answers.
    pub status: &'static str,
}
