//! Dumps of MySQL and MariaDB databases.

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
            "databases.{}: {server}: this version does not dump MySQL",
            request.name
        ),
    )
    .remedy("dump it into a source folder by other means until then, and remove it here"))
}
