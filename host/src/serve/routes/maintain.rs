//! `verificar`, `restaurar`, `excluir`, `limpar`: what is done with a backup that there is.

use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use globset::GlobBuilder;
use serde_json::{Map, Value};

use super::document::{OfDelete, OfPrune, OfRestore, OfVerify};
use super::input;
use super::problem::{Cause, Problem};
use super::work::Site;
use crate::api::answers::{BackupAnswer, PruneAnswer, PruneBody, RestoreAnswer, RestoreBody, VerifyAnswer};
use crate::api::convert::{retention_policy, status_word};
use crate::api::types::{Failure, Pruned, Restored};
use crate::context::Context;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error};
use crate::restore::{self, RestoreOptions};
use crate::sealed;
use crate::verify::{self, has_archive};
use crate::{source, text};

/// Longest name of a folder to restore into.
const MAX_NAME: usize = 128;

/// Reads an archive and compares it with its checksum and manifest.
#[utoipa::path(
    post,
    path = "/api/backup/verificar/{id}",
    operation_id = "verificar",
    tag = "backup",
    params(("id" = u64, Path, description = "Id of the backup", minimum = 1, maximum = 9_223_372_036_854_775_807_i64)),
    responses(
        (status = 200, description = "The archive is good", body = VerifyAnswer),
        (status = 422, description = "The archive is damaged or missing: `verification` says how", body = Failure),
        OfVerify,
    ),
)]
pub(super) async fn verify(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<VerifyAnswer>, Problem> {
    let id = input::id(path)?;
    let verified = site
        .blocking_long(move |context, control| {
            let row = find_with_archive(context, id)?;
            Ok(verify::verify(context, row, false, control)?)
        })
        .await?;
    if let Some(error) = verified.unrecorded {
        tracing::warn!("the verification of backup {id} is not in the catalog: {error}");
    }
    let verification = verified.verification;
    if verification.status == "failed" {
        let mut problem =
            Problem::new(Cause::Library(Code::VerifyFailed)).detail(verification.problems.join("; "));
        problem.verification = Some(Box::new(verification));
        return Err(problem);
    }
    Ok(Json(VerifyAnswer {
        success: true,
        message: if verification.status == sealed::WHOLE {
            "O arquivo criptografado está inteiro; o conteúdo não foi aberto"
        } else {
            "Backup verificado: está íntegro"
        },
        verification,
    }))
}

/// Restores an archive, or a part of it, into a new folder below the configured `restore_dir`.
#[utoipa::path(
    post,
    path = "/api/backup/restaurar/{id}",
    operation_id = "restaurar",
    tag = "backup",
    params(("id" = u64, Path, description = "Id of the backup", minimum = 1, maximum = 9_223_372_036_854_775_807_i64)),
    request_body(content = RestoreBody, content_type = "application/json", description = "May be left out"),
    responses((status = 200, description = "It is restored", body = RestoreAnswer), OfRestore),
)]
pub(super) async fn restore(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<RestoreAnswer>, Problem> {
    let id = input::id(path)?;
    let body = input::object(&headers, body).await?;
    input::only_known(&body, &["destino", "only"])?;
    let (name, only) = (destination(&body)?, globs(&body)?);
    let restored = site
        .blocking_long(move |context, control| {
            let folder = restore_dir(context)?;
            let row = find_with_archive(context, id)?;
            if !row.archive_present {
                return Err(archive_missing(&row));
            }
            let name = name.unwrap_or_else(|| format!("restore_{}", row.name));
            let options = RestoreOptions {
                selector: id.to_string(),
                to: Some(folder.join(name)),
                only,
                absolute_links: false,
            };
            let outcome = restore::restore(context, &options, control).map_err(|error| {
                let of_globs = error.code == Code::NotFound && !options.only.is_empty();
                // Unless the backup went meanwhile.
                if of_globs && find_with_archive(context, id).is_ok_and(|row| row.archive_present) {
                    Problem::new(Cause::NothingMatches).detail(error.to_string())
                } else {
                    error.into()
                }
            })?;
            Ok(Restored::new(outcome, options.absolute_links))
        })
        .await?;
    Ok(Json(RestoreAnswer {
        message: "Backup restaurado com sucesso",
        restored,
    }))
}

/// A row whose run made an archive.
pub(super) fn find_with_archive(context: &Context, id: u64) -> Result<Backup, Problem> {
    let row = context.reader()?.find(id.to_string())?;
    if has_archive(&row) {
        return Ok(row);
    }
    let detail = format!("the run of {} is `{}`", row.name, status_word(row.status));
    Err(Problem::new(Cause::NotCompleted).detail(detail))
}

/// The answer for a row whose archive has gone.
pub(super) fn archive_missing(row: &Backup) -> Problem {
    Problem::new(Cause::ArchiveMissing).detail(format!(
        "the archive of {} is not in the backups folder",
        text::escape(&row.name)
    ))
}

/// One plain name, so that nothing leads out of the folder and everything works on every file system.
fn destination(body: &Map<String, Value>) -> Result<Option<String>, Problem> {
    let invalid = |detail: &str| Err(Problem::new(Cause::InvalidDestination).detail(detail));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match body.get("destino") {
        None => Ok(None),
        Some(Value::String(name))
            if (1..=MAX_NAME).contains(&name.len())
                && name.chars().all(plain)
                && !name.starts_with(['.', '-']) =>
        {
            Ok(Some(name.clone()))
        }
        Some(Value::String(_)) => invalid(
            "`destino` is one name of 1 to 128 of A-Z, a-z, 0-9, `.`, `_` and `-`, and begins with none of `.` and `-`",
        ),
        Some(_) => invalid("`destino` has to be a string"),
    }
}

fn globs(body: &Map<String, Value>) -> Result<Vec<String>, Problem> {
    let invalid = || Problem::new(Cause::InvalidBody).detail("`only` has to be an array of strings");
    match body.get("only") {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| item.as_str().map(glob).ok_or_else(invalid))
            .collect(),
        Some(_) => Err(invalid()),
    }
}

/// What does not parse is meant as the path that it is: `notes [1.txt`.
fn glob(text: &str) -> String {
    match GlobBuilder::new(text.trim_end_matches('/'))
        .literal_separator(true)
        .build()
    {
        Ok(_) => text.to_owned(),
        // `escape` leaves the backslash alone, which escapes too.
        Err(_) => globset::escape(text).replace('\\', "\\\\"),
    }
}

fn restore_dir(context: &Context) -> Result<PathBuf, Problem> {
    let folder: Option<&FsPath> = context
        .config
        .api
        .as_ref()
        .and_then(|api| api.restore_dir.as_deref());
    let Some(folder) = folder else {
        return Err(Problem::new(Cause::RestoreDisabled).detail("`api.restore_dir` is not configured"));
    };
    source::open_dir_nofollow(folder).map_err(|error| Error {
        code: Code::Config,
        message: format!("api.restore_dir: {}", error.message),
        remedy: Some("make the folder, or name another".to_owned()),
    })?;
    Ok(folder.to_owned())
}

/// Removes a backup. The last good one and a pinned one are refused.
#[utoipa::path(
    delete,
    path = "/api/backup/excluir/{id}",
    operation_id = "excluir",
    tag = "backup",
    params(("id" = u64, Path, description = "Id of the backup", minimum = 1, maximum = 9_223_372_036_854_775_807_i64)),
    responses((status = 200, description = "It is gone; `backup` was its row", body = BackupAnswer), OfDelete),
)]
pub(super) async fn delete(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<BackupAnswer>, Problem> {
    let id = input::id(path)?;
    let row = site
        .blocking(move |context| Ok(context.exclusive()?.writer()?.delete(id, false, context.now())?))
        .await?;
    Ok(Json(BackupAnswer {
        success: true,
        message: "Backup excluído",
        backup: row.into(),
    }))
}

/// Removes what retention does not keep, or says what that is.
#[utoipa::path(
    post,
    path = "/api/backup/limpar",
    operation_id = "limpar",
    tag = "backup",
    request_body(content = PruneBody, content_type = "application/json", description = "May be left out"),
    responses((status = 200, description = "Every backup with its verdict", body = PruneAnswer), OfPrune),
)]
pub(super) async fn prune(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PruneAnswer>, Problem> {
    let body = input::object(&headers, body).await?;
    input::only_known(&body, &["dry_run"])?;
    let dry_run = match body.get("dry_run") {
        None => false,
        Some(Value::Bool(dry_run)) => *dry_run,
        Some(_) => {
            return Err(Problem::new(Cause::InvalidBody).detail("`dry_run` has to be true or false"));
        }
    };
    let verdicts = site
        .blocking(move |context| {
            let (policy, now) = (retention_policy(&context.config), context.now());
            if context.awaits_first_run() {
                return Ok(Vec::new());
            }
            Ok(if dry_run {
                context.reader()?.prune(policy, now, true)?
            } else {
                context.exclusive()?.writer()?.prune(policy, now, false)?
            })
        })
        .await?;
    Ok(Json(PruneAnswer {
        success: true,
        message: if dry_run {
            "Nada foi removido: esta é apenas uma simulação"
        } else {
            "Limpeza concluída"
        },
        pruned: Pruned::new(verdicts, dry_run),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_glob_becomes_one_that_matches_just_itself() {
        for text in ["notes [1.txt", "a\\", "x[\\", "{a,\\"] {
            let pattern = GlobBuilder::new(&glob(text))
                .literal_separator(true)
                .build()
                .unwrap();
            assert!(pattern.compile_matcher().is_match(text), "{text}");
        }
        assert_eq!(glob("static/**"), "static/**");
    }
}
