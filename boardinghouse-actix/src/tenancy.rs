//! `Tenancy`: what is registered with an `App`.

use std::{fmt, sync::Arc, time::Duration};

use actix_web::{
    Error as ActixError, HttpRequest, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
    http::StatusCode,
    middleware::from_fn,
};
use boardinghouse_core::{Access, PgRegistry, RegistryCache, StaticTenants, TenantId};
use ipnet::IpNet;

use crate::{
    error::BoxError,
    middleware, mount,
    queue::Queue,
    request::Incoming,
    resolver::{Asked, Resolution, Routing, TenantResolver},
    unknown::Unknown,
    user::Users,
};

/// Gives each request its tenant.
///
/// Cheap to clone: make one, outside the closure that makes the `App`s, and wrap each `App` with its
/// [`middleware`](Self::middleware). The resolvers are asked in the order in which they were added;
/// the first that has an opinion decides, unless [`deny_conflicts`](Self::deny_conflicts) was
/// called. A request that none has an opinion on is for the [default](Self::default_tenant) tenant,
/// where there is one, and else [unknown](Self::unknown); so without a resolver nothing is served but
/// exempt paths.
///
/// What the registry says is [cached](RegistryCache): in steady state a request costs no query of
/// it, and a change is heard of within a second, in every process.
///
/// Handlers get the tenant by extractors: [`Tenant`](crate::Tenant), `Option<Tenant>` and
/// [`TenantDb`](crate::TenantDb). What else a client can see is in the table at
/// [`Error`](crate::Error).
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
pub(crate) struct Inner {
    pub(crate) cache: RegistryCache,
    pub(crate) queue: Queue,
    pub(crate) resolvers: Vec<Asked>,
    exempt: Vec<String>,
    pub(crate) statics: StaticTenants,
    pub(crate) trusted: Vec<IpNet>,
    pub(crate) ignore_www: bool,
    pub(crate) deny_conflicts: bool,
    pub(crate) default_tenant: Option<TenantId>,
    pub(crate) unknown: Unknown,
    pub(crate) chooser: Option<String>,
    pub(crate) suspended: StatusCode,
    pub(crate) status_page: Option<StatusPage>,
    pub(crate) users: Option<Arc<dyn Users>>,
    pub(crate) access: Option<Access>,
    pub(crate) restricted: bool,
    #[cfg(feature = "session")]
    pub(crate) switch: Option<crate::Switch>,
    pub(crate) site_prefix: String,
    pub(crate) rewrite_locations: bool,
}

/// Makes the answer for a tenant that is not ready.
pub(crate) type StatusPage =
    Arc<dyn Fn(&HttpRequest, &boardinghouse_core::Tenant) -> Option<HttpResponse> + Send + Sync>;

impl Tenancy {
    /// A tenancy of the tenants in a registry, with no resolver and no exempt path.
    ///
    /// A [`PgRegistry`] gets a cache of its own. Give a [`RegistryCache`] where others use the same.
    #[must_use]
    pub fn new(registry: impl Into<RegistryCache>) -> Self {
        let cache = registry.into();
        Self(Arc::new(Inner {
            queue: Queue::for_pool(cache.registry().pool().max_size()),
            cache,
            resolvers: Vec::new(),
            exempt: Vec::new(),
            statics: StaticTenants::default(),
            trusted: Vec::new(),
            ignore_www: false,
            deny_conflicts: false,
            default_tenant: None,
            unknown: Unknown::Status(StatusCode::NOT_FOUND),
            chooser: None,
            suspended: StatusCode::FORBIDDEN,
            status_page: None,
            users: None,
            access: None,
            restricted: false,
            #[cfg(feature = "session")]
            switch: None,
            site_prefix: String::new(),
            rewrite_locations: true,
        }))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Adds a resolver, to be asked after those added before. Defaults to none.
    #[must_use]
    pub fn resolver(self, resolver: impl TenantResolver) -> Self {
        self.with(|inner| inner.resolvers.push(Asked::Now(Arc::new(resolver))))
    }

    /// Adds a resolver that has to wait for something: another service, say.
    ///
    /// # Examples
    ///
    /// ```
    /// use boardinghouse_actix::{Incoming, Resolution, Tenancy};
    ///
    /// # async fn ask_directory(key: String) -> Result<Option<String>, std::io::Error> { Ok(None) }
    /// # fn example(tenancy: Tenancy) -> Tenancy {
    /// tenancy.async_resolver(async |request: &Incoming<'_>| {
    ///     let Some(key) = request.headers().get("x-api-key") else {
    ///         return Ok(Resolution::Pass);
    ///     };
    ///     let key = key.to_str()?.to_owned();
    ///     Ok(match ask_directory(key).await? {
    ///         Some(tenant) => Resolution::named(&tenant),
    ///         None => Resolution::Unknown,
    ///     })
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn async_resolver<F>(self, resolver: F) -> Self
    where
        F: AsyncFn(&Incoming<'_>) -> Result<Resolution, BoxError> + Send + Sync + 'static,
    {
        self.with(|inner| inner.resolvers.push(Asked::Later(Arc::new(resolver))))
    }

    /// Lets requests for a path through without a tenant, before their host is looked at and
    /// without asking anything: they are served while the database is down. Defaults to none.
    ///
    /// The path is one as the client sends it, compared as it is; ending in `/*` it stands for all
    /// paths that begin with what is before the `*`.
    #[must_use]
    pub fn exempt(self, path: impl Into<String>) -> Self {
        self.with(|inner| inner.exempt.push(path.into()))
    }

    /// Serves the tenants that the configuration names: by their own domains and folders before any
    /// resolver is asked, and by the domains of a fallback where nothing else was found. Their ids are
    /// theirs, whatever the registry says. Defaults to none.
    ///
    /// With no resolver beside it the registry is never asked, and need not be there.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_actix::{HostTable, Tenancy};
    /// use boardinghouse_core::{PgRegistry, StaticTenants, TenantPool};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool = TenantPool::builder().build("postgres://localhost/app")?;
    /// let statics = StaticTenants::load("boardinghouse.toml", pool.layout())?;
    /// let tenancy = Tenancy::new(PgRegistry::new(pool)).statics(statics).resolver(HostTable);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn statics(self, statics: StaticTenants) -> Self {
        self.with(|inner| inner.statics = statics)
    }

    /// Believes the `X-Forwarded-Host` of peers with these addresses: the reverse proxies in front
    /// of the application. From anybody else it is ignored. Defaults to none.
    ///
    /// A proxy must set the header itself: one that passes a client's on lets the client choose the
    /// tenant. A header with more than one host is refused, with 400.
    #[must_use]
    pub fn trust_proxy(self, peers: impl IntoIterator<Item = impl Into<IpNet>>) -> Self {
        self.with(|inner| inner.trusted.extend(peers.into_iter().map(Into::into)))
    }

    /// Looks a host `www.example.com` up as `example.com`, too, where it leads nowhere itself: by the
    /// table of domains, and where what is left has a dot. Defaults to not.
    #[must_use]
    pub fn ignore_www(self) -> Self {
        self.with(|inner| inner.ignore_www = true)
    }

    /// Asks every resolver, and refuses with 400 a request for which two of them name different
    /// tenants. Defaults to believing the first.
    #[must_use]
    pub fn deny_conflicts(self) -> Self {
        self.with(|inner| inner.deny_conflicts = true)
    }

    /// Serves requests that name no tenant as this one. A request that names one which does not
    /// exist is unknown all the same. Defaults to none.
    #[must_use]
    pub fn default_tenant(self, id: TenantId) -> Self {
        self.with(|inner| inner.default_tenant = Some(id))
    }

    /// Sets what happens to requests that name no tenant, or one that does not exist: a status, with
    /// an empty body, an answer of the application's own, or the site that is no tenant's. Defaults
    /// to 404.
    #[must_use]
    pub fn unknown(self, unknown: impl Into<Unknown>) -> Self {
        self.with(|inner| inner.unknown = unknown.into())
    }

    /// Sets the page on which people choose a tenant: a path, exempt or on the shared site. Where a
    /// handler wants a [`Tenant`](crate::Tenant) and none was chosen, browsers (by their `Accept`) are sent there, with
    /// 302, and programs get 409. It is reached whatever tenant was chosen before, also one that is
    /// suspended or not to be entered any more, whose page it then does not show. Defaults to none: such
    /// requests get 404.
    #[must_use]
    pub fn chooser(self, path: impl Into<String>) -> Self {
        self.with(|inner| inner.chooser = Some(path.into()))
    }

    /// Sets the status of answers for a suspended tenant. Defaults to 403.
    #[must_use]
    pub fn suspended(self, status: StatusCode) -> Self {
        self.with(|inner| inner.suspended = status)
    }

    /// Sets the pages for tenants that are not ready; for `None` the answer is the usual one, with
    /// an empty body. Not asked where somebody may not enter the tenant.
    ///
    /// # Examples
    ///
    /// ```
    /// use actix_web::HttpResponse;
    /// use boardinghouse_actix::Tenancy;
    /// use boardinghouse_core::TenantStatus;
    ///
    /// # fn example(tenancy: Tenancy) -> Tenancy {
    /// tenancy.status_page(|_request, tenant| match tenant.status() {
    ///     TenantStatus::Suspended => Some(HttpResponse::Gone().body("This account is closed.")),
    ///     _ => None,
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn status_page(
        self,
        page: impl Fn(&HttpRequest, &boardinghouse_core::Tenant) -> Option<HttpResponse>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.with(|inner| inner.status_page = Some(Arc::new(page)))
    }

    /// Sets how it is known who sent a request. Defaults to nobody.
    #[must_use]
    pub fn users(self, users: impl Users) -> Self {
        self.with(|inner| inner.users = Some(Arc::new(users)))
    }

    /// Sets who may enter a tenant that the user names: in a session, a cookie or a header of their
    /// own. It is asked on every request. Without it, such a request fails with 500.
    ///
    /// **A request whose host or path names the tenant is not asked about**: it is served to everybody,
    /// members or not, unless [`restricted`](Self::restricted) was called.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        self.with(|inner| inner.access = Some(access))
    }

    /// Lets only those in whom [`access`](Self::access) does, however the tenant was named: a site
    /// without public pages. Others get 403.
    ///
    /// Tenants of the configuration are tenants, too. Where their pages are public, begin the chain with
    /// who says so:
    ///
    /// ```
    /// use boardinghouse_core::{Access, ByMembership, Decision, Visit};
    ///
    /// let access = Access::new(|visit: &Visit<'_>| match visit.tenant.kind() {
    ///     Some("site") => Decision::Allow, // `kind = "site"` in boardinghouse.toml
    ///     _ => Decision::Abstain,
    /// })
    /// .or(ByMembership);
    /// ```
    ///
    /// A page on which people log in must be exempt, or one of those: nobody is known there yet. That
    /// goes for a page that redeems a login token as well.
    #[must_use]
    pub fn restricted(self) -> Self {
        self.with(|inner| inner.restricted = true)
    }

    /// Lets users switch between tenants, and pages have menus and forms for it: see
    /// [`Switch`](crate::Switch). Needs [`SessionTenant`](crate::SessionTenant) among the resolvers, and the
    /// session middleware. Defaults to not.
    #[cfg(feature = "session")]
    #[must_use]
    pub fn switching(self, switch: crate::Switch) -> Self {
        self.with(|inner| inner.switch = Some(switch))
    }

    /// Routes requests of no tenant, where the site of none is served
    /// ([`Unknown::SharedSite`]), as if their paths began with `prefix`: a page at `/login` is served
    /// by a route at `/main/login`, and a tenant's page of the same path by the one at `/login`.
    /// Nobody sees the prefix: [`TenantUrls`](crate::TenantUrls) leaves it out. Defaults to none.
    ///
    /// Guards do the same without a prefix: [`guard::shared_site`](crate::guard::shared_site).
    #[must_use]
    pub fn site_prefix(self, prefix: &str) -> Self {
        let prefix = mount::normal_prefix(prefix);
        self.with(|inner| inner.site_prefix = prefix)
    }

    /// Leaves `Location` headers as handlers write them. By default a path in one gets the tenant's
    /// [base path](crate::Tenant::base_path) in front, where the request had one and the header does not, so
    /// that a redirect to `/notes` stays in the tenant's folder.
    #[must_use]
    pub fn keep_locations(self) -> Self {
        self.with(|inner| inner.rewrite_locations = false)
    }

    /// Sets how many names are looked up in the registry at once, for requests whose tenant is not cached.
    /// Others wait, so that whoever makes up hosts takes no more than so many threads and connections. As
    /// many again may ask for what was found before, and do not wait behind those. Clones share the
    /// limit. Defaults to a quarter of the pool's connections, and one at least.
    ///
    /// What is cached is answered at once, however many wait.
    #[must_use]
    pub fn lookup_limit(self, at_once: usize) -> Self {
        self.with(|inner| inner.queue = inner.queue.with_most(at_once))
    }

    /// Sets for how long a request waits for its turn and the registry's answer together, each time that it
    /// has to ask. It is then answered with 503 and `Retry-After`, whatever [`unknown`](Self::unknown)
    /// says. Defaults to 5 seconds.
    #[must_use]
    pub fn lookup_timeout(self, wait: Duration) -> Self {
        self.with(|inner| inner.queue = inner.queue.clone().with_timeout(wait))
    }

    /// The registry, which asks the database each time.
    #[must_use]
    pub fn registry(&self) -> &PgRegistry {
        self.0.cache.registry()
    }

    /// What is remembered of the registry.
    #[must_use]
    pub fn cache(&self) -> &RegistryCache {
        &self.0.cache
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The middleware, for [`App::wrap`](actix_web::App::wrap). It is all that there is to install: it serves
    /// what switches tenants, and the answers where there is no tenant to serve, itself.
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
        from_fn(move |request, next| middleware::serve(tenancy.clone(), request, next))
    }

    pub(crate) fn is_exempt(&self, path: &str) -> bool {
        self.0.exempt.iter().any(|exempt| {
            match exempt.strip_suffix('*').filter(|stem| stem.ends_with('/')) {
                Some(stem) => path.starts_with(stem),
                None => path == exempt,
            }
        })
    }
}

impl fmt::Debug for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let routings: Vec<Routing> = self.0.resolvers.iter().map(Asked::routing).collect();
        f.debug_struct("Tenancy")
            .field("resolvers", &routings)
            .field("exempt", &self.0.exempt)
            .field("unknown", &self.0.unknown)
            .finish_non_exhaustive()
    }
}
