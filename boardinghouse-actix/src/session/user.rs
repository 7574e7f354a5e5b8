//! Who is logged in, by the session.

use std::{fmt, sync::Arc};

use actix_web::HttpRequest;
use boardinghouse_core::{Tenant, TenantId, User};
use serde::{Deserialize, Serialize};

use super::{SECRET, USER, session_of};
use crate::{
    error::{BoxError, Cause, Error},
    request::Incoming,
    user::Users,
};

/// Who sent a request, by the session: whom [`log_in`](Self::log_in) wrote there.
///
/// How people prove who they are is the application's matter. A user of one tenant's own table is stored
/// with the tenant, so that the cookie of user 1 of one tenant is nobody's in another, nor in a tenant that
/// was later created under the same id.
///
/// The middleware of actix-session must have run: see [`SessionTenant`](super::SessionTenant).
///
/// # Examples
///
/// ```
/// use actix_web::{HttpRequest, HttpResponse, http::header, web::Form};
/// use boardinghouse_actix::{Error, SessionUser};
///
/// #[derive(serde::Deserialize)]
/// struct LogIn {
///     name: String,
///     password: String,
/// }
///
/// # fn is_right(form: &LogIn) -> bool { form.password == "…" }
/// async fn log_in(request: HttpRequest, form: Form<LogIn>) -> Result<HttpResponse, Error> {
///     if !is_right(&form) {
///         return Ok(HttpResponse::Forbidden().finish());
///     }
///     SessionUser::log_in(&request, &form.name)?;
///     Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, "/")).finish())
/// }
/// ```
#[derive(Clone, Default)]
pub struct SessionUser {
    is_superuser: Option<Arc<IsSuperuser>>,
}

type IsSuperuser = dyn Fn(&User) -> bool + Send + Sync;

/// What a session holds of a user. Not whether it is a superuser: that is asked on every request.
#[derive(Serialize, Deserialize, PartialEq)]
struct LoggedIn {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<(TenantId, i64)>,
}

impl SessionUser {
    /// Who is logged in. Nobody is a superuser.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets who is a [superuser](User::is_superuser). It is asked on every request, so it must not block, and
    /// only of users whom tenants share: in a table of a tenant's own anybody may have got the name of one.
    /// Defaults to nobody.
    #[must_use]
    pub fn superusers(mut self, are: impl Fn(&User) -> bool + Send + Sync + 'static) -> Self {
        self.is_superuser = Some(Arc::new(are));
        self
    }

    /// Logs a user in whom tenants share, under the id that `boardinghouse.members` has.
    ///
    /// The session gets another key, so that one who knew it before, or has put it there, does not share
    /// the login. What another user left in the session is removed.
    ///
    /// # Errors
    ///
    /// Where there is no session middleware.
    pub fn log_in(request: &HttpRequest, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        log_in(request, &LoggedIn { id, of: None })
    }

    /// Logs a user in of one tenant's own: somebody there, and nobody elsewhere.
    ///
    /// What such a user is there, [`Members`](boardinghouse_core::Members) say by the id alone, as of a user whom
    /// tenants share. An application that has both kinds gives them ids that cannot be the same, such as
    /// `acme:1`; else user 1 of a tenant has the role of the shared user 1 in it.
    ///
    /// # Errors
    ///
    /// Where there is no session middleware.
    pub fn log_in_at(request: &HttpRequest, tenant: &Tenant, id: &str) -> Result<(), Error> {
        let user = LoggedIn {
            id: id.to_owned(),
            of: Some((tenant.id().clone(), tenant.incarnation())),
        };
        log_in(request, &user)
    }

    /// Logs the user out, and removes all that the session holds.
    ///
    /// # Errors
    ///
    /// Where there is no session middleware.
    pub fn log_out(request: &HttpRequest) -> Result<(), Error> {
        session_of(request).map_err(Cause::from)?.purge();
        Ok(())
    }
}

fn log_in(request: &HttpRequest, user: &LoggedIn) -> Result<(), Error> {
    let session = session_of(request).map_err(Cause::from)?;
    let before = session.get::<LoggedIn>(USER).ok().flatten();
    if before.is_some_and(|before| before != *user) {
        session.clear();
    }
    session.remove(SECRET);
    session.renew();
    let written = session.insert(USER, user);
    written.map_err(|error| Cause::Session(error.into()))?;
    Ok(())
}

impl Users for SessionUser {
    fn user(&self, request: &Incoming<'_>) -> Result<Option<User>, BoxError> {
        let session = session_of(&**request)?;
        let Some(LoggedIn { id, of }) = session.get(USER).ok().flatten() else {
            return Ok(None);
        };
        let user = match of {
            Some((tenant, _)) => return Ok(Some(User::of_tenant(id, tenant))),
            None => User::new(id),
        };
        let is_superuser = self.is_superuser.as_ref().is_some_and(|is| is(&user));
        Ok(Some(if is_superuser { user.superuser() } else { user }))
    }

    fn is_of(&self, request: &Incoming<'_>, tenant: &Tenant) -> bool {
        let Ok(session) = session_of(&**request) else {
            return false;
        };
        let user = session.get::<LoggedIn>(USER).ok().flatten();
        user.and_then(|user| user.of) == Some((tenant.id().clone(), tenant.incarnation()))
    }
}

impl fmt::Debug for SessionUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionUser")
    }
}
