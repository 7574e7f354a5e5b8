//! What is kept in a session of actix-session: the tenant that was chosen, and who is logged in.
//!
//! Whatever a session says, rights are checked on every request: it remembers a choice, and proves none.

mod tenant;
mod token;
mod user;

use std::mem;

use actix_session::{Session, SessionExt};
use actix_web::{HttpMessage, cookie::Key};

use crate::error::BoxError;

pub(crate) use self::tenant::{is_chosen, leave, remember};
pub use self::{tenant::SessionTenant, token::LoginToken, user::SessionUser};

/// The key of the chosen tenant's id.
const TENANT: &str = "tenant";
/// The key of its name for people.
const DISPLAY: &str = "tenant_display";
/// The key of which tenant of that id it is.
const INCARNATION: &str = "tenant_incarnation";
/// The key of who is logged in.
const USER: &str = "tenant_user";
/// The key of what the tokens of forms are bound to.
const SECRET: &str = "tenant_secret";

/// A key that no session of the middleware has.
const PROBE: &str = "tenant_probe";

/// Where no session is when one is needed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "no session middleware has seen this request: add `.wrap(SessionMiddleware::new(…))` to the `App` \
     after `.wrap(tenancy.middleware())`, because what is added later runs earlier"
)]
pub(crate) struct NoSession;

/// That a request's session is that of the middleware.
struct Proved;

/// That there is none, and what looks like one is not kept.
struct Missing;

/// The session of a request, where the middleware of sessions has run.
///
/// actix-session makes an empty session for whoever asks where there is none, and that one is never
/// saved. So it is asked with everything else put aside: what it makes then gives way to the session of
/// the middleware when the rest is put back, and stays where there is none.
pub(crate) fn session_of<R: HttpMessage + SessionExt>(request: &R) -> Result<Session, NoSession> {
    if request.extensions().contains::<Proved>() {
        return Ok(request.get_session());
    }
    if request.extensions().contains::<Missing>() {
        return Err(NoSession);
    }
    let others = mem::take(&mut *request.extensions_mut());
    let made = request.get_session();
    let marked = made.insert(PROBE, true);
    request.extensions_mut().extend(others);
    let session = request.get_session();
    let is_made = session.contains_key(PROBE);
    made.clear();
    if marked.is_err() || is_made {
        request.extensions_mut().insert(Missing);
        return Err(NoSession);
    }
    request.extensions_mut().insert(Proved);
    Ok(session)
}

/// What the tokens of a session are bound to; `None` where none was ever made.
pub(crate) fn known_secret(session: &Session) -> Option<String> {
    session.get::<String>(SECRET).ok().flatten()
}

/// The same, made where there is none.
pub(crate) fn secret(session: &Session) -> Result<String, BoxError> {
    if let Some(secret) = known_secret(session) {
        return Ok(secret);
    }
    let secret = hex(Key::generate().signing());
    session.insert(SECRET, &secret)?;
    Ok(secret)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
