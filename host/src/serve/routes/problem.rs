//! What the API answers when it does not do what was asked.

use axum::Json;
use axum::http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::error::Code;

/// Why a call is refused or has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// No credential, or one that is wrong or expired.
    NotAuthenticated,
    /// A valid credential that may not do this.
    Forbidden,
    /// A mutation by cookie that comes from another site.
    CrossSite,
    /// Too many wrong credentials from one address.
    TooManyAttempts,
    /// More work than is done at a time.
    Overloaded,
    /// The request itself is malformed.
    BadRequest,
    /// The request took too long to arrive.
    RequestTimeout,
    /// The body is too long.
    BodyTooLarge,
    /// An error of the library.
    Library(Code),
}

impl Cause {
    /// Stable code, status and Portuguese sentence.
    const fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::NotAuthenticated => ("not_authenticated", 401, "Não autenticado"),
            Self::Forbidden => ("forbidden", 403, "Acesso restrito a administradores"),
            Self::CrossSite => ("cross_site", 403, "Requisição de outra origem recusada"),
            Self::TooManyAttempts => (
                "too_many_attempts",
                429,
                "Tentativas demais; aguarde antes de tentar novamente",
            ),
            Self::Overloaded => (
                "overloaded",
                503,
                "Servidor ocupado; tente novamente em instantes",
            ),
            Self::BadRequest => ("bad_request", 400, "Requisição inválida"),
            Self::RequestTimeout => ("request_timeout", 408, "A requisição demorou demais"),
            Self::BodyTooLarge => ("body_too_large", 413, "O corpo da requisição é grande demais"),
            Self::Library(code) => (code.name(), code.http_status(), "Erro interno"),
        }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// An answer that says what went wrong: `{"success":false,"code","message","detail"}`.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Status of the answer.
    pub status: StatusCode,
    /// Stable English code.
    pub code: &'static str,
    /// Portuguese sentence for people.
    pub message: String,
    /// What exactly, in English; never a secret.
    pub detail: Option<String>,
    /// Further fields of the answer's header, such as `Retry-After`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// The answer for a cause, without a detail. A 401 names the scheme.
    #[must_use]
    pub fn new(cause: Cause) -> Self {
        let (code, _, message) = cause.row();
        let problem = Self {
            status: cause.status(),
            code,
            message: message.to_owned(),
            detail: None,
            headers: Vec::new(),
        };
        match cause {
            Cause::NotAuthenticated => problem.header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            _ => problem,
        }
    }

    /// Says more, in English.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a field to the answer's header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Says in how many seconds another attempt makes sense.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.header(RETRY_AFTER, seconds)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut object = serde_json::json!({"success": false, "code": self.code, "message": self.message});
        if let Some(fields) = object.as_object_mut() {
            fields.extend(self.detail.map(|text| ("detail".to_owned(), text.into())));
        }
        let headers: HeaderMap = self.headers.into_iter().collect();
        (self.status, headers, Json(object)).into_response()
    }
}
