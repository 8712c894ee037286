//! The OpenAPI document: what stands around the routes, and which problems each of them may answer with. The routes
//! themselves are described by the annotations of their handlers, from which the router is made as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use utoipa::openapi::schema::{AdditionalProperties, Schema};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, Info, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, Response, ResponseBuilder, Type,
};
use utoipa::{IntoResponses, ToSchema as _};

use super::problem::Cause;
use super::work::Site;
use crate::api::answers::{Progress, PruneBody, RestoreBody};
use crate::api::types::Failure;
use crate::error::Code;

/// Name of the security scheme.
const BEARER: &str = "bearer";

/// This document.
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "openapi",
    tag = "service",
    responses((status = 200, description = "The document", content_type = "application/json", body = Object), OfDocument),
)]
pub(super) async fn openapi(
    State(site): State<Arc<Site>>,
) -> ([(HeaderName, &'static str); 1], axum::body::Bytes) {
    ([(CONTENT_TYPE, "application/json")], site.document.clone())
}

/// What stands around the routes.
pub(super) fn base() -> OpenApi {
    let mut info = Info::new("cofre", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Backups of an application: make, list, download, verify, restore. Sentences in `message` are Portuguese, \
         `code` and `detail` English; sizes are bytes."
            .to_owned(),
    );
    let bearer = SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token of the configuration, or the application's own session (JWT)",
            ))
            .build(),
    );
    let mut schemas = vec![];
    Progress::schemas(&mut schemas);
    let components = ComponentsBuilder::new()
        .security_scheme(BEARER, bearer)
        .schema(Progress::name(), <Progress as utoipa::PartialSchema>::schema())
        .schemas_from_iter(schemas)
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new(BEARER, Vec::<String>::new())]))
        .build()
}

/// What the annotations can't say: that a body may be left out, which bodies may have no other members, and that an
/// archive is no JSON of any schema.
pub(super) fn finish(document: &mut OpenApi) {
    if let Some(components) = &mut document.components {
        for name in [RestoreBody::name(), PruneBody::name()] {
            if let Some(RefOr::T(Schema::Object(body))) = components.schemas.get_mut(name.as_ref()) {
                body.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
    }
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.post, &mut item.delete, &mut item.get];
        for operation in operations.into_iter().flatten() {
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                body.required = Some(Required::False);
            }
            for response in operation.responses.responses.values_mut() {
                if let RefOr::T(response) = response
                    && let Some(RefOr::T(content)) = response.content.get_mut("application/zip")
                {
                    content.schema = None;
                }
            }
        }
    }
}

/// Problems by their status, each with its codes and sentences.
fn problems(causes: &[Cause]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<&Cause>> = BTreeMap::new();
    for cause in causes {
        by_status.entry(cause.status().as_u16()).or_default().push(cause);
    }
    by_status
        .into_iter()
        .map(|(status, causes)| (status.to_string(), problem(status, &causes).into()))
        .collect()
}

fn problem(status: u16, causes: &[&Cause]) -> Response {
    let list: Vec<_> = causes
        .iter()
        .map(|cause| format!("`{}`: {}", cause.code(), cause.sentence()))
        .collect();
    let failure = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(Failure::name())))
        .build();
    let response = ResponseBuilder::new()
        .description(list.join("; "))
        .content("application/json", failure);
    match status {
        401 => response.header("WWW-Authenticate", header(Type::String, "`Bearer`")),
        405 => response.header("Allow", header(Type::String, "The methods of the route")),
        416 => response.header("Content-Range", header(Type::String, "`bytes */SIZE`")),
        429 => response.header("Retry-After", header(Type::Integer, "Seconds to wait")),
        _ => response,
    }
    .build()
}

fn header(kind: Type, description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new()
        .schema(Some(ObjectBuilder::new().schema_type(kind).build()))
        .description(Some(description))
        .build()
}

/// What any route may answer: who calls, how much there is to do, and what may go wrong before the route.
const ANY: [Cause; 9] = [
    Cause::BadRequest,
    Cause::NotAuthenticated,
    Cause::Forbidden,
    Cause::MethodNotAllowed,
    Cause::RequestTimeout,
    Cause::TooManyAttempts,
    Cause::HeadersTooLarge,
    Cause::Overloaded,
    Cause::Library(Code::Internal),
];

/// What any route may answer that asks the engine.
const ENGINE: [Cause; 7] = [
    Cause::Library(Code::CatalogInvalid),
    Cause::Library(Code::AccessDenied),
    Cause::Library(Code::Sandbox),
    Cause::Library(Code::Stuck),
    Cause::Library(Code::Config),
    Cause::Library(Code::Unsupported),
    Cause::Library(Code::Io),
];

/// What a route with a body may answer.
const BODY: [Cause; 5] = [
    Cause::InvalidJson,
    Cause::InvalidBody,
    Cause::UnsupportedMediaType,
    Cause::BodyTooLarge,
    Cause::CrossSite,
];

/// What a route about one backup may answer.
const ONE: [Cause; 3] = [
    Cause::InvalidId,
    Cause::Library(Code::NotFound),
    Cause::Library(Code::Refused),
];

/// What a route that writes in the backups folder may answer.
const WRITE: [Cause; 3] = [
    Cause::Library(Code::Busy),
    Cause::Library(Code::NoSpace),
    Cause::CrossSite,
];

/// Defines for each route the problems that it may answer with.
macro_rules! problems_of {
    ($($(#[$doc:meta])* $name:ident: [$($group:ident),*], [$($cause:expr),*];)*) => {
        $(
            $(#[$doc])*
            pub(super) struct $name;

            impl IntoResponses for $name {
                fn responses() -> BTreeMap<String, RefOr<Response>> {
                    let groups: &[&[Cause]] = &[&ANY, $(&$group,)* &[$($cause),*]];
                    problems(&groups.concat())
                }
            }
        )*
    };
}

problems_of! {
    /// Of `criar`. What fails the run is described at the route.
    OfCreate: [BODY], [Cause::InvalidType, Cause::Library(Code::Busy), Cause::ShuttingDown];
    /// Of `status` and `listar`.
    OfCatalog: [ENGINE], [];
    /// Of `info`.
    OfInfo: [ENGINE, ONE], [Cause::InvalidQuery, Cause::Library(Code::Corrupt)];
    /// Of `download`.
    OfDownload: [ENGINE, ONE], [
        Cause::NotCompleted, Cause::ArchiveMissing, Cause::PreconditionFailed, Cause::RangeNotSatisfiable
    ];
    /// Of `verificar`. A damaged archive is described at the route.
    OfVerify: [ENGINE, ONE], [Cause::NotCompleted, Cause::CrossSite, Cause::ShuttingDown];
    /// Of `restaurar`.
    OfRestore: [ENGINE, ONE, BODY, WRITE], [
        Cause::NotCompleted, Cause::ArchiveMissing, Cause::NothingMatches, Cause::InvalidDestination,
        Cause::RestoreDisabled,
        Cause::Library(Code::AlreadyExists), Cause::Library(Code::Usage), Cause::Library(Code::Corrupt),
        Cause::Library(Code::Encrypted), Cause::ShuttingDown
    ];
    /// Of `excluir`.
    OfDelete: [ENGINE, ONE, WRITE], [];
    /// Of `limpar`.
    OfPrune: [ENGINE, BODY, WRITE], [Cause::Library(Code::Refused)];
    /// Of `progresso`.
    OfProgress: [], [Cause::ShuttingDown];
    /// Of this document.
    OfDocument: [], [];
    /// Of `metrics`.
    OfMetrics: [], [];
}
