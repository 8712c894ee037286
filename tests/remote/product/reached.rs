//! How the program gets in: credentials from where AWS's own tools have them, and TLS.

use std::path::Path;

use super::Machine;
use crate::server::{ADMIN, server};
use crate::site::Site;
use crate::support::{Run, run};

/// `remote push` with these variables and no others of AWS's.
fn push(machine: &Machine, variables: &[(&str, &str)]) -> Run {
    let mut command = machine.app.command(&["remote", "push", "offsite"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("HOME", machine.app.path("nobody"));
    run(command.envs(variables.iter().copied()))
}

/// Takes a key out of the configuration.
fn without(machine: &Machine, key: &str) {
    let path = machine.app.path("cofre.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with(key)).collect();
    assert!(rest.len() < text.lines().count(), "{key}");
    std::fs::write(path, rest.join("\n")).unwrap();
}

#[test]
fn credentials_come_from_where_the_tools_of_aws_have_them() {
    let machine = Machine::new(Site::new());
    machine.app.config("[sources.static]\npath = \"static\"\n");
    machine.app.create();
    machine.configure("");
    without(&machine, "credentials_file");
    push(&machine, &[])
        .exits(2)
        .says("there are no credentials")
        .says("`credentials_file`")
        .says("AWS_ACCESS_KEY_ID");
    let (id, secret) = ADMIN;
    let environment = [("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)];
    push(&machine, &environment).exits(0).says("copied: ");
    let file = machine.app.path("s3.credentials");
    let shared = [("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap())];
    push(&machine, &shared).exits(0);
    machine
        .app
        .write("nobody/.aws/credentials", &std::fs::read(&file).unwrap());
    push(&machine, &[]).exits(0);
    push(&machine, &[("AWS_PROFILE", "other")])
        .exits(2)
        .says("there is no section [other]")
        .says("`profile`");
    // What the configuration says counts for more than what happens to be around.
    machine.configure("");
    let wrong = [("AWS_ACCESS_KEY_ID", "NOBODY"), ("AWS_SECRET_ACCESS_KEY", "no")];
    push(&machine, &wrong).exits(0);
}

#[test]
fn a_server_with_tls_is_believed_as_far_as_somebody_vouches_for_it() {
    let machine = Machine::new(Site::new());
    machine.app.config("[sources.static]\npath = \"static\"\n");
    machine.app.create();
    machine.configure("");
    let config = std::fs::read_to_string(machine.app.path("cofre.toml")).unwrap();
    let with = |url: &str| config.replace(&machine.site.proxy.url(), url);
    machine.app.config(&with(&server().tls_url()));
    push(&machine, &[])
        .exits(10)
        .says("the server's certificate is not trusted")
        .says("add its authority to the system's certificates");
    let trusted: &Path = &server().certificate;
    let variables = [("SSL_CERT_FILE", trusted.to_str().unwrap())];
    push(&machine, &variables).exits(0).says("copied: ");
    // The name has to be right as well.
    machine
        .app
        .config(&with(&server().tls_url().replace("127.0.0.1", "localhost")));
    push(&machine, &variables)
        .exits(10)
        .says("the server's certificate is not trusted");
    // Nor is a server without TLS taken for one with it.
    machine
        .app
        .config(&with(&machine.site.proxy.url().replace("http:", "https:")));
    let said = push(&machine, &variables);
    assert!(matches!(said.code, Some(8 | 10)), "{said}");
}
