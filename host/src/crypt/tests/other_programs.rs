//! The age program of the distribution opens what is encrypted here, and the other way round.

use std::path::Path;
use std::process::{Command, Output};

use super::super::Identity;
use super::{Keys, content, recipients, seal};

fn try_age(dir: &Path, args: &[&str]) -> Output {
    Command::new("age")
        .args(args)
        .current_dir(dir)
        .output()
        .expect("`age` is installed; `.ci/run` lists its Debian package")
}

/// What it prints.
#[track_caller]
fn age(dir: &Path, args: &[&str]) -> Vec<u8> {
    let output = try_age(dir, args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

#[test]
fn age_opens_what_is_encrypted_here_and_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let (keys, second) = (Keys::new(), Keys::new());
    std::fs::write(dir.path().join("id"), &keys.text).unwrap();
    let both = recipients(&[&second.recipient, &keys.recipient]).unwrap();
    for length in [0, 1, 65535, 65536, 65537, 131_072, 300_000] {
        let content = content(length);
        for recipients in [&keys.recipients(), &both] {
            std::fs::write(dir.path().join("ours.age"), seal(recipients, &content)).unwrap();
            // Not with `-o`: no content would make it write no file.
            let opened = age(dir.path(), &["-d", "-i", "id", "ours.age"]);
            assert!(opened == content, "{length}");
        }
        std::fs::write(dir.path().join("in"), &content).unwrap();
        age(
            dir.path(),
            &[
                "-r",
                &second.recipient,
                "-r",
                &keys.recipient,
                "-o",
                "theirs.age",
                "in",
            ],
        );
        let theirs = std::fs::read(dir.path().join("theirs.age")).unwrap();
        assert!(keys.open(&theirs).unwrap() == content, "{length}");
    }
}

#[test]
fn age_refuses_what_is_cut_short_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    std::fs::write(dir.path().join("id"), &keys.text).unwrap();
    let sealed = keys.seal(&content(131_072));
    std::fs::write(dir.path().join("cut.age"), &sealed[..sealed.len() - 65536 - 16]).unwrap();
    assert!(
        !try_age(dir.path(), &["-d", "-i", "id", "-o", "out", "cut.age"])
            .status
            .success()
    );
}

#[test]
fn what_age_writes_as_text_or_locks_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Keys::new();
    std::fs::write(dir.path().join("in"), &keys.text).unwrap();
    age(dir.path(), &["-a", "-r", &keys.recipient, "-o", "armored", "in"]);
    age(dir.path(), &["-r", &keys.recipient, "-o", "binary", "in"]);
    let error = keys.refuses(&std::fs::read(dir.path().join("armored")).unwrap());
    assert!(error.message.contains("armored"), "{error}");
    // An identity file that is encrypted, in both forms.
    for name in ["armored", "binary"] {
        let error = Identity::read(&dir.path().join(name)).unwrap_err();
        assert!(error.message.contains("is itself encrypted"), "{error}");
        assert!(error.remedy.unwrap().contains("age -d"));
    }
}
