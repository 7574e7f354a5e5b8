//! The real binary against a real PostgreSQL: `TEST_DATABASE_URL`, else a private server.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod check;
mod clone;
mod deferred;
mod dev;
mod diesel;
mod drift;
mod errors;
mod fixture;
mod fleet;
mod help;
mod killed;
mod kinds;
mod lifecycle;
mod lint;
mod people;
mod processes;
mod rollout;
mod sample;
mod sql;
mod statics;
mod table_move;
mod tenants;
mod toolchain;
mod visit;
