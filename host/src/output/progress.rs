//! The progress bar: bytes, files, rate and time left, on standard error, and only when that is a terminal.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Output;
use crate::text::escape;

/// A bar, or nothing.
#[derive(Debug, Clone)]
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar for an operation (`verify`), unless nobody would see it.
    #[must_use]
    pub fn new(output: Output, what: &'static str) -> Self {
        if output.quiet || output.json || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(8));
        let template =
            "{prefix} {wide_bar} {binary_bytes}/{binary_total_bytes} {msg} {binary_bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(what);
        Self(Some(bar))
    }

    /// Shows how far it is.
    pub fn update(&self, bytes: (u64, u64), files: (u64, u64), current: Option<&str>) {
        let Some(bar) = &self.0 else { return };
        bar.set_length(bytes.1.max(bytes.0));
        bar.set_position(bytes.0);
        let name: String = current
            .map(|c| escape(c).chars().take(40).collect())
            .unwrap_or_default();
        bar.set_message(format!("{}/{} files {name}", files.0, files.1));
    }

    /// Prints a line above the bar; false when there is none.
    pub fn line(&self, text: &str) -> bool {
        match &self.0 {
            Some(bar) => {
                bar.println(escape(text));
                true
            }
            None => false,
        }
    }

    /// Removes it.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
