//! `cofre component`: what the embedded component is, and the component itself.

use super::args::Component;
use super::{App, Ended};
use crate::api::types;
use crate::engine::{ComponentInfo, Engine};
use crate::error::{Error, Result};
use crate::text::shown;

pub(super) fn run(app: &App, args: &Component) -> Result<Ended> {
    if let Some(file) = &args.output {
        std::fs::write(file, Engine::wasm()).map_err(|e| Error::io(format!("write {}", shown(file)), &e))?;
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
