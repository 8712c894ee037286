//! SHA-256 and length of whatever goes through a reader or a writer.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::text::hex;

/// Bytes hashed at a time.
const BUFFER: usize = 1 << 20;

/// Something that counts and hashes all that goes through it.
pub(crate) struct Hashing<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Hashing<T> {
    pub(crate) fn new(inner: T) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// Bytes and SHA-256 in lower-case hexadecimal.
    pub(crate) fn finish(self) -> (u64, String) {
        (self.bytes, hex(&self.hash.finalize()))
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.saw(&buffer[..n]);
        Ok(n)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.saw(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Bytes and SHA-256 of what is left of a reader. `control` is told after each piece how many bytes were read; its error
/// ends the work.
///
/// # Errors
/// What reading and `control` say.
pub(crate) fn digest(
    from: impl Read,
    what: &str,
    control: &dyn Fn(u64) -> Result<()>,
) -> Result<(u64, String)> {
    let mut hashing = Hashing::new(from);
    let mut buffer = vec![0; BUFFER];
    loop {
        match hashing.read(&mut buffer) {
            Ok(0) => return Ok(hashing.finish()),
            Ok(_) => control(hashing.bytes)?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io(format_args!("read {what}"), &e)),
        }
    }
}
