//! What a kill between the steps of the encryption leaves, and what the next run makes of it. Each state is laid out as it
//! is between two of the steps; `tests/faults` kills at every single call.

use super::*;

/// A backup in both forms.
fn both() -> (Vault, Value) {
    let vault = Vault::new();
    let record = vault.app.create();
    let bytes = vault.opened(&record);
    let name = record["name"].as_str().unwrap();
    let line = format!("{}  {name}.zip\n", digest(&bytes));
    std::fs::write(vault.app.archive(&record), bytes).unwrap();
    vault
        .app
        .write(format!("backups/{name}.zip.sha256"), line.as_bytes());
    (vault, record)
}

fn sidecar(vault: &Vault, record: &Value) -> PathBuf {
    PathBuf::from(format!("{}.sha256", vault.sealed(record).to_str().unwrap()))
}

#[test]
fn with_both_the_plain_one_counts_and_can_be_read_without_an_identity() {
    let (vault, record) = both();
    assert_eq!(vault.row(1)["encrypted"], false);
    vault.app.cofre(&["verify"]).exits(0).says("verified, ");
    let to = vault.app.path("out");
    vault
        .app
        .cofre(&["restore", "1", "--to", to.to_str().unwrap()])
        .exits(0);
    vault.app.cofre(&["delete", "1", "--force"]).exits(0);
    assert!(!vault.sealed(&record).exists() && !sidecar(&vault, &record).exists());
    assert!(!vault.app.archive(&record).exists());
}

#[test]
fn a_complete_one_is_kept_as_it_is_and_the_plain_one_goes() {
    let (vault, record) = both();
    let before = std::fs::read(vault.sealed(&record)).unwrap();
    vault.app.create();
    vault.assert_sealed();
    assert_eq!(std::fs::read(vault.sealed(&record)).unwrap(), before);
}

#[test]
fn an_incomplete_one_is_encrypted_anew() {
    type Break = fn(&Vault, &Value);
    let breaks: [Break; 4] = [
        |vault, record| std::fs::remove_file(sidecar(vault, record)).unwrap(),
        |vault, record| flip(&vault.sealed(record)),
        |vault, record| {
            let bytes = std::fs::read(vault.sealed(record)).unwrap();
            std::fs::write(vault.sealed(record), &bytes[..bytes.len() / 2]).unwrap();
        },
        |vault, record| std::fs::write(sidecar(vault, record), b"").unwrap(),
    ];
    for spoil in breaks {
        let (vault, record) = both();
        spoil(&vault, &record);
        vault.app.create();
        vault.assert_sealed();
    }
}

#[test]
fn what_is_half_written_or_left_over_goes() {
    let vault = Vault::new();
    let record = vault.app.create();
    let name = record["name"].as_str().unwrap();
    for left in [
        format!(".{name}.zip.age.partial"),
        format!(".{name}.zip.age.sha256.tmp"),
        // The last thing to go.
        format!("{name}.zip.sha256"),
    ] {
        vault.app.write(format!("backups/{left}"), b"half");
    }
    vault.app.create();
    vault.assert_sealed();
    assert!(!vault.app.backup_files().iter().any(|file| file.ends_with(".tmp")));
}
