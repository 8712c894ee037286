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

/// Exchanges the encrypted archive for something that anybody can make who knows the public key.
pub(super) fn forge(vault: &Vault, record: &Value) {
    let path = vault.sealed(record);
    std::fs::remove_file(&path).unwrap();
    let junk = vault.app.path("junk");
    std::fs::write(&junk, b"something else").unwrap();
    run(Command::new(tool("age"))
        .args(["-r", &vault.recipient, "-o"])
        .arg(&path)
        .arg(junk))
    .exits(0);
    let name = path.file_name().unwrap().to_str().unwrap();
    let line = format!("{}  {name}\n", digest(&std::fs::read(&path).unwrap()));
    std::fs::write(sidecar(vault, record), line).unwrap();
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
fn beside_a_plain_one_it_is_encrypted_anew_whatever_it_is() {
    type Break = fn(&Vault, &Value);
    let breaks: [Break; 6] = [
        |_, _| {},
        // Whole, by a checksum of its own, and something else.
        forge,
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
