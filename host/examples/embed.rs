//! Backs up a folder from another program: `cargo run --release --example embed -- FOLDER BACKUPS`.
//! The component reaches these two folders and nothing else.

use std::fs::File;

use cofre::engine::wit::engine::{CreateRequest, RunRequest};
use cofre::engine::wit::types::{Compression, Inventory, Source};
use cofre::engine::{Access, Engine, Mounts};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(folder), Some(backups)) = (args.next(), args.next()) else {
        return Err("usage: embed FOLDER BACKUPS".into());
    };
    let mounts = Mounts::new()
        .source("files", File::open(folder)?.into())
        .backups(File::open(backups)?.into(), Access::ReadWrite);
    let mut session = Engine::new()?.open(mounts)?;

    let run = RunRequest {
        backup_type: "manual".to_owned(),
        plan: "manual".to_owned(),
        started_at: chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false),
        zip_path_prefix: String::new(),
    };
    let source = Source {
        folder: "static".to_owned(),
        root: "/sources/files".to_owned(),
        inventory: Inventory::Scan,
        include: vec![],
        exclude: vec!["**/*.tmp".to_owned()],
        allow_empty: false,
    };
    let (compression, level) = (Compression::Deflate, 6);
    let sources = vec![source];
    let request = CreateRequest {
        run,
        begun: None,
        sources,
        databases: vec![],
        compression,
        level,
        full: true,
    };
    let report = session.create(request)?;
    let checked = session.verify(report.backup.id, false)?;
    println!(
        "{}: {} entries, {} problems",
        report.backup.name,
        checked.entries,
        checked.problems.len()
    );
    Ok(())
}
