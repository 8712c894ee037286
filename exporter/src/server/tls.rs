//! TLS from the section `tls_server_config`.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tokio_rustls::TlsAcceptor;

use super::web_config::{Files, TlsSection};

/// What accepts connections as the section says; `None` for an empty one. Notes in `files` what it reads.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn acceptor(
    section: &TlsSection,
    dir: &Path,
    files: &mut Files,
) -> Result<Option<TlsAcceptor>, String> {
    let (cert, key) = match (&section.cert_file, &section.key_file) {
        (Some(cert), Some(key)) => (dir.join(cert), dir.join(key)),
        (Some(_), None) => return Err("cert_file needs a key_file".to_owned()),
        (None, Some(_)) => return Err("key_file needs a cert_file".to_owned()),
        (None, None) if is_empty(section) => return Ok(None),
        (None, None) => return Err("cert_file and key_file are missing".to_owned()),
    };
    let versions = versions(section)?;
    let chain = certificates(&cert, files)?;
    let text = files.read(&key)?;
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| format!("{}: there is no private key in PEM form in it", key.display()))?;
    let ca = section.client_ca_file.as_ref().map(|file| dir.join(file));

    // The provider is named so that it doesn't depend on what else the process sets up.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?;
    let builder = match clients(section, ca.as_deref(), provider, files)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, private)
        .map_err(|e| format!("{} and its key can't be used: {e}", cert.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn is_empty(section: &TlsSection) -> bool {
    section.client_auth_type.is_none()
        && section.client_ca_file.is_none()
        && section.min_version.is_none()
        && section.max_version.is_none()
}

fn versions(section: &TlsSection) -> Result<&'static [&'static SupportedProtocolVersion], String> {
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    let number = |key: &str, value: &Option<String>, default: u8| match value.as_deref() {
        None => Ok(default),
        Some("TLS12") => Ok(12),
        Some("TLS13") => Ok(13),
        Some(other) => Err(format!("{key}: {other:?} is not supported; write TLS12 or TLS13")),
    };
    let least = number("min_version", &section.min_version, 12)?;
    match (least, number("max_version", &section.max_version, 13)?) {
        (12, 13) => Ok(&BOTH),
        (13, 13) => Ok(&BOTH[..1]),
        (12, 12) => Ok(&BOTH[1..]),
        _ => Err("max_version is lower than min_version".to_owned()),
    }
}

/// What checks the clients' certificates, if anything does.
fn clients(
    section: &TlsSection,
    ca: Option<&Path>,
    provider: Arc<rustls::crypto::CryptoProvider>,
    files: &mut Files,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let kind = section.client_auth_type.as_deref();
    let optional = match (kind, ca) {
        (None | Some("" | "NoClientCert"), None) => return Ok(None),
        (None | Some("" | "NoClientCert"), Some(_)) => {
            return Err("client_ca_file needs client_auth_type: RequireAndVerifyClientCert".to_owned());
        }
        (Some("RequireAndVerifyClientCert"), _) => false,
        (Some("VerifyClientCertIfGiven"), _) => true,
        (Some(other), _) => {
            return Err(format!(
                "client_auth_type: {other:?} is not supported; write NoClientCert, VerifyClientCertIfGiven or \
                 RequireAndVerifyClientCert"
            ));
        }
    };
    let ca = ca.ok_or("client_auth_type needs a client_ca_file")?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, files)? {
        roots
            .add(certificate)
            .map_err(|e| format!("{}: {e}", ca.display()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    builder
        .build()
        .map(Some)
        .map_err(|e| format!("{}: {e}", ca.display()))
}

fn certificates(file: &Path, files: &mut Files) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = files.read(file)?;
    let found = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(format!(
            "{}: there is no certificate in PEM form in it",
            file.display()
        )),
    }
}
