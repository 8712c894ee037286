//! Fetching: an archive comes back from the remote into the backups folder, under the name and with the bytes that its
//! signed row says, and its row into the catalog.

use std::os::fd::AsFd as _;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use cofre_exporter::component::catalog::files;
use serde::Serialize;

use super::fetch::Fetched;
use super::here::Here;
use super::row::{BackupRow, Row, Signed};
use super::store::Store;
use super::takeover::{self, Claim};
use super::watch::Watch;
use super::{arrive, fetch, here, trust};
use crate::config::Remote;
use crate::context::{Context, Exclusive};
use crate::crypt::VerifyKey;
use crate::engine::wit::types::Backup;
use crate::error::{Code, Error, Result};
use crate::notify::now;

/// How often it is tried whether another run has ended.
const LOOK: Duration = Duration::from_millis(200);
/// So many rows are read at a time to find out which ids are given out.
const HIGHEST: usize = 32;

/// What came of a fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Fetch {
    /// What is here now.
    pub fetched: Vec<Pulled>,
    /// Copies that could not be fetched, each for a reason of its own.
    pub problems: Vec<String>,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// Id of the backup.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Bytes of the archive.
    pub size: u64,
    /// It was here before.
    pub already: bool,
}

/// Fetches backups (ids, names, `latest`; everything, the newest first, where `wanted` is empty) and their rows.
/// `unsigned` takes what nothing proves to be this repository's. An archive that is here and is not what a signed row says
/// is replaced.
///
/// # Errors
/// `NotFound`; `Encrypted`; `Refused` for a row without a good signature, for another repository's and where the backups
/// folder has lost its history; `Corrupt` where no version of the object is what the row says; what the store, the keys and
/// the system say. Where several are wanted, what is wrong with one of them is in the result.
pub fn pull(
    context: &Context,
    remote: &Remote,
    wanted: &[String],
    unsigned: bool,
    watch: &Watch,
) -> Result<Fetch> {
    let store = super::open(remote, watch)?;
    let keys = trust::verify_keys(&context.config)?;
    let names = fetch::all_names(&store)?;
    if names.is_empty() {
        return Err(fetch::no_copies(&remote.name));
    }
    let source = Source {
        context,
        remote,
        store,
        keys,
        names,
        unsigned,
        watch,
    };
    let chosen = source.select(wanted)?;
    // Before an hour of transfer: whether the folder is there, is ours to write in, and has its history.
    drop(takeover::open_folder(context, remote, false)?);
    let highest = source.highest()?;
    let alone = chosen.len() == 1;
    let mut done = Fetch::default();
    for one in chosen {
        watch.check()?;
        let about = format!("{} {}", one.id, one.name);
        match source.bring(one, highest.as_ref()) {
            Ok(pulled) => done.fetched.push(pulled),
            Err(error) if alone || !is_about_copy(error.code) => return Err(error),
            Err(error) => {
                tracing::error!(remote = remote.name, "{about}: {error}");
                done.problems.push(format!("{about}: {error}"));
            }
        }
    }
    Ok(done)
}

/// Whether the others can still come.
fn is_about_copy(code: Code) -> bool {
    matches!(
        code,
        Code::Corrupt
            | Code::NotFound
            | Code::Refused
            | Code::Unsupported
            | Code::AlreadyExists
            | Code::Encrypted
            | Code::Usage
    )
}

/// Where it comes from, and what counts there.
struct Source<'a> {
    context: &'a Context,
    remote: &'a Remote,
    store: Store,
    keys: Vec<VerifyKey>,
    names: Vec<(u64, String)>,
    unsigned: bool,
    watch: &'a Watch,
}

impl Source<'_> {
    /// The rows that `wanted` means, each once.
    fn select(&self, wanted: &[String]) -> Result<Vec<Fetched>> {
        if wanted.is_empty() {
            let mut all = self.ours()?;
            all.reverse();
            return Ok(all);
        }
        let mut chosen: Vec<Fetched> = Vec::new();
        for selector in wanted {
            let found = match selector.as_str() {
                "latest" => newest(self.ours()?, self.unsigned),
                other => self.named(other)?,
            };
            let found = found.ok_or_else(|| {
                let message = format!(
                    "`{}` has no copy of {}",
                    self.remote.name,
                    crate::text::escape(selector)
                );
                Error::new(Code::NotFound, message).remedy(format!(
                    "`cofre remote list {}` shows those that there are",
                    self.remote.name
                ))
            })?;
            if chosen
                .iter()
                .all(|one| (one.id, &one.name) != (found.id, &found.name))
            {
                chosen.push(found);
            }
        }
        Ok(chosen)
    }

    /// All rows that stand for copies; of those that are proved only this repository's.
    fn ours(&self) -> Result<Vec<Fetched>> {
        let mut rows = fetch::standing(fetch::rows(&self.store, &self.names, &self.keys, self.watch)?);
        let whose = fetch::whose(&self.store, &self.remote.name, &rows)?;
        if let Some(repository) = whose.repository {
            rows.retain(|fetched| fetched.proved().is_none_or(|row| row.repository == repository));
        }
        Ok(rows)
    }

    /// The row of an id or a name. Whoever can write there can give an id to another name: the proved one counts.
    fn named(&self, selector: &str) -> Result<Option<Fetched>> {
        let plain = files::of_file(selector).map_or(selector, |(name, _)| name);
        let names: Vec<_> = self
            .names
            .iter()
            .filter(|(id, name)| id.to_string() == selector || name == plain)
            .cloned()
            .collect();
        let mut rows = fetch::rows(&self.store, &names, &self.keys, self.watch)?;
        fetch::whose(&self.store, &self.remote.name, &rows)?;
        rows.sort_by_key(|fetched| fetched.proved().is_none());
        Ok(rows.into_iter().next())
    }

    /// The row with the highest id at the remote, where the catalog does not know it: it has to, for the next run here
    /// would give that id to another backup.
    fn highest(&self) -> Result<Option<Row>> {
        // One that can't be read says so later.
        let known = self
            .context
            .reader()
            .and_then(|mut session| session.list())
            .ok()
            .and_then(|rows| rows.iter().map(|row| row.id).max())
            .unwrap_or(0);
        let first = self.names.partition_point(|(id, _)| *id <= known);
        // However many nobody signed: whoever can write there can put them before the one that counts.
        for names in self.names.get(first..).unwrap_or_default().rchunks(HIGHEST) {
            let rows = fetch::rows(&self.store, names, &self.keys, self.watch)?;
            if let Some(row) = rows.iter().rev().find_map(Fetched::proved) {
                return Ok(Some(row.clone()));
            }
        }
        Ok(None)
    }

    /// Fetches one, if it is not here in good order.
    fn bring(&self, fetched: Fetched, highest: Option<&Row>) -> Result<Pulled> {
        let (row, signed) = fetched.row?;
        check_signed(&row, signed, self.unsigned)?;
        let pulled = |already| Pulled {
            id: row.backup.id,
            name: row.backup.name.clone(),
            size: row.backup.size,
            already,
        };
        let backups = self.context.backups()?;
        // What nobody vouches for replaces nothing, and makes no catalog anybody's.
        let rows = || self.signed(&row.repository);
        let claim = (signed == Signed::Good).then(|| Claim {
            remote: &self.remote.name,
            repository: &row.repository,
            rows: &rows,
        });
        if let Some(claim) = &claim {
            claim.check(self.context, &backups)?;
        }
        let config = &self.context.config;
        let found = match self.known(&row) {
            Some(_) if claim.is_none() => return Ok(pulled(true)),
            Some(known) => match here::look(config, backups.as_fd(), &known, &row, self.watch)? {
                Here::Good => {
                    here::mend_checksum(self.context, &row);
                    return Ok(pulled(true));
                }
                Here::Other(found) => found,
            },
            None => Vec::new(),
        };
        let arrived = arrive::fetch(config, backups.as_fd(), &self.store, &row, self.watch)?;
        let exclusive = self.wait_for_folder()?;
        if let Some(claim) = &claim {
            claim.check(self.context, exclusive.folder())?;
        }
        self.take_in(&exclusive, &row, claim.as_ref(), highest)?;
        arrived.place(&exclusive, &row, &found)?;
        exclusive.remember_history();
        Ok(pulled(false))
    }

    /// All signed rows of a repository.
    fn signed(&self, repository: &str) -> Result<Vec<BackupRow>> {
        let rows = fetch::rows(&self.store, &self.names, &self.keys, self.watch)?;
        let proved = rows.iter().filter_map(Fetched::proved);
        let its = proved.filter(|row| row.repository == repository);
        Ok(its.map(|row| row.backup.clone()).collect())
    }

    /// The row in the catalog, where its archive is here.
    fn known(&self, row: &Row) -> Option<Backup> {
        let known = self.context.reader().ok()?.find(row.backup.id.to_string()).ok()?;
        (known.name == row.backup.name && known.archive_present).then_some(known)
    }

    /// The folder to write in. A run that has begun meanwhile is waited for: what came is not thrown away.
    fn wait_for_folder(&self) -> Result<Exclusive<'_>> {
        let mut told = false;
        loop {
            match takeover::open_folder(self.context, self.remote, false) {
                Err(error) if error.code == Code::Busy => {
                    if !told {
                        tracing::warn!("{error}; what was fetched waits for its end");
                        told = true;
                    }
                    self.watch.check()?;
                    std::thread::sleep(LOOK);
                }
                folder => return folder,
            }
        }
    }

    /// The row into the catalog; one that was deleted here comes back, since it was asked for.
    fn take_in(
        &self,
        exclusive: &Exclusive<'_>,
        row: &Row,
        claim: Option<&Claim<'_>>,
        highest: Option<&Row>,
    ) -> Result<()> {
        let mut session = exclusive.writer()?;
        let prefix = &self.context.config.zip_path_prefix;
        session.import_rows(vec![row.backup.to_backup()], prefix.clone(), true)?;
        let Some(claim) = claim else { return Ok(()) };
        // A history that begins with a copy goes on as the same repository.
        session.identify(row.repository.clone())?;
        let highest = highest.filter(|highest| highest.repository == claim.repository);
        if let Some(highest) = highest
            && let Err(error) = session.import_rows(vec![highest.backup.to_backup()], prefix.clone(), false)
        {
            tracing::warn!("the newest id at `{}` is not noted: {error}", claim.remote);
        }
        Ok(())
    }
}

/// The backup that began last and not in the future, as `latest` means it here. Names have local times and ids may come
/// from several machines' clocks, so the rows say; only those that count, but where none does, the newest says why.
fn newest(rows: Vec<Fetched>, unsigned: bool) -> Option<Fetched> {
    let now = now();
    let rank = |fetched: &Fetched| {
        let row = fetched.row.as_ref().ok().map(|(row, _)| row);
        let began = row.and_then(began);
        let counts = row.is_some() && (unsigned || fetched.proved().is_some());
        (counts, began.is_none_or(|began| began <= now), began, fetched.id)
    };
    rows.into_iter().max_by_key(rank)
}

fn began(row: &Row) -> Option<DateTime<FixedOffset>> {
    let text = row.backup.started_at.as_deref()?;
    DateTime::parse_from_rfc3339(text).ok()
}

/// Refuses a row that nothing proves, unless that was asked for.
pub(super) fn check_signed(row: &Row, signed: Signed, unsigned: bool) -> Result<()> {
    let name = &row.backup.name;
    let (message, remedy) = match signed {
        Signed::Good => return Ok(()),
        Signed::Bad => (
            format!("the row of {name} is not signed by this repository: somebody else wrote it"),
            "`cofre remote verify` says which are good; `--unsigned` takes it all the same",
        ),
        Signed::Unknown => (
            format!("nothing here says who may sign the row of {name}"),
            "name the identity file that `cofre key new` made as `encryption.identity_file`, or the verify key in \
             `encryption.verify_keys`; `--unsigned` takes it all the same",
        ),
    };
    if unsigned {
        tracing::warn!("{message}; taken all the same, as asked");
        return Ok(());
    }
    Err(Error::new(Code::Refused, message).remedy(remedy))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::fetch::Found;
    use super::*;

    fn fetched(id: u64, started_at: &str, signed: Signed) -> Fetched {
        let name = format!("backup_20261125_02000{id}_manual");
        let row = serde_json::json!({
            "repository": "r", "copied_at": started_at,
            "backup": {"id": id, "name": name, "type": "manual", "timestamp": started_at, "partial": false, "size": 1,
                "sha256": "0", "started_at": started_at, "pinned": false},
            "object": {"key": "k", "size": 1, "sha256": "0", "encrypted": false},
        });
        Fetched {
            id,
            name,
            found: Found::There,
            row: Ok((serde_json::from_value(row).unwrap(), signed)),
        }
    }

    #[test]
    fn the_latest_is_proved_and_has_begun() {
        let all = || {
            vec![
                fetched(1, "2026-11-25T02:00:00Z", Signed::Good),
                fetched(2, "2026-11-24T02:00:00Z", Signed::Good),
                fetched(3, "2999-11-25T02:00:00Z", Signed::Good),
                fetched(4, "2026-11-26T02:00:00Z", Signed::Bad),
            ]
        };
        let id = |rows, unsigned| newest(rows, unsigned).map(|one| one.id);
        assert_eq!(id(all(), false), Some(1));
        assert_eq!(id(all(), true), Some(4));
        // Where all of them lie in the future, the clock is wrong.
        assert_eq!(id(all().drain(2..3).collect(), false), Some(3));
        // Where nothing is proved, it is refused by name.
        assert_eq!(id(all().drain(3..).collect(), false), Some(4));
        assert_eq!(id(Vec::new(), false), None);
    }
}
