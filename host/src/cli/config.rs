//! `cofre config check`: everything that is wrong, also with what the configuration names.

use super::args::{ConfigArgs, ConfigCommand};
use super::{App, Ended};
use crate::api::types::{ConfigCheck, ConfigProblem};
use crate::config::{Config, Problem};
use crate::error::{Code, Result};
use crate::serve::http;
use crate::text::{escape, shown};

pub(super) fn run(app: &App, args: &ConfigArgs) -> Result<Ended> {
    match args.command {
        ConfigCommand::Check => check(app),
    }
}

fn check(app: &App) -> Result<Ended> {
    let (problems, warnings) = match Config::examine(&app.file)? {
        Ok(config) => {
            let warnings = config.warnings.clone();
            let mut problems = config.check_sources();
            let api = config.api.as_ref().map(http::check);
            if let Some(Err(error)) = api {
                problems.push(Problem {
                    key: "api".to_owned(),
                    line: None,
                    message: error.message,
                    suggestion: error.remedy,
                });
            }
            (problems, warnings)
        }
        Err(problems) => (problems.0, Vec::new()),
    };
    let report = ConfigCheck {
        success: problems.is_empty(),
        file: app.file.to_string_lossy().into_owned(),
        problems: problems.iter().map(convert).collect(),
        warnings,
    };
    app.output
        .print(&report, || render(&report, &problems, &shown(&app.file)))?;
    Ok(if report.success {
        Ended::Done
    } else {
        Ended::Bad(Code::Config)
    })
}

fn convert(problem: &Problem) -> ConfigProblem {
    let Problem {
        key,
        line,
        message,
        suggestion,
    } = problem.clone();
    ConfigProblem {
        key,
        line,
        message,
        suggestion,
    }
}

fn render(report: &ConfigCheck, problems: &[Problem], file: &str) -> String {
    let mut out = String::new();
    for problem in problems {
        out.push_str(&format!("{file}: {}\n", problem.to_string().trim_start()));
    }
    for warning in &report.warnings {
        out.push_str(&format!("{file}: {}\n", escape(warning)));
    }
    if report.success {
        out.push_str(&format!("{file} is good\n"));
    }
    out
}
