//! One request to somebody else's server, which is trusted with nothing: not to answer, not to stop answering, and
//! not to say where to go next.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::DefaultConnector;

use super::address::{Guard, Refused};
use crate::text::escape;

/// What is read of an answer at most, in bytes; the status alone counts.
const ANSWER_BYTES: u64 = 64 << 10;
/// Longest head of an answer, in bytes.
const HEAD_BYTES: usize = 64 << 10;
/// The longest `Retry-After` that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);

/// What is to be sent.
#[derive(Debug)]
pub(super) struct Request {
    /// Where to. Never shown.
    pub(super) url: String,
    /// Value of `Content-Type`.
    pub(super) content_type: &'static str,
    /// Further headers.
    pub(super) headers: Vec<(&'static str, String)>,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// Why it did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// For people; without the URL.
    pub(super) message: String,
    /// How long the other side wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            retry_after: None,
        }
    }
}

/// Sends one request. A clone of `agent` that is shut down on another thread ends it early.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    timeout: Duration,
}

impl Client {
    /// A client for one target: the system's trust store as it is now, no proxy, no redirects, `timeout` for all of
    /// it together, and no connection that is kept.
    pub(super) fn new(timeout: Duration, allow_http: bool) -> Self {
        // Given explicitly: a default of the process would have to be set by whoever comes first.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .max_response_header_size(HEAD_BYTES)
            .max_idle_connections(0)
            .user_agent(concat!("cofre/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Guard::new(allow_http));
        Self { agent, timeout }
    }

    /// Ends what goes on through any clone, at once but for a name lookup or a connection that is being made.
    pub(super) fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    /// Sends, and gives the status of an answer that means success.
    ///
    /// # Errors
    /// Any other answer, or none.
    pub(super) fn post(&self, request: &Request) -> Result<u16, Failure> {
        let mut call = self
            .agent
            .post(&request.url)
            .header("content-type", request.content_type);
        for (name, value) in &request.headers {
            call = call.header(*name, value);
        }
        let mut response = call.send(&request.body).map_err(|error| self.explain(&error))?;
        let status = response.status();
        if status.is_success() {
            // Taken off the line out of courtesy: it has arrived, whatever comes of this.
            let mut answer = response.body_mut().as_reader().take(ANSWER_BYTES);
            let _ = std::io::copy(&mut answer, &mut std::io::sink());
            return Ok(status.as_u16());
        }
        let message = if status.is_redirection() {
            format!(
                "answered {}, a redirect, which is not followed: configure the address that it leads to",
                status.as_u16()
            )
        } else {
            format!("answered {}", status.as_u16())
        };
        Err(Failure {
            message,
            retry_after: retry_after(&response),
        })
    }

    /// What went wrong, in words that show no URL.
    fn explain(&self, error: &ureq::Error) -> Failure {
        use ureq::Error as E;
        let message = match error {
            E::Timeout(_) => format!("no complete answer within {} s", self.timeout.as_secs_f64()),
            E::HostNotFound => "its name has no address".to_owned(),
            E::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
                Some(error) => tls(error),
                None => escape(&error.to_string()).into_owned(),
            },
            E::Rustls(error) => tls(error),
            E::Tls(text) => format!("TLS: {text}"),
            E::Protocol(error) => format!("not HTTP: {}", escape(&error.to_string())),
            E::LargeResponseHeader(..) => format!("the head of its answer is longer than {HEAD_BYTES} bytes"),
            E::RedirectFailed | E::TooManyRedirects => {
                "answered with a redirect, which is not followed: configure the address that it leads to"
                    .to_owned()
            }
            E::Other(other) => match other.downcast_ref::<Refused>() {
                Some(refused) => refused.to_string(),
                None => "the request failed".to_owned(),
            },
            E::BadUri(_) | E::Http(_) => "its URL can't be used".to_owned(),
            E::ConnectionFailed => "no connection".to_owned(),
            // The rest may quote the URL.
            _ => "the request failed".to_owned(),
        };
        Failure::new(message)
    }
}

fn tls(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error};
    let hint = match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            " (its authority is not in the system's trust store; SSL_CERT_FILE names another)"
        }
        _ => "",
    };
    format!("TLS: {}{hint}", escape(&error.to_string()))
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), at most a day.
fn retry_after<T>(response: &Response<T>) -> Option<Duration> {
    let text = response.headers().get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds).min(LONGEST_WAIT));
    }
    let date = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    let wait = date.signed_duration_since(super::now());
    Some(wait.to_std().unwrap_or_default().min(LONGEST_WAIT))
}

#[cfg(test)]
mod tests;
