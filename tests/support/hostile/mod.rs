//! Archives made to do harm, one of each kind, with what has to come of them.

mod damage;
mod headers;
mod manifests;
mod names;
mod sizes;

use super::zip::{Entry, Zip, entry, link, manifest, zip, zip64_field};

/// An archive and what has to come of it when no checksum tells that it was exchanged.
pub(crate) struct Kind {
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: End,
}

/// What comes of an archive.
#[derive(Clone)]
pub(crate) enum End {
    /// It is refused as soon as it is opened, by `rebuild` too: a part of the reason, and the exit code of `restore`.
    Refused(String, i32),
    /// What is wrong shows when it is read: a part of the reason, and the exit code of `restore`.
    Found(String, i32),
    /// It is fine after all: what a restore has to make of it, and nothing else.
    Fine(&'static [&'static str]),
    /// It is fine but for its absolute links, which this file system can't have: the exit code with these.
    FineWithout(i32),
}

/// A name that would clear a terminal and begin a line of its own, and how it is to be shown.
pub(crate) const LOUD: &str = "static/\u{1b}[2J\nINJECTED";
const SHOWN: &str = r"static/\u{1b}[2J\nINJECTED";

const INFO: &str = r#"{"id":"x"}"#;
const PLAIN: &[&str] = &["backup_info.json", "static/a.txt"];

/// All kinds, for the backup of this name. `outside` is the path of a folder that nothing may be written to.
pub(crate) fn kinds(name: &str, outside: &str) -> Vec<Kind> {
    [
        damage::cuts(),
        damage::flips(),
        damage::junk(),
        names::names(outside),
        names::twins(),
        names::links(outside),
        names::modes(),
        sizes::sizes(),
        headers::headers(),
        headers::methods(),
        headers::zip64(),
        manifests::manifests(name),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn refused(what: &str, bytes: impl Into<Vec<u8>>, says: &str) -> Kind {
    kind(what, bytes, End::Refused(says.to_owned(), 5))
}

fn unsupported(what: &str, bytes: impl Into<Vec<u8>>, says: &str) -> Kind {
    kind(what, bytes, End::Refused(says.to_owned(), 10))
}

fn found(what: &str, bytes: impl Into<Vec<u8>>, says: &str) -> Kind {
    kind(what, bytes, End::Found(says.to_owned(), 5))
}

fn fine(what: &str, bytes: impl Into<Vec<u8>>, made: &'static [&'static str]) -> Kind {
    kind(what, bytes, End::Fine(made))
}

fn kind(what: &str, bytes: impl Into<Vec<u8>>, end: End) -> Kind {
    Kind {
        what: what.to_owned(),
        bytes: bytes.into(),
        end,
    }
}

impl From<Zip> for Vec<u8> {
    fn from(zip: Zip) -> Self {
        zip.bytes
    }
}

/// An archive as the original system wrote them, with more in it.
fn old(more: impl IntoIterator<Item = Entry>) -> Zip {
    let first = [entry("backup_info.json", INFO), entry("static/a.txt", "ola")];
    zip(&first.into_iter().chain(more).collect::<Vec<_>>())
}

/// One with all that an entry can have: a stored, a compressed one, and one with a descriptor.
fn rich() -> Zip {
    old([
        entry("static/b.txt", "muitas vezes o mesmo ".repeat(200)).deflated(),
        entry(LOUD, "com descritor").described(),
    ])
}
