//! `--web.config.file`: the format that all Prometheus exporters share, that of the exporter toolkit.
//!
//! <https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md>. What is not supported is
//! refused, never ignored: who wrote it relies on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

use super::auth::Users;
use super::tls;
use crate::small_file::{self, Stamp};

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Document {
    tls_server_config: Option<TlsSection>,
    http_server_config: Option<HttpSection>,
    basic_auth_users: BTreeMap<String, String>,
}

/// Keys of `tls_server_config`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsSection {
    pub(super) cert_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) client_auth_type: Option<String>,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) min_version: Option<String>,
    pub(super) max_version: Option<String>,
    /// Go's order of preference: rustls always prefers its own.
    #[serde(rename = "prefer_server_cipher_suites")]
    _prefer: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpSection {
    /// HTTP/1.1 is served either way: it is what a client without HTTP/2 falls back to.
    #[serde(rename = "http2")]
    _http2: Option<bool>,
    headers: BTreeMap<String, String>,
}

/// Files, each as it was just before it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files(Vec<(PathBuf, Option<Stamp>)>);

impl Files {
    /// Reads a file and notes its state.
    ///
    /// # Errors
    /// What the file system says, naming the file.
    pub(super) fn read(&mut self, file: &Path) -> Result<String, String> {
        self.0.push((file.to_owned(), small_file::stamp(file)));
        small_file::read(file).map_err(|e| format!("{}: {e}", file.display()))
    }

    /// Whether one of them is another than was read. May hang with their file system.
    pub(super) fn have_changed(&self) -> bool {
        self.0
            .iter()
            .any(|(file, before)| small_file::stamp(file) != *before)
    }
}

/// A configuration, ready to be used.
#[derive(Default)]
pub(super) struct Loaded {
    /// None: plain HTTP.
    pub(super) tls: Option<TlsAcceptor>,
    /// None: everybody may ask.
    pub(super) users: Option<Arc<Users>>,
    /// Set on every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Every file that it came from.
    pub(super) files: Files,
}

impl Loaded {
    /// Reads a web configuration and what it names. Paths are relative to the file.
    ///
    /// # Errors
    /// What is wrong, in words that show no secret.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let mut files = Files::default();
        let text = files.read(file)?;
        let in_file = |problem: String| format!("{}: {problem}", file.display());
        let document = parse(&text).map_err(in_file)?;
        let dir = file.parent().unwrap_or(Path::new("."));
        let tls = match &document.tls_server_config {
            Some(section) => tls::acceptor(section, dir, &mut files)
                .map_err(|problem| in_file(format!("tls_server_config: {problem}")))?,
            None => None,
        };
        Ok(Self {
            tls,
            users: Users::new(document.basic_auth_users)
                .map_err(in_file)?
                .map(Arc::new),
            headers: headers(document.http_server_config.unwrap_or_default().headers).map_err(in_file)?,
            files,
        })
    }
}

fn parse(text: &str) -> Result<Document, String> {
    // A file of comments only is a document without a value.
    let parsed = serde_saphyr::from_str::<Option<Document>>(text).map_err(|e| {
        // Not its excerpt of the file, which has the users' hashes.
        e.without_snippet().to_string()
    })?;
    Ok(parsed.unwrap_or_default())
}

/// The headers that the toolkit lets the file set, with the values that it lets them have.
fn headers(configured: BTreeMap<String, String>) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    const ALLOWED: [(&str, &[&str]); 5] = [
        ("Content-Security-Policy", &[]),
        ("Strict-Transport-Security", &[]),
        ("X-Content-Type-Options", &["nosniff"]),
        ("X-Frame-Options", &["deny", "sameorigin"]),
        ("X-XSS-Protection", &[]),
    ];
    let checked = |(name, value): (String, String)| {
        let wrong = |problem: &str| format!("http_server_config: headers: {name}: {problem}");
        let Some((_, values)) = ALLOWED.iter().find(|(allowed, _)| *allowed == name) else {
            let names = ALLOWED.map(|(allowed, _)| allowed).join(", ");
            return Err(wrong(&format!("it can't be set; those that can: {names}")));
        };
        if !values.is_empty() && !values.contains(&value.to_lowercase().as_str()) {
            return Err(wrong(&format!("it has to be {}", values.join(" or "))));
        }
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .ok()
            .zip(HeaderValue::from_str(&value).ok());
        parsed.ok_or_else(|| wrong("the value has characters that a header can't have"))
    };
    configured.into_iter().map(checked).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(text: &str) -> Result<Loaded, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.yml");
        std::fs::write(&file, text).unwrap();
        Loaded::read(&file)
    }

    #[test]
    fn an_empty_file_is_plain_http_for_everybody() {
        for text in [
            "",
            "# nothing yet\n",
            "---\n",
            "tls_server_config: {}\n",
            "basic_auth_users: {}\n",
        ] {
            let loaded = read(text).unwrap();
            assert!(loaded.tls.is_none() && loaded.users.is_none(), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_supported_is_refused_by_name() {
        for (text, part) in [
            ("tls_server_confg: {}", "tls_server_confg"),
            ("tls_server_config: {cipher_suites: [x]}", "cipher_suites"),
            ("tls_server_config: {cert_file: a}", "key_file"),
            ("tls_server_config: {key_file: a}", "cert_file"),
            ("tls_server_config: {min_version: TLS12}", "cert_file"),
            (
                "tls_server_config: {cert_file: a, key_file: b, min_version: TLS11}",
                "TLS11",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: b, min_version: TLS13, max_version: TLS12}",
                "max_version",
            ),
            (
                "tls_server_config: {cert_file: missing.pem, key_file: b}",
                "missing.pem",
            ),
            ("http_server_config: {headers: {Server: x}}", "Server"),
            (
                "http_server_config: {headers: {X-Frame-Options: yes}}",
                "deny or sameorigin",
            ),
            (
                "http_server_config: {headers: {X-XSS-Protection: \"a\\nb\"}}",
                "X-XSS-Protection",
            ),
            ("basic_auth_users: [x]", "line 1"),
            ("a: b: c", "line 1"),
            ("a: 1\na: 2", "a"),
        ] {
            let said = read(text).err().unwrap_or_else(|| "accepted".to_owned());
            assert!(said.contains(part), "{text}: {said}");
        }
    }

    #[test]
    fn a_hash_that_is_none_is_refused_and_not_shown() {
        for hash in [
            "hunter2",
            "$2y$99$x",
            "$2y$31$OSU5p9vRcBxiJvZdJDrNQOxD0OuxkSJbZcrcePFVfYm6NOEPxmMuK",
        ] {
            let said = read(&format!("basic_auth_users: {{alice: '{hash}'}}"))
                .err()
                .unwrap();
            assert!(said.contains("alice") && !said.contains(hash), "{said}");
        }
        let said = read("basic_auth_users:\n  alice: 'hunter2\n  x").err().unwrap();
        assert!(!said.contains("hunter2"), "{said}");
    }
}
