//! What goes in comes out, whatever its size and however it arrives, in constant memory.

use std::cell::Cell;
use std::io::{self, Read, Write};

use proptest::prelude::*;

use super::super::{decrypt_with, encrypt};
use super::{Keys, content, open, recipients, seal};
use crate::error::{Code, Error};

/// A reader that gives a few bytes at a time, and is interrupted now and then.
struct Drip<'a> {
    left: &'a [u8],
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match *self.sizes.next().unwrap() {
            0 => Err(io::ErrorKind::Interrupted.into()),
            size => {
                let size = size.min(buffer.len());
                self.left.read(&mut buffer[..size])
            }
        }
    }
}

/// A writer that takes a few bytes at a time, and is interrupted now and then.
struct Sip<'a> {
    taken: Vec<u8>,
    sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Write for Sip<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match *self.sizes.next().unwrap() {
            0 => Err(io::ErrorKind::Interrupted.into()),
            size => {
                let size = size.min(bytes.len());
                self.taken.extend(&bytes[..size]);
                Ok(size)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Around the borders of the format's pieces of 64 KiB, and anything small.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        (0_usize..4, -40_i64..40).prop_map(|(pieces, off)| {
            let border = i64::try_from(pieces * 65536).unwrap();
            usize::try_from((border + off).max(0)).unwrap()
        }),
        0_usize..300,
    ]
}

/// Sizes of single calls; 0 stands for an interruption.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(prop_oneof![Just(0), 1000_usize..70_000, 1_usize..3000], 1..6)
        .prop_filter("something has to arrive", |sizes| {
            sizes.iter().sum::<usize>() > 2000
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decrypting_is_the_inverse_of_encrypting(length in length(), reads in sizes(), writes in sizes()) {
        let keys = Keys::new();
        let content = content(length);
        let mut from = Drip { left: &content, sizes: reads.iter().cycle() };
        let mut sealed = Sip { taken: Vec::new(), sizes: writes.iter().cycle() };
        let written = encrypt(&keys.recipients(), &mut from, &mut sealed, &|_| Ok(())).unwrap();
        prop_assert_eq!(written, sealed.taken.len() as u64);

        let mut from = Drip { left: &sealed.taken, sizes: writes.iter().cycle() };
        let mut opened = Sip { taken: Vec::new(), sizes: reads.iter().cycle() };
        let written = decrypt_with(&keys.identity, &mut from, &mut opened, &|_| Ok(())).unwrap();
        prop_assert_eq!(written, length as u64);
        prop_assert!(opened.taken == content);
    }
}

#[test]
fn each_border_of_a_piece_comes_back() {
    let keys = Keys::new();
    for length in [0, 1, 15, 16, 65535, 65536, 65537, 131_071, 131_072, 131_073] {
        let content = content(length);
        assert!(keys.open(&keys.seal(&content)).unwrap() == content, "{length}");
    }
}

#[test]
fn one_identity_of_several_is_enough() {
    let (a, b, other) = (Keys::new(), Keys::new(), Keys::new());
    let both = recipients(&[&a.recipient, &b.recipient, &a.recipient]).unwrap();
    let sealed = seal(&both, b"text");
    assert_eq!(a.open(&sealed).unwrap(), b"text");
    assert_eq!(b.open(&sealed).unwrap(), b"text");
    let text = [other.text.as_str(), &b.text].concat();
    let ring = super::Identity::parse(text.as_bytes(), "ring").unwrap();
    assert_eq!(open(&ring, &sealed).unwrap(), b"text");
    assert_eq!(ring.recipients(), [other.recipient, b.recipient]);
}

#[test]
fn the_same_content_is_encrypted_differently_each_time_and_shows_nothing() {
    let keys = Keys::new();
    let content = b"static/app.js ".repeat(100);
    let (a, b) = (keys.seal(&content), keys.seal(&content));
    assert_ne!(a, b);
    assert!(!a.windows(6).any(|part| part == b"static" || part == b"app.js"));
}

/// Counts what went in and out, and gives as many zeros as it is told to.
struct Pipe<'a> {
    left: u64,
    inside: &'a Cell<i64>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = io::repeat(0).take(self.left).read(buffer)?;
        self.left -= read as u64;
        self.inside.set(self.inside.get() + i64::try_from(read).unwrap());
        Ok(read)
    }
}

impl Write for Pipe<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inside
            .set(self.inside.get() - i64::try_from(bytes.len()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_more_than_two_pieces_are_ever_kept_back() {
    let inside = Cell::new(0_i64);
    let most = Cell::new(0_i64);
    let seen = Cell::new(0_u64);
    let length = 20 << 20;
    let watch = |bytes| {
        most.set(most.get().max(inside.get()));
        assert!(bytes > seen.get(), "progress only grows");
        seen.set(bytes);
        Ok(())
    };
    let mut from = Pipe {
        left: length,
        inside: &inside,
    };
    let mut to = Pipe {
        left: 0,
        inside: &inside,
    };
    encrypt(&Keys::new().recipients(), &mut from, &mut to, &watch).unwrap();
    assert_eq!(seen.get(), length);
    assert!(most.get() > 0 && most.get() <= 2 * 65536, "{} bytes", most.get());
}

#[test]
fn whoever_watches_can_end_it() {
    let keys = Keys::new();
    let sealed = keys.seal(&content(300_000));
    let stop = |bytes| match bytes {
        0..100_000 => Ok(()),
        _ => Err(Error::new(Code::Cancelled, "enough")),
    };
    let mut out = Vec::new();
    let error = decrypt_with(&keys.identity, &mut &*sealed, &mut out, &stop).unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    assert!(out.len() < 200_000, "{}", out.len());
    let mut out = Vec::new();
    let error = encrypt(&keys.recipients(), &mut &*content(300_000), &mut out, &stop).unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    keys.refuses(&out);
}

/// A disk that is full after some bytes, or a reader that breaks.
struct Broken {
    left: usize,
    errno: i32,
}

impl Broken {
    fn some(&mut self, wanted: usize) -> io::Result<usize> {
        let now = wanted.min(self.left);
        self.left -= now;
        match now {
            0 => Err(io::Error::from_raw_os_error(self.errno)),
            now => Ok(now),
        }
    }
}

impl Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.some(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.some(buffer.len())
    }
}

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[test]
fn a_full_disk_is_said_wherever_it_strikes() {
    let keys = Keys::new();
    let content = content(200_000);
    let sealed = keys.seal(&content);
    // In the header, behind it, in a piece, in the last one; a header has a part of random length.
    for left in [0, 30, 250, 70_000, 200_000] {
        let mut full = Broken { left, errno: ENOSPC };
        let error = encrypt(&keys.recipients(), &mut &*content, &mut full, &|_| Ok(())).unwrap_err();
        assert_eq!(error.code, Code::NoSpace, "{left}: {error}");
        assert!(error.message.contains("No space left"), "{left}: {error}");
    }
    let mut full = Broken {
        left: 100_000,
        errno: ENOSPC,
    };
    let error = decrypt_with(&keys.identity, &mut &*sealed, &mut full, &|_| Ok(())).unwrap_err();
    assert_eq!(error.code, Code::NoSpace, "{error}");
}

#[test]
fn a_broken_reader_is_not_taken_for_a_damaged_file() {
    let keys = Keys::new();
    let sealed = keys.seal(&content(200_000));
    for at in [0, 30, 70_000, 150_000, sealed.len()] {
        let mut from = (&sealed[..at]).chain(Broken { left: 0, errno: EIO });
        let error = decrypt_with(&keys.identity, &mut from, &mut io::sink(), &|_| Ok(())).unwrap_err();
        assert_eq!(error.code, Code::Io, "{at}: {error}");
        assert!(error.message.contains("Input/output error"), "{at}: {error}");
    }
    let mut from = (&sealed[..]).chain(Broken { left: 0, errno: EIO });
    let error = encrypt(&keys.recipients(), &mut from, &mut io::sink(), &|_| Ok(())).unwrap_err();
    assert_eq!(error.code, Code::Io, "{error}");
}
