//! `cofre serve`: schedule, API and metrics in one process. What each part shares is [`Service`]; how they start
//! and end together is here, what they do is in the modules below.

mod ending;
pub mod http;
pub(crate) mod only;
pub mod routes;
pub mod runner;
pub mod scheduler;
#[cfg(test)]
mod tests;
pub mod unit;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use cofre_exporter::{Exporter, Repository, Requests};
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::context::Context;
use crate::error::{Code, Error, Result};
use crate::notify::Deliverer;
use crate::remote::Copier;
use crate::schedule;
use crate::text::{escape, shown};
use http::Server;
use runner::Runner;

/// How often the flag that ends the service is looked at.
const TICK: Duration = Duration::from_millis(100);

/// What the parts of the service share.
#[derive(Debug)]
pub struct Service {
    /// Configuration and engine.
    pub context: Arc<Context>,
    /// Runs one backup at a time.
    pub runner: Runner,
    /// The metrics.
    pub exporter: Arc<Exporter>,
    /// Becomes true when the service ends: no new work, streams close.
    pub ending: watch::Receiver<bool>,
}

/// How the service ended, on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing was cut short.
    Done,
    /// A backup was running, and did not end within the grace.
    CutShort,
}

/// The two tasks of the service.
struct Tasks {
    scheduler: JoinHandle<()>,
    http: Option<JoinHandle<()>>,
}

/// Runs the service until `cancel` is set, and ends it in good order.
///
/// # Errors
/// `Busy` when another service uses the state folder; when the address can't be bound or a certificate can't be
/// read; `Internal` when a part of the service ends by itself.
pub fn run(context: Context, cancel: &AtomicBool) -> Result<Ended> {
    let context = Arc::new(context);
    let _only = only::lock(&context.config.state_dir)?;
    say_start(&context.config);
    // A service that stays can tell what is wrong with its backups, one that ends can't.
    if let Err(error) = scheduler::recover(&context) {
        tracing::error!("runs that a crash interrupted could not be closed: {error}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("cofre-serve")
        .enable_all()
        .build()
        .map_err(|e| Error::io("start the service's threads", &e))?;
    let (end, ending) = watch::channel(false);
    let service = Arc::new(Service {
        runner: Runner::new(Arc::clone(&context)),
        exporter: Arc::new(exporter(&context)?),
        context: Arc::clone(&context),
        ending,
    });
    let server = {
        let _inside = runtime.enter();
        bind(&service)?
    };
    let copier = Copier::start(Arc::clone(&context))?;
    let deliverer = Deliverer::start(context)?;
    let ended = runtime.block_on(live(&service, server, &end, cancel));
    copier.stop();
    deliverer.stop();
    // What still works on a request is not waited for: it had its grace.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// The metrics of this configuration's backups, of the component that makes them, and of the API's requests.
///
/// # Errors
/// `Internal` when the metrics don't fit together: a bug.
pub fn exporter(context: &Context) -> Result<Exporter> {
    let config = &context.config;
    let repository = Repository {
        alias: config.repository.clone(),
        path: config.backup_dir.clone(),
    };
    let requests =
        Requests::new().map_err(|e| Error::new(Code::Internal, format!("make the API's metrics: {e}")))?;
    // Host and component are built together and have one version.
    let digest = context.engine.info().digest.as_str();
    Ok(Exporter::watching([repository
        .with_state(config.state_dir.clone())
        .with_remotes(config.remotes.iter().map(|remote| remote.name.clone()))])
    .with_component(env!("CARGO_PKG_VERSION"), digest)
    .with_requests(requests))
}

fn bind(service: &Arc<Service>) -> Result<Option<Server>> {
    let Some(api) = &service.context.config.api else {
        tracing::info!("there is no [api] in the configuration: no REST API and no metrics");
        return Ok(None);
    };
    let server = Server::bind(Arc::clone(service), api, routes::router(Arc::clone(service)))?;
    let scheme = if api.tls_cert.is_some() { "https" } else { "http" };
    tracing::info!("the API listens on {scheme}://{}", server.address());
    Ok(Some(server))
}

/// Everything between start and end.
async fn live(
    service: &Arc<Service>,
    server: Option<Server>,
    end: &watch::Sender<bool>,
    cancel: &AtomicBool,
) -> Result<Ended> {
    let mut tasks = Tasks {
        scheduler: tokio::spawn(scheduler::run(Arc::clone(service))),
        http: server.map(|server| tokio::spawn(server.serve())),
    };
    ignore_hangups();
    tell_systemd(&[NotifyState::Ready]);
    let died = tokio::select! {
        () = until(cancel) => None,
        _ = &mut tasks.scheduler => Some("the scheduler"),
        () = end_of(&mut tasks.http) => Some("the API's server"),
    };
    tell_systemd(&[NotifyState::Stopping]);
    match died {
        None => tracing::info!("the service ends, as asked"),
        Some(part) => tracing::error!("{part} has ended by itself, and the service ends with it"),
    }
    end.send_replace(true);
    let ended = ending::end(service, tasks).await;
    tracing::info!("the service has ended");
    match died {
        None => Ok(ended),
        Some(part) => Err(Error::new(Code::Internal, format!("{part} ended by itself"))
            .remedy("the log says why; if it does not, this is a bug: please report it")),
    }
}

async fn until(flag: &AtomicBool) {
    while !flag.load(Ordering::SeqCst) {
        tokio::time::sleep(TICK).await;
    }
}

/// Waits for the end of a task; for ever when there is none.
async fn end_of(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => {
            // A panic is an end too.
            let _ = task.await;
        }
        None => std::future::pending().await,
    }
}

/// Log rotation often sends SIGHUP, which would end the process. The log needs none.
fn ignore_hangups() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::hangup()) {
        Ok(mut hangups) => {
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    tracing::info!(
                        "SIGHUP: log and certificate are opened anew by themselves; a changed configuration \
                         needs a restart"
                    );
                }
            });
        }
        Err(error) => tracing::warn!("SIGHUP will end the service: {error}"),
    }
}

/// For a unit with `Type=notify`; without one this does nothing.
fn tell_systemd(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!("systemd could not be told of the service's state: {error}");
    }
}

fn say_start(config: &Config) {
    let file = config.file.as_deref().map(shown).unwrap_or_default();
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = file,
        backup_dir = shown(&config.backup_dir),
        time_zone = config.time_zone.name(),
        "cofre serve"
    );
    config
        .warnings
        .iter()
        .for_each(|warning| tracing::warn!("{warning}"));
    let now = DateTime::<Utc>::from(std::time::SystemTime::now());
    for plan in &config.schedules {
        let name = escape(&plan.name);
        if !plan.enabled {
            tracing::info!("plan {name}: switched off");
            continue;
        }
        let next = schedule::next_run(&plan.when, config.time_zone, now).map(|time| {
            time.with_timezone(&config.time_zone)
                .to_rfc3339_opts(SecondsFormat::Secs, false)
        });
        tracing::info!(
            "plan {name}: next at {}",
            next.as_deref().unwrap_or("no time at all")
        );
    }
    if config.schedules.is_empty() {
        tracing::warn!("there are no [[schedules]]: no backup is made unless somebody asks for one");
    }
}
