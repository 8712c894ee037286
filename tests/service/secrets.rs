//! Nothing secret shows anywhere, and files with secrets that others can read are named.

use std::os::unix::fs::PermissionsExt as _;

use crate::auth::{JWT, KEY, ROUTES, secret_file, session};
use crate::http::Reply;
use crate::process::Service;
use crate::receiver::{Answer, Receiver};
use crate::site::{Extra, Site, admin, viewer};

#[test]
fn nothing_secret_shows_in_log_process_list_metrics_or_answers() {
    let receiver = Receiver::answering(|_, _| Answer::Status(500));
    let (path, signing, ping) = (
        "/gancho/tok3n-no-caminho",
        "segr3do-da-assinatura",
        "/pulso/0b9e-uuid",
    );
    let tables = format!(
        "{JWT}[[webhooks]]\nname = \"painel\"\nurl = \"{}\"\nsecret_file = \"hook.key\"\n\
         [[schedules]]\nname = \"daily\"\nat = \"02:00\"\nping_url = \"{}\"\n[log]\nlevel = \"debug\"\nfile = \"cofre.log\"\n",
        receiver.url(path),
        receiver.url(ping),
    );
    let site = Site::with(Extra {
        tables: &tables,
        ..Extra::default()
    });
    secret_file(&site, "jwt.key", KEY);
    secret_file(&site, "hook.key", signing);
    let toml = site.app.path("cofre.toml");
    std::fs::set_permissions(toml, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut service = Service::start(&site);
    let (session, guess) = (session("admin"), "cofre_quase_o_token_certo_0123456789");
    let secrets = [
        path, signing, ping, KEY, &session, guess, "tok3n", "segr3do", "0b9e",
    ];
    for secret in secrets {
        service.secret(secret);
    }
    let mut answers = Vec::new();
    for token in [admin(), viewer(), &session, guess] {
        for route in ROUTES
            .iter()
            .filter(|(method, path)| *method != "HEAD" && !path.ends_with("progresso"))
        {
            let call = site.anonymous(route.0, route.1).bearer(token);
            answers.push(call.send());
        }
    }
    // In the query, where it has no business, it is not logged either.
    let stray = format!("/api/backup/status?token={guess}&access_token={session}");
    answers.push(site.call("GET", &stray).send());
    site.app.cofre(&["create", "--plan", "daily"]).exits(0);
    // The failed deliveries are logged.
    receiver.wait_for(2);
    service.logs(&["painel", "500"]);
    let webhook = site.app.cofre(&["webhook", "test", "painel"]);
    let json = site.app.cofre(&["--json", "webhook", "test", "painel"]);
    let doctor = site.app.cofre(&["doctor"]);
    let check = site.app.cofre(&["config", "check"]);

    let cmdline = std::fs::read(format!("/proc/{}/cmdline", service.pid())).unwrap();
    let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
    let log = std::fs::read_to_string(site.app.path("cofre.log")).unwrap();
    assert!(log.contains("painel"), "the log file has the failure too: {log}");
    let metrics = site.anonymous("GET", "/metrics").bearer(viewer()).send().text();
    let mut shown = vec![cmdline, log, metrics, service.log()];
    shown.extend(answers.iter().map(Reply::text));
    for run in [webhook, json, doctor, check] {
        shown.push(run.stdout);
        shown.push(run.stderr);
    }
    for text in shown {
        for secret in secrets.iter().chain(&[admin(), viewer()]) {
            assert!(!text.contains(secret), "{secret} is shown in: {text}");
        }
    }
}

#[test]
fn files_with_secrets_that_others_can_read_are_warned_about() {
    let tables = format!("{JWT}[[webhooks]]\nurl_file = \"hook.url\"\nsecret_file = \"hook.key\"\n");
    let site = Site::with(Extra {
        tables: &tables,
        ..Extra::default()
    });
    for (name, text) in [
        ("jwt.key", KEY),
        ("hook.url", "https://example.org/x"),
        ("hook.key", "k"),
    ] {
        site.app.write(name, text.as_bytes());
        std::fs::set_permissions(site.app.path(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let service = Service::start(&site);
    for name in ["jwt.key", "hook.url", "hook.key"] {
        let line = service.logs(&["WARN", name]);
        assert!(!line.contains(KEY), "{line}");
    }
    assert!(!service.log().contains("example.org/x"));
}
