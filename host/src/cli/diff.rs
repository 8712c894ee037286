//! `cofre diff A B`: what changed from one backup to another.

use super::args::Diff;
use super::{App, Ended};
use crate::api::types;
use crate::error::Result;
use crate::sealed::{self, Opened};
use crate::text::escape;

pub(super) fn run(app: &App, args: &Diff) -> Result<Ended> {
    let ctx = app.reading_context(args.opening.clone())?;
    let mut session = ctx.reader()?;
    let a = session.find(args.a.clone())?;
    let b = session.find(args.b.clone())?;
    let opened = sealed::open(&ctx, &[&a, &b], &app.cancel)?;
    let inside = opened.as_ref().map_or(&ctx, Opened::context);
    let changes = inside.reader()?.diff(a.id, b.id)?;
    let diff = types::Diff {
        a: a.into(),
        b: b.into(),
        changes: changes.into_iter().map(Into::into).collect(),
    };
    app.output.print(&diff, || render(&diff))?;
    Ok(Ended::Done)
}

fn render(diff: &types::Diff) -> String {
    if diff.changes.is_empty() {
        return format!(
            "{} and {} have the same content\n",
            escape(&diff.a.name),
            escape(&diff.b.name)
        );
    }
    let mut out = String::new();
    for change in &diff.changes {
        let sign = match change.change {
            "added" => '+',
            "removed" => '-',
            "modified" => 'M',
            _ => 'm',
        };
        out.push_str(&format!("{sign} {}\n", escape(&change.path)));
    }
    out.push_str("(+ added, - removed, M content, m mode or time)\n");
    out
}
