//! What becomes of a request that names no tenant.

use std::{fmt, sync::Arc};

use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use futures_core::future::LocalBoxFuture;

/// What becomes of a request that names no tenant, or one that does not exist.
///
/// # Examples
///
/// ```
/// use actix_web::{HttpResponse, http::StatusCode};
/// use boardinghouse_actix::{Tenancy, Unknown};
///
/// # fn example(tenancy: Tenancy) {
/// # let t = || tenancy.clone();
/// let tenancy = t().unknown(StatusCode::BAD_REQUEST);
/// let tenancy = t().unknown(Unknown::SharedSite);
/// let tenancy = t().unknown(Unknown::handler(async |_request| {
///     HttpResponse::NotFound().body("There is nobody here of that name.")
/// }));
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Unknown {
    /// This status, and an empty body.
    Status(StatusCode),
    /// The handlers are called without a tenant: `Option<Tenant>` is `None`, and those that want a
    /// [`Tenant`](crate::Tenant) are not reached.
    SharedSite,
    /// The application makes the answer: see [`handler`](Self::handler).
    Handler(UnknownHandler),
}

/// Makes the answer to a request that names no tenant. Made by [`Unknown::handler`].
#[derive(Clone)]
pub struct UnknownHandler(
    Arc<dyn Fn(HttpRequest) -> LocalBoxFuture<'static, HttpResponse> + Send + Sync>,
);

impl Unknown {
    /// The application makes the answer. No route is matched.
    pub fn handler<F>(handler: F) -> Self
    where
        F: AsyncFn(HttpRequest) -> HttpResponse + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        Self::Handler(UnknownHandler(Arc::new(move |request| {
            let handler = Arc::clone(&handler);
            Box::pin(async move { handler(request).await })
        })))
    }
}

impl UnknownHandler {
    pub(crate) async fn answer(&self, request: HttpRequest) -> HttpResponse {
        (self.0)(request).await
    }
}

impl From<StatusCode> for Unknown {
    fn from(status: StatusCode) -> Self {
        Self::Status(status)
    }
}

impl fmt::Debug for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => f.debug_tuple("Status").field(status).finish(),
            Self::SharedSite => f.write_str("SharedSite"),
            Self::Handler(handler) => handler.fmt(f),
        }
    }
}

impl fmt::Debug for UnknownHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}
