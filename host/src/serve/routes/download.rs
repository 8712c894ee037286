//! `download`: an archive as a stream in constant memory, whole or a range of it.
//!
//! The handle is opened once, below the handle of the backups folder; a prune meanwhile takes the name away and not
//! the bytes.

mod conditions;
mod stream;

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use self::conditions::Wanted;
use super::document::OfDownload;
use super::input;
use super::maintain::{archive_missing, find_with_archive};
use super::problem::{Cause, Problem};
use super::work::Site;
use crate::context::Context;
use crate::engine::wit::types::Backup;
use crate::sealed::{self, ArchiveFile, Form};

/// An archive, open for reading.
#[derive(Debug)]
struct Archive {
    file: File,
    /// Bytes of the open file, whatever the catalog says.
    size: u64,
    /// Its name in the folder.
    file_name: String,
    form: Form,
    /// The strong entity tag, with its quotes.
    etag: Option<HeaderValue>,
}

/// The archive of a backup. `HEAD` gives the header alone.
///
/// A range has to be a single one; of several the whole archive is sent, as RFC 9110 (14.2) allows. A unit other
/// than bytes is passed over. `If-Match` is heeded as well. An archive that is encrypted in the backups folder is sent as
/// it is there, as `application/octet-stream` and with the name `….zip.age`; its entity tag is that file's SHA-256.
#[utoipa::path(
    get,
    path = "/api/backup/download/{id}",
    operation_id = "download",
    tag = "backup",
    params(
        ("id" = u64, Path, description = "Id of the backup", minimum = 1, maximum = 9_223_372_036_854_775_807_i64),
        ("Range" = Option<String>, Header, description = "`bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH`"),
        ("If-Range" = Option<String>, Header, description = "The entity tag that the range belongs to"),
        ("If-None-Match" = Option<String>, Header, description = "Entity tags that the client has"),
    ),
    responses(
        (status = 200, description = "The archive", content_type = "application/zip", body = Vec<u8>, headers(
            ("ETag" = String, description = "The archive's SHA-256; missing for archives of the original system"),
            ("Accept-Ranges" = String, description = "`bytes`"),
            ("Content-Disposition" = String, description = "The archive's file name"),
        )),
        (status = 206, description = "A part of it", content_type = "application/zip", body = Vec<u8>, headers(
            ("Content-Range" = String, description = "Which part, and the whole size"),
        )),
        (status = 304, description = "The client has it"),
        OfDownload,
    ),
)]
pub(super) async fn download(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = input::id(path)?;
    let archive = site.blocking(move |context| open(context, id)).await?;
    let (status, range) = match conditions::wanted(&method, &headers, archive.etag.as_ref(), archive.size) {
        Wanted::Whole => (StatusCode::OK, 0..archive.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => return Ok((StatusCode::NOT_MODIFIED, archive.etag_field()).into_response()),
        Wanted::Another => {
            return Err(Problem::new(Cause::PreconditionFailed)
                .detail("the archive's entity tag is none of those of If-Match"));
        }
        Wanted::Impossible(why) => {
            return Err(Problem::new(Cause::RangeNotSatisfiable)
                .detail(why)
                .header(CONTENT_RANGE, value(&format!("bytes */{}", archive.size))));
        }
    };
    let mut fields = archive.fields(&range);
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!(
            "bytes {}-{}/{}",
            range.start,
            range.end.saturating_sub(1),
            archive.size
        );
        fields.push((CONTENT_RANGE, value(&text)));
    }
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        stream::body(archive.file, range, Arc::clone(&site.reads))
    };
    let fields: HeaderMap = fields.into_iter().collect();
    Ok((status, fields, body).into_response())
}

fn open(context: &Context, id: u64) -> Result<Archive, Problem> {
    let row = find_with_archive(context, id)?;
    let backups = context.backups()?;
    let found = sealed::open_archive(backups.as_fd(), &row.name, row.size)?;
    let ArchiveFile {
        file,
        form,
        file_name,
        size,
    } = found.ok_or_else(|| archive_missing(&row))?;
    let etag = match form {
        Form::Plain => entity_tag(&row, size),
        // The row's is that of the archive inside.
        Form::Sealed => sealed::said_beside(backups.as_fd(), &file_name)
            .as_deref()
            .and_then(quoted),
    };
    Ok(Archive {
        file,
        size,
        file_name,
        form,
        etag,
    })
}

/// The SHA-256 of the row, unless the file can't be what was hashed.
fn entity_tag(row: &Backup, size: u64) -> Option<HeaderValue> {
    // Rows of the original system may have neither size nor SHA-256.
    if row.size != 0 && row.size != size {
        tracing::error!(
            id = row.id,
            name = %row.name,
            "the archive has {size} bytes, the catalog says {}: verify it",
            row.size
        );
        return None;
    }
    row.sha256.as_deref().and_then(quoted)
}

/// A SHA-256 as an entity tag.
fn quoted(sha256: &str) -> Option<HeaderValue> {
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    is_digest.then(|| value(&format!("\"{sha256}\"")))
}

impl Archive {
    fn etag_field(&self) -> HeaderMap {
        self.etag.iter().map(|etag| (ETAG, etag.clone())).collect()
    }

    fn fields(&self, range: &Range<u64>) -> Vec<(HeaderName, HeaderValue)> {
        let disposition = format!("attachment; filename=\"{}\"", self.file_name);
        let content_type = match self.form {
            Form::Plain => "application/zip",
            Form::Sealed => "application/octet-stream",
        };
        let mut fields = vec![
            (CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (CONTENT_LENGTH, HeaderValue::from(range.end - range.start)),
            (CONTENT_DISPOSITION, value(&disposition)),
            (ACCEPT_RANGES, HeaderValue::from_static("bytes")),
        ];
        fields.extend(self.etag.iter().map(|etag| (ETAG, etag.clone())));
        fields
    }
}

/// Digits, digests and validated names are always values of a header.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}
