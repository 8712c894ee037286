//! The definition of the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use clap::{CommandFactory as _, Parser as _};

use super::args::{Args, Command, EXIT_CODES};
use crate::error::Code;

#[test]
fn the_definition_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn every_command_lists_its_exit_codes() {
    for command in Args::command().get_subcommands() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            help.contains("Exit codes:\n   0  done\n   2  "),
            "{}: {help}",
            command.get_name()
        );
    }
}

#[test]
fn every_code_of_an_error_is_in_the_table_of_exit_codes() {
    let codes = [
        Code::Usage,
        Code::NotFound,
        Code::VerifyFailed,
        Code::Busy,
        Code::NoSpace,
        Code::Sandbox,
        Code::Cancelled,
        Code::Internal,
    ];
    for code in codes {
        assert!(EXIT_CODES.iter().any(|(n, _)| *n == code.exit()), "{code:?}");
    }
}

#[test]
fn create_without_configuration_takes_folders_by_name() {
    let args = Args::try_parse_from([
        "cofre",
        "create",
        "--files",
        "up=/srv/a=b",
        "--sqlite",
        "x.db",
        "--to",
        "b",
    ]);
    let Command::Create(create) = args.unwrap().command else {
        panic!("create")
    };
    assert_eq!(create.files, [("up".to_owned(), "/srv/a=b".into())]);
}

#[test]
fn options_without_to_are_refused() {
    assert!(Args::try_parse_from(["cofre", "create", "--static", "s"]).is_err());
    assert!(Args::try_parse_from(["cofre", "create", "--files", "noequals", "--to", "b"]).is_err());
}

#[test]
fn verify_takes_ids_or_all() {
    assert!(Args::try_parse_from(["cofre", "verify", "--all", "3"]).is_err());
    assert!(Args::try_parse_from(["cofre", "verify", "3", "latest", "--quick"]).is_ok());
}

#[test]
fn completions_exist_for_each_shell_and_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let Command::Completions(args) = Args::try_parse_from(["cofre", "completions", shell])
            .unwrap()
            .command
        else {
            panic!("completions")
        };
        let mut script = Vec::new();
        clap_complete::generate(args.shell, &mut Args::command(), "cofre", &mut script);
        assert!(String::from_utf8(script).unwrap().contains("rebuild"), "{shell}");
    }
}
