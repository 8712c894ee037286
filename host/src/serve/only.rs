//! One service for each state folder: two would run every plan twice.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Code, Error, Result};
use crate::text::shown;
use crate::{fsutil, lock, staging};

/// The file that is locked. It stays: the lock goes with the process.
const NAME: &str = "serve.lock";

/// Whether a service has the state folder, as far as `/proc/locks` tells.
pub(crate) fn is_held(state_dir: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(state_dir.join(NAME), flags, Mode::empty())
        .is_ok_and(|file| lock::holder(&file).is_some())
}

/// Locks the state folder for this service, as long as the handle lives.
///
/// # Errors
/// `Busy` when another service has it, with its process; `AccessDenied` when the folder is not ours.
pub(super) fn lock(state_dir: &Path) -> Result<OwnedFd> {
    let fail = |errno| fsutil::error(format_args!("lock {}/{NAME}", shown(state_dir)), errno);
    let state = staging::open_state_dir(state_dir)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = fsutil::openat(&state, NAME, flags, Mode::RUSR | Mode::WUSR).map_err(fail)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => {
            let who =
                lock::holder(&file).map_or_else(String::new, |pid| format!(" ({})", lock::described(pid)));
            Err(Error::new(
                Code::Busy,
                format!(
                    "another `cofre serve`{who} uses the state folder {}",
                    shown(state_dir)
                ),
            )
            .remedy("stop that one first, or give each configuration a state_dir of its own"))
        }
        Err(errno) => Err(fail(errno)),
    }
}
