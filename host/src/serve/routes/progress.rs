//! `progresso`: the running backup as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::document::OfProgress;
use super::problem::{Cause, Problem};
use super::work::{Site, overloaded};
use crate::api::answers;
use crate::api::types::Backup;
use crate::serve::runner::{Progress, Run};

/// Least time between two events of the same run.
const PACE: Duration = Duration::from_millis(250);
/// Time between two comments that keep a silent connection alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

type Events = mpsc::Sender<Result<Event, Infallible>>;

/// Follows the running backup: `progress` at most four times a second, `ended` with its record, `idle` while nothing
/// runs. The stream ends with the service.
#[utoipa::path(
    get,
    path = "/api/backup/progresso",
    operation_id = "progresso",
    tag = "backup",
    responses(
        (
            status = 200,
            description = "Events `progress` (an object `Progress`), `ended` (an object `Backup`, or null) and `idle` (an empty object)",
            content_type = "text/event-stream",
            body = String,
        ),
        OfProgress,
    ),
)]
pub(super) async fn progress(
    State(site): State<Arc<Site>>,
) -> Result<Sse<impl tokio_stream::Stream<Item = Result<Event, Infallible>>>, Problem> {
    if site.is_ending() {
        return Err(Cause::ShuttingDown.into());
    }
    let place = Arc::clone(&site.streams)
        .try_acquire_owned()
        .map_err(|_| overloaded())?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(follow(site, sender, place));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(keep_alive))
}

/// Sends events until the client goes or the service ends.
async fn follow(site: Arc<Site>, events: Events, _place: OwnedSemaphorePermit) {
    let mut ending = site.service.ending.clone();
    let steps = site.service.runner.progress();
    tokio::select! {
        _ = tell(&site, &events, steps) => {}
        () = events.closed() => {}
        _ = ending.wait_for(|ending| *ending) => {}
    }
}

/// Sends events for ever; ends with an error when the client or the runner has gone.
async fn tell(
    site: &Site,
    events: &Events,
    mut steps: watch::Receiver<Option<Progress>>,
) -> Result<(), Gone> {
    let mut shown: Option<Shown> = None;
    let mut is_first = true;
    loop {
        let now = steps.borrow_and_update().clone();
        let is_same = now.as_ref().map(|step| step.id) == shown.as_ref().map(|shown| shown.step.id);
        if !is_same && let Some(before) = shown.take() {
            send(events, "ended", &before.record(site).await).await?;
        }
        match now {
            Some(step) if shown.as_ref().is_none_or(|shown| shown.step != step) => {
                send(events, "progress", &answers::Progress::from(step.clone())).await?;
                let run = shown.map_or_else(|| site.service.runner.current(), |shown| shown.run);
                shown = Some(Shown { step, run });
            }
            Some(_) => {}
            None if is_first || !is_same => send(events, "idle", &serde_json::json!({})).await?,
            None => {}
        }
        is_first = false;
        wait(&mut steps, shown.as_ref().map(|shown| shown.step.id)).await?;
    }
}

/// Waits for news: of the run that is shown not before its time, of its end or of another run at once.
async fn wait(steps: &mut watch::Receiver<Option<Progress>>, shown: Option<u64>) -> Result<(), Gone> {
    let pace = Instant::now() + PACE;
    steps.changed().await.map_err(|_| Gone)?;
    if shown.is_none() {
        return Ok(());
    }
    let ended = steps.wait_for(|step| step.as_ref().map(|step| step.id) != shown);
    match tokio::time::timeout_at(pace, ended).await {
        Ok(Err(_)) => Err(Gone),
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

/// The run that the client has been told of.
struct Shown {
    step: Progress,
    run: Option<Run>,
}

impl Shown {
    /// Its row after the end; none when it can't be read.
    async fn record(self, site: &Site) -> Option<Backup> {
        if let Some(run) = self.run {
            return run.end().await.backup.clone();
        }
        // It ended between its step and the question which run it is of.
        let id = self.step.id.to_string();
        let row = site
            .blocking(move |context| Ok(context.reader()?.find(id)?))
            .await;
        row.ok().map(Into::into)
    }
}

/// The client or the runner has gone.
struct Gone;

async fn send(events: &Events, name: &str, data: &impl Serialize) -> Result<(), Gone> {
    let event = Event::default().event(name).json_data(data).map_err(|error| {
        tracing::error!("an event can't be written: {error}");
        Gone
    })?;
    events.send(Ok(event)).await.map_err(|_| Gone)
}

impl From<Progress> for answers::Progress {
    fn from(step: Progress) -> Self {
        let Progress {
            id,
            name,
            plan,
            files_done,
            files_total,
            bytes_done,
            bytes_total,
            current,
        } = step;
        Self {
            id,
            name,
            plan,
            files_done,
            files_total,
            bytes_done,
            bytes_total,
            current,
        }
    }
}
