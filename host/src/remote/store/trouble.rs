//! What object stores and the network answer, turned into errors of ours: which remote, doing what, to which object,
//! why, and what to do. Only words chosen here and the server's own short message are shown: never a URL, a header or
//! a signed request, for these can hold credentials.

use std::error::Error as StdError;

use object_store::client::{HttpError, HttpErrorKind};

use super::tls;
use super::wire::Hints;
use crate::error::{Code, Error};
use crate::text;

/// Longest message of a server that is passed on.
const LONGEST: usize = 300;

/// Clocks may differ by this much before it is worth a word; S3 refuses at 15 minutes.
const SKEW: i64 = 5 * 60;

/// A failed request, before it is known what it was for.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// The status of the answer, if there was one.
    pub(super) status: Option<u16>,
    /// The code in the answer: `NoSuchKey`.
    pub(super) code: String,
    /// The sentence in the answer, or what the network said.
    message: String,
    /// How the network failed.
    pub(super) network: Option<HttpErrorKind>,
    /// What is wrong with TLS.
    tls: Option<tls::Trouble>,
}

impl Failure {
    /// From an answer of a server.
    pub(super) fn answer(status: u16, body: &str) -> Self {
        Self {
            status: Some(status),
            code: element(body, "Code"),
            message: element(body, "Message"),
            network: None,
            tls: tls::Trouble::in_answer(body),
        }
    }

    /// From the network.
    pub(super) fn network(error: &HttpError) -> Self {
        Self {
            status: None,
            code: String::new(),
            message: innermost(error),
            network: Some(error.kind()),
            tls: tls::Trouble::of(error),
        }
    }

    /// An answer that ended before its end.
    pub(super) fn cut() -> Self {
        Self {
            status: None,
            code: String::new(),
            message: "the answer ended too early".to_owned(),
            network: Some(HttpErrorKind::Interrupted),
            tls: None,
        }
    }

    /// From an answer that makes no sense.
    pub(super) fn nonsense(message: impl Into<String>) -> Self {
        Self {
            status: None,
            code: "Nonsense".to_owned(),
            message: message.into(),
            network: None,
            tls: None,
        }
    }

    /// Whether the same request may succeed a moment later.
    pub(super) fn may_pass(&self) -> bool {
        match self.status {
            Some(408 | 425 | 429 | 500 | 502..=504 | 507..) => true,
            Some(_) => matches!(
                &*self.code,
                "RequestTimeout"
                    | "BadDigest"
                    | "IncompleteBody"
                    | "XAmzContentSHA256Mismatch"
                    | "SlowDown"
                    | "InternalError"
                    | "ConditionalRequestConflict"
                    | "OperationAborted"
            ),
            None => !matches!(
                self.network,
                None | Some(HttpErrorKind::Unknown | HttpErrorKind::Decode)
            ),
        }
    }

    /// Whether the upload id is no longer known.
    pub(super) fn is_lost_upload(&self) -> bool {
        matches!(&*self.code, "NoSuchUpload" | "InvalidUploadId")
    }

    /// Whether the server does not know this kind of call at all.
    pub(super) fn is_unknown_call(&self) -> bool {
        matches!(self.status, Some(405 | 501)) || matches!(&*self.code, "NotImplemented" | "MethodNotAllowed")
    }

    /// Whether there is no such object, and the place where it would be is there.
    pub(super) fn is_no_object(&self) -> bool {
        self.status == Some(404)
            && !matches!(
                &*self.code,
                "NoSuchBucket" | "ContainerNotFound" | "NoSuchUpload" | "ResourceNotFound"
            )
    }

    /// The error of a person's: `what` names the remote, the operation and the object.
    pub(super) fn explain(&self, what: &str, hints: &Hints) -> Error {
        let (code, cause, remedy) = self.judge(hints);
        let error = Error::new(code, format!("{what}: {cause}"));
        match remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }

    fn judge(&self, hints: &Hints) -> (Code, String, Option<String>) {
        let say = |code, cause: &str, remedy: &str| (code, cause.to_owned(), Some(remedy.to_owned()));
        if let Some((cause, remedy)) = self.tls.map(tls::Trouble::explain) {
            let cause = match self.status {
                Some(_) => cause.to_owned(),
                None => format!("{cause} ({})", self.said()),
            };
            return (Code::Io, cause, Some(remedy.to_owned()));
        }
        if let Some(found) = self.judge_clock_and_region(hints) {
            return found;
        }
        match (&*self.code, self.status) {
            ("SignatureDoesNotMatch" | "AuthenticationFailed" | "InvalidSecurity", _) => say(
                Code::AccessDenied,
                "the server does not accept the credentials: the secret key is wrong",
                "check the secret in the credentials of this remote",
            ),
            ("InvalidAccessKeyId" | "InvalidAuthenticationInfo", _) => say(
                Code::AccessDenied,
                "the server does not know the access key of the credentials",
                "check the key id in the credentials of this remote, and that they belong to this endpoint",
            ),
            ("ExpiredToken" | "TokenRefreshRequired" | "InvalidToken", _) => say(
                Code::AccessDenied,
                "the session token of the credentials is no longer valid",
                "renew the credentials of this remote",
            ),
            ("NoSuchBucket" | "ContainerNotFound" | "NoSuchContainer", _) => say(
                Code::NotFound,
                "there is no such bucket",
                "create it, or correct `url` and `endpoint` of this remote",
            ),
            ("QuotaExceeded" | "XMinioStorageFull" | "InsufficientStorage" | "StorageFull", _)
            | (_, Some(507)) => say(
                Code::NoSpace,
                "the store is full, or its quota is used up",
                "make space there, or raise the quota",
            ),
            ("ObjectLocked" | "InvalidRetentionPeriod" | "BlobImmutableDueToPolicy", _) => (
                Code::Refused,
                format!("the store protects it ({})", self.said()),
                None,
            ),
            ("SlowDown" | "ServerBusy" | "Throttling", _) | (_, Some(429 | 503)) => say(
                Code::Io,
                "the server is too busy, also after several attempts",
                "try again later, or lower `rate` and `parallel` of this remote",
            ),
            (_, Some(401 | 403)) => (
                Code::AccessDenied,
                format!("the server refuses access ({})", self.said()),
                Some("check the credentials of this remote and what they are allowed to do there".to_owned()),
            ),
            (_, Some(status)) => (
                Code::Io,
                format!("the server answered {status} ({})", self.said()),
                None,
            ),
            (_, None) => self.judge_network(),
        }
    }

    fn judge_clock_and_region(&self, hints: &Hints) -> Option<(Code, String, Option<String>)> {
        let skew = hints.ahead.filter(|ahead| ahead.abs() > SKEW);
        if self.code == "RequestTimeTooSkewed" || (self.status == Some(403) && skew.is_some()) {
            let by = skew.map_or_else(String::new, |ahead| {
                let way = if ahead > 0 { "behind" } else { "ahead of" };
                format!(" by {} s {way} the server's", ahead.abs())
            });
            let cause = format!("the server refuses requests of this machine, for its clock is wrong{by}");
            let remedy = "set the clock (timedatectl, chrony)".to_owned();
            return Some((Code::AccessDenied, cause, Some(remedy)));
        }
        let wrong = matches!(
            &*self.code,
            "AuthorizationHeaderMalformed"
                | "PermanentRedirect"
                | "TemporaryRedirect"
                | "IllegalLocationConstraintException"
        );
        if wrong || matches!(self.status, Some(301 | 307)) {
            let cause = hints.region.as_ref().map_or_else(
                || {
                    format!(
                        "the server does not serve this bucket in this region ({})",
                        self.said()
                    )
                },
                |region| format!("the bucket is in the region {}", text::escape(region)),
            );
            let remedy = "correct `region` and `endpoint` of this remote".to_owned();
            return Some((Code::Config, cause, Some(remedy)));
        }
        None
    }

    fn judge_network(&self) -> (Code, String, Option<String>) {
        let said = self.said();
        let remedy = |text: &str| Some(text.to_owned());
        match self.network {
            Some(HttpErrorKind::Timeout) => (
                Code::Stuck,
                format!("no answer in time ({said})"),
                remedy("check the connection to the server"),
            ),
            Some(HttpErrorKind::Connect) => (
                Code::Io,
                format!("no connection to the server ({said})"),
                remedy("check `endpoint` of this remote, and whether the server is up"),
            ),
            Some(_) => (Code::Io, format!("the connection broke ({said})"), None),
            None => (Code::Io, said, None),
        }
    }

    /// The code and the sentence of the answer, fit for a terminal.
    fn said(&self) -> String {
        let whole = match (&*self.code, &*self.message) {
            ("" | "Nonsense", "") => "no reason given".to_owned(),
            ("" | "Nonsense", message) => message.to_owned(),
            (code, "") => code.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        let short: String = whole.chars().take(LONGEST).collect();
        text::escape(&short).into_owned()
    }
}

impl From<&object_store::Error> for Failure {
    fn from(error: &object_store::Error) -> Self {
        use object_store::Error as E;
        let mut source: Option<&(dyn StdError + 'static)> = error.source();
        while let Some(inner) = source {
            if let Some(http) = inner.downcast_ref::<HttpError>() {
                return Self::network(http);
            }
            source = inner.source();
        }
        // The error with the answer in it is private; its text is not. It holds the URL too, and so isn't shown.
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        let status = match error {
            E::NotFound { .. } => Some(404),
            E::NotModified { .. } => Some(304),
            E::Precondition { .. } => Some(412),
            E::AlreadyExists { .. } => Some(409),
            E::PermissionDenied { .. } => Some(403),
            E::Unauthenticated { .. } => Some(401),
            _ if text.contains("redirect without LOCATION") => Some(301),
            _ => status_in(&text),
        };
        if status.is_some() {
            return Self {
                status,
                ..Self::answer(0, &text)
            };
        }
        Self::nonsense(match error {
            E::InvalidPath { .. } => "the store has an object whose name can't be used".to_owned(),
            E::NotSupported { .. } | E::NotImplemented { .. } => "the store can't do this".to_owned(),
            _ => innermost(error),
        })
    }
}

/// The status in the text of an error of `object_store`.
fn status_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The content of the first element with this name.
fn element(xml: &str, name: &str) -> String {
    let found = xml
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    found.map_or_else(String::new, |(text, _)| {
        quick_xml::escape::unescape(text).map_or_else(|_| text.to_owned(), |text| text.into_owned())
    })
}

/// What the last error of a chain says: the system's or the library's own words, without the URLs of the outer ones.
fn innermost(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}
