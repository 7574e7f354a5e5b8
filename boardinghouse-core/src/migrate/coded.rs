//! Migrations that are written in Rust, and know where they run.

use diesel::PgConnection;

use super::plan::Target;
use crate::{
    error::{Error, ErrorKind, Result},
    names::{SchemaName, TenantId},
};

/// A migration of the tenants' set that is written in Rust, for what SQL alone cannot do.
///
/// It stands among the others by its version, and is remembered like them. It runs once in each tenant, on
/// a connection whose path is exactly that tenant's schema, one tenant at a time on each connection.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{MigrationContext, Result, TenantMigration};
/// use diesel::{PgConnection, prelude::*};
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// struct Welcome;
///
/// impl TenantMigration for Welcome {
///     fn name(&self) -> &str {
///         "2026-03-01-000000_welcome"
///     }
///
///     fn skips_template(&self) -> bool {
///         true
///     }
///
///     fn run(&self, conn: &mut PgConnection, at: &MigrationContext<'_>) -> Result<()> {
///         let Some(tenant) = at.tenant() else { return Ok(()) };
///         diesel::insert_into(notes::table)
///             .values(notes::body.eq(format!("Welcome, {tenant}!")))
///             .execute(conn)?;
///         Ok(())
///     }
/// }
/// ```
pub trait TenantMigration: Send + Sync {
    /// The name, as Diesel's: a version, `_`, and what it does, for example `2026-03-01-000000_welcome`.
    fn name(&self) -> &str;

    /// Does it. What it writes commits together with the row that remembers it.
    ///
    /// # Errors
    ///
    /// Whatever goes wrong: the tenant is left as it was.
    fn run(&self, conn: &mut PgConnection, at: &MigrationContext<'_>) -> Result<()>;

    /// Takes it back. By default it cannot be.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Migration`] by default.
    fn revert(&self, _conn: &mut PgConnection, _at: &MigrationContext<'_>) -> Result<()> {
        Err(Error::new(
            ErrorKind::Migration,
            format!("migration {} cannot be taken back", self.name()),
        ))
    }

    /// Whether it is only remembered, and not run, in the template and in named templates: true for what
    /// writes rows that new tenants shall not have. Defaults to false.
    fn skips_template(&self) -> bool {
        false
    }
}

/// Where a [`TenantMigration`], or a hook of the [`Migrator`](crate::Migrator), runs.
#[derive(Clone, Copy, Debug)]
pub struct MigrationContext<'a> {
    pub(super) target: &'a Target,
    pub(super) schema: &'a SchemaName,
    pub(super) shared: &'a SchemaName,
}

impl MigrationContext<'_> {
    /// What is being migrated.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.target
    }

    /// The tenant, where it is one: `None` in a template.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.target.tenant_id()
    }

    /// The schema that unqualified names are looked up in.
    #[must_use]
    pub fn schema(&self) -> &SchemaName {
        self.schema
    }

    /// The shared schema, which is not on the path: its tables are written with its name.
    #[must_use]
    pub fn shared(&self) -> &SchemaName {
        self.shared
    }
}
