//! `cofre key new`: keys that age's own programs take, for their owner alone, and no secret on the way.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::{App, Run, run, tool};

/// A folder without a configuration: the command needs none.
fn keys() -> (App, Value) {
    let app = App::blank();
    let made = app.json(&["key", "new", app.path("keys").to_str().unwrap()]);
    (app, made)
}

fn text<'a>(made: &'a Value, key: &str) -> &'a str {
    made[key].as_str().unwrap_or_else(|| panic!("no {key} in {made}"))
}

fn age(app: &App, program: &str, args: &[&str]) -> Run {
    run(Command::new(tool(program)).args(args).current_dir(app.root())).exits(0)
}

/// What must not be seen anywhere else, out of both files.
fn secrets(dir: &Path) -> Vec<String> {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
    let (identity, signing) = (read("cofre-identity.txt"), read("cofre-signing.key"));
    let secrets: Vec<_> = identity
        .lines()
        .chain(signing.lines())
        .filter(|line| !line.starts_with(['#', '-']))
        .map(|line| line[24..].to_owned())
        .collect();
    assert_eq!(secrets.len(), 2);
    secrets
}

#[test]
fn age_takes_the_identity_and_its_public_key() {
    let (app, made) = keys();
    assert_eq!(made["success"], true);
    let (identity, recipient) = (text(&made, "identity_file"), text(&made, "recipient"));
    let public = age(&app, "age-keygen", &["-y", identity]);
    assert_eq!(public.stdout.trim(), recipient);
    app.write("in", b"archive");
    age(&app, "age", &["-r", recipient, "-o", "sealed", "in"]);
    age(&app, "age", &["-d", "-i", identity, "-o", "out", "sealed"]);
    assert_eq!(std::fs::read(app.path("out")).unwrap(), b"archive");
}

#[test]
fn openssl_takes_the_signing_key_and_finds_its_public_half_in_the_identity_file() {
    let (app, made) = keys();
    let (signing, public) = (text(&made, "signing_key_file"), text(&made, "verify_key"));
    let pem = age(&app, "openssl", &["pkey", "-in", signing, "-pubout"]);
    // The last 32 bytes of the public key's 44.
    let base64 = pem.stdout.lines().nth(1).unwrap();
    app.write("public.b64", base64.as_bytes());
    let script = "import base64,sys; print(base64.b64encode(base64.b64decode(open('public.b64').read())[12:]).decode())";
    assert_eq!(age(&app, "python3", &["-c", script]).stdout.trim(), public);
    let identity = std::fs::read_to_string(text(&made, "identity_file")).unwrap();
    assert!(identity.contains(&format!("\n# cofre verify key: {public}\n")));
}

#[test]
fn the_files_are_for_their_owner_alone_and_no_secret_is_printed() {
    let app = App::blank();
    let dir = app.path("keys");
    for json in [false, true] {
        // The widest umask, and all that can be logged.
        let mut command = app.command(&["-vvv", "key", "new", dir.to_str().unwrap()]);
        if json {
            command.arg("--json");
        }
        let mut wide = Command::new(tool("sh"));
        wide.args(["-c", "umask 000; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        let ended = run(wide.env_remove("COFRE_CONFIG")).exits(0);
        let modes = ["", "cofre-identity.txt", "cofre-signing.key"].map(|name| {
            let meta = std::fs::metadata(dir.join(name)).unwrap();
            meta.mode() & 0o7777
        });
        assert_eq!(modes, [0o700, 0o600, 0o600]);
        let ended = secrets(&dir)
            .iter()
            .fold(ended, |ended, secret| ended.never_says(secret))
            .never_says("AGE-SECRET-KEY")
            .never_says("PRIVATE KEY");
        if !json {
            let recipient = "recipients       = [\"age1";
            ended
                .says(recipient)
                .says("signing_key_file = \"/")
                .says("cofre-identity.txt");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn keys_that_exist_are_never_replaced() {
    let (app, made) = keys();
    let files = ["identity_file", "signing_key_file"].map(|key| text(&made, key));
    let before = files.map(|file| std::fs::read(file).unwrap());
    let dir = app.path("keys");
    let again = app.cofre(&["key", "new", dir.to_str().unwrap()]).exits(10);
    let again = again
        .says("exists and is left as it is")
        .says("name another folder");
    secrets(&dir)
        .iter()
        .fold(again, |again, secret| again.never_says(secret));
    // Neither with only one of them.
    std::fs::remove_file(files[0]).unwrap();
    let error = app
        .cofre(&["--json", "key", "new", dir.to_str().unwrap()])
        .exits(10)
        .json();
    assert_eq!(error["code"], "already_exists");
    assert!(!Path::new(files[0]).exists());
    assert_eq!(std::fs::read(files[1]).unwrap(), before[1]);
}

#[test]
fn wrong_arguments_are_a_matter_of_usage() {
    let app = App::blank();
    app.cofre(&["key"]).exits(2);
    app.cofre(&["key", "new"]).exits(2).says("DIR");
    app.cofre(&["key", "new", app.path("a/b").to_str().unwrap()])
        .exits(10)
        .says("No such file or directory");
}
