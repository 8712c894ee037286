//! Copies that are lost for good, given up because somebody asks for it: what is left of them goes, and nothing names them
//! any more.

use std::io;

use super::super::objects::older_is_good;
use super::super::row::Signed;
use super::super::state::Copied;
use super::super::{bytes, check, fetch, layout, push, trust};
use super::{Prune, Removal};
use crate::error::Result;

/// What is left of a lost copy.
enum Left {
    Nothing,
    /// Only older versions, of which one is good.
    Older,
    /// Row and archive.
    Whole,
}

impl Prune<'_> {
    /// Gives up what is lost, unless it can still be had: from an archive here, or an older version there.
    pub(super) fn give_up(&mut self, dry_run: bool) -> Result<Vec<Removal>> {
        let lost: Vec<(u64, Copied)> = self
            .state
            .copies
            .iter()
            .filter(|(_, copy)| copy.lost)
            .map(|(id, copy)| (*id, copy.clone()))
            .collect();
        let waiting = push::waiting(self.context, &self.state)?;
        let mut verdicts = Vec::new();
        for (id, copy) in lost {
            self.watch.check()?;
            let here = waiting.iter().any(|row| (row.id, &row.name) == (id, &copy.name));
            let (keep, bad, why) = match self.found(id, &copy)? {
                _ if here => (true, true, "the next push copies it again".to_owned()),
                Left::Whole => (true, false, "found whole again".to_owned()),
                Left::Older => {
                    let pull = format!("cofre remote pull {} {id}", self.remote.name);
                    (true, true, format!("an older version of it is good: `{pull}`"))
                }
                Left::Nothing => (false, false, "no archive here to copy again".to_owned()),
            };
            if !dry_run && !keep {
                self.forget(id, &copy)?;
            } else if !dry_run && !bad {
                self.state.copies.insert(
                    id,
                    Copied {
                        lost: false,
                        ..copy.clone()
                    },
                );
                self.desk.save(&self.state)?;
            }
            verdicts.push(Removal {
                id,
                name: copy.name,
                size: copy.size,
                keep,
                bad,
                reasons: vec!["was lost".to_owned(), why],
            });
        }
        self.unfit
            .retain(|unfit| verdicts.iter().all(|verdict| verdict.id != unfit.id));
        Ok(verdicts)
    }

    /// What there is of a lost copy at the remote. Without a signed row nothing is proved to be of it.
    fn found(&self, id: u64, copy: &Copied) -> Result<Left> {
        let keys = trust::verify_keys(&self.context.config)?;
        let row = match fetch::one(&self.store, id, &copy.name, &keys) {
            Ok((row, Signed::Good)) => row,
            Ok(_) => return Ok(Left::Nothing),
            Err(error) if check::is_about_copy(error.code) => return Ok(Left::Nothing),
            Err(error) => return Err(error),
        };
        let there = self.objects.has(&layout::row(id, &copy.name));
        if there && self.objects.trouble(&row.object).is_none() && self.read(&row)?.is_none() {
            return Ok(Left::Whole);
        }
        let object = &row.object;
        let read =
            |version: &str| bytes::read(&self.store, object, Some(version), &mut io::sink(), self.watch);
        Ok(match older_is_good(&self.store, object, read)? {
            Some(true) => Left::Older,
            Some(false) | None => Left::Nothing,
        })
    }

    fn forget(&mut self, id: u64, copy: &Copied) -> Result<()> {
        // Noted first, as with each removal: what is left over is finished by the next.
        self.state.copies.insert(
            id,
            Copied {
                removed: true,
                lost: false,
                ..copy.clone()
            },
        );
        self.desk.save(&self.state)?;
        let row = layout::row(id, &copy.name);
        if self.objects.has(&row) {
            self.store.delete(&row)?;
        }
        self.remove_archive(&copy.name)
    }
}
