//! Who sent a request.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload};
use boardinghouse_core::User;

use crate::{
    error::{BoxError, Cause, Error},
    middleware::Seen,
    request::Incoming,
};

/// Says who sent a request. Closures do.
///
/// It is asked on every request that is not exempt, so it must not block: it reads what other
/// middleware has verified, such as the claims of a token, or a session.
///
/// # Errors
///
/// Any error means that it cannot be told: the answer is 503.
///
/// # Examples
///
/// ```
/// use actix_web::HttpMessage as _;
/// use boardinghouse_actix::{Incoming, Tenancy};
/// use boardinghouse_core::User;
///
/// struct Claims {
///     subject: String,
/// }
///
/// # fn example(tenancy: Tenancy) -> Tenancy {
/// tenancy.users(|request: &Incoming<'_>| {
///     Ok(request.extensions().get::<Claims>().map(|claims| User::new(&claims.subject)))
/// })
/// # }
/// ```
pub trait Users: Send + Sync + 'static {
    /// Who sent this request; `None` for somebody who is not known.
    fn user(&self, request: &Incoming<'_>) -> Result<Option<User>, BoxError>;

    /// Whether a user of one tenant's own is of this one, whose id is the same: it may have been created after
    /// the one that was meant was deleted. Defaults to `true`.
    fn is_of(&self, request: &Incoming<'_>, tenant: &boardinghouse_core::Tenant) -> bool {
        let _ = (request, tenant);
        true
    }
}

impl<F> Users for F
where
    F: Fn(&Incoming<'_>) -> Result<Option<User>, BoxError> + Send + Sync + 'static,
{
    fn user(&self, request: &Incoming<'_>) -> Result<Option<User>, BoxError> {
        self(request)
    }
}

/// Who sent a request, as [`Tenancy::users`](crate::Tenancy::users) says: nobody on exempt paths, and where
/// that was not called. A user of one tenant's own is nobody in another, and where there is no tenant.
///
/// Without the middleware the answer is 500, and the log says what to add.
///
/// # Examples
///
/// ```
/// use actix_web::get;
/// use boardinghouse_actix::Visitor;
///
/// #[get("/me")]
/// async fn me(visitor: Visitor) -> String {
///     visitor.user().map_or("nobody".to_owned(), |user| user.id.clone())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Visitor(Option<User>);

impl Visitor {
    /// The user; `None` for somebody who is not known.
    #[must_use]
    pub fn user(&self) -> Option<&User> {
        self.0.as_ref()
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_user(self) -> Option<User> {
        self.0
    }
}

impl FromRequest for Visitor {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        let seen = extensions.get::<Seen>().ok_or(Cause::NoMiddleware);
        ready(
            seen.map_err(Error::from)
                .map(|seen| Self(known_user(seen).cloned())),
        )
    }
}

/// Who sent a request, where that means somebody there.
pub(crate) fn known_user(seen: &Seen) -> Option<&User> {
    let is_known = |user: &&User| match (&user.of_tenant, &seen.tenant) {
        (None, _) => true,
        (Some(own), Some(tenant)) => own == tenant.id(),
        (Some(_), None) => false,
    };
    seen.user.as_ref().filter(is_known)
}
