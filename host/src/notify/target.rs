//! Where a delivery goes, looked up in the configuration when it is sent, and the request that it becomes.

use chrono::{DateTime, Utc};

use super::client::Request;
use super::outbox::{Entry, Lane, Message, Signal};
use super::sign::SigningKey;
use crate::config::{Config, Secret, Webhook};

/// A receiver.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// What it is called in logs: name and host, never the URL.
    pub(super) label: String,
    /// Whether `http` to another machine is allowed.
    pub(super) allow_http: bool,
    url: Secret,
    key: Option<SigningKey>,
}

impl Target {
    /// The receiver of a lane; none when the configuration doesn't name it any more.
    pub(super) fn find(config: &Config, lane: &Lane) -> Option<Self> {
        match lane {
            Lane::Webhook(name) => {
                let hook = config.webhooks.iter().find(|hook| hook.name == *name)?;
                Some(Self::of_webhook(hook))
            }
            Lane::Ping(plan) => {
                let ping = super::ping_of(config, plan)?;
                Some(Self {
                    label: format!("the dead-man's switch of plan `{plan}` ({})", ping.host),
                    // Checked when the configuration is read.
                    allow_http: false,
                    url: ping.url.clone(),
                    key: None,
                })
            }
        }
    }

    /// A webhook.
    pub(super) fn of_webhook(hook: &Webhook) -> Self {
        Self {
            label: label(hook),
            allow_http: hook.allow_http,
            url: hook.url.clone(),
            // A key that can't be read is refused with the configuration.
            key: hook
                .secret
                .as_ref()
                .and_then(|secret| SigningKey::parse(secret.expose()).ok()),
        }
    }

    /// What is sent at `now`, signed if there is a key.
    ///
    /// # Errors
    /// See [`super::payload::Payload::to_bytes`].
    pub(super) fn request(&self, entry: &Entry, now: DateTime<Utc>) -> serde_json::Result<Request> {
        Ok(match &entry.message {
            Message::Webhook { payload, .. } => {
                let body = payload.to_bytes()?;
                let timestamp = now.timestamp();
                let mut headers = vec![
                    ("webhook-id", entry.id.clone()),
                    ("webhook-timestamp", timestamp.to_string()),
                ];
                if let Some(key) = &self.key {
                    headers.push(("webhook-signature", key.sign(&entry.id, timestamp, &body)));
                }
                Request {
                    url: self.url.expose().to_owned(),
                    content_type: "application/json",
                    headers,
                    body,
                }
            }
            Message::Ping { signal, text, .. } => Request {
                url: below(self.url.expose(), *signal),
                content_type: "text/plain; charset=utf-8",
                headers: Vec::new(),
                body: text.clone().into_bytes(),
            },
        })
    }
}

/// What a webhook is called in logs.
pub(super) fn label(hook: &Webhook) -> String {
    if hook.name == hook.host {
        format!("webhook `{}`", hook.name)
    } else {
        format!("webhook `{}` ({})", hook.name, hook.host)
    }
}

/// The URL of a signal: below that of success, before its query.
fn below(url: &str, signal: Signal) -> String {
    let path = match signal {
        Signal::Success => return url.to_owned(),
        Signal::Start => "start",
        Signal::Fail => "fail",
    };
    let at = url.find(['?', '#']).unwrap_or(url.len());
    let (front, rest) = url.split_at(at);
    format!("{}/{path}{rest}", front.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_go_below_the_url_and_before_its_query() {
        assert_eq!(below("https://h/ping/1", Signal::Success), "https://h/ping/1");
        assert_eq!(below("https://h/ping/1", Signal::Start), "https://h/ping/1/start");
        assert_eq!(below("https://h/ping/1/", Signal::Fail), "https://h/ping/1/fail");
        assert_eq!(
            below("https://h/p?create=1", Signal::Fail),
            "https://h/p/fail?create=1"
        );
    }
}
