//! `status`, `listar`, `info`: what there is.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};

use super::document::{OfCatalog, OfInfo};
use super::input;
use super::problem::{Cause, Problem};
use super::work::Site;
use crate::api::answers::{InfoAnswer, InfoQuery, ListAnswer, Running, ServiceStatus, StatusAnswer};
use crate::api::convert::no_backups;
use crate::api::types::{Details, Status};
use crate::context::{Context, Overview};
use crate::{remote, schedule};

/// Most entries of one answer.
const MAX_PAGE: u32 = 10_000;

/// The totals, the plans, and the run that goes on.
#[utoipa::path(
    get,
    path = "/api/backup/status",
    operation_id = "status",
    tag = "backup",
    responses((status = 200, description = "The totals", body = StatusAnswer), OfCatalog),
)]
pub(super) async fn status(State(site): State<Arc<Site>>) -> Result<Json<StatusAnswer>, Problem> {
    let running = site
        .service
        .runner
        .progress()
        .borrow()
        .as_ref()
        .map(|run| Running {
            id: run.id,
            name: run.name.clone(),
            plan: run.plan.clone(),
        });
    let (totals, schedules, remotes) = site
        .blocking(|context| {
            let Overview { mut session, lost } = context.overview()?;
            let summary = match &mut session {
                Some(session) => session.status(context.now())?,
                None => no_backups(),
            };
            let schedules = schedule::status(context, session.as_mut());
            Ok((
                Status::new(summary, &context.config, lost.as_ref()),
                schedules,
                remote::status(context),
            ))
        })
        .await?;
    Ok(Json(StatusAnswer {
        success: true,
        status: ServiceStatus {
            totals,
            schedules,
            remotes,
            running,
        },
    }))
}

/// The rows of the catalog, oldest first.
#[utoipa::path(
    get,
    path = "/api/backup/listar",
    operation_id = "listar",
    tag = "backup",
    responses((status = 200, description = "The backups", body = ListAnswer), OfCatalog),
)]
pub(super) async fn list(State(site): State<Arc<Site>>) -> Result<Json<ListAnswer>, Problem> {
    let (rows, lost) = site
        .blocking(|context| {
            let Overview { session, lost } = context.overview()?;
            let rows = match session {
                Some(mut session) => session.list()?,
                None => Vec::new(),
            };
            Ok((rows, lost))
        })
        .await?;
    Ok(Json(ListAnswer {
        success: true,
        backups: rows.into_iter().map(Into::into).collect(),
        note: lost.map(|error| error.message),
    }))
}

/// One backup: its row, its databases, what was skipped and, where asked for, a page of its entries.
#[utoipa::path(
    get,
    path = "/api/backup/info/{id}",
    operation_id = "info",
    tag = "backup",
    params(
        ("id" = u64, Path, description = "Id of the backup", minimum = 1, maximum = 9_223_372_036_854_775_807_i64),
        InfoQuery,
    ),
    responses(
        (status = 200, description = "The backup; `entries` is null unless asked for, and where there is no archive or it is encrypted", body = InfoAnswer),
        OfInfo,
    ),
)]
pub(super) async fn info(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<InfoQuery>, QueryRejection>,
) -> Result<Json<InfoAnswer>, Problem> {
    let id = input::id(path)?;
    let query = input::query(query)?;
    if !(1..=MAX_PAGE).contains(&query.limit) {
        let detail = format!("`limit` goes from 1 to {MAX_PAGE}");
        return Err(Problem::new(Cause::InvalidQuery).detail(detail));
    }
    let details = site.blocking(move |context| details(context, id, query)).await?;
    Ok(Json(InfoAnswer {
        success: true,
        details,
    }))
}

fn details(context: &Context, id: u64, query: InfoQuery) -> Result<Details, Problem> {
    let mut session = context.reader()?;
    let backup = session.find(id.to_string())?;
    // Opening an encrypted one takes as long as it is large, and nobody waits for that here.
    if !backup.archive_present || backup.encrypted {
        return Ok(Details::row_only(backup));
    }
    let details = session.details(id)?;
    let entries = if query.entries {
        let page = session.entries(id, query.after, query.limit)?;
        Some(page.into_iter().map(Into::into).collect())
    } else {
        None
    };
    Ok(Details::new(details, entries))
}
