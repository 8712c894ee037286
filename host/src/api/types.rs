//! The JSON objects of the API and of `--json`, field by field as clients see them. Nothing but data.

use serde::Serialize;

/// Any failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Always false.
    pub success: bool,
    /// Stable English code.
    pub code: &'static str,
    /// A sentence for people.
    pub message: String,
}
