//! A real server on a real database: `TEST_DATABASE_URL`, or else a private PostgreSQL.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod addresses;
mod app;
mod attack;
mod cache;
mod chain;
mod client;
mod failures;
mod files;
mod fixture;
mod flood;
mod fuzz;
mod kinds;
mod links;
mod load;
mod people;
mod resolving;
mod routing;
mod sites;
mod sockets;
mod statics;
mod templates;
mod testing;
mod unknown;
