//! The HTTP client under all object stores: it paces what is sent, notices when nothing moves any more, waits as
//! long as a server asks for, and remembers what an answer without words said in its headers.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use object_store::client::{
    ClientConfigKey, ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};
use tokio::time::Sleep;

use super::Tuning;
use super::pace::Pace;
use super::tls;

/// A request with a body up to this size is a small one.
const SMALL: u64 = 1 << 20;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What all clients of one store share.
#[derive(Debug)]
pub(super) struct Line {
    pace: Pace,
    tuning: Tuning,
    connections: usize,
    sent: AtomicU64,
    hints: Mutex<Hints>,
}

/// What a refusal said beside its words. An answer to HEAD has no words at all.
#[derive(Debug, Clone, Default)]
pub(super) struct Hints {
    /// The region that the bucket is in.
    pub(super) region: Option<String>,
    /// Seconds that the server's clock is ahead of ours.
    pub(super) ahead: Option<i64>,
}

impl Line {
    pub(super) fn new(rate: Option<u64>, connections: usize, tuning: Tuning) -> Self {
        Self {
            pace: Pace::new(rate),
            tuning,
            connections,
            sent: AtomicU64::new(0),
            hints: Mutex::default(),
        }
    }

    /// Bytes of bodies that left, those sent again included.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) const fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// What the last refusal said beside its words.
    pub(super) fn hints(&self) -> Hints {
        self.hints.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, status: u16, headers: &HeaderMap) {
        if !matches!(status, 301 | 307 | 400 | 401 | 403) {
            return;
        }
        let text = |value: Option<&HeaderValue>| Some(value?.to_str().ok()?.to_owned());
        let date = text(headers.get(DATE)).and_then(|date| DateTime::parse_from_rfc2822(&date).ok());
        *self.hints.lock().unwrap_or_else(PoisonError::into_inner) = Hints {
            region: text(headers.get("x-amz-bucket-region")),
            ahead: date.map(|date| (date.to_utc() - Utc::now()).num_seconds()),
        };
    }
}

/// Makes clients for `object_store`.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Arc<Line>);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let client = reqwest::Client::builder()
            .http1_only()
            .https_only(!allow_http)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.0.tuning.connect)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(self.0.connections)
            .user_agent(concat!("cofre/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| object_store::Error::Generic {
                store: "HTTP client",
                source: Box::new(error.without_url()),
            })?;
        Ok(HttpClient::new(Wire {
            client,
            line: Arc::clone(&self.0),
        }))
    }
}

/// One client.
#[derive(Debug)]
struct Wire {
    client: reqwest::Client,
    line: Arc<Line>,
}

impl HttpService for Wire {
    // The trait is made by `async_trait`; this is what it asks for.
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}

impl Wire {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts
            .uri
            .to_string()
            .parse()
            .map_err(|error| HttpError::new(HttpErrorKind::Unknown, BadUrl(format!("{error}"))))?;
        // What puts an upload together may take its time, and is asked for by POST.
        let is_post = parts.method == hyper::Method::POST;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let moved = Arc::new(Moved::new());
        let length = body.content_length();
        if length > 0 {
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
            *request.body_mut() = Some(self.outgoing(body, &moved));
        }
        let tuning = &self.line.tuning;
        let idle = if is_post || length as u64 > SMALL {
            tuning.idle
        } else {
            tuning.idle.min(tuning.idle_small)
        };
        let response = tokio::select! {
            response = self.client.execute(request) => response.map_err(http_error)?,
            () = moved.stops(idle) => return Err(idle_error(idle)),
        };
        self.line.note(response.status().as_u16(), response.headers());
        self.wait_as_asked(&response).await;
        let response: hyper::Response<reqwest::Body> = response.into();
        Ok(response.map(|body| {
            HttpResponseBody::new(Incoming {
                body,
                idle,
                sleep: Box::pin(tokio::time::sleep(idle)),
            })
        }))
    }

    /// A request's body in pieces, each at its time.
    fn outgoing(&self, body: HttpRequestBody, moved: &Arc<Moved>) -> reqwest::Body {
        let start = (body, Bytes::new(), Arc::clone(&self.line), Arc::clone(moved));
        let pieces = futures_util::stream::unfold(start, |(mut body, mut rest, line, moved)| async move {
            while rest.is_empty() {
                match body.frame().await? {
                    Ok(frame) => rest = frame.into_data().unwrap_or_default(),
                    Err(error) => return Some((Err(error), (body, rest, line, moved))),
                }
            }
            let piece = rest.split_to(rest.len().min(line.pace.piece()));
            moved.now();
            line.pace.wait(piece.len()).await;
            moved.now();
            line.sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Some((Ok(piece), (body, rest, line, moved)))
        });
        reqwest::Body::wrap_stream(pieces)
    }

    /// A busy server may say how long it wants to be left alone; `object_store` itself doesn't look.
    async fn wait_as_asked(&self, response: &reqwest::Response) {
        if !matches!(response.status().as_u16(), 429 | 503) {
            return;
        }
        let asked = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        if let Some(seconds) = asked.and_then(|text| text.trim().parse::<u64>().ok()) {
            let wait = Duration::from_secs(seconds).min(self.line.tuning.longest_wait);
            tracing::debug!("the server asks to wait for {seconds} s");
            tokio::time::sleep(wait).await;
        }
    }
}

/// When a body last moved.
#[derive(Debug)]
struct Moved {
    start: Instant,
    millis: AtomicU64,
}

impl Moved {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
        }
    }

    fn now(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// Returns once nothing has moved for so long.
    async fn stops(&self, idle: Duration) {
        loop {
            let deadline = self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed)) + idle;
            if deadline <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(deadline.into()).await;
        }
    }
}

/// An answer's body, with an end to waiting for its next piece.
struct Incoming {
    body: reqwest::Body,
    idle: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            let next = tokio::time::Instant::now() + self.idle;
            self.sleep.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(http_error)));
        }
        let idle = self.idle;
        self.sleep
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(idle_error(idle))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the URL can't be used: {0}")]
struct BadUrl(String);

#[derive(Debug, thiserror::Error)]
#[error("nothing was sent or received for {} s", .0.as_secs())]
struct Idle(Duration);

fn idle_error(idle: Duration) -> HttpError {
    HttpError::new(HttpErrorKind::Timeout, Idle(idle))
}

/// All requests of ours may be made twice, so that every broken connection may be tried again; what can't be tried
/// again is what a second attempt would not change.
fn http_error(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if tls::Trouble::of(&error).is_some() || error.is_builder() {
        HttpErrorKind::Unknown
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}
