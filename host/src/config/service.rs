//! The tables of `cofre serve` and of what goes out: API, callers, webhooks, log.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::document::Section;
use super::parts::{one_of, path, secret_file};
use super::plans::required;
use super::{Api, Jwt, Log, LogFormat, Role, Secret, Token, Webhook, value};
use crate::notify::{Event, SigningKey};

/// Connections at a time when nothing else is written.
const DEFAULT_CONNECTIONS: usize = 1024;

const ALGORITHMS: [&str; 9] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA",
];

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
    let api = Api {
        listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8642))),
        tls_cert: path(&table, "tls_cert", dir),
        tls_key: path(&table, "tls_key", dir),
        trusted_proxies: proxies(&table),
        grace: table
            .parsed("grace", value::duration)
            .unwrap_or(Duration::from_secs(30)),
        restore_dir: path(&table, "restore_dir", dir),
        max_connections: table
            .integer("max_connections", 16..=65_536)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(DEFAULT_CONNECTIONS),
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

fn proxies(api: &Section<'_>) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in api.strings("trusted_proxies").unwrap_or_default() {
        let address = text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
        match address.or_else(|_| text.parse()) {
            Ok(network) => networks.push(network),
            Err(_) => api.problem(
                "trusted_proxies",
                format!("`{text}` is not an address or network"),
                Some("write `10.0.0.1` or `10.0.0.0/8`".into()),
            ),
        }
    }
    networks
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
        let name = table.parsed("name", webhook_name);
        let inline = table.string("url").map(Secret::new);
        let from_file = secret_file(&table, "url_file", dir, warnings);
        let secret = secret_file(&table, "secret_file", dir, warnings);
        if let Some(Err((message, hint))) = secret.as_ref().map(|key| SigningKey::parse(key.expose())) {
            table.problem("secret_file", message, Some(hint));
        }
        let events = events(&table);
        let allow_http = table.boolean("allow_http").unwrap_or(false);
        match (table.has("url"), table.has("url_file")) {
            (true, true) => table.problem("url_file", "a webhook has either `url` or `url_file`", None),
            (false, false) => table.problem("url", "is missing", None),
            _ => {}
        }
        let key = if table.has("url") { "url" } else { "url_file" };
        if let Some(url) = inline.or(from_file) {
            match value::outgoing_host(url.expose(), Some(allow_http)) {
                Ok(host) => {
                    let name = name.unwrap_or_else(|| host.clone());
                    if webhooks.iter().any(|other: &Webhook| other.name == name) {
                        let hint = "give each a `name`: it stands for the webhook in logs and commands";
                        table.problem(
                            "name",
                            format!("another webhook is called `{name}`"),
                            Some(hint.into()),
                        );
                    }
                    webhooks.push(Webhook {
                        name,
                        url,
                        host,
                        secret,
                        events,
                        allow_http,
                    });
                }
                Err((message, hint)) => table.problem(key, message, hint),
            }
        }
        table.finish();
    }
    webhooks
}

fn webhook_name(text: &str) -> Result<String, value::Bad> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err((
        format!("`{text}` is not 1 to 64 letters, digits, `.`, `_` and `-`"),
        None,
    ))
}

fn events(table: &Section<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    for text in table.strings("events").unwrap_or_default() {
        match Event::ALL.into_iter().find(|event| event.name() == text) {
            Some(event) => events.push(event),
            None => {
                let (message, hint) = one_of(&text, &Event::ALL.map(Event::name));
                table.problem("events", message, hint);
            }
        }
    }
    events
}

pub(super) fn log(root: &Section<'_>, dir: &Path) -> Log {
    let Some(table) = root.section("log") else {
        return Log::default();
    };
    let levels = ["error", "warn", "info", "debug"];
    let log = Log {
        level: table.parsed("level", |text| {
            let known = levels.contains(&text).then(|| text.parse().ok()).flatten();
            known.ok_or_else(|| one_of(text, &levels))
        }),
        format: table
            .parsed("format", |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err(one_of(text, &["text", "json"])),
            })
            .unwrap_or_default(),
        file: path(&table, "file", dir),
    };
    table.finish();
    log
}
