//! The registry's rows, read and written inside whatever transaction the caller has.

use diesel::{
    dsl::sql,
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types,
};

use super::{PgQueries, explain};
use crate::{
    catalog::fingerprint::{Fingerprint, Question},
    domain::Address,
    error::{Error, ErrorKind, Result},
    names::{SchemaName, TenantId},
    schema::boardinghouse::{domains, tenants},
    sql::{claim_tenant, reclaim_tenant, register_tenant},
    tenant::{Tenant, TenantStatus},
};

/// The order of ids: the same on every server, whatever its collation.
pub(super) const BYTE_ORDER: &str = "id COLLATE \"C\"";

/// A row of `boardinghouse.tenants`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = tenants, check_for_backend(diesel::pg::Pg))]
pub(super) struct TenantRow {
    id: String,
    schema_name: String,
    display_name: String,
    status: String,
    attributes: serde_json::Value,
    adopted: bool,
    kind: Option<String>,
    epoch: i64,
    incarnation: i64,
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
        .with_read_kind(row.kind)
        .with_epoch(row.epoch)
        .with_incarnation(row.incarnation))
    }
}

/// All tenants, in the order of their ids.
pub(crate) fn list<C: PgQueries>(conn: &mut C) -> Result<Vec<Tenant>> {
    let rows = tenants::table
        .select(TenantRow::as_select())
        .order(sql::<sql_types::Text>(BYTE_ORDER))
        .load(conn);
    listed(conn, rows)
}

fn listed<C: PgQueries>(conn: &mut C, rows: QueryResult<Vec<TenantRow>>) -> Result<Vec<Tenant>> {
    rows.map_err(|error| explain(conn, "list the tenants", error))?
        .into_iter()
        .map(Tenant::try_from)
        .collect()
}

/// The tenants whose ids begin with `prefix`, which must hold nothing that `LIKE` takes for more than itself.
#[cfg(feature = "testing")]
pub(crate) fn list_by_prefix<C: PgQueries>(conn: &mut C, prefix: &str) -> Result<Vec<Tenant>> {
    let rows = tenants::table
        .filter(tenants::id.like(format!("{prefix}-%")))
        .select(TenantRow::as_select())
        .load(conn);
    listed(conn, rows)
}

fn looked_up<C: PgQueries>(
    conn: &mut C,
    row: QueryResult<Option<TenantRow>>,
) -> Result<Option<Tenant>> {
    row.map_err(|error| explain(conn, "look a tenant up", error))?
        .map(Tenant::try_from)
        .transpose()
}

/// That very tenant, whatever its id is by now.
#[cfg(feature = "testing")]
pub(crate) fn find_by_incarnation<C: PgQueries>(
    conn: &mut C,
    incarnation: i64,
) -> Result<Option<Tenant>> {
    let row = tenants::table
        .filter(tenants::incarnation.eq(incarnation))
        .select(TenantRow::as_select())
        .first(conn)
        .optional();
    looked_up(conn, row)
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
    addresses: &[Address],
) -> Result<Tenant> {
    let attributes = serde_json::Value::Object(tenant.attributes().clone());
    let (epoch, incarnation) = diesel::insert_into(tenants::table)
        .values((
            tenants::id.eq(tenant.id().as_str()),
            tenants::schema_name.eq(tenant.schema().as_str()),
            tenants::display_name.eq(tenant.display_name()),
            tenants::status.eq(tenant.status().as_str()),
            tenants::attributes.eq(attributes),
            tenants::adopted.eq(tenant.is_adopted()),
            tenants::kind.eq(tenant.kind()),
        ))
        .returning((tenants::epoch, tenants::incarnation))
        .get_result::<(i64, i64)>(conn)
        .map_err(|error| taken("register the tenant", tenant.id(), tenant.schema(), error))?;
    for (position, address) in addresses.iter().enumerate() {
        diesel::insert_into(domains::table)
            .values((
                domains::domain.eq(address.domain.as_str()),
                domains::folder.eq(address.folder()),
                domains::tenant_id.eq(tenant.id().as_str()),
                domains::is_primary.eq(position == 0),
            ))
            .execute(conn)
            .map_err(|error| match error {
                DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => {
                    domain_taken(std::slice::from_ref(address))
                }
                error => Error::database("register the tenant's domains", error),
            })?;
    }
    Ok(tenant
        .clone()
        .with_epoch(epoch)
        .with_incarnation(incarnation))
}

/// What there is to know once a tenant is registered.
pub(crate) struct Registered {
    pub(crate) tenant: Tenant,
    /// Whether its schema is there already.
    pub(crate) schema_exists: bool,
    /// The answer to the question.
    pub(crate) fingerprint: Fingerprint,
    /// A schema with this fingerprint that waited for a tenant, and is now taken.
    pub(crate) ready: Option<String>,
}

/// As [`insert`], and in the same statement what [`Registered`] holds. The path must begin with
/// `pg_catalog`.
pub(crate) fn insert_and_look(
    conn: &mut PgConnection,
    tenant: &Tenant,
    addresses: &[Address],
    question: &Question,
) -> Result<Registered> {
    let domains: Vec<&str> = addresses.iter().map(|a| a.domain.as_str()).collect();
    let folders: Vec<&str> = addresses.iter().map(Address::folder).collect();
    let attributes = serde_json::Value::Object(tenant.attributes().clone());
    let looked: Looked = diesel::sql_query(register_tenant(&question.sql))
        .bind::<sql_types::Text, _>(tenant.id().as_str())
        .bind::<sql_types::Text, _>(tenant.schema().as_str())
        .bind::<sql_types::Text, _>(tenant.display_name())
        .bind::<sql_types::Text, _>(tenant.status().as_str())
        .bind::<sql_types::Jsonb, _>(attributes)
        .bind::<sql_types::Bool, _>(tenant.is_adopted())
        .bind::<sql_types::Array<sql_types::Text>, _>(domains)
        .bind::<sql_types::Array<sql_types::Text>, _>(folders)
        .bind::<sql_types::Nullable<sql_types::Text>, _>(tenant.kind())
        .get_result(conn)
        .map_err(|error| match &error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info)
                if info.constraint_name() == Some("domains_pkey") =>
            {
                domain_taken(addresses)
            }
            _ => taken("register the tenant", tenant.id(), tenant.schema(), error),
        })?;
    let incarnation = looked.incarnation;
    Ok(looked.of(tenant.clone().with_incarnation(incarnation)))
}

/// The answer to who registers a tenant.
#[derive(QueryableByName)]
struct Looked {
    #[diesel(sql_type = sql_types::BigInt)]
    epoch: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    incarnation: i64,
    #[diesel(sql_type = sql_types::Bool)]
    schema_exists: bool,
    #[diesel(sql_type = sql_types::Text)]
    fingerprint: String,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    ready: Option<String>,
}

impl Looked {
    fn of(self, tenant: Tenant) -> Registered {
        Registered {
            tenant: tenant.with_epoch(self.epoch),
            schema_exists: self.schema_exists,
            fingerprint: Fingerprint(self.fingerprint),
            ready: self.ready,
        }
    }
}

/// Makes a tenant that has no schema yet one that is ready, and looks as [`insert_and_look`] does. `None`
/// where it is not as it was read: somebody else has done it, or has deleted it. The path must begin with
/// `pg_catalog`.
pub(crate) fn claim_and_look(
    conn: &mut PgConnection,
    tenant: &Tenant,
    question: &Question,
) -> Result<Option<Registered>> {
    let ready = tenant.clone().with_status(TenantStatus::Ready);
    look_at_claimed(conn, claim_tenant(&question.sql), ready)
}

/// As [`claim_and_look`], for a tenant whose schema has gone missing; it keeps its status. `None` where its
/// schema is there, if under another name, or was adopted, or the tenant is not as it was read.
pub(crate) fn reclaim_and_look(
    conn: &mut PgConnection,
    tenant: &Tenant,
    question: &Question,
) -> Result<Option<Registered>> {
    look_at_claimed(conn, reclaim_tenant(&question.sql), tenant.clone())
}

/// `tenant` is what it becomes by the query.
fn look_at_claimed(
    conn: &mut PgConnection,
    query: String,
    tenant: Tenant,
) -> Result<Option<Registered>> {
    let looked: Option<Looked> = diesel::sql_query(query)
        .bind::<sql_types::BigInt, _>(tenant.incarnation())
        .bind::<sql_types::Text, _>(tenant.schema().as_str())
        .bind::<sql_types::Nullable<sql_types::Text>, _>(tenant.kind())
        .get_result(conn)
        .optional()
        .map_err(|error| Error::database("provision the tenant", error))?;
    Ok(looked.map(|looked| looked.of(tenant.with_adopted(false))))
}

/// The tenants that have no schema yet, who came first first.
pub(crate) fn pending<C: PgQueries>(conn: &mut C) -> Result<Vec<Tenant>> {
    let rows = tenants::table
        .filter(tenants::status.eq(TenantStatus::Pending.as_str()))
        .select(TenantRow::as_select())
        .order((tenants::created_at, tenants::incarnation))
        .load(conn);
    rows.map_err(|error| explain(conn, "list the tenants that are pending", error))?
        .into_iter()
        .map(Tenant::try_from)
        .collect()
}

/// Notes that a tenant, which has no schema, cannot be given one; not where it has got one meanwhile.
pub(crate) fn note_failed<C: PgQueries>(conn: &mut C, tenant: &Tenant) -> Result<()> {
    diesel::update(tenants::table)
        .filter(tenants::incarnation.eq(tenant.incarnation()))
        .filter(tenants::status.eq(TenantStatus::Pending.as_str()))
        .set(tenants::status.eq(TenantStatus::Failed.as_str()))
        .execute(conn)
        .map(drop)
        .map_err(|error| Error::database("note that the tenant has failed", error))
}

pub(super) fn domain_taken(addresses: &[Address]) -> Error {
    let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let message = match names.as_slice() {
        [name] => format!("domain {name} leads to a tenant already"),
        names => format!(
            "one of the domains {} leads to a tenant already",
            names.join(", ")
        ),
    };
    Error::new(ErrorKind::TenantExists, message)
}

/// What the unique keys say about a tenant that takes names.
fn taken(what: &str, id: &TenantId, schema: &SchemaName, error: DieselError) -> Error {
    let DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info) = &error else {
        return Error::database(what, error);
    };
    match info.constraint_name() {
        Some("tenants_schema_name_key") => belongs_to_a_tenant(schema),
        _ => exists(id),
    }
}

fn exists(id: &TenantId) -> Error {
    let message = format!("tenant {id} exists already");
    Error::new(ErrorKind::TenantExists, message)
}

fn belongs_to_a_tenant(schema: &SchemaName) -> Error {
    let message = format!("schema {schema} belongs to a tenant already");
    Error::new(ErrorKind::TenantExists, message)
}

pub(crate) fn find<C: PgQueries>(conn: &mut C, id: &TenantId) -> Result<Option<Tenant>> {
    let row = tenants::table
        .find(id.as_str())
        .select(TenantRow::as_select())
        .first(conn)
        .optional();
    looked_up(conn, row)
}

/// The tenant whose schema this is.
pub(crate) fn find_by_schema(
    conn: &mut PgConnection,
    schema: &SchemaName,
) -> Result<Option<Tenant>> {
    let is_it = sql::<sql_types::Bool>("lower(schema_name) = lower(")
        .bind::<sql_types::Text, _>(schema.as_str())
        .sql(")");
    let row = tenants::table
        .filter(is_it)
        .filter(tenants::schema_name.eq(schema.as_str()))
        .select(TenantRow::as_select())
        .first(conn)
        .optional()
        .map_err(|error| Error::database("look for the tenant of a schema", error))?;
    row.map(Tenant::try_from).transpose()
}

/// The tenant that has an id, or a schema in whatever case, with its schema, as a registry of any version
/// says it.
pub(crate) fn holder<C: PgQueries>(
    conn: &mut C,
    id: &TenantId,
    schema: &SchemaName,
) -> Result<Option<(TenantId, SchemaName)>> {
    let has_schema = sql::<sql_types::Bool>("lower(schema_name) = lower(")
        .bind::<sql_types::Text, _>(schema.as_str())
        .sql(")");
    let row = tenants::table
        .filter(tenants::id.eq(id.as_str()).or(has_schema))
        .order(tenants::id.eq(id.as_str()).desc())
        .select((tenants::id, tenants::schema_name))
        .first::<(String, String)>(conn)
        .optional();
    row.map_err(|error| explain(conn, "look for tenants of that name", error))?
        .map(|(id, schema)| Ok((TenantId::parse(&id)?, SchemaName::existing(&schema)?)))
        .transpose()
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

/// As [`lock_row`], for a tenant that was read before, and whose schema's lock is held: not for another one
/// that has its id by now.
pub(crate) fn lock_row_of(conn: &mut PgConnection, read: &Tenant) -> Result<Tenant> {
    let tenant = lock_row(conn, read.id())?.ok_or_else(|| not_found(read.id()))?;
    let what = if tenant.incarnation() != read.incarnation() {
        "deleted and created anew"
    } else if tenant.schema() != read.schema() {
        "renamed"
    } else {
        return Ok(tenant);
    };
    let message = format!("tenant {} was {what} meanwhile: try again", read.id());
    Err(Error::new(ErrorKind::Locked, message))
}

pub(crate) fn delete(conn: &mut PgConnection, id: &TenantId) -> QueryResult<usize> {
    diesel::delete(tenants::table.find(id.as_str())).execute(conn)
}

/// Makes everything that was prepared for any tenant obsolete.
pub(crate) fn advance_all_epochs(conn: &mut PgConnection) -> QueryResult<usize> {
    diesel::sql_query("UPDATE boardinghouse.tenants SET epoch = DEFAULT").execute(conn)
}

/// Fails when a tenant other than `own` has the id, or the schema in whatever case.
pub(crate) fn names_are_free(
    conn: &mut PgConnection,
    own: &TenantId,
    id: &TenantId,
    schema: &SchemaName,
) -> Result<()> {
    let has_schema = sql::<sql_types::Bool>("lower(schema_name) = lower(")
        .bind::<sql_types::Text, _>(schema.as_str())
        .sql(")");
    let holder: Option<String> = tenants::table
        .filter(tenants::id.ne(own.as_str()))
        .filter(tenants::id.eq(id.as_str()).or(has_schema))
        .order(tenants::id.eq(id.as_str()).desc())
        .select(tenants::id)
        .first(conn)
        .optional()
        .map_err(|error| Error::database("look for tenants of that name", error))?;
    match holder {
        None => Ok(()),
        Some(holder) if holder == id.as_str() => Err(exists(id)),
        Some(_) => Err(belongs_to_a_tenant(schema)),
    }
}

/// Gives a locked row another id and schema name. The server advances its epoch.
///
/// Where another transaction is about to use either name, it waits for how that ends.
pub(crate) fn rename(
    conn: &mut PgConnection,
    id: &TenantId,
    new_id: &TenantId,
    schema: &SchemaName,
) -> Result<Tenant> {
    let row = diesel::update(tenants::table.find(id.as_str()))
        .set((
            tenants::id.eq(new_id.as_str()),
            tenants::schema_name.eq(schema.as_str()),
        ))
        .returning(TenantRow::as_returning())
        .get_result(conn)
        .map_err(|error| taken("rename the tenant's row", new_id, schema, error))?;
    row.try_into()
}

/// Gives a locked row another status. The server advances its epoch.
pub(crate) fn set_status(
    conn: &mut PgConnection,
    id: &TenantId,
    status: TenantStatus,
) -> Result<Tenant> {
    let row = diesel::update(tenants::table.find(id.as_str()))
        .set(tenants::status.eq(status.as_str()))
        .returning(TenantRow::as_returning())
        .get_result(conn)
        .map_err(|error| Error::database("change the tenant's status", error))?;
    row.try_into()
}
