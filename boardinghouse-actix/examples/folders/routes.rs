//! The routes: one path can be a page of the main site and one of every tenant.

use actix_web::{
    HttpRequest, HttpResponse,
    error::ErrorUnprocessableEntity,
    http::{StatusCode, header},
    web::{self, Data, Form, ServiceConfig},
};
use boardinghouse_actix::{Error, Tenant, TenantDb, TenantUrls as _, guard};
use boardinghouse_core::{ErrorKind, NewTenant, PgRegistry, Provisioner, TenantId};
use diesel::prelude::*;
use minijinja::context;
use serde::{Deserialize, Serialize};

use crate::{
    page,
    schema::{notes, posts},
};

/// What is not to be had as a folder.
pub(crate) const PAGES: [&str; 4] = ["about", "healthz", "notes", "signup"];

pub(crate) fn routes(app: &mut ServiceConfig) {
    app.route("/healthz", web::get().to(async || "ok\n"))
        .service(
            web::resource("/")
                .name("home")
                .route(web::get().guard(guard::tenant_id("www")).to(home))
                .route(web::get().guard(guard::tenant()).to(list)),
        )
        .service(
            web::resource("/notes")
                .name("notes")
                .guard(guard::tenant())
                .route(web::post().to(add)),
        )
        .service(
            web::resource("/about")
                .guard(guard::tenant_id("www"))
                .route(web::get().to(about)),
        )
        .service(
            web::resource("/signup")
                .guard(guard::tenant_id("www"))
                .route(web::post().to(sign_up)),
        );
}

#[derive(Debug, Queryable, Serialize)]
struct Post {
    title: String,
    body: String,
}

async fn home(
    request: HttpRequest,
    db: TenantDb,
    registry: Data<PgRegistry>,
) -> actix_web::Result<HttpResponse> {
    show_home(&request, &db, &registry, StatusCode::OK, "", "").await
}

async fn show_home(
    request: &HttpRequest,
    db: &TenantDb,
    registry: &PgRegistry,
    status: StatusCode,
    draft: &str,
    error: &str,
) -> actix_web::Result<HttpResponse> {
    let query = posts::table
        .select((posts::title, posts::body))
        .order(posts::id);
    let posts: Vec<Post> = db.run(move |conn| query.load(conn)).await?;
    let registry = registry.clone();
    let all = web::block(move || registry.list())
        .await?
        .map_err(Error::from)?;
    let mut tenants = Vec::new();
    for tenant in all {
        let url = request.url_of(&tenant, "/").await?;
        tenants.push(context! { name => tenant.display_name(), url });
    }
    let motto = db
        .tenant()
        .attribute::<String>("motto")
        .map_err(Error::from)?;
    let title = db.tenant().display_name();
    page::site(
        status,
        "home",
        context! { title, motto, posts, tenants, draft, error },
    )
}

async fn about(tenant: Tenant) -> actix_web::Result<HttpResponse> {
    let data = context! {
        title => format!("About {}", tenant.display_name()),
        tenant => tenant.id(),
        routed_by => tenant.routed_by(),
        schema => tenant.schema(),
    };
    page::site(StatusCode::OK, "about", data)
}

#[derive(Deserialize)]
struct SignUp {
    id: String,
}

async fn sign_up(
    request: HttpRequest,
    db: TenantDb,
    provisioner: Data<Provisioner>,
    registry: Data<PgRegistry>,
    form: Form<SignUp>,
) -> actix_web::Result<HttpResponse> {
    let SignUp { id } = form.into_inner();
    let id = id.trim().to_ascii_lowercase();
    let refused = |why: &'static str| (StatusCode::UNPROCESSABLE_ENTITY, why);
    let (status, why) = match TenantId::parse(&id) {
        Err(_) => refused("Please use letters, digits and hyphens."),
        Ok(parsed) => {
            let created = web::block(move || provisioner.create(&NewTenant::new(parsed))).await?;
            match created {
                Ok(tenant) => {
                    let url = request.url_of(&tenant, "/").await?.unwrap_or_default();
                    return Ok(HttpResponse::SeeOther()
                        .insert_header((header::LOCATION, url))
                        .finish());
                }
                Err(error) => match error.kind() {
                    ErrorKind::TenantExists
                    | ErrorKind::SchemaExists
                    | ErrorKind::ReservedName
                    | ErrorKind::InvalidName => refused("This name cannot be had."),
                    _ => return Err(Error::from(error).into()),
                },
            }
        }
    };
    show_home(&request, &db, &registry, status, &id, why).await
}

async fn list(request: HttpRequest, db: TenantDb) -> actix_web::Result<HttpResponse> {
    let query = notes::table.select(notes::body).order(notes::id);
    let notes: Vec<String> = db.run(move |conn| query.load(conn)).await?;
    let no_elements = [""; 0];
    page::tenant(context! {
        title => db.tenant().display_name(),
        schema => db.tenant().schema(),
        home => request.tenant_url_for("home", no_elements)?,
        add => request.tenant_url_for("notes", no_elements)?,
        main => "/",
        notes,
    })
}

#[derive(Deserialize)]
struct NewNote {
    body: String,
}

async fn add(db: TenantDb, form: Form<NewNote>) -> actix_web::Result<HttpResponse> {
    let body = form.into_inner().body.trim().to_owned();
    if body.is_empty() || body.contains('\0') || body.chars().count() > 10_000 {
        return Err(ErrorUnprocessableEntity(
            "a note has 1 to 10,000 characters\n",
        ));
    }
    let insert = diesel::insert_into(notes::table).values(notes::body.eq(body));
    db.run(move |conn| insert.execute(conn)).await?;
    // In a folder the middleware makes it the tenant's own.
    Ok(HttpResponse::SeeOther()
        .insert_header((header::LOCATION, "/"))
        .finish())
}
