//! Where TLS comes to nothing, or one side speaks it and the other does not: what it was, and what to do. None of it
//! passes by waiting.

use std::error::Error as StdError;
use std::io;

use rustls::{CertificateError as Bad, InvalidMessage};

/// What a server of Go's, and one of nginx's, say to HTTP on a port with TLS.
const ASKED_WITHOUT: [&str; 2] = [
    "Client sent an HTTP request to an HTTPS server",
    "The plain HTTP request was sent to HTTPS port",
];

/// What is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The certificate's time is over.
    Expired,
    /// Or has not begun.
    NotYet,
    /// It is another server's.
    OtherName,
    /// Nobody whom this machine trusts vouches for it.
    Stranger,
    /// It is marked as an authority's, and that is no server.
    Authority,
    /// It is bad in another way.
    OtherCertificate,
    /// The server answers without TLS.
    ServerWithout,
    /// The server wants TLS, and `endpoint` is `http`.
    ServerWith,
    /// What answers speaks something else than HTTP, perhaps TLS.
    NoHttp,
}

impl Trouble {
    /// What is at the bottom of a failed request; none where TLS is not.
    pub(super) fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref() {
                return Self::of_tls(tls);
            }
            if error.downcast_ref().is_some_and(hyper::Error::is_parse) {
                return Some(Self::NoHttp);
            }
            // An I/O error hides what it is made of, perhaps another one: its source is that one's source.
            next = match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
                Some(Some(inner)) => Some(inner),
                _ => error.source(),
            };
        }
        None
    }

    fn of_tls(error: &rustls::Error) -> Option<Self> {
        Some(match error {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::ServerWithout,
            rustls::Error::InvalidCertificate(bad) => match bad {
                Bad::Expired | Bad::ExpiredContext { .. } => Self::Expired,
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => Self::NotYet,
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Self::OtherName,
                Bad::UnknownIssuer => Self::Stranger,
                // The type of the library that looks at certificates is none of ours.
                other if format!("{other:?}").contains("CaUsedAsEndEntity") => Self::Authority,
                _ => Self::OtherCertificate,
            },
            _ => return None,
        })
    }

    /// What a refusal without TLS says of it.
    pub(super) fn in_answer(body: &str) -> Option<Self> {
        ASKED_WITHOUT
            .iter()
            .any(|words| body.contains(words))
            .then_some(Self::ServerWith)
    }

    /// Cause and remedy, for a person.
    pub(super) const fn explain(self) -> (&'static str, &'static str) {
        match self {
            Self::Expired => (
                "the server's certificate is no longer valid",
                "renew it at the server; if its last day is still to come, this machine's clock is wrong (timedatectl, chrony)",
            ),
            Self::NotYet => (
                "the server's certificate is not valid yet",
                "set this machine's clock (timedatectl, chrony), or the one with which it was made",
            ),
            Self::OtherName => (
                "the server's certificate is for another name",
                "write a name or an address into `endpoint` that the certificate has, or give the server one that has this",
            ),
            Self::Stranger => (
                "the server's certificate is not trusted",
                "add its authority to the system's trust store, or name a file with it in SSL_CERT_FILE",
            ),
            Self::Authority => (
                "the server's certificate is marked as an authority's, and such a one can't be a server's",
                "`openssl req -x509` marks it so: make it with `-addext basicConstraints=critical,CA:FALSE`, or have one signed \
                 by an authority",
            ),
            Self::OtherCertificate => (
                "the server's certificate can't be used",
                "give the server one that is valid for it, signed by an authority that this machine trusts",
            ),
            Self::ServerWithout => (
                "the server does not speak TLS there",
                "correct `endpoint` (another port?); `http://` with `allow_http = true` sends everything in the clear",
            ),
            Self::ServerWith => (
                "the server speaks TLS there, and `endpoint` is `http`",
                "write `https://` in `endpoint`",
            ),
            Self::NoHttp => (
                "what answers there does not speak HTTP",
                "correct `endpoint`: a port with TLS needs `https://`",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_below_errors_of_input_and_output() {
        for (error, expected) in [
            (
                rustls::Error::InvalidCertificate(Bad::Expired),
                Some(Trouble::Expired),
            ),
            (
                rustls::Error::InvalidCertificate(Bad::NotValidYet),
                Some(Trouble::NotYet),
            ),
            (
                rustls::Error::InvalidCertificate(Bad::NotValidForName),
                Some(Trouble::OtherName),
            ),
            (
                rustls::Error::InvalidCertificate(Bad::UnknownIssuer),
                Some(Trouble::Stranger),
            ),
            (
                rustls::Error::InvalidCertificate(Bad::BadSignature),
                Some(Trouble::OtherCertificate),
            ),
            (
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
                Some(Trouble::ServerWithout),
            ),
            // It may have been the network.
            (rustls::Error::DecryptError, None),
        ] {
            let text = error.to_string();
            let hidden = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!(Trouble::of(&hidden), expected, "{text}");
        }
        assert_eq!(
            Trouble::of(&io::Error::from(io::ErrorKind::ConnectionReset)),
            None
        );
    }

    #[test]
    fn what_servers_say_to_http_where_they_have_tls_is_known() {
        let nginx =
            "<html><body><h1>400 Bad Request</h1>The plain HTTP request was sent to HTTPS port</body></html>";
        assert_eq!(Trouble::in_answer(nginx), Some(Trouble::ServerWith));
        assert_eq!(Trouble::in_answer("<Error><Code>BadRequest</Code></Error>"), None);
    }
}
