//! `criar`: a backup now.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value};

use super::document::OfCreate;
use super::input;
use super::problem::{Cause, Problem};
use super::work::Site;
use crate::api::answers::{BackupAnswer, CreateBody};
use crate::api::types::{Backup, Failure};
use crate::audit::Who;
use crate::config::check_backup_type;
use crate::error::{Code, Error};
use crate::serve::http::Identity;
use crate::serve::runner::{RunEnd, RunRequest, RunState};

/// Makes a backup and waits for its end.
///
/// A client that leaves does not stop it. A backup in which something is missing is an answer 200 with the status
/// `partial` and `error`.
#[utoipa::path(
    post,
    path = "/api/backup/criar",
    operation_id = "criar",
    tag = "backup",
    params(("Prefer" = Option<String>, Header, description = "`respond-async`: answer 202 as soon as the run has begun")),
    request_body(content = CreateBody, content_type = "application/json", description = "May be left out"),
    responses(
        (status = 200, description = "It is made, completely or in part", body = BackupAnswer),
        (status = 202, description = "It has begun", body = BackupAnswer, headers(
            ("Location" = String, description = "Where its record is"),
            ("Preference-Applied" = String, description = "`respond-async`"),
        )),
        (status = 500, description = "It failed; `backup` is its record, if it got one", body = Failure),
        (status = 507, description = "There is no space left; `backup` is its record, if it got one", body = Failure),
        OfCreate,
    ),
)]
pub(super) async fn create(
    State(site): State<Arc<Site>>,
    caller: Option<Extension<Identity>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let backup_type = backup_type(&input::object(&headers, body).await?)?;
    if site.is_ending() {
        return Err(Cause::ShuttingDown.into());
    }
    let request = RunRequest {
        backup_type,
        plan: "manual".to_owned(),
        full: false,
        who: caller.map_or(Who::Anonymous, |Extension(caller)| caller.who),
    };
    let run = site.service.runner.start(request).map_err(not_started)?;
    if !input::prefers_async(&headers) {
        let end = run.end().await;
        return finished(&end);
    }
    match run.begun().await {
        RunState::Begun(begun) => accepted(&site, begun.id).await,
        RunState::Ended(end) => match &end.backup {
            Some(backup) => Ok(accepted_answer(backup.clone())),
            None => finished(&end),
        },
        // `begun` waits until it is past this.
        RunState::Starting => Err(Problem::new(Cause::Library(Code::Internal))),
    }
}

fn backup_type(body: &Map<String, Value>) -> Result<String, Problem> {
    let invalid = || Problem::new(Cause::InvalidType);
    match body.get("tipo") {
        None => Ok("manual".to_owned()),
        Some(Value::String(text)) => match check_backup_type(text) {
            Ok(()) => Ok(text.clone()),
            Err(_) => Err(invalid().detail(format!(
                "`{}` is no type: 1 to 32 of a-z, 0-9, `_` and `-`",
                input::shown(text)
            ))),
        },
        Some(_) => Err(invalid().detail("`tipo` has to be a string")),
    }
}

fn not_started(error: Error) -> Problem {
    match error.code {
        Code::Cancelled => Cause::ShuttingDown.into(),
        _ => error.into(),
    }
}

fn finished(end: &RunEnd) -> Result<Response, Problem> {
    let RunEnd { backup, error, .. } = end;
    match (backup, error) {
        (Some(backup), None) => {
            let message = match backup.status {
                "partial" => "Backup criado, mas parte dos dados não pôde ser lida",
                _ => "Backup criado com sucesso",
            };
            Ok(answer(message, backup.clone()).into_response())
        }
        (backup, Some(error)) => Err(failed(error.clone(), backup.clone())),
        (None, None) => Err(Problem::new(Cause::Library(Code::Internal))),
    }
}

/// A run that failed is the server's failure, whatever kind of error stopped it.
fn failed(error: Error, backup: Option<Backup>) -> Problem {
    let mut problem = Problem::from(error);
    let is_conflict = problem.code == Code::Busy.name() && backup.is_none();
    if problem.status.is_client_error() && !is_conflict {
        problem.status = StatusCode::INTERNAL_SERVER_ERROR;
    }
    problem.backup = backup.map(Box::new);
    problem
}

async fn accepted(site: &Site, id: u64) -> Result<Response, Problem> {
    let row = site
        .blocking(move |context| Ok(context.reader()?.find(id.to_string())?))
        .await
        // It has begun all the same, and the caller should find it.
        .map_err(|problem| problem.header(LOCATION, location(id)))?;
    Ok(accepted_answer(row.into()))
}

fn accepted_answer(backup: Backup) -> Response {
    let headers = [
        (LOCATION, location(backup.id)),
        (
            HeaderName::from_static("preference-applied"),
            HeaderValue::from_static("respond-async"),
        ),
    ];
    let body = answer("Backup iniciado", backup);
    (StatusCode::ACCEPTED, headers, body).into_response()
}

fn location(id: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("/api/backup/info/{id}"))
        .unwrap_or_else(|_| HeaderValue::from_static("/api/backup/listar"))
}

fn answer(message: &'static str, backup: Backup) -> Json<BackupAnswer> {
    Json(BackupAnswer {
        success: true,
        message,
        backup,
    })
}
