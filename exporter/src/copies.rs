//! Copies off the machine: `copies.json` of the state folder, which cofre writes after each try to copy.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::small_file;

/// Name of the file in the state folder.
const FILE: &str = "copies.json";
/// The one version of the file that is known.
const FORMAT: u32 = 1;

/// What the file says. Unknown fields are somebody else's.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Copies {
    format: u32,
    #[serde(default)]
    remotes: BTreeMap<String, RemoteFacts>,
}

/// What is known of one remote; all 0 where nothing was ever copied to it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct RemoteFacts {
    /// Copies that are there.
    pub copies: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// Backups that were still to be copied after the last try.
    pub pending: u64,
    /// Tries that failed, ever.
    pub failures: u64,
    /// And in a row, since one succeeded.
    pub failing_since_success: u64,
    /// By plan: when a completed backup of it was last copied, as a Unix time in seconds.
    last_success: BTreeMap<String, f64>,
}

/// The remotes of a repository by name.
pub type Remotes = BTreeMap<String, RemoteFacts>;

impl Copies {
    /// Reads the state folder; nothing where nothing was ever copied.
    ///
    /// # Errors
    /// What the file system says; `InvalidData` for a file that is none of ours or newer than this program.
    pub(crate) fn read(state_dir: &Path) -> io::Result<Self> {
        let Some(text) = small_file::read_in(state_dir, FILE)? else {
            return Ok(Self::default());
        };
        let copies: Self = small_file::parse(FILE, &text)?;
        small_file::check_format(FILE, copies.format, FORMAT)?;
        Ok(copies)
    }

    /// Which remotes there are is the configuration's word where it is known; how they stand, the file's.
    pub(crate) fn of(&self, configured: Option<&[String]>) -> Remotes {
        let Some(configured) = configured else {
            return self.remotes.clone();
        };
        let stands = |name: &String| self.remotes.get(name).cloned().unwrap_or_default();
        configured
            .iter()
            .map(|name| (name.clone(), stands(name)))
            .collect()
    }
}

impl RemoteFacts {
    /// When a completed backup of this plan was last copied, as a Unix time in seconds; 0 where none was.
    #[must_use]
    pub fn last_success(&self, plan: &str) -> f64 {
        self.last_success.get(plan).map_or(0.0, |at| at.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests")]
    use super::*;

    const COPIES: &str = r#"{"format": 1, "later": [1], "remotes": {
        "offsite": {"copies": 12, "size_bytes": 123, "pending": 1, "failures": 7, "failing_since_success": 2,
            "last_success": {"daily": 1764370000, "odd": -5}, "later": "x"},
        "disk": {}}}"#;

    fn read(text: &str) -> io::Result<Copies> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        Copies::read(dir.path())
    }

    #[test]
    fn a_remote_of_the_file_has_all_that_the_file_says() {
        let remotes = read(COPIES).unwrap().of(None);
        assert_eq!(remotes.keys().collect::<Vec<_>>(), ["disk", "offsite"]);
        let offsite = &remotes["offsite"];
        assert_eq!(
            (offsite.copies, offsite.size_bytes, offsite.pending),
            (12, 123, 1)
        );
        assert_eq!((offsite.failures, offsite.failing_since_success), (7, 2));
        assert_eq!(offsite.last_success("daily"), 1_764_370_000.0);
        assert_eq!(
            (offsite.last_success("odd"), offsite.last_success("never")),
            (0.0, 0.0)
        );
        assert_eq!(remotes["disk"], RemoteFacts::default());
    }

    #[test]
    fn the_configuration_says_which_remotes_there_are_and_the_file_how_they_stand() {
        let copies = read(COPIES).unwrap();
        let configured = ["offsite", "new", "new"].map(str::to_owned);
        let remotes = copies.of(Some(&configured));
        assert_eq!(remotes.keys().collect::<Vec<_>>(), ["new", "offsite"]);
        assert_eq!(remotes["offsite"].failures, 7);
        assert_eq!(remotes["new"], RemoteFacts::default());
        assert!(copies.of(Some(&[])).is_empty());
    }

    #[test]
    fn a_folder_without_the_file_is_no_error_and_a_missing_folder_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Copies::read(dir.path()).unwrap().of(None).is_empty());
        assert!(Copies::read(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn what_is_no_file_of_this_format_is_an_error_that_names_it() {
        for bad in [
            "",
            "[]",
            "{}",
            "{\"format\": 2}",
            "{\"format\": 1",
            "{\"format\": 1, \"remotes\": 3}",
            "{\"format\": 1, \"remotes\": {\"a\": {\"copies\": -1}}}",
            "{\"format\": 1, \"remotes\": {\"a\": {\"last_success\": {\"daily\": 1e999}}}}",
        ] {
            let said = read(bad).unwrap_err().to_string();
            assert!(said.contains(FILE), "{bad}: {said}");
        }
    }
}
