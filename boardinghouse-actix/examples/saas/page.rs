//! The pages for people. The template engine escapes everything that comes from the database.

use actix_web::{
    HttpResponse,
    error::ErrorInternalServerError,
    http::{StatusCode, header},
};
use boardinghouse_actix::Tenant;
use minijinja::{Environment, Value, context};

use crate::{
    notes::{Note, Plan},
    setup,
};

/// What the page shows.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) schema: String,
    pub(crate) notes: Vec<Note>,
    pub(crate) plans: Vec<Plan>,
    /// What was typed and could not be taken, and why not.
    pub(crate) refused: Option<(String, &'static str)>,
}

pub(crate) fn render(tenant: &Tenant, page: &Page) -> actix_web::Result<HttpResponse> {
    let (draft, error) = page
        .refused
        .as_ref()
        .map_or(("", None), |(draft, error)| (draft.as_str(), Some(*error)));
    let context = context! {
        tenant => tenant.display_name(),
        routed_by => tenant.routed_by(),
        base_path => tenant.base_path(),
        schema => page.schema,
        notes => page.notes,
        plans => page.plans,
        draft,
        error,
    };
    let status = if error.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    html(status, include_str!("page.html"), context)
}

/// Which tenants there are, for who has not named one.
pub(crate) fn directory(port: u16) -> actix_web::Result<HttpResponse> {
    let tenants = setup::TENANTS.map(|(id, name, _)| context! { id, name });
    let context = context! { tenants, port };
    html(StatusCode::OK, include_str!("directory.html"), context)
}

fn html(status: StatusCode, template: &str, context: Value) -> actix_web::Result<HttpResponse> {
    // The name ends in .html, which is what turns escaping on.
    let html = Environment::new()
        .render_named_str("page.html", template, context)
        .map_err(ErrorInternalServerError)?;
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::VARY, "Accept"))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
        ))
        .body(html))
}
