//! Dumps of PostgreSQL databases.

use cofre_exporter::component::types::DatabaseInfo;

use super::Request;
use super::server::Server;
use crate::error::{Code, Error, Result};

/// Dumps one database of a server.
///
/// # Errors
/// As [`super::database`].
pub(super) fn dump(server: &Server, request: &Request<'_>) -> Result<DatabaseInfo> {
    Err(Error::new(
        Code::Unsupported,
        format!(
            "databases.{}: {server}: this version does not dump PostgreSQL",
            request.name
        ),
    ))
}
