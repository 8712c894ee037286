//! Who may do what: every route by every credential, and those who guess.

use crate::http::Reply;
use crate::process::{Service, until};
use crate::python::jwt;
use crate::site::{Extra, Site, admin, viewer};

/// Every route but the open one, and one that does not exist. Those that write are asked for a backup that does
/// not exist or are harmless, so that an administrator can be let in.
pub(crate) const ROUTES: [(&str, &str); 17] = [
    ("POST", "/api/backup/criar"),
    ("GET", "/api/backup/status"),
    ("GET", "/api/backup/listar"),
    ("GET", "/api/backup/download/4711"),
    ("HEAD", "/api/backup/download/4711"),
    ("GET", "/api/backup/info/4711"),
    ("POST", "/api/backup/verificar/4711"),
    ("POST", "/api/backup/restaurar/4711"),
    ("DELETE", "/api/backup/excluir/4711"),
    ("POST", "/api/backup/limpar"),
    ("GET", "/api/backup/progresso"),
    ("GET", "/api/openapi.json"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/api/backup/nada"),
    ("DELETE", "/api/backup/status"),
    ("TRACE", "/api/backup/listar"),
];

pub(crate) const KEY: &str = "uma chave de sessão que ninguém adivinha, 48 bytes";

/// Sessions as the seed's application makes them.
pub(crate) const JWT: &str = "[api.jwt]\nalgorithm = \"HS256\"\nkey_file = \"jwt.key\"\nclaim = \"setor\"\n\
                   admin = \"admin\"\naudience = \"relatorios\"\ncookie = \"sessao\"\n";

pub(crate) fn site() -> Site {
    let site = Site::with(Extra {
        tables: JWT,
        ..Extra::default()
    });
    secret_file(&site, "jwt.key", KEY);
    site
}

pub(crate) fn secret_file(site: &Site, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    site.app.write(name, text.as_bytes());
    std::fs::set_permissions(site.app.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
}

pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}

pub(crate) const HEAD: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

pub(crate) fn claims(setor: &str, expires: u64) -> String {
    format!(r#"{{"sub":"maria","setor":"{setor}","aud":"relatorios","exp":{expires}}}"#)
}

pub(crate) fn session(setor: &str) -> String {
    jwt(HEAD, &claims(setor, now() + 3_600), KEY)
}

/// What is expected of a credential.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Verdict {
    /// Not known: 401.
    Unknown,
    /// Known, and may read the metrics.
    Viewer,
    /// Known, and may do nothing: a user of the application.
    Nobody,
    /// May do everything.
    Admin,
}

/// Its name, the headers that carry it, and what is expected of it.
type Credential = (&'static str, Vec<(&'static str, String)>, Verdict);

fn credentials() -> Vec<Credential> {
    use Verdict::{Admin, Nobody, Unknown, Viewer};
    let bearer = |text: &str| vec![("Authorization", format!("Bearer {text}"))];
    let good = claims("admin", now() + 3_600);
    let unsigned = jwt(r#"{"alg":"none","typ":"JWT"}"#, &good, "");
    let own = session("admin");
    let (signed, signature) = own.rsplit_once('.').unwrap();
    let no_expiry = r#"{"sub":"maria","setor":"admin","aud":"relatorios"}"#;
    let wrong_aud = format!(
        r#"{{"sub":"m","setor":"admin","aud":"loja","exp":{}}}"#,
        now() + 3_600
    );
    let no_aud = format!(r#"{{"sub":"m","setor":"admin","exp":{}}}"#, now() + 3_600);
    let not_yet = format!(
        r#"{{"sub":"m","setor":"admin","aud":"relatorios","exp":{},"nbf":{}}}"#,
        now() + 9_000,
        now() + 3_600
    );
    let mut flipped = admin().to_owned();
    let last = flipped.pop().unwrap();
    flipped.push(if last == 'A' { 'B' } else { 'A' });
    vec![
        ("none", Vec::new(), Unknown),
        ("empty", vec![("Authorization", String::new())], Unknown),
        ("no scheme", vec![("Authorization", admin().to_owned())], Unknown),
        ("no token", vec![("Authorization", "Bearer".to_owned())], Unknown),
        (
            "another scheme",
            vec![("Authorization", format!("Basic {}", admin()))],
            Unknown,
        ),
        ("malformed", bearer("ção ~~"), Unknown),
        ("two words", bearer(&format!("{} x", admin())), Unknown),
        ("wrong token", bearer(&flipped), Unknown),
        ("cut token", bearer(&admin()[..admin().len() - 1]), Unknown),
        ("a long one", bearer(&"x".repeat(3_000)), Unknown),
        (
            "two credentials",
            vec![
                ("Authorization", format!("Bearer {flipped}")),
                ("Authorization", format!("Bearer {}", admin())),
            ],
            Unknown,
        ),
        (
            "expired session",
            bearer(&jwt(HEAD, &claims("admin", now() - 3_600), KEY)),
            Unknown,
        ),
        (
            "session that never expires",
            bearer(&jwt(HEAD, no_expiry, KEY)),
            Unknown,
        ),
        ("session of later", bearer(&jwt(HEAD, &not_yet, KEY)), Unknown),
        ("alg none", bearer(&unsigned), Unknown),
        (
            "alg none with a signature",
            bearer(&format!("{unsigned}{signature}")),
            Unknown,
        ),
        (
            "another algorithm in the head",
            bearer(&jwt(r#"{"alg":"HS512","typ":"JWT"}"#, &good, KEY)),
            Unknown,
        ),
        (
            "a key from elsewhere",
            bearer(&jwt(
                r#"{"alg":"HS256","typ":"JWT","jku":"http://127.0.0.1:9/keys","kid":"../../jwt.key"}"#,
                &good,
                "outra chave",
            )),
            Unknown,
        ),
        (
            "differently signed",
            bearer(&jwt(HEAD, &good, "uma chave de sessão que alguém adivinhou")),
            Unknown,
        ),
        ("no signature", bearer(signed), Unknown),
        (
            "session for another",
            bearer(&jwt(HEAD, &wrong_aud, KEY)),
            Unknown,
        ),
        ("session for nobody", bearer(&jwt(HEAD, &no_aud, KEY)), Unknown),
        ("viewer token", bearer(viewer()), Viewer),
        ("session of a user", bearer(&session("portaria")), Nobody),
        ("admin token", bearer(admin()), Admin),
        (
            "small letters",
            vec![("authorization", format!("bearer {}", admin()))],
            Admin,
        ),
        ("admin session", bearer(&own), Admin),
    ]
}

fn ask(site: &Site, (method, path): (&str, &str), headers: &[(&str, String)]) -> Reply {
    let mut call = site.anonymous(method, path);
    for (name, value) in headers {
        call = call.header(name, value);
    }
    // The stream of events does not end by itself.
    if path.ends_with("progresso") {
        return call.send_until_head();
    }
    call.send()
}

#[test]
fn every_route_by_every_credential() {
    let mut site = site();
    // The table has more wrong credentials than one address may try.
    site.configure(Extra {
        api: "trusted_proxies = [\"127.0.0.1\"]",
        tables: JWT,
        ..Extra::default()
    });
    let mut service = Service::start(&site);
    service.secret(KEY);
    site.create();
    let mut address = 0_u32;
    for (name, mut headers, verdict) in credentials() {
        for route in ROUTES {
            if verdict == Verdict::Unknown {
                address += 1;
                let from = std::net::Ipv4Addr::from(0x0a00_0000 + address);
                headers.retain(|(name, _)| *name != "X-Forwarded-For");
                headers.push(("X-Forwarded-For", from.to_string()));
            }
            let reply = ask(&site, route, &headers);
            let what = format!("{name} on {route:?}: {reply}");
            let refused = |status: u16, code: &str| {
                assert_eq!(reply.status, status, "{what}");
                if route.0 != "HEAD" {
                    reply.clone().fails(status, code);
                }
            };
            match verdict {
                Verdict::Unknown => {
                    refused(401, "not_authenticated");
                    let challenge = reply.header("www-authenticate").unwrap_or_default();
                    assert!(challenge.starts_with("Bearer"), "{what}");
                    if route.0 != "HEAD" {
                        assert_eq!(reply.json()["message"], "Não autenticado", "{what}");
                    }
                }
                Verdict::Viewer if route.1 == "/metrics" => assert_eq!(reply.status, 200, "{what}"),
                Verdict::Viewer | Verdict::Nobody => refused(403, "forbidden"),
                Verdict::Admin => assert!(![401, 403, 429].contains(&reply.status), "{what}"),
            }
        }
    }
    // Of all these calls only the administrator's four made backups.
    let admins = credentials()
        .iter()
        .filter(|(_, _, verdict)| *verdict == Verdict::Admin)
        .count();
    assert_eq!(site.list().len(), 1 + admins);
    site.anonymous("GET", "/healthz").send().is(200);
}

#[test]
fn an_administrator_gets_what_each_route_gives() {
    let site = site();
    let _service = Service::start(&site);
    let expected = [
        200, 200, 200, 404, 404, 404, 404, 409, 404, 200, 200, 200, 200, 404, 404, 405, 405,
    ];
    for headers in [
        vec![("Authorization", format!("Bearer {}", admin()))],
        vec![("Authorization", format!("Bearer {}", session("admin")))],
    ] {
        let got = ROUTES.map(|route| ask(&site, route, &headers).status);
        assert_eq!(got, expected, "{headers:?}");
    }
}

#[test]
fn a_guesser_is_throttled_and_the_administrator_beside_it_is_not() {
    let site = site();
    let service = Service::start(&site);
    let guess = |n: u32| {
        let token = format!("cofre_adivinha_{n}");
        site.anonymous("GET", "/api/backup/status").bearer(&token).send()
    };
    let mut tries = 0;
    let throttled = until("429", || {
        tries += 1;
        let reply = guess(tries);
        assert!([401, 429].contains(&reply.status), "{reply}");
        (reply.status == 429).then_some(reply)
    });
    let throttled = throttled.fails(429, "too_many_attempts");
    let seconds: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=3_600).contains(&seconds), "{throttled}");
    assert!((3..=100).contains(&tries), "{tries} tries");
    assert_eq!(guess(0).status, 429);
    // The same address, at the same time, with a good credential.
    assert!(site.status().is_object());
    site.anonymous("GET", "/api/backup/status")
        .bearer(&session("admin"))
        .send()
        .is(200);
    site.anonymous("GET", "/metrics").bearer(viewer()).send().is(200);
    assert_eq!(guess(1).status, 429, "a good call does not free the guesser");
    service.logs(&["429"]);
}

#[test]
fn behind_a_trusted_proxy_each_address_counts_for_itself() {
    let site = Site::with(Extra {
        api: "trusted_proxies = [\"127.0.0.0/8\", \"10.1.0.0/16\"]",
        ..Extra::default()
    });
    let service = Service::start(&site);
    let ask = |forwarded: &str, token: &str| {
        let call = site.anonymous("GET", "/api/backup/status").bearer(token);
        call.header("X-Forwarded-For", forwarded).send()
    };
    until("429", || {
        (ask("203.0.113.9", "errado").status == 429).then_some(())
    });
    // Others come through, and what the guesser writes in front of its own address changes nothing.
    assert_eq!(ask("203.0.113.10", "errado").status, 401);
    assert_eq!(ask("198.51.100.7, 203.0.113.9", "errado").status, 429);
    assert_eq!(ask("198.51.100.7, 203.0.113.9, 10.1.2.3", "errado").status, 429);
    assert_eq!(ask("203.0.113.11", admin()).status, 200);
    assert_eq!(ask("203.0.113.9", admin()).status, 200);
    service.logs(&["203.0.113.11", "200"]);
    for odd in [
        "",
        "nada",
        "203.0.113.9.1",
        "[::1",
        "a\tb",
        &"1.1.1.1, ".repeat(200),
    ] {
        let status = ask(odd, "errado").status;
        assert!([401, 429].contains(&status), "{odd:?}: {status}");
        assert_eq!(ask(odd, admin()).status, 200, "{odd:?}");
    }
}

#[test]
fn without_a_trusted_proxy_x_forwarded_for_counts_for_nothing() {
    let site = Site::small();
    let service = Service::start(&site);
    let mut n = 0;
    until("429 in spite of ever new addresses", || {
        n += 1;
        let call = site.anonymous("GET", "/api/backup/status").bearer("errado");
        let forwarded = format!("203.0.113.{}", n % 250);
        (call.header("X-Forwarded-For", &forwarded).send().status == 429).then_some(())
    });
    assert!(!service.log().contains("from=\"203.0.113."), "{}", service.log());
}
