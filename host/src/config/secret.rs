//! A text that is never shown: URLs with passwords, keys.

use std::fmt;

/// A secret. Printing it gives `(secret)`; [`Secret::expose`] is the one way to its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who uses it: never for a message, a log or an argument of a program.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::Secret;

    #[test]
    fn debug_output_of_a_secret_does_not_contain_it() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "(secret)");
    }
}
