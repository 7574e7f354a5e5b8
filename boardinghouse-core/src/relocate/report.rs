//! What moving a table comes to.

use serde::Serialize;

use super::MoveTo;
use crate::{
    migrate::LockUse,
    names::{SchemaName, TenantId},
};

/// What moving a table comes to, or came to: see [`TableMove`](super::TableMove).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TableMovePlan {
    /// The table.
    pub table: String,
    /// Where it goes.
    pub to: MoveTo,
    /// The shared schema.
    pub shared: SchemaName,
    /// Whether tenants get, or give, the rows.
    pub with_rows: bool,
    /// How many rows the shared table has before.
    pub shared_rows_before: i64,
    /// How many rows the shared table has afterwards.
    pub shared_rows_after: i64,
    /// The templates, then the tenants, each with its rows.
    pub schemas: Vec<MovedSchema>,
    /// The foreign keys of other tables that lead to the table.
    pub foreign_keys: Vec<MovedForeignKey>,
    /// The rows that differ under one key, up to a hundred. Where there are any, the table is not moved.
    pub conflicts: Vec<MoveConflict>,
    /// How many there are in all.
    pub all_conflicts: i64,
    /// How many locks it takes: `held` is 0 where nothing was moved.
    pub locks: LockUse,
    /// What is to be added to the migrations, so that a new database comes out alike.
    pub migrations: Vec<MoveMigration>,
}

impl TableMovePlan {
    /// Whether the table can be moved.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        self.all_conflicts == 0
    }

    /// Whether older migrations of the tenants name the shared table, which a new database does not have when
    /// they run.
    #[must_use]
    pub fn outdates_migrations(&self) -> bool {
        self.to == MoveTo::Tenants && !self.foreign_keys.is_empty()
    }
}

/// A template, or a tenant, and its part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MovedSchema {
    /// The schema.
    pub schema: SchemaName,
    /// Whose it is; `None` for a template.
    pub tenant: Option<TenantId>,
    /// How many rows it has in the table before.
    pub rows_before: i64,
    /// How many rows it has afterwards in a table of its own.
    pub rows_after: i64,
}

/// A foreign key that leads to another table afterwards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct MovedForeignKey {
    /// The schema of the table that has it.
    pub schema: SchemaName,
    /// The table that has it.
    pub table: String,
    /// What it is called.
    pub constraint: String,
    /// Where it leads afterwards; `None` where it is dropped, in a schema that waits for a tenant and is not
    /// handed out any more.
    pub leads_to: Option<SchemaName>,
}

/// Rows that differ under one key, which the shared table can have but one of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MoveConflict {
    /// The unique index.
    pub index: String,
    /// What it is over.
    pub columns: String,
    /// The values.
    pub key: String,
    /// Whose rows have them: tenants by their ids, templates by their schemas; up to ten.
    pub holders: Vec<String>,
    /// How many have them.
    pub all_holders: i64,
}

/// A migration that does what was done, to be marked as applied where it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MoveMigration {
    /// `shared`, `tenant`: the set.
    pub set: &'static str,
    /// What it does.
    pub up: String,
}
