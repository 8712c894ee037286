//! `cofre init`: look at an application's folder and write a configuration that works. `look` finds, `write`
//! puts it into words; here the two meet, and the file is written without ever replacing one.

mod look;
mod write;

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::fsutil;
use crate::text::shown;

/// What was written.
#[derive(Debug, Clone)]
pub struct Initialised {
    /// The file.
    pub file: PathBuf,
    /// What it amounts to.
    pub config: Config,
    /// What was seen and not taken, and why.
    pub notes: Vec<String>,
}

/// Looks at `dir` and writes `dir/cofre.toml`.
///
/// # Errors
/// `AlreadyExists` when there is one, `SourceMissing` when there is nothing to back up, or what the system says.
pub fn init(dir: &Path) -> Result<Initialised> {
    let file = dir.join("cofre.toml");
    if std::fs::symlink_metadata(&file).is_ok() {
        return Err(Error::new(
            Code::AlreadyExists,
            format!("{} exists and is left as it is", shown(&file)),
        )
        .remedy("`cofre config check` checks it; move it away for a new one"));
    }
    let found = look::look(dir)?;
    if found.is_empty() {
        return Err(Error::new(
            Code::SourceMissing,
            format!("there is nothing to back up in {}", shown(dir)),
        )
        .remedy("name the application's folder: `cofre init DIR`"));
    }
    let zone = iana_time_zone::get_timezone()
        .ok()
        .filter(|name| name.parse::<chrono_tz::Tz>().is_ok());
    let text = write::render(&found, zone.as_deref());
    let absolute = std::path::absolute(dir).map_err(|e| Error::io(format!("resolve {}", shown(dir)), &e))?;
    // What is written has been checked: a file that `create` refuses would be worse than none.
    let mut config = Config::parse(&text, &absolute).map_err(|problems| {
        Error::new(
            Code::Internal,
            format!("the configuration for {} would be wrong:\n{problems}", shown(dir)),
        )
        .remedy("this is a bug; please report it with the names of the files in the folder")
    })?;
    // The owner's alone: a password may come into it later.
    let folder = std::fs::File::open(dir).map_err(|e| Error::io(format!("open {}", shown(dir)), &e))?;
    fsutil::write_new_file(folder.as_fd(), "cofre.toml", text.as_bytes())?;
    config.file = Some(absolute.join("cofre.toml"));
    Ok(Initialised {
        file,
        config,
        notes: found.notes,
    })
}

#[cfg(test)]
#[path = "init/tests.rs"]
mod tests;
