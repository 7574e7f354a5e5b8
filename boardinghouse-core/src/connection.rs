//! Checkouts: connections that are proven to be where they say they are.

use std::{
    fmt,
    ops::{Deref, DerefMut},
};

use diesel::pg::{PgConnection, TransactionBuilder};

use crate::{
    pool::{PooledSession, TenantPool},
    statement::diesel_connection,
    tenant::Tenant,
};

/// A connection on which unqualified tables are those of one tenant, or shared.
///
/// It comes from [`TenantPool::get`](crate::TenantPool::get) and stays on its tenant for its whole
/// life: there is no method to switch it; take another checkout for another tenant. (SQL text that
/// sets the `search_path` does what it says, until the checkout ends.) It goes back to the pool when it
/// is dropped, and then open transactions, temporary tables, roles, settings, advisory locks,
/// subscriptions and cursors are gone, or the connection is closed.
///
/// While a checkout is out, [`Provisioner::delete`](crate::Provisioner::delete) waits for it: the schema
/// does not go away under it. Renaming or dropping a schema by hand is not held back so, and the next
/// query of the checkout then reads the shared schema; [`PathMode::TenantOnly`](crate::PathMode) makes
/// that an error.
///
/// It is a Diesel [`Connection`](diesel::Connection), so queries take `&mut TenantConnection`. Its prepared statements
/// and the ids of custom types belong to the tenant.
///
/// Functions written for `&mut PgConnection` work too, by deref coercion. Their statements do not
/// carry the tenant, so the session forgets its prepared statements before it serves another one:
/// right, but slower. Prefer functions that take `&mut TenantConnection`, or that are generic over
/// the connection.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{Tenant, TenantConnection, TenantPool};
/// use diesel::prelude::*;
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// fn bodies(conn: &mut TenantConnection) -> QueryResult<Vec<String>> {
///     notes::table.select(notes::body).load(conn)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let tenant = Tenant::new("acme".parse()?, "acme".parse()?);
/// let found = bodies(&mut pool.get(&tenant)?)?;
/// # Ok(())
/// # }
/// ```
///
/// No other connection can stand in for it:
///
/// ```compile_fail,E0308
/// fn tenant_query(conn: &mut boardinghouse_core::TenantConnection) {}
///
/// fn mistake(plain: &mut diesel::PgConnection) {
///     tenant_query(plain);
/// }
/// ```
pub struct TenantConnection {
    pub(crate) session: PooledSession,
    pub(crate) tenant: Tenant,
    pub(crate) span: tracing::Span,
}

/// A connection on which unqualified tables are those of the shared schema.
///
/// It comes from [`TenantPool::get_shared`](crate::TenantPool::get_shared), sees no tenant's tables,
/// and is a type of its own so that a query on a tenant's tables cannot be handed one by accident:
///
/// ```compile_fail,E0308
/// use boardinghouse_core::{SharedConnection, TenantConnection};
///
/// fn tenant_query(conn: &mut TenantConnection) {}
///
/// fn mistake(shared: &mut SharedConnection) {
///     tenant_query(shared);
/// }
/// ```
///
/// All else is as for [`TenantConnection`].
pub struct SharedConnection {
    pub(crate) session: PooledSession,
    pub(crate) pool: TenantPool,
}

impl TenantConnection {
    /// The tenant that this connection is bound to.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// The `tracing` span of this checkout, of level `DEBUG`: it has the tenant's id as `tenant` and, as
    /// `waited_us`, for how many microseconds the checkout waited for a connection. It ends with the
    /// checkout; enter it around what is to be seen inside it.
    #[must_use]
    pub fn span(&self) -> &tracing::Span {
        &self.span
    }
}

impl fmt::Debug for TenantConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantConnection")
            .field("tenant", self.tenant.id())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConnection").finish_non_exhaustive()
    }
}

macro_rules! checkout {
    ($checkout:ty) => {
        diesel_connection!($checkout);

        impl $checkout {
            /// A transaction with an isolation level or access mode of its own.
            ///
            /// See [`diesel::pg::PgConnection::build_transaction`].
            pub fn build_transaction(&mut self) -> TransactionBuilder<'_, Self> {
                TransactionBuilder::new(self)
            }
        }

        impl Deref for $checkout {
            type Target = PgConnection;

            fn deref(&self) -> &PgConnection {
                &self.session.pg
            }
        }

        impl DerefMut for $checkout {
            fn deref_mut(&mut self) -> &mut PgConnection {
                self.session.marked = true;
                &mut self.session.pg
            }
        }
    };
}

checkout!(TenantConnection);
checkout!(SharedConnection);
