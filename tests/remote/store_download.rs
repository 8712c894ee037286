//! Downloads that are disturbed: what comes in the end is what is stored, or an error says why not.

use std::cell::Cell;
use std::io::Write;
use std::time::Duration;

use cofre::remote::store::{Store, Tuning};
use cofre::{Code, Error};

use crate::proxy::{Action, header};
use crate::server::server;
use crate::site::{PART, Site, impatient, same_files, text};

const SIZE: u64 = 2 * PART + 99;

/// A site with one object, put there by another program.
fn with_object() -> (Site, std::path::PathBuf) {
    let site = Site::new();
    let file = site.file("original", SIZE);
    server().put(&site.path("archives/a"), &file);
    (site, file)
}

fn download(site: &Site, store: &Store) -> cofre::Result<std::path::PathBuf> {
    let copy = site.dir.path().join("copy");
    let mut to = std::fs::File::create(&copy).unwrap();
    assert_eq!(store.download("archives/a", None, &mut to, &|_| Ok(()))?, SIZE);
    Ok(copy)
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let (site, file) = with_object();
    // Far more often than one request is tried again: whoever gets on may go on.
    site.proxy
        .on("GET", "archives/a", 0..12, Action::CutAnswer(700_000));
    let copy = download(&site, &site.store()).unwrap();
    same_files(&file, &copy);
    let seen = site.proxy.seen();
    assert_eq!(seen.len(), 13);
    for (turn, one) in seen.iter().enumerate().skip(1) {
        let range = header(&one.head, "range").unwrap();
        let start: u64 = range
            .trim_start_matches("bytes=")
            .split('-')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert!(
            start > 0 && start <= turn as u64 * 700_000,
            "{range} in turn {turn}"
        );
    }
}

#[test]
fn a_connection_that_falls_silent_is_taken_up_again() {
    let (site, file) = with_object();
    let tuning = Tuning {
        idle: Duration::from_secs(2),
        ..impatient()
    };
    let store = Store::open_with(&site.remote(), tuning).unwrap();
    site.proxy
        .on("GET", "archives/a", 0..1, Action::StallAnswer(1_000_000));
    site.proxy.on("GET", "archives/a", 1..2, Action::Stall);
    same_files(&file, &download(&site, &store).unwrap());
    assert_eq!(site.proxy.count("GET", "archives/a"), 3);
}

#[test]
fn an_object_that_is_replaced_meanwhile_is_not_mixed() {
    let (site, _) = with_object();
    // As long as the first one, so that only the name of the content tells.
    let other = site.file("other", SIZE);
    let path = site.path("archives/a");
    let replace = move || server().put(&path, &other);
    site.proxy.on("GET", "archives/a", 0..1, Action::CutAnswer(PART));
    site.proxy
        .on("GET", "archives/a", 1..2, Action::Before(Box::new(replace)));
    let error = download(&site, &site.store()).unwrap_err();
    assert_eq!(error.code, Code::Io);
    let said = text(&error);
    assert!(
        said.contains("remote offsite: download archives/a: it was changed or removed meanwhile"),
        "{said}"
    );
}

#[test]
fn an_object_that_is_removed_meanwhile_is_not_half_there() {
    let (site, _) = with_object();
    let remover = site.remote();
    let remove = move || crate::site::open(&remover).delete("archives/a").unwrap();
    site.proxy.on("GET", "archives/a", 0..1, Action::CutAnswer(PART));
    site.proxy
        .on("GET", "archives/a", 1..2, Action::Before(Box::new(remove)));
    let error = download(&site, &site.store()).unwrap_err();
    assert!(
        text(&error).contains("it was changed or removed meanwhile"),
        "{error}"
    );
}

#[test]
fn an_object_that_is_not_there_is_an_error() {
    let site = Site::new();
    let error = site
        .store()
        .download("archives/none", None, &mut Vec::new(), &|_| Ok(()))
        .unwrap_err();
    assert_eq!(error.code, Code::NotFound);
    assert_eq!(
        text(&error),
        "remote offsite: download archives/none: there is no such object"
    );
}

#[test]
fn a_server_that_always_breaks_off_is_given_up() {
    let (site, _) = with_object();
    site.proxy.on("GET", "archives/a", 0..1_000, Action::CutAnswer(0));
    let error = download(&site, &site.store()).unwrap_err();
    assert_eq!(error.code, Code::Io);
    assert!(
        text(&error).contains("download archives/a: the connection broke"),
        "{error}"
    );
}

#[test]
fn a_download_can_be_stopped_also_while_nothing_comes() {
    let (site, _) = with_object();
    site.proxy
        .on("GET", "archives/a", 0..1, Action::StallAnswer(PART));
    let most = Cell::new(0);
    let looked = Cell::new(0);
    let control = |done| {
        most.set(done);
        looked.set(looked.get() + 1);
        if done > 0 && looked.get() > 5 {
            return Err(Error::new(Code::Cancelled, "stopped by the test"));
        }
        Ok(())
    };
    let error = site
        .store()
        .download("archives/a", None, &mut Vec::new(), &control)
        .unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    assert!(most.get() > 0 && most.get() <= PART, "{}", most.get());
}

/// A disk with no more room.
struct Full(usize);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_disk_that_is_full_is_no_trouble_of_the_network() {
    let (site, _) = with_object();
    let error = site
        .store()
        .download("archives/a", None, &mut Full(1_000_000), &|_| Ok(()))
        .unwrap_err();
    assert_eq!(error.code, Code::NoSpace);
    assert!(
        text(&error).contains("write the download of archives/a"),
        "{error}"
    );
    assert_eq!(site.proxy.count("GET", "archives/a"), 1);
}
