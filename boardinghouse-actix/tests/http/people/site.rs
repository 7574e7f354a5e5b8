//! The site under test: people log in by name, and have notes in each tenant.

use actix_session::{SessionMiddleware, config::CookieContentSecurity};
use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    cookie::Key,
    web::{self, ServiceConfig},
};
use boardinghouse_actix::{
    Error, FormToken, SessionTenant, SessionUser, Switch, Tenancy, Tenant, TenantDb, TenantForm,
    TenantMenu, Unknown, Visitor,
};
use boardinghouse_core::{
    Access, ByMembership, PgRegistry, Superusers, TenantId, TenantPool, User,
};
use diesel::prelude::*;

use super::{browser::Browser, store::Store, tokens};
use crate::{
    app::{Server, notes, run},
    fixture::Fixture,
};

const SESSION_KEY: [u8; 64] = [3; 64];

pub(crate) fn new_switch() -> Switch {
    Switch::new(&[7; 32]).unwrap()
}

pub(crate) fn id(id: &str) -> TenantId {
    id.parse().unwrap()
}

/// `ada` belongs to both tenants, as what they do there; `bob` to acme; `root` is a superuser.
pub(crate) fn people(fixture: &Fixture) {
    let registry = PgRegistry::new(fixture.pool.clone());
    for (user, tenant, role) in [
        ("ada", "acme", "admin"),
        ("ada", "globex", "reader"),
        ("bob", "acme", "reader"),
    ] {
        registry.add_member(user, &id(tenant), role).unwrap();
    }
}

pub(crate) fn tenancy(fixture: &Fixture) -> Tenancy {
    tenancy_on(fixture.pool.clone())
}

pub(crate) fn tenancy_on(pool: TenantPool) -> Tenancy {
    Tenancy::new(PgRegistry::new(pool))
        .exempt("/healthz")
        .resolver(SessionTenant)
        .users(SessionUser::new().superusers(|user: &User| user.id == "root"))
        .access(Access::new(Superusers).or(ByMembership))
        .switching(new_switch())
        .unknown(Unknown::SharedSite)
        .chooser("/choose")
}

pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) store: Store,
}

impl Site {
    pub(crate) fn new(tenancy: Tenancy) -> Self {
        Self::with_store(tenancy, Store::default())
    }

    /// Another process of the same site: it shares the sessions.
    pub(crate) fn with_store(tenancy: Tenancy, store: Store) -> Self {
        let sessions = store.clone();
        let registry = web::Data::new(tenancy.registry().clone());
        let server = run(move || {
            let app = move || {
                let sessions =
                    SessionMiddleware::builder(sessions.clone(), Key::from(&SESSION_KEY))
                        .cookie_secure(false)
                        .cookie_content_security(CookieContentSecurity::Signed)
                        .build();
                App::new()
                    .wrap(tenancy.middleware())
                    .wrap(sessions)
                    .app_data(registry.clone())
                    .configure(routes)
                    .configure(tokens::routes)
            };
            let server = HttpServer::new(app)
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
            (server.addrs()[0], server.run())
        });
        Self { server, store }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.server.at)
    }

    /// A browser of somebody who is logged in.
    pub(crate) fn user(&self, name: &str) -> Browser {
        let browser = self.browser();
        browser.log_in(name);
        browser
    }
}

pub(crate) fn routes(app: &mut ServiceConfig) {
    app.route("/login/{user}", web::post().to(log_in))
        .route("/local/{user}", web::post().to(log_in_here))
        .route("/logout", web::post().to(log_out))
        .route("/me", web::get().to(me))
        .route("/choose", web::get().to(choose))
        .route("/notes", web::get().to(bodies))
        .route("/notes", web::post().to(write))
        .route("/notes/{id}", web::get().to(note))
        .route("/admin", web::get().to(admin))
        .route("/menu", web::get().to(menu))
        .route("/locked/{id}", web::get().to(menu))
        .route("/gallery", web::get().to(gallery))
        .route("/form", web::get().to(form))
        .route("/form", web::post().to(add))
        .route("/healthz", web::get().to(async || "ok"));
}

async fn log_in(request: HttpRequest, user: web::Path<String>) -> Result<String, Error> {
    SessionUser::log_in(&request, &user)?;
    Ok(String::new())
}

async fn log_in_here(
    request: HttpRequest,
    tenant: Tenant,
    user: web::Path<String>,
) -> Result<String, Error> {
    SessionUser::log_in_at(&request, &tenant, &user)?;
    Ok(String::new())
}

async fn log_out(request: HttpRequest) -> Result<String, Error> {
    SessionUser::log_out(&request)?;
    Ok(String::new())
}

async fn me(visitor: Visitor, tenant: Option<Tenant>) -> String {
    let user = visitor.user().map_or("nobody", |user| &user.id);
    let tenant = tenant.map_or("nowhere".to_owned(), |tenant| tenant.id().to_string());
    format!("{user} {tenant}")
}

async fn choose(tenant: Option<Tenant>, menu: TenantMenu) -> String {
    let at = tenant.map_or("nowhere".to_owned(), |tenant| tenant.id().to_string());
    format!("{at}: {} tenants", menu.tenants.len())
}

async fn bodies(db: TenantDb) -> Result<String, Error> {
    let found = db.run(|conn| notes::table.select(notes::body).load::<String>(conn));
    Ok(found.await?.join(","))
}

async fn write(db: TenantDb, body: String) -> Result<HttpResponse, Error> {
    insert(&db, body).await?;
    Ok(HttpResponse::Created().finish())
}

async fn insert(db: &TenantDb, body: String) -> Result<(), Error> {
    db.run(move |conn| {
        let row = notes::body.eq(body);
        diesel::insert_into(notes::table).values(row).execute(conn)
    })
    .await?;
    Ok(())
}

async fn note(db: TenantDb, id: web::Path<i32>) -> Result<HttpResponse, Error> {
    let query = notes::table.find(id.into_inner()).select(notes::body);
    let found = db.run(move |conn| query.first::<String>(conn).optional());
    Ok(match found.await? {
        Some(body) => HttpResponse::Ok().body(body),
        None => HttpResponse::NotFound().finish(),
    })
}

async fn admin(tenant: Tenant) -> HttpResponse {
    match tenant.role() {
        Some("admin") => HttpResponse::Ok().body("yes"),
        _ => HttpResponse::Forbidden().finish(),
    }
}

async fn menu(menu: TenantMenu) -> HttpResponse {
    HttpResponse::Ok().body(menu.html())
}

async fn gallery(menu: TenantMenu) -> HttpResponse {
    HttpResponse::Ok().body(menu.go_to("/start?x=1").html())
}

async fn form(token: FormToken) -> String {
    token.value().to_owned()
}

#[derive(serde::Deserialize)]
struct NewNote {
    body: String,
}

async fn add(form: TenantForm<NewNote>, db: TenantDb) -> Result<HttpResponse, Error> {
    insert(&db, form.into_inner().body).await?;
    Ok(HttpResponse::Created().finish())
}
