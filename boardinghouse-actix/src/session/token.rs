//! A login that is begun at one domain and finished at another.

use std::time::Duration;

use actix_web::{HttpRequest, cookie::Key};
use boardinghouse_core::Tenant;
use sha2::{Digest as _, Sha256};

use super::{SessionUser, hex, session_of};
use crate::{
    error::{Cause, Error},
    middleware::tenancy_of,
    tenant::tenant_and_pool,
};

/// A token with which somebody who has logged in at one domain logs in at a tenant's own, whose sessions are
/// others: it works once, at its tenant only, and for a time.
///
/// It is a random number, and the registry has its digest, so that it works in whatever process.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use actix_web::{HttpRequest, HttpResponse, http::header, web};
/// use boardinghouse_actix::{Error, LoginToken, TenantUrls as _};
/// use boardinghouse_core::Tenant;
///
/// /// At login.example.com, when the user has proved who they are.
/// async fn send_on(request: &HttpRequest, tenant: &Tenant, user: &str) -> Result<HttpResponse, Error> {
///     let token = LoginToken::issue(request, tenant, user, Duration::from_secs(60)).await?;
///     let page = request.url_of(tenant, &format!("/enter/{token}")).await?;
///     Ok(HttpResponse::SeeOther()
///         .insert_header((header::LOCATION, page.unwrap_or_default()))
///         .finish())
/// }
///
/// /// At the tenant's own domain.
/// async fn enter(request: HttpRequest, token: web::Path<String>) -> Result<HttpResponse, Error> {
///     let page = match LoginToken::redeem(&request, &token).await? {
///         true => "/",
///         false => "/login",
///     };
///     Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, page)).finish())
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct LoginToken;

impl LoginToken {
    /// A token for a user whom tenants share, to log in at `tenant`. Let it last for as long as a redirect
    /// takes: a minute. What right the user has there is asked on the requests that come after.
    ///
    /// # Errors
    ///
    /// Those of [`PgRegistry::add_login`](boardinghouse_core::PgRegistry::add_login); and without the
    /// middleware.
    pub async fn issue(
        request: &HttpRequest,
        tenant: &Tenant,
        user: &str,
        lasts: Duration,
    ) -> Result<String, Error> {
        let tenancy = tenancy_of(request)?;
        let token = hex(Key::generate().signing());
        let (digest, tenant, user) = (digest(&token), tenant.clone(), user.to_owned());
        let noted = tenancy.look_up(move |cache| {
            let registry = cache.registry();
            registry.add_login(&digest, &tenant, &user, lasts)
        });
        noted.await?;
        Ok(token)
    }

    /// Logs the user in whom the token is for, where it is for the tenant of this request, and says whether it
    /// did. A token that was used, is too old or is for another tenant logs nobody in.
    ///
    /// # Errors
    ///
    /// Those of [`SessionUser::log_in`], where the registry does not answer, and where the request is for no
    /// tenant.
    pub async fn redeem(request: &HttpRequest, token: &str) -> Result<bool, Error> {
        // First, because a token is used up before anything could be written.
        session_of(request).map_err(Cause::from)?;
        let (tenant, _) = tenant_and_pool(request)?;
        let digest = digest(token);
        let tenancy = tenancy_of(request)?;
        let taken = tenancy.look_up(move |cache| {
            let registry = cache.registry();
            registry.take_login(&digest, &tenant)
        });
        match taken.await? {
            Some(user) => SessionUser::log_in(request, &user).map(|()| true),
            None => Ok(false),
        }
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}
