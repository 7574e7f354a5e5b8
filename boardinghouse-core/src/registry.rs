//! The registry: which tenants there are, and which host names lead to them.

use diesel::{
    connection::LoadConnection,
    dsl::sql,
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types,
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

/// A row of `boardinghouse.tenants`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = tenants, check_for_backend(diesel::pg::Pg))]
struct TenantRow {
    id: String,
    schema_name: String,
    display_name: String,
    status: String,
    attributes: serde_json::Value,
    adopted: bool,
    epoch: i64,
}

impl TryFrom<TenantRow> for Tenant {
    type Error = Error;

    fn try_from(row: TenantRow) -> Result<Self> {
        Ok(Tenant::new(
            TenantId::parse(&row.id)?,
            SchemaName::existing(&row.schema_name)?,
        )
        .with_display_name(row.display_name)
        .with_status(row.status.parse()?)
        .with_attributes(row.attributes)?
        .with_adopted(row.adopted)
        .with_epoch(row.epoch))
    }
}

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
    /// [`ErrorKind::RegistryMissing`] before `boardinghouse init`, else those of
    /// [`TenantPool::get_shared`] and [`ErrorKind::Database`].
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

    /// Whether the registry's tables are there.
    ///
    /// # Errors
    ///
    /// Those of [`TenantPool::get_shared`], and [`ErrorKind::Database`].
    pub fn is_initialized(&self) -> Result<bool> {
        self.pool.with_shared(|conn| {
            has_registry(conn).map_err(|error| Error::database("look for the registry", error))
        })
    }

    /// Fails where [`is_initialized`](Self::is_initialized) says no.
    pub(crate) fn require(&self) -> Result<()> {
        if self.is_initialized()? {
            Ok(())
        } else {
            Err(missing())
        }
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
                ErrorKind::Database if matches!(self.is_initialized(), Ok(false)) => missing(),
                _ => error,
            }
        })
    }
}

/// What the caller of a failed registry query is told.
pub(crate) fn explain<C: PgQueries>(conn: &mut C, what: &str, error: DieselError) -> Error {
    // Diesel does not pass the SQLSTATE on, so the server is asked what is wrong.
    if matches!(has_registry(conn), Ok(false)) {
        return missing();
    }
    Error::database(what, error)
}

/// All tenants, in the order of their ids.
pub(crate) fn list<C: PgQueries>(conn: &mut C) -> Result<Vec<Tenant>> {
    // Byte order: the same on every server, whatever its collation.
    let rows = tenants::table
        .select(TenantRow::as_select())
        .order(sql::<sql_types::Text>("id COLLATE \"C\""))
        .load(conn);
    rows.map_err(|error| explain(conn, "list the tenants", error))?
        .into_iter()
        .map(Tenant::try_from)
        .collect()
}

pub(crate) fn missing() -> Error {
    Error::new(
        ErrorKind::RegistryMissing,
        "this database has no registry: run `boardinghouse init`, or `Migrator::run`, first",
    )
}

pub(crate) fn has_registry<C: PgQueries>(conn: &mut C) -> QueryResult<bool> {
    diesel::select(sql::<sql_types::Bool>(
        "pg_catalog.to_regclass('boardinghouse.tenants') IS NOT NULL \
         AND pg_catalog.to_regclass('boardinghouse.domains') IS NOT NULL",
    ))
    .get_result(conn)
}

pub(crate) fn not_found(id: &TenantId) -> Error {
    Error::new(
        ErrorKind::TenantNotFound,
        format!("there is no tenant {id}"),
    )
    .with_tenant(id)
}

/// Writes the row of a new tenant, and its domains, the first of which is primary.
///
/// The unique keys decide between two that create the same tenant at once.
pub(crate) fn insert(
    conn: &mut PgConnection,
    tenant: &Tenant,
    names: &[DomainName],
) -> Result<Tenant> {
    let taken = |by_name: &dyn Fn(&str) -> String, error: DieselError| match error {
        DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info) => {
            let message = by_name(info.constraint_name().unwrap_or_default());
            Error::new(ErrorKind::TenantExists, message)
        }
        error => Error::database("register the tenant", error),
    };
    let attributes = serde_json::Value::Object(tenant.attributes().clone());
    let epoch = diesel::insert_into(tenants::table)
        .values((
            tenants::id.eq(tenant.id().as_str()),
            tenants::schema_name.eq(tenant.schema().as_str()),
            tenants::display_name.eq(tenant.display_name()),
            tenants::status.eq(tenant.status().as_str()),
            tenants::attributes.eq(attributes),
            tenants::adopted.eq(tenant.is_adopted()),
        ))
        .returning(tenants::epoch)
        .get_result::<i64>(conn)
        .map_err(|error| {
            let message = |constraint: &str| match constraint {
                "tenants_schema_name_key" => {
                    format!("schema {} belongs to a tenant already", tenant.schema())
                }
                _ => format!("tenant {} exists already", tenant.id()),
            };
            taken(&message, error)
        })?;
    for (position, name) in names.iter().enumerate() {
        diesel::insert_into(domains::table)
            .values((
                domains::domain.eq(name.as_str()),
                domains::tenant_id.eq(tenant.id().as_str()),
                domains::is_primary.eq(position == 0),
            ))
            .execute(conn)
            .map_err(|error| {
                let message = |_: &str| format!("domain {name} leads to a tenant already");
                taken(&message, error)
            })?;
    }
    Ok(tenant.clone().with_epoch(epoch))
}

pub(crate) fn find<C: PgQueries>(conn: &mut C, id: &TenantId) -> Result<Option<Tenant>> {
    let row = tenants::table
        .find(id.as_str())
        .select(TenantRow::as_select())
        .first(conn)
        .optional();
    let row = row.map_err(|error| explain(conn, "look a tenant up", error))?;
    row.map(Tenant::try_from).transpose()
}

/// Reads a tenant and keeps its row from changing until the transaction ends.
pub(crate) fn lock_row(conn: &mut PgConnection, id: &TenantId) -> Result<Option<Tenant>> {
    let row = tenants::table
        .find(id.as_str())
        .select(TenantRow::as_select())
        .for_update()
        .first(conn)
        .optional();
    let row = row.map_err(|error| Error::database("lock the tenant's row", error))?;
    row.map(Tenant::try_from).transpose()
}

pub(crate) fn delete(conn: &mut PgConnection, id: &TenantId) -> QueryResult<usize> {
    diesel::delete(tenants::table.find(id.as_str())).execute(conn)
}

/// Makes everything that was prepared for any tenant obsolete.
pub(crate) fn advance_all_epochs(conn: &mut PgConnection) -> QueryResult<usize> {
    diesel::sql_query("UPDATE boardinghouse.tenants SET epoch = DEFAULT, updated_at = now()")
        .execute(conn)
}

/// Makes everything that was prepared for a tenant obsolete.
pub(crate) fn advance_epoch(conn: &mut PgConnection, id: &TenantId) -> QueryResult<usize> {
    diesel::sql_query(
        "UPDATE boardinghouse.tenants SET epoch = DEFAULT, updated_at = now() WHERE id = $1",
    )
    .bind::<sql_types::Text, _>(id.as_str())
    .execute(conn)
}
