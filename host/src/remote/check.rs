//! Verification of copies: every byte is fetched again and compared with its signed row. That needs no identity, so the
//! machine that makes backups can do it; with the identity the archive inside is opened and compared too.

use std::io::{self, Write};

use serde::Serialize;

use super::fetch::Found;
use super::row::Row;
use super::state;
use super::store::Store;
use super::watch::Watch;
use super::{bytes, fetch, pull, trust};
use crate::config::Remote;
use crate::context::Context;
use crate::crypt::{self, Identity};
use crate::error::{Code, Error, Result};
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

/// How a copy is looked at.
struct Look<'a> {
    store: &'a Store,
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
    let store = Store::open(remote)?;
    let names = fetch::all_names(&store)?;
    let mut checked = Checked {
        opened: identity.is_some(),
        ..Checked::default()
    };
    let known = state::peek(config, remote)?;
    if wanted.is_empty() {
        checked.problems.extend(gone(&known, &names));
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
    let look = Look {
        store: &store,
        identity: identity.as_ref(),
        staging: &staging,
        quick,
        watch,
    };
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
    for fetched in rows {
        let (expected, removed) = known
            .copies
            .get(&fetched.id)
            .filter(|copy| copy.name == fetched.name)
            .map_or((false, false), |copy| (!copy.removed, copy.removed));
        let behind = match fetched.found {
            Found::There => None,
            Found::Exchanged => Some("its row was exchanged; an older version of it is good"),
            Found::Removed if !expected => continue,
            Found::Hidden if removed => continue,
            Found::Hidden | Found::Removed => {
                Some("it was deleted at the remote; an older version of its row is good")
            }
        };
        if let Some(behind) = behind {
            checked
                .problems
                .push(format!("{} {}: {behind}", fetched.id, fetched.name));
            continue;
        }
        let found = fetched.row.and_then(|(row, signed)| {
            pull::check_signed(&row, signed, false)?;
            if whose.repository.as_ref() != Some(&row.repository) {
                return Err(Error::new(Code::Corrupt, "its row is of another repository"));
            }
            look.at(&row)
        });
        match found {
            Ok(bytes) => {
                checked.good += 1;
                checked.bytes += bytes;
            }
            Err(error) if is_about_copy(error.code) => {
                checked
                    .problems
                    .push(format!("{} {}: {error}", fetched.id, fetched.name));
            }
            Err(error) => return Err(error),
        }
    }
    // What is empty proves nothing.
    if checked.good == 0 && checked.problems.is_empty() {
        return Err(fetch::no_copies(&remote.name));
    }
    Ok(checked)
}

/// Copies that this machine made and that are not there any more.
fn gone(known: &state::State, names: &[(u64, String)]) -> Vec<String> {
    let there = |id: u64, name: &str| names.iter().any(|(i, n)| *i == id && n == name);
    let missing = known
        .copies
        .iter()
        .filter(|(id, copy)| !copy.removed && !there(**id, &copy.name));
    missing
        .map(|(id, copy)| format!("{id} {}: it was copied and is gone from the remote", copy.name))
        .collect()
}

fn is_wanted(wanted: &[String], id: u64, name: &str) -> bool {
    wanted.is_empty() || wanted.iter().any(|text| *text == id.to_string() || text == name)
}

fn is_about_copy(code: Code) -> bool {
    matches!(
        code,
        Code::Corrupt | Code::NotFound | Code::Refused | Code::Unsupported
    )
}

impl Look<'_> {
    /// Looks at one copy; the bytes that were read.
    fn at(&self, row: &Row) -> Result<u64> {
        let object = &row.object;
        if self.quick {
            let found = self.store.head(&object.key)?;
            let size = found
                .ok_or_else(|| Error::new(Code::NotFound, "its archive is gone"))?
                .size;
            if size != object.size {
                let message = format!(
                    "its archive has {size} bytes, and was copied with {}",
                    object.size
                );
                return Err(Error::new(Code::Corrupt, message));
            }
            return Ok(0);
        }
        match self.identity.filter(|_| object.encrypted) {
            Some(identity) => self.open(row, identity)?,
            None => self.read(row, &mut io::sink())?,
        }
        Ok(object.size)
    }

    fn read(&self, row: &Row, to: &mut dyn Write) -> Result<()> {
        let object = &row.object;
        bytes::read(self.store, object, None, to, self.watch)
    }

    /// What the identity opens is the archive itself. Staged, since an age file is only good at its end.
    fn open(&self, row: &Row, identity: &Identity) -> Result<()> {
        use std::io::Seek as _;
        let mut staged = self.staging.create("object")?;
        let read = self.read(row, &mut staged).and_then(|()| {
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
