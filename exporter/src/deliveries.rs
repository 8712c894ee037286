//! What became of deliveries to webhooks: `deliveries.json` of the state folder, which cofre writes.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::small_file;

/// Name of the file in the state folder.
const FILE: &str = "deliveries.json";
/// The one version of the file that is known.
const FORMAT: u32 = 1;

/// The part of the file that is exported. Unknown fields are somebody else's.
#[derive(Debug, Deserialize)]
struct Deliveries {
    format: u32,
    #[serde(default)]
    webhooks: BTreeMap<String, Counts>,
}

/// Of one webhook.
#[derive(Debug, Deserialize)]
struct Counts {
    #[serde(default)]
    failures: u64,
}

/// How many tries to deliver have failed, all webhooks together; 0 before the first delivery.
///
/// # Errors
/// What the file system says; `InvalidData` for a file that is none of ours or newer than this program.
pub(crate) fn failures(state_dir: &Path) -> io::Result<u64> {
    let Some(text) = small_file::read_in(state_dir, FILE)? else {
        return Ok(0);
    };
    let deliveries: Deliveries = small_file::parse(FILE, &text)?;
    small_file::check_format(FILE, deliveries.format, FORMAT)?;
    let failures = deliveries.webhooks.values().map(|counts| counts.failures);
    Ok(failures.fold(0, u64::saturating_add))
}
