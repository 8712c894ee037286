//! The same calls on a folder: what is half written is never seen, and names and links do no harm.

use std::cell::Cell;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use cofre::config::{LockMode, Place, Remote};
use cofre::remote::store::{Store, ToSend, Unfinished, Until, Upload};
use cofre::{Code, Error};
use tempfile::TempDir;

use crate::site::{open, opened, resume, same_files, upload, write_random};

const PART: u64 = 64 * 1024;
const SIZE: u64 = 3 * PART + 100;

struct Disk {
    dir: TempDir,
    root: PathBuf,
}

impl Disk {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("mnt");
        std::fs::create_dir(&root).unwrap();
        Self { dir, root }
    }

    fn remote(&self) -> Remote {
        Remote {
            name: "disk".to_owned(),
            place: Place::Folder(self.root.clone()),
            encrypt: false,
            rate: None,
            parallel: 2,
            part_bytes: PART,
            lock: None,
            retention: None,
        }
    }

    fn store(&self) -> Store {
        open(&self.remote())
    }

    fn file(&self, name: &str, size: u64) -> PathBuf {
        let path = self.dir.path().join(name);
        write_random(&path, size);
        path
    }
}

#[test]
fn a_folder_does_what_a_bucket_does() {
    let disk = Disk::new();
    let store = disk.store();
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.list("archives").unwrap(), []);
    for size in [0, 1, PART, PART + 1, SIZE] {
        let file = disk.file("original", size);
        upload(&store, "archives/a.zip", &file).unwrap();
        same_files(&file, &disk.root.join("archives/a.zip"));
        let mut copy = Vec::new();
        assert_eq!(
            store
                .download("archives/a.zip", None, &mut copy, &|_| Ok(()))
                .unwrap(),
            size
        );
        assert!(copy == std::fs::read(&file).unwrap());
        assert_eq!(store.head("archives/a.zip").unwrap().unwrap().size, size);
    }
    let metadata = std::fs::metadata(disk.root.join("archives/a.zip")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(store.put_new("rows/a.json", b"first", None).unwrap());
    assert!(!store.put_new("rows/a.json", b"second", None).unwrap());
    assert_eq!(store.get("rows/a.json", 5).unwrap().unwrap(), b"first");
    assert_eq!(store.get("rows/a.json", 4).unwrap_err().code, Code::Corrupt);
    store.put("rows/a.json", b"third", None).unwrap();
    assert_eq!(store.get("rows/a.json", 5).unwrap().unwrap(), b"third");
    let mut keys: Vec<_> = store
        .list("")
        .unwrap()
        .into_iter()
        .map(|object| object.key)
        .collect();
    keys.sort();
    assert_eq!(keys, ["archives/a.zip", "rows/a.json"]);
    store.delete("rows/a.json").unwrap();
    store.delete("rows/a.json").unwrap();
    store.delete("nowhere/a.json").unwrap();
    assert_eq!(store.get("rows/a.json", 5).unwrap(), None);
    assert_eq!(store.head("nowhere/a.json").unwrap(), None);
    let error = store
        .download("rows/a.json", None, &mut Vec::new(), &|_| Ok(()))
        .unwrap_err();
    assert_eq!(error.code, Code::NotFound);
}

#[test]
fn what_only_buckets_have_is_refused_or_empty() {
    let disk = Disk::new();
    let store = disk.store();
    let file = disk.file("original", 10);
    let until = Until {
        mode: LockMode::Governance,
        at: chrono::Utc::now() + chrono::TimeDelta::days(1),
    };
    let (opened, size) = opened(&file);
    for error in [
        store.put("rows/a", b"x", Some(&until)).unwrap_err(),
        store.put_new("rows/a", b"x", Some(&until)).unwrap_err(),
        store.extend_lock("rows/a", None, &until).unwrap_err(),
        store.get_version("rows/a", "1", 10).unwrap_err(),
        store.delete_version("rows/a", "1").unwrap_err(),
        store
            .upload(
                &ToSend {
                    lock: Some(&until),
                    ..ToSend::whole("rows/a", &opened, size)
                },
                &mut Upload::default(),
                &mut |_| Ok(()),
                &|_| Ok(()),
            )
            .unwrap_err(),
    ] {
        assert_eq!(error.code, Code::Unsupported, "{error}");
        assert!(error.to_string().starts_with("remote disk: "), "{error}");
    }
    assert!(!store.has_object_lock().unwrap());
    assert_eq!(store.versions("rows/a").unwrap(), []);
    assert_eq!(store.lock_of("rows/a", None).unwrap(), None);
    assert_eq!(store.list("").unwrap(), []);
}

/// Uploads until so many parts are saved.
fn stopped_after(store: &Store, file: &std::path::Path, parts: usize) -> Upload {
    let (file, size) = opened(file);
    let mut state = Upload::default();
    let many = Cell::new(0);
    let mut save = |state: &Upload| {
        many.set(state.parts.len());
        if many.get() == parts {
            return Err(Error::new(Code::Cancelled, "stopped by the test"));
        }
        Ok(())
    };
    let error = store
        .upload(
            &ToSend::whole("archives/a", &file, size),
            &mut state,
            &mut save,
            &|_| Ok(()),
        )
        .unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    state
}

#[test]
fn an_upload_goes_on_where_it_stopped_and_is_never_seen_half() {
    let disk = Disk::new();
    let store = disk.store();
    let file = disk.file("original", SIZE);
    let mut state = stopped_after(&store, &file, 2);
    assert_eq!(store.list("").unwrap(), []);
    assert_eq!(store.head("archives/a").unwrap(), None);
    let aside = disk.root.join("archives/.a.part");
    let before = std::fs::metadata(&aside).unwrap();
    assert_eq!(before.len(), 2 * PART);
    let told = Cell::new(u64::MAX);
    let (opened, size) = opened(&file);
    let control = |done: u64| {
        told.set(told.get().min(done));
        Ok(())
    };
    disk.store()
        .upload(
            &ToSend::whole("archives/a", &opened, size),
            &mut state,
            &mut |_| Ok(()),
            &control,
        )
        .unwrap();
    assert_eq!(told.get(), 2 * PART, "it did not go on where it stopped");
    let after = std::fs::metadata(disk.root.join("archives/a")).unwrap();
    assert_eq!(before.ino(), after.ino());
    same_files(&file, &disk.root.join("archives/a"));
    assert!(!aside.exists());
}

#[test]
fn what_a_crash_left_is_believed_only_as_far_as_it_is_true() {
    let disk = Disk::new();
    let store = disk.store();
    let file = disk.file("original", SIZE);
    let aside = disk.root.join("archives/.a.part");
    let damage: [&dyn Fn(); 4] = [
        // The machine lost what it had not yet written: shorter, or zeros, or all of it.
        &|| {
            std::fs::File::options()
                .write(true)
                .open(&aside)
                .unwrap()
                .set_len(PART + 7)
                .unwrap()
        },
        &|| {
            let length = std::fs::metadata(&aside).unwrap().len();
            std::fs::write(&aside, vec![0; usize::try_from(length).unwrap()]).unwrap();
        },
        &|| std::fs::remove_file(&aside).unwrap(),
        // Another process was further.
        &|| std::fs::write(&aside, vec![1; 1_000_000]).unwrap(),
    ];
    for harm in damage {
        let mut state = stopped_after(&store, &file, 3);
        harm();
        resume(&store, "archives/a", &file, &mut state).unwrap();
        same_files(&file, &disk.root.join("archives/a"));
        store.delete("archives/a").unwrap();
    }
    // The file that is to be copied is another one.
    let mut state = stopped_after(&store, &file, 3);
    let other = disk.file("other", SIZE);
    resume(&store, "archives/a", &other, &mut state).unwrap();
    same_files(&other, &disk.root.join("archives/a"));
}

#[test]
fn what_was_left_is_listed_and_cleared_away() {
    let disk = Disk::new();
    let store = disk.store();
    stopped_after(&store, &disk.file("original", SIZE), 1);
    std::fs::create_dir(disk.root.join("rows")).unwrap();
    for name in [
        ".b.json.tmp",
        ".c.json.part",
        ".tmp",
        ".part",
        ".hidden",
        "d.json.tmp",
    ] {
        std::fs::write(disk.root.join("rows").join(name), "x").unwrap();
    }
    let mut left = store.unfinished("").unwrap();
    left.sort_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<_> = left.iter().map(|one| &*one.key).collect();
    assert_eq!(keys, ["archives/a", "rows/b.json", "rows/c.json"]);
    assert_eq!(store.unfinished("rows").unwrap().len(), 2);
    let objects: Vec<_> = store.list("").unwrap().into_iter().map(|one| one.key).collect();
    assert_eq!(objects, ["rows/d.json.tmp"]);
    for one in &left {
        store.abort(one).unwrap();
        store.abort(one).unwrap();
    }
    assert_eq!(store.unfinished("").unwrap(), []);
    assert!(disk.root.join("rows/.hidden").exists());
    // Whoever asks to abort something else deletes nothing.
    let lie = Unfinished {
        key: "rows/b.json".to_owned(),
        upload_id: "d.json.tmp".to_owned(),
        started: None,
    };
    assert_eq!(store.abort(&lie).unwrap_err().code, Code::Usage);
    assert!(disk.root.join("rows/d.json.tmp").exists());
}

#[test]
fn names_and_links_of_others_do_no_harm() {
    let disk = Disk::new();
    let store = disk.store();
    let secret = disk.file("secret", 100);
    let rows = disk.root.join("rows");
    std::fs::create_dir(&rows).unwrap();
    store.put("rows/real.json", b"x", None).unwrap();
    symlink(&secret, rows.join("link.json")).unwrap();
    symlink(disk.dir.path(), disk.root.join("archives")).unwrap();
    std::fs::create_dir(rows.join("folder.json")).unwrap();
    std::fs::write(rows.join(std::ffi::OsStr::from_bytes(b"bad\xff")), "x").unwrap();
    assert!(
        std::process::Command::new(crate::support::tool("mkfifo"))
            .arg(rows.join("pipe.json"))
            .status()
            .unwrap()
            .success()
    );
    let keys: Vec<_> = store
        .list("")
        .unwrap()
        .into_iter()
        .map(|object| object.key)
        .collect();
    assert_eq!(keys, ["rows/real.json"]);
    for key in ["rows/link.json", "rows/folder.json", "rows/pipe.json"] {
        let error = store.get(key, 1_000).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("remote disk: read {}/{key}: ", disk.root.display())),
            "{error}"
        );
    }
    // A link in place of a folder is not followed, neither to read nor to write.
    let error = store.put("archives/a", b"x", None).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/archives/a: a link or a file stands in the place of its folder"),
        "{error}"
    );
    assert!(store.get("archives/secret", 1_000).is_err());
    assert!(!disk.dir.path().join("a").exists());
    // A link in place of a file is replaced, and what it led to stays.
    store.put("rows/link.json", b"new", None).unwrap();
    assert_eq!(std::fs::metadata(&secret).unwrap().len(), 100);
    assert_eq!(store.get("rows/link.json", 10).unwrap().unwrap(), b"new");
    // The same for the file aside.
    let aside = rows.join(".up.part");
    symlink(&secret, &aside).unwrap();
    assert!(upload(&store, "rows/up", &disk.file("original", 10)).is_err());
    assert_eq!(std::fs::metadata(&secret).unwrap().len(), 100);
}

#[test]
fn a_folder_that_is_not_mounted_is_not_made() {
    let disk = Disk::new();
    std::fs::remove_dir(&disk.root).unwrap();
    let store = disk.store();
    let file = disk.file("original", 10);
    for error in [
        store.list("").unwrap_err(),
        store.get("rows/a", 10).unwrap_err(),
        store.put("rows/a", b"x", None).unwrap_err(),
        upload(&store, "archives/a", &file).unwrap_err(),
    ] {
        assert_eq!(error.code, Code::NotFound);
        assert!(
            error.to_string().contains("remote disk: open the folder") && error.remedy.is_some(),
            "{error}"
        );
    }
    assert!(!disk.root.exists());
}

#[test]
fn who_puts_new_into_a_folder_second_changes_nothing() {
    let disk = Disk::new();
    let store = disk.store();
    assert!(store.put_new("marker", b"1", None).unwrap());
    let won = (0..4)
        .filter(|_| disk.store().put_new("marker", b"2", None).unwrap())
        .count();
    assert_eq!(won, 0);
    assert_eq!(store.get("marker", 10).unwrap().unwrap(), b"1");
}

#[test]
fn a_slow_folder_gets_all_of_it_too() {
    let disk = Disk::new();
    let mut remote = disk.remote();
    remote.rate = Some(2_000_000);
    let file = disk.file("original", SIZE);
    upload(&open(&remote), "archives/a", &file).unwrap();
    same_files(&file, &disk.root.join("archives/a"));
}
