//! The tables of schedule, hooks, checks, API and webhooks: read and checked with the rest, so that a wrong
//! key is found when the file is written and not at night.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::document::Section;
use super::parts::{one_of, path, secret_file};
use super::{Api, Drill, Hooks, Jwt, Role, Schedule, Secret, Token, VerifyPlan, Webhook, value};

/// Every event that a webhook can be told of.
const EVENTS: [&str; 6] = [
    "backup_completed",
    "backup_partial",
    "backup_failed",
    "verify_failed",
    "drill_failed",
    "backup_stale",
];

const ALGORITHMS: [&str; 9] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA",
];

pub(super) fn hooks(root: &Section<'_>) -> Hooks {
    let default = Duration::from_secs(300);
    let Some(table) = root.section("hooks") else {
        return Hooks {
            before: Vec::new(),
            after: Vec::new(),
            timeout: default,
        };
    };
    let hooks = Hooks {
        before: argv(&table, "before"),
        after: argv(&table, "after"),
        timeout: table.parsed("timeout", value::positive).unwrap_or(default),
    };
    table.finish();
    hooks
}

fn argv(table: &Section<'_>, key: &'static str) -> Vec<String> {
    let argv = table.strings(key).unwrap_or_default();
    if argv
        .first()
        .is_some_and(|program| program.is_empty() || program.contains(char::is_whitespace))
    {
        let hint = "write program and arguments one by one, such as `[\"systemctl\", \"reload\", \"app\"]`";
        table.problem(key, "the first item has to be a program", Some(hint.into()));
    }
    if argv.iter().any(|arg| arg.contains('\0')) {
        table.problem(key, "an argument can't contain a NUL character", None);
    }
    argv
}

pub(super) fn schedules(root: &Section<'_>) -> Vec<Schedule> {
    let mut schedules: Vec<Schedule> = Vec::new();
    for table in root.list("schedules") {
        let name = required(&table, "name", table.parsed("name", value::name_of_run));
        let backup_type = table
            .parsed("type", value::name_of_run)
            .unwrap_or_else(|| "automated".into());
        let at = required(&table, "at", table.parsed("at", value::at));
        let full = table.boolean("full").unwrap_or(false);
        if name.as_deref() == Some("manual") {
            table.problem(
                "name",
                "`manual` is the plan of runs by hand",
                Some("choose another name".into()),
            );
        }
        if schedules.iter().any(|s| Some(&s.name) == name.as_ref()) {
            table.problem(
                "name",
                "another schedule has this name",
                Some("choose another name".into()),
            );
        }
        if let (Some(name), Some(at)) = (name, at) {
            schedules.push(Schedule {
                name,
                backup_type,
                at,
                full,
            });
        }
        table.finish();
    }
    schedules
}

fn required<T>(table: &Section<'_>, key: &'static str, value: Option<T>) -> Option<T> {
    if !table.has(key) {
        table.problem(key, "is missing", None);
    }
    value
}

pub(super) fn verify(root: &Section<'_>) -> Option<VerifyPlan> {
    let table = root.section("verify")?;
    let at = required(&table, "at", table.parsed("at", value::at));
    let max_age = table
        .parsed("max_age", value::positive)
        .unwrap_or(Duration::from_secs(30 * 86_400));
    table.finish();
    Some(VerifyPlan { at: at?, max_age })
}

pub(super) fn drill(root: &Section<'_>) -> Option<Drill> {
    let table = root.section("drill")?;
    let at = required(&table, "at", table.parsed("at", value::at));
    let server = |key, schemes: &'static [&'static str]| {
        table.parsed(key, |text| {
            let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
            if schemes.contains(&scheme) {
                return Ok(Secret::new(text));
            }
            let hint = format!("write `{}://user@host/name`", schemes.first().unwrap_or(&""));
            Err((format!("is not a URL of {}", schemes.join(" or ")), Some(hint)))
        })
    };
    let postgres = server("postgres", &["postgres", "postgresql"]);
    let mysql = server("mysql", &["mysql", "mariadb"]);
    table.finish();
    Some(Drill {
        at: at?,
        postgres,
        mysql,
    })
}

pub(super) fn api(root: &Section<'_>, dir: &Path) -> Option<Api> {
    let table = root.section("api")?;
    let listen = table.parsed("listen", |text| {
        text.parse::<SocketAddr>().map_err(|_| {
            let hint = "write address and port, such as `127.0.0.1:8642` or `[::1]:8642`";
            (
                format!("`{text}` is not an address with a port"),
                Some(hint.to_owned()),
            )
        })
    });
    let proxies = table.strings("trusted_proxies").unwrap_or_default();
    for proxy in &proxies {
        if !is_network(proxy) {
            let hint = Some("write `10.0.0.1` or `10.0.0.0/8`".into());
            table.problem(
                "trusted_proxies",
                format!("`{proxy}` is not an address or network"),
                hint,
            );
        }
    }
    let api = Api {
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8642))),
        tls_cert: path(&table, "tls_cert", dir),
        tls_key: path(&table, "tls_key", dir),
        trusted_proxies: proxies,
        grace: table
            .parsed("grace", value::duration)
            .unwrap_or(Duration::from_secs(30)),
        restore_dir: path(&table, "restore_dir", dir),
        tokens: tokens(&table),
        jwt: jwt(&table, dir),
    };
    if table.has("tls_cert") != table.has("tls_key") {
        let (there, missing) = if table.has("tls_cert") {
            ("tls_cert", "tls_key")
        } else {
            ("tls_key", "tls_cert")
        };
        table.problem(there, format!("needs `{missing}` beside it"), None);
    }
    table.finish();
    Some(api)
}

fn is_network(text: &str) -> bool {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(ip) = address.parse::<std::net::IpAddr>() else {
        return false;
    };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|n| n <= most))
}

fn tokens(api: &Section<'_>) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for table in api.list("tokens") {
        let name = required(&table, "name", table.string("name"));
        let role = required(
            &table,
            "role",
            table.parsed("role", |text| match text {
                "admin" => Ok(Role::Admin),
                "viewer" => Ok(Role::Viewer),
                _ => Err(one_of(text, &["admin", "viewer"])),
            }),
        );
        let sha256 = required(
            &table,
            "sha256",
            table.parsed("sha256", |text| {
                let hint = "`cofre token new NAME --role ROLE` prints token and line";
                digest(text).ok_or_else(|| {
                    (
                        "has to be 64 hexadecimal digits".to_owned(),
                        Some(hint.to_owned()),
                    )
                })
            }),
        );
        if tokens.iter().any(|t| Some(&t.name) == name.as_ref()) {
            table.problem(
                "name",
                "another token has this name",
                Some("choose another name".into()),
            );
        }
        if name
            .as_deref()
            .is_some_and(|n| n.is_empty() || n.chars().any(char::is_control))
        {
            table.problem("name", "can't be empty or contain control characters", None);
        }
        if let (Some(name), Some(role), Some(sha256)) = (name, role, sha256) {
            tokens.push(Token { name, role, sha256 });
        }
        table.finish();
    }
    tokens
}

fn digest(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (i, byte) in bytes.iter_mut().enumerate() {
        let pair = text
            .get(2 * i..2 * i + 2)
            .filter(|p| p.chars().all(|c| c.is_ascii_hexdigit()))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

fn jwt(api: &Section<'_>, dir: &Path) -> Option<Jwt> {
    let table = api.section("jwt")?;
    let algorithm = required(
        &table,
        "algorithm",
        table.parsed("algorithm", |text| {
            if ALGORITHMS.contains(&text) {
                Ok(text.to_owned())
            } else {
                Err(one_of(text, &ALGORITHMS))
            }
        }),
    );
    let key_file = required(&table, "key_file", path(&table, "key_file", dir));
    let claim = required(&table, "claim", table.string("claim"));
    let admin = required(&table, "admin", table.string("admin"));
    let audience = table.string("audience");
    let cookie = table.string("cookie");
    table.finish();
    Some(Jwt {
        algorithm: algorithm?,
        key_file: key_file?,
        claim: claim?,
        admin: admin?,
        audience,
        cookie,
    })
}

pub(super) fn webhooks(root: &Section<'_>, dir: &Path, warnings: &mut Vec<String>) -> Vec<Webhook> {
    let mut webhooks = Vec::new();
    for table in root.list("webhooks") {
        let inline = table.string("url").map(Secret::new);
        let from_file = secret_file(&table, "url_file", dir, warnings);
        let secret = secret_file(&table, "secret_file", dir, warnings);
        let events = table.strings("events").unwrap_or_default();
        for event in &events {
            if !EVENTS.contains(&event.as_str()) {
                let (message, hint) = one_of(event, &EVENTS);
                table.problem("events", message, hint);
            }
        }
        let allow_http = table.boolean("allow_http").unwrap_or(false);
        match (table.has("url"), table.has("url_file")) {
            (true, true) => table.problem("url_file", "a webhook has either `url` or `url_file`", None),
            (false, false) => table.problem("url", "is missing", None),
            _ => {}
        }
        let key = if table.has("url") { "url" } else { "url_file" };
        if let Some(url) = inline.or(from_file) {
            match webhook_host(url.expose(), allow_http) {
                Ok(host) => webhooks.push(Webhook {
                    url,
                    host,
                    secret,
                    events,
                }),
                Err((message, hint)) => table.problem(key, message, hint),
            }
        }
        table.finish();
    }
    webhooks
}

fn webhook_host(url: &str, allow_http: bool) -> Result<String, value::Bad> {
    let host = value::host_of(url).unwrap_or_default();
    if host.is_empty() || url.contains(char::is_whitespace) {
        return Err((
            "is not a URL".into(),
            Some("write `https://example.org/webhook/backup`".into()),
        ));
    }
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("https") => Ok(host.to_owned()),
        Some("http") if loopback || allow_http => Ok(host.to_owned()),
        Some("http") => Err((
            format!("`http` to {host} would send it in the clear"),
            Some("write `https`, or `allow_http = true` beside it".into()),
        )),
        _ => Err(("has to begin with `https://`".into(), None)),
    }
}
