//! Three tenants in one database, over HTTP.
//!
//! ```text
//! cargo run --release -p boardinghouse-actix --example saas
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

mod notes;
mod page;
mod routes;
mod schema;
mod setup;
#[path = "../common/start.rs"]
mod start;

use std::{error::Error, net::SocketAddr, process::ExitCode};

use actix_web::{App, HttpServer};
use boardinghouse_actix::{HostTable, PathPrefix, Subdomain, Tenancy};
use boardinghouse_core::{TenantPool, embedded};
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

    let tenancy = Tenancy::new(registry)
        .resolver(PathPrefix::new("/t"))
        .resolver(Subdomain::of("localhost")?)
        .resolver(HostTable)
        .exempt("/")
        .exempt("/healthz");
    let app = move || {
        App::new()
            .wrap(tenancy.middleware())
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
    let port = address.port();
    println!();
    if private {
        println!("A private PostgreSQL is running; it goes when this program ends.");
    }
    println!("Open in a browser:\n\n  http://{address}/\n");
    for (id, _, _) in setup::TENANTS {
        println!("  http://{id}.localhost:{port}/notes");
    }
    println!("  http://{address}/t/acme/notes\n\nOr paste into another shell:\n");
    for (id, _, _) in setup::TENANTS {
        println!("  curl -H 'Host: {id}.localhost:{port}' http://{address}/notes");
    }
    println!("  curl -H 'Host: acme.localhost:{port}' http://{address}/whoami");
    println!("  curl -H 'Host: acme.example.test' http://{address}/whoami");
    println!(
        "  curl -H 'Host: acme.localhost:{port}' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"body\": \"Hello\"}}' http://{address}/notes"
    );
    println!(
        "  curl -i -H 'Host: acme.localhost:{port}' --data-urlencode 'body=Hello, form' \
         http://{address}/notes   # 303"
    );
    println!("  curl http://{address}/t/globex/whoami");
    println!("  curl -i -H 'Host: nobody.localhost:{port}' http://{address}/notes   # 404");
    println!("  curl http://{address}/healthz\n\nCtrl-C stops everything.");
}
