//! Files, the environment and the network.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use cofre::engine::{Access, Mounts};
use cofre::{Code, Engine};

use crate::guest::{SECRET, Tree, attempt, build, hostile};

/// Everything about a tree that a guest could change, to compare before and after.
fn snapshot(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let times = (meta.modified().unwrap(), meta.permissions().mode());
        let content = if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        found.push(format!("{} {times:?} {content:?}", path.display()));
        if meta.is_dir() {
            found.extend(snapshot(&path));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_mounted_can_be_read_and_links_within_work() {
    let tree = Tree::new();
    let mut session = tree.session();
    assert_eq!(
        attempt(&mut session, "read /sources/s/file.txt").unwrap(),
        "inside"
    );
    assert_eq!(
        attempt(&mut session, "read-at /sources/s good").unwrap(),
        "inside"
    );
    assert_eq!(attempt(&mut session, "write /backups/new").unwrap(), "written");
    assert_eq!(
        attempt(&mut session, "change-at /backups unlink new").unwrap(),
        "changed"
    );
}

#[test]
fn etc_passwd_and_proc_are_out_of_reach() {
    let tree = Tree::new();
    let mut session = tree.session();
    for path in [
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/fd/0",
        "/dev/null",
        "etc/passwd",
    ] {
        attempt(&mut session, &format!("read {path}")).unwrap_err();
        attempt(&mut session, &format!("read-at /sources/s {path}")).unwrap_err();
    }
    for path in ["/", "/etc", "..", ".", "/sources", "/sources/.."] {
        attempt(&mut session, &format!("list {path}")).unwrap_err();
    }
}

#[test]
fn two_dots_do_not_lead_out() {
    let tree = Tree::new();
    let mut session = tree.session();
    for path in [
        "..",
        "../outside/secret.txt",
        "folder/../../outside/secret.txt",
        "./folder/.././../outside/secret.txt",
        "folder/../../source/../outside/secret.txt",
        "../source/file.txt",
    ] {
        let error = attempt(&mut session, &format!("read-at /sources/s {path}")).unwrap_err();
        assert!(error.contains("not-permitted"), "{path}: {error}");
    }
}

#[test]
fn links_do_not_lead_out() {
    let tree = Tree::new();
    let mut session = tree.session();
    for path in [
        "absolute",
        "relative",
        "absolute-folder",
        "relative-folder",
        "absolute-folder/secret.txt",
        "relative-folder/secret.txt",
        "up",
        "up/outside/secret.txt",
        "up/source/file.txt",
        "folder/../up/outside/secret.txt",
    ] {
        let error = attempt(&mut session, &format!("read-at /sources/s {path}")).unwrap_err();
        assert!(error.contains("not-permitted"), "{path}: {error}");
        attempt(&mut session, &format!("read /sources/s/{path}")).unwrap_err();
    }
}

#[test]
fn links_that_the_guest_makes_do_not_lead_out_either() {
    for target in [
        "/etc/passwd",
        "../outside/secret.txt",
        "../outside",
        "..",
        "file.txt/../../outside",
    ] {
        let tree = Tree::new();
        let mut session = tree.session();
        attempt(&mut session, &format!("read-through /backups {target}")).unwrap_err();
    }
}

#[test]
fn a_source_can_not_be_changed_in_any_way() {
    let tree = Tree::new();
    let before = snapshot(&tree.path("source"));
    let mut session = tree.session();
    let changes = [
        ("open-for-writing", "file.txt"),
        ("create", "evil"),
        ("create-exclusive", "evil"),
        ("create-for-reading", "evil"),
        ("truncate", "file.txt"),
        ("create-below", "folder"),
        ("write-descriptor", "file.txt"),
        ("set-size", "file.txt"),
        ("set-times", "file.txt"),
        ("make-directory", "evil"),
        ("unlink", "file.txt"),
        ("remove-directory", "folder"),
        ("rename", "file.txt"),
        ("link", "file.txt"),
        ("symlink", "file.txt"),
    ];
    for (how, path) in changes {
        let result = attempt(&mut session, &format!("change-at /sources/s {how} {path}"));
        assert!(result.is_err(), "{how} {path}");
    }
    attempt(&mut session, "write /sources/s/file.txt").unwrap_err();
    attempt(&mut session, "write /sources/s/evil").unwrap_err();
    assert_eq!(snapshot(&tree.path("source")), before);
}

#[test]
fn backups_mounted_for_reading_can_not_be_written() {
    let tree = Tree::new();
    let before = snapshot(&tree.path("backups"));
    let mounts = Mounts::new().backups(tree.handle("backups"), Access::ReadOnly);
    let mut session = hostile().open(mounts).unwrap();
    assert_eq!(attempt(&mut session, "read /backups/file.txt").unwrap(), "inside");
    for command in [
        "write /backups/evil",
        "write /backups/file.txt",
        "change-at /backups unlink file.txt",
        "change-at /backups rename file.txt",
        "change-at /backups set-times file.txt",
    ] {
        attempt(&mut session, command).unwrap_err();
    }
    assert_eq!(snapshot(&tree.path("backups")), before);
}

#[test]
fn staging_is_read_only_and_a_target_writable() {
    let tree = Tree::new();
    let mounts = Mounts::new()
        .staging(tree.handle("source"))
        .target(tree.handle("backups"));
    let mut session = hostile().open(mounts).unwrap();
    attempt(&mut session, "write /staging/evil").unwrap_err();
    attempt(&mut session, "write /target/good").unwrap();
}

#[test]
fn a_mount_is_what_its_handle_was_opened_on_whatever_the_name_leads_to_now() {
    let tree = Tree::new();
    let handle = tree.handle("source");
    fs::rename(tree.path("source"), tree.path("moved")).unwrap();
    symlink(tree.path("outside"), tree.path("source")).unwrap();
    let mut session = hostile().open(Mounts::new().source("s", handle)).unwrap();
    assert_eq!(
        attempt(&mut session, "read /sources/s/file.txt").unwrap(),
        "inside"
    );
    attempt(&mut session, "read /sources/s/secret.txt").unwrap_err();
}

#[test]
fn something_that_is_no_directory_can_not_be_mounted() {
    let tree = Tree::new();
    let error = hostile()
        .open(Mounts::new().source("s", tree.handle("source/file.txt")))
        .unwrap_err();
    assert_eq!(error.code, Code::Sandbox);
    assert!(error.message.contains("/sources/s"), "{error}");
}

#[test]
fn one_session_does_not_see_the_mounts_of_another() {
    let tree = Tree::new();
    let _other = tree.session();
    let mut session = hostile().open(Mounts::new()).unwrap();
    attempt(&mut session, "read /sources/s/file.txt").unwrap_err();
    attempt(&mut session, "list /backups").unwrap_err();
}

#[test]
fn the_environment_the_arguments_and_standard_input_are_empty() {
    assert!(std::env::vars().count() > 0, "nothing to hide");
    let tree = Tree::new();
    let mut session = tree.session();
    let error = attempt(&mut session, "environment").unwrap_err();
    assert!(error.ends_with("nothing there"), "{error}");
    assert_eq!(attempt(&mut session, "input").unwrap(), "");
}

#[test]
fn a_component_that_imports_sockets_is_refused_by_the_name_of_the_import() {
    let error = Engine::from_component(&build("sockets")).unwrap_err();
    assert_eq!(error.code, Code::Sandbox);
    assert!(error.message.contains("wasi:sockets/tcp@0.2"), "{error}");
    assert!(!error.message.contains("wasi:filesystem"), "{error}");
}

#[test]
fn the_secret_is_real() {
    let tree = Tree::new();
    assert_eq!(fs::read_to_string(tree.path("source/absolute")).unwrap(), SECRET);
    assert_eq!(
        fs::read_to_string(tree.path("source/up/outside/secret.txt")).unwrap(),
        SECRET
    );
}
