//! A catalog from the copies: for a machine that lost everything but the configuration and the keys. The archives follow
//! one by one, when they are wanted.

use serde::Serialize;

use super::store::Store;
use super::watch::Watch;
use super::{fetch, pull, trust};
use crate::backup;
use crate::config::Remote;
use crate::context::Context;
use crate::error::{Code, Error, Result};

/// What became of a takeover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TakenOver {
    /// Rows that the catalog got.
    pub added: u64,
    /// Copies at the remote.
    pub copies: u64,
    /// Rows that were not taken, with the reason.
    pub problems: Vec<String>,
}

/// Takes the rows of a remote into the catalog, which is made where there is none; what the catalog has stays.
///
/// # Errors
/// `Refused` where the catalog belongs to another repository, or has other backups under the same ids; what the store,
/// the keys and the system say.
pub fn take_over(context: &Context, remote: &Remote, unsigned: bool, watch: &Watch) -> Result<TakenOver> {
    let keys = trust::verify_keys(&context.config)?;
    let store = Store::open(remote)?;
    let marker = fetch::marker_of(&store, &remote.name)?;
    let names = fetch::all_names(&store)?;
    let fetched = fetch::standing(fetch::rows(&store, &names, &keys, watch)?);
    if fetched.is_empty() {
        return Err(fetch::no_copies(&remote.name));
    }
    let copies = fetched.len() as u64;
    let mut rows = Vec::new();
    let mut problems = Vec::new();
    for fetched in fetched {
        let good = fetched.row.and_then(|(row, signed)| {
            pull::check_signed(&row, signed, unsigned)?;
            if row.repository != marker.repository {
                return Err(Error::new(Code::Refused, "its row is of another repository"));
            }
            Ok(row.backup.to_backup())
        });
        match good {
            Ok(row) => rows.push(row),
            Err(error) => problems.push(format!("{} {}: {error}", fetched.id, fetched.name)),
        }
    }
    backup::make_backups_folder(context)?;
    let exclusive = context.exclusive_for_new_history()?;
    let mut session = exclusive.writer()?;
    // Only a catalog without rows becomes another repository's.
    let own = if session.list()?.is_empty() {
        session.identify(marker.repository.clone())?
    } else {
        context
            .reader()?
            .identify(marker.repository.clone())
            .unwrap_or_default()
    };
    if own != marker.repository {
        let message = format!(
            "the backups folder is not the repository that `{}` has copies of",
            remote.name
        );
        return Err(Error::new(Code::Refused, message).remedy("take it over into an empty backup_dir"));
    }
    let added = session.import_rows(rows, context.config.zip_path_prefix.clone(), false)?;
    exclusive.remember_history();
    Ok(TakenOver {
        added: added.len() as u64,
        copies,
        problems,
    })
}
