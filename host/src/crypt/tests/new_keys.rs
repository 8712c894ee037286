//! `cofre key new` below the command line: both files or none, never replacing one.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use super::super::{Identity, SigningKey, create};
use super::{open, recipients, seal};
use crate::error::Code;
use crate::testing;

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_two_files_belong_together() {
    let dir = tempfile::tempdir().unwrap();
    let keys = create(&dir.path().join("new"), "2026-11-28").unwrap();
    assert_eq!(
        names(&dir.path().join("new")),
        ["cofre-identity.txt", "cofre-signing.key"]
    );
    assert_eq!(dir.path().join("new").metadata().unwrap().mode() & 0o7777, 0o700);
    for file in [&keys.identity_file, &keys.signing_key_file] {
        assert_eq!(file.metadata().unwrap().mode() & 0o7777, 0o600);
        let text = std::fs::read_to_string(file).unwrap();
        assert!(
            text.starts_with("# cofre ") && text.contains("2026-11-28"),
            "{}",
            text.lines().next().unwrap()
        );
    }
    let identity = Identity::read(&keys.identity_file).unwrap();
    let signing = SigningKey::read(&keys.signing_key_file).unwrap();
    assert_eq!(identity.verify_key(), Some(&keys.verify_key));
    assert_eq!(identity.verify_keys(), [signing.verify_key()]);
    assert_eq!(identity.recipients(), std::slice::from_ref(&keys.recipient));
    assert!(
        identity
            .verify_key()
            .unwrap()
            .verify("d", b"m", &signing.sign("d", b"m"))
    );
    let sealed = seal(&recipients(&[&keys.recipient]).unwrap(), b"text");
    assert_eq!(open(&identity, &sealed).unwrap(), b"text");
    // Taken for each other.
    let error = Identity::read(&keys.signing_key_file).unwrap_err();
    assert!(error.message.contains("is a signing key"), "{error}");
    let error = SigningKey::read(&keys.identity_file).unwrap_err();
    assert!(error.message.contains("has an identity in it"), "{error}");
}

#[test]
fn an_identity_without_a_verify_key_has_none_and_after_a_change_it_has_both() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (
        create(&dir.path().join("a"), "d").unwrap(),
        create(&dir.path().join("b"), "d").unwrap(),
    );
    assert_ne!((&a.recipient, a.verify_key), (&b.recipient, b.verify_key));
    let read = |keys: &super::super::NewKeys| std::fs::read_to_string(&keys.identity_file).unwrap();
    let both = [read(&a), read(&b), read(&a)].concat();
    let identity = Identity::parse(both.as_bytes(), "both").unwrap();
    assert_eq!(identity.verify_keys(), [a.verify_key, b.verify_key]);
    assert_eq!(super::Keys::new().identity.verify_key(), None);
}

#[test]
fn nothing_is_replaced_and_nothing_is_left_beside_what_exists() {
    for name in ["cofre-identity.txt", "cofre-signing.key"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(name), "old").unwrap();
        let error = create(dir.path(), "d").unwrap_err();
        assert_eq!(error.code, Code::AlreadyExists);
        assert!(error.message.contains(name), "{error}");
        assert_eq!(names(dir.path()), [name]);
        assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), b"old");
        // A link to nowhere is something that exists, too.
        std::fs::remove_file(dir.path().join(name)).unwrap();
        symlink(dir.path().join("elsewhere"), dir.path().join(name)).unwrap();
        assert_eq!(create(dir.path(), "d").unwrap_err().code, Code::AlreadyExists);
        assert_eq!(names(dir.path()), [name]);
    }
}

#[test]
fn a_second_file_that_cant_be_written_takes_the_first_one_back() {
    let dir = tempfile::tempdir().unwrap();
    // Where the second one is prepared there is a folder.
    std::fs::create_dir(dir.path().join(".cofre-signing.key.tmp")).unwrap();
    create(dir.path(), "d").unwrap_err();
    assert_eq!(names(dir.path()), [".cofre-signing.key.tmp"]);
}

#[test]
fn folders_that_cant_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    for place in ["missing/new", "file", "file/new"] {
        let error = create(&dir.path().join(place), "d").unwrap_err();
        assert!(
            error.message.contains("file") || error.message.contains("missing/new"),
            "{error}"
        );
    }
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn a_folder_of_others_is_refused() {
    testing::as_nobody_after(
        "crypt::tests::new_keys::a_folder_of_others_is_refused",
        |work| std::fs::create_dir(work.join("theirs")).unwrap(),
        |work| {
            // Made by root where there is one, and otherwise by this very user.
            let theirs = work.join("theirs");
            let _ = std::fs::set_permissions(&theirs, std::os::unix::fs::PermissionsExt::from_mode(0o555));
            let error = create(&theirs, "d").unwrap_err();
            assert_eq!(error.code, Code::AccessDenied, "{error}");
            assert_eq!(names(&theirs), Vec::<String>::new());
        },
    );
}
