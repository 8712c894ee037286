//! Sums of what was sent, and whether a store's own account of what it has agrees with them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::s3::Stored;
use super::{Checked, Part};
use crate::text::hex;

/// Sums in the form in which S3 says them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sums {
    size: u64,
    sha256: String,
    /// None where that of a part is not known.
    md5: Option<String>,
}

/// A part with its SHA-256. That is what newer stores say; the MD5 for others takes longer than all the rest.
pub(super) fn part(number: usize, bytes: &[u8]) -> Part {
    Part {
        number,
        etag: String::new(),
        sha256: BASE64_STANDARD.encode(Sha256::digest(bytes)),
        md5: String::new(),
    }
}

/// The bytes of a part's SHA-256.
pub(super) fn digest_of(part: &Part) -> Vec<u8> {
    BASE64_STANDARD.decode(&part.sha256).unwrap_or_default()
}

/// The MD5 of a part.
pub(super) fn md5(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

impl Sums {
    /// Of something that was put at once.
    pub(super) fn whole(bytes: &[u8]) -> Self {
        Self {
            size: bytes.len() as u64,
            sha256: part(0, bytes).sha256,
            md5: Some(md5(bytes)),
        }
    }

    /// Of a multipart upload: the sums of the parts' sums.
    pub(super) fn composite(size: u64, parts: &[Part]) -> Self {
        let mut parts: Vec<&Part> = parts.iter().collect();
        parts.sort_by_key(|part| part.number);
        let (mut sha256, mut md5) = (Sha256::new(), Md5::new());
        for part in &parts {
            sha256.update(digest_of(part));
            md5.update(unhex(&part.md5));
        }
        let count = parts.len();
        let known = parts.iter().all(|part| !part.md5.is_empty());
        Self {
            size,
            sha256: format!("{}-{count}", BASE64_STANDARD.encode(sha256.finalize())),
            md5: known.then(|| format!("{}-{count}", hex(&md5.finalize()))),
        }
    }

    /// Whether the store's account can't be compared without the MD5 of all parts.
    pub(super) fn lack_md5(&self, stored: &Stored) -> bool {
        self.md5.is_none() && stored.sha256.is_none() && !stored.encrypted
    }

    /// What of the store's account was compared; the error says what differs.
    pub(super) fn compare(&self, stored: &Stored) -> Result<Checked, String> {
        if stored.size != self.size {
            return Err(format!("{} bytes instead of {}", stored.size, self.size));
        }
        if let Some(theirs) = &stored.sha256 {
            // Some leave out how many parts it were.
            let bare = |sum: &str| sum.split('-').next().unwrap_or_default().to_owned();
            return if *theirs == self.sha256 || *theirs == bare(&self.sha256) {
                Ok(Checked::Sha256)
            } else {
                Err(format!("its SHA-256 is {theirs} instead of {}", self.sha256))
            };
        }
        let etag = stored.etag.as_deref().unwrap_or_default().trim_matches('"');
        if stored.encrypted || !is_md5(etag) {
            return Ok(Checked::Size);
        }
        match &self.md5 {
            None => Ok(Checked::Size),
            Some(md5) if etag == md5 => Ok(Checked::Md5),
            Some(md5) => Err(format!("its MD5 is {etag} instead of {md5}")),
        }
    }
}

/// Whether an ETag has the form of an MD5, or of one over parts.
fn is_md5(etag: &str) -> bool {
    let (sum, count) = etag.split_once('-').unwrap_or((etag, "1"));
    sum.len() == 32 && sum.bytes().all(|b| b.is_ascii_hexdigit()) && count.bytes().all(|b| b.is_ascii_digit())
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
mod tests {
    use super::*;

    fn stored(size: u64, etag: &str, sha256: Option<&str>) -> Stored {
        Stored {
            size,
            etag: Some(etag.to_owned()),
            version: None,
            sha256: sha256.map(str::to_owned),
            encrypted: false,
        }
    }

    #[test]
    fn the_best_sum_that_a_store_tells_decides() {
        let sums = Sums::whole(b"x");
        let (md5, sha) = (
            "\"9dd4e461268c8034f5c8564e155c67a6\"",
            "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=",
        );
        assert_eq!(
            sums.compare(&stored(1, "\"any\"", Some(sha))),
            Ok(Checked::Sha256)
        );
        assert_eq!(sums.compare(&stored(1, md5, None)), Ok(Checked::Md5));
        assert_eq!(
            sums.compare(&stored(1, "\"0x8D4BCC2E4835CD0\"", None)),
            Ok(Checked::Size)
        );
        assert!(
            sums.compare(&stored(2, md5, Some(sha)))
                .unwrap_err()
                .contains("2 bytes instead of 1")
        );
        assert!(
            sums.compare(&stored(1, md5, Some("AAAA")))
                .unwrap_err()
                .contains("SHA-256")
        );
        let other = "\"00000000000000000000000000000000\"";
        assert!(sums.compare(&stored(1, other, None)).unwrap_err().contains("MD5"));
        let encrypted = Stored {
            encrypted: true,
            ..stored(1, other, None)
        };
        assert_eq!(sums.compare(&encrypted), Ok(Checked::Size));
    }

    #[test]
    fn parts_are_put_together_in_their_order() {
        let with_md5 = |number, bytes| Part {
            md5: md5(bytes),
            ..part(number, bytes)
        };
        // By sha256sum and md5sum over the binary sums of "a" and "b".
        let sums = Sums::composite(2, &[with_md5(1, b"b"), with_md5(0, b"a")]);
        assert_eq!(sums.md5.as_deref(), Some("96e024ba2074fe77e8e965ba43a704be-2"));
        assert_eq!(Sums::composite(2, &[with_md5(1, b"b"), part(0, b"a")]).md5, None);
        assert_eq!(sums.sha256, "5aAf7hTg7VxIcU8iGA8lrYNltT+XefedxKPX6Tlj+Uo=-2");
    }
}
