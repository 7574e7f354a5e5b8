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
//! 3. The [resolvers](TenantResolver) are asked, in order, which tenant the request names:
//!    [`HostTable`], [`Subdomain`], [`PathPrefix`], [`Header`], or a closure.
//! 4. The registry is asked for that tenant, off the worker thread.
//! 5. The handler is called; [`TenantDb::run`] checks a connection out, proves that it is on the
//!    tenant's schema, and runs the queries, off the worker thread.
//!
//! Whatever goes wrong, a client sees a status and an empty body: see [`Error`]. Nothing about a
//! tenant is kept in a thread or in a worker, so there is nothing to clear after a request.

mod blocking;
mod db;
mod error;
mod mount;
mod request;
mod resolver;
mod tenancy;
mod tenant;

pub use ipnet::IpNet;

pub use crate::{
    db::{SharedDb, TenantDb},
    error::{BoxError, Error},
    request::Incoming,
    resolver::{Header, HostTable, PathPrefix, Resolution, Routing, Subdomain, TenantResolver},
    tenancy::Tenancy,
    tenant::Tenant,
};

/// Compiles the code in README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
