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
    let filter = std::env::var("COFRE_LOG").ok().and_then(|text| text.parse().ok());
    let filter = filter.unwrap_or_else(|| own.unwrap_or(default));
    // Fails only when a log exists already, in tests.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
