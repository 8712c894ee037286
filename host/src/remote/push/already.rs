//! What is at the remote already, before anything is sent: which copies are still whole, and what stands where a copy is
//! to be.

use super::super::fetch;
use super::super::layout;
use super::super::meet::{There, lock_until};
use super::super::objects::{Lies, Objects};
use super::super::row::{BackupRow, Object, Row, Signed};
use super::super::state::Copied;
use super::super::store::Store;
use super::Push;
use crate::error::{Code, Error, Result};
use crate::notify::now;

/// What stands at the remote for an archive.
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A whole copy, with this row.
    Good(Box<Row>),
    /// What was a copy of ours and is none any more, with its row where that can be read.
    Broken(Option<Box<Row>>),
}

impl Push<'_> {
    /// Copies that are gone, or lie there otherwise than they were left, are made again as long as their archive is here.
    pub(super) fn mark_lost(&mut self, store: &Store, objects: &Objects) -> Result<()> {
        let mut any = false;
        for (id, copy) in self.state.copies.iter_mut().filter(|(_, copy)| copy.is_there()) {
            if !objects.holds(store, *id, copy)? {
                tracing::error!(
                    remote = self.remote.name,
                    id,
                    name = %copy.name,
                    "this copy is gone from the remote, or was changed there"
                );
                copy.lost = true;
                any = true;
            }
        }
        if any { self.desk.save(&self.state) } else { Ok(()) }
    }

    /// An upload whose archive is no longer here may have left an archive without a row there. Nobody would ever miss it:
    /// noted as removed, the next prune takes it away.
    pub(super) fn give_up_abandoned(&mut self, rows: &[BackupRow], objects: &Objects) -> Result<()> {
        let goes_on = |id, name: &str| rows.iter().any(|row| row.id == id && row.name == name);
        let Some(sending) = self
            .state
            .sending
            .take_if(|sending| !goes_on(sending.id, &sending.name))
        else {
            return Ok(());
        };
        // With its row it is a whole copy, of which only the note is missing.
        if objects.has(&layout::row(sending.id, &sending.name)) {
            return self.desk.save(&self.state);
        }
        self.state.copies.entry(sending.id).or_insert_with(|| Copied {
            name: sending.name,
            sha256: String::new(),
            size: sending.object.size,
            at: now(),
            etag: None,
            removed: true,
            lost: false,
        });
        self.desk.save(&self.state)
    }

    /// What stands where an archive is to be copied to.
    ///
    /// # Errors
    /// `Refused` where it is somebody else's; what the store says.
    pub(super) fn look(&self, there: &There, objects: &Objects, backup: &BackupRow) -> Result<Found> {
        let strange = |what: String| {
            Error::new(Code::Refused, format!("`{}` has {what}", self.remote.name)).remedy(
                "another machine copies as the same repository, perhaps a clone of this one: give it a remote of its own",
            )
        };
        let near = there
            .names
            .iter()
            .filter(|(id, name)| (*id == backup.id) != (*name == backup.name));
        for (id, name) in near {
            match fetch::one(&there.store, *id, name, &there.keys) {
                Ok((_, Signed::Good)) => {
                    return Err(strange(format!(
                        "{name} as id {id}, and {} is id {} here",
                        backup.name, backup.id
                    )));
                }
                Err(error) if error.code == Code::Cancelled => return Err(error),
                // Whoever can write there can put a row of any id and name.
                Ok(_) | Err(_) => tracing::warn!(
                    remote = self.remote.name,
                    "{name} as id {id} is not proved to be ours, and does not count"
                ),
            }
        }
        let name = &backup.name;
        if !there.names.contains(&(backup.id, name.clone())) {
            return Ok(Found::Nothing);
        }
        let noted = self.state.copies.get(&backup.id);
        let noted = noted.filter(|copy| copy.name == backup.name && !copy.removed);
        match fetch::one(&there.store, backup.id, name, &there.keys) {
            Ok((row, Signed::Good)) if row.backup.sha256 != backup.sha256 => {
                Err(strange(format!("another {name}")))
            }
            Ok((row, Signed::Good)) => {
                let is_lost = noted.is_some_and(|copy| copy.lost) || objects.lies(&row.object) != Lies::Whole;
                let row = Box::new(row);
                Ok(if is_lost {
                    Found::Broken(Some(row))
                } else {
                    Found::Good(row)
                })
            }
            Ok(_) if noted.is_none() => {
                let what = format!("`{}` has a {name} that no key here proves", self.remote.name);
                Err(Error::new(Code::Refused, what).remedy(
                    "where an earlier signing key of this machine made it, put its `# cofre verify key:` into \
                     `encryption.verify_keys`; otherwise another machine copies there: give it a remote of its own",
                ))
            }
            Ok(_) => Ok(Found::Broken(None)),
            Err(error) if is_about_row(error.code) => Ok(Found::Broken(None)),
            Err(error) => Err(error),
        }
    }

    /// A new archive of the same size is sent over the old one: should this process die before its row is there, nothing
    /// but this note tells that the old row no longer fits.
    pub(super) fn note_broken(&mut self, backup: &BackupRow, row: Option<&Row>) -> Result<()> {
        let copy = self.state.copies.entry(backup.id).or_insert_with(|| {
            row.map_or_else(
                || Copied {
                    name: backup.name.clone(),
                    sha256: backup.sha256.clone(),
                    size: 0,
                    at: now(),
                    etag: None,
                    removed: false,
                    lost: true,
                },
                Copied::of,
            )
        });
        copy.lost = true;
        self.desk.save(&self.state)
    }

    /// A checksum that is gone from beside its archive is written again: whoever restores without cofre needs it.
    pub(super) fn mend_checksums(&self, there: &There, objects: &Objects) {
        for (id, copy) in self.state.copies.iter().filter(|(_, copy)| copy.is_there()) {
            let lacks = [true, false].into_iter().any(|encrypted| {
                let key = layout::archive(&copy.name, encrypted);
                objects.has(&key) && !objects.has(&layout::checksum(&key))
            });
            if !lacks {
                continue;
            }
            let mended =
                fetch::one(&there.store, *id, &copy.name, &there.keys).and_then(
                    |(row, signed)| match signed {
                        Signed::Good => self.put_checksum(there, &row.object),
                        Signed::Bad | Signed::Unknown => Ok(()),
                    },
                );
            if let Err(error) = mended {
                tracing::warn!(
                    remote = self.remote.name,
                    "the checksum of {} is missing: {error}",
                    copy.name
                );
            }
        }
    }

    /// Writes the checksum beside an archive, in the format of `sha256sum`.
    pub(super) fn put_checksum(&self, there: &There, object: &Object) -> Result<()> {
        let file = object.key.rsplit('/').next().unwrap_or(&object.key);
        let line = format!("{}  {file}\n", object.sha256);
        there.store.put(
            &layout::checksum(&object.key),
            line.as_bytes(),
            lock_until(self.remote).as_ref(),
        )
    }
}

/// Whether an error says what a row is, and not that it could not be looked at.
fn is_about_row(code: Code) -> bool {
    matches!(code, Code::Corrupt | Code::NotFound)
}
