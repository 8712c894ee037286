//! Small things that several commands need.

use super::App;
use crate::context::{Context, Overview};
use crate::engine::Session;
use crate::error::Result;
use crate::text::shown;

/// A sandbox for reading, or none before the first run, which is said.
pub(super) fn reader(app: &App, ctx: &Context) -> Result<Option<Session>> {
    if ctx.awaits_first_run() {
        say_fresh(app, ctx);
        return Ok(None);
    }
    ctx.reader().map(Some)
}

/// The same for what is shown also where a history is lost, which is said as well.
pub(super) fn overview(app: &App, ctx: &Context) -> Result<Overview> {
    let overview = ctx.overview()?;
    if let Some(lost) = &overview.lost {
        app.output.note(&lost.to_string());
    } else if overview.session.is_none() {
        say_fresh(app, ctx);
    }
    Ok(overview)
}

fn say_fresh(app: &App, ctx: &Context) {
    let folder = shown(&ctx.config.backup_dir);
    app.output.note(&format!(
        "{folder} does not exist yet: there was no backup, or its disk is not mounted"
    ));
}
