//! The log on standard error. Results never go here, logs never to standard output.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts the log: errors with `quiet`, warnings by default, more with each `-v`. `COFRE_LOG` (the syntax of
/// `tracing`'s filters, such as `cofre=debug`) overrides both. A second call changes nothing.
pub fn start(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    };
    let default = EnvFilter::default().add_directive(LevelFilter::WARN.min(level).into());
    let own = format!("cofre={level}")
        .parse()
        .map(|directive| default.clone().add_directive(directive));
    let filter = std::env::var("COFRE_LOG").ok().and_then(|text| asked(&text));
    let filter = without_urls(filter.unwrap_or_else(|| own.unwrap_or(default)));
    // Fails only when a log exists already, in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

/// What `COFRE_LOG` asks for, except of the HTTP client.
fn asked(text: &str) -> Option<EnvFilter> {
    let directives: Vec<&str> = text
        .split(',')
        .filter(|directive| !directive.trim_start().starts_with(CLIENT))
        .collect();
    directives.join(",").parse().ok()
}

/// The HTTP client of webhooks and pings: what it logs has whole URLs and bodies in it, and a URL may be a secret.
const CLIENT: &str = "ureq";

/// A filter that lets nothing of the HTTP client through, whatever else it says.
fn without_urls(filter: EnvFilter) -> EnvFilter {
    [CLIENT, "ureq_proto"]
        .iter()
        .fold(filter, |filter, target| match format!("{target}=off").parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_) => filter,
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_asked_for_lets_the_http_client_log() {
        let filter = without_urls(asked("trace, ureq::run=trace,ureq=debug,cofre=info").unwrap()).to_string();
        let parts: std::collections::BTreeSet<&str> = filter.split(',').collect();
        assert_eq!(
            parts,
            ["cofre=info", "trace", "ureq=off", "ureq_proto=off"].into()
        );
    }
}
