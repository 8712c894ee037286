//! `cofre doctor`: looks at everything that can be wrong and says how to mend it. It changes nothing, and one
//! check that fails does not keep the others from being made.

mod catalog;
mod folders;
mod remotes;
mod schedule;
#[cfg(test)]
mod tests;
mod tools;

use std::path::Path;

use crate::config::Config;
use crate::context::Context;
use crate::error::{Code, Error};
use crate::text::shown;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Should be looked at.
    Warning,
    /// Wrong; the code decides the exit code.
    Problem(Code),
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about: `configuration`, `permissions`, ...
    pub area: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// How to mend it.
    pub remedy: Option<String>,
}

/// The findings so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, area: &'static str, level: Level, message: impl Into<String>, remedy: Option<&str>) {
        let remedy = remedy.map(str::to_owned);
        self.0.push(Finding {
            area,
            level,
            message: message.into(),
            remedy,
        });
    }

    fn ok(&mut self, area: &'static str, message: impl Into<String>) {
        self.add(area, Level::Ok, message, None);
    }

    fn warn(&mut self, area: &'static str, message: impl Into<String>, remedy: &str) {
        self.add(area, Level::Warning, message, Some(remedy));
    }

    fn problem(&mut self, area: &'static str, code: Code, message: impl Into<String>, remedy: &str) {
        self.add(area, Level::Problem(code), message, Some(remedy));
    }

    fn error(&mut self, area: &'static str, error: Error) {
        let Error {
            code,
            message,
            remedy,
        } = error;
        self.add(area, Level::Problem(code), message, remedy.as_deref());
    }

    /// Whether an area has nothing but good findings.
    fn is_good(&self, area: &str) -> bool {
        self.0.iter().all(|f| f.area != area || f.level == Level::Ok)
    }
}

/// Looks at everything that the configuration `file` leads to.
#[must_use]
pub fn examine(file: &Path) -> Vec<Finding> {
    let mut found = Findings::default();
    let Some(config) = configuration(&mut found, file) else {
        return found.0;
    };
    folders::permissions(&mut found, &config);
    folders::space(&mut found, &config);
    schedule::examine(&mut found, &config);
    tools::programs(&mut found, &config);
    tools::drill(&mut found, &config);
    tools::api(&mut found, &config);
    match Context::new(config) {
        Ok(ctx) => {
            catalog::examine(&mut found, &ctx);
            remotes::examine(&mut found, &ctx);
        }
        Err(error) => found.error("engine", error),
    }
    found.0
}

fn configuration(found: &mut Findings, file: &Path) -> Option<Config> {
    let area = "configuration";
    let config = match Config::examine(file) {
        Ok(Ok(config)) => config,
        Ok(Err(problems)) => {
            for problem in problems.0 {
                found.add(
                    area,
                    Level::Problem(Code::Config),
                    problem.to_string().trim_start(),
                    None,
                );
            }
            return None;
        }
        Err(error) => {
            found.error(area, error);
            return None;
        }
    };
    for warning in &config.warnings {
        found.add(area, Level::Warning, warning, None);
    }
    for problem in config.check_sources() {
        let code = match problem.key.as_str() {
            "backup" => Code::Config,
            _ => Code::SourceMissing,
        };
        found.add(area, Level::Problem(code), problem.to_string().trim_start(), None);
    }
    folders::config_file(found, file, &config);
    if found.is_good(area) {
        let (sources, databases) = (config.active_sources().count(), config.active_databases().count());
        found.ok(
            area,
            format!(
                "{} is good: {sources} sources, {databases} databases",
                shown(file)
            ),
        );
    }
    Some(config)
}
