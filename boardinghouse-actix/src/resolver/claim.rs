//! Tenants by a claim that other middleware has verified.

use std::{any::type_name, fmt, marker::PhantomData};

use actix_web::{HttpMessage as _, http::StatusCode};
use boardinghouse_core::TenantId;

use super::{Resolution, Routing, TenantResolver};
use crate::{error::BoxError, request::Incoming};

/// Tenants by a claim: what an outer middleware has verified, such as the payload of a JSON Web Token,
/// and left in the extensions of the request as a `C`.
///
/// A request without a `C`, or whose `C` names no tenant, is left to the next resolver. A claim that
/// can be no tenant's id gets 401.
///
/// # Examples
///
/// ```
/// use boardinghouse_actix::{Claim, Tenancy};
///
/// struct Claims {
///     tenant: Option<String>,
/// }
///
/// # fn example(tenancy: Tenancy) -> Tenancy {
/// tenancy.resolver(Claim::new(|claims: &Claims| claims.tenant.as_deref()))
/// # }
/// ```
pub struct Claim<C, F> {
    claim: F,
    claims: PhantomData<fn(&C)>,
}

impl<C, F> Claim<C, F>
where
    C: 'static,
    F: Fn(&C) -> Option<&str> + Send + Sync + 'static,
{
    /// Reads the tenant's id from the claims.
    #[must_use]
    pub fn new(claim: F) -> Self {
        Self {
            claim,
            claims: PhantomData,
        }
    }
}

impl<C, F> TenantResolver for Claim<C, F>
where
    C: 'static,
    F: Fn(&C) -> Option<&str> + Send + Sync + 'static,
{
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        let extensions = request.extensions();
        let claimed = extensions.get::<C>().and_then(&self.claim);
        Ok(claimed.map_or(Resolution::Pass, |id| {
            TenantId::parse(id).map_or(
                Resolution::Refuse(StatusCode::UNAUTHORIZED),
                Resolution::Tenant,
            )
        }))
    }

    fn routing(&self) -> Routing {
        Routing::Claim
    }
}

impl<C, F> fmt::Debug for Claim<C, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claim({})", type_name::<C>())
    }
}
