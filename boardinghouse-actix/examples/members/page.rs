//! The pages. The template engine escapes everything that comes from the database.

use std::pin::Pin;

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    error::ErrorInternalServerError,
    http::{StatusCode, header},
};
use boardinghouse_actix::{FormToken, Tenant, TenantMenu, Visitor};
use boardinghouse_core::{Membership, TenantStatus};
use minijinja::{Environment, Value, context};

use crate::data::{Note, Person};

/// What every page shows: who is logged in, the menu of tenants, and the token of its forms.
pub(crate) struct Frame {
    visitor: Visitor,
    menu: TenantMenu,
    token: FormToken,
}

impl Frame {
    /// Who is logged in.
    pub(crate) fn user(&self) -> Option<&str> {
        self.visitor.user().map(|user| user.id.as_str())
    }
}

impl FromRequest for Frame {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = actix_web::Result<Self>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            Ok(Self {
                visitor: Visitor::extract(&request).await?,
                menu: TenantMenu::extract(&request).await?,
                token: FormToken::extract(&request).await?,
            })
        })
    }
}

pub(crate) fn login(frame: &Frame, people: &[Person]) -> actix_web::Result<HttpResponse> {
    html(StatusCode::OK, "login.html", frame, context! { people })
}

/// Who is in no tenant: chooses one, or has none, or has suspended it.
pub(crate) fn choose(frame: &Frame, suspended: &[Membership]) -> actix_web::Result<HttpResponse> {
    let suspended: Vec<_> = suspended
        .iter()
        .map(|of| context! { id => of.tenant.id(), name => of.tenant.display_name() })
        .collect();
    html(StatusCode::OK, "choose.html", frame, context! { suspended })
}

/// With what was typed and could not be taken, and why not.
pub(crate) fn notes(
    frame: &Frame,
    tenant: &Tenant,
    notes: &[Note],
    refused: Option<(String, &'static str)>,
) -> actix_web::Result<HttpResponse> {
    let status = match refused {
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        None => StatusCode::OK,
    };
    let (draft, error) = refused.unzip();
    let draft = draft.unwrap_or_default();
    let (name, role) = (tenant.display_name(), tenant.role());
    let page = context! { tenant => name, role, notes, draft, error };
    html(status, "notes.html", frame, page)
}

pub(crate) fn note(frame: &Frame, tenant: &Tenant, note: &Note) -> actix_web::Result<HttpResponse> {
    let page = context! { tenant => tenant.display_name(), note };
    html(StatusCode::OK, "note.html", frame, page)
}

/// For who is in a tenant that was suspended meanwhile. From here one can only leave.
pub(crate) fn not_ready(tenant: &boardinghouse_core::Tenant) -> Option<HttpResponse> {
    if tenant.status() != TenantStatus::Suspended {
        return None;
    }
    let page = context! { tenant => tenant.display_name() };
    let html = render("suspended.html", page).ok()?;
    Some(answer(StatusCode::FORBIDDEN, html))
}

fn html(
    status: StatusCode,
    template: &str,
    frame: &Frame,
    page: Value,
) -> actix_web::Result<HttpResponse> {
    let frame = context! {
        user => frame.user(),
        // Escaped already, both of them.
        menu => Value::from_safe_string(frame.menu.html()),
        form_token => Value::from_safe_string(frame.token.html()),
    };
    let html = render(template, context! { ..page, ..frame }).map_err(ErrorInternalServerError)?;
    Ok(answer(status, html))
}

/// The names end in .html, which is what turns escaping on.
fn render(template: &str, page: Value) -> Result<String, minijinja::Error> {
    let mut templates = Environment::new();
    for (name, source) in [
        ("frame.html", include_str!("frame.html")),
        ("login.html", include_str!("login.html")),
        ("choose.html", include_str!("choose.html")),
        ("notes.html", include_str!("notes.html")),
        ("note.html", include_str!("note.html")),
        ("suspended.html", include_str!("suspended.html")),
    ] {
        templates.add_template(name, source)?;
    }
    templates.get_template(template)?.render(page)
}

fn answer(status: StatusCode, html: String) -> HttpResponse {
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        // The same path is another page in another tenant.
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
        ))
        .body(html)
}
