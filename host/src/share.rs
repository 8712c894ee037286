//! What the configured `group` may see: the folders, the catalog, the schedule's state, the counters of deliveries and
//! the totals of copies, never an archive.
//!
//! The exporter runs as a user of its own in that group. Everything is made for the owner alone (umask 077) and
//! opened up afterwards, so that a crash in between leaves too little access rather than too much.

use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::fsutil;

/// The files of the backups folder that the group may read.
pub(crate) const CATALOG_FILES: [&str; 2] = ["backup_history.json", ".catalog.json"];

/// Opens folder and catalog to `group`: 0750 and 0640.
///
/// # Errors
/// `Config` when there is no such group; what the system says.
pub fn catalog(backups: BorrowedFd<'_>, group: &str) -> Result<()> {
    let gid = group_id(group)?;
    folder(backups, gid)?;
    for name in CATALOG_FILES {
        let fail = |errno| fsutil::error(format_args!("let the group `{group}` read {name}"), errno);
        match fsutil::openat(backups, name, fsutil::file_flags(), Mode::empty()) {
            Ok(opened) => file(opened.as_fd(), gid).map_err(fail)?,
            Err(Errno::NOENT) => {}
            Err(errno) => return Err(fail(errno)),
        }
    }
    Ok(())
}

/// Opens the state folder and one file of it to `group`: 0750 and 0640. What else lies
/// there stays the owner's.
///
/// # Errors
/// As [`catalog`].
pub fn state(state_dir: BorrowedFd<'_>, one: BorrowedFd<'_>, group: &str) -> Result<()> {
    let gid = group_id(group)?;
    folder(state_dir, gid)?;
    file(one, gid).map_err(|errno| {
        fsutil::error(
            format_args!("let the group `{group}` read {}", fsutil::fd_path(one)),
            errno,
        )
    })
}

/// Lets the group read one file: 0640.
fn file(file: BorrowedFd<'_>, gid: Gid) -> rustix::io::Result<()> {
    rustix::fs::fchown(file, None, Some(gid))?;
    fsutil::fchmod(file, Mode::from_raw_mode(0o640))
}

/// Opens one folder to the group: 0750.
fn folder(dir: BorrowedFd<'_>, gid: Gid) -> Result<()> {
    let fail = |errno| fsutil::error(format_args!("open {} to the group", fsutil::fd_path(dir)), errno);
    rustix::fs::chownat(dir, "", None, Some(gid), AtFlags::EMPTY_PATH).map_err(fail)?;
    fsutil::fchmod(dir, Mode::from_raw_mode(0o750)).map_err(fail)
}

/// The number of a group: from a number, or from `/etc/group`.
fn group_id(group: &str) -> Result<Gid> {
    if let Ok(number) = group.parse() {
        return Ok(Gid::from_raw(number));
    }
    let table = std::fs::read_to_string("/etc/group").map_err(|e| Error::io("read /etc/group", &e))?;
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(group))
                .then(|| fields.nth(1)?.parse().ok())
                .flatten()
        })
        .next()
        .map(Gid::from_raw)
        .ok_or_else(|| {
            Error::new(
                Code::Config,
                format!("group: there is no group `{}`", group.escape_debug()),
            )
            .remedy("make it with `groupadd --system`, or name another")
        })
}
