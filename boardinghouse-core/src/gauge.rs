//! What one connection holds in the memory of its server process.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts that a session keeps and others read.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    tenants: AtomicUsize,
    statements: AtomicUsize,
}

/// What one connection of a pool holds in the memory of its server process.
///
/// A server process keeps what it has read of each table's catalog entries, and each prepared statement,
/// until it ends. What it takes is estimated as
///
/// > 5 MB + 10 kB × tables read of each schema × schemas + 15 kB × statements
///
/// (measured on PostgreSQL 15; 14 kB a table where its indexes and TOAST table are read as well).
/// [`TenantPoolBuilder::max_tenants_per_connection`](crate::TenantPoolBuilder::max_tenants_per_connection)
/// and [`max_statements_per_connection`](crate::TenantPoolBuilder::max_statements_per_connection) bound it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ConnectionLoad {
    /// The schemas that the connection was bound to since it was opened, the shared one included.
    pub schemas: usize,
    /// The statements that it can have prepared and not dropped since.
    pub statements: usize,
}

impl ConnectionLoad {
    /// The estimate in bytes, where each schema has had so many tables read.
    #[must_use]
    pub fn estimated_bytes(&self, tables_a_schema: usize) -> usize {
        5_000_000 + 10_000 * tables_a_schema * self.schemas + 15_000 * self.statements
    }
}

impl Gauge {
    pub(crate) fn tenants(&self, count: usize) {
        self.tenants.store(count, Relaxed);
    }

    pub(crate) fn statements(&self, count: usize) {
        self.statements.store(count, Relaxed);
    }

    pub(crate) fn load(&self) -> ConnectionLoad {
        ConnectionLoad {
            schemas: self.tenants.load(Relaxed),
            statements: self.statements.load(Relaxed),
        }
    }
}
