//! `cofre completions` and `cofre man`, both made from the definition of the command line.

use std::path::Path;

use clap::CommandFactory as _;

use super::Ended;
use super::args::{Args, Completions, Man};
use crate::error::{Code, Error, Result};
use crate::output;
use crate::text::{escape, shown};

pub(super) fn completions(args: &Completions) -> Result<Ended> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "cofre", &mut script);
    print(&script)
}

pub(super) fn man(args: &Man) -> Result<Ended> {
    if let Some(folder) = &args.output {
        return write_all(folder);
    }
    let mut root = Args::command();
    // Fills in what the commands inherit, such as --config.
    root.build();
    let page = match &args.command {
        None => root,
        Some(name) => {
            let found = root.find_subcommand(name).cloned();
            let missing = || {
                Error::new(Code::Usage, format!("there is no command `{}`", escape(name)))
                    .remedy("`cofre --help` lists them")
            };
            found.ok_or_else(missing)?
        }
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut text)
        .map_err(|e| Error::io("write the manual page", &e))?;
    print(&text)
}

fn write_all(folder: &Path) -> Result<Ended> {
    let failed = |e: &std::io::Error| Error::io(format!("write manual pages into {}", shown(folder)), e);
    std::fs::create_dir_all(folder).map_err(|e| failed(&e))?;
    let mut root = Args::command().disable_help_subcommand(true);
    root.build();
    let mut commands = vec![root];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands().filter(|c| !c.is_hide_set()).cloned());
        let page = clap_mangen::Man::new(command);
        // In one piece: the renderer writes each word by itself.
        let mut text = Vec::new();
        let path = folder.join(page.get_filename());
        page.render(&mut text)
            .and_then(|()| std::fs::write(&path, &text))
            .map_err(|e| Error::io(format!("write {}", shown(&path)), &e))?;
    }
    Ok(Ended::Done)
}

fn print(bytes: &[u8]) -> Result<Ended> {
    output::print_text(&String::from_utf8_lossy(bytes))?;
    Ok(Ended::Done)
}
