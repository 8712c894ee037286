//! `schedule.json` in the state folder: what the catalog doesn't tell of the schedule. When a plan was made, what it
//! missed, when it runs next, and when the service was last awake. Only `cofre serve` writes it; the exporter and `cofre status`
//! read it. Losing it costs little: the newest run of each plan stands in the catalog.

mod schedule;

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::fsutil::{self, show};
use crate::{share, source, staging};

pub use schedule::{CheckState, FORMAT, PlanState, ScheduleState};

/// The state of the schedule in the state folder.
pub const SCHEDULE_FILE: &str = "schedule.json";

/// Larger than any honest file by far.
const SIZE_LIMIT: u64 = 4 * 1024 * 1024;

/// Reads the schedule's state and changes nothing; none where there is none.
///
/// # Errors
/// `Io` when it can't be read or is not what [`save`] writes.
pub fn read(config: &Config) -> Result<Option<ScheduleState>> {
    let path = config.state_dir.join(SCHEDULE_FILE);
    match std::fs::symlink_metadata(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io(format_args!("read {}", show(&path)), &e)),
        Ok(meta) if meta.len() > SIZE_LIMIT => return Err(broken(&path, "it is too large")),
        Ok(_) => {}
    }
    let file = source::open_file_nofollow(&path)?;
    let state: ScheduleState =
        serde_json::from_reader(std::io::BufReader::new(std::io::Read::take(file, SIZE_LIMIT)))
            .map_err(|e| broken(&path, &e.to_string()))?;
    if state.format == FORMAT {
        return Ok(Some(state));
    }
    Err(broken(
        &path,
        &format!("its format is {}, and this version knows {FORMAT}", state.format),
    ))
}

fn broken(path: &Path, why: &str) -> Error {
    Error::new(Code::Io, format!("{} can't be read: {why}", show(path)))
        .remedy("the service keeps it aside and starts a new one from the catalog; nothing has to be done")
}

/// Reads the schedule's state for the service: a broken file is moved aside as `schedule.json.broken-TIME`, which
/// is logged, and there is none then.
///
/// # Errors
/// When a broken file can't be moved aside; what `staging::open_state_dir` says.
pub fn load(config: &Config) -> Result<Option<ScheduleState>> {
    let dir = staging::open_state_dir(&config.state_dir)?;
    let error = match read(config) {
        Ok(state) => return Ok(state),
        Err(error) => error,
    };
    let time = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()).format("%Y%m%dT%H%M%SZ");
    for n in 0..100 {
        let suffix = if n == 0 { String::new() } else { format!("-{n}") };
        let aside = format!("{SCHEDULE_FILE}.broken-{time}{suffix}");
        match rustix::fs::renameat_with(&dir, SCHEDULE_FILE, &dir, &aside, RenameFlags::NOREPLACE) {
            Ok(()) => {
                tracing::error!("{error}; kept as {aside}");
                return Ok(None);
            }
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(fsutil::error(format_args!("move {SCHEDULE_FILE} aside"), errno)),
        }
    }
    Err(error)
}

/// Writes the schedule's state, for the owner and the configured group.
///
/// # Errors
/// What `staging::open_state_dir` and the system say; the old state is still there then.
pub fn save(config: &Config, state: &ScheduleState) -> Result<()> {
    let dir = staging::open_state_dir(&config.state_dir)?;
    let mut text = serde_json::to_vec_pretty(state)
        .map_err(|e| Error::new(Code::Internal, format!("write {SCHEDULE_FILE}: {e}")))?;
    text.push(b'\n');
    fsutil::write_file_with(dir.as_fd(), SCHEDULE_FILE, &text, |file| {
        if let Some(group) = &config.group
            && let Err(error) = share::state(dir.as_fd(), file, group)
        {
            tracing::warn!("the group can't read the state of the schedule: {error}");
        }
    })
}

#[cfg(test)]
mod tests;
