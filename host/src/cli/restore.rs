//! `cofre restore ID`: into a new folder, complete or not at all.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::args::Restore;
use super::{App, Ended};
use crate::api::types::Restored;
use crate::engine::wit::engine::RestoreReport;
use crate::error::Result;
use crate::output::Bar;
use crate::restore::{self, RestoreOptions, RestoreOutcome};
use crate::text::{self, escape, shown};

pub(super) fn run(app: &App, args: Restore) -> Result<Ended> {
    app.about(&args.id);
    let ctx = app.context()?;
    let bar = Bar::new(app.output, "restore");
    let mut control = app.control(&ctx.config, &bar);
    let Restore {
        id,
        to,
        only,
        absolute_links,
    } = args;
    let options = RestoreOptions {
        selector: id,
        to,
        only,
        absolute_links,
    };
    let outcome = restore::restore(&ctx, &options, &mut control);
    bar.finish();
    let RestoreOutcome { report, path } = outcome?;
    let RestoreReport {
        backup,
        files,
        bytes,
        links_left_out,
        manifest,
    } = report;
    app.about(format!("{} {} to {}", backup.id, backup.name, shown(&path)));
    let restored = Restored {
        success: true,
        backup: backup.into(),
        restore_path: path.to_string_lossy().into_owned(),
        metadata: metadata(&path),
        links_left_out: if options.absolute_links {
            Vec::new()
        } else {
            links_left_out.into_iter().map(Into::into).collect()
        },
    };
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

/// A manifest of which only the head is wanted: the rows are passed over while reading.
#[derive(Deserialize)]
struct Head {
    #[serde(default, rename = "entries")]
    _entries: IgnoredAny,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

fn metadata(path: &Path) -> Option<Map<String, Value>> {
    let file = File::open(path.join("backup_info.json")).ok()?;
    let head: Head = serde_json::from_reader(BufReader::new(file)).ok()?;
    Some(head.rest)
}
