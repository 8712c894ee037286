//! The same engine without a sandbox, for measuring what the sandbox costs: coordinator and workers of
//! `shards` on threads of one native process. A measuring tool, not a product: it scans by itself, neither locks nor
//! prunes, and restores right into its target.
//!
//! ```text
//! native [--workers N] [--method deflate|zstd|store] [--level L] create SOURCE BACKUPS
//! native [--workers N] verify BACKUPS
//! native [--workers N] restore BACKUPS TARGET
//! ```

use std::collections::VecDeque;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use chrono::{DateTime, Utc};
use cofre_component::catalog::Catalog;
use cofre_component::fs::{BACKUPS, Roots, TARGET};
use cofre_component::job::{self, Request};
use cofre_component::shards::{Coordinator, Piece, Turn, Worker};
use cofre_component::types::{Compression, CreateRequest, Inventory, RestoreRequest, RunRequest, Source};
use cofre_component::{Error, ErrorKind, Result};

/// What ends the program.
type Failing<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Bytes of a task, as the host asks for.
const BUDGET: u64 = 4 << 20;

/// Where the source is, for the engine.
const SOURCE: &str = "/sources/static";

/// A task, and where its result goes.
type Order = (Vec<u8>, SyncSender<Result<Piece>>);

fn main() -> Failing<()> {
    let mut workers = std::thread::available_parallelism()?.get();
    let (mut compression, mut level, mut words) = (Compression::Deflate, 6, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} takes a value"));
        match arg.as_str() {
            "--workers" => workers = value()?.parse()?,
            "--level" => level = value()?.parse()?,
            "--method" => {
                compression = match value()?.as_str() {
                    "deflate" => Compression::Deflate,
                    "zstd" => Compression::Zstd,
                    "store" => Compression::Store,
                    other => return Err(format!("no method: {other}").into()),
                };
            }
            _ => words.push(arg),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (roots, request) = match words[..] {
        ["create", source, backups] => (
            Roots::new().with(SOURCE, source).with(BACKUPS, folder(backups)?),
            Request::Create(create(compression, level)),
        ),
        ["verify", backups] => {
            let roots = Roots::new().with(BACKUPS, backups);
            let id = newest(&roots)?;
            (roots, Request::Verify { id, quick: false })
        }
        ["restore", backups, target] => {
            let roots = Roots::new().with(BACKUPS, backups).with(TARGET, folder(target)?);
            let (id, only) = (newest(&roots)?, Vec::new());
            (roots, Request::Restore(RestoreRequest { id, only }))
        }
        _ => return Err("create SOURCE BACKUPS, verify BACKUPS, or restore BACKUPS TARGET".into()),
    };
    match run(&roots, request, workers.max(1))? {
        job::Outcome::Created(report) => println!("{} bytes", report.backup.record.size),
        job::Outcome::Verified(report) if report.problems.is_empty() => {
            println!("{} entries", report.entries)
        }
        job::Outcome::Verified(report) => return Err(report.problems.join("\n").into()),
        job::Outcome::Restored(_) => println!("restored"),
    }
    Ok(())
}

/// Spreads one operation over threads.
fn run(roots: &Roots, request: Request, workers: usize) -> Result<job::Outcome> {
    let (orders, taken) = sync_channel::<Order>(2 * workers);
    let taken = Mutex::new(taken);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let (taken, request) = (&taken, &request);
            scope.spawn(move || serve(roots, Worker::new(request), taken));
        }
        // The channel ends with this, and with it the threads.
        coordinate(roots, Coordinator::new(request.clone()), workers, orders)
    })
}

/// Does orders until there are no more.
fn serve(roots: &Roots, mut worker: Worker, orders: &Mutex<Receiver<Order>>) {
    loop {
        let order = orders.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((task, reply)) = order else { return };
        // Nobody waits any more where the operation has failed.
        let _ = reply.send(worker.work(roots, &task));
    }
}

/// Deals tasks and takes their results in the same order, as the host does.
fn coordinate(
    roots: &Roots,
    mut coordinator: Coordinator,
    workers: usize,
    orders: SyncSender<Order>,
) -> Result<job::Outcome> {
    let mut out: VecDeque<Receiver<Result<Piece>>> = VecDeque::new();
    loop {
        // What is ready, and the oldest at any rate when enough are out.
        while let Some(oldest) = out.front() {
            let piece = if out.len() < 2 * workers {
                let Ok(piece) = oldest.try_recv() else { break };
                piece
            } else {
                wait(oldest)
            };
            out.pop_front();
            coordinator.take(roots, piece?, None)?;
        }
        match coordinator.next(roots, BUDGET, None)? {
            Turn::Task(task) => {
                let (reply, result) = sync_channel(1);
                out.push_back(result);
                // Fails only where every worker has died, and then so does waiting for the result.
                let _ = orders.send((task, reply));
            }
            Turn::Working => {}
            Turn::Waiting => {
                if let Some(oldest) = out.pop_front() {
                    coordinator.take(roots, wait(&oldest)?, None)?;
                }
            }
            Turn::Ended(outcome) => return Ok(*outcome),
        }
    }
}

fn wait(result: &Receiver<Result<Piece>>) -> Result<Piece> {
    result.recv().unwrap_or_else(|e| {
        let message = e.to_string();
        Err(Error::new(ErrorKind::Io, "wait for a worker", message))
    })
}

fn folder(path: &str) -> std::io::Result<&Path> {
    std::fs::create_dir_all(path)?;
    Ok(Path::new(path))
}

fn newest(roots: &Roots) -> Failing<u64> {
    let catalog = Catalog::load(&roots.open(BACKUPS)?)?;
    let record = catalog.records().last().ok_or("no backup")?;
    Ok(record.id)
}

fn create(compression: Compression, level: u8) -> CreateRequest {
    CreateRequest {
        run: RunRequest {
            backup_type: "manual".into(),
            plan: "manual".into(),
            started_at: DateTime::<Utc>::from(SystemTime::now())
                .format("%Y-%m-%dT%H:%M:%S%.6f+00:00")
                .to_string(),
            zip_path_prefix: String::new(),
        },
        begun: None,
        sources: vec![Source {
            folder: "static".into(),
            root: SOURCE.into(),
            inventory: Inventory::Scan,
            include: vec![],
            exclude: vec![],
            allow_empty: false,
        }],
        databases: vec![],
        compression,
        level,
        full: true,
    }
}
