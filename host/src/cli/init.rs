//! `cofre init [DIR]`.

use super::args::Init;
use super::{App, Ended};
use crate::api::types;
use crate::error::Result;
use crate::init;
use crate::text::{escape, shown};

pub(super) fn run(app: &App, args: &Init) -> Result<Ended> {
    let done = init::init(&args.dir)?;
    let init::Initialised { file, config, notes } = done;
    let report = types::Initialised {
        success: true,
        file: file.to_string_lossy().into_owned(),
        sources: config.sources.iter().map(|s| s.folder.clone()).collect(),
        databases: config.databases.iter().map(|d| d.name.clone()).collect(),
        notes,
    };
    app.output.print(&report, || {
        let shown = shown(&file);
        let none = |list: &[String]| {
            if list.is_empty() {
                "none".to_owned()
            } else {
                list.join(", ")
            }
        };
        let mut out = format!("wrote {shown}\n");
        out.push_str(&format!("  sources    {}\n", escape(&none(&report.sources))));
        out.push_str(&format!("  databases  {}\n", escape(&none(&report.databases))));
        report
            .notes
            .iter()
            .for_each(|note| out.push_str(&format!("  note       {}\n", escape(note))));
        let option = if shown == "./cofre.toml" {
            String::new()
        } else {
            format!("--config {shown} ")
        };
        out.push_str(&format!(
            "next: cofre {option}create --dry-run, then cofre {option}create\n"
        ));
        out
    })?;
    Ok(Ended::Done)
}
