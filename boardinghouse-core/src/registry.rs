//! The registry: which tenants there are, and which host names lead to them.

mod addresses;
mod cache;
mod logins;
mod members;
mod missing;
mod named;
mod rows;
mod state;

use diesel::{connection::LoadConnection, dsl::sql, prelude::*, sql_types};

use self::rows::{BYTE_ORDER, TenantRow};
#[cfg(feature = "testing")]
pub(crate) use self::rows::{find_by_incarnation, list_by_prefix};
pub use self::{
    addresses::DomainUse,
    cache::{CacheStats, RegistryCache},
    members::{Members, Membership},
    missing::MissingSchema,
};
pub(crate) use self::{
    addresses::holders,
    missing::without_schema,
    named::must_not_be_a_template,
    rows::{
        Registered, advance_all_epochs, claim_and_look, delete, find, find_by_schema, holder,
        insert, insert_and_look, list, lock_row, lock_row_of, names_are_free, not_found,
        note_failed, pending, reclaim_and_look, rename, set_status,
    },
    state::{RegistryState, explain, require, state},
};
use crate::{
    connection::SharedConnection,
    domain::{Address, DomainName},
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

/// A host name, or a folder of one, that leads to a tenant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Domain {
    /// The host name, in normal form.
    pub name: String,
    /// The folder of it that is the tenant's; `None` for the whole domain.
    pub folder: Option<String>,
    /// Whether it is the one to use in links. A tenant has at most one such.
    pub is_primary: bool,
    /// Whether requests for it are sent on to the primary one.
    pub redirect_to_primary: bool,
}

/// Where a host name, or a folder of one, leads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// The tenant, whatever its status.
    pub tenant: Tenant,
    /// The tenant's primary address, where requests for this one are to be sent on to it.
    pub redirect_to: Option<Address>,
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
        let route = self.find_by_address(&domain.clone().into())?;
        Ok(route.map(|route| route.tenant))
    }

    /// Where a domain, or a folder of one, leads; `None` where it leads nowhere. A folder that nobody has is
    /// not looked for in the domain itself.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn find_by_address(&self, address: &Address) -> Result<Option<Route>> {
        let primary = diesel::alias!(domains as primary);
        let row = self.read("look a domain up", |conn| {
            domains::table
                .inner_join(tenants::table)
                .left_join(
                    primary.on(primary
                        .field(domains::tenant_id)
                        .eq(domains::tenant_id)
                        .and(primary.field(domains::is_primary))
                        .and(domains::redirect_to_primary)),
                )
                .filter(domains::domain.eq(address.domain.as_str()))
                .filter(domains::folder.eq(address.folder()))
                .select((
                    TenantRow::as_select(),
                    primary
                        .fields((domains::domain, domains::folder))
                        .nullable(),
                ))
                .first::<(TenantRow, Option<(String, String)>)>(conn)
                .optional()
        })?;
        let Some((tenant, primary)) = row else {
            return Ok(None);
        };
        let redirect_to = primary
            .map(|(domain, folder)| Address::read(&domain, &folder))
            .transpose()?;
        Ok(Some(Route {
            tenant: tenant.try_into()?,
            redirect_to,
        }))
    }

    /// Whether tenants live in folders of a domain.
    pub(crate) fn has_folders(&self, domain: &DomainName) -> Result<bool> {
        self.read("look for folders of a domain", |conn| {
            diesel::select(diesel::dsl::exists(
                domains::table
                    .filter(domains::domain.eq(domain.as_str()))
                    .filter(domains::folder.ne("")),
            ))
            .get_result(conn)
        })
    }

    /// The address to use in links to a tenant; `None` where it has none, and where there is no such tenant.
    ///
    /// # Errors
    ///
    /// Those of [`find`](Self::find).
    pub fn primary_address(&self, id: &TenantId) -> Result<Option<Address>> {
        let row = self.read("look for the primary domain", |conn| {
            domains::table
                .filter(domains::tenant_id.eq(id.as_str()))
                .filter(domains::is_primary)
                .select((domains::domain, domains::folder))
                .first::<(String, String)>(conn)
                .optional()
        })?;
        row.map(|(domain, folder)| Address::read(&domain, &folder))
            .transpose()
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
                .order((domains::is_primary.desc(), domains::domain, domains::folder))
                .select(addresses::COLUMNS)
                .load::<addresses::Row>(conn)
        })?;
        Ok(rows.into_iter().map(Domain::from).collect())
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
