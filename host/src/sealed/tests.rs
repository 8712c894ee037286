//! Archives that are encrypted while somebody reads them, by rows that were looked up before, and what is staged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::backup::{self, CreateOptions};
use crate::config::Config;
use crate::context::Context;
use crate::engine::Control;
use crate::engine::wit::types::Backup;
use crate::{crypt, drill, verify};

/// A context with one plain backup, and its row; the keys are beside it.
fn with_backup(dir: &Path) -> (Context, Backup) {
    std::fs::create_dir(dir.join("static")).unwrap();
    std::fs::write(dir.join("static/a.txt"), "a").unwrap();
    let keys = crypt::create(&dir.join("keys"), "2026-11-29").unwrap();
    let text = format!(
        "[sources.static]\npath = \"static\"\n[encryption]\nrecipients = [\"{}\"]\n",
        keys.recipient
    );
    let context = Context::new(Config::parse(&text, dir).unwrap()).unwrap();
    let options = CreateOptions {
        backup_type: "manual".to_owned(),
        plan: "manual".to_owned(),
        full: false,
        dry_run: false,
        new_history: false,
    };
    backup::create(&context, &options, &mut Control::default(), &mut |_| ()).unwrap();
    let row = context.reader().unwrap().find("1".to_owned()).unwrap();
    assert!(!row.encrypted);
    (context, row)
}

/// Encrypts what is there, as the next run would.
fn seal(context: &mut Context) {
    context.config.encryption.encrypt_local = true;
    let exclusive = context.exclusive().unwrap();
    assert_eq!(seal_all(context, &exclusive, 2, &AtomicBool::new(false)), None);
}

#[test]
fn an_archive_that_is_encrypted_after_it_was_looked_up_is_not_taken_for_a_damaged_one() {
    let temp = tempfile::tempdir().unwrap();
    let (mut context, row) = with_backup(temp.path());
    seal(&mut context);
    let verified = verify::verify(&context, row.clone(), false, &mut Control::default()).unwrap();
    assert_eq!(verified.verification.status, WHOLE, "{verified:?}");
    let error = drill::drill(&context, row.clone(), &mut Control::default()).unwrap_err();
    assert_eq!(error.code, Code::Encrypted, "{error}");
    context.config.encryption.identity_file = Some(temp.path().join("keys/cofre-identity.txt"));
    let verified = verify::verify(&context, row.clone(), false, &mut Control::default()).unwrap();
    assert_eq!(verified.verification.status, "verified", "{verified:?}");
    let drilled = drill::drill(&context, row, &mut Control::default()).unwrap();
    assert_eq!(drilled.report.status, drill::PASSED, "{drilled:?}");
}

#[test]
fn what_is_open_is_for_its_owner_alone_and_gone_afterwards() {
    use std::os::unix::fs::PermissionsExt as _;
    let temp = tempfile::tempdir().unwrap();
    let (mut context, _) = with_backup(temp.path());
    seal(&mut context);
    context.config.encryption.identity_file = Some(temp.path().join("keys/cofre-identity.txt"));
    let row = context.reader().unwrap().find("1".to_owned()).unwrap();
    let opened = open(&context, &[&row, &row], &AtomicBool::new(false))
        .unwrap()
        .unwrap();
    let folder = opened.context().config.backup_dir.clone();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // Files have the mode that the program's umask leaves; nobody else gets as far.
    assert_eq!(mode(&folder), 0o700);
    assert!(folder.join(Form::Plain.file(&row.name)).exists());
    drop(opened);
    assert!(!folder.exists());
    let cancelled = open(&context, &[&row], &AtomicBool::new(true)).unwrap_err();
    assert_eq!(cancelled.code, Code::Cancelled);
    let left = std::fs::read_dir(temp.path().join(".cofre/staging"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "nothing stays open");
}
