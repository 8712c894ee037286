//! `cofre component`: what the embedded component is, and the component itself.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::Path;

use super::args::Component;
use super::{App, Ended};
use crate::api::types;
use crate::engine::{ComponentInfo, Engine};
use crate::error::{Error, Result};
use crate::fsutil;
use crate::text::shown;

/// Writes the component: all of it or nothing, except where there is no file to be replaced, such as `/dev/stdout`.
fn write(file: &Path) -> Result<()> {
    let failed = |e: &std::io::Error| Error::io(format!("write {}", shown(file)), e);
    let new = || file.symlink_metadata().map_or(true, |meta| meta.is_file());
    let name = file.file_name().and_then(|name| name.to_str()).filter(|_| new());
    let Some(name) = name else {
        return std::fs::write(file, Engine::wasm()).map_err(|e| failed(&e));
    };
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = File::open(parent.unwrap_or(Path::new("."))).map_err(|e| failed(&e))?;
    fsutil::write_file(folder.as_fd(), name, Engine::wasm())
}

pub(super) fn run(app: &App, args: &Component) -> Result<Ended> {
    if let Some(file) = &args.output {
        write(file)?;
    }
    let ComponentInfo {
        digest,
        wit,
        imports,
        exports,
    } = Engine::new()?.info().clone();
    let info = types::Component {
        digest,
        wit,
        imports,
        exports,
    };
    app.output.print(&info, || {
        let list = |names: &[String]| names.iter().map(|name| format!("  {name}\n")).collect::<String>();
        format!(
            "sha256   {}\nwit      cofre:backup@{}\nimports\n{}exports\n{}",
            info.digest,
            info.wit,
            list(&info.imports),
            list(&info.exports)
        )
    })?;
    Ok(Ended::Done)
}
