//! Who is told of runs, and how: webhooks and dead-man's switches, through an outbox that survives a restart.
//!
//! `watermark` finds the runs that have ended and puts what is to be told of them into the `outbox`, under the lock
//! on the backups; `deliver` takes it out and sends it, on threads of its own, through the `client` that trusts
//! nobody. Nothing here delays or fails a backup.

mod address;
mod client;
mod deliver;
mod event;
mod outbox;
mod pace;
mod payload;
mod sign;
mod tally;
mod target;
#[cfg(test)]
mod tests;
mod watermark;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};

pub use deliver::Deliverer;
pub use event::Event;
pub use payload::{Payload, Stale};
pub use sign::SigningKey;
pub use tally::{Counts, Deliveries};

use crate::api::convert::status_word;
use crate::config::{Config, Ping, Webhook};
use crate::context::{Context, Exclusive};
use crate::engine::wit::types::{Backup, Status};
use crate::error::{Code, Error, Result};
use outbox::{Entry, Message, Outbox, Signal};
use pace::Pace;
use target::Target;

/// What one request may take, everything included.
const TIMEOUT: Duration = Duration::from_secs(10);
/// See [`has_untold`].
static UNTOLD: AtomicBool = AtomicBool::new(false);
/// How long a command waits for deliveries at its end: one that hangs, and some that don't.
const PATIENCE: Duration = Duration::from_secs(15);

/// Puts into the outbox what is to be told of every run that has ended and was not told yet, those that a crash
/// interrupted included. Called under the lock, before a run and after it. Failures are logged: no notification
/// fails a backup.
pub fn ended_runs(context: &Context, exclusive: &Exclusive<'_>) {
    let told = watermark::tell(context, exclusive);
    UNTOLD.store(told.is_err(), Ordering::SeqCst);
    if let Err(error) = told {
        tracing::error!("who is to be told of ended runs is not yet (it is tried again): {error}");
    }
}

/// Whether the last call of [`ended_runs`] could not tell, so that it is worth another one.
#[must_use]
pub fn has_untold() -> bool {
    UNTOLD.load(Ordering::SeqCst)
}

/// Reports the start of a run to the plan's dead-man's switch.
pub fn run_begun(context: &Context, plan: &str, id: u64) {
    if ping_of(&context.config, plan).is_none() {
        return;
    }
    let message = Message::Ping {
        plan: plan.to_owned(),
        run: id,
        signal: Signal::Start,
        text: format!("run {id} of plan {plan} begins"),
    };
    let about = format!("{id}\0{}", context.now());
    put(
        &context.config,
        [Entry::new(
            payload::event_id(&context.config.repository, "start", &about),
            message,
        )],
    );
}

/// Tells of a run that failed before it had a row in the catalog.
pub fn never_began(context: &Context, plan: &str, backup_type: &str, error: &Error) {
    let config = &context.config;
    let at = now();
    let text = payload::cut(&error.to_string());
    let payload = Payload {
        plan: Some(plan.to_owned()),
        backup_type: Some(backup_type.to_owned()),
        status: Some(status_word(Status::Failed).to_owned()),
        error: Some(text.clone()),
        ..Payload::bare(Event::BackupFailed.name(), &config.repository, at)
    };
    let about = format!("{plan}\0{}", payload::rfc3339(at));
    broadcast(config, Event::BackupFailed, &about, &payload);
    if ping_of(config, plan).is_some() {
        let message = Message::Ping {
            plan: plan.to_owned(),
            // There is no id; what waits of earlier runs is older news.
            run: 0,
            signal: Signal::Fail,
            text: crate::text::escape(&format!("failed: {text}")).into_owned(),
        };
        let id = payload::event_id(&config.repository, Event::BackupFailed.name(), &about);
        put(config, [Entry::new(id, message)]);
    }
}

/// Tells of a check that did not end well: [`Event::VerifyFailed`] or [`Event::DrillFailed`].
pub fn check_failed(context: &Context, event: Event, backup: &Backup, problems: &[String]) {
    let at = now();
    let payload = Payload::of_check(event, &context.config.repository, backup, problems, at);
    let about = format!("{}\0{}\0{}", backup.id, backup.name, payload::rfc3339(at));
    broadcast(&context.config, event, &about, &payload);
}

/// Tells that backups can't be copied to a remote. Called once, until a copy succeeds again.
pub fn copy_failed(context: &Context, remote: &str, why: &str) {
    let at = now();
    let payload = Payload {
        remote: Some(remote.to_owned()),
        error: Some(payload::cut(why)),
        ..Payload::bare(Event::CopyFailed.name(), &context.config.repository, at)
    };
    let about = format!("{remote}\0{}", payload::rfc3339(at));
    broadcast(&context.config, Event::CopyFailed, &about, &payload);
}

/// Tells that a plan has had no success for longer than `limit`. Called once for each time that it becomes so, and
/// again where it gives false: nobody will be told then.
pub fn stale(context: &Context, plan: &str, last_success: Option<DateTime<Utc>>, limit: Duration) -> bool {
    let at = now();
    let mut payload = Payload::bare(Event::BackupStale.name(), &context.config.repository, at);
    payload.plan = Some(plan.to_owned());
    payload.stale = Some(Stale {
        last_success: last_success.map(payload::rfc3339),
        age_seconds: last_success.map(|last| {
            at.signed_duration_since(last)
                .to_std()
                .unwrap_or_default()
                .as_secs()
        }),
        limit_seconds: limit.as_secs(),
    });
    let about = format!("{plan}\0{}", payload::rfc3339(at));
    broadcast(&context.config, Event::BackupStale, &about, &payload)
}

/// Tries what is due, once, for at most fifteen seconds; nothing while a service sends.
pub fn deliver_once(context: &Context) {
    if let Some(deliverer) = deliverer(context) {
        finish(deliverer);
    }
}

/// A sender for the time of a command, if there is anything to send or could be: the start of a run is reported
/// while it goes on.
#[must_use]
pub fn deliverer(context: &Context) -> Option<Deliverer> {
    let config = &context.config;
    if !watermark::is_configured(config) && !Outbox::exists(&config.state_dir) {
        return None;
    }
    Deliverer::start_with(config.clone(), Pace::default())
        .inspect_err(|error| tracing::error!("notifications wait: {error}"))
        .ok()
}

/// Ends the sender of a command as [`deliver_once`] does.
pub fn finish(deliverer: Deliverer) {
    deliverer.finish(PATIENCE);
}

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Status of the answer.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
}

/// Sends a webhook the event `test`, signed like any other, once and at once.
///
/// # Errors
/// `Io` when it does not arrive.
pub fn test_webhook(config: &Config, hook: &Webhook) -> Result<Tested> {
    let at = now();
    let payload = Payload::bare("test", &config.repository, at);
    let message = Message::Webhook {
        name: hook.name.clone(),
        payload: Box::new(payload),
    };
    let id = payload::event_id(&config.repository, "test", &payload::rfc3339(at));
    let target = Target::of_webhook(hook);
    let request = target
        .request(&Entry::new(id, message), at)
        .map_err(|e| Error::new(Code::Internal, format!("write JSON: {e}")))?;
    let began = Instant::now();
    let status = client::Client::new(TIMEOUT, target.allow_http)
        .post(&request)
        .map_err(|failure| Error::new(Code::Io, format!("{}: {}", target.label, failure.message)))?;
    Ok(Tested {
        status,
        took: began.elapsed(),
    })
}

/// How many deliveries wait for each webhook, by name.
///
/// # Errors
/// When the outbox can't be read.
pub fn waiting(config: &Config) -> Result<std::collections::BTreeMap<String, u64>> {
    let mut waiting = std::collections::BTreeMap::new();
    if !Outbox::exists(&config.state_dir) {
        return Ok(waiting);
    }
    let outbox = Outbox::open(&config.state_dir)?;
    for name in outbox.names()? {
        if let Some(Entry {
            message: Message::Webhook { name, .. },
            ..
        }) = outbox.read(&name)?
        {
            *waiting.entry(name).or_default() += 1;
        }
    }
    Ok(waiting)
}

/// Puts one event into the outbox for every webhook that takes it.
fn broadcast(config: &Config, event: Event, about: &str, payload: &Payload) -> bool {
    let id = payload::event_id(&config.repository, event.name(), about);
    let hooks = config.webhooks.iter().filter(|hook| hook.takes(event));
    put(
        config,
        hooks.map(|hook| {
            let message = Message::Webhook {
                name: hook.name.clone(),
                payload: Box::new(payload.clone()),
            };
            Entry::new(id.clone(), message)
        }),
    )
}

/// Puts entries into the outbox; false when that fails.
fn put(config: &Config, entries: impl IntoIterator<Item = Entry>) -> bool {
    let mut entries = entries.into_iter().peekable();
    if entries.peek().is_none() {
        return true;
    }
    let done =
        Outbox::open(&config.state_dir).and_then(|outbox| entries.try_for_each(|entry| outbox.put(&entry)));
    if let Err(error) = &done {
        tracing::error!("a notification can't be put into the outbox: {error}");
    }
    done.is_ok()
}

/// The dead-man's switch of a plan.
fn ping_of<'a>(config: &'a Config, plan: &str) -> Option<&'a Ping> {
    let plan = config.schedules.iter().find(|schedule| schedule.name == plan)?;
    plan.ping.as_ref()
}

/// Now. Not `Utc::now()`, which panics when the clock is before 1970.
pub(crate) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
