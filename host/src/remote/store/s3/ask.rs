//! One request to S3, before it is signed.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hyper::Method;
use md5::{Digest as _, Md5};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use super::super::Until;
use crate::config::LockMode;

/// What a signature leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// One request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) key: &'a str,
    pub(super) query: Vec<(&'a str, &'a str)>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    /// SHA-256 of the body, where it is known: it is signed, too.
    pub(super) digest: Option<Vec<u8>>,
    /// How often it is sent, where another attempt may succeed, however long the first ones took.
    pub(super) at_least: usize,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, key: &'a str, query: &[(&'a str, &'a str)]) -> Self {
        Self {
            method,
            key,
            query: query.to_vec(),
            headers: Vec::new(),
            body: Bytes::new(),
            digest: None,
            at_least: 1,
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn locked(self, lock: Option<&Until>) -> Self {
        let Some(lock) = lock else { return self };
        self.header("x-amz-object-lock-mode", mode(lock.mode))
            .header("x-amz-object-lock-retain-until-date", time(lock.at))
    }

    /// With a body and its sums; a request about locks must have the old one, MD5.
    pub(super) fn body(mut self, body: Bytes, md5: bool) -> Self {
        if md5 {
            let sum = BASE64_STANDARD.encode(Md5::digest(&body));
            self = self.header("content-md5", sum);
        }
        let digest = Sha256::digest(&body);
        self.summed(body, digest.to_vec())
    }

    /// With a body whose SHA-256 is known.
    pub(super) fn summed(mut self, body: Bytes, digest: Vec<u8>) -> Self {
        let sum = BASE64_STANDARD.encode(&digest);
        self.body = body;
        self.digest = Some(digest);
        self.header("x-amz-checksum-sha256", sum)
    }

    /// Sent so often, where another attempt may succeed, however long the first ones took.
    pub(super) fn at_least(mut self, attempts: usize) -> Self {
        self.at_least = attempts;
        self
    }

    pub(super) fn url(&self, bucket: &str) -> String {
        let mut url = bucket.to_owned();
        if !self.key.is_empty() {
            url.push('/');
            url.extend(utf8_percent_encode(self.key, IN_PATH));
        }
        for (at, (name, value)) in self.query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.extend(utf8_percent_encode(name, UNRESERVED));
            url.push('=');
            url.extend(utf8_percent_encode(value, UNRESERVED));
        }
        url
    }
}

pub(super) const fn mode(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "GOVERNANCE",
        LockMode::Compliance => "COMPLIANCE",
    }
}

/// To the second, never earlier than asked for.
pub(super) fn time(at: DateTime<Utc>) -> String {
    let up = TimeDelta::nanoseconds((1_000_000_000 - i64::from(at.timestamp_subsec_nanos())) % 1_000_000_000);
    (at + up).to_rfc3339_opts(SecondsFormat::Secs, true)
}
