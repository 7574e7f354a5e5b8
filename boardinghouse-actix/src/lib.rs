//! Schema-per-tenant multi-tenancy for actix-web.
//!
//! A [`Tenancy`] finds the tenant of each request; handlers get it, and a database that is the
//! tenant's alone, by extractors:
//!
//! ```no_run
//! use actix_web::{App, HttpServer, get, web::Json};
//! use boardinghouse_actix::{Error, Subdomain, Tenancy, TenantDb};
//! use boardinghouse_core::{PgRegistry, TenantPool};
//! use diesel::prelude::*;
//!
//! diesel::table! {
//!     notes { id -> Integer, body -> Text }
//! }
//!
//! #[get("/notes")]
//! async fn bodies(db: TenantDb) -> Result<Json<Vec<String>>, Error> {
//!     Ok(Json(db.run(|conn| notes::table.select(notes::body).load(conn)).await?))
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = TenantPool::builder().build("postgres://localhost/app")?;
//!     let tenancy = Tenancy::new(PgRegistry::new(pool)).resolver(Subdomain::of("example.com")?);
//!     HttpServer::new(move || App::new().wrap(tenancy.middleware()).service(bodies))
//!         .bind("127.0.0.1:8080")?
//!         .run()
//!         .await?;
//!     Ok(())
//! }
//! ```
//!
//! # From a request to rows
//!
//! 1. A path that is [exempt](Tenancy::exempt) is served without a tenant.
//! 2. The host is checked and normalised; one that is malformed gets 400 and costs no query.
//! 3. [Tenants of the configuration](Tenancy::statics) are served by their own domains. Else the
//!    [resolvers](TenantResolver) are asked, in order, which tenant the request names:
//!    [`HostTable`], [`Subdomain`], [`PathPrefix`], [`Header`], [`Claim`], [`Cookie`], or a closure.
//! 4. The tenant is looked up in a [cache](boardinghouse_core::RegistryCache) of the registry; what that
//!    does not know is asked off the worker thread.
//! 5. Where anybody could have named the tenant, by a cookie say, [`Tenancy::access`] decides whether the
//!    [user](Tenancy::users) may enter it. That is asked on every request.
//! 6. A tenant that is not ready is not served: [`Tenancy::suspended`], [`Tenancy::status_page`]. An address
//!    that is not the primary one may send its visitors there.
//! 7. The route is matched, by [guards](guard) too, and the handler is called; [`TenantDb::run`] checks a
//!    connection out, proves that it is on the tenant's schema, and runs the queries, off the worker thread.
//!
//! Whatever goes wrong, a client sees a status and an empty body: see [`Error`]. Nothing about a
//! tenant is kept in a thread or in a worker, so there is nothing to clear after a request.
//!
//! # People
//!
//! With the feature `session`, users belong to several tenants and switch between them: see `Switch`,
//! `SessionTenant` and `TenantMenu`.
//!
//! # Logging
//!
//! What went wrong is logged with [`tracing`], since clients are not told: a failed query as an
//! error, with its cause and its tenant. Install a subscriber, such as
//! `tracing_subscriber::fmt().init()`, at the start of `main`: without one a 500 is silent.
//!
//! Every record of a request is in a span `tenant`, with the fields `tenant` and `routed_by`: also of what
//! [`TenantDb::run`] runs on another thread, and of the pool's own.
//!
//! # Behind a proxy
//!
//! A tenant is found by the `Host` of the request as it arrives here. Where a proxy replaces it, let it
//! set `X-Forwarded-Host`, and name the proxy's address to [`Tenancy::trust_proxy`]. Headers of anybody else
//! are ignored. Exempt the path of health checks, which come by address and not by name.
//!
//! # Features
//!
//! * `session`: `SessionTenant`, `SessionUser`, `Switch`, `TenantMenu`, `TenantForm`: people who belong to
//!   several tenants and switch, with actix-session.
//! * `testing`: module `testing`, requests that land in a tenant, for the tests of an application.
//!
//! # Sign-up
//!
//! Who signs up has no tenant yet, so the route is on an exempt path and uses [`SharedDb`]. In one
//! transaction the tenant is created and whatever the application itself writes down about it; when
//! either fails, neither is there.
//!
//! ```no_run
//! use actix_web::{
//!     App, HttpResponse, HttpServer, post,
//!     web::{Data, Form},
//! };
//! use boardinghouse_actix::{Error, SharedDb, Subdomain, Tenancy};
//! use boardinghouse_core::{ErrorKind, NewTenant, PgRegistry, Provisioner, TenantId, TenantPool};
//! use diesel::prelude::*;
//! use serde::Deserialize;
//!
//! diesel::table! {
//!     // A table of the shared schema.
//!     accounts { id -> Integer, tenant -> Text, email -> Text }
//! }
//!
//! #[derive(Deserialize)]
//! struct SignUp {
//!     tenant: String,
//!     email: String,
//! }
//!
//! #[post("/signup")]
//! async fn sign_up(
//!     db: SharedDb,
//!     provisioner: Data<Provisioner>,
//!     form: Form<SignUp>,
//! ) -> Result<HttpResponse, Error> {
//!     let SignUp { tenant, email } = form.into_inner();
//!     let Ok(id) = TenantId::parse(&tenant) else {
//!         return Ok(HttpResponse::UnprocessableEntity().body("not a name for a subdomain"));
//!     };
//!     let created = db.run(move |conn| {
//!         conn.transaction::<_, boardinghouse_core::Error, _>(|conn| {
//!             let created = provisioner.create_in(conn, &NewTenant::new(id))?;
//!             diesel::insert_into(accounts::table)
//!                 .values((accounts::tenant.eq(created.id().as_str()), accounts::email.eq(email)))
//!                 .execute(conn)?;
//!             Ok(created)
//!         })
//!     });
//!     match created.await {
//!         Ok(created) => Ok(HttpResponse::Created().body(format!("welcome, {}", created.id()))),
//!         Err(error) => match error.kind() {
//!             Some(
//!                 ErrorKind::TenantExists
//!                 | ErrorKind::SchemaExists
//!                 | ErrorKind::ReservedName
//!                 | ErrorKind::InvalidName,
//!             ) => Ok(HttpResponse::Conflict().body("this name cannot be had")),
//!             _ => Err(error),
//!         },
//!     }
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = TenantPool::builder().build("postgres://localhost/app")?;
//!     let provisioner = Data::new(Provisioner::new(pool.clone()));
//!     let tenancy = Tenancy::new(PgRegistry::new(pool))
//!         .resolver(Subdomain::of("example.com")?)
//!         .exempt("/signup");
//!     HttpServer::new(move || {
//!         App::new()
//!             .wrap(tenancy.middleware())
//!             .app_data(provisioner.clone())
//!             .service(sign_up)
//!     })
//!     .bind("127.0.0.1:8080")?
//!     .run()
//!     .await?;
//!     Ok(())
//! }
//! ```

mod accept;
mod blocking;
mod db;
mod error;
mod find;
pub mod guard;
mod location;
mod lookup;
mod middleware;
mod mount;
mod queue;
mod request;
mod resolver;
#[cfg(feature = "session")]
mod session;
#[cfg(feature = "session")]
mod switch;
mod tenancy;
mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
mod unknown;
mod url;
mod user;

pub use ipnet::IpNet;

pub use crate::{
    db::{SharedDb, TenantDb},
    error::{BoxError, Error},
    request::Incoming,
    resolver::{
        Claim, Cookie, Header, HostTable, PathPrefix, Resolution, Routing, Subdomain,
        TenantResolver,
    },
    tenancy::Tenancy,
    tenant::Tenant,
    unknown::{Unknown, UnknownHandler},
    url::TenantUrls,
    user::{Users, Visitor},
};

#[cfg(feature = "session")]
pub use crate::{
    session::{LoginToken, SessionTenant, SessionUser},
    switch::{Entry, FormToken, OnSwitch, Switch, TenantForm, TenantMenu},
};

/// Compiles the code in README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
