//! Small things that several commands need.

use super::App;
use crate::context::Context;
use crate::engine::Session;
use crate::engine::wit::engine::Check;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Result};
use crate::text::shown;

/// A sandbox for reading, or none before the first run, which is said.
pub(super) fn reader(app: &App, ctx: &Context) -> Result<Option<Session>> {
    if ctx.is_fresh() {
        let folder = shown(&ctx.config.backup_dir);
        app.output.note(&format!(
            "{folder} does not exist yet: there was no backup, or its disk is not mounted"
        ));
        return Ok(None);
    }
    ctx.reader().map(Some)
}

/// Writes a check's result into the catalog. That a busy or read-only folder refuses it is said, and is no
/// failure: the check itself stands.
pub(super) fn record(app: &App, ctx: &Context, id: u64, check: Check, result: &str) -> Option<Backup> {
    let written = ctx.exclusive().and_then(|exclusive| {
        exclusive
            .writer()?
            .record_result(id, check, result.to_owned(), ctx.now())
    });
    match written {
        Ok(backup) => Some(backup),
        Err(error) => {
            let why = match error.code {
                Code::Busy => "another run holds the backups".to_owned(),
                _ => error.to_string(),
            };
            app.output
                .note(&format!("the result is not in the catalog: {why}"));
            None
        }
    }
}
