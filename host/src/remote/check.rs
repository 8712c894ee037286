//! Verification of copies: every byte is fetched again and compared with its signed row. That needs no identity, so the
//! machine that makes backups can do it; with the identity the archive inside is opened and compared too.

use std::io;

use serde::Serialize;

use super::fetch::{Fetched, Found};
use super::layout;
use super::objects::{Objects, older_is_good};
use super::row::{Row, Signed};
use super::state::{self, Copied, State};
use super::store::Store;
use super::watch::Watch;
use super::{bytes, fetch, pull, trust};
use crate::config::Remote;
use crate::context::Context;
use crate::crypt::{self, Identity};
use crate::error::{Code, Error, Result};
use crate::fsutil::Named;
use crate::hashing::Hashing;
use crate::staging::Staging;

/// What a verification of copies found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Copies that are good.
    pub good: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Whether the archives inside were opened and compared.
    pub opened: bool,
    /// Everything that is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// So many copies after one another that can't even be looked at: the others can't either.
const IN_A_ROW: usize = 3;

/// How a copy is looked at.
struct Look<'a> {
    store: &'a Store,
    objects: &'a Objects,
    repository: Option<&'a str>,
    known: &'a State,
    identity: Option<&'a Identity>,
    staging: &'a Staging,
    quick: bool,
    watch: &'a Watch,
}

/// Verifies all copies, or those of `wanted` (ids or names). `quick` compares only what the store says of sizes.
///
/// # Errors
/// Only what keeps it from looking; what is wrong with a copy is in the result.
pub fn check(
    context: &Context,
    remote: &Remote,
    wanted: &[String],
    quick: bool,
    watch: &Watch,
) -> Result<Checked> {
    let config = &context.config;
    let keys = trust::verify_keys(config)?;
    let identity = match &config.encryption.identity_file {
        Some(_) if !quick => Some(trust::identity(config)?),
        _ => None,
    };
    let store = super::open(remote, watch)?;
    let names = fetch::all_names(&store)?;
    let mut checked = Checked {
        opened: identity.is_some(),
        ..Checked::default()
    };
    let known = state::peek(config, remote)?;
    let mut lost = Vec::new();
    if wanted.is_empty() {
        for (id, copy) in gone(&known, &names) {
            let name = &copy.name;
            checked
                .problems
                .push(format!("{id} {name}: it was copied and is gone from the remote"));
            lost.push((id, None));
        }
    }
    let names: Vec<_> = names
        .into_iter()
        .filter(|(id, name)| is_wanted(wanted, *id, name))
        .collect();
    if names.is_empty() && !wanted.is_empty() {
        return Err(Error::new(
            Code::NotFound,
            format!("`{}` has none of these copies", remote.name),
        ));
    }
    let staging = Staging::new(&config.state_dir)?;
    let objects = Objects::of(&store)?;
    let rows = fetch::rows(&store, &names, &keys, watch)?;
    let whose = fetch::whose(&store, &remote.name, &rows)?;
    if let (Some(there), Some(own)) = (&whose.repository, &known.repository)
        && there != own
    {
        checked.problems.push(format!(
            "`{}` has been taken over by another repository",
            remote.name
        ));
    }
    if !rows.is_empty() {
        checked.problems.extend(whose.odd);
    }
    let look = Look {
        store: &store,
        objects: &objects,
        repository: whose.repository.as_deref(),
        known: &known,
        identity: identity.as_ref(),
        staging: &staging,
        quick,
        watch,
    };
    look.all(rows, &mut checked, &mut lost)?;
    state::note_lost(config, remote, &lost);
    // What is empty proves nothing.
    if checked.good == 0 && checked.problems.is_empty() {
        return Err(fetch::no_copies(&remote.name));
    }
    Ok(checked)
}

/// Copies that this machine made and that are not there any more.
fn gone<'a>(known: &'a State, names: &'a [(u64, String)]) -> impl Iterator<Item = (u64, &'a Copied)> {
    let there = |id: u64, name: &str| names.iter().any(|(i, n)| *i == id && n == name);
    known
        .copies
        .iter()
        .filter(move |(id, copy)| !copy.removed && !there(**id, &copy.name))
        .map(|(id, copy)| (*id, copy))
}

fn is_wanted(wanted: &[String], id: u64, name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|text| *text == id.to_string() || text == name)
}

pub(super) fn is_about_copy(code: Code) -> bool {
    matches!(
        code,
        Code::Corrupt | Code::NotFound | Code::Refused | Code::Unsupported
    )
}

/// Why a row is an older version.
enum Behind {
    /// It isn't.
    Nothing,
    /// Retention removed it.
    Retention,
    /// Somebody did something to it.
    Somebody(&'static str),
}

impl Look<'_> {
    /// Looks at all of them, whatever is wrong with one. What is to be copied again is added to `lost`.
    fn all(
        &self,
        rows: Vec<Fetched>,
        checked: &mut Checked,
        lost: &mut Vec<(u64, Option<Copied>)>,
    ) -> Result<()> {
        let mut in_a_row = 0;
        let mut left = rows.len();
        for fetched in rows {
            self.watch.check()?;
            left -= 1;
            let behind = self.behind(&fetched);
            let (id, name) = (fetched.id, fetched.name);
            match behind {
                Behind::Nothing => {}
                Behind::Retention => continue,
                Behind::Somebody(what) => {
                    let archive = match fetched.row.and_then(|(row, signed)| self.one(&row, signed)) {
                        Ok(_) => "its archive is good".to_owned(),
                        Err(error) => {
                            self.watch.check()?;
                            error.to_string()
                        }
                    };
                    checked.problems.push(format!("{id} {name}: {what}; {archive}"));
                    lost.push((id, None));
                    continue;
                }
            }
            let mut copy = None;
            let found = fetched.row.and_then(|(row, signed)| {
                copy = self.is_ours(&row, signed).is_ok().then(|| Copied::of(&row));
                let bytes = self.one(&row, signed)?;
                if !self.objects.has(&layout::checksum(&row.object.key)) {
                    let missing = "the checksum beside its archive is gone; the next push writes it again";
                    checked.problems.push(format!("{id} {name}: {missing}"));
                }
                Ok(bytes)
            });
            let error = match found {
                Ok(bytes) => {
                    in_a_row = 0;
                    checked.good += 1;
                    checked.bytes += bytes;
                    continue;
                }
                Err(error) => error,
            };
            self.watch.check()?;
            if is_about_copy(error.code) {
                in_a_row = 0;
                // What a later version wrote is not ours to replace.
                if error.code != Code::Unsupported {
                    lost.push((id, copy));
                }
            } else {
                in_a_row += 1;
            }
            checked.problems.push(format!("{id} {name}: {error}"));
            let gives_up = in_a_row == IN_A_ROW || left == 0;
            if gives_up && in_a_row > 0 && checked.good == 0 && lost.is_empty() {
                return Err(error);
            }
            if in_a_row == IN_A_ROW && left > 0 {
                checked
                    .problems
                    .push(format!("{left} more copies were not looked at: the remote fails"));
                break;
            }
        }
        Ok(())
    }

    /// Who may have put something before a row that was found among the older versions.
    fn behind(&self, fetched: &Fetched) -> Behind {
        let noted = self.known.copies.get(&fetched.id);
        let noted = noted.filter(|copy| copy.name == fetched.name);
        let removed = noted.is_some_and(|copy| copy.removed);
        match fetched.found {
            Found::There => Behind::Nothing,
            Found::Exchanged => Behind::Somebody("its row was exchanged; an older version of it is good"),
            Found::Removed if removed || noted.is_none() => Behind::Retention,
            Found::Hidden if removed => Behind::Retention,
            Found::Hidden | Found::Removed => {
                Behind::Somebody("it was deleted at the remote; an older version of its row is good")
            }
        }
    }

    /// That a row is proved, and this repository's.
    fn is_ours(&self, row: &Row, signed: Signed) -> Result<()> {
        pull::check_signed(row, signed, false)?;
        if self.repository == Some(row.repository.as_str()) {
            return Ok(());
        }
        Err(Error::new(Code::Corrupt, "its row is of another repository"))
    }

    /// Looks at one copy; the bytes that were read. Where it is not good, whether an older version of it is.
    fn one(&self, row: &Row, signed: Signed) -> Result<u64> {
        self.is_ours(row, signed)?;
        let object = &row.object;
        // What has another size need not be fetched.
        let newest = self
            .objects
            .trouble(object)
            .map_or_else(|| self.version(row, None), Err);
        let error = match newest {
            Err(error) if matches!(error.code, Code::Corrupt | Code::NotFound) => error,
            done => return done,
        };
        let read = |version: &str| self.version(row, Some(version)).map(drop);
        let behind = match older_is_good(self.store, object, read) {
            Ok(None) => return Err(error),
            Ok(Some(true)) if self.quick => "an older version of it has the right size".to_owned(),
            Ok(Some(true)) => "an older version of it is good, and is what a restore takes".to_owned(),
            Ok(Some(false)) => "no older version of it is good".to_owned(),
            Err(stopped) if stopped.code == Code::Cancelled => return Err(stopped),
            // What is known is wrong with the newest all the same.
            Err(other) => format!("its older versions can't be looked at: {other}"),
        };
        let message = format!("{}; {behind}", error.message);
        Err(Error { message, ..error })
    }

    /// Looks at the bytes of one version of a copy, and says how many they are.
    fn version(&self, row: &Row, version: Option<&str>) -> Result<u64> {
        let object = &row.object;
        if self.quick {
            return Ok(0);
        }
        match self.identity.filter(|_| object.encrypted) {
            Some(identity) => self.open(row, version, identity)?,
            None => bytes::read(self.store, object, version, &mut io::sink(), self.watch)?,
        }
        Ok(object.size)
    }

    /// What the identity opens is the archive itself. Staged, since an age file is only good at its end.
    fn open(&self, row: &Row, version: Option<&str>, identity: &Identity) -> Result<()> {
        use std::io::Seek as _;
        let mut staged = self.staging.create("object")?;
        let to = &mut Named(&mut staged);
        let read = bytes::read(self.store, &row.object, version, to, self.watch).and_then(|()| {
            staged
                .rewind()
                .map_err(|e| Error::io("read a staged object", &e))?;
            let mut from = io::BufReader::with_capacity(1 << 20, &staged);
            let mut archive = Hashing::new(io::sink());
            crypt::decrypt_with(identity, &mut from, &mut archive, &|_| self.watch.check())?;
            let (size, sha256) = archive.finish();
            if size == row.backup.size && sha256 == row.backup.sha256 {
                return Ok(());
            }
            Err(Error::new(
                Code::Corrupt,
                "what its archive holds is not the backup of its row",
            ))
        });
        self.staging.remove("object")?;
        read
    }
}
