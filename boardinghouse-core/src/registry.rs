//! The registry: which tenants there are, and which host names lead to them.

mod named;
mod rows;
mod state;

use diesel::{connection::LoadConnection, dsl::sql, prelude::*, sql_types};

use self::rows::{BYTE_ORDER, TenantRow};
#[cfg(feature = "testing")]
pub(crate) use self::rows::{find_by_incarnation, list_by_prefix};
pub(crate) use self::{
    rows::{
        advance_all_epochs, delete, find, find_by_schema, insert, insert_and_look, list, lock_row,
        lock_row_of, names_are_free, not_found, rename, set_status,
    },
    state::{RegistryState, explain, require, state},
};
use crate::{
    connection::SharedConnection,
    domain::DomainName,
    error::{Error, ErrorKind, Result},
    names::{SchemaName, TenantId},
    pool::TenantPool,
    schema::boardinghouse::{domains, tenants},
    tenant::Tenant,
};

/// The tenants of a database, in `boardinghouse.tenants` and `boardinghouse.domains`.
///
/// Cheap to clone. Every call asks the database; nothing is cached.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{DomainName, PgRegistry, TenantPool};
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let registry = PgRegistry::new(pool);
/// for tenant in registry.list()? {
///     println!("{} lives in schema {}", tenant.id(), tenant.schema());
/// }
/// let found = registry.find_by_domain(&DomainName::parse("notes.acme.com")?)?;
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct PgRegistry {
    pool: TenantPool,
}

/// A host name that leads to a tenant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Domain {
    /// The host name, in normal form.
    pub name: String,
    /// Whether it is the one to use in links. A tenant has at most one such.
    pub is_primary: bool,
}

/// How like two ids must be, of 1, for one to be taken for a slip of the other.
const LIKE: f64 = 0.75;

/// A connection of any kind on which Diesel can run queries. The registry's own run on checkouts and
/// not on the bare connection in them, so that their statements stay prepared.
pub(crate) trait PgQueries: Connection<Backend = diesel::pg::Pg> + LoadConnection {}

impl<C: Connection<Backend = diesel::pg::Pg> + LoadConnection> PgQueries for C {}

impl PgRegistry {
    /// The registry of the pool's database.
    #[must_use]
    pub fn new(pool: TenantPool) -> Self {
        Self { pool }
    }

    /// The pool that the registry uses.
    #[must_use]
    pub fn pool(&self) -> &TenantPool {
        &self.pool
    }

    /// The tenant with this id, whatever its status; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RegistryMissing`] before `boardinghouse init`, and when the registry is older than
    /// this library: run `boardinghouse migrate`. Else those of [`TenantPool::get_shared`] and
    /// [`ErrorKind::Database`].
    pub fn find(&self, id: &TenantId) -> Result<Option<Tenant>> {
        self.with_shared(|conn| find(conn, id))
    }

    /// The tenant with this id, whatever its status.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`], and those of [`find`](Self::find).
    pub fn get(&self, id: &TenantId) -> Result<Tenant> {
        self.find(id)?.ok_or_else(|| not_found(id))
    }

    /// The tenant that a host name leads to, whatever its status; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn find_by_domain(&self, domain: &DomainName) -> Result<Option<Tenant>> {
        let row = self.read("look a domain up", |conn| {
            domains::table
                .inner_join(tenants::table)
                .filter(domains::domain.eq(domain.as_str()))
                .select(TenantRow::as_select())
                .first(conn)
                .optional()
        })?;
        row.map(Tenant::try_from).transpose()
    }

    /// All tenants, whatever their status, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn list(&self) -> Result<Vec<Tenant>> {
        self.with_shared(list)
    }

    /// The ids that a person who wrote `id` may have meant: at most three, the nearest first.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn nearest(&self, id: &TenantId) -> Result<Vec<TenantId>> {
        let ids = self.read("list the tenants", |conn| {
            tenants::table.select(tenants::id).load::<String>(conn)
        })?;
        let mut near: Vec<(f64, String)> = ids
            .into_iter()
            .map(|other| (strsim::jaro_winkler(id.as_str(), &other), other))
            .filter(|(likeness, _)| *likeness >= LIKE)
            .collect();
        near.sort_by(|(a, left), (b, right)| b.total_cmp(a).then_with(|| left.cmp(right)));
        near.iter()
            .take(3)
            .map(|(_, other)| TenantId::parse(other))
            .collect()
    }

    /// The host names that lead to a tenant, the primary one first.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn domains(&self, id: &TenantId) -> Result<Vec<Domain>> {
        let rows = self.read("list the domains", |conn| {
            domains::table
                .filter(domains::tenant_id.eq(id.as_str()))
                .order((domains::is_primary.desc(), domains::domain))
                .select((domains::domain, domains::is_primary))
                .load::<(String, bool)>(conn)
        })?;
        Ok(rows
            .into_iter()
            .map(|(name, is_primary)| Domain { name, is_primary })
            .collect())
    }

    /// Whether the registry's tables are there, be they older than this library.
    ///
    /// # Errors
    ///
    /// Those of [`TenantPool::get_shared`], and [`ErrorKind::Database`].
    pub fn is_initialized(&self) -> Result<bool> {
        self.pool.with_shared(|conn| {
            let state =
                state(conn).map_err(|error| Error::database("look for the registry", error))?;
            Ok(state != RegistryState::Missing)
        })
    }

    /// Fails where the registry is missing or older than this library.
    pub(crate) fn require(&self) -> Result<()> {
        self.pool.with_shared(require)
    }

    fn read<T>(
        &self,
        what: &str,
        query: impl FnOnce(&mut SharedConnection) -> QueryResult<T>,
    ) -> Result<T> {
        self.with_shared(|conn| query(conn).map_err(|error| explain(conn, what, error)))
    }

    fn with_shared<T>(&self, work: impl FnOnce(&mut SharedConnection) -> Result<T>) -> Result<T> {
        self.pool.with_shared(work).map_err(|error| {
            // In a transaction that a query has failed in, nothing more could be asked.
            match error.kind() {
                ErrorKind::Database => match self.require() {
                    Err(missing) if missing.kind() == ErrorKind::RegistryMissing => missing,
                    _ => error,
                },
                _ => error,
            }
        })
    }
}

/// The id and the schema of every tenant, in the order of their ids: what there is to migrate, as a
/// registry of any version says it.
pub(crate) fn schemas<C: PgQueries>(conn: &mut C) -> Result<Vec<(TenantId, SchemaName)>> {
    let rows = tenants::table
        .select((tenants::id, tenants::schema_name))
        .order(sql::<sql_types::Text>(BYTE_ORDER))
        .load::<(String, String)>(conn)
        .map_err(|error| explain(conn, "list the tenants", error))?;
    rows.iter()
        .map(|(id, schema)| Ok((TenantId::parse(id)?, SchemaName::existing(schema)?)))
        .collect()
}
