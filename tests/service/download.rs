//! Downloads: ranges and conditions, an archive that goes meanwhile, many at once in little memory.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Barrier;

use serde_json::Value;

use crate::http::{Reply, connect};
use crate::process::Service;
use crate::site::{Extra, Site, admin};
use crate::support::{Rng, run, tool};

/// A site with one backup of about that many bytes that do not compress; its archive's bytes.
fn with_backup(size: usize) -> (Site, Service, Value, Vec<u8>) {
    let site = Site::with(Extra {
        top: "max_backups = 1",
        tables: "[archive]\ncompression = \"store\"\n",
        ..Extra::default()
    });
    site.app.write("static/dados.bin", &Rng::fixed(7).bytes(size));
    let service = Service::start(&site);
    let record = site.create();
    let bytes = std::fs::read(site.app.archive(&record)).unwrap();
    (site, service, record, bytes)
}

fn path(record: &Value) -> String {
    format!("/api/backup/download/{}", record["id"])
}

fn get(site: &Site, record: &Value, headers: &[(&str, &str)]) -> Reply {
    let mut call = site.call("GET", &path(record));
    for (name, value) in headers {
        call = call.header(name, value);
    }
    call.send()
}

#[test]
fn the_head_says_what_it_is() {
    let (site, _service, record, bytes) = with_backup(100_000);
    let whole = get(&site, &record, &[]).is(200);
    assert_eq!(whole.body, bytes);
    let head = site.call("HEAD", &path(&record)).send().is(200);
    for reply in [&whole, &head] {
        assert_eq!(reply.header("content-type"), Some("application/zip"));
        assert_eq!(
            reply.header("content-length"),
            Some(bytes.len().to_string().as_str())
        );
        assert_eq!(reply.header("accept-ranges"), Some("bytes"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let etag = format!("\"{}\"", record["sha256"].as_str().unwrap());
        assert_eq!(reply.header("etag"), Some(etag.as_str()), "{:?}", reply.headers());
        let name = format!(
            "attachment; filename=\"{}.zip\"",
            record["name"].as_str().unwrap()
        );
        assert_eq!(reply.header("content-disposition"), Some(name.as_str()));
    }
    let sum = run(Command::new(tool("sha256sum")).arg(site.app.archive(&record))).exits(0);
    assert!(sum.stdout.starts_with(record["sha256"].as_str().unwrap()));
    // Not one byte of a body behind HEAD's answer.
    let mut stream = connect(site.port);
    write!(
        stream,
        "HEAD {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        path(&record),
        admin()
    )
    .unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    assert!(
        text.ends_with(b"\r\n\r\n"),
        "{:?}",
        String::from_utf8_lossy(&text)
    );
}

#[test]
fn a_range_gives_its_bytes_and_an_invalid_one_416() {
    let (site, _service, record, bytes) = with_backup(100_000);
    let size = bytes.len();
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=100-65636", 100, 65_637),
        ("bytes=5000-", 5_000, size),
        ("bytes=-1", size - 1, size),
        ("bytes=-70000", size - 70_000, size),
        ("bytes=-999999999", 0, size),
        ("bytes=0-99999999999", 0, size),
        (&format!("bytes={}-", size - 1), size - 1, size),
    ] {
        let reply = get(&site, &record, &[("Range", range)]);
        assert_eq!(reply.status, 206, "{range}: {:?}", reply.headers());
        assert_eq!(reply.body, &bytes[from..to], "{range}");
        let content_range = format!("bytes {from}-{}/{size}", to - 1);
        assert_eq!(
            reply.header("content-range"),
            Some(content_range.as_str()),
            "{range}"
        );
        assert_eq!(
            reply.header("content-length"),
            Some((to - from).to_string().as_str()),
            "{range}"
        );
        let head = site.call("HEAD", &path(&record)).header("Range", range).send();
        // RFC 9110 defines Range for GET only: a HEAD may ignore it.
        assert!([200, 206].contains(&head.status), "{range}: {head}");
    }
    for range in [
        format!("bytes={size}-"),
        format!("bytes={size}-{}", size + 10),
        "bytes=99999999999999999999999-".into(),
        "bytes=10-5".into(),
        "bytes=-0".into(),
        "bytes=".into(),
        "bytes=-".into(),
        "bytes=a-b".into(),
        "bytes=0x1-2".into(),
        "bytes=-5-10".into(),
    ] {
        let reply = get(&site, &record, &[("Range", &range)]);
        assert_eq!(reply.status, 416, "{range}: {:?}", reply.headers());
        let all = format!("bytes */{size}");
        assert_eq!(reply.header("content-range"), Some(all.as_str()), "{range}");
    }
    // Several ranges, and units that nobody knows: never a part that was not asked for.
    for range in ["bytes=0-1,5-6", "bytes=0-1,-1", "lines=1-2", "0-5", "nada"] {
        let reply = get(&site, &record, &[("Range", range)]);
        match reply.status {
            200 => assert_eq!(reply.body, bytes, "{range}"),
            416 => {}
            _ => panic!("{range}: {} {:?}", reply.status, reply.headers()),
        }
    }
    let many = format!("bytes={}", "0-,".repeat(2_000));
    assert!([200, 416, 431].contains(&get(&site, &record, &[("Range", &many)]).status));
    // An archive that somebody emptied has no last byte.
    std::fs::write(site.app.archive(&record), b"").unwrap();
    let reply = get(&site, &record, &[("Range", "bytes=-1")]);
    assert_eq!(reply.status, 416, "{:?}", reply.headers());
    assert_eq!(reply.header("content-range"), Some("bytes */0"));
}

#[test]
fn curl_resumes_a_download_where_it_stopped() {
    let (site, _service, record, bytes) = with_backup(300_000);
    let file = site.app.path("meio.zip");
    std::fs::write(&file, &bytes[..123_456]).unwrap();
    run(Command::new(tool("curl"))
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--continue-at",
            "-",
            "--output",
        ])
        .arg(&file)
        .args(["--header", &format!("Authorization: Bearer {}", admin())])
        .arg(site.url(&path(&record))))
    .exits(0);
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[test]
fn conditions_are_kept() {
    let (site, _service, record, bytes) = with_backup(50_000);
    let etag = format!("\"{}\"", record["sha256"].as_str().unwrap());
    let weak = format!("W/{etag}");
    let list = format!("\"a\", {etag}, \"b\"");
    for same in [etag.as_str(), &weak, &list, "*"] {
        let reply = get(&site, &record, &[("If-None-Match", same)]);
        assert_eq!(reply.status, 304, "{same}: {:?}", reply.headers());
        assert!(reply.body.is_empty());
        assert_eq!(reply.header("etag"), Some(etag.as_str()), "{same}");
        let range = [("If-None-Match", same), ("Range", "bytes=0-9")];
        assert_eq!(get(&site, &record, &range).status, 304, "{same}");
    }
    for other in ["\"nada\"", "W/\"nada\"", record["sha256"].as_str().unwrap(), "\""] {
        let reply = get(&site, &record, &[("If-None-Match", other)]).is(200);
        assert_eq!(reply.body, bytes, "{other}");
    }
    let range = |condition: &str| {
        get(
            &site,
            &record,
            &[("If-Range", condition), ("Range", "bytes=10-19")],
        )
    };
    let part = range(&etag).is(206);
    assert_eq!(part.body, &bytes[10..20]);
    // A weak tag never matches here, nor does a date where no Last-Modified was given.
    for other in ["\"nada\"", weak.as_str(), "Sat, 01 Jan 2000 00:00:00 GMT", "x"] {
        assert_eq!(range(other).is(200).body, bytes, "{other}");
    }
    // An unsatisfiable range behind a condition that does not hold is no range at all.
    let reply = get(
        &site,
        &record,
        &[("If-Range", "\"nada\""), ("Range", "bytes=999999999-")],
    );
    assert_eq!(reply.is(200).body, bytes);
}

/// Opens a download and reads the answer's head and no more; the stream, and what of the body came with it.
fn open(port: u16, path: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = connect(port);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        admin()
    )
    .unwrap();
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        if let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            assert!(
                head.starts_with(b"HTTP/1.1 200 "),
                "{:?}",
                String::from_utf8_lossy(&head)
            );
            return (stream, head.split_off(end + 4));
        }
        let got = stream.read(&mut buffer).unwrap();
        assert!(
            got > 0,
            "closed in the head: {:?}",
            String::from_utf8_lossy(&head)
        );
        head.extend_from_slice(&buffer[..got]);
    }
}

#[test]
fn an_archive_that_is_pruned_or_deleted_meanwhile_is_finished() {
    // More than the sockets' buffers take.
    let (site, _service, record, bytes) = with_backup(64 << 20);
    let (mut stream, mut body) = open(site.port, &path(&record));
    let (mut second, mut other) = open(site.port, &path(&record));
    // Retention keeps one.
    site.create();
    assert!(!site.app.archive(&record).exists(), "it was pruned");
    site.call("GET", &path(&record)).send().fails(404, "not_found");
    stream.read_to_end(&mut body).unwrap();
    assert!(
        body == bytes,
        "{} of {} bytes, or others",
        body.len(),
        bytes.len()
    );
    drop(std::fs::remove_dir_all(site.app.backups()));
    second.read_to_end(&mut other).unwrap();
    assert!(
        other == bytes,
        "{} of {} bytes, or others",
        other.len(),
        bytes.len()
    );
}

#[test]
fn only_the_archive_itself_is_served() {
    let (site, _service, record, _) = with_backup(1_000);
    let archive = site.app.archive(&record);
    site.app.write("segredo.txt", b"segredo");
    std::fs::remove_file(&archive).unwrap();
    std::os::unix::fs::symlink(site.app.path("segredo.txt"), &archive).unwrap();
    let reply = get(&site, &record, &[]);
    assert!([404, 500].contains(&reply.status), "a link: {reply}");
    assert!(!reply.text().contains("segredo"));
    std::fs::remove_file(&archive).unwrap();
    run(Command::new(tool("mkfifo")).arg(&archive)).exits(0);
    let reply = get(&site, &record, &[]);
    assert!([404, 500].contains(&reply.status), "a FIFO: {reply}");
    std::fs::remove_file(&archive).unwrap();
    std::fs::create_dir(&archive).unwrap();
    let reply = get(&site, &record, &[]);
    assert!([404, 500].contains(&reply.status), "a folder: {reply}");
    site.status();
}

#[test]
fn two_hundred_downloads_of_200_mb_at_once_take_little_memory() {
    const CLIENTS: usize = 200;
    let (site, service, record, bytes) = with_backup(200 << 20);
    let (size, path, port) = (bytes.len(), path(&record), site.port);
    assert!(size >= 200 << 20);
    let all_open = Barrier::new(CLIENTS);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (all_open, path, bytes) = (&all_open, &path, &bytes);
            let body = move || {
                let (mut stream, head) = open(port, path);
                all_open.wait();
                let mut at = head.len();
                assert!(head == bytes[..at], "client {client}");
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let got = stream.read(&mut buffer).unwrap();
                    if got == 0 {
                        break;
                    }
                    // Every tenth looks at each byte, the others at their number.
                    let same = client % 10 != 0 || bytes.get(at..at + got) == Some(&buffer[..got]);
                    assert!(same, "client {client} at {at}");
                    at += got;
                }
                assert_eq!(at, size, "client {client}");
            };
            let thread = std::thread::Builder::new().stack_size(256 << 10);
            thread.spawn_scoped(scope, body).unwrap();
        }
        // An administrator is answered while they go on.
        for _ in 0..5 {
            site.status();
        }
    });
    let peak = service.peak_memory();
    eprintln!("200 downloads of {size} bytes: peak memory {} MiB", peak >> 20);
    assert!(peak < 150 << 20, "peak memory {} MiB", peak >> 20);
}

#[test]
fn readers_that_stop_reading_block_neither_others_nor_the_end() {
    let (site, service, record, bytes) = with_backup(64 << 20);
    let stalled: Vec<_> = (0..40).map(|_| open(site.port, &path(&record))).collect();
    for _ in 0..3 {
        assert!(get(&site, &record, &[]).is(200).body == bytes);
        site.status();
    }
    site.create();
    assert!(service.peak_memory() < 150 << 20);
    drop(stalled);
    site.status();
}

#[test]
fn a_download_that_goes_on_does_not_keep_the_service_beyond_its_grace() {
    let site = Site::with(Extra {
        api: "grace = \"1s\"",
        tables: "[archive]\ncompression = \"store\"\n",
        ..Extra::default()
    });
    site.app.write("static/dados.bin", &Rng::fixed(7).bytes(64 << 20));
    let service = Service::start(&site);
    let record = site.create();
    let (stream, _) = open(site.port, &path(&record));
    assert_eq!(service.terminate(), Some(0));
    drop(stream);
}
