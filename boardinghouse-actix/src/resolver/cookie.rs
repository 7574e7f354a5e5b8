//! Tenants by a cookie.

use actix_web::cookie;

use super::{Resolution, Routing, TenantResolver, named};
use crate::{error::BoxError, request::Incoming};

/// Tenants by a cookie that holds a tenant's id.
///
/// Anybody can write one, so [`Tenancy::access`](crate::Tenancy::access) is asked on every request. A
/// request without the cookie is left to the next resolver; so is one whose cookie can be no tenant's
/// id, as an old one may be. One that could be an id, and is none, gets 403, as one of a tenant that the user
/// may not enter: nobody can find out by cookies which tenants there are.
///
/// # Examples
///
/// ```
/// use boardinghouse_actix::{Cookie, Tenancy};
/// use boardinghouse_core::{Access, ByMembership};
///
/// # fn example(tenancy: Tenancy) -> Tenancy {
/// tenancy.resolver(Cookie::new("tenant")).access(Access::new(ByMembership))
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Cookie {
    name: String,
}

impl Cookie {
    /// Reads the tenant from the cookie `name`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl TenantResolver for Cookie {
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        let cookie: Option<cookie::Cookie<'_>> = request.cookie(&self.name);
        Ok(match cookie.map(|cookie| named(cookie.value())) {
            None | Some(Resolution::Unknown) => Resolution::Pass,
            Some(resolution) => resolution,
        })
    }

    fn routing(&self) -> Routing {
        Routing::Cookie
    }

    fn needs_access(&self) -> bool {
        true
    }
}
