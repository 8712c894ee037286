//! `cofre restore ID`: into a new folder, complete or not at all.

use super::args::Restore;
use super::{App, Ended};
use crate::api::types::Restored;
use crate::engine::wit::engine::RestoreReport;
use crate::error::Result;
use crate::output::Bar;
use crate::restore::{self, RestoreOptions};
use crate::text::{self, escape, shown};

pub(super) fn run(app: &App, args: Restore) -> Result<Ended> {
    app.about(&args.id);
    let ctx = app.spread_context(args.spread)?;
    let bar = Bar::new(app.output, "restore");
    let mut control = app.control(&ctx.config, &bar);
    let Restore {
        id,
        to,
        only,
        absolute_links,
        spread: _,
    } = args;
    let options = RestoreOptions {
        selector: id,
        to,
        only,
        absolute_links,
    };
    let outcome = restore::restore(&ctx, &options, &mut control);
    bar.finish();
    let outcome = outcome?;
    let RestoreReport {
        files,
        bytes,
        manifest,
        ..
    } = outcome.report;
    let path = outcome.path.clone();
    let restored = Restored::new(outcome, options.absolute_links);
    app.about(format!(
        "{} {} to {}",
        restored.backup.id,
        restored.backup.name,
        shown(&path)
    ));
    for link in &restored.links_left_out {
        let target = link.target.as_deref().unwrap_or_default();
        app.output.note(&format!(
            "left out: {} -> {target} (--absolute-links recreates it)",
            link.path
        ));
    }
    app.output.print(&restored, || {
        let checked = if manifest {
            "checked against the manifest"
        } else {
            "checked by the zip's own CRCs"
        };
        let (name, to) = (escape(&restored.backup.name), shown(&path));
        format!(
            "restored {name} to {to}: {files} files, {}, {checked}\n",
            text::size(bytes)
        )
    })?;
    Ok(Ended::Done)
}
