//! age files as streams: piece by piece of 64 KiB, in constant memory, whatever the file claims to be.

use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, Read, Write};

use age::{DecryptError, Decryptor, Encryptor};

use super::{AGE_ARMOR, AGE_MAGIC, Identity, Recipients};
use crate::error::{Code, Error, Result};

/// Longest header that is read: a hostile one must not fill the memory. One recipient takes about 100 bytes.
pub(crate) const HEADER_LIMIT: usize = 32 * 1024;

/// Bytes to write at once of a file that is being encrypted. age's own pieces end in the middle of a page, which made a
/// push take a twentieth longer.
pub(crate) const WRITE_SIZE: usize = 1 << 20;

/// Most lines of a header: age parses all of it anew with each line. One recipient takes two.
const HEADER_LINES: usize = 1000;

/// What a file of the format's first version begins with, the only one there is.
const FIRST_VERSION: &[u8] = b"age-encryption.org/v1\n";

/// Bytes that are taken at a time; the format's own pieces have this size.
const PIECE: usize = 64 * 1024;

/// Encrypts `from` into `to` for whoever has the identity of one of the recipients, and flushes it. `control` is called
/// after each piece with the bytes read so far; its error ends the work. Returns the bytes written.
///
/// # Errors
/// What reading, writing and `control` say. What was written until then can't be decrypted as if it were complete.
pub fn encrypt(
    recipients: &Recipients,
    from: &mut dyn Read,
    to: &mut dyn Write,
    control: &dyn Fn(u64) -> Result<()>,
) -> Result<u64> {
    let encryptor = Encryptor::with_recipients(recipients.iter())
        .map_err(|e| Error::new(Code::Internal, format!("set up the encryption: {e}")))?;
    let mut out = Counted {
        to,
        bytes: 0,
        failed: None,
    };
    let done = encrypt_into(encryptor, from, &mut out, control);
    match (done, out.failed) {
        // As the system said it; age keeps only the words.
        (Err(Failed::Write(_)), Some(error)) | (Err(Failed::Write(error)), None) => {
            Err(Error::io("write the encrypted file", &error))
        }
        (Err(Failed::Read(error)), _) => Err(Error::io("read what is to be encrypted", &error)),
        (Err(Failed::Stopped(error)), _) => Err(error),
        (Ok(()), _) => Ok(out.bytes),
    }
}

fn encrypt_into(
    encryptor: Encryptor,
    from: &mut dyn Read,
    out: &mut Counted<'_>,
    control: &dyn Fn(u64) -> Result<()>,
) -> std::result::Result<(), Failed> {
    let mut writer = encryptor.wrap_output(out).map_err(Failed::Write)?;
    copy(from, &mut writer, control)?;
    // Only this makes the file complete.
    let out = writer.finish().map_err(Failed::Write)?;
    out.flush().map_err(Failed::Write)
}

/// Decrypts `from` into `to`, and flushes it. Returns the bytes written.
///
/// # Errors
/// As [`decrypt_with`].
pub fn decrypt(identity: &Identity, from: &mut dyn Read, to: &mut dyn Write) -> Result<u64> {
    decrypt_with(identity, from, to, &|_| Ok(()))
}

/// [`decrypt`] with `control`, which is called after each piece with the bytes written so far; its error ends the work.
///
/// Each piece is authentic when it is written, but only without an error is the whole complete: whatever `to` has got
/// until an error is to be thrown away.
///
/// # Errors
/// `AccessDenied` when the identity does not fit, `Corrupt` for a file that is damaged, cut short or no age file at all,
/// `Unsupported` for one that is locked in another way, and what reading, writing and `control` say.
pub fn decrypt_with(
    identity: &Identity,
    from: &mut dyn Read,
    to: &mut dyn Write,
    control: &dyn Fn(u64) -> Result<()>,
) -> Result<u64> {
    let head = head_of(from)?;
    let ended = Cell::new(false);
    let input = Input {
        head: &head,
        rest: from,
        ended: &ended,
    };
    let decryptor = Decryptor::new_buffered(input).map_err(|e| in_header(&e, &head))?;
    if decryptor.is_scrypt() {
        return Err(unsupported("is encrypted with a passphrase, not for a key")
            .remedy("cofre encrypts for keys only; `age -d` asks for the passphrase"));
    }
    let mut reader = decryptor
        .decrypt(identity.iter())
        .map_err(|e| in_header(&e, &head))?;
    let done = Cell::new(0);
    let counted = |bytes| {
        done.set(bytes);
        control(bytes)
    };
    copy(&mut reader, to, &counted).map_err(|failed| match failed {
        Failed::Read(error) => in_payload(error, done.get(), ended.get()),
        Failed::Write(error) => Error::io("write what is decrypted", &error),
        Failed::Stopped(error) => error,
    })?;
    to.flush()
        .map_err(|error| Error::io("write what is decrypted", &error))?;
    Ok(done.get())
}

/// Bytes of the content of each piece that is sealed by itself, and of what sealing adds to it; the number at the beginning.
/// Source: the age format, C2SP, "Payload".
const SEALED_PIECE: u64 = PIECE as u64;
const TAG: u64 = 16;
const NONCE: u64 = 16;

/// Bytes of an age file with a header of so many bytes that holds `size` bytes.
#[must_use]
pub fn encrypted_size(header: u64, size: u64) -> u64 {
    let pieces = size.div_ceil(SEALED_PIECE).max(1);
    header
        .saturating_add(NONCE)
        .saturating_add(size)
        .saturating_add(pieces.saturating_mul(TAG))
}

/// Whether a file begins as an age file that is encrypted for keys; that it is complete only the identity can tell. Gives
/// the bytes of the header.
///
/// # Errors
/// As [`decrypt_with`], as far as no identity is needed.
pub fn check_header(from: &mut dyn Read) -> Result<u64> {
    let head = head_of(from)?;
    let input = Input {
        head: &head,
        rest: from,
        ended: &Cell::new(false),
    };
    let decryptor = Decryptor::new_buffered(input).map_err(|e| in_header(&e, &head))?;
    if decryptor.is_scrypt() {
        return Err(unsupported("is encrypted with a passphrase, not for a key"));
    }
    // Its last line begins with three dashes; the library has read it.
    let dashes = memchr::memmem::find(&head, b"\n---").map_or(0, |at| at + 1);
    let end = memchr::memchr(b'\n', &head[dashes..]).map_or(head.len(), |at| dashes + at + 1);
    Ok(end as u64)
}

/// The first bytes, which are those of an age file and hold its header.
fn head_of(from: &mut dyn Read) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEADER_LIMIT);
    let limit = HEADER_LIMIT as u64;
    Read::take(&mut *from, limit)
        .read_to_end(&mut head)
        .map_err(cant_read)?;
    look(&head)?;
    Ok(head)
}

/// Which side of a copy failed.
enum Failed {
    Read(io::Error),
    Write(io::Error),
    Stopped(Error),
}

fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    control: &dyn Fn(u64) -> Result<()>,
) -> std::result::Result<(), Failed> {
    let mut buffer = vec![0; PIECE];
    let mut done = 0;
    loop {
        let piece = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Failed::Read(e)),
        };
        to.write_all(piece).map_err(Failed::Write)?;
        done += piece.len() as u64;
        control(done).map_err(Failed::Stopped)?;
    }
}

/// Counts what is written, and keeps an error as it was.
struct Counted<'a> {
    to: &'a mut dyn Write,
    bytes: u64,
    failed: Option<io::Error>,
}

impl Counted<'_> {
    fn keep<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            self.failed = Some(error);
            kind.into()
        })
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // All of it: age gives up where a write of its header is interrupted.
        let result = self.to.write_all(bytes);
        self.keep(result)?;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.to.flush();
        self.keep(result)
    }
}

/// An age file whose first bytes are in memory already.
struct Input<'a> {
    head: &'a [u8],
    rest: &'a mut dyn Read,
    /// Whether the end of the file was seen.
    ended: &'a Cell<bool>,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            return self.head.read(buffer);
        }
        let read = self
            .rest
            .read(buffer)
            .map_err(|e| io::Error::new(e.kind(), Outside(e)))?;
        self.ended.set(read == 0);
        Ok(read)
    }
}

/// Only the header is read line by line, and has to be among the first bytes.
impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.head)
    }

    fn consume(&mut self, amount: usize) {
        self.head.consume(amount);
    }
}

/// An error of the reader below, to be told from one that age found.
#[derive(Debug)]
struct Outside(io::Error);

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Outside {}

/// Refuses what is no binary age file, by its first bytes.
fn look(head: &[u8]) -> Result<()> {
    if head.starts_with(AGE_MAGIC) {
        // Its last line begins with this, and no other.
        let end = head.windows(4).position(|part| part == b"\n---");
        let header = head.get(..end.unwrap_or(head.len())).unwrap_or_default();
        let lines = header.iter().filter(|byte| **byte == b'\n').count();
        return if lines > HEADER_LINES {
            Err(corrupt("has a damaged header: it has more than 1000 lines"))
        } else {
            Ok(())
        };
    }
    if head.is_empty() {
        return Err(corrupt("is empty"));
    }
    if AGE_MAGIC.starts_with(head) {
        return Err(cut_short("in its first line"));
    }
    if head.starts_with(AGE_ARMOR) {
        return Err(
            unsupported("is written as text (armored), and cofre's are binary")
                .remedy("`age -d -i IDENTITY FILE` opens it"),
        );
    }
    let problem = if head.starts_with(b"PK") {
        "is no age file but a ZIP archive that is not encrypted"
    } else {
        "is no age file: it does not begin with `age-encryption.org/`"
    };
    Err(corrupt(problem))
}

/// What is wrong with the header at the beginning of `head`.
fn in_header(error: &DecryptError, head: &[u8]) -> Error {
    match error {
        DecryptError::NoMatchingKeys => Error::new(
            Code::AccessDenied,
            "the identity does not open the encrypted file: it was encrypted for other keys, or its header is damaged",
        )
        .remedy(
            "give the identity file whose `# public key` is among the `recipients` of the machine that made the backup",
        ),
        // age takes a first version that it can't parse for another one.
        DecryptError::UnknownFormat if !head.starts_with(FIRST_VERSION) => {
            unsupported("is of a newer version of the age format").remedy("use a newer cofre, or age itself")
        }
        DecryptError::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof && head.len() < HEADER_LIMIT => {
            cut_short("in its header")
        }
        DecryptError::Io(_) => corrupt("has a damaged header: it does not end within 32 KiB"),
        DecryptError::InvalidMac => corrupt("has a damaged header: its checksum (MAC) does not match"),
        _ => corrupt("has a damaged header"),
    }
}

/// What is wrong behind the header, after `done` bytes that were right.
fn in_payload(error: io::Error, done: u64, ended: bool) -> Error {
    let error = match error.downcast::<Outside>() {
        Ok(Outside(error)) => return cant_read(error),
        Err(error) => error,
    };
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return cut_short(&format!("after {done} bytes of its content"));
    }
    let or = if ended { "cut short or damaged" } else { "damaged" };
    corrupt(&format!("is {or} after {done} bytes of its content")).remedy(OTHER_COPY)
}

/// What helps against damage.
const OTHER_COPY: &str = "fetch it again, or use another copy";

fn corrupt(problem: &str) -> Error {
    Error::new(Code::Corrupt, format!("the encrypted file {problem}"))
}

fn cut_short(place: &str) -> Error {
    corrupt(&format!("is cut short: it ends {place}")).remedy(OTHER_COPY)
}

fn unsupported(problem: &str) -> Error {
    Error::new(Code::Unsupported, format!("the encrypted file {problem}"))
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn cant_read(error: io::Error) -> Error {
    Error::io("read the encrypted file", &error)
}
