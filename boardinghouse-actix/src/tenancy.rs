//! `Tenancy`: what is registered with an `App`, and how a request gets its tenant.

use std::{fmt, sync::Arc};

use actix_web::{
    Error as ActixError, HttpMessage as _,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::StatusCode,
    middleware::{Next, from_fn},
};
use boardinghouse_core::{ErrorKind, PgRegistry, TenantId, TenantPool, TenantStatus};
use tracing::{Instrument as _, Span, info_span};

use crate::{
    blocking,
    error::{Cause, Error},
    mount::{self, Mount},
    request::Incoming,
    resolver::{Resolution, Routing, TenantResolver},
    tenant::Tenant,
};

/// Gives each request its tenant.
///
/// Cheap to clone: make one, outside the closure that makes the `App`s, and wrap each `App` with its
/// [`middleware`](Self::middleware). The resolvers are asked in the order in which they were added;
/// the first that has an opinion decides. A request that none has an opinion on gets
/// [`unknown`](Self::unknown), so without a resolver nothing is served but exempt paths.
///
/// Handlers get the tenant by extractors: [`Tenant`], `Option<Tenant>` and
/// [`TenantDb`](crate::TenantDb). What else a client can see is in the table at [`Error`].
///
/// # Examples
///
/// ```no_run
/// use actix_web::{App, HttpServer, web};
/// use boardinghouse_actix::{HostTable, Subdomain, Tenancy};
/// use boardinghouse_core::{PgRegistry, TenantPool};
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let tenancy = Tenancy::new(PgRegistry::new(pool))
///     .resolver(Subdomain::of("example.com")?)
///     .resolver(HostTable)
///     .exempt("/healthz");
///
/// HttpServer::new(move || {
///     App::new()
///         .wrap(tenancy.middleware())
///         .route("/healthz", web::get().to(async || "ok"))
/// })
/// .bind("127.0.0.1:8080")?
/// .run()
/// .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Tenancy(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    registry: PgRegistry,
    resolvers: Vec<Arc<dyn TenantResolver>>,
    exempt: Vec<String>,
    unknown: StatusCode,
}

/// What the middleware leaves in the extensions of a request, for the extractors.
pub(crate) struct Seen {
    pub(crate) pool: TenantPool,
    pub(crate) tenant: Option<Tenant>,
}

impl Tenancy {
    /// A tenancy of the tenants in `registry`, with no resolver and no exempt path.
    #[must_use]
    pub fn new(registry: PgRegistry) -> Self {
        Self(Arc::new(Inner {
            registry,
            resolvers: Vec::new(),
            exempt: Vec::new(),
            unknown: StatusCode::NOT_FOUND,
        }))
    }

    /// Adds a resolver, to be asked after those added before. Defaults to none.
    #[must_use]
    pub fn resolver(mut self, resolver: impl TenantResolver) -> Self {
        let resolvers = &mut Arc::make_mut(&mut self.0).resolvers;
        resolvers.push(Arc::new(resolver));
        self
    }

    /// Lets requests for a path through without a tenant, before their host is looked at and
    /// without asking anything: they are served while the database is down. Defaults to none.
    ///
    /// The path is one as the client sends it, compared as it is; ending in `/*` it stands for all
    /// paths that begin with what is before the `*`.
    #[must_use]
    pub fn exempt(mut self, path: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).exempt.push(path.into());
        self
    }

    /// Sets the status of answers to requests that name no tenant, or one that does not exist. The
    /// body is always empty. Defaults to 404.
    #[must_use]
    pub fn unknown(mut self, status: StatusCode) -> Self {
        Arc::make_mut(&mut self.0).unknown = status;
        self
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &PgRegistry {
        &self.0.registry
    }

    /// The middleware, for [`App::wrap`](actix_web::App::wrap).
    ///
    /// Middleware that is added to the `App` later runs earlier, and sees the path as the client
    /// sent it: add sessions and token checks that a resolver reads after this one.
    /// [`PathPrefix`](crate::PathPrefix) needs the whole `App` to be wrapped, not a scope.
    #[must_use]
    pub fn middleware<S, B>(
        &self,
    ) -> impl Transform<
        S,
        ServiceRequest,
        Response = ServiceResponse<EitherBody<B>>,
        Error = ActixError,
        InitError = (),
    > + use<S, B>
    where
        S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = ActixError> + 'static,
        B: MessageBody + 'static,
    {
        let tenancy = self.clone();
        from_fn(move |request, next| serve(tenancy.clone(), request, next))
    }

    fn is_exempt(&self, path: &str) -> bool {
        self.0.exempt.iter().any(|exempt| {
            match exempt.strip_suffix('*').filter(|stem| stem.ends_with('/')) {
                Some(stem) => path.starts_with(stem),
                None => path == exempt,
            }
        })
    }

    /// Finds the tenant of a request, and gives the inner service the path that it should see.
    async fn identify(&self, request: &mut ServiceRequest) -> Result<Tenant, Error> {
        let Some(found) = self.ask_resolvers(request).await? else {
            let host = Incoming::new(request)?.into_host();
            let path = request.path();
            return Err(Error::unknown(self.0.unknown, host.as_ref(), path));
        };
        let (tenant, routing, base) = found;
        match tenant.status() {
            TenantStatus::Ready => {}
            status => {
                let id = tenant.id().clone();
                return Err(Cause::NotReady { id, status }.into());
            }
        }
        let mount = match base {
            Some(base) => mount::rewrite(request, base)?,
            None => Mount::at_root(request.uri().clone()),
        };
        Ok(Tenant::new(tenant, routing, mount))
    }

    /// The tenant, by what it was found, and the part of the path that belongs to it.
    async fn ask_resolvers(
        &self,
        request: &ServiceRequest,
    ) -> Result<Option<(boardinghouse_core::Tenant, Routing, Option<String>)>, Error> {
        for resolver in &self.0.resolvers {
            // Made anew each time: a request must not be borrowed while something is awaited.
            let resolution = resolver
                .resolve(&Incoming::new(request)?)
                .map_err(Cause::Lookup)?;
            let routing = resolver.routing();
            let (tenant, base) = match resolution {
                Resolution::Pass => continue,
                Resolution::Unknown => (None, None),
                Resolution::Refuse(status) => return Err(Cause::Refused(status).into()),
                Resolution::Tenant(id) => (self.find(id).await?, None),
                Resolution::Mounted { tenant, base } => (self.find(tenant).await?, Some(base)),
                Resolution::Domain(domain) => {
                    let lookup = move |registry: PgRegistry| registry.find_by_domain(&domain);
                    match self.ask_registry(lookup).await? {
                        None => continue,
                        found => (found, None),
                    }
                }
            };
            return Ok(tenant.map(|tenant| (tenant, routing, base)));
        }
        Ok(None)
    }

    async fn find(&self, id: TenantId) -> Result<Option<boardinghouse_core::Tenant>, Error> {
        let reserved = self.0.registry.pool().layout().schema_for(&id);
        if reserved.is_err_and(|error| error.kind() == ErrorKind::ReservedName) {
            return Ok(None);
        }
        self.ask_registry(move |registry| registry.find(&id)).await
    }

    async fn ask_registry(
        &self,
        lookup: impl FnOnce(
            PgRegistry,
        ) -> boardinghouse_core::Result<Option<boardinghouse_core::Tenant>>
        + Send
        + 'static,
    ) -> Result<Option<boardinghouse_core::Tenant>, Error> {
        let registry = self.0.registry.clone();
        let found = blocking::run(move || lookup(registry)).await?;
        let found = found.map_err(|error| Cause::Lookup(error.into()))?;
        // A row that somebody wrote by hand must not make a tenant of the shared schema.
        let layout = self.0.registry.pool().layout();
        Ok(found.filter(|tenant| layout.tenant_schema(tenant.schema()).is_ok()))
    }
}

async fn serve<B: MessageBody>(
    tenancy: Tenancy,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, ActixError> {
    let tenant = if tenancy.is_exempt(request.path()) {
        None
    } else {
        match tenancy.identify(&mut request).await {
            Ok(tenant) => Some(tenant),
            // An answer rather than an error, so that middleware around this one sees a response.
            Err(error) => return Ok(request.error_response(error).map_into_right_body()),
        }
    };
    let span = tenant.as_ref().map_or_else(
        Span::none,
        |tenant| info_span!("tenant", id = %tenant.id(), routed_by = %tenant.routed_by()),
    );
    let pool = tenancy.registry().pool().clone();
    request.extensions_mut().insert(Seen { pool, tenant });
    let response = next.call(request).instrument(span).await?;
    Ok(response.map_into_left_body())
}

impl fmt::Debug for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routings: Vec<_> = self.0.resolvers.iter().map(|r| r.routing()).collect();
        f.debug_struct("Tenancy")
            .field("resolvers", &routings)
            .field("exempt", &self.0.exempt)
            .field("unknown", &self.0.unknown)
            .finish_non_exhaustive()
    }
}
