//! A backup with a progress line that another thread may stop: `cargo run --release --example progress -- FOLDER BACKUPS`.
//! It makes one backup to its end, then begins another and cancels it, which leaves nothing behind.

use std::fs::File;
use std::sync::atomic::Ordering;

use cofre::engine::wit::engine::{CreateRequest, RunRequest};
use cofre::engine::wit::jobs::{Outcome, Request};
use cofre::engine::wit::types::{Compression, Inventory, Source};
use cofre::engine::{Access, Control, Engine, Mounts};
use cofre::lock::BackupsLock;
use cofre::{Code, Result};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(folder), Some(backups)) = (args.next(), args.next()) else {
        return Err("usage: progress FOLDER BACKUPS".into());
    };
    let backups = File::open(backups)?;
    // Whoever writes holds the lock; `cofre` and the hosts in other languages take the same one.
    let _lock = BackupsLock::acquire(&backups)?;
    let engine = Engine::new()?;
    let mounts = || -> std::io::Result<Mounts> {
        Ok(Mounts::new()
            .source("files", File::open(&folder)?.into())
            .backups(backups.try_clone()?.into(), Access::ReadWrite))
    };

    let mut control = Control {
        on_progress: Box::new(|p| println!("{} of {} files", p.files_done, p.files_total)),
        ..Control::default()
    };
    if let Outcome::Created(report) = engine.open(mounts()?)?.run(request(), &mut control)? {
        println!("{}: {} bytes", report.backup.name, report.backup.size);
    }

    // From a signal handler or a button, say; here at once.
    control.cancel.store(true, Ordering::SeqCst);
    let stopped: Result<Outcome> = engine.open(mounts()?)?.run(request(), &mut control);
    match stopped {
        Err(error) if error.code == Code::Cancelled => println!("cancelled: {error}"),
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("it was not stopped".into()),
    }
    Ok(())
}

fn request() -> Request {
    Request::Create(CreateRequest {
        run: RunRequest {
            backup_type: "manual".to_owned(),
            plan: "manual".to_owned(),
            started_at: chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, false),
            zip_path_prefix: String::new(),
        },
        begun: None,
        sources: vec![Source {
            folder: "static".to_owned(),
            root: "/sources/files".to_owned(),
            inventory: Inventory::Scan,
            include: vec![],
            exclude: vec![],
            allow_empty: false,
        }],
        databases: vec![],
        compression: Compression::Deflate,
        level: 6,
        full: false,
    })
}
