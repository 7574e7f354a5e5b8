//! A real server on a real database: `TEST_DATABASE_URL`, or else a private PostgreSQL.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "this is how a test fails")]

mod app;
mod attack;
mod client;
mod failures;
mod files;
mod fixture;
mod load;
mod resolving;
mod routing;
mod testing;
