//! Deleting a tenant: at once, or, where that takes more locks than the server has, bit by bit.

use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query, sql_types};

use super::{Provisioner, ready, schema_exists, turns::Turn};
use crate::{
    catalog,
    error::{Error, ErrorKind, Result},
    lock,
    names::{SchemaName, TenantId},
    registry, sql,
    tenant::{Tenant, TenantStatus},
};

/// What deleting a tenant did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Deleted {
    /// The tenant as it was.
    pub tenant: Tenant,
    /// Whether its schema was dropped. An adopted schema is kept, and one may be gone already, or not have been
    /// made yet.
    pub schema_dropped: bool,
}

/// How many locks a relation takes when it is dropped, with what belongs to it: 176 were seen for 64.
const LOCKS_A_RELATION: f64 = 2.75;

/// What a transaction may take of the server's locks.
const SHARE: f64 = 0.5;

/// How many relations a table is, with its indexes, its sequence and its TOAST table.
const RELATIONS_A_TABLE: f64 = 6.0;

/// What to do next.
enum Next {
    Done(Deleted),
    /// There are too many relations to drop at once. So many tables, or foreign keys, of the tenant's fit in a
    /// transaction.
    InBatches(Tenant, i64),
}

impl Provisioner {
    /// Deletes a tenant: its row, its domains and its schema with all its rows, in one transaction.
    ///
    /// The schema of an adopted tenant is kept. A schema that is gone already is not an error, nor is one that
    /// was never made: of a tenant that is pending or failed, the row alone is deleted.
    ///
    /// Waits until no checkout uses the schema; new ones are refused from then on. With a
    /// [`lock_wait`](Self::lock_wait) of zero it does not wait, and nobody is refused in vain.
    ///
    /// A schema with so many relations that dropping them would take more than half of the locks that the
    /// server has (`max_locks_per_transaction`, PostgreSQL manual, 20.12 "Lock Management") is dropped in
    /// several transactions. The first of them gives the tenant the status
    /// [`Dropping`](TenantStatus::Dropping), in which nobody is served; if the process dies, call this again
    /// to go on.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::TenantNotFound`] when the registry has no such tenant.
    /// * [`ErrorKind::ReservedName`] when its schema is the shared one, the template or the
    ///   registry, which are never dropped.
    /// * [`ErrorKind::Locked`] when the schema was being migrated, or used by a checkout, or shared tables that
    ///   its foreign keys refer to were in use, all the time; or when the tenant was deleted and created anew
    ///   while this waited for it.
    /// * [`ErrorKind::HasDependents`] when something outside the schema depends on something in it;
    ///   the message has one line for each.
    /// * [`ErrorKind::RegistryMissing`], [`ErrorKind::Database`], and the errors of
    ///   [`TenantPool::get_shared`](crate::TenantPool::get_shared).
    pub fn delete(&self, id: &TenantId) -> Result<Deleted> {
        self.delete_one(id, None)
    }

    /// As [`delete`](Self::delete), of the very tenant that was read: not of another that has been given its id
    /// since, while somebody thought about it.
    ///
    /// # Errors
    ///
    /// Those of [`delete`](Self::delete). [`ErrorKind::TenantNotFound`] also when the id is another tenant's by
    /// now, or the tenant has another id.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{PgRegistry, Provisioner, TenantPool};
    ///
    /// let pool = TenantPool::builder().build("postgres://localhost/app")?;
    /// let acme = PgRegistry::new(pool.clone()).get(&"acme".parse()?)?;
    /// // Somebody is asked whether they mean it; and then:
    /// Provisioner::new(pool).delete_this(&acme)?;
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn delete_this(&self, tenant: &Tenant) -> Result<Deleted> {
        self.delete_one(tenant.id(), Some(tenant.incarnation()))
    }

    fn delete_one(&self, id: &TenantId, mut wanted: Option<i64>) -> Result<Deleted> {
        let mut begun: Option<Tenant> = None;
        loop {
            match self.in_turns(|turn| self.drop_or_begin(id, wanted, begun.as_ref(), turn))? {
                Next::Done(deleted) => return Ok(deleted),
                Next::InBatches(tenant, tables) => {
                    self.in_turns(|turn| self.drop_some(&tenant, tables, turn))?;
                    wanted = Some(tenant.incarnation());
                    begun.get_or_insert(tenant);
                }
            }
        }
    }

    /// Deletes the tenant, or marks it as one that is being dropped where that takes several transactions.
    /// `begun` is the tenant as it was at the first of them.
    fn drop_or_begin(
        &self,
        id: &TenantId,
        wanted: Option<i64>,
        begun: Option<&Tenant>,
        turn: &mut Turn,
    ) -> Result<Next> {
        self.in_transaction(id, |conn| {
            let Some(tenant) = self.lock_to_delete(conn, id, wanted)? else {
                // Between two bits somebody else may have done the rest.
                let tenant = begun.cloned().ok_or_else(|| registry::not_found(id))?;
                return Ok(Next::Done(Deleted {
                    tenant,
                    schema_dropped: true,
                }));
            };
            // A schema that has the name of one that was never made is somebody else's.
            let is_ours = !tenant.is_adopted() && tenant.status().has_schema();
            let schema_dropped = is_ours && schema_exists(conn, tenant.schema())?;
            if schema_dropped {
                if self.lock_wait.is_zero() {
                    lock::end_of_use_now(conn, tenant.schema())?;
                } else {
                    lock::end_of_use(conn, tenant.schema())?;
                }
                nobody_depends_on(conn, tenant.schema())?;
                let budget = Budget::read(conn, tenant.schema())?;
                if !budget.is_enough() {
                    if tenant.status() != TenantStatus::Dropping {
                        registry::set_status(conn, id, TenantStatus::Dropping)?;
                    }
                    return Ok(Next::InBatches(tenant, budget.tables()));
                }
                turn.take(conn, &sql::drop_schema(tenant.schema()))?;
            }
            registry::delete(conn, id)
                .map_err(|error| Error::database("delete the tenant's row", error))?;
            // What was a tenant's, and is kept, is not to be handed out.
            ready::forget(conn, tenant.schema())?;
            Ok(Next::Done(Deleted {
                tenant,
                schema_dropped,
            }))
        })
    }

    /// The tenant, whose schema and row nobody else can write to until the transaction ends. `None` where it
    /// is not, or no longer, there, or is another than the one of the incarnation that is `wanted`.
    fn lock_to_delete(
        &self,
        conn: &mut PgConnection,
        id: &TenantId,
        wanted: Option<i64>,
    ) -> Result<Option<Tenant>> {
        let is_it = |tenant: &Tenant| wanted.is_none_or(|wanted| wanted == tenant.incarnation());
        let Some(read) = registry::find(conn, id)?.filter(is_it) else {
            return Ok(None);
        };
        // The schema's lock before the row's: a migrator holds the one when it wants the other.
        self.pool.layout().tenant_schema(read.schema())?;
        lock::schema_for_transaction(conn, read.schema(), self.lock_wait)?;
        match registry::lock_row_of(conn, &read) {
            Ok(tenant) => Ok(Some(tenant)),
            // It may have gone while its lock was waited for.
            Err(error) => match (wanted, registry::find(conn, id)) {
                (Some(_), Ok(found)) if !found.as_ref().is_some_and(is_it) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Drops some of what is in the schema of a tenant that is being dropped: foreign keys, which would lead
    /// from one table to the next, then tables.
    fn drop_some(&self, begun: &Tenant, most: i64, turn: &mut Turn) -> Result<()> {
        self.in_transaction(begun.id(), |conn| {
            let Some(tenant) = self.lock_to_delete(conn, begun.id(), Some(begun.incarnation()))?
            else {
                return Ok(());
            };
            let schema = tenant.schema();
            let is_ours = tenant.status() == TenantStatus::Dropping && !tenant.is_adopted();
            let Some(oid) = catalog::schema_oid(conn, schema)?.filter(|_| is_ours) else {
                return Ok(());
            };
            nobody_depends_on(conn, schema)?;
            let failed = |error| Error::database(&format!("drop tables of schema {schema}"), error);
            let keys: Vec<Named> = some(conn, FOREIGN_KEYS, oid, most).map_err(failed)?;
            let statements: Vec<String> = match keys.is_empty() {
                false => keys
                    .iter()
                    .map(|key| sql::drop_constraint(schema, &key.table_name, &key.name))
                    .collect(),
                true => {
                    let tables = some(conn, TABLES, oid, most).map_err(failed)?;
                    let names: Vec<&str> = tables.iter().map(|t| t.table_name.as_str()).collect();
                    sql::drop_tables(schema, &names).into_iter().collect()
                }
            };
            tracing::debug!(%schema, statements = statements.len(), "dropping a part of a schema");
            turn.take(conn, &statements.join("; "))
        })
    }
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = sql_types::Text)]
    table_name: String,
    #[diesel(sql_type = sql_types::Text)]
    name: String,
}

fn some(
    conn: &mut PgConnection,
    query: &str,
    schema: u32,
    most: i64,
) -> diesel::QueryResult<Vec<Named>> {
    sql_query(query)
        .bind::<sql_types::Oid, _>(schema)
        .bind::<sql_types::BigInt, _>(most)
        .load(conn)
}

/// Of partitioned tables the foreign keys that nobody made for a partition.
const FOREIGN_KEYS: &str = "
    SELECT c.relname::pg_catalog.text AS table_name, k.conname::pg_catalog.text AS name
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class c ON c.oid = d.objid
    JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0
    WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = $1
      AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.relkind IN ('r', 'p')
    LIMIT $2";

/// Partitions come before what they are partitions of.
const TABLES: &str = "
    SELECT c.relname::pg_catalog.text AS table_name, '' AS name
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class c ON c.oid = d.objid
    WHERE d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND d.refobjid = $1
      AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.relkind IN ('r', 'p')
    ORDER BY c.relkind = 'p', NOT c.relispartition
    LIMIT $2";

/// The locks that there are, and what dropping a schema takes.
#[derive(QueryableByName)]
struct Budget {
    #[diesel(sql_type = sql_types::BigInt)]
    relations: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    locks: i64,
}

impl Budget {
    fn read(conn: &mut PgConnection, schema: &SchemaName) -> Result<Self> {
        sql_query(
            "SELECT (SELECT coalesce(pg_catalog.sum(1 + (SELECT pg_catalog.count(*)
                         FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid)
                         + CASE WHEN c.reltoastrelid <> 0 THEN 2 ELSE 0 END), 0)::pg_catalog.int8
                     FROM pg_catalog.pg_namespace n
                     JOIN pg_catalog.pg_depend d
                       ON d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                      AND d.refobjid = n.oid
                      AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                     JOIN pg_catalog.pg_class c ON c.oid = d.objid
                     WHERE n.nspname = $1) AS relations,
                 pg_catalog.current_setting('max_locks_per_transaction')::pg_catalog.int8
                 * (pg_catalog.current_setting('max_connections')::pg_catalog.int8
                    + pg_catalog.current_setting('max_prepared_transactions')::pg_catalog.int8) AS locks",
        )
        .bind::<sql_types::Text, _>(schema.as_str())
        .get_result(conn)
        .map_err(|error| Error::database("count what is to be dropped", error))
    }

    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    fn is_enough(&self) -> bool {
        self.relations as f64 * LOCKS_A_RELATION <= self.locks as f64 * SHARE
    }

    /// How many tables can be dropped in a transaction.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "an estimate"
    )]
    fn tables(&self) -> i64 {
        let tables = self.locks as f64 * SHARE / (LOCKS_A_RELATION * RELATIONS_A_TABLE);
        (tables as i64).max(1)
    }
}

/// CASCADE would take the dependents along, whoever's they are.
fn nobody_depends_on(conn: &mut PgConnection, schema: &SchemaName) -> Result<()> {
    let Some(oid) = catalog::schema_oid(conn, schema)? else {
        return Ok(());
    };
    let dependents = catalog::dependents_outside(conn, oid)?;
    if dependents.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::HasDependents,
        format!(
            "schema {schema} cannot be dropped: drop or change first what depends on it from \
             outside:\n{}",
            dependents.join("\n")
        ),
    ))
}
