//! A component of cofre's world that tries what a component must not be able to do.
//!
//! `find` takes a command instead of a selector. What the guest got hold of comes back as the name of a backup;
//! a failed attempt comes back as the error `refused` with the reason. Jobs and shards (`spread.rs`) take the first
//! glob of a restore for a command.

use std::time::Duration;
use std::{env, fs, hint, io};

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, NewTimestamp, OpenFlags, PathFlags};

wit_bindgen::generate!({
    path: "../../../wit",
    world: "backup",
});

use cofre::backup::types::{Entry, ErrorDetail, Skip, Status};
use exports::cofre::backup::engine::*;
use exports::cofre::backup::jobs;

mod spread;

struct Hostile;

export!(Hostile);

/// What the guest got, or why it did not.
type Attempt = Result<String, String>;

fn attempt(command: &str) -> Attempt {
    let mut words = command.split(' ');
    let mut word = || words.next().unwrap_or_default();
    match word() {
        "read" => fs::read_to_string(word()).map_err(text),
        "write" => fs::write(word(), "evil")
            .map(|()| "written".to_owned())
            .map_err(text),
        "list" => fs::read_dir(word())
            .map(|entries| entries.count().to_string())
            .map_err(text),
        "read-at" => read_at(&root(word())?, word()),
        "change-at" => change_at(&root(word())?, word(), word()),
        "read-through" => read_through(&root(word())?, word()),
        "reach" => Ok(reach()),
        "echo" => Ok(word().to_owned()),
        "environment" => environment(),
        "input" => io::read_to_string(io::stdin()).map_err(text),
        "loop" => loop {
            hint::black_box(());
        },
        "read-then-write" => {
            let got = fs::read_to_string(word());
            fs::write(word(), "went on").map_err(text)?;
            got.map_err(text)
        }
        "sleep" => {
            std::thread::sleep(Duration::from_secs(1 << 30));
            Ok("awake".to_owned())
        }
        "eat" => Ok(eat().to_string()),
        "hoard" => hoard(word()),
        "panic" => panic!("evil \x1b[31mwords"),
        "exit" => std::process::exit(0),
        "shout" => {
            for _ in 0..100_000 {
                eprintln!("spam");
            }
            Ok("shouted".to_owned())
        }
        #[cfg(feature = "sockets")]
        "connect" => std::net::TcpStream::connect(word())
            .map(|_| "connected".to_owned())
            .map_err(text),
        other => Err(format!("no such command: {other}")),
    }
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn root(name: &str) -> Result<Descriptor, String> {
    get_directories()
        .into_iter()
        .find_map(|(directory, mounted)| (mounted == name).then_some(directory))
        .ok_or_else(|| format!("{name} is not mounted"))
}

/// Reads below a mount by the raw call, following links.
fn read_at(root: &Descriptor, path: &str) -> Attempt {
    let file = root
        .open_at(
            PathFlags::SYMLINK_FOLLOW,
            path,
            OpenFlags::empty(),
            DescriptorFlags::READ,
        )
        .map_err(text)?;
    match file.read(4096, 0) {
        Ok((bytes, _)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(_) => file
            .read_directory()
            .map(|_| "a directory".to_owned())
            .map_err(text),
    }
}

/// Changes something below a mount.
fn change_at(root: &Descriptor, how: &str, path: &str) -> Attempt {
    let none = PathFlags::empty();
    let open = |open, flags| root.open_at(none, path, open, flags).map(drop);
    let write = DescriptorFlags::READ | DescriptorFlags::WRITE;
    match how {
        "open-for-writing" => open(OpenFlags::empty(), write),
        "create" => open(OpenFlags::CREATE, write),
        "create-exclusive" => open(OpenFlags::CREATE | OpenFlags::EXCLUSIVE, write),
        "create-for-reading" => open(OpenFlags::CREATE, DescriptorFlags::READ),
        "truncate" => open(OpenFlags::TRUNCATE, DescriptorFlags::READ),
        "create-below" => root
            .open_at(
                none,
                path,
                OpenFlags::DIRECTORY,
                DescriptorFlags::MUTATE_DIRECTORY,
            )
            .and_then(|folder| folder.open_at(none, "evil", OpenFlags::CREATE, write))
            .map(drop),
        "write-descriptor" => root
            .open_at(none, path, OpenFlags::empty(), DescriptorFlags::READ)
            .and_then(|file| file.write(b"evil", 0))
            .map(drop),
        "set-size" => root
            .open_at(none, path, OpenFlags::empty(), DescriptorFlags::READ)
            .and_then(|file| file.set_size(0)),
        "set-times" => root.set_times_at(none, path, NewTimestamp::Now, NewTimestamp::Now),
        "make-directory" => root.create_directory_at(path),
        "unlink" => root.unlink_file_at(path),
        "remove-directory" => root.remove_directory_at(path),
        "rename" => root.rename_at(path, root, "evil"),
        "link" => root.link_at(none, path, root, "evil"),
        "symlink" => root.symlink_at(path, "evil"),
        _ => return Err(format!("no such change: {how}")),
    }
    .map(|()| "changed".to_owned())
    .map_err(text)
}

/// Makes a link to `target` in a writable mount and reads through it.
fn read_through(root: &Descriptor, target: &str) -> Attempt {
    root.symlink_at(target, "door").map_err(text)?;
    read_at(root, "door").or_else(|_| read_at(root, "door/secret.txt"))
}

/// Everything that is mounted, and what can be done there.
fn reach() -> String {
    let write = DescriptorFlags::READ | DescriptorFlags::WRITE;
    let mut mounts: Vec<String> = get_directories()
        .into_iter()
        .map(|(root, name)| {
            let made = root.open_at(PathFlags::empty(), "evil", OpenFlags::CREATE, write);
            format!("{name} {}", if made.is_ok() { "rw" } else { "ro" })
        })
        .collect();
    mounts.sort();
    mounts.join(", ")
}

fn environment() -> Attempt {
    let found: Vec<String> = env::vars().map(|(name, _)| name).chain(env::args()).collect();
    if found.is_empty() {
        return Err("nothing there".to_owned());
    }
    Ok(found.join(" "))
}

/// Allocates and touches memory until there is none.
fn eat() -> usize {
    let mut kept = Vec::new();
    loop {
        kept.push(vec![1_u8; 1 << 20]);
        hint::black_box(&kept);
    }
}

/// Opens a file again and again and keeps all handles.
fn hoard(path: &str) -> Attempt {
    let mut kept = Vec::new();
    loop {
        match fs::File::open(path) {
            Ok(file) => kept.push(file),
            Err(error) => return Err(format!("{} handles, then {error:?}", kept.len())),
        }
    }
}

fn detail(message: String) -> ErrorDetail {
    ErrorDetail {
        operation: "try".to_owned(),
        subject: None,
        message,
        remedy: None,
    }
}

/// The answer of every function that the tests don't call.
fn nothing<T>() -> Result<T, Error> {
    Err(Error::Unsupported(detail(
        "this guest makes no backups".to_owned(),
    )))
}

fn backup(name: String) -> Backup {
    Backup {
        id: 1,
        name,
        backup_type: "evil".to_owned(),
        timestamp: String::new(),
        status: Status::Completed,
        size: 0,
        error: None,
        zip_path: None,
        plan: None,
        started_at: None,
        finished_at: None,
        duration_seconds: None,
        file_count: None,
        source_bytes: None,
        skipped: None,
        changed: None,
        sha256: None,
        reused_bytes: None,
        pinned: false,
        verified_at: None,
        verify_status: None,
        drilled_at: None,
        drill_status: None,
        restored_at: None,
        archive_present: false,
        encrypted: false,
    }
}

impl Guest for Hostile {
    fn find(selector: String) -> Result<Backup, Error> {
        attempt(&selector)
            .map(backup)
            .map_err(|why| Error::Refused(detail(why)))
    }

    fn list() -> Result<Vec<Backup>, Error> {
        Ok(vec![backup("fake".to_owned())])
    }

    fn begin_run(_: RunRequest) -> Result<Backup, Error> {
        Ok(backup("begun".to_owned()))
    }

    fn fail_run(_: u64, _: String, _: bool, _: String) -> Result<Backup, Error> {
        nothing()
    }

    fn create(_: CreateRequest) -> Result<CreateReport, Error> {
        nothing()
    }

    fn plan(_: CreateRequest) -> Result<(Vec<Entry>, Vec<Skip>), Error> {
        nothing()
    }

    fn limit_unpacking(_: UnpackLimits) {}

    fn verify(_: u64, _: bool) -> Result<VerifyReport, Error> {
        nothing()
    }

    fn restore(_: RestoreRequest) -> Result<RestoreReport, Error> {
        nothing()
    }

    fn entries(_: u64, _: Option<String>, _: u32) -> Result<Vec<Entry>, Error> {
        nothing()
    }

    fn details(_: u64) -> Result<BackupDetails, Error> {
        nothing()
    }

    fn status(_: String) -> Result<Summary, Error> {
        nothing()
    }

    fn diff(_: u64, _: u64) -> Result<Vec<Difference>, Error> {
        nothing()
    }

    fn delete(_: u64, _: bool, _: String) -> Result<Backup, Error> {
        nothing()
    }

    fn prune(_: RetentionPolicy, _: String, _: bool) -> Result<Vec<Verdict>, Error> {
        nothing()
    }

    fn rebuild(_: String, _: String) -> Result<RebuildReport, Error> {
        nothing()
    }

    fn record_result(_: u64, _: Check, _: String, _: String) -> Result<Backup, Error> {
        nothing()
    }

    fn pin(_: u64, _: bool) -> Result<Backup, Error> {
        nothing()
    }

    fn import_rows(_: Vec<Backup>, _: String, _: bool) -> Result<Vec<Backup>, Error> {
        nothing()
    }

    fn newest(_: String) -> Result<Backup, Error> {
        nothing()
    }

    fn identify(_: String) -> Result<String, Error> {
        nothing()
    }
}

/// How far everything evil is, with a line for the log that would clear a terminal.
fn progress(files_done: u64) -> jobs::Progress {
    jobs::Progress {
        files_done,
        files_total: 1,
        bytes_done: 0,
        bytes_total: 1,
        current: None,
        log: vec!["\x1b[2Jcleared".to_owned()],
        outcome: None,
    }
}

/// A job whose behaviour hangs on the first glob of a restore request.
struct EvilJob(String);

impl jobs::Guest for Hostile {
    type Job = EvilJob;
}

impl jobs::GuestJob for EvilJob {
    fn new(request: jobs::Request) -> Self {
        match request {
            jobs::Request::Restore(request) => Self(request.only.concat()),
            jobs::Request::Create(_) | jobs::Request::Verify(_) => Self(String::new()),
        }
    }

    fn step(&self, _: u64, _: String) -> Result<jobs::Progress, Error> {
        let mut progress = progress(0);
        match self.0.as_str() {
            "dawdle" => {}
            "lie" => {
                progress.outcome = Some(jobs::Outcome::Verified(VerifyReport {
                    backup: backup("lie".to_owned()),
                    entries: 0,
                    bytes: 0,
                    manifest: true,
                    checksum: true,
                    problems: Vec::new(),
                }));
            }
            command => {
                attempt(command).map_err(|why| Error::Refused(detail(why)))?;
            }
        }
        Ok(progress)
    }

    fn cancel(&self, _: String) -> Result<(), Error> {
        Ok(())
    }
}
