//! End-to-end tests on a real PostgreSQL. Each test has a database of its own, with the bait row.
#![expect(clippy::unwrap_used, reason = "tests")]

// Links the bundled libpq.
use pq_sys as _;

mod across;
mod affinity;
mod attack;
mod checkout;
mod clean;
mod copies;
mod deferred;
mod domains;
mod drift;
mod epochs;
mod files;
mod fleet;
mod folder;
mod gate;
mod hostile;
mod hostile2;
mod killed;
mod kinds;
mod large;
mod lifecycle;
mod lint;
mod members;
mod migrate;
mod names;
#[cfg(unix)]
mod notifications;
mod own_types;
mod parked;
mod plans;
mod pooler;
mod provision;
mod races;
mod ready;
mod registry;
mod repair;
mod replica;
mod rivals;
mod scratch;
#[cfg(unix)]
mod soak;
mod source;
mod stacked;
mod statements;
mod statics;
mod stress;
mod surface;
mod table_move;
mod tenant_url;
mod testing;
mod transaction;
mod transactions;
