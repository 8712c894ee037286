//! The HTTP server: accepts connections and bounds what each may cost. What is answered is `routes`'s.

mod encoding;
mod listen;
mod routes;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use listen::bind;
pub use routes::{Site, metrics};

/// A client has to send its request within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// And be done altogether, its reading of the answer included, within this one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections at a time; more wait in the system's queue. Well below the usual limit of 1024 open files.
const MAX_CONNECTIONS: usize = 256;
/// Pause after a failed accept (out of file descriptors, mostly), so that it doesn't spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `site` on all `listeners` until the returned future is dropped.
pub async fn serve(listeners: Vec<TcpListener>, site: Site) {
    let site = Arc::new(site);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(listener, Arc::clone(&site), Arc::clone(&slots)));
    }
    while accepting.join_next().await.is_some() {}
}

async fn accept(listener: TcpListener, site: Arc<Site>, slots: Arc<Semaphore>) {
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(&slots).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                tokio::spawn(async move {
                    connection(stream, site).await;
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

/// One request and its answer. Connections aren't kept: a scrape comes every quarter of a minute at most, and an
/// idle one would take a slot.
async fn connection(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, std::convert::Infallible>(site.answer(&request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, served).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => tracing::debug!("a connection ended: {e}"),
        Err(_) => tracing::debug!("a connection took longer than {CONNECTION_TIMEOUT:?}"),
    }
}
