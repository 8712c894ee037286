//! Paths and answers. The whole table is in `Site::page`.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};

use super::encoding;
use super::web_config::Loaded;
use crate::error::{Error, Result};
use crate::exporter::{Exporter, Scope};

const HEALTHY: &str = "/-/healthy";
const READY: &str = "/-/ready";
const LANDING: &str = "/";

/// The one format that is served, whatever the client asks for: every Prometheus reads it.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Prometheus says here how long it waits; an answer that comes later is lost.
const SCRAPE_TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";
/// What is left of that for everything else than the repositories.
const RESERVE: Duration = Duration::from_millis(500);

type Answer = Response<Full<Bytes>>;

/// What the server offers.
#[derive(Debug)]
pub struct Site {
    exporter: Arc<Exporter>,
    telemetry_path: String,
    limit: Duration,
}

impl Site {
    /// Serves the metrics of `exporter` at `telemetry_path`, waiting for the repositories at most `limit`.
    ///
    /// # Errors
    /// `Usage` for a path that is none or that is taken.
    pub fn new(exporter: Arc<Exporter>, telemetry_path: &str, limit: Duration) -> Result<Self> {
        let usable = |b: u8| b.is_ascii_graphic() && !b"?#<>\"&%'".contains(&b);
        if !telemetry_path.starts_with('/') || !telemetry_path.bytes().all(usable) {
            return Err(path_error(
                "it has to begin with / and have plain characters only",
            ));
        }
        if [HEALTHY, READY].contains(&telemetry_path) {
            return Err(path_error("the path is taken by a health check"));
        }
        Ok(Self {
            exporter,
            telemetry_path: telemetry_path.to_owned(),
            limit,
        })
    }

    /// The answer to a request, as the web configuration's rules have it.
    pub(super) async fn answer(&self, request: &Request<Incoming>, rules: &Loaded) -> Answer {
        let allowed = match &rules.users {
            Some(users) => users.know(request.headers()).await,
            None => true,
        };
        let mut answer = if allowed {
            self.page(request).await
        } else {
            let mut refusal = plain(StatusCode::UNAUTHORIZED, TEXT, "401: name and password, please\n");
            let challenge = HeaderValue::from_static("Basic realm=\"cofre-exporter\"");
            refusal.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            refusal
        };
        for (name, value) in &rules.headers {
            answer.headers_mut().insert(name, value.clone());
        }
        answer
    }

    async fn page(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        let known = path == self.telemetry_path || [HEALTHY, READY, LANDING].contains(&path);
        if !known {
            return plain(StatusCode::NOT_FOUND, TEXT, "404: no such page\n");
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, "405: use GET\n");
            answer
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        match path {
            p if p == self.telemetry_path => self.metrics(request.headers()).await,
            // Both say that this process answers. How the repositories are is what the metrics say.
            HEALTHY => plain(StatusCode::OK, TEXT, "healthy\n"),
            READY => plain(StatusCode::OK, TEXT, "ready\n"),
            _ => self.landing(),
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Answer {
        metrics(&self.exporter, headers, self.limit)
            .await
            .unwrap_or_else(|e| {
                tracing::error!("{e}");
                plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    "500: see the exporter's log\n",
                )
            })
    }

    fn landing(&self) -> Answer {
        let page = format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><title>cofre exporter</title></head>\n<body><h1>cofre \
             exporter {}</h1>\n<p><a href=\"{path}\">Metrics</a>, <a href=\"{HEALTHY}\">healthy</a>, <a \
             href=\"{READY}\">ready</a></p></body></html>\n",
            env!("CARGO_PKG_VERSION"),
            path = self.telemetry_path,
        );
        let mut answer = plain(StatusCode::OK, HTML, page);
        let policy = HeaderValue::from_static("default-src 'none'");
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        answer
    }
}

/// The answer to a scrape with this header, for any server that mounts the metrics: the text, compressed where
/// the client takes that. The repositories get at most `limit`, or less where Prometheus says that it waits less.
///
/// # Errors
/// As [`Exporter::scrape`].
pub async fn metrics(
    exporter: &Exporter,
    headers: &HeaderMap,
    limit: Duration,
) -> Result<Response<Full<Bytes>>> {
    let text = exporter.scrape(limit_for(headers, limit), Scope::Scrape).await?;
    let zipped = encoding::accepts_gzip(headers)
        .then(|| encoding::gzip(&text))
        .flatten();
    let is_zipped = zipped.is_some();
    let body = zipped.map_or_else(|| Bytes::from(text), Bytes::from);
    let mut answer = plain(StatusCode::OK, METRICS_TYPE, body);
    answer
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_zipped {
        answer
            .headers_mut()
            .insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(answer)
}

fn path_error(message: &str) -> Error {
    Error::Usage {
        option: "--web.telemetry-path",
        message: message.to_owned(),
    }
}

fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// The configured limit, or less where the client announces that it waits less.
fn limit_for(headers: &HeaderMap, configured: Duration) -> Duration {
    let announced = headers
        .get(SCRAPE_TIMEOUT_HEADER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
    match announced {
        Some(waits) => configured.min(waits.saturating_sub(RESERVE).max(waits / 2)),
        None => configured,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_limit_stays_below_what_the_client_waits() {
        for (header, expected_ms) in [
            ("10", 8000),
            ("5", 4500),
            ("0.6", 300),
            ("0", 0),
            ("-1", 8000),
            ("NaN", 8000),
            ("1e300", 8000),
            ("soon", 8000),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(SCRAPE_TIMEOUT_HEADER, header.parse().unwrap());
            let limit = limit_for(&headers, Duration::from_secs(8));
            assert_eq!(limit.as_millis(), expected_ms, "{header}");
        }
    }

    #[test]
    fn a_telemetry_path_that_can_not_work_is_refused() {
        let exporter = Arc::new(Exporter::new([]));
        for bad in ["", "metrics", "/-/ready", "/a b", "/a?b", "/<x>", "/é", "/a\r\nb"] {
            let made = Site::new(Arc::clone(&exporter), bad, Duration::ZERO);
            assert!(made.is_err(), "{bad:?}");
        }
        assert!(Site::new(exporter, "/cofre/metrics", Duration::ZERO).is_ok());
    }
}
