//! Connections, TLS, limits, credentials and the audit of calls: everything about HTTP that is not a route.

use crate::audit::Who;
use crate::config::Role;

/// Who calls; in the extensions of every request whose credential was checked.
#[derive(Debug, Clone)]
pub struct Identity {
    /// For the audit log.
    pub who: Who,
    /// What it may do.
    pub role: Role,
}
