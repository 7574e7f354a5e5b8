//! Tenants by what a user has chosen.

use actix_session::Session;
use actix_web::HttpRequest;
use boardinghouse_core::{Tenant, TenantId};

use super::{DISPLAY, INCARNATION, TENANT, session_of};
use crate::{
    error::{BoxError, Cause, Error},
    request::Incoming,
    resolver::{Resolution, Routing, TenantResolver},
};

/// Tenants by the user's session: the one that was chosen with [`Switch`](crate::Switch), or with
/// [`choose`](Self::choose).
///
/// The session holds `tenant`, its id, and `tenant_display`, its name for people; and which tenant of that id
/// it is, so that one that was deleted and created anew, or that got the id of another, is not taken for
/// the one that was chosen. That, a tenant that is gone, and one that the user may not enter any more leave
/// the session at the next request. [`Tenancy::access`](crate::Tenancy::access) is asked on every request.
///
/// The middleware of actix-session must run earlier, so it is added later: see the example. Without it, all
/// requests but those for exempt paths get 500, and the log says what to add.
///
/// # Examples
///
/// ```no_run
/// use actix_session::{SessionMiddleware, storage::SessionStore};
/// use actix_web::{App, HttpServer, cookie::Key};
/// use boardinghouse_actix::{SessionTenant, SessionUser, Switch, Tenancy, Unknown};
/// use boardinghouse_core::{Access, ByMembership, PgRegistry, TenantPool};
///
/// # async fn example(store: impl SessionStore + Clone + Send + 'static) -> Result<(), Box<dyn std::error::Error>> {
/// # let key: Key = Key::generate();
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let tenancy = Tenancy::new(PgRegistry::new(pool))
///     .resolver(SessionTenant)
///     .users(SessionUser::new())
///     .access(Access::new(ByMembership))
///     .switching(Switch::new(key.signing())?)
///     .unknown(Unknown::SharedSite)
///     .chooser("/");
/// HttpServer::new(move || {
///     App::new()
///         .wrap(tenancy.middleware())
///         .wrap(SessionMiddleware::new(store.clone(), key.clone()))
/// })
/// .bind("127.0.0.1:8080")?
/// .run()
/// .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionTenant;

impl SessionTenant {
    /// Remembers a tenant, for the next requests of this session. It asks nobody whether the user may enter
    /// it: that is asked on each of them.
    ///
    /// # Errors
    ///
    /// Where there is no session middleware.
    pub fn choose(request: &HttpRequest, tenant: &Tenant) -> Result<(), Error> {
        let session = session_of(request).map_err(Cause::from)?;
        remember(&session, tenant).map_err(Cause::Session)?;
        Ok(())
    }

    /// Forgets the tenant, and nothing else of the session.
    ///
    /// # Errors
    ///
    /// Where there is no session middleware.
    pub fn leave(request: &HttpRequest) -> Result<(), Error> {
        leave(&session_of(request).map_err(Cause::from)?);
        Ok(())
    }
}

/// Whether it is this tenant that a session has.
pub(crate) fn is_chosen(session: &Session, tenant: &Tenant) -> bool {
    chosen(session).as_ref() == Some(tenant.id()) && is_incarnation(session, tenant)
}

/// The id of the tenant in a session.
fn chosen(session: &Session) -> Option<TenantId> {
    let id: String = session.get(TENANT).ok().flatten()?;
    TenantId::parse(&id).ok()
}

/// Writes nothing where nothing changes.
pub(crate) fn remember(session: &Session, tenant: &Tenant) -> Result<(), BoxError> {
    if is_chosen(session, tenant) {
        return Ok(());
    }
    session.insert(TENANT, tenant.id().as_str())?;
    session.insert(DISPLAY, tenant.display_name())?;
    session.insert(INCARNATION, tenant.incarnation())?;
    Ok(())
}

/// Writes nothing where nothing is there.
pub(crate) fn leave(session: &Session) {
    for key in [TENANT, DISPLAY, INCARNATION] {
        if session.contains_key(key) {
            session.remove(key);
        }
    }
}

fn is_incarnation(session: &Session, tenant: &Tenant) -> bool {
    let known = session.get::<i64>(INCARNATION).ok().flatten();
    known == Some(tenant.incarnation())
}

impl TenantResolver for SessionTenant {
    fn resolve(&self, request: &Incoming<'_>) -> Result<Resolution, BoxError> {
        let session = session_of(&**request)?;
        if let Some(id) = chosen(&session) {
            return Ok(Resolution::Tenant(id));
        }
        // What is no id names nothing.
        leave(&session);
        Ok(Resolution::Pass)
    }

    fn routing(&self) -> Routing {
        Routing::Session
    }

    fn needs_access(&self) -> bool {
        true
    }

    fn needs_session(&self) -> bool {
        true
    }

    fn means(&self, request: &Incoming<'_>, tenant: &Tenant) -> bool {
        session_of(&**request).is_ok_and(|session| is_incarnation(&session, tenant))
    }

    fn forget(&self, request: &Incoming<'_>) {
        if let Ok(session) = session_of(&**request) {
            leave(&session);
        }
    }
}
