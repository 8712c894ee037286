//! What one call may cost: the figures, and the layers that keep to them.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{Response as HttpResponse, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::connection::Link;
use crate::serve::routes::problem::{Cause, Problem};
use crate::text::escape;

/// Bounds of connections and calls. The defaults are the service's; tests take shorter ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// A TLS handshake has to be done within this.
    pub handshake: Duration,
    /// A request's header has to be there within this, counted from the start of the connection or from the end
    /// of the answer before: it bounds slow senders and idle connections alike.
    pub header: Duration,
    /// A body has to be there within this, as a whole: a timeout between two pieces would let a byte every few
    /// seconds go on for days.
    pub body: Duration,
    /// The routes that look something up have to answer within this.
    pub answer: Duration,
    /// A connection whose client takes no byte for this long ends. One that takes some, however slowly, goes on.
    pub stall: Duration,
    /// How long what a client still sends is thrown away after a refusal, so that it can read why.
    pub linger: Duration,
    /// How often the certificate's files are looked at.
    pub reload: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(10),
            body: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(60),
            linger: Duration::from_secs(2),
            reload: Duration::from_secs(2),
        }
    }
}

/// Longest body of a request, bytes. The largest that makes sense is a list of globs for a restore.
pub(in crate::serve) const BODY_BYTES: usize = 64 * 1024;
/// Longest header of a request with its first line, bytes.
pub(super) const HEADER_BYTES: usize = 16 * 1024;
/// Most fields in it.
pub(super) const HEADER_FIELDS: usize = 64;
/// How many times as much is read to be refused in words. Beyond that the connection ends, with the bare status at
/// most.
pub(super) const HEADER_EXCESS: usize = 4;

/// Whether a request's header has more fields or bytes than it may.
pub(super) fn has_large_header(request: &Request) -> bool {
    let fields = request.headers();
    // A colon, a space and the end of the line.
    let of_fields: usize = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let of_line = request.method().as_str().len() + uri_bytes(request.uri());
    fields.len() > HEADER_FIELDS || of_fields + of_line > HEADER_BYTES
}

fn uri_bytes(uri: &Uri) -> usize {
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    target + uri.authority().map_or(0, |authority| authority.as_str().len())
}

/// The routes that work or stream for as long as it takes, by how their path begins. Every other one is quick.
///
/// Deleting and pruning are here as well: an answer that is cut off would leave open whether it was done.
const SLOW: [&str; 7] = [
    "/api/backup/criar",
    "/api/backup/download/",
    "/api/backup/excluir/",
    "/api/backup/limpar",
    "/api/backup/progresso",
    "/api/backup/restaurar/",
    "/api/backup/verificar/",
];

fn is_slow(path: &str) -> bool {
    SLOW.iter().any(|start| path.starts_with(start))
}

/// Reads the whole body before the route sees it. tower-http's layers of the same purpose answer in plain text,
/// and bound the time between two pieces only.
pub(super) async fn whole_body(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return next.run(Request::from_parts(parts, body)).await;
    }
    // Told before it is sent, also to a client that asked with `Expect: 100-continue`.
    if body.size_hint().lower() > BODY_BYTES as u64 {
        return too_large();
    }
    let bytes = match tokio::time::timeout(limits.body, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
        Ok(Err(_)) => {
            let detail = "the body ended early or is badly framed";
            return Problem::new(Cause::BadRequest).detail(detail).into_response();
        }
        Err(_) => {
            let detail = format!("the body was not there within {} s", limits.body.as_secs_f32());
            return Problem::new(Cause::RequestTimeout).detail(detail).into_response();
        }
    };
    if let Some(link) = parts.extensions.get::<Arc<Link>>() {
        link.body_read();
    }
    next.run(Request::from_parts(parts, Body::from(bytes))).await
}

fn too_large() -> Response {
    Problem::new(Cause::BodyTooLarge)
        .detail(format!("a body has at most {BODY_BYTES} bytes"))
        .into_response()
}

/// Ends the wait for a quick route that takes too long.
pub(super) async fn in_time(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    if is_slow(request.uri().path()) {
        return next.run(request).await;
    }
    match tokio::time::timeout(limits.answer, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Cause::Overloaded)
            .detail(format!("no answer within {} s", limits.answer.as_secs_f32()))
            .retry_after(limits.answer.as_secs().max(1))
            .into_response(),
    }
}

/// The answer in the place of a route that panicked.
pub(super) fn panicked(panic: Box<dyn Any + Send>) -> HttpResponse<Body> {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!("a route panicked, which is a bug: {}", escape(text));
    Problem::new(Cause::Library(crate::error::Code::Internal)).into_response()
}

#[cfg(test)]
mod tests {
    use super::is_slow;

    #[test]
    fn only_routes_that_look_something_up_are_cut_off() {
        for slow in [
            "/api/backup/criar",
            "/api/backup/verificar/3",
            "/api/backup/restaurar/3",
            "/api/backup/download/3",
            "/api/backup/progresso",
            "/api/backup/excluir/3",
            "/api/backup/limpar",
        ] {
            assert!(is_slow(slow), "{slow}");
        }
        for quick in [
            "/api/backup/status",
            "/api/backup/listar",
            "/api/backup/info/3",
            "/metrics",
            "/",
        ] {
            assert!(!is_slow(quick), "{quick}");
        }
    }
}
