//! The certificate: read at start, and again when its files change.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_rustls::TlsAcceptor;

use crate::config::{Api, others_can_read};
use crate::error::{Code, Error, Result};
use crate::text::{escape, shown};

/// No chain of certificates is longer, bytes.
const FILE_BYTES: u64 = 1 << 20;

/// Certificate and key, which may be replaced while the service runs.
pub(super) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
}

/// Which files they were: another inode, size or time of change says that they were replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp([Option<(u64, u64, u64, i64, i64)>; 2]);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads both files; none where TLS is not configured.
    ///
    /// # Errors
    /// A file that can't be read, has no certificate or key in it, or a key of another certificate. Whether the
    /// certificate is still valid is for the clients to say: a server that does not start helps nobody.
    pub(super) fn new(api: &Api) -> Result<Option<Self>> {
        let (Some(cert), Some(key)) = (&api.tls_cert, &api.tls_key) else {
            return Ok(None);
        };
        Ok(Some(Self {
            cert: cert.clone(),
            key: key.clone(),
            current: RwLock::new(load(cert, key)?),
        }))
    }

    /// For the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&current))
    }

    /// The files as they are now.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp([&self.cert, &self.key].map(|path| {
            // Links are followed on purpose: certbot replaces where they lead to.
            let meta = std::fs::metadata(path).ok()?;
            let changed = (meta.mtime(), meta.mtime_nsec());
            Some((meta.dev(), meta.ino(), meta.size(), changed.0, changed.1))
        }))
    }

    /// Takes the files as they are now.
    ///
    /// # Errors
    /// As [`Self::new`]; the old certificate stays.
    pub(super) fn reload(&self) -> Result<()> {
        let config = load(&self.cert, &self.key)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }
}

/// Keeps the certificate current, for ever: both files are read again on SIGHUP, and when they have changed and
/// then stayed the same from one look to the next, so that a pair that is being replaced is not read in the
/// middle. What can't be used is logged once, and the old certificate stays.
pub(super) async fn keep_current(tls: Arc<Tls>, every: Duration) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(e) => {
            tracing::warn!("SIGHUP can't be heard, so that it does not renew the certificate: {e}");
            None
        }
    };
    let mut loaded = tls.stamp();
    let mut seen = loaded.clone();
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(every) => false,
            () = heard(&mut hangup) => true,
        };
        let (reader, before, last) = (Arc::clone(&tls), loaded.clone(), seen.clone());
        // Files are slow where they lie on a network.
        let looked = tokio::task::spawn_blocking(move || {
            let now = reader.stamp();
            let due = asked || (now != before && now == last);
            (now, due.then(|| reader.reload()))
        });
        let Ok((now, reloaded)) = looked.await else {
            continue;
        };
        match &reloaded {
            Some(Ok(())) => tracing::info!("the certificate {} was read again", shown(&tls.cert)),
            Some(Err(error)) => tracing::error!("the old certificate stays in use: {error}"),
            None => {}
        }
        if reloaded.is_some() {
            loaded = now.clone();
        }
        seen = now;
    }
}

async fn heard(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => {
            hangup.recv().await;
        }
        None => std::future::pending().await,
    }
}

fn load(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>> {
    let chain = certificates(cert)?;
    let private = private_key(key)?;
    if others_can_read(key) {
        let key = shown(key);
        tracing::warn!("{key} holds a private key and others can read it: run `chmod 600 {key}`");
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    // Both versions that rustls has, 1.2 and 1.3.
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Code::Internal, format!("TLS can't be set up: {e}")))?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| {
            let (cert, key) = (shown(cert), shown(key));
            match e {
                rustls::Error::InconsistentKeys(_) => Error::new(
                    Code::Config,
                    format!("api.tls_key: {key} is not the key of the first certificate in {cert}"),
                )
                .remedy("give the pair that belongs together, the server's own certificate first"),
                e => Error::new(
                    Code::Config,
                    format!(
                        "api.tls_cert: {cert} and {key} can't be used: {}",
                        escape(&e.to_string())
                    ),
                )
                .remedy("give a certificate chain and its RSA, ECDSA or Ed25519 key, both in PEM"),
            }
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let pem = read("api.tls_cert", path)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<std::result::Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| not_pem("api.tls_cert", path, &e))?;
    if chain.is_empty() {
        return Err(Error::new(
            Code::Config,
            format!("api.tls_cert: there is no certificate in {}", shown(path)),
        )
        .remedy("give a chain in PEM, which begins with -----BEGIN CERTIFICATE-----"));
    }
    Ok(chain)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let pem = read("api.tls_key", path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|e| match e {
        PemError::NoItemsFound => Error::new(
            Code::Config,
            format!("api.tls_key: there is no private key in {}", shown(path)),
        )
        .remedy("give a key in PEM without a passphrase: `openssl pkey -in OLD -out NEW` removes it"),
        e => not_pem("api.tls_key", path, &e),
    })
}

/// The text of the parser's error is left out: it can have a line of the key in it.
fn not_pem(key: &str, path: &Path, error: &PemError) -> Error {
    let what = match error {
        PemError::MissingSectionEnd { .. } => "the end of a section is missing",
        PemError::IllegalSectionStart { .. } => "a section begins wrongly",
        PemError::Base64Decode(_) => "a section is no base64",
        _ => "it can't be parsed",
    };
    Error::new(Code::Config, format!("{key}: {} is damaged: {what}", shown(path)))
        .remedy("put the PEM file there again")
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>> {
    let fail = |e: std::io::Error| {
        Error::io(format_args!("{key}: read {}", shown(path)), &e)
            .remedy("check that the file is there and that cofre's user may read it")
    };
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}
