//! JSON documents, quiet and verbose, completions, manual, help, init: what scripts and people hold on to.

use std::process::Command;

use serde_json::Value;

use crate::support::{App, Run, cofre_binary, run, tool};

fn bare(args: &[&str]) -> Run {
    run(Command::new(cofre_binary()).env_remove("COFRE_CONFIG").args(args))
}

/// Every command of the manual.
const COMMANDS: [&str; 17] = [
    "init",
    "create",
    "list",
    "show",
    "status",
    "diff",
    "verify",
    "restore",
    "pin",
    "unpin",
    "delete",
    "prune",
    "rebuild",
    "doctor",
    "component",
    "completions",
    "man",
];

#[test]
fn create_and_list_print_the_records_of_the_catalog() {
    let app = App::small();
    let record = app.json(&["create", "--type", "weekly", "--plan", "semanal"]);
    for (field, value) in [
        ("id", Value::from(1)),
        ("type", "weekly".into()),
        ("plan", "semanal".into()),
        ("error", Value::Null),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
    assert!(record["name"].as_str().unwrap().ends_with("_weekly"));
    let list = app.json(&["list"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    let rows = app.history();
    for (field, value) in rows[0].as_object().unwrap() {
        assert_eq!(&list[0][field], value, "{field}");
    }
}

#[test]
fn status_prints_the_totals() {
    let app = App::small();
    let empty = app.json(&["status"]);
    assert_eq!(
        (empty["total_backups"].as_u64(), &empty["last_backup"]),
        (Some(0), &Value::Null),
        "{empty}"
    );
    let record = app.create();
    let status = app.json(&["status"]);
    let size = record["size"].as_u64().unwrap();
    for (field, value) in [
        ("total_backups", Value::from(1)),
        ("completed_backups", 1.into()),
        ("failed_backups", 0.into()),
        ("total_size_bytes", size.into()),
        ("max_backups", 30.into()),
    ] {
        assert_eq!(status[field], value, "{field} of {status}");
    }
    assert_eq!(status["last_backup"]["id"], 1);
    assert!(
        status["total_size_mb"].is_number() && status["backup_dir"].is_string(),
        "{status}"
    );
}

#[test]
fn restore_prints_where_it_is_and_what_it_was() {
    let app = App::small();
    app.create();
    let target = app.path("restored");
    let result = app.json(&["restore", "latest", "--to", target.to_str().unwrap()]);
    assert_eq!(result["success"], true);
    assert_eq!(result["restore_path"].as_str(), target.to_str());
    assert_eq!(
        (result["backup"]["id"].as_u64(), result["metadata"]["id"].as_u64()),
        (Some(1), Some(1)),
        "{result}"
    );
}

#[test]
fn errors_are_one_json_document_too() {
    let app = App::small();
    for (args, code, word) in [
        (vec!["--json", "show", "99"], 4, "not_found"),
        (vec!["--json", "create", "--type", "a/b"], 2, "usage"),
        (
            vec!["--json", "--config", "/nowhere.toml", "list"],
            2,
            "invalid_config",
        ),
    ] {
        let run = if args.contains(&"--config") {
            bare(&args)
        } else {
            app.cofre(&args)
        };
        let error = run.exits(code).json();
        assert_eq!(
            (&error["success"], error["code"].as_str()),
            (&Value::Bool(false), Some(word)),
            "{error}"
        );
        assert!(
            error["message"].as_str().is_some_and(|text| !text.is_empty()),
            "{error}"
        );
    }
}

#[test]
fn quiet_is_quiet_on_standard_error_and_logs_go_there() {
    let app = App::small();
    let quiet = app.cofre(&["-q", "create"]).exits(0);
    assert_eq!(quiet.stderr, "", "{quiet}");
    let verbose = app.cofre(&["-v", "--json", "create"]).exits(0);
    verbose.json();
    assert!(!verbose.stderr.is_empty(), "{verbose}");
}

#[test]
fn the_configuration_comes_from_the_option_the_environment_or_the_folder() {
    let app = App::small();
    run(Command::new(cofre_binary())
        .env_remove("COFRE_CONFIG")
        .current_dir(app.root())
        .arg("create"))
    .exits(0);
    run(Command::new(cofre_binary())
        .env("COFRE_CONFIG", app.path("cofre.toml"))
        .arg("create"))
    .exits(0);
    assert_eq!(app.history().len(), 2);
}

#[test]
fn create_works_without_a_configuration() {
    let app = App::sample();
    std::fs::remove_file(app.path("cofre.toml")).unwrap();
    let to = app.path("cofres");
    let run = run(Command::new(cofre_binary())
        .env_remove("COFRE_CONFIG")
        .current_dir(app.root())
        .args([
            "create",
            "--static",
            "static",
            "--files",
            "logs=logs",
            "--sqlite",
            "app.db",
            "--to",
            "cofres",
        ]));
    run.exits(0);
    let archives = std::fs::read_dir(&to).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|extension| extension == "zip")
    });
    assert_eq!(archives.count(), 1);
}

#[test]
fn init_writes_a_configuration_that_works_for_the_sample() {
    let app = App::sample();
    std::fs::remove_file(app.path("cofre.toml")).unwrap();
    run(Command::new(cofre_binary())
        .env_remove("COFRE_CONFIG")
        .current_dir(app.root())
        .arg("init"))
    .exits(0);
    let toml = std::fs::read_to_string(app.path("cofre.toml")).unwrap();
    assert!(
        toml.contains("sqlite:app.db") && toml.contains("static") && toml.contains("requirements.txt"),
        "{toml}"
    );
    app.create();
    app.cofre(&["verify"]).exits(0);
    let again = run(Command::new(cofre_binary())
        .env_remove("COFRE_CONFIG")
        .current_dir(app.root())
        .arg("init"));
    assert_ne!(
        again.code,
        Some(0),
        "an existing configuration is not overwritten: {again}"
    );
    assert_eq!(std::fs::read_to_string(app.path("cofre.toml")).unwrap(), toml);
}

#[test]
fn completions_know_every_command_in_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = bare(&["completions", shell]).exits(0);
        for command in COMMANDS {
            assert!(script.stdout.contains(command), "{command} in {shell}");
        }
    }
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), bare(&["completions", "bash"]).exits(0).stdout).unwrap();
    run(Command::new(tool("bash")).arg("-n").arg(script.path())).exits(0);
}

#[test]
fn the_manual_page_names_every_command() {
    let page = bare(&["man"]).exits(0).says(".TH");
    for command in COMMANDS {
        assert!(page.stdout.contains(command), "{command}");
    }
}

#[test]
fn every_command_has_help() {
    for command in COMMANDS.into_iter().chain(["config"]) {
        bare(&[command, "--help"]).exits(0).says("Usage:").says(command);
    }
    bare(&["--version"]).exits(0).says("cofre ");
}

#[test]
fn component_prints_its_digest_and_imports_and_writes_the_same_bytes() {
    let component: Value = bare(&["--json", "component"]).exits(0).json();
    let imports = component["imports"]
        .as_array()
        .expect("imports")
        .iter()
        .map(|i| i.as_str().unwrap());
    for import in imports {
        let known = [
            "wasi:cli/",
            "wasi:clocks/",
            "wasi:filesystem/",
            "wasi:io/",
            "wasi:random/",
        ];
        assert!(known.iter().any(|prefix| import.starts_with(prefix)), "{import}");
    }
    let dir = tempfile::tempdir().unwrap();
    let wasm = dir.path().join("cofre.wasm");
    bare(&["component", "--output", wasm.to_str().unwrap()]).exits(0);
    let sum = run(Command::new(tool("sha256sum")).arg(&wasm)).exits(0).stdout;
    let digest = component["digest"].as_str().unwrap();
    assert!(
        sum.starts_with(digest.trim_start_matches("sha256:")),
        "{sum} is not {digest}"
    );
}

#[test]
fn ctrl_c_and_sigterm_cancel_cleanly_with_9() {
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let app = App::new();
        app.write(
            "static/grande.bin",
            &crate::support::Rng::fixed(5).bytes(400 << 20),
        );
        let mut child = crate::support::spawn(&mut app.command(&["create"]));
        while !app.backups().is_dir()
            || !app
                .backup_files()
                .iter()
                .any(|name| name.ends_with(".zip.partial"))
        {
            assert!(
                child.try_wait().unwrap().is_none(),
                "the run ended before it could be cancelled"
            );
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(9), "{signal:?}");
        app.assert_no_leftovers();
        assert_eq!(app.history()[0]["status"], "cancelled");
        assert!(app.archives().is_empty());
    }
}
