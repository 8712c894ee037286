//! Small things that several commands need.

use super::App;
use crate::context::Context;
use crate::engine::Session;
use crate::error::Result;
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
