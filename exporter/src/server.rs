//! The HTTP server: accepts connections and bounds what each may cost. What is answered is `routes`'s.

mod auth;
mod encoding;
mod listen;
mod routes;
mod tls;
mod web;
mod web_config;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use listen::bind;
pub use routes::{Site, metrics};
pub use web::Web;

use web_config::Loaded;

/// A client has to send its request within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// And be done altogether, its reading of the answer included, within this one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections at a time; more wait in the system's queue. Well below the usual limit of 1024 open files.
const MAX_CONNECTIONS: usize = 256;
/// Pause after a failed accept (out of file descriptors, mostly), so that it doesn't spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `site` on all `listeners`, to whom and how `web` says, until the returned future is dropped.
pub async fn serve(listeners: Vec<TcpListener>, site: Site, web: Web) {
    let site = Arc::new(site);
    let web = Arc::new(web);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(
            listener,
            Arc::clone(&site),
            Arc::clone(&web),
            Arc::clone(&slots),
        ));
    }
    tokio::select! {
        () = async { while accepting.join_next().await.is_some() {} } => {}
        () = web.follow() => {}
    }
}

async fn accept(listener: TcpListener, site: Arc<Site>, web: Arc<Web>, slots: Arc<Semaphore>) {
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                let rules = web.current();
                tokio::spawn(async move {
                    let served = tokio::time::timeout(CONNECTION_TIMEOUT, connection(stream, site, rules));
                    if served.await.is_err() {
                        tracing::debug!("a connection took longer than {CONNECTION_TIMEOUT:?}");
                    }
                    drop(slot);
                });
            }
            Err(e) => {
                if !is_of_one_client(&e) {
                    tracing::warn!("can't accept a connection: {e}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether an error of `accept` is about one client, which gave up before it was accepted.
#[must_use]
pub fn is_of_one_client(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

async fn connection(stream: TcpStream, site: Arc<Site>, rules: Arc<Loaded>) {
    let Some(acceptor) = &rules.tls else {
        return http(stream, site, Arc::clone(&rules)).await;
    };
    match tokio::time::timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => http(stream, site, Arc::clone(&rules)).await,
        Ok(Err(e)) => tracing::debug!("a TLS handshake failed: {e}"),
        Err(_) => tracing::debug!("a TLS handshake took longer than {HEADER_TIMEOUT:?}"),
    }
}

/// One request and its answer. Connections aren't kept: a scrape comes every quarter of a minute at most, and an
/// idle one would take a slot.
async fn http(stream: impl AsyncRead + AsyncWrite + Unpin, site: Arc<Site>, rules: Arc<Loaded>) {
    let service = service_fn(move |request| {
        let (site, rules) = (Arc::clone(&site), Arc::clone(&rules));
        async move { Ok::<_, std::convert::Infallible>(site.answer(&request, &rules).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(e) = served.await {
        tracing::debug!("a connection ended: {e}");
    }
}
