//! What happens to each request.

use actix_web::{
    Error as ActixError, HttpMessage as _, HttpRequest,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header,
    middleware::Next,
};
use boardinghouse_core::{TenantPool, User};
use tracing::{Instrument as _, Span, info_span};

use crate::{
    error::{Cause, Error},
    find::{Answer, Found},
    location,
    mount::{self, Mount},
    tenancy::Tenancy,
    tenant::Tenant,
};

/// What the middleware leaves in the extensions of a request, for extractors, guards and links.
pub(crate) struct Seen {
    pub(crate) tenancy: Tenancy,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) user: Option<User>,
    /// What was put in front of the path, for routing alone.
    pub(crate) added: String,
}

impl Seen {
    pub(crate) fn pool(&self) -> &TenantPool {
        self.tenancy.registry().pool()
    }
}

/// The tenancy whose middleware has seen a request.
pub(crate) fn tenancy_of(request: &HttpRequest) -> Result<Tenancy, Error> {
    let extensions = request.extensions();
    let seen = extensions.get::<Seen>().ok_or(Cause::NoMiddleware)?;
    Ok(seen.tenancy.clone())
}

impl Tenancy {
    /// Finds the tenant of a request, and gives the inner service the path that it should see.
    async fn identify(&self, request: &mut ServiceRequest) -> Result<Seen, Answer> {
        if self.is_exempt(request.path()) {
            return Ok(self.seen(None, None, String::new()));
        }
        #[cfg(feature = "session")]
        self.switched(request).await?;
        let (found, user) = self.find(request).await?;
        let Some(found) = found else {
            let added = &self.inner().site_prefix;
            mount::prepend(request, added)?;
            return Ok(self.seen(None, user, added.clone()));
        };
        let Found {
            tenant,
            routing,
            base,
            role,
            ..
        } = found;
        let mount = match base {
            Some(base) => mount::rewrite(request, base)?,
            None => Mount::at_root(request.uri().clone()),
        };
        let tenant = Tenant::new(tenant, routing, mount, role);
        Ok(self.seen(Some(tenant), user, String::new()))
    }

    fn seen(&self, tenant: Option<Tenant>, user: Option<User>, added: String) -> Seen {
        Seen {
            tenancy: self.clone(),
            tenant,
            user,
            added,
        }
    }
}

pub(crate) async fn serve<B: MessageBody>(
    tenancy: Tenancy,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, ActixError> {
    let seen = match tenancy.identify(&mut request).await {
        Ok(seen) => seen,
        // An answer rather than an error, so that middleware around this one sees a response.
        Err(Answer::Error(error)) => {
            return Ok(request.error_response(error).map_into_right_body());
        }
        Err(Answer::Response(response)) => {
            return Ok(request
                .into_response(response.map_into_boxed_body())
                .map_into_right_body());
        }
    };
    let tenant = seen.tenant.as_ref();
    let span = tenant.map_or_else(
        Span::none,
        |tenant| info_span!("tenant", tenant = %tenant.id(), routed_by = %tenant.routed_by()),
    );
    let base = tenant.map_or("", Tenant::base_path).to_owned();
    let by_cookie = tenant.is_some_and(|tenant| tenant.routed_by().is_by_cookie());
    request.extensions_mut().insert(seen);
    let mut response = next.call(request).instrument(span).await?;
    if tenancy.inner().rewrite_locations {
        location::keep_below(response.headers_mut(), &base);
    }
    if by_cookie {
        // So that a cache does not show one tenant's page to another (RFC 9110, section 12.5.5).
        let cookie = header::HeaderValue::from_static("Cookie");
        response.headers_mut().append(header::VARY, cookie);
    }
    Ok(response.map_into_left_body())
}
