//! The one error type of this crate, and the status that a client sees for it.

use std::{error::Error as StdError, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    error::{BlockingError, UrlGenerationError},
    http::{StatusCode, header},
};
use boardinghouse_core::{DomainName, ErrorKind, TenantId, TenantStatus};

/// The cause of an [`Error`] that comes from the application.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Seconds after which a client may try again what was answered with 503.
const RETRY_AFTER: u64 = 5;

/// Why a request was not served.
///
/// As a response it is a status and nothing else: the body is empty, because messages name schemas,
/// tenants and hosts. What happened is logged, once, when the response is made: as an error for 500,
/// as a warning for other 5xx, else as information.
///
/// | what happened | status |
/// |---|---|
/// | the `Host` header is missing, malformed, or there are two | 400 |
/// | the request names no tenant, or one that does not exist | [`Tenancy::unknown`], 404 |
/// | two resolvers name different tenants, where [that is refused] | 400; 403 where anybody can write what one of them reads |
/// | the user may not enter the tenant | 403 |
/// | a switch without the right, a token or a signature | 403 |
/// | a form of another tenant or session; a switch where nobody switches | 409 |
/// | no tenant was chosen, and there is a [page to choose one] | 302 to it; 409 for programs |
/// | the tenant is suspended | [`Tenancy::suspended`], 403 |
/// | the tenant is being created or deleted, or creating it failed | 503, `Retry-After` |
/// | the registry, or a resolver, cannot tell, or [does not in time](crate::Tenancy::lookup_timeout) | 503, `Retry-After` |
/// | no connection; schema missing or locked | 503, `Retry-After` |
/// | a resolver refused the request | what it chose |
/// | anything else: a failed query, a panic, no middleware | 500 |
///
/// [`Tenancy::unknown`]: crate::Tenancy::unknown
/// [`Tenancy::suspended`]: crate::Tenancy::suspended
/// [that is refused]: crate::Tenancy::deny_conflicts
/// [page to choose one]: crate::Tenancy::chooser
///
/// # Examples
///
/// ```
/// use actix_web::{ResponseError, http::StatusCode};
/// use boardinghouse_core::ErrorKind;
///
/// let busy = boardinghouse_core::Error::new(ErrorKind::PoolTimeout, "all connections are in use");
/// let error = boardinghouse_actix::Error::from(busy);
/// assert_eq!(error.status_code(), StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(error.kind(), Some(ErrorKind::PoolTimeout));
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Cause>);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error(transparent)]
    Core(boardinghouse_core::Error),
    #[error("could not find out which tenant the request is for")]
    Lookup(#[source] BoxError),
    #[error(
        "the registry did not say within {0:?} which tenant the request is for: it is slow, or too many \
         names are looked up at once"
    )]
    Crowded(Duration),
    #[error("there is no tenant for host {host:?} and path {path:?}", host = host.as_deref().unwrap_or_default())]
    Unknown {
        status: StatusCode,
        host: Option<String>,
        path: String,
    },
    #[error("a resolver refused the request with status {0}")]
    Refused(StatusCode),
    #[error("could not find out who sent the request")]
    User(#[source] BoxError),
    #[cfg(feature = "session")]
    #[error(transparent)]
    NoSession(#[from] crate::session::NoSession),
    #[cfg(feature = "session")]
    #[error("could not write to the session")]
    Session(#[source] BoxError),
    #[cfg(feature = "session")]
    #[error(transparent)]
    Switch(crate::switch::Refusal),
    #[error("resolvers name different tenants")]
    Conflict,
    #[error("the user may not enter tenant {id}")]
    Forbidden { id: TenantId },
    #[error(
        "the request names its tenant in a way that anybody can write, or the tenancy is restricted, and \
         nothing says who may enter which tenant: call `Tenancy::access`"
    )]
    NoAccess,
    #[error("the request needs a tenant, and none was chosen")]
    NotChosen { chooser: Option<String> },
    #[error("tenant {id} is {status}, not ready")]
    NotReady {
        id: TenantId,
        status: TenantStatus,
        code: StatusCode,
    },
    #[error("there is no such link")]
    Url(#[source] UrlGenerationError),
    #[error("the request has no single, well-formed host")]
    BadHost,
    #[error(
        "the handler needs a tenant, but {0:?} is exempt from having one, or is of the shared site"
    )]
    NoTenant(String),
    #[error(
        "no `Tenancy` has seen this request: add `.wrap(tenancy.middleware())` to the `App` that \
         the handler belongs to"
    )]
    NoMiddleware,
    #[error(
        "the path cannot be rewritten to begin after {0:?}: wrap the `App` with the tenancy, not a \
         scope in it, and let the resolver name a beginning of the path that ends before a slash"
    )]
    CannotMount(String),
    #[error("the blocking task panicked, or the server is shutting down")]
    Blocking(#[from] BlockingError),
}

impl Error {
    /// What kind of error of [`boardinghouse_core`] this is; `None` where it is about the request.
    #[must_use]
    pub fn kind(&self) -> Option<ErrorKind> {
        self.as_core().map(boardinghouse_core::Error::kind)
    }

    /// The error of [`boardinghouse_core`], where it is one.
    #[must_use]
    pub fn as_core(&self) -> Option<&boardinghouse_core::Error> {
        match &*self.0 {
            Cause::Core(error) => Some(error),
            Cause::Lookup(error) => error.downcast_ref(),
            _ => None,
        }
    }

    pub(crate) fn unknown(status: StatusCode, host: Option<&DomainName>, path: &str) -> Self {
        Cause::Unknown {
            status,
            host: host.map(ToString::to_string),
            path: path.to_owned(),
        }
        .into()
    }

    /// With the path of the page to send the client to, for a browser.
    pub(crate) fn not_chosen(chooser: Option<String>) -> Self {
        Cause::NotChosen { chooser }.into()
    }

    pub(crate) fn is_forbidden(&self) -> bool {
        matches!(&*self.0, Cause::Forbidden { .. })
    }

    fn log(&self) {
        let (status, error) = (
            self.status_code().as_u16(),
            boardinghouse_core::error_chain(self),
        );
        match status {
            500 => tracing::error!(status, error, "request failed"),
            501.. => tracing::warn!(status, error, "request not served"),
            _ => tracing::info!(status, error, "request not served"),
        }
    }
}

impl From<Cause> for Error {
    fn from(cause: Cause) -> Self {
        Self(Box::new(cause))
    }
}

impl From<boardinghouse_core::Error> for Error {
    fn from(error: boardinghouse_core::Error) -> Self {
        Cause::Core(error).into()
    }
}

impl From<BlockingError> for Error {
    fn from(error: BlockingError) -> Self {
        Cause::Blocking(error).into()
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        match &*self.0 {
            Cause::Core(error) => core_status(error.kind()),
            #[cfg(feature = "session")]
            Cause::Lookup(error) | Cause::User(error)
                if error.is::<crate::session::NoSession>() =>
            {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            #[cfg(feature = "session")]
            Cause::NoSession(_) | Cause::Session(_) => StatusCode::INTERNAL_SERVER_ERROR,
            #[cfg(feature = "session")]
            Cause::Switch(refusal) => refusal.status(),
            Cause::Lookup(_) | Cause::User(_) | Cause::Crowded(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Cause::Forbidden { .. } => StatusCode::FORBIDDEN,
            Cause::NotChosen { chooser: Some(_) } => StatusCode::FOUND,
            Cause::NotChosen { chooser: None } => StatusCode::CONFLICT,
            Cause::Conflict => StatusCode::BAD_REQUEST,
            Cause::Unknown { status, .. } | Cause::Refused(status) => *status,
            Cause::NotReady { code, .. } => *code,
            Cause::BadHost => StatusCode::BAD_REQUEST,
            Cause::NoTenant(_) => StatusCode::NOT_FOUND,
            Cause::NoMiddleware
            | Cause::NoAccess
            | Cause::CannotMount(_)
            | Cause::Url(_)
            | Cause::Blocking(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        self.log();
        let status = self.status_code();
        let mut response = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        match &*self.0 {
            Cause::NotChosen {
                chooser: Some(path),
            } => response
                .insert_header((header::LOCATION, path.as_str()))
                .finish(),
            Cause::NotChosen { chooser: None } => {
                response.json(serde_json::json!({ "error": "no tenant was chosen" }))
            }
            _ => response.finish(),
        }
    }
}

fn core_status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::TenantNotFound => StatusCode::NOT_FOUND,
        ErrorKind::TenantUnavailable
        | ErrorKind::SchemaUnavailable
        | ErrorKind::PoolTimeout
        | ErrorKind::ConnectionFailed
        | ErrorKind::Locked => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::{BodySize, MessageBody as _};

    use super::*;

    #[test]
    fn clients_see_a_status_and_an_empty_body() {
        for (kind, status) in [
            (ErrorKind::TenantNotFound, 404),
            (ErrorKind::TenantUnavailable, 503),
            (ErrorKind::SchemaUnavailable, 503),
            (ErrorKind::PoolTimeout, 503),
            (ErrorKind::ConnectionFailed, 503),
            (ErrorKind::Locked, 503),
            (ErrorKind::Database, 500),
            (ErrorKind::RegistryMissing, 500),
        ] {
            let error = Error::from(boardinghouse_core::Error::new(kind, "the secret schema"));
            let response = error.error_response();
            assert_eq!(response.status().as_u16(), status, "{kind:?}");
            assert_eq!(
                response.headers().contains_key(header::RETRY_AFTER),
                status == 503
            );
            assert_eq!(response.into_body().size(), BodySize::Sized(0));
        }
    }

    #[test]
    fn who_has_chosen_no_tenant_is_sent_to_choose_or_told() {
        let browser = Error::not_chosen(Some("/choose".into())).error_response();
        assert_eq!(browser.status(), 302);
        assert_eq!(browser.headers().get(header::LOCATION).unwrap(), "/choose");
        let program = Error::not_chosen(None).error_response();
        assert_eq!(program.status(), 409);
        assert!(!program.headers().contains_key(header::LOCATION));
    }
}
