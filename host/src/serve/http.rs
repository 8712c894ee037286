//! Connections, TLS, limits, credentials and the audit of calls: everything about HTTP that is not a route.
