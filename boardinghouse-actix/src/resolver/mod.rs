//! Resolvers: from a request to the name of a tenant. None of them talks to a database.

use std::{fmt, sync::Arc};

use actix_web::http::{
    StatusCode,
    header::{COOKIE, HeaderName},
};
use boardinghouse_core::{DomainName, Tenant, TenantId};
use futures_core::future::LocalBoxFuture;
use serde::Serialize;

use crate::{error::BoxError, request::Incoming};

mod claim;
mod cookie;
mod header;
mod host;
mod path;

pub use self::{
    claim::Claim,
    cookie::Cookie,
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

    /// Whether a request that names a tenant which does not exist is for an unknown tenant. Otherwise
    /// the next resolver is asked. Defaults to `true`.
    fn is_final(&self) -> bool {
        true
    }

    /// Whether anybody can write what it reads, so that it must be asked on every request whether the
    /// user may enter the tenant: see [`Tenancy::access`](crate::Tenancy::access). Defaults to `false`.
    fn needs_access(&self) -> bool {
        false
    }

    /// Whether it is this tenant that was meant, and not another that has got its id. One that was not meant
    /// counts as one that does not exist. Defaults to `true`.
    fn means(&self, request: &Incoming<'_>, tenant: &Tenant) -> bool {
        let _ = (request, tenant);
        true
    }

    /// Called when the tenant that it named does not exist any more, or when the user may not enter it:
    /// forgets it, where it was remembered. Defaults to nothing.
    fn forget(&self, request: &Incoming<'_>) {
        let _ = request;
    }

    /// The header that it reads, which answers for the tenant are said to vary by, so that a cache does not show
    /// one tenant's page to another. Defaults to `Cookie` where [`routing`](Self::routing) is by cookie or
    /// session, else to none.
    fn varies_by(&self) -> Option<HeaderName> {
        self.routing().is_by_cookie().then_some(COOKIE)
    }

    /// Whether it needs the middleware of actix-session. Where that has not run, every request fails, that is
    /// not exempt, whichever resolver it is for. Defaults to `false`.
    fn needs_session(&self) -> bool {
        false
    }

    /// What the URLs of a tenant begin with that this resolver leads to, without a slash at the end:
    /// `//acme.example.com`, `/t/acme`. `None` where no URL leads to one. Defaults to `None`.
    fn base_of(&self, tenant: &TenantId, port: Option<u16>) -> Option<String> {
        let _ = (tenant, port);
        None
    }
}

/// A resolver that has to wait.
pub(crate) trait Later: Send + Sync {
    fn resolve<'a>(
        &'a self,
        request: &'a Incoming<'a>,
    ) -> LocalBoxFuture<'a, Result<Resolution, BoxError>>;
}

impl<F> Later for F
where
    F: AsyncFn(&Incoming<'_>) -> Result<Resolution, BoxError> + Send + Sync,
{
    fn resolve<'a>(
        &'a self,
        request: &'a Incoming<'a>,
    ) -> LocalBoxFuture<'a, Result<Resolution, BoxError>> {
        Box::pin(self(request))
    }
}

/// A resolver of either kind.
#[derive(Clone)]
pub(crate) enum Asked {
    Now(Arc<dyn TenantResolver>),
    Later(Arc<dyn Later>),
}

impl Asked {
    pub(crate) async fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        match self {
            Self::Now(resolver) => resolver.resolve(request),
            Self::Later(resolver) => resolver.resolve(request).await,
        }
    }

    fn now(&self) -> Option<&dyn TenantResolver> {
        match self {
            Self::Now(resolver) => Some(&**resolver),
            Self::Later(_) => None,
        }
    }

    pub(crate) fn routing(&self) -> Routing {
        self.now().map_or(Routing::Custom, TenantResolver::routing)
    }

    pub(crate) fn is_final(&self) -> bool {
        self.now().is_none_or(TenantResolver::is_final)
    }

    pub(crate) fn needs_access(&self) -> bool {
        self.now().is_some_and(TenantResolver::needs_access)
    }

    pub(crate) fn means(&self, request: &Incoming<'_>, tenant: &Tenant) -> bool {
        self.now()
            .is_none_or(|resolver| resolver.means(request, tenant))
    }

    pub(crate) fn forget(&self, request: &Incoming<'_>) {
        if let Some(resolver) = self.now() {
            resolver.forget(request);
        }
    }

    pub(crate) fn varies_by(&self) -> Option<HeaderName> {
        self.now()?.varies_by()
    }

    #[cfg(feature = "session")]
    pub(crate) fn needs_session(&self) -> bool {
        self.now().is_some_and(TenantResolver::needs_session)
    }

    pub(crate) fn base_of(&self, tenant: &TenantId, port: Option<u16>) -> Option<String> {
        self.now()?.base_of(tenant, port)
    }

    pub(crate) fn reads_domains(&self) -> bool {
        self.routing() == Routing::Host
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
    /// The tenant that this host name leads to in the registry, or where tenants live in folders of it,
    /// the first segment of the path; the next resolver is asked when it leads to none.
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

impl Resolution {
    /// The tenant of this name; unknown where the name can be no tenant's.
    #[must_use]
    pub fn named(name: &str) -> Self {
        named(name)
    }
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
    /// By a folder of a host, in the registry: [`HostTable`].
    Folder,
    /// By a name below a domain: [`Subdomain`].
    Subdomain,
    /// By the beginning of the path: [`PathPrefix`].
    Path,
    /// By a header of a trusted peer: [`Header`].
    Header,
    /// By a claim that other middleware has verified: [`Claim`].
    Claim,
    /// By a cookie: [`Cookie`].
    Cookie,
    /// By what the user's session says: `SessionTenant`, with the feature `session`.
    Session,
    /// By a resolver of the application.
    Custom,
    /// By a domain or a folder in the configuration:
    /// [`Tenancy::statics`](crate::Tenancy::statics).
    Static,
    /// By nothing: [`Tenancy::default_tenant`](crate::Tenancy::default_tenant).
    Default,
}

impl Routing {
    /// Whether the URL itself names the tenant, so that another URL is needed for another one.
    #[must_use]
    pub fn is_by_address(self) -> bool {
        matches!(
            self,
            Self::Host | Self::Folder | Self::Subdomain | Self::Path | Self::Static
        )
    }
}

impl Routing {
    /// Whether a cookie names it, or a session, whose key is in one.
    pub(crate) fn is_by_cookie(self) -> bool {
        matches!(self, Self::Session | Self::Cookie)
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Host => "host",
            Self::Subdomain => "subdomain",
            Self::Path => "path",
            Self::Header => "header",
            Self::Folder => "folder",
            Self::Claim => "claim",
            Self::Cookie => "cookie",
            Self::Session => "session",
            Self::Custom => "custom",
            Self::Static => "static",
            Self::Default => "default",
        })
    }
}

/// The tenant of this name; unknown where the name can be no tenant's.
fn named(name: &str) -> Resolution {
    TenantId::parse(name).map_or(Resolution::Unknown, Resolution::Tenant)
}
