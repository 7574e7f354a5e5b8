//! The pages. The template engine escapes everything that comes from the database.

use actix_web::{
    HttpResponse,
    error::ErrorInternalServerError,
    http::{StatusCode, header},
};
use minijinja::{Environment, Value, context};

const LAYOUT: &str = include_str!("layout.html");

/// A page of the main site.
pub(crate) fn site(status: StatusCode, page: &str, data: Value) -> actix_web::Result<HttpResponse> {
    let template = match page {
        "home" => include_str!("home.html"),
        _ => include_str!("about.html"),
    };
    html(status, template, data)
}

/// The page of a tenant.
pub(crate) fn tenant(data: Value) -> actix_web::Result<HttpResponse> {
    html(StatusCode::OK, include_str!("tenant.html"), data)
}

fn html(status: StatusCode, page: &str, data: Value) -> actix_web::Result<HttpResponse> {
    // The names end in .html, which is what turns escaping on.
    let templates = Environment::new();
    let render = |template: &str, data: Value| {
        let rendered = templates.render_named_str("page.html", template, data);
        rendered.map_err(ErrorInternalServerError)
    };
    let page = render(page, data.clone())?;
    let body = render(
        LAYOUT,
        context! { page => Value::from_safe_string(page), ..data },
    )?;
    Ok(HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
        ))
        .body(body))
}
