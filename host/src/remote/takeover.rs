//! A catalog from the copies: for a machine that lost everything but the configuration and the keys. The archives follow
//! one by one, when they are wanted.

use std::os::fd::OwnedFd;

use serde::Serialize;

use super::row::{BackupRow, Signed};
use super::watch::Watch;
use super::{fetch, pull, trust, whose};
use crate::backup;
use crate::config::Remote;
use crate::context::{Context, Exclusive};
use crate::engine::wit::types::Backup;
use crate::engine::{Access, Session};
use crate::error::{Code, Error, Result};

/// What becomes of a takeover, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakeOver {
    /// Also what nothing proves to be this repository's.
    pub unsigned: bool,
    /// The history that the backups folder had is gone for good.
    pub new_history: bool,
}

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
/// `NotFound` where there are no copies; `Refused` where the catalog belongs to another repository; what the store, the
/// keys and the system say. What is wrong with one row is in the result.
pub fn take_over(context: &Context, remote: &Remote, how: TakeOver, watch: &Watch) -> Result<TakenOver> {
    let keys = trust::verify_keys(&context.config)?;
    let store = super::open(remote, watch)?;
    let names = fetch::all_names(&store)?;
    let fetched = fetch::standing(fetch::rows(&store, &names, &keys, watch)?);
    if fetched.is_empty() {
        return Err(fetch::no_copies(&remote.name));
    }
    let whose = fetch::whose(&store, &remote.name, &fetched)?;
    let mut taken = TakenOver {
        added: 0,
        copies: fetched.len() as u64,
        problems: Vec::new(),
    };
    let mut proved = None;
    let mut signed = Vec::new();
    let mut rows = Vec::new();
    for fetched in fetched {
        let good = fetched.row.and_then(|(row, signed)| {
            pull::check_signed(&row, signed, how.unsigned)?;
            let other = whose
                .repository
                .as_ref()
                .is_some_and(|own| *own != row.repository);
            if other && (signed == Signed::Good || !how.unsigned) {
                return Err(Error::new(Code::Refused, "its row is of another repository"));
            }
            Ok((row, signed))
        });
        match good {
            Ok((row, is_good)) => {
                rows.push(row.backup.to_backup());
                if is_good == Signed::Good {
                    signed.push(row.backup);
                    proved = Some(row.repository);
                }
            }
            Err(error) => taken
                .problems
                .push(format!("{} {}: {error}", fetched.id, fetched.name)),
        }
    }
    if rows.is_empty() {
        return Ok(taken);
    }
    let exclusive = open_folder(context, remote, how.new_history)?;
    if proved.is_none() {
        tracing::warn!(
            "no row is proved, so nothing says whose this catalog is; what is signed enters it only into an empty backup_dir"
        );
    }
    let copies = || Ok(signed.clone());
    let claim = proved.as_ref().map(|repository| Claim {
        remote: &remote.name,
        repository,
        rows: &copies,
    });
    if let Some(claim) = &claim {
        claim.check(context, exclusive.folder())?;
    }
    let mut session = exclusive.writer()?;
    taken.added = import(
        &mut session,
        rows,
        &context.config.zip_path_prefix,
        &mut taken.problems,
    )?;
    if let Some(claim) = claim {
        session.identify(claim.repository.to_owned())?;
    }
    exclusive.remember_history();
    Ok(taken)
}

/// Imports rows, the oldest first. One that can't be, since the catalog or one before has its id or its name, is named and
/// keeps no other from it.
fn import(session: &mut Session, rows: Vec<Backup>, prefix: &str, problems: &mut Vec<String>) -> Result<u64> {
    let about = rows
        .first()
        .map(|row| format!("{} {}", row.id, row.name))
        .unwrap_or_default();
    match session.import_rows(rows.clone(), prefix.to_owned(), false) {
        Ok(added) => Ok(added.len() as u64),
        Err(error) if !matches!(error.code, Code::Refused | Code::Usage) => Err(error),
        Err(error) if rows.len() < 2 => {
            problems.push(format!("{about}: {error}"));
            Ok(0)
        }
        Err(_) => {
            let mut front = rows;
            let back = front.split_off(front.len() / 2);
            let added = import(session, front, prefix, problems)?;
            Ok(added + import(session, back, prefix, problems)?)
        }
    }
}

/// The backups folder, made where there is none, to write in. Copies are no reason to begin a new history where another
/// one was seen: its disk may not be mounted.
///
/// # Errors
/// `Refused` for that, `Busy`; what the system says.
pub(super) fn open_folder<'a>(
    context: &'a Context,
    remote: &Remote,
    new_history: bool,
) -> Result<Exclusive<'a>> {
    backup::exclusive(context, new_history).map_err(|error| match error.code {
        Code::Refused => error.remedy(format!(
            "mount it; where the history is gone for good, begin with `cofre rebuild --from {} --new-history`",
            remote.name
        )),
        _ => error,
    })
}

/// Whose rows are to be taken in, as signed rows say it.
pub(super) struct Claim<'a> {
    pub(super) remote: &'a str,
    pub(super) repository: &'a str,
    /// Its signed rows there. Only asked for where the catalog does not say whose it is.
    pub(super) rows: &'a dyn Fn() -> Result<Vec<BackupRow>>,
}

impl Claim<'_> {
    /// Makes sure that the catalog is this repository's, or nobody's yet: empty, or of the same history.
    ///
    /// # Errors
    /// `Refused`; what reading the catalog and the rows says.
    pub(super) fn check(&self, context: &Context, backups: &OwnedFd) -> Result<()> {
        let mut session = context
            .engine
            .open(context.mounts_of(backups, Access::ReadOnly)?)?;
        let rows = session.list()?;
        let ours = match whose::identity(&mut session) {
            Some(own) => own == self.repository,
            None if rows.is_empty() => true,
            None => {
                let copies = (self.rows)()?;
                whose::is_one_history(&rows, copies.iter().map(whose::copy_of))
            }
        };
        if ours {
            return Ok(());
        }
        let message = format!(
            "the backups folder is not the repository that `{}` has copies of",
            self.remote
        );
        Err(Error::new(Code::Refused, message).remedy("take it over into an empty backup_dir"))
    }
}
