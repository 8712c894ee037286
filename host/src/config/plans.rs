//! The tables of what runs when, and around a run: schedules, verification, drills, hooks.

use std::path::Path;
use std::time::Duration;

use super::document::Section;
use super::parts::secret_file;
use super::{Drill, Hooks, Ping, Schedule, Secret, VerifyPlan, When, value};
use crate::dump::server::Server;

pub(super) fn hooks(root: &Section<'_>) -> Hooks {
    let default = Duration::from_secs(300);
    let Some(table) = root.section("hooks") else {
        return Hooks {
            before: Vec::new(),
            after: Vec::new(),
            timeout: default,
        };
    };
    let hooks = Hooks {
        before: argv(&table, "before"),
        after: argv(&table, "after"),
        timeout: table.parsed("timeout", value::positive).unwrap_or(default),
    };
    table.finish();
    hooks
}

fn argv(table: &Section<'_>, key: &'static str) -> Vec<String> {
    let argv = table.strings(key).unwrap_or_default();
    if argv
        .first()
        .is_some_and(|program| program.is_empty() || program.contains(char::is_whitespace))
    {
        let hint = "write program and arguments one by one, such as `[\"systemctl\", \"reload\", \"app\"]`";
        table.problem(key, "the first item has to be a program", Some(hint.into()));
    }
    if argv.iter().any(|arg| arg.contains('\0')) {
        table.problem(key, "an argument can't contain a NUL character", None);
    }
    argv
}

pub(super) fn schedules(root: &Section<'_>, dir: &Path, warnings: &mut Vec<String>) -> Vec<Schedule> {
    let mut schedules: Vec<Schedule> = Vec::new();
    for table in root.list("schedules") {
        let name = required(&table, "name", table.parsed("name", value::name_of_run));
        let backup_type = table
            .parsed("type", value::name_of_run)
            .unwrap_or_else(|| "automated".into());
        let when = when(&table);
        let full = table.boolean("full").unwrap_or(false);
        let jitter = table.parsed("jitter", jitter).unwrap_or_default();
        let enabled = table.boolean("enabled").unwrap_or(true);
        let catch_up = table.boolean("catch_up").unwrap_or(true);
        let ping = ping(&table, dir, warnings);
        if name.as_deref() == Some("manual") {
            table.problem(
                "name",
                "`manual` is the plan of runs by hand",
                Some("choose another name".into()),
            );
        }
        if schedules.iter().any(|s| Some(&s.name) == name.as_ref()) {
            table.problem(
                "name",
                "another schedule has this name",
                Some("choose another name".into()),
            );
        }
        if let (Some(name), Some(when)) = (name, when) {
            schedules.push(Schedule {
                name,
                backup_type,
                when,
                full,
                jitter,
                enabled,
                catch_up,
                ping,
            });
        }
        table.finish();
    }
    schedules
}

/// `at` or `cron`, of which a schedule has one.
fn when(table: &Section<'_>) -> Option<When> {
    let at = table.parsed("at", value::at).map(When::At);
    let cron = table
        .parsed("cron", value::cron)
        .map(|cron| When::Cron(Box::new(cron)));
    match (table.has("at"), table.has("cron")) {
        (true, true) => table.problem("cron", "a schedule has either `at` or `cron`", None),
        (false, false) => table.problem("at", "is missing", Some("or write `cron`".into())),
        _ => return at.or(cron),
    }
    None
}

/// A spread of the start; more than an hour would make it somebody else's time of day.
fn jitter(text: &str) -> Result<Duration, value::Bad> {
    match value::duration(text)? {
        long if long > Duration::from_secs(3600) => Err(("can't be more than an hour".into(), None)),
        jitter => Ok(jitter),
    }
}

/// Where each run of a plan is reported to: the URL itself is the credential there.
fn ping(table: &Section<'_>, dir: &Path, warnings: &mut Vec<String>) -> Option<Ping> {
    let inline = table.string("ping_url").map(Secret::new);
    let from_file = secret_file(table, "ping_url_file", dir, warnings);
    let key = if table.has("ping_url") {
        "ping_url"
    } else {
        "ping_url_file"
    };
    if table.has("ping_url") && table.has("ping_url_file") {
        table.problem(key, "a schedule has either `ping_url` or `ping_url_file`", None);
        return None;
    }
    let url = inline.or(from_file)?;
    match value::outgoing_host(url.expose(), None) {
        Ok(host) => Some(Ping { url, host }),
        Err((message, hint)) => {
            table.problem(key, message, hint);
            None
        }
    }
}

/// Says that a key is missing.
pub(super) fn required<T>(table: &Section<'_>, key: &'static str, value: Option<T>) -> Option<T> {
    if !table.has(key) {
        table.problem(key, "is missing", None);
    }
    value
}

pub(super) fn verify(root: &Section<'_>) -> Option<VerifyPlan> {
    let table = root.section("verify")?;
    let at = required(&table, "at", table.parsed("at", value::at));
    let max_age = table
        .parsed("max_age", value::positive)
        .unwrap_or(Duration::from_secs(30 * 86_400));
    table.finish();
    Some(VerifyPlan { at: at?, max_age })
}

pub(super) fn drill(root: &Section<'_>, dir: &Path, warnings: &mut Vec<String>) -> Option<Drill> {
    let table = root.section("drill")?;
    let inline = ["postgres", "mysql"].map(|key| table.string(key));
    let drill = Drill {
        has_inline_password: inline.iter().flatten().any(|url| value::has_password(url)),
        at: table.parsed("at", value::at),
        max_age: table.parsed("max_age", value::positive),
        timeout: table.parsed("timeout", value::positive).unwrap_or(Drill::TIMEOUT),
        postgres: server(
            &table,
            ("postgres", "postgres_file"),
            &["postgres", "postgresql"],
            dir,
            warnings,
        ),
        mysql: server(
            &table,
            ("mysql", "mysql_file"),
            &["mysql", "mariadb"],
            dir,
            warnings,
        ),
    };
    table.finish();
    Some(drill)
}

/// A server's URL, written there or in a file of its own.
fn server(
    table: &Section<'_>,
    (key, file_key): (&'static str, &'static str),
    schemes: &'static [&'static str],
    dir: &Path,
    warnings: &mut Vec<String>,
) -> Option<Secret> {
    let inline = table.string(key).map(Secret::new);
    let from_file = secret_file(table, file_key, dir, warnings);
    if table.has(key) && table.has(file_key) {
        table.problem(
            file_key,
            format!("a drill has either `{key}` or `{file_key}`"),
            None,
        );
        return None;
    }
    let used = if table.has(key) { key } else { file_key };
    let url = inline.or(from_file)?;
    let scheme = url.expose().split_once("://").map_or("", |(scheme, _)| scheme);
    if schemes.contains(&scheme) {
        return match Server::parse(&url) {
            Ok(_) => Some(url),
            Err(error) => {
                table.problem(used, error.message, error.remedy);
                None
            }
        };
    }
    let hint = format!("write `{}://user@host/name`", schemes.first().unwrap_or(&""));
    table.problem(
        used,
        format!("is not a URL of {}", schemes.join(" or ")),
        Some(hint),
    );
    None
}
