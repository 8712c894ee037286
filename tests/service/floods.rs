//! More clients than there should be: connections by the thousand, and credentials guessed by many.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::process::Service;
use crate::site::{Extra, Site, admin};
use crate::wire;

const MANY: usize = 10_000;

/// One crowd at a time: their sockets are files of this one process.
static CROWD: Mutex<()> = Mutex::new(());

/// Lets this process have the sockets that it needs.
fn allow_files(needed: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= needed) {
        return;
    }
    let enough = limit.maximum.is_none_or(|hard| hard >= needed);
    assert!(
        enough,
        "this test needs {needed} open files: raise the hard limit (`ulimit -Hn`), which is {limit:?}"
    );
    limit.current = Some(needed);
    setrlimit(Resource::Nofile, limit).expect("raise the limit of open files");
}

/// So many connections, each with the beginning of a head.
fn crowd(port: u16, count: usize) -> Vec<TcpStream> {
    let one = |number: usize| {
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .unwrap_or_else(|error| panic!("connection {number}: {error}"));
        // One that gave way already is closed.
        drop(write!(
            stream,
            "GET /api/backup/status HTTP/1.1\r\nHost: x\r\nX-Lento: "
        ));
        stream
    };
    (0..count).map(one).collect()
}

/// An administrator's calls with a crowd around; the longest of them. A connection kept open from before stays.
fn calls_beside(site: &Site, most_connections: &str) -> (Service, u64) {
    let _alone = CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    allow_files(MANY as u64 + 2_000);
    let service = Service::start(site);
    site.create();
    let mut kept = crate::http::connect(site.port);
    ask(&mut kept);
    let began = Instant::now();
    let mut crowd = crowd(site.port, MANY);
    let arrived = began.elapsed();
    let mut longest = std::time::Duration::ZERO;
    for round in 0..10 {
        let began = Instant::now();
        site.status();
        longest = longest.max(began.elapsed());
        ask(&mut kept);
        for stream in &mut crowd {
            drop(stream.write_all(b"x"));
        }
        assert!(longest.as_secs() < 60, "round {round}: {longest:?}");
    }
    site.create();
    let peak = service.peak_memory();
    println!(
        "{MANY} connections, max_connections {most_connections}: arrived within {arrived:.1?}, longest call {longest:.1?}, \
         peak memory {} MiB",
        peak >> 20
    );
    (service, peak)
}

fn ask(stream: &mut TcpStream) {
    let token = admin();
    write!(
        stream,
        "GET /api/backup/status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    let mut answer = [0; 16 * 1024];
    let got = stream.read(&mut answer).unwrap();
    assert!(
        answer[..got].starts_with(b"HTTP/1.1 200"),
        "{:?}",
        String::from_utf8_lossy(&answer[..got])
    );
}

#[test]
fn ten_thousand_connections_at_once_give_way_to_an_administrator() {
    let site = Site::small();
    let (_service, peak) = calls_beside(&site, "the default");
    assert!(peak < 150 << 20, "peak memory {} MiB", peak >> 20);
}

#[test]
fn ten_thousand_connections_that_are_allowed_leave_room_for_work_and_memory() {
    // 20,000 open files would be needed for each to have an archive open; the hard limit may be lower.
    let site = Site::with(Extra {
        api: "max_connections = 12000",
        ..Extra::default()
    });
    let (_service, peak) = calls_beside(&site, "12,000");
    assert!(peak < 400 << 20, "peak memory {} MiB", peak >> 20);
}

#[test]
fn many_guessers_at_once_are_held_back_and_logged_and_hold_nobody_else_back() {
    const EACH: usize = 250;
    let site = Site::small();
    let service = Service::start(&site);
    let guess = |guesser: usize| {
        let mut statuses = Vec::new();
        for n in 0..EACH {
            let text = format!(
                "GET /api/backup/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer cofre_palpite_{guesser}_{n}\r\n\r\n"
            );
            statuses.push(wire::answer(site.port, text.as_bytes()).status);
        }
        statuses
    };
    let statuses = thread::scope(|scope| {
        let guessers: Vec<_> = (0..4)
            .map(|guesser| scope.spawn(move || guess(guesser)))
            .collect();
        while !guessers.iter().all(thread::ScopedJoinHandle::is_finished) {
            // From the same address, at the same time.
            site.status();
        }
        guessers
            .into_iter()
            .flat_map(|guesser| guesser.join().unwrap())
            .collect::<Vec<_>>()
    });
    let count = |status: u16| statuses.iter().filter(|got| **got == status).count();
    assert_eq!(count(401) + count(429), 4 * EACH);
    assert!(count(429) > 3 * EACH, "{} of {} held back", count(429), 4 * EACH);
    let log = service.log();
    let audited = |status: &str| {
        let wanted = ["cofre::audit", "anonymous", status, "the token is not known"];
        log.lines()
            .filter(|line| wanted.iter().all(|word| line.contains(word)))
            .count()
    };
    assert_eq!(
        (audited("status=401"), audited("status=429")),
        (count(401), count(429))
    );
    assert!(!log.contains("palpite"), "a guess in the log");
}
