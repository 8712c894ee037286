//! The routes of the REST API (DESIGN section 8). Router and OpenAPI document come from the same annotations; the
//! handlers check what was sent, ask the engine by way of `work`, and answer with the objects of [`crate::api`].

mod catalog;
mod create;
mod document;
mod download;
mod input;
mod maintain;
pub mod problem;
mod progress;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::document::OfMetrics;
use self::problem::{Cause, Problem};
use self::work::Site;
use super::Service;
use crate::api::answers::Health;
use crate::error::Code;

/// How long a scrape waits for the backups folder at most; Prometheus waits 10 s unless told otherwise.
const SCRAPE_LIMIT: Duration = Duration::from_secs(8);

/// All routes. Who may call them is not looked at here.
#[must_use]
pub fn router(service: Arc<Service>) -> Router {
    let (router, mut description) = OpenApiRouter::with_openapi(document::base())
        .routes(routes!(create::create))
        .routes(routes!(catalog::status))
        .routes(routes!(catalog::list))
        .routes(routes!(catalog::info))
        .routes(routes!(download::download))
        .routes(routes!(maintain::verify))
        .routes(routes!(maintain::restore))
        .routes(routes!(maintain::delete))
        .routes(routes!(maintain::prune))
        .routes(routes!(progress::progress))
        .routes(routes!(document::openapi))
        .routes(routes!(health))
        .routes(routes!(metrics))
        .split_for_parts();
    document::finish(&mut description);
    let description = description.to_json().unwrap_or_else(|error| {
        tracing::error!("the OpenAPI document can't be written: {error}");
        "{}".to_owned()
    });
    // Nothing of this is for a cache, or for a browser to guess the type of.
    let no_store =
        SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let no_sniff =
        SetResponseHeaderLayer::if_not_present(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(no_store)
        .layer(no_sniff)
        .with_state(Arc::new(Site::new(service, Bytes::from(description))))
}

async fn unknown_route(uri: Uri) -> Problem {
    let detail = format!("there is no route `{}`", input::shown(uri.path()));
    Problem::new(Cause::UnknownRoute).detail(detail)
}

/// The router adds `Allow`, which is also all that OPTIONS asks for.
async fn method_not_allowed(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    Problem::new(Cause::MethodNotAllowed).into_response()
}

/// Whether the service answers. Needs no credential.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "healthz",
    tag = "service",
    security(()),
    responses((status = 200, description = "It answers", body = Health)),
)]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The metrics, for Prometheus. A viewer may read them.
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "metrics",
    tag = "service",
    responses(
        (status = 200, description = "Text format 0.0.4", content_type = "text/plain", body = String),
        OfMetrics,
    ),
)]
async fn metrics(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, Problem> {
    match cofre_exporter::server::metrics(&site.service.exporter, &headers, SCRAPE_LIMIT).await {
        Ok(answer) => Ok(answer.map(Body::new)),
        Err(error) => {
            tracing::error!("{error}");
            Err(Problem::new(Cause::Library(Code::Internal))
                .detail("the metrics don't fit together: see the log"))
        }
    }
}
