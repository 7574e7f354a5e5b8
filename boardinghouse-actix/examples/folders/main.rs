//! One domain: a main site, and a tenant in each folder of it.
//!
//! ```text
//! cargo run --release -p boardinghouse-actix --example folders
//! ```
//!
//! `/` and `/about` are the main site's, `/acme/` is a tenant's, and whoever signs up gets a folder.
//!
//! `DATABASE_URL` is the database to use; without it a private PostgreSQL is started, and is gone
//! when the example ends. `BIND` is the address to listen on, 127.0.0.1:8080 by default; with port 0
//! a free one is taken. A variable that is empty counts as not set.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for a terminal"
)]

mod page;
mod routes;
mod schema;
mod setup;
#[path = "../common/start.rs"]
mod start;

use std::{error::Error, net::SocketAddr, process::ExitCode};

use actix_web::{App, HttpServer, web::Data};
use boardinghouse_actix::{PathPrefix, Tenancy};
use boardinghouse_core::{Layout, PgRegistry, Provisioner, TenantId, TenantPool, embedded};
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
    // Pages of the main site are nobody's folders.
    let reserved: Result<Vec<TenantId>, _> = routes::PAGES.map(str::parse).into_iter().collect();
    let pool = TenantPool::builder()
        .layout(Layout::default().with_reserved(reserved?))
        .build(database.url())
        .map_err(|error| error.chain())?;
    let statics = setup::run(&pool).map_err(|error| error.chain())?;

    let provisioner = Data::new(Provisioner::new(pool.clone()));
    let registry = PgRegistry::new(pool);
    let tenancy = Tenancy::new(registry.clone())
        .statics(statics)
        .resolver(PathPrefix::new("/").optional())
        .exempt("/healthz");
    let app = move || {
        App::new()
            .wrap(tenancy.middleware())
            .app_data(provisioner.clone())
            .app_data(Data::new(registry.clone()))
            .configure(routes::routes)
    };
    let server = HttpServer::new(app)
        .shutdown_timeout(5)
        .listen(listener)?
        .run();
    print_how_to_use(address, database.server().is_some());
    server.await?;
    println!("Stopped.");
    Ok(())
}

fn print_how_to_use(address: SocketAddr, private: bool) {
    println!();
    if private {
        println!("A private PostgreSQL is running; it goes when this program ends.");
    }
    println!("Open in a browser:\n\n  http://{address}/\n\nOr paste into another shell:\n");
    println!("  curl http://{address}/");
    println!("  curl http://{address}/acme/");
    println!(
        "  curl -i --data-urlencode 'body=Hello' http://{address}/acme/notes   # 303, back to /acme/"
    );
    println!("  curl -i -d 'id=hooli' http://{address}/signup   # 303, to /hooli/");
    println!("  curl -i http://{address}/nobody/   # 404");
    println!("  curl http://{address}/healthz\n\nCtrl-C stops everything.");
}
