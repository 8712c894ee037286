//! Connections, TLS, limits, credentials and the audit of calls: everything about HTTP that is not a route.
//!
//! From the outside in: [`Server`] accepts, `pool` knows who is connected, `connection` speaks HTTP/1.1 over
//! `stream` and `tls`, and every request then passes `gate` (who, may they, the audit log) and `limits` before a
//! route sees it.
//!
//! `Strict-Transport-Security` is not among the fields of every answer: it would bind whatever else the same
//! name serves, and a client of an API does not look at it.

mod auth;
mod connection;
mod gate;
mod jwt;
mod limits;
mod origin;
mod pool;
mod stream;
mod throttle;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::from_fn_with_state;
use cofre_exporter::server::is_of_one_client;
use hyper_util::server::graceful::GracefulShutdown;
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::audit::Who;
use crate::config::{Api, Role};
use crate::error::{Code, Error, Result};
use crate::serve::Service;
use connection::{App, Link};
use gate::Gate;
use limits::Limits;

pub(in crate::serve) use limits::BODY_BYTES;
use pool::Pool;
use tls::Tls;

/// Pause after a failed accept (out of file descriptors, mostly), so that it doesn't spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// And how often that is logged.
const ACCEPT_LOG: Duration = Duration::from_secs(60);
/// A client that went away without a word is noticed after 60 s and four probes.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// Most bytes that the kernel keeps unsent for a connection. With the usual megabytes a slow client would look
/// as if it took nothing for minutes.
const UNSENT_BYTES: u32 = 128 * 1024;
/// File descriptors beside the connections: archives being read, the engine's, standard streams.
const OTHER_FILES: u64 = 512;
/// Connections at a time that are allowed however few files may be open.
const LEAST_CONNECTIONS: usize = 16;

/// On every answer: nothing of it is kept, guessed at, framed or referred to.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Who made a call, for the routes: among the extensions of each request but those for `/healthz`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// For the audit log.
    pub who: Who,
    /// What they may do.
    pub role: Role,
}

/// Whether a server could start with this: certificate, keys, everything but the address.
///
/// # Errors
/// What [`Server::bind`] would say.
pub fn check(api: &Api) -> Result<()> {
    Gate::new(api)?;
    Tls::new(api)?;
    let Some(folder) = &api.restore_dir else {
        return Ok(());
    };
    match crate::source::open_dir_nofollow(folder) {
        Ok(_) => Ok(()),
        Err(error) => Err(
            Error::new(Code::Config, format!("api.restore_dir: {}", error.message))
                .remedy("make the folder, or name another"),
        ),
    }
}

/// The service's HTTP server.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    ending: watch::Receiver<bool>,
    router: Router,
    gate: Arc<Gate>,
    tls: Option<Arc<Tls>>,
    connections: usize,
    limits: Limits,
}

impl Server {
    /// Listens, with everything read that the configuration names. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// An address that can't be listened on, a certificate or a key that can't be used.
    pub fn bind(service: Arc<Service>, api: &Api, router: Router) -> Result<Self> {
        let gate = Gate::new(api)?.counting(service.exporter.requests().cloned());
        let tls = Tls::new(api)?.map(Arc::new);
        let listener = cofre_exporter::server::bind(&api.listen.to_string())
            .map_err(|e| cannot_listen(api.listen, &e))?;
        let address = listener
            .local_addr()
            .map_err(|e| Error::io(format_args!("listen on {}", api.listen), &e))?;
        let connections = raise_open_files(api.max_connections);
        if tls.is_none() && !address.ip().to_canonical().is_loopback() {
            tracing::warn!(
                "the API listens on {address} WITHOUT TLS: whoever is on the way reads tokens and backups; set \
                 api.tls_cert and api.tls_key, or listen on 127.0.0.1 behind a proxy with TLS"
            );
        }
        if !gate.admits_anybody() {
            tracing::warn!(
                "there are neither api.tokens nor api.jwt, so that every call is answered with 401: `cofre token \
                 new NAME --role admin` makes a token"
            );
        }
        Ok(Self {
            listener,
            address,
            ending: service.ending.clone(),
            router,
            gate: Arc::new(gate),
            tls,
            connections,
            limits: Limits::default(),
        })
    }

    /// Where it listens; with port 0 in the configuration, the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the service ends. Then nothing more is accepted, idle connections close at once, and this
    /// returns when the last request has its answer. Who does not want to wait as long drops the future, which
    /// cuts off what is still open.
    pub async fn serve(self) {
        let Self {
            listener,
            ending,
            gate,
            router,
            tls,
            limits,
            ..
        } = self;
        let app = App {
            router: layered(router, Arc::clone(&gate), limits),
            gate,
            limits,
        };
        let graceful = GracefulShutdown::new();
        let mut pool = Pool::new(self.connections);
        let mut background = JoinSet::new();
        if let Some(tls) = &tls {
            background.spawn(tls::keep_current(Arc::clone(tls), limits.reload));
        }
        let mut failures = Failures::default();
        let ended = ended(ending);
        tokio::pin!(ended);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut ended => break,
                () = pool.reap(), if !pool.is_empty() => continue,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(e) => {
                    if !is_of_one_client(&e) {
                        failures.log(&e);
                        // The usual reason is that files are short, and an idle connection has one.
                        pool.end_idle();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                    continue;
                }
            };
            tokio::select! {
                biased;
                () = &mut ended => break,
                () = pool.room() => {}
            }
            tune(&stream);
            let link = Arc::new(Link::new(peer, tls.is_some()));
            let acceptor = tls.as_ref().map(|tls| tls.acceptor());
            let (app, watcher) = (app.clone(), graceful.watcher());
            let connection = connection::serve(stream, Arc::clone(&link), acceptor, app, watcher);
            pool.spawn(link, connection);
        }
        drop(listener);
        pool.end_all_idle();
        graceful.shutdown().await;
        while !pool.is_empty() {
            pool.reap().await;
        }
    }
}

/// What stands between a connection and the routes; the last layer is the outermost.
fn layered(router: Router, gate: Arc<Gate>, limits: Limits) -> Router {
    // As a fallback of another router, so that the layers come before the choice of a route: who may not call
    // learns nothing about which routes there are.
    let mut app = Router::new()
        .fallback_service(router)
        .layer(from_fn_with_state(limits, limits::in_time))
        .layer(from_fn_with_state(limits, limits::whole_body))
        .layer(CatchPanicLayer::custom(limits::panicked))
        .layer(from_fn_with_state(gate, gate::pass));
    for (name, value) in HEADERS {
        app = app.layer(SetResponseHeaderLayer::overriding(name, value));
    }
    app
}

/// Completes when the service ends, or nobody is left who could say so.
async fn ended(mut ending: watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}

fn tune(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY)
        .with_retries(4);
    let socket = SockRef::from(stream);
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive))
        .and_then(|()| socket.set_tcp_notsent_lowat(UNSENT_BYTES));
    if let Err(e) = tuned {
        tracing::debug!("a connection can't be tuned: {e}");
    }
}

/// Failed accepts, logged now and then.
#[derive(Debug, Default)]
struct Failures {
    logged: Option<Instant>,
    unlogged: u64,
}

impl Failures {
    fn log(&mut self, error: &io::Error) {
        if self.logged.is_some_and(|at| at.elapsed() < ACCEPT_LOG) {
            self.unlogged += 1;
            return;
        }
        tracing::error!(
            "connections can't be accepted: {error} ({} times since the last line of this kind; if files are \
             short, raise LimitNOFILE or lower api.max_connections)",
            self.unlogged
        );
        self.logged = Some(Instant::now());
        self.unlogged = 0;
    }
}

/// Raises the soft limit of open files to what the connections need, and says how many connections it allows:
/// each is an open file, and one that downloads has an archive open too. It is not raised to the hard limit:
/// programs that cofre starts inherit it, and some of them are slow, or break, when it is a million.
fn raise_open_files(connections: usize) -> usize {
    let needed = files_for(connections);
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= needed) {
        return connections;
    }
    let mut possible = limit.maximum.map_or(needed, |hard| hard.min(needed));
    let soft = limit.current.replace(possible);
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("the limit of open files can't be raised to {possible}: {e}");
        possible = soft.unwrap_or(possible);
    }
    let affordable = connections_for(possible).min(connections);
    if affordable < connections {
        tracing::warn!(
            "api.max_connections is {connections}, and the {possible} open files that are allowed are enough for \
             {affordable}: raise LimitNOFILE of the unit to {needed}, or lower api.max_connections"
        );
    }
    affordable
}

fn files_for(connections: usize) -> u64 {
    u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_mul(2)
        .saturating_add(OTHER_FILES)
}

/// The other way round; a handful always, for who may get in at all.
fn connections_for(files: u64) -> usize {
    usize::try_from(files.saturating_sub(OTHER_FILES) / 2)
        .unwrap_or(usize::MAX)
        .max(LEAST_CONNECTIONS)
}

fn cannot_listen(address: SocketAddr, error: &cofre_exporter::Error) -> Error {
    let cofre_exporter::Error::Listen { source, .. } = error else {
        return Error::new(
            Code::Io,
            format!("api.listen: {address} can't be listened on: {error}"),
        );
    };
    let (code, remedy) = match source.kind() {
        io::ErrorKind::AddrInUse => (
            Code::Io,
            "stop it (`ss -ltnp` names it), or set api.listen to another port",
        ),
        io::ErrorKind::AddrNotAvailable => (
            Code::Config,
            "set api.listen to an address of this machine, or to 0.0.0.0 for all of them",
        ),
        io::ErrorKind::PermissionDenied => (
            Code::AccessDenied,
            "set api.listen to a port above 1023, or give the service CAP_NET_BIND_SERVICE",
        ),
        _ => (Code::Io, "check api.listen"),
    };
    Error::new(code, format!("api.listen: can't listen on {address}: {source}")).remedy(remedy)
}

#[cfg(test)]
mod tests;
