//! Bodies that are bombs.

use crate::process::Service;
use crate::site::{Extra, Site, post};

use super::is_well;

fn repeated(what: &str, bytes: usize) -> String {
    what.repeat(bytes / what.len())
}

#[test]
fn a_body_of_nesting_digits_or_oddities_is_the_callers_mistake() {
    let site = Site::small();
    let service = Service::start(&site);
    let deep = repeated("[", 60_000);
    let closed = format!("{{\"tipo\":{}1{}}}", "[".repeat(30_000), "]".repeat(30_000));
    let objects = repeated("{\"tipo\":", 60_000);
    let digits = format!("{{\"tipo\":{}}}", "9".repeat(60_000));
    let keys = (0..5_000)
        .map(|n| format!("\"k{n}\":1"))
        .collect::<Vec<_>>()
        .join(",");
    let long = format!("{{\"tipo\":\"{}\"}}", "a".repeat(60_000));
    let escapes = format!("{{\"tipo\":\"{}\"}}", repeated("\\u0061", 60_000));
    let before = site.list().len();
    for body in [
        deep.as_str(),
        &closed,
        &objects,
        &digits,
        &long,
        &escapes,
        "{\"tipo\":1e999999999}",
        "{\"tipo\":-0.0e-999999}",
        "{\"tipo\":\"\\ud800\"}",
        "{\"tipo\":\"a\\u0000b\"}",
        "{\"tipo\":NaN}",
        "{\"tipo\":\"a\"} {\"tipo\":\"b\"}",
        "\u{feff}{\"tipo\":\"a\"}",
        "{\"tipo\":\"a\",}",
        "{\"tipo\":null}",
        "{\"tipo\":[\"a\"]}",
        "'tipo'",
        "[]",
        "null",
    ] {
        let reply = post(&site, "/api/backup/criar", body);
        assert!([400, 422].contains(&reply.status), "{reply}");
        assert_eq!(reply.json()["success"], false, "{reply}");
        // Nothing long of the caller's comes back.
        assert!(reply.body.len() < 1_000, "{reply}");
    }
    let latin = site
        .call("POST", "/api/backup/criar")
        .body("application/json", b"{\"tipo\":\"\xe9\"}")
        .send();
    latin.fails(400, "invalid_json");
    let many = format!("{{{keys}}}");
    post(&site, "/api/backup/limpar", &many).fails(422, "invalid_body");
    assert_eq!(site.list().len(), before);
    let peak = service.peak_memory();
    assert!(peak < 200 << 20, "peak memory {} MiB", peak >> 20);
    is_well(&site);
}

#[test]
fn patterns_that_are_bombs_are_answered_and_cost_little() {
    let site = Site::with(Extra {
        api: "restore_dir = \"restaurados\"",
        ..Extra::default()
    });
    std::fs::create_dir(site.app.path("restaurados")).unwrap();
    let service = Service::start(&site);
    site.create();
    let list = |globs: &[String]| serde_json::to_string(globs).unwrap();
    let braces = format!("{}x{}", "{a,".repeat(5_000), "}".repeat(5_000));
    let bombs = [
        list(&vec!["a".to_owned(); 15_000]),
        list(&(0..6_000).map(|n| format!("**/{n}*")).collect::<Vec<_>>()),
        list(&[repeated("**/", 60_000)]),
        list(&[repeated("*?", 60_000)]),
        list(&[repeated("{a,b}", 60_000)]),
        list(&[repeated("[a-z]", 60_000)]),
        list(&[repeated("[!\u{100}-\u{ffff}]", 50_000)]),
        list(&[braces]),
        list(&[repeated("[", 60_000)]),
        list(&[repeated("\\", 20_000)]),
    ];
    for (number, globs) in bombs.iter().enumerate() {
        let body = format!("{{\"destino\":\"d{number}\",\"only\":{globs}}}");
        assert!(body.len() <= 64 << 10, "{number}: {} bytes", body.len());
        let reply = post(&site, "/api/backup/restaurar/1", &body);
        let fine = [200, 400, 404, 422].contains(&reply.status);
        assert!(fine, "{number}: {reply}");
        // Something else works beside it.
        site.status();
    }
    let peak = service.peak_memory();
    assert!(peak < 600 << 20, "peak memory {} MiB", peak >> 20);
    let left = crate::support::listing(&site.app.path("restaurados"));
    assert!(!left.contains(".partial"), "{left}");
    is_well(&site);
}
