//! What happens to each request.

use actix_web::{
    Error as ActixError, HttpMessage as _, HttpRequest, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{self, HeaderName},
    middleware::Next,
};
use boardinghouse_core::{ErrorKind, TenantPool, User};
use tracing::{Instrument as _, Span, info_span};

use crate::{
    error::{Cause, Error},
    find::{Answer, Found},
    location,
    mount::{self, Mount},
    tenancy::Tenancy,
    tenant::Tenant,
};
#[cfg(feature = "session")]
use crate::{resolver::Asked, session::session_of};

/// What the middleware leaves in the extensions of a request, for extractors, guards and links.
pub(crate) struct Seen {
    pub(crate) tenancy: Tenancy,
    pub(crate) tenant: Option<Tenant>,
    pub(crate) user: Option<User>,
    /// What was put in front of the path, for routing alone.
    pub(crate) added: String,
    /// The header that named the tenant.
    named_in: Option<HeaderName>,
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
        {
            self.has_session(request)?;
            self.switched(request).await?;
        }
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
            named_in,
            ..
        } = found;
        let mount = match base {
            Some(base) => mount::rewrite(request, base)?,
            None => Mount::at_root(request.uri().clone()),
        };
        let tenant = Tenant::new(tenant, routing, mount, role);
        Ok(Seen {
            named_in,
            ..self.seen(Some(tenant), user, String::new())
        })
    }

    /// The answer for a tenant that is no longer ready, where the pool has heard of it before the cache of the
    /// registry did, so that the handler was asked and got no connection. From then on the cache knows, too.
    async fn stopped<B>(&self, response: &ServiceResponse<B>) -> Option<Answer> {
        let error = response.response().error()?.as_error::<Error>()?;
        if error.kind() != Some(ErrorKind::TenantUnavailable) {
            return None;
        }
        let id = {
            let extensions = response.request().extensions();
            extensions.get::<Seen>()?.tenant.as_ref()?.id().clone()
        };
        self.cache().forget(&id);
        let tenant = self.tenant(id).await.ok()??;
        self.is_served(response.request(), &tenant).err()
    }

    /// Fails where sessions are needed and their middleware has not run: on the first request, and not on the
    /// first that somebody who has logged in makes.
    #[cfg(feature = "session")]
    fn has_session(&self, request: &ServiceRequest) -> Result<(), Error> {
        let inner = self.inner();
        if inner.switch.is_some() || inner.resolvers.iter().any(Asked::needs_session) {
            session_of(request).map_err(Cause::from)?;
        }
        Ok(())
    }

    fn seen(&self, tenant: Option<Tenant>, user: Option<User>, added: String) -> Seen {
        Seen {
            tenancy: self.clone(),
            tenant,
            user,
            added,
            named_in: None,
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
        Err(answer) => {
            // Not `into_response`, which drops the error that the response knows.
            let (request, _) = request.into_parts();
            let response = ServiceResponse::new(request, HttpResponse::from(answer));
            return Ok(response.map_into_right_body());
        }
    };
    let tenant = seen.tenant.as_ref();
    let span = tenant.map_or_else(
        Span::none,
        |tenant| info_span!("tenant", tenant = %tenant.id(), routed_by = %tenant.routed_by()),
    );
    let base = tenant.map_or("", Tenant::base_path).to_owned();
    let named_in = seen.named_in.clone();
    request.extensions_mut().insert(seen);
    let response = next.call(request).instrument(span).await?;
    let mut response = match tenancy.stopped(&response).await {
        None => response.map_into_left_body(),
        Some(answer) => response
            .into_response(HttpResponse::from(answer))
            .map_into_right_body(),
    };
    if tenancy.inner().rewrite_locations {
        location::keep_below(response.headers_mut(), &base);
    }
    if let Some(name) = named_in {
        // So that a cache does not show one tenant's page to another (RFC 9110, section 12.5.5).
        response.headers_mut().append(header::VARY, name.into());
    }
    Ok(response)
}
