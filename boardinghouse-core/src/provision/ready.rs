//! Clones of the template made ahead of time, so that a tenant only has to be named.

use std::time::Instant;

use diesel::{OptionalExtension, PgConnection, QueryableByName, RunQueryDsl, sql_query, sql_types};
use serde::Serialize;

use super::Provisioner;
use crate::{
    catalog,
    connection::SharedConnection,
    error::{Error, ErrorKind, Result},
    lock,
    names::SchemaName,
    registry, sql,
    template::{Known, Template},
};

/// What there is of schemas that wait for a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReadySchemas {
    /// Those that are clones of the template as it is, the oldest first. They are handed out in this order.
    pub ready: Vec<SchemaName>,
    /// Those that are clones of the template as it was, or are gone, or whose name is another schema's by now.
    /// They are never handed out, and the last are not dropped either.
    pub stale: Vec<SchemaName>,
}

/// What filling or draining did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ReadyChange {
    /// The schemas that were created.
    pub created: Vec<SchemaName>,
    /// The schemas that were dropped.
    pub dropped: Vec<SchemaName>,
}

#[derive(QueryableByName)]
struct ReadyRow {
    #[diesel(sql_type = sql_types::BigInt)]
    id: i64,
    #[diesel(sql_type = sql_types::Text)]
    schema_name: String,
    /// None where the schema is gone, or another has its name.
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    fingerprint: Option<String>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Oid>)]
    schema_oid: Option<u32>,
}

impl ReadyRow {
    fn is_like(&self, known: &Known) -> bool {
        self.fingerprint.as_deref() == Some(known.fingerprint())
    }

    fn schema(&self) -> Result<SchemaName> {
        SchemaName::existing(&self.schema_name)
    }

    /// What we call the schema of this row. One with another name was written by somebody else, and one with
    /// another number is somebody else's: neither is handed out or dropped.
    fn own_name(&self) -> Result<SchemaName> {
        own_name(self.id)
    }
}

fn own_name(id: i64) -> Result<SchemaName> {
    // No tenant's schema begins so.
    SchemaName::existing(&format!("__ready_{id}"))
}

impl Provisioner {
    /// Sees to it that `count` clones of the template wait for tenants, and drops those that no longer are
    /// like it. Returns at once if that is so already.
    ///
    /// [`create`](Self::create) takes one wherever there is one, and renames it: a sign-up then waits for
    /// neither the server's DDL nor its disk. Call this from time to time, from as many processes as you
    /// like: only one of them works at a time. They are of the template of everybody, so tenants of a kind that
    /// has [migrations of its own](crate::Migrator::kind) do not get one.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::TemplateMissing`] and [`ErrorKind::TemplateUnsupported`]; the latter also when
    ///   something in the template names its schema in text, since a renamed clone would name another.
    /// * [`ErrorKind::Locked`] when the template was being migrated all the time.
    /// * [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], and the errors of
    ///   [`TenantPool::get_shared`](crate::TenantPool::get_shared).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Provisioner, TenantPool};
    ///
    /// let provisioner = Provisioner::new(TenantPool::builder().build("postgres://localhost/app")?);
    /// let change = provisioner.keep_ready(10)?;
    /// println!("{} new, {} out of date", change.created.len(), change.dropped.len());
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn keep_ready(&self, count: usize) -> Result<ReadyChange> {
        self.keep_ready_with(count, |_| {})
    }

    /// As [`keep_ready`](Self::keep_ready), and says after each schema how many there are.
    ///
    /// # Errors
    ///
    /// Those of [`keep_ready`](Self::keep_ready).
    pub fn keep_ready_with(
        &self,
        count: usize,
        mut progress: impl FnMut(usize),
    ) -> Result<ReadyChange> {
        let mut conn = self.pool.get_shared()?;
        registry::require(&mut conn)?;
        let mut change = ReadyChange {
            created: Vec::new(),
            dropped: Vec::new(),
        };
        for stale in self.look(&mut conn)?.stale {
            if self.drop_ready(&mut conn, &stale)? {
                change.dropped.push(stale);
            }
        }
        let deadline = Instant::now() + self.lock_wait.min(lock::LONGEST_WAIT);
        let mut plan_is_old = true;
        loop {
            let made = conn.build_transaction().read_committed().run(|conn| {
                let conn: &mut PgConnection = conn;
                lock::ready_schemas_for_transaction(conn, self.lock_wait)?;
                self.make_one_ready(conn, count)
            });
            match made {
                Ok((there, Some(schema))) => {
                    change.created.push(schema);
                    progress(there);
                    // Where the template changes all the time, those before are out of date already.
                    if change.created.len() >= count {
                        return Ok(change);
                    }
                }
                Ok((_, None)) => return Ok(change),
                Err(error) if error.kind() == ErrorKind::Locked && Instant::now() < deadline => {}
                // What was kept of the template may be of no use any more; once.
                Err(error) if error.kind() == ErrorKind::Database && plan_is_old => {
                    plan_is_old = false;
                    self.plans
                        .forget(&mut conn, self.pool.layout().template())
                        .map_err(|_| error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The schemas that wait for a tenant.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TemplateMissing`], [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], and the errors
    /// of [`TenantPool::get_shared`](crate::TenantPool::get_shared).
    pub fn ready_schemas(&self) -> Result<ReadySchemas> {
        let mut conn = self.pool.get_shared()?;
        registry::require(&mut conn)?;
        self.look(&mut conn)
    }

    /// Drops the schemas that wait for a tenant, all of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], and the errors of
    /// [`TenantPool::get_shared`](crate::TenantPool::get_shared). What was dropped before stays dropped.
    pub fn drain_ready(&self) -> Result<ReadyChange> {
        let mut conn = self.pool.get_shared()?;
        registry::require(&mut conn)?;
        let mut dropped = Vec::new();
        for row in rows(&mut conn)? {
            let schema = row.schema()?;
            if self.drop_ready(&mut conn, &schema)? {
                dropped.push(schema);
            }
        }
        Ok(ReadyChange {
            created: Vec::new(),
            dropped,
        })
    }

    fn look(&self, conn: &mut SharedConnection) -> Result<ReadySchemas> {
        let template = Template::new(self.pool.layout().template().clone());
        let (known, rows) = conn.build_transaction().read_committed().run(|conn| {
            let conn: &mut PgConnection = conn;
            let known = self.plans.current(conn, &template)?;
            Ok::<_, Error>((known, rows(conn)?))
        })?;
        let (mut ready, mut stale) = (Vec::new(), Vec::new());
        for row in rows {
            match row.is_like(&known) {
                true => ready.push(row.schema()?),
                false => stale.push(row.schema()?),
            }
        }
        Ok(ReadySchemas { ready, stale })
    }

    /// Clones the template once more, unless there are `count` clones of it. Says how many there are.
    fn make_one_ready(
        &self,
        conn: &mut PgConnection,
        count: usize,
    ) -> Result<(usize, Option<SchemaName>)> {
        let template = Template::new(self.pool.layout().template().clone());
        lock::schema_shared_for_transaction(conn, template.schema(), self.lock_wait)?;
        let known = self.plans.current(conn, &template)?;
        known.can_be_renamed()?;
        let there = rows(conn)?;
        let there = there.iter().filter(|row| row.is_like(&known)).count();
        if there >= count {
            return Ok((there, None));
        }
        let failed = |error| Error::database("register a schema that waits for a tenant", error);
        let id: i64 = diesel::select(diesel::dsl::sql::<sql_types::BigInt>(
            "pg_catalog.nextval(pg_catalog.pg_get_serial_sequence('boardinghouse.ready_schemas', 'id'))",
        ))
        .get_result(conn)
        .map_err(failed)?;
        let schema = own_name(id)?;
        known.plan().apply(conn, &schema)?;
        sql_query(
            "INSERT INTO boardinghouse.ready_schemas (id, schema_name, fingerprint, schema_oid)
             OVERRIDING SYSTEM VALUE
             VALUES ($1, $2, $3, pg_catalog.to_regnamespace($2))",
        )
        .bind::<sql_types::BigInt, _>(id)
        .bind::<sql_types::Text, _>(schema.as_str())
        .bind::<sql_types::Text, _>(known.fingerprint())
        .execute(conn)
        .map_err(failed)?;
        Ok((there + 1, Some(schema)))
    }

    /// Drops a schema if it still waits for a tenant.
    fn drop_ready(&self, conn: &mut SharedConnection, schema: &SchemaName) -> Result<bool> {
        self.in_turns(|turn| {
            conn.build_transaction().read_committed().run(|conn| {
                let conn: &mut PgConnection = conn;
                let mine = sql_query(
                    "DELETE FROM boardinghouse.ready_schemas WHERE id IN (
                     SELECT id FROM boardinghouse.ready_schemas WHERE schema_name = $1
                     AND NOT EXISTS (SELECT FROM boardinghouse.tenants
                                     WHERE lower(tenants.schema_name) = lower($1))
                     AND (schema_name <> '__ready_' || id
                          OR pg_catalog.to_regnamespace(schema_name) IS NULL
                          OR pg_catalog.to_regnamespace(schema_name)::pg_catalog.oid = schema_oid)
                     FOR UPDATE SKIP LOCKED)
                 RETURNING id, schema_name, fingerprint, schema_oid",
                )
                .bind::<sql_types::Text, _>(schema.as_str())
                .get_result::<ReadyRow>(conn)
                .optional()
                .map_err(|error| Error::database("take a schema that waits for a tenant", error))?;
                let Some(mine) = mine else { return Ok(false) };
                let exists = catalog::schema_oid(conn, schema)?.is_some();
                let is_ours = mine.own_name()? == *schema;
                if let Some(number) = mine.schema_oid.filter(|_| exists && is_ours) {
                    turn.take(conn, &sql::drop_ready_schema(schema, number))?;
                }
                Ok(is_ours)
            })
        })
    }
}

/// Fails for the name of a schema that waits for a tenant, or will.
pub(super) fn must_not_wait(schema: &SchemaName) -> Result<()> {
    let number = schema.as_str().strip_prefix("__ready_");
    match number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
        true => Err(waits(schema)),
        false => Ok(()),
    }
}

pub(super) fn waits(schema: &SchemaName) -> Error {
    Error::new(
        ErrorKind::ReservedName,
        format!("schema {schema} cannot be a tenant's under this name: it waits for one"),
    )
}

/// Whether the registry lists a schema among those that wait for a tenant.
pub(super) fn is_listed(conn: &mut PgConnection, schema: &SchemaName) -> Result<bool> {
    diesel::select(
        diesel::dsl::sql::<sql_types::Bool>(
            "EXISTS (SELECT FROM boardinghouse.ready_schemas WHERE schema_name = ",
        )
        .bind::<sql_types::Text, _>(schema.as_str())
        .sql(")"),
    )
    .get_result(conn)
    .map_err(|error| Error::database("look among the schemas that wait for a tenant", error))
}

/// Takes a schema off the list of those that wait for a tenant, if it should be on it: it was one's.
pub(super) fn forget(conn: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    sql_query("DELETE FROM boardinghouse.ready_schemas WHERE schema_name = $1")
        .bind::<sql_types::Text, _>(schema.as_str())
        .execute(conn)
        .map(drop)
        .map_err(|error| Error::database("forget a schema that waited for a tenant", error))
}

/// Not those that a tenant's row names, whoever wrote it.
fn rows(conn: &mut PgConnection) -> Result<Vec<ReadyRow>> {
    sql_query(
        "SELECT id, schema_name, schema_oid,
             CASE WHEN pg_catalog.to_regnamespace(pg_catalog.quote_ident(schema_name))::pg_catalog.oid
                       OPERATOR(pg_catalog.=) schema_oid
                  THEN fingerprint END AS fingerprint
         FROM boardinghouse.ready_schemas r
         WHERE NOT EXISTS (SELECT FROM boardinghouse.tenants t
                           WHERE lower(t.schema_name) = lower(r.schema_name))
         ORDER BY id",
    )
    .load(conn)
    .map_err(|error| registry::explain(conn, "list the schemas that wait for a tenant", error))
}
