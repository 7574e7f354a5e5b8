//! Guards: different handlers on one path, by whose site it is.
//!
//! The middleware has found the tenant before a route is matched, so that a scope can be the shared
//! site's, every tenant's, or that of tenants of one kind. A guard without the middleware matches
//! nothing.
//!
//! # Examples
//!
//! ```
//! use actix_web::web;
//! use boardinghouse_actix::guard;
//!
//! fn routes(app: &mut web::ServiceConfig) {
//!     app.service(
//!         web::scope("")
//!             .guard(guard::shared_site())
//!             .route("/", web::get().to(async || "Sign up!")),
//!     )
//!     .service(
//!         web::scope("")
//!             .guard(guard::tenant_kind("clinic"))
//!             .route("/", web::get().to(async || "Your patients")),
//!     )
//!     .service(
//!         web::scope("")
//!             .guard(guard::tenant())
//!             .route("/", web::get().to(async || "Your notes")),
//!     );
//! }
//! ```

use actix_web::guard::{Guard, GuardContext, fn_guard};

use crate::{middleware::Seen, tenant::Tenant};

/// Requests that are for no tenant: exempt paths, and those that [`Unknown::SharedSite`] lets
/// through.
///
/// [`Unknown::SharedSite`]: crate::Unknown::SharedSite
#[must_use]
pub fn shared_site() -> impl Guard {
    fn_guard(|ctx| seen(ctx, |tenant| tenant.is_none()))
}

/// Requests that are for a tenant, also one of the [configuration](crate::Tenancy::statics): put scopes for
/// those first, by their id or kind.
#[must_use]
pub fn tenant() -> impl Guard {
    fn_guard(|ctx| seen(ctx, |tenant| tenant.is_some()))
}

/// Requests that are for a tenant of this [kind](boardinghouse_core::Tenant::kind).
#[must_use]
pub fn tenant_kind(kind: impl Into<String>) -> impl Guard {
    let kind = kind.into();
    fn_guard(move |ctx| {
        seen(ctx, |tenant| {
            tenant.is_some_and(|tenant| tenant.kind() == Some(&kind))
        })
    })
}

/// Requests that are for the tenant with this id.
#[must_use]
pub fn tenant_id(id: impl Into<String>) -> impl Guard {
    let id = id.into();
    fn_guard(move |ctx| {
        seen(ctx, |tenant| {
            tenant.is_some_and(|tenant| tenant.id().as_str() == id)
        })
    })
}

fn seen(ctx: &GuardContext<'_>, matches: impl FnOnce(Option<&Tenant>) -> bool) -> bool {
    let extensions = ctx.req_data();
    extensions
        .get::<Seen>()
        .is_some_and(|seen| matches(seen.tenant.as_ref()))
}
