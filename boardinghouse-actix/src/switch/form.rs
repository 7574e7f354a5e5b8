//! Forms that are accepted only where they were made: in the same tenant, and the same session.

use std::{
    fmt,
    future::{Ready, ready},
    ops::{Deref, DerefMut},
};

use actix_session::Session;
use actix_web::{
    FromRequest, HttpMessage as _, HttpRequest, dev::Payload, mime, web::Bytes, web::Query,
};
use boardinghouse_core::Tenant;
use futures_core::future::LocalBoxFuture;
use serde::{Serialize, de::DeserializeOwned};

use super::{Refusal, Switch, serve::pairs};
use crate::{
    error::{Cause, Error},
    middleware::Seen,
    session::{known_secret, secret, session_of},
};

/// The name of the field, and of the header.
const FIELD: &str = "tenant_form";
const HEADER: &str = "x-tenant-form";

/// What is signed.
const PURPOSE: &str = "form";

/// A token for the forms of a page: it says for which tenant, and in which session, the page was rendered.
///
/// Somebody with two tabs open switches in one of them; what is posted from the other would be written to the
/// wrong tenant. With the token in the form, and [`TenantForm`] in the handler, it gets 409. Since others
/// cannot know the token, it protects from forged requests, too.
///
/// On the shared site it stands for the session alone.
///
/// # Extractor behaviour
///
/// Without [`Tenancy::switching`](crate::Tenancy::switching), without the session middleware, or without the
/// tenancy the answer is 500, and the log says what to add.
///
/// # Examples
///
/// ```
/// use actix_web::{HttpResponse, http::header, web};
/// use boardinghouse_actix::{Error, FormToken, TenantDb, TenantForm};
///
/// async fn page(token: FormToken) -> HttpResponse {
///     HttpResponse::Ok().content_type("text/html").body(format!(
///         "<form method=post action=/notes>{}<input name=body><button>Add</button></form>",
///         token.html(),
///     ))
/// }
///
/// #[derive(serde::Deserialize)]
/// struct NewNote {
///     body: String,
/// }
///
/// # fn insert(_: &str, _: &mut boardinghouse_core::TenantConnection) -> diesel::QueryResult<()> { Ok(()) }
/// async fn add(note: TenantForm<NewNote>, db: TenantDb) -> Result<HttpResponse, Error> {
///     db.run(move |conn| insert(&note.body, conn)).await?;
///     Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, "/notes")).finish())
/// }
/// ```
#[derive(Clone)]
pub struct FormToken {
    switch: Switch,
    place: Place,
    value: String,
}

/// What a token is bound to.
#[derive(Clone)]
struct Place {
    secret: String,
    id: String,
    incarnation: String,
}

impl Place {
    fn new(secret: String, tenant: Option<&Tenant>) -> Self {
        Self {
            secret,
            id: tenant.map_or_else(String::new, |tenant| tenant.id().to_string()),
            incarnation: tenant.map_or(0, Tenant::incarnation).to_string(),
        }
    }

    fn parts(&self) -> [&str; 3] {
        [&self.secret, &self.id, &self.incarnation]
    }
}

impl FormToken {
    /// The value, for a field `tenant_form`, or a header `X-Tenant-Form` that a script sends.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The field: an `<input type="hidden">`.
    #[must_use]
    pub fn html(&self) -> String {
        let value = &self.value;
        format!("<input type=\"hidden\" name=\"{FIELD}\" value=\"{value}\">")
    }

    /// Checks a token that came in a way of the application's own: in JSON, say, or in a form of several parts.
    ///
    /// # Errors
    ///
    /// 409 where it is not of this tenant and session.
    pub fn check(&self, token: &str) -> Result<(), Error> {
        check(&self.switch, &self.place, token)
    }
}

fn check(switch: &Switch, place: &Place, token: &str) -> Result<(), Error> {
    if switch.signer.is_signed(PURPOSE, &place.parts(), token) {
        Ok(())
    } else {
        Err(Cause::Switch(Refusal::OtherTenant).into())
    }
}

/// The value alone, as a template wants it.
impl Serialize for FormToken {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.value)
    }
}

/// Without the secret of the session.
impl fmt::Debug for FormToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormToken").finish_non_exhaustive()
    }
}

impl FromRequest for FormToken {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(context(request).and_then(|(switch, session, tenant)| {
            let secret = secret(&session).map_err(Cause::Session)?;
            let place = Place::new(secret, tenant.as_ref());
            let value = switch.signer.sign(PURPOSE, &place.parts());
            Ok(Self {
                switch,
                place,
                value,
            })
        }))
    }
}

/// A form, like actix-web's [`Form`](actix_web::web::Form), that was rendered for the tenant and in the session
/// in which it is posted: it brings its [`FormToken`], in a field `tenant_form` or a header `X-Tenant-Form`.
///
/// # Extractor behaviour
///
/// A form of another tenant or session, or without a token, gets 409, and the handler is not called; take
/// `Result<TenantForm<T>, Error>` to answer it yourself. A body that is no form, or not that of a `T`, gets 400.
/// How long it may be, [`PayloadConfig`](actix_web::web::PayloadConfig) says.
#[derive(Clone, Copy, Debug)]
pub struct TenantForm<T>(pub T);

impl<T> TenantForm<T> {
    /// What was sent.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for TenantForm<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for TenantForm<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for TenantForm<T> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = Bytes::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let no_form = || Error::from(Cause::Switch(Refusal::NoForm));
            let (switch, session, tenant) = context(&request)?;
            let is_form = matches!(
                request.mime_type(), Ok(Some(mime)) if mime == mime::APPLICATION_WWW_FORM_URLENCODED
            );
            if !is_form {
                return Err(no_form());
            }
            let body = body.await.map_err(|_| no_form())?;
            let fields = pairs(&body).ok_or_else(no_form)?;
            let mut fields = fields.iter().filter(|(name, _)| name == FIELD);
            let in_field = fields.next().map(|(_, value)| value.as_str());
            let in_header = request.headers().get(HEADER);
            let token = in_field.or(in_header.and_then(|value| value.to_str().ok()));
            let secret = known_secret(&session).ok_or(Cause::Switch(Refusal::OtherTenant))?;
            let place = Place::new(secret, tenant.as_ref());
            check(&switch, &place, token.unwrap_or_default())?;
            let text = std::str::from_utf8(&body).map_err(|_| no_form())?;
            let form = Query::<T>::from_query(text).map_err(|_| no_form())?;
            Ok(Self(form.into_inner()))
        })
    }
}

fn context(request: &HttpRequest) -> Result<(Switch, Session, Option<Tenant>), Error> {
    let session = session_of(request).map_err(Cause::from)?;
    let extensions = request.extensions();
    let seen = extensions.get::<Seen>().ok_or(Cause::NoMiddleware)?;
    let switch = seen.tenancy.inner().switch.clone();
    let switch = switch.ok_or(Cause::Switch(Refusal::NotConfigured))?;
    let tenant = seen.tenant.clone().map(crate::Tenant::into_inner);
    Ok((switch, session, tenant))
}
