//! Resolvers: from a request to the name of a tenant. None of them talks to a database.

use std::fmt;

use actix_web::http::StatusCode;
use boardinghouse_core::{DomainName, TenantId};
use serde::Serialize;

use crate::{error::BoxError, request::Incoming};

mod header;
mod host;
mod path;

pub use self::{
    header::Header,
    host::{HostTable, Subdomain},
    path::PathPrefix,
};

/// Says which tenant a request is for.
///
/// A resolver only reads the request; the registry is asked by [`Tenancy`](crate::Tenancy), off the
/// worker thread. So a resolver must not block. Closures are resolvers.
///
/// # Errors
///
/// Any error means that the resolver cannot tell: the answer is 503, never "not found", and no other
/// resolver is asked. To refuse a request for what is in it, use [`Resolution::Refuse`].
///
/// # Examples
///
/// A tenant from a claim that an outer middleware has checked and left in the extensions:
///
/// ```
/// use actix_web::{HttpMessage as _, http::StatusCode};
/// use boardinghouse_actix::{Incoming, Resolution, Tenancy, Subdomain};
/// use boardinghouse_core::{PgRegistry, TenantId};
///
/// struct Claims {
///     tenant: String,
/// }
///
/// # fn example(registry: PgRegistry) -> Result<Tenancy, boardinghouse_core::Error> {
/// let tenancy = Tenancy::new(registry)
///     .resolver(|request: &Incoming<'_>| {
///         Ok(match request.extensions().get::<Claims>() {
///             None => Resolution::Pass,
///             Some(claims) => match TenantId::parse(&claims.tenant) {
///                 Ok(id) => Resolution::Tenant(id),
///                 Err(_) => Resolution::Refuse(StatusCode::UNAUTHORIZED),
///             },
///         })
///     })
///     .resolver(Subdomain::of("example.com")?);
/// # Ok(tenancy)
/// # }
/// ```
pub trait TenantResolver: Send + Sync + 'static {
    /// Says which tenant `request` is for, or that this resolver has no opinion.
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError>;

    /// How requests are said to be routed that this resolver decides on. Defaults to
    /// [`Routing::Custom`].
    fn routing(&self) -> Routing {
        Routing::Custom
    }
}

impl<F> TenantResolver for F
where
    F: Fn(&Incoming<'_>) -> Result<Resolution, BoxError> + Send + Sync + 'static,
{
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        self(request)
    }
}

/// What a [`TenantResolver`] makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolution {
    /// No opinion: the next resolver is asked.
    Pass,
    /// This tenant. When there is none of that id, the request is for an unknown tenant, whatever
    /// other resolvers would say.
    Tenant(TenantId),
    /// The tenant that this host name leads to in the registry; the next resolver is asked when it
    /// leads to none.
    Domain(DomainName),
    /// A tenant that owns a beginning of the path. Handlers and routes see only the rest of it.
    Mounted {
        /// The tenant, as in [`Resolution::Tenant`].
        tenant: TenantId,
        /// The beginning of the path, as the client sent it, without a slash at its end:
        /// `/t/acme`.
        base: String,
    },
    /// A tenant that cannot exist. No other resolver is asked.
    Unknown,
    /// The request is answered with this status. No other resolver is asked.
    Refuse(StatusCode),
}

/// By what a request was routed to its tenant.
///
/// # Examples
///
/// ```
/// assert_eq!(boardinghouse_actix::Routing::Subdomain.to_string(), "subdomain");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Routing {
    /// By a host name in the registry: [`HostTable`].
    Host,
    /// By a name below a domain: [`Subdomain`].
    Subdomain,
    /// By the beginning of the path: [`PathPrefix`].
    Path,
    /// By a header of a trusted peer: [`Header`].
    Header,
    /// By a resolver of the application.
    Custom,
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::Subdomain => "subdomain",
            Self::Path => "path",
            Self::Header => "header",
            Self::Custom => "custom",
        })
    }
}

/// The tenant of this name; unknown where the name can be no tenant's.
fn named(name: &str) -> Resolution {
    TenantId::parse(name).map_or(Resolution::Unknown, Resolution::Tenant)
}
