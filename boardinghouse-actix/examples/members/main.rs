//! People who log in, belong to two tenants, and switch in the page.
//!
//! ```text
//! cargo run --release -p boardinghouse-actix --example members
//! ```
//!
//! `DATABASE_URL` is the database to use; without it a private PostgreSQL is started, and is gone
//! when the example ends. `BIND` is the address to listen on, 127.0.0.1:8080 by default; with port 0
//! a free one is taken. A variable that is empty counts as not set.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod data;
mod page;
mod routes;
mod schema;
mod setup;
#[path = "../common/start.rs"]
mod start;

use std::{error::Error, process::ExitCode};

use actix_session::{SessionMiddleware, storage::CookieSessionStore};
use actix_web::{App, HttpServer, cookie::Key, web::Data};
use boardinghouse_actix::{OnSwitch, SessionTenant, SessionUser, Switch, Tenancy, Unknown};
use boardinghouse_core::{Access, ByMembership, Provisioner, TenantPool, embedded};
// Brings libpq.
use pq_sys as _;

#[actix_web::main]
async fn main() -> ExitCode {
    start::run(run()).await
}

async fn run() -> Result<(), Box<dyn Error>> {
    let listener = start::listen()?;
    let address = listener.local_addr()?;

    let started = embedded::from_env_or_start("DATABASE_URL").map_err(|error| error.chain());
    let database = started?; // the private server runs until this is dropped
    let pool = TenantPool::builder()
        .build(database.url())
        .map_err(|error| error.chain())?;
    let registry = setup::run(&pool).map_err(|error| error.chain())?;
    let provisioner = Data::new(Provisioner::new(pool));
    let memberships = Data::new(registry.clone());

    // Kept somewhere safe in a real application: whoever is logged in is logged out when they change.
    let (sessions_key, switch_key) = (Key::generate(), Key::generate());
    let switch = Switch::new(switch_key.signing())?.page("/notes/{id}", OnSwitch::Refuse);
    let tenancy = Tenancy::new(registry)
        .resolver(SessionTenant)
        .users(SessionUser::new())
        .access(Access::new(ByMembership))
        .switching(switch)
        .unknown(Unknown::SharedSite)
        .chooser("/")
        .status_page(|_, tenant| page::not_ready(tenant))
        .exempt("/healthz");
    let app = move || {
        let sessions =
            SessionMiddleware::builder(CookieSessionStore::default(), sessions_key.clone())
                // There is no TLS here.
                .cookie_secure(false)
                .build();
        // What is added last runs first: the session is there when the tenant is looked for.
        App::new()
            .wrap(tenancy.middleware())
            .wrap(sessions)
            .app_data(provisioner.clone())
            .app_data(memberships.clone())
            .configure(routes::routes)
    };
    let server = HttpServer::new(app)
        .shutdown_timeout(5)
        .listen(listener)?
        .run();
    if database.server().is_some() {
        println!("\nA private PostgreSQL is running; it goes when this program ends.");
    }
    println!("\nOpen in a browser:\n\n  http://{address}/\n\nCtrl-C stops everything.");
    server.await?;
    println!("Stopped.");
    Ok(())
}
