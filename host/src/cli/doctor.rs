//! `cofre doctor`.

use super::{App, Ended};
use crate::api::types::{self, Diagnosis};
use crate::doctor::{self, Finding, Level};
use crate::error::Result;
use crate::text::escape;

pub(super) fn run(app: &App) -> Result<Ended> {
    let findings = doctor::examine(&app.file);
    let worst = findings.iter().find_map(|f| match f.level {
        Level::Problem(code) => Some(code),
        Level::Ok | Level::Warning => None,
    });
    let diagnosis = Diagnosis {
        success: worst.is_none(),
        findings: findings.into_iter().map(convert).collect(),
    };
    app.output.print(&diagnosis, || render(&diagnosis))?;
    Ok(worst.map_or(Ended::Done, Ended::Bad))
}

fn convert(finding: Finding) -> types::Finding {
    let Finding {
        area,
        level,
        message,
        remedy,
    } = finding;
    let level = match level {
        Level::Ok => "ok",
        Level::Warning => "warning",
        Level::Problem(_) => "problem",
    };
    types::Finding {
        area,
        level,
        message,
        remedy,
    }
}

fn render(diagnosis: &Diagnosis) -> String {
    let mut out = String::new();
    for finding in &diagnosis.findings {
        let (level, area) = (finding.level, finding.area);
        out.push_str(&format!("{level:<8} {area:<14} {}\n", escape(&finding.message)));
        if let Some(remedy) = &finding.remedy {
            out.push_str(&format!("{:24}-> {}\n", "", escape(remedy)));
        }
    }
    let count = |level| diagnosis.findings.iter().filter(|f| f.level == level).count();
    out.push_str(&format!(
        "problems: {}, warnings: {}\n",
        count("problem"),
        count("warning")
    ));
    out
}
