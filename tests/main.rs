//! End-to-end tests on a real PostgreSQL. Each test has a database of its own, with the bait row.
#![expect(clippy::unwrap_used, reason = "tests")]

// Links the bundled libpq.
use pq_sys as _;

mod attack;
mod checkout;
mod clean;
mod hostile;
mod lifecycle;
mod migrate;
mod names;
#[cfg(unix)]
mod notifications;
mod pooler;
mod provision;
mod registry;
mod source;
mod statements;
mod stress;
mod transaction;
