//! Which credential is whose.
#![allow(clippy::unwrap_used, reason = "tests")]

use axum::http::HeaderValue;
use axum::http::header::COOKIE;

use super::*;
use crate::config::Role;

fn authenticator(tokens: &[(&str, Role)]) -> Authenticator {
    let tokens = tokens.iter().map(|(token, role)| Token {
        name: format!("name of {token}"),
        role: *role,
        sha256: Sha256::digest(token.as_bytes()).into(),
    });
    Authenticator {
        tokens: tokens.collect(),
        sessions: None,
    }
}

fn headers(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

#[test]
fn one_well_formed_bearer_token_is_known_and_nothing_else_is() {
    let authenticator = authenticator(&[("first", Role::Admin), ("second", Role::Viewer)]);
    for (value, role) in [
        ("Bearer first", Role::Admin),
        ("bearer second", Role::Viewer),
        ("BEARER  first ", Role::Admin),
    ] {
        let Verdict::Known { identity, by_cookie } = authenticator.check(&headers(&[value])) else {
            unreachable!("{value}");
        };
        assert_eq!((identity.role, by_cookie), (role, false));
    }
    for values in [
        &["Bearer firs"][..],
        &["Bearer firstt"],
        &["Bearer First"],
        &["Bearer"],
        &["Bearer "],
        &["first"],
        &[""],
        &["Basic Zmlyc3Q6"],
        &["Bearer first second"],
        &["Bearer first, Bearer second"],
        &["Bearer\tfirst"],
        &["Bearer fir\u{e9}st"],
        &["Bearer first", "Bearer first"],
        &["Bearer first", "Basic x"],
    ] {
        let verdict = authenticator.check(&headers(values));
        assert!(matches!(verdict, Verdict::Wrong(_)), "{values:?}: {verdict:?}");
    }
    assert!(matches!(authenticator.check(&HeaderMap::new()), Verdict::Missing));
}

#[test]
fn a_cookie_without_a_configured_name_is_no_credential() {
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_static("session=first"));
    let authenticator = authenticator(&[("first", Role::Admin)]);
    assert!(matches!(authenticator.check(&headers), Verdict::Missing));
}

#[test]
fn cookies_are_found_by_their_whole_name() {
    let mut headers = HeaderMap::new();
    headers.append(
        COOKIE,
        HeaderValue::from_static("xsession=1; session=2;session=\"3\"; session"),
    );
    headers.append(COOKIE, HeaderValue::from_static("Session=4; session=5=6"));
    assert_eq!(
        cookies(&headers, "session").collect::<Vec<_>>(),
        ["2", "3", "5=6"]
    );
}

#[test]
fn debug_output_has_no_digest_and_no_name() {
    let authenticator = authenticator(&[("first", Role::Admin)]);
    assert_eq!(
        format!("{authenticator:?}"),
        "Authenticator { tokens: 1, sessions: false }"
    );
    let verdict = authenticator.check(&headers(&["Bearer hunter2"]));
    assert!(!format!("{verdict:?}").contains("hunter2"));
}

#[test]
#[ignore = "a measurement, for a quiet machine: cargo test --release -p cofre --lib -- --ignored --nocapture constant_time"]
fn a_near_miss_takes_as_long_as_a_far_one_in_constant_time() {
    const CALLS: usize = 400_000;
    let authenticator = authenticator(&[("first", Role::Admin)]);
    let wanted = Sha256::digest(b"first");
    let guesses = || (0_u64..).map(|n| format!("guess{n:012}"));
    let shares = |guess: &String, bytes: usize| Sha256::digest(guess.as_bytes())[..bytes] == wanted[..bytes];
    let near = guesses().find(|guess| shares(guess, 2)).unwrap();
    let far = guesses().find(|guess| !shares(guess, 1)).unwrap();
    let mut times = [Vec::new(), Vec::new()];
    for call in 0..CALLS {
        // In turns, so that a change of the processor's speed meets both.
        let which = call % 2;
        let guess = std::hint::black_box([&near, &far][which]);
        let began = std::time::Instant::now();
        assert!(std::hint::black_box(authenticator.token(guess)).is_none());
        times[which].push(began.elapsed().as_secs_f64() * 1e9);
    }
    // Without the slowest tenth, which is interrupts.
    let [near, far] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.truncate(times.len() * 9 / 10);
        let count = f64::from(u32::try_from(times.len()).unwrap());
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    let t = (near.0 - far.0) / (near.1 + far.1).sqrt();
    println!("near {:.1} ns, far {:.1} ns, Welch's t {t:.2}", near.0, far.0);
    assert!(
        t.abs() < 10.0,
        "near {:.1} ns, far {:.1} ns, t {t:.2}",
        near.0,
        far.0
    );
}
