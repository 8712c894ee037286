//! Where things are at a remote, below its prefix. The names are the interface for whoever restores without cofre.

use cofre_exporter::component::catalog::names;
use serde::{Deserialize, Serialize};

/// The note that says whose copies these are.
pub const MARKER: &str = "cofre-repository.json";
/// Folder of the archives.
pub const ARCHIVES: &str = "archives";
/// Folder of the signed rows; an archive counts as copied when its row is here.
pub const ROWS: &str = "rows";
/// The format of everything here.
pub const FORMAT: u32 = 1;
/// Larger than any honest marker or row, in bytes.
pub const SMALL: u64 = 256 << 10;

/// The content of [`MARKER`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// [`FORMAT`].
    pub format: u32,
    /// Identity of the repository whose copies these are.
    pub repository: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// Key of an archive.
#[must_use]
pub fn archive(name: &str, encrypted: bool) -> String {
    let ending = if encrypted { ".age" } else { "" };
    format!("{ARCHIVES}/{name}.zip{ending}")
}

/// Key of the checksum beside an object, in the format of `sha256sum`.
#[must_use]
pub fn checksum(object: &str) -> String {
    format!("{object}.sha256")
}

/// Key of a row. The id comes first, so that a list shows who else gave it.
#[must_use]
pub fn row(id: u64, name: &str) -> String {
    format!("{ROWS}/{id:010}-{name}.json")
}

/// Id and name from the key of a row; none for what is no row.
#[must_use]
pub fn of_row(key: &str) -> Option<(u64, String)> {
    let file = key.strip_prefix(ROWS)?.strip_prefix('/')?.strip_suffix(".json")?;
    let (id, name) = file.split_once('-')?;
    let id = id.parse().ok()?;
    names::parse(name)?;
    // One spelling of an id: a row that lies there twice would stand for two backups.
    (row(id, name) == key).then(|| (id, name.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_row_s_key_says_id_and_name_and_nothing_else_is_taken_for_one() {
        let name = "backup_20261125_020000_manual";
        assert_eq!(of_row(&row(7, name)).unwrap(), (7, name.to_owned()));
        for odd in [
            "rows/7.json",
            "rows/7-../../x.json",
            "rows/7-backup_20261125_020000_manual.json",
            "rows/00000000007-backup_20261125_020000_manual.json",
            "rows/+7-backup_20261125_020000_manual.json",
            "rows/7-backup_20261125_020000_manual.json.old",
            "archives/0000000007-backup_20261125_020000_manual.json",
        ] {
            assert_eq!(of_row(odd), None, "{odd}");
        }
    }
}
