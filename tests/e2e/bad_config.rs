//! Configurations and arguments that are wrong: exit code 2, and a message that names the key, the value and the
//! way out. Nothing is written.

use crate::support::{App, cofre_binary, run};

/// `create` refuses a configuration and says each of the fragments.
fn refused(toml: &str, fragments: &[&str]) {
    let app = App::small();
    app.config(toml);
    let mut run = app.cofre(&["create"]).exits(2);
    for fragment in fragments {
        run = run.says(fragment);
    }
    assert!(
        !app.backups().exists(),
        "nothing is made from a wrong configuration"
    );
    app.cofre(&["config", "check"]).exits(2).says(fragments[0]);
}

const STATIC: &str = "[sources.static]\npath = \"static\"\n";

#[test]
fn an_unknown_key_is_named_with_a_suggestion() {
    refused(
        &format!("max_backup = 3\n{STATIC}"),
        &["max_backup", "max_backups"],
    );
    refused(&format!("{STATIC}exlude = [\"*.tmp\"]\n"), &["exlude", "exclude"]);
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    refused(&format!("max_backups = \"thirty\"\n{STATIC}"), &["max_backups"]);
    refused(&format!("max_backups = -1\n{STATIC}"), &["max_backups"]);
    refused(&format!("max_backups = 0\n{STATIC}"), &["max_backups"]);
    refused(
        &format!("{STATIC}[archive]\ncompression = \"rar\"\n"),
        &["compression", "rar"],
    );
    refused(&format!("{STATIC}[archive]\nlevel = 99\n"), &["level"]);
}

#[test]
fn two_sources_with_one_name_are_refused() {
    refused(&format!("{STATIC}{STATIC}"), &["static"]);
}

#[test]
fn a_source_with_a_reserved_or_unsafe_name_is_refused() {
    refused("[sources.database]\npath = \"static\"\n", &["database"]);
    refused("[sources.\"../fora\"]\npath = \"static\"\n", &["../fora"]);
    refused(
        "[sources.\"backup_info.json\"]\npath = \"static\"\n",
        &["backup_info.json"],
    );
}

#[test]
fn a_source_with_neither_path_nor_files_or_with_both_is_refused() {
    refused("[sources.static]\n", &["static"]);
    refused(&format!("{STATIC}files = [\"a\"]\n"), &["static"]);
}

#[test]
fn an_impossible_zone_is_named() {
    refused(
        &format!("time_zone = \"America/Sao_Paolo\"\n{STATIC}"),
        &["America/Sao_Paolo"],
    );
}

#[test]
fn an_impossible_path_is_named() {
    refused(
        "backup_dir = \"\"\n[sources.static]\npath = \"static\"\n",
        &["backup_dir"],
    );
    refused("[sources.static]\npath = \"a\\u0000b\"\n", &["path"]);
}

#[test]
fn a_glob_that_does_not_parse_is_named() {
    refused(&format!("{STATIC}exclude = [\"a[\"]\n"), &["a["]);
}

#[test]
fn a_database_url_of_an_unknown_kind_is_named_without_its_password() {
    let app = App::small();
    app.config(&format!(
        "{STATIC}[databases.app]\nurl = \"oracle://ana:segredo@host/db\"\n"
    ));
    app.cofre(&["create"])
        .exits(2)
        .says("oracle")
        .never_says("segredo");
}

#[test]
fn every_problem_is_reported_at_once() {
    let app = App::small();
    app.config(&format!("max_backups = 0\ntime_zone = \"Marte/Base\"\n{STATIC}"));
    app.cofre(&["config", "check"])
        .exits(2)
        .says("max_backups")
        .says("Marte/Base");
}

#[test]
fn text_that_is_not_toml_names_the_line() {
    refused("[sources.static\npath = 1\n", &["line 1"]);
}

#[test]
fn a_missing_configuration_says_how_to_make_one() {
    let app = App::small();
    std::fs::remove_file(app.path("cofre.toml")).unwrap();
    app.cofre(&["create"])
        .exits(2)
        .says("cofre.toml")
        .says("cofre init");
}

#[test]
fn a_type_with_a_slash_a_space_or_capitals_is_refused() {
    let app = App::small();
    for bad in ["a/b", "a b", "Manual", "", "ação", "../x", &"x".repeat(33)] {
        app.cofre(&["create", "--type", bad]).exits(2).says("type");
    }
    assert!(!app.history_path().exists() || app.history().is_empty());
    app.cofre(&["create", "--type", "teste_script-2"]).exits(0);
}

#[test]
fn unknown_commands_and_options_exit_with_2() {
    for args in [
        vec!["cria"],
        vec!["create", "--typo", "x"],
        vec![],
        vec!["restore"],
        vec!["show"],
    ] {
        run(std::process::Command::new(cofre_binary()).args(&args)).exits(2);
    }
}

#[test]
fn a_configuration_with_secrets_that_others_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = App::small();
    app.config(&format!(
        "{STATIC}[databases.app]\nurl = \"postgres://app:segredo@127.0.0.1/app\"\n"
    ));
    let config = app.path("cofre.toml");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    app.cofre(&["config", "check"])
        .says("cofre.toml")
        .says("600")
        .never_says("segredo");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o600)).unwrap();
    app.cofre(&["config", "check"]).exits(0).never_says("600");
}

#[test]
fn a_target_below_a_folder_that_is_not_there_is_a_wrong_argument() {
    let app = App::small();
    app.create();
    let to = app.path("nada/alvo");
    app.cofre(&["restore", "latest", "--to", to.to_str().unwrap()])
        .exits(2)
        .says("nada does not exist");
}

#[test]
fn a_run_that_would_save_nothing_is_refused_and_the_check_says_so() {
    let app = App::small();
    app.config(&format!("[backup]\nfiles = false\n{STATIC}"));
    app.cofre(&["config", "check"]).exits(2).says("switched off");
    app.cofre(&["create"]).exits(2).says("switched off");
}
