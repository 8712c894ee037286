//! `cofre webhook`: who is told, and whether it arrives.

use serde::Serialize;

use super::args::{WebhookArgs, WebhookCommand};
use super::{App, Ended};
use crate::config::{Config, Webhook};
use crate::error::{Code, Error, Result};
use crate::notify::{self, Counts, Deliveries};
use crate::output::Table;
use crate::text::{self, escape};

/// One webhook, as `list` shows it. Never its URL, which may hold a secret.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    host: String,
    events: Vec<&'static str>,
    signed: bool,
    waiting: u64,
    #[serde(flatten)]
    counts: Counts,
}

/// A test that arrived.
#[derive(Debug, Serialize)]
struct Arrived {
    success: bool,
    name: String,
    host: String,
    status: u16,
    duration_seconds: f64,
}

pub(super) fn run(app: &App, args: &WebhookArgs) -> Result<Ended> {
    let config = app.config()?;
    match &args.command {
        WebhookCommand::List => list(app, &config),
        WebhookCommand::Test(args) => test(app, &config, &args.name),
    }
}

fn list(app: &App, config: &Config) -> Result<Ended> {
    let mut counts = Deliveries::read(&config.state_dir)?;
    let mut waiting = notify::waiting(config)?;
    let listed = |hook: &Webhook| Listed {
        name: hook.name.clone(),
        host: hook.host.clone(),
        events: hook.events.iter().map(|event| event.name()).collect(),
        signed: hook.secret.is_some(),
        waiting: waiting.remove(&hook.name).unwrap_or_default(),
        counts: counts.webhooks.remove(&hook.name).unwrap_or_default(),
    };
    let rows: Vec<Listed> = config.webhooks.iter().map(listed).collect();
    app.output.print(&rows, || table(&rows))?;
    Ok(Ended::Done)
}

fn table(rows: &[Listed]) -> String {
    if rows.is_empty() {
        return "no webhooks\n".to_owned();
    }
    let mut table = Table::new(&[
        "NAME",
        "HOST",
        "EVENTS",
        "SIGNED",
        ">WAITING",
        ">DELIVERED",
        ">FAILED",
        ">GIVEN UP",
        "LAST ERROR",
    ]);
    for row in rows {
        let events = if row.events.is_empty() {
            "all".to_owned()
        } else {
            row.events.join(",")
        };
        table.row(&[
            row.name.clone(),
            row.host.clone(),
            events,
            if row.signed { "yes" } else { "no" }.to_owned(),
            row.waiting.to_string(),
            row.counts.delivered.to_string(),
            row.counts.failures.to_string(),
            row.counts.given_up.to_string(),
            row.counts.last_error.clone().unwrap_or_default(),
        ]);
    }
    table.render()
}

fn test(app: &App, config: &Config, name: &str) -> Result<Ended> {
    let Some(hook) = config.webhooks.iter().find(|hook| hook.name == name) else {
        return Err(unknown(config, name));
    };
    let tested = notify::test_webhook(config, hook)?;
    let arrived = Arrived {
        success: true,
        name: hook.name.clone(),
        host: hook.host.clone(),
        status: tested.status,
        duration_seconds: tested.took.as_secs_f64(),
    };
    app.output.print(&arrived, || {
        format!(
            "webhook `{}` ({}) answered {} in {}\n",
            arrived.name,
            escape(&arrived.host),
            arrived.status,
            text::duration(arrived.duration_seconds)
        )
    })?;
    Ok(Ended::Done)
}

fn unknown(config: &Config, name: &str) -> Error {
    let error = Error::new(Code::Usage, format!("there is no webhook `{}`", escape(name)));
    let known: Vec<String> = config
        .webhooks
        .iter()
        .map(|hook| format!("`{}`", hook.name))
        .collect();
    if known.is_empty() {
        return error.remedy("the configuration has none: add `[[webhooks]]`");
    }
    error.remedy(format!("there is {}", known.join(", ")))
}
