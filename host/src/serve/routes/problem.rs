//! What the API answers when it does not do what was asked: one table of codes, statuses and sentences.

use axum::http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};

use crate::api::types::{Backup, Failure, Verification};
use crate::error::{Code, Error};

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
    /// The service ends.
    ShuttingDown,
    /// There is no such route.
    UnknownRoute,
    /// The route has no such method.
    MethodNotAllowed,
    /// The request itself is malformed.
    BadRequest,
    /// The request took too long to arrive.
    RequestTimeout,
    /// The request's header is too long.
    HeadersTooLarge,
    /// The body is no JSON.
    InvalidJson,
    /// The body is JSON, but not what the route takes.
    InvalidBody,
    /// The body is of another type.
    UnsupportedMediaType,
    /// The body is too long.
    BodyTooLarge,
    /// The id is no number from 1 on.
    InvalidId,
    /// A parameter of the query can't be read.
    InvalidQuery,
    /// `tipo` can't be a type.
    InvalidType,
    /// `destino` can't be the name of a folder.
    InvalidDestination,
    /// The run of this backup made no archive, or has not yet.
    NotCompleted,
    /// The catalog has the backup, the folder not its archive.
    ArchiveMissing,
    /// The backup is there, and nothing in it matches what was asked for.
    NothingMatches,
    /// No `api.restore_dir`.
    RestoreDisabled,
    /// Nothing of the archive lies in the range.
    RangeNotSatisfiable,
    /// `If-Match` names another archive.
    PreconditionFailed,
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
            Self::ShuttingDown => ("shutting_down", 503, "O serviço está sendo encerrado"),
            Self::UnknownRoute => ("unknown_route", 404, "Rota não encontrada"),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "Método não permitido nesta rota"),
            Self::BadRequest => ("bad_request", 400, "Requisição inválida"),
            Self::RequestTimeout => ("request_timeout", 408, "A requisição demorou demais"),
            Self::HeadersTooLarge => ("headers_too_large", 431, "Cabeçalhos grandes demais"),
            Self::InvalidJson => ("invalid_json", 400, "O corpo da requisição não é JSON válido"),
            Self::InvalidBody => (
                "invalid_body",
                422,
                "O corpo da requisição não tem o formato esperado",
            ),
            Self::UnsupportedMediaType => (
                "unsupported_media_type",
                415,
                "O corpo da requisição deve ser application/json",
            ),
            Self::BodyTooLarge => ("body_too_large", 413, "O corpo da requisição é grande demais"),
            Self::InvalidId => ("invalid_id", 400, "O id deve ser um número inteiro a partir de 1"),
            Self::InvalidQuery => ("invalid_query", 400, "Parâmetro de consulta inválido"),
            Self::InvalidType => (
                "invalid_type",
                422,
                "Tipo inválido: use de 1 a 32 letras minúsculas, dígitos, `_` ou `-`",
            ),
            Self::InvalidDestination => (
                "invalid_destination",
                422,
                "Destino inválido: informe um nome simples, sem caminho",
            ),
            Self::NotCompleted => ("not_completed", 400, "Backup não foi concluído"),
            Self::ArchiveMissing => ("archive_missing", 404, "Arquivo de backup não encontrado"),
            Self::NothingMatches => (
                Code::NotFound.name(),
                404,
                "Nada no backup corresponde ao que foi pedido",
            ),
            Self::RestoreDisabled => (
                "restore_disabled",
                409,
                "A restauração pela API não está habilitada",
            ),
            Self::RangeNotSatisfiable => ("range_not_satisfiable", 416, "Intervalo de bytes inválido"),
            Self::PreconditionFailed => ("precondition_failed", 412, "O arquivo não é o esperado"),
            Self::Library(code) => (code.name(), code.http_status(), sentence(code)),
        }
    }

    /// The stable English code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().0
    }

    /// The Portuguese sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        self.row().2
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// The Portuguese sentence of an error of the library.
const fn sentence(code: Code) -> &'static str {
    match code {
        Code::Usage => "Requisição inválida",
        Code::Config => "A configuração do servidor está incorreta",
        Code::NotFound => "Backup não encontrado",
        Code::VerifyFailed => "A verificação do backup encontrou problemas",
        Code::Corrupt => "O arquivo de backup está danificado",
        Code::Busy => "Outro backup está em andamento",
        Code::NoSpace => "Não há espaço em disco",
        Code::AccessDenied => "O servidor não tem permissão de acesso",
        Code::Encrypted => "O backup está criptografado, e aqui não há identidade para abri-lo",
        Code::Sandbox => "A operação foi recusada pelo ambiente isolado",
        Code::Cancelled => "A operação foi cancelada",
        Code::Stuck => "A operação não avançou dentro do prazo",
        Code::CatalogInvalid => "O histórico de backups não pode ser lido",
        Code::AlreadyExists => "O destino já existe",
        Code::Refused => "Operação recusada para proteger o backup",
        Code::SourceMissing => "Uma origem do backup está ausente ou vazia",
        Code::DumpFailed => "Não foi possível exportar o banco de dados",
        Code::HookFailed => "O programa executado antes do backup falhou",
        Code::Unsupported => "Operação não suportada",
        Code::Io => "Falha de leitura ou gravação",
        Code::Internal => "Erro interno",
    }
}

/// Code and detail of a [`Problem`], among the extensions of its answer: for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why(pub String);

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
    /// The backup whose run failed.
    pub backup: Option<Box<Backup>>,
    /// The verification that found something wrong.
    pub verification: Option<Box<Verification>>,
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
            backup: None,
            verification: None,
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

impl From<Cause> for Problem {
    fn from(cause: Cause) -> Self {
        Self::new(cause)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        // What to do about a refusal is an option of the command line.
        let detail = match error.code {
            Code::Refused => error.message,
            _ => error.to_string(),
        };
        Self::new(Cause::Library(error.code)).detail(detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self {
            status,
            code,
            message,
            detail,
            headers,
            backup,
            verification,
        } = self;
        let why = match &detail {
            Some(detail) => format!("{code}: {detail}"),
            None => code.to_owned(),
        };
        let failure = Failure {
            success: false,
            code,
            message,
            detail,
            backup,
            verification,
        };
        let headers: HeaderMap = headers.into_iter().collect();
        (status, headers, Extension(Why(why)), Json(failure)).into_response()
    }
}
