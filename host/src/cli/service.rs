//! `cofre service print`: a systemd unit for this configuration.

use serde::Serialize;

use super::args::{PrintService, ServiceArgs, ServiceCommand};
use super::{App, Ended};
use crate::audit::Who;
use crate::error::{Code, Error, Result};
use crate::serve::unit::{self, Unit};
use crate::text::{escape, shown};

/// The document of `--json`.
#[derive(Serialize)]
struct Printed {
    unit: String,
}

pub(super) fn run(app: &App, args: ServiceArgs) -> Result<Ended> {
    match args.command {
        ServiceCommand::Print(print) => print_unit(app, print),
    }
}

fn print_unit(app: &App, args: PrintService) -> Result<Ended> {
    let config = app.config()?;
    let user = match args.user {
        Some(user) => user,
        None => match Who::current_user() {
            Who::User(name) => name,
            _ => "root".to_owned(),
        },
    };
    if !unit::is_user(&user) {
        return Err(Error::new(
            Code::Usage,
            format!("`{}` is not the name of a user", escape(&user)),
        )
        .remedy("write it as /etc/passwd has it, such as `--user cofre`"));
    }
    let binary = match args.binary {
        Some(path) => {
            std::path::absolute(&path).map_err(|e| Error::io(format!("resolve {}", shown(&path)), &e))?
        }
        None => std::env::current_exe().map_err(|e| Error::io("find out where cofre itself is", &e))?,
    };
    let printed = Printed {
        unit: Unit {
            config: &config,
            user: &user,
            binary: &binary,
        }
        .render(),
    };
    app.output.print(&printed, || printed.unit.clone())?;
    Ok(Ended::Done)
}
