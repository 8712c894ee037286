//! What every call passes first: who it is, whether that one may, the line in the audit log, and the metrics of
//! requests.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{HeaderValue, Method, StatusCode, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cofre_exporter::Requests;

use super::Identity;
use super::auth::{Authenticator, Verdict};
use super::connection::Link;
use super::limits::{HEADER_BYTES, HEADER_FIELDS, has_large_header};
use super::origin::{Proxies, is_mutating};
use super::throttle::Throttle;
use crate::audit::{self, Entry, Grade, Who};
use crate::config::{Api, Role};
use crate::error::Result;
use crate::serve::routes::problem::{Cause, Problem, Why};
use crate::text::escape;

/// Liveness, for whoever asks.
const OPEN: &str = "/healthz";
/// The one path for a viewer.
const METRICS: &str = "/metrics";
/// Longest operation in the audit log, characters.
const OPERATION_CHARS: usize = 200;

/// Decides about each call.
#[derive(Debug)]
pub(super) struct Gate {
    authenticator: Authenticator,
    proxies: Proxies,
    throttle: Throttle,
    requests: Option<Requests>,
}

/// A call that does not get through: the answer, and what the audit log says.
struct Refusal {
    problem: Problem,
    who: Who,
    why: &'static str,
}

impl Gate {
    /// # Errors
    /// See [`Authenticator::new`].
    pub(super) fn new(api: &Api) -> Result<Self> {
        Ok(Self {
            authenticator: Authenticator::new(api)?,
            proxies: Proxies::new(api.trusted_proxies.clone()),
            throttle: Throttle::new(),
            requests: None,
        })
    }

    /// Has every answered call counted.
    pub(super) fn counting(self, requests: Option<Requests>) -> Self {
        Self { requests, ..self }
    }

    /// Whether anybody can call at all.
    pub(super) fn admits_anybody(&self) -> bool {
        self.authenticator.admits_anybody()
    }

    /// Who may make this call. Paths that do not exist are an administrator's too: what there is, is nobody
    /// else's business.
    fn admit(
        &self,
        request: &Request,
        link: &Link,
        client: IpAddr,
    ) -> std::result::Result<Identity, Box<Refusal>> {
        let refuse = |problem, who, why| Box::new(Refusal { problem, who, why });
        let (identity, by_cookie) = match self.authenticator.check(request.headers()) {
            Verdict::Missing => {
                let problem = Problem::new(Cause::NotAuthenticated);
                return Err(refuse(problem, Who::Anonymous, "no credential"));
            }
            Verdict::Wrong(why) => {
                let problem = match self.throttle.wrong(client) {
                    Ok(()) => Problem::new(Cause::NotAuthenticated),
                    // Rounded up, so that a client that comes back then is not too early.
                    Err(wait) => Problem::new(Cause::TooManyAttempts).retry_after(wait.as_secs() + 1),
                };
                return Err(refuse(problem, Who::Anonymous, why));
            }
            Verdict::Expired(why) => {
                let problem = Problem::new(Cause::NotAuthenticated);
                return Err(refuse(problem, Who::Anonymous, why));
            }
            Verdict::Known { identity, by_cookie } => (identity, by_cookie),
        };
        link.is_known();
        if by_cookie && is_mutating(request.method()) && !self.proxies.same_origin(link, request.headers()) {
            let problem = Problem::new(Cause::CrossSite).detail(
                "with a cookie, `Origin` has to be this server's own (or `Sec-Fetch-Site: same-origin`)",
            );
            return Err(refuse(problem, identity.who, "another site's request"));
        }
        // Every user of the application has a session; a viewer is somebody whom the configuration names.
        let views = request.uri().path() == METRICS && matches!(identity.who, Who::Token(_));
        if identity.role != Role::Admin && !views {
            let problem = Problem::new(Cause::Forbidden);
            return Err(refuse(problem, identity.who, "not an administrator"));
        }
        Ok(identity)
    }
}

impl Gate {
    /// A request that can't be read: its connection has ended with the bare status, and this is what is left of it.
    pub(super) fn malformed(&self, peer: IpAddr, error: &hyper::Error) {
        let status = if error.is_parse_too_large() {
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        } else {
            StatusCode::BAD_REQUEST
        };
        let why = error.to_string();
        let mut call = Call {
            method: None,
            requests: self.requests.clone(),
            operation: "unreadable request".to_owned(),
            is_probe: false,
            who: Who::Anonymous,
            client: peer,
            began: Instant::now(),
            recorded: false,
        };
        call.answered(status, Some(&why));
    }
}

/// What is wrong with a request before it matters who sends it.
fn flaw(request: &Request) -> Option<Problem> {
    if has_large_header(request) {
        let detail = format!("a header has at most {HEADER_FIELDS} fields and {HEADER_BYTES} bytes");
        return Some(Problem::new(Cause::HeadersTooLarge).detail(detail));
    }
    // RFC 9112, section 3.2: who reads another one of two sends the request elsewhere.
    let hosts = request.headers().get_all(HOST).iter().count();
    let enough = hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11);
    (!enough).then(|| {
        let detail = format!("a request has one `Host`, and this one has {hosts}");
        Problem::new(Cause::BadRequest).detail(detail)
    })
}

/// The middleware: admits or refuses, and records the call when the head of its answer is ready; the bytes of a
/// download or a stream come after that.
pub(super) async fn pass(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let Some(link) = request.extensions().get::<Arc<Link>>().cloned() else {
        // Only a connection of ours calls this.
        return Problem::new(Cause::NotAuthenticated).into_response();
    };
    let client = gate.proxies.client(link.peer.ip(), request.headers());
    let mut call = Call::new(&request, client, gate.requests.clone());
    if let Some(problem) = flaw(&request) {
        call.answered(problem.status, problem.detail.as_deref());
        return problem
            .header(CONNECTION, HeaderValue::from_static("close"))
            .into_response();
    }
    if request.uri().path() == OPEN {
        // Strangers call this: waiting for a body of theirs would let them hold all connections.
        *request.body_mut() = Body::empty();
        let response = next.run(request).await;
        call.answered(response.status(), None);
        return response;
    }
    match gate.admit(&request, &link, client) {
        Ok(identity) => {
            call.who = identity.who.clone();
            request.extensions_mut().insert(identity);
            let response = next.run(request).await;
            let why = response.extensions().get::<Why>().map(|why| why.0.as_str());
            call.answered(response.status(), why);
            response
        }
        Err(refusal) => {
            call.who = refusal.who;
            call.answered(refusal.problem.status, Some(refusal.why));
            refusal.problem.into_response()
        }
    }
}

/// A call, until it is in the audit log. One whose client leaves before the answer is recorded as well, but not
/// counted: it has no code.
struct Call {
    /// None where it could not be read.
    method: Option<Method>,
    requests: Option<Requests>,
    operation: String,
    is_probe: bool,
    who: Who,
    client: IpAddr,
    began: Instant,
    recorded: bool,
}

impl Call {
    fn new(request: &Request, client: IpAddr, requests: Option<Requests>) -> Self {
        let path = request.uri().path();
        Self {
            method: Some(request.method().clone()),
            requests,
            operation: operation(request.method().as_str(), path),
            is_probe: [OPEN, METRICS].contains(&path),
            who: Who::Anonymous,
            client,
            began: Instant::now(),
            recorded: false,
        }
    }

    fn answered(&mut self, status: StatusCode, why: Option<&str>) {
        if let Some(requests) = &self.requests {
            let method = self.method.as_ref().map_or("", Method::as_str);
            requests.count(method, status.as_u16(), self.began.elapsed());
        }
        let grade = if status.is_server_error() {
            Grade::Problem
        } else if status.is_client_error() {
            Grade::Refused
        } else {
            Grade::Normal
        };
        self.record(status.as_str(), grade, why);
    }

    fn record(&mut self, status: &str, grade: Grade, error: Option<&str>) {
        self.recorded = true;
        if self.is_probe && grade == Grade::Normal {
            // Every quarter of a minute: the audit log would be nothing else.
            tracing::debug!(
                "{} for {} from {}: {status}",
                self.operation,
                self.who,
                self.client
            );
            return;
        }
        audit::record(&Entry {
            operation: &self.operation,
            who: &self.who,
            from: Some(self.client),
            target: "",
            status,
            took: self.began.elapsed(),
            grade,
            error,
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.recorded {
            self.record("left", Grade::Normal, Some("the client left before the answer"));
        }
    }
}

/// `METHOD /path`, harmless and not too long, without the query.
fn operation(method: &str, path: &str) -> String {
    let whole = format!("{method} {path}");
    let escaped = escape(&whole);
    if escaped.chars().count() <= OPERATION_CHARS {
        return escaped.into_owned();
    }
    let mut cut: String = escaped.chars().take(OPERATION_CHARS - 1).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_bounded_and_can_not_forge_a_line() {
        assert_eq!(operation("GET", "/api/backup/info/3"), "GET /api/backup/info/3");
        let long = operation("GET", &"/x".repeat(5_000));
        assert_eq!(long.chars().count(), OPERATION_CHARS);
        assert!(long.ends_with('…'));
        assert_eq!(operation("GET", "/a\nERROR b"), "GET /a\\nERROR b");
    }
}
