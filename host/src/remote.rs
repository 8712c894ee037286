//! Copies off the machine: archives in an object store or on another disk, encrypted, signed and locked there.
//!
//! `store` speaks to one place and knows nothing of backups. What lies there and what it means is `layout` and `row`;
//! `push` sends, `pull` fetches (`arrive` one archive),
//! `check` reads everything again, `prune` removes, `takeover` makes a catalog from it.
//! What this machine knows of its copies is `state`. No failure here ever fails a backup.

mod arrive;
mod bytes;
mod check;
mod copier;
mod fetch;
mod here;
pub mod layout;
mod listing;
mod meet;
mod objects;
mod prune;
mod pull;
mod push;
pub mod row;
mod sealing;
mod state;
mod status;
pub mod store;
mod takeover;
mod trust;
mod watch;
mod whose;

pub use check::{Checked, check};
pub(crate) use copier::ring;
pub use copier::{Copier, after_run};
pub use fetch::Found;
pub use listing::{Listed, list};
pub use meet::{can_push, can_read};
pub use objects::Lies;
pub use prune::{Pruned, Pruning, Removal, prune};
pub use pull::{Fetch, Pulled, pull};
pub use push::{Pushed, push};
pub use status::{RemoteStatus, place, status};
pub use takeover::{TakeOver, TakenOver, take_over};
pub use watch::Watch;

use crate::config::{Config, Remote};
use crate::error::{Code, Error, Result};
use crate::text::escape;

/// Opens a remote whose calls stop when they are to.
///
/// # Errors
/// When there are no credentials, or the address can't be used.
pub(crate) fn open(remote: &Remote, watch: &Watch) -> Result<store::Store> {
    let watch = watch.clone();
    Ok(store::Store::open(remote)?.stopped_by(std::sync::Arc::new(move || watch.check())))
}

/// The remote of this name.
///
/// # Errors
/// `Usage`, naming those that there are.
pub fn find<'a>(config: &'a Config, name: &str) -> Result<&'a Remote> {
    if let Some(remote) = config.remotes.iter().find(|remote| remote.name == name) {
        return Ok(remote);
    }
    let error = Error::new(Code::Usage, format!("there is no remote `{}`", escape(name)));
    let known: Vec<String> = config
        .remotes
        .iter()
        .map(|remote| format!("`{}`", remote.name))
        .collect();
    Err(match known.as_slice() {
        [] => error.remedy("the configuration has none: add `[[remotes]]`"),
        known => error.remedy(format!("there is {}", known.join(", "))),
    })
}
