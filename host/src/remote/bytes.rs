//! The bytes of a copy: read, compared with what its signed row says, and never more of them than that.

use std::io::{self, Write};

use super::row::Object;
use super::store::Store;
use super::watch::Watch;
use crate::error::{Code, Error, Result};
use crate::hashing::Hashing;

/// Reads an object, or one version of it, and proves that it is the one of its row. Without an error alone `to` is good.
///
/// # Errors
/// `Corrupt` for other bytes, of which no more are taken than the right ones have; what the store, `to` and the watch say.
pub(super) fn read(
    store: &Store,
    object: &Object,
    version: Option<&str>,
    to: &mut dyn Write,
    watch: &Watch,
) -> Result<()> {
    let mut limited = Limited {
        to,
        left: object.size,
        over: false,
    };
    let mut hashing = Hashing::new(&mut limited);
    let done = store.download(&object.key, version, &mut hashing, &watch.transfer(object.size));
    let (size, sha256) = hashing.finish();
    if limited.over {
        return Err(changed(object));
    }
    done?;
    if size != object.size || sha256 != object.sha256 {
        return Err(changed(object));
    }
    limited
        .flush()
        .map_err(|e| Error::io(format_args!("write what came of {}", object.key), &e))
}

fn changed(object: &Object) -> Error {
    let message = format!(
        "{} at the remote is not what was copied there: it was changed or exchanged",
        object.key
    );
    Error::new(Code::Corrupt, message)
        .remedy("`cofre remote verify` looks at all of them; another remote may be good")
}

/// A writer that takes so many bytes: somebody who puts a larger object in the place of a copy fills no disk with it.
struct Limited<'a> {
    to: &'a mut dyn Write,
    left: u64,
    over: bool,
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            self.over = true;
            return Err(io::Error::other("it is larger than its row says"));
        }
        let written = self.to.write(bytes)?;
        self.left = self.left.saturating_sub(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn not_one_byte_more_is_taken_than_was_said() {
        let mut to = Vec::new();
        let mut limited = Limited {
            to: &mut to,
            left: 5,
            over: false,
        };
        limited.write_all(b"abc").unwrap();
        limited.write_all(b"de").unwrap();
        assert!(!limited.over);
        assert!(limited.write_all(b"f").is_err() && limited.over);
        assert_eq!(to, b"abcde");
    }
}
