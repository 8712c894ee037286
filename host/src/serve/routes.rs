//! The routes of the REST API (DESIGN section 8).

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::Service;

/// All routes.
pub fn router(_service: Arc<Service>) -> Router {
    Router::new().route("/healthz", get(|| async { "{\"status\":\"ok\"}" }))
}
