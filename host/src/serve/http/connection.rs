//! One connection: TLS, HTTP, and what the listener has to know of it to choose who gives way.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::gate::Gate;
use super::limits::{HEADER_BYTES, HEADER_EXCESS, HEADER_FIELDS, Limits};
use super::stream::Guarded;

/// What is known of a connection. Every request carries it among its extensions.
#[derive(Debug)]
pub(super) struct Link {
    /// The other end, which may be a proxy.
    pub peer: SocketAddr,
    /// Whether it is encrypted up to here.
    pub tls: bool,
    since: Instant,
    busy: AtomicUsize,
    known: AtomicBool,
    unread: AtomicBool,
}

impl Link {
    pub(super) fn new(peer: SocketAddr, tls: bool) -> Self {
        Self {
            peer,
            tls,
            since: Instant::now(),
            busy: AtomicUsize::new(0),
            known: AtomicBool::new(false),
            unread: AtomicBool::new(false),
        }
    }

    /// Somebody who may call has called.
    pub(super) fn is_known(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    /// The request's body has been read to its end.
    pub(super) fn body_read(&self) {
        self.unread.store(false, Ordering::Relaxed);
    }

    pub(super) fn has_unread_body(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// The order in which connections give way when there are too many: first those that never showed a valid
    /// credential, of these the oldest. None for one with a request that is being answered.
    pub(super) fn dispensable(&self) -> Option<(bool, Instant)> {
        (self.busy.load(Ordering::Relaxed) == 0).then(|| (self.known.load(Ordering::Relaxed), self.since))
    }
}

/// A request that is being answered, until the last byte of its answer has been handed over.
#[derive(Debug)]
struct Busy(Arc<Link>);

impl Busy {
    fn new(link: &Arc<Link>) -> Self {
        link.busy.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(link))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer's body that keeps its connection busy.
#[derive(Debug)]
struct Answer {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What serves the requests of every connection.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) router: Router,
    /// For what never becomes a request.
    pub(super) gate: Arc<Gate>,
    pub(super) limits: Limits,
}

/// Serves one connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    link: Arc<Link>,
    tls: Option<TlsAcceptor>,
    app: App,
    watcher: Watcher,
) {
    let limits = app.limits;
    let stream = Guarded::new(stream, Arc::clone(&link), &limits);
    let Some(tls) = tls else {
        return http(stream, link, app, watcher).await;
    };
    match tokio::time::timeout(limits.handshake, tls.accept(stream)).await {
        Ok(Ok(stream)) => http(stream, link, app, watcher).await,
        Ok(Err(e)) => tracing::debug!("TLS with {} failed: {e}", link.peer),
        Err(_) => tracing::debug!("TLS with {} took longer than {:?}", link.peer, limits.handshake),
    }
}

async fn http<S>(stream: S, link: Arc<Link>, app: App, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let App { router, gate, limits } = app;
    let peer = link.peer;
    let app = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let busy = Busy::new(&link);
        link.unread
            .store(!request.body().is_end_stream(), Ordering::Relaxed);
        request.extensions_mut().insert(Arc::clone(&link));
        let answer = app.call(request);
        async move { Ok::<_, Infallible>(answer.await?.map(|body| Answer { body, _busy: busy })) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .half_close(false)
        .max_header_size(HEADER_EXCESS * HEADER_BYTES)
        .max_headers(HEADER_EXCESS * HEADER_FIELDS)
        .max_buf_size(HEADER_EXCESS * HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(e) = watcher.watch(connection).await {
        // What is wrong with a body is the answer of the request that it belongs to.
        if e.is_parse() {
            gate.malformed(peer.ip(), &e);
        }
        tracing::debug!("the connection with {peer} ended: {e}");
    }
}
