//! The extractor of a request's tenant.

use std::{
    future::{Ready, ready},
    ops::Deref,
};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload, http::Uri};
use boardinghouse_core::TenantPool;

use crate::{
    error::{Cause, Error},
    middleware::Seen,
    mount::Mount,
    resolver::Routing,
};

/// The tenant of a request, and how the request was routed to it.
///
/// Derefs to [`boardinghouse_core::Tenant`]. It was ready when the request came in; its schema is
/// proved to be there by [`TenantDb::run`](crate::TenantDb::run).
///
/// # Extractor behaviour
///
/// On an [exempt](crate::Tenancy::exempt) path, and on the [shared site](crate::Unknown::SharedSite), the
/// handler is not called. The answer is 404, or with a [`chooser`](crate::Tenancy::chooser) 302 to it, and
/// 409 for programs. `Option<Tenant>` is `None` there. Without the middleware the answer is 500, and the log says what
/// to add; for `Option<Tenant>` the log alone does, because actix makes `None` of every error.
///
/// # Examples
///
/// ```
/// use actix_web::{Responder, get};
/// use boardinghouse_actix::Tenant;
///
/// #[get("/")]
/// async fn welcome(tenant: Tenant) -> impl Responder {
///     format!("Welcome to {}, found by {}", tenant.display_name(), tenant.routed_by())
/// }
///
/// #[get("/about")]
/// async fn about(tenant: Option<Tenant>) -> impl Responder {
///     tenant.map_or("nobody".to_owned(), |tenant| tenant.id().to_string())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Tenant {
    tenant: boardinghouse_core::Tenant,
    routed_by: Routing,
    mount: Mount,
    role: Option<String>,
}

impl Tenant {
    pub(crate) fn new(
        tenant: boardinghouse_core::Tenant,
        routed_by: Routing,
        mount: Mount,
        role: Option<String>,
    ) -> Self {
        Self {
            tenant,
            routed_by,
            mount,
            role,
        }
    }

    /// By what the request was routed to the tenant.
    #[must_use]
    pub fn routed_by(&self) -> Routing {
        self.routed_by
    }

    /// What the user is in this tenant, by [`Members`](boardinghouse_core::Members); `None` for one who
    /// is no member, and where [`Tenancy::access`](crate::Tenancy::access) was not called.
    #[must_use]
    pub fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }

    /// What the paths of links to this tenant must begin with: `/t/acme` where the request was
    /// routed by path, else nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # fn example(tenant: boardinghouse_actix::Tenant) {
    /// let link = format!("{}/notes", tenant.base_path());
    /// # }
    /// ```
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.mount.base
    }

    /// The request target as the client sent it, with the base path.
    #[must_use]
    pub fn original_uri(&self) -> &Uri {
        &self.mount.original
    }

    /// The tenant as core knows it, for [`TenantPool::get`](boardinghouse_core::TenantPool::get).
    #[must_use]
    pub fn into_inner(self) -> boardinghouse_core::Tenant {
        self.tenant
    }
}

impl Deref for Tenant {
    type Target = boardinghouse_core::Tenant;

    fn deref(&self) -> &Self::Target {
        &self.tenant
    }
}

impl FromRequest for Tenant {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(tenant_and_pool(request).map(|(tenant, _)| tenant))
    }
}

/// The tenant that the middleware found for a request, and the pool of the middleware.
pub(crate) fn tenant_and_pool(request: &HttpRequest) -> Result<(Tenant, TenantPool), Error> {
    let extensions = request.extensions();
    let seen = extensions.get::<Seen>().ok_or_else(|| {
        let error = Error::from(Cause::NoMiddleware);
        // Now, because for an `Option` nobody will see the error.
        tracing::error!(path = request.path(), "{error}");
        error
    })?;
    let tenant = seen
        .tenant
        .clone()
        .ok_or_else(|| match &seen.tenancy.inner().chooser {
            Some(_) => seen.tenancy.not_chosen(request.headers()),
            None => Cause::NoTenant(request.path().to_owned()).into(),
        })?;
    Ok((tenant, seen.pool().clone()))
}
