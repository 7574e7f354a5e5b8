//! Tenants whose schemas are not there.

use diesel::{dsl::sql, prelude::*, sql_types};
use serde::Serialize;

use super::{
    PgQueries, explain,
    rows::{BYTE_ORDER, TenantRow},
};
use crate::{
    error::Result,
    names::{SchemaName, TenantId},
    schema::boardinghouse::{ledger, tenants},
    tenant::{Tenant, TenantStatus},
};

/// A tenant whose schema should be there and is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MissingSchema {
    /// The tenant.
    #[serde(flatten)]
    pub tenant: Tenant,
    /// The name that its schema has now, where somebody renamed it behind the registry's back. It is known of
    /// tenants that were migrated, or looked at by a migrator, since they were created.
    pub now_called: Option<SchemaName>,
}

/// All of them, or the `only` one if it is, in the order of their ids.
pub(crate) fn without_schema<C: PgQueries>(
    conn: &mut C,
    only: Option<&TenantId>,
) -> Result<Vec<MissingSchema>> {
    let with_schema = [TenantStatus::Ready, TenantStatus::Suspended].map(TenantStatus::as_str);
    let is_missing = sql::<sql_types::Bool>(
        "pg_catalog.to_regnamespace(pg_catalog.quote_ident(schema_name)) IS NULL",
    );
    let all = only.is_none().into_sql::<sql_types::Bool>();
    let is_wanted = all.or(tenants::id.eq(only.map_or("", TenantId::as_str)));
    let now_called = sql::<sql_types::Nullable<sql_types::Text>>(
        "(SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE n.oid = ledger.schema_oid)",
    );
    let rows: QueryResult<Vec<(TenantRow, Option<String>)>> = tenants::table
        .left_join(ledger::table.on(ledger::incarnation.eq(tenants::incarnation)))
        .filter(tenants::status.eq_any(with_schema))
        .filter(is_missing)
        .filter(is_wanted)
        .select((TenantRow::as_select(), now_called))
        .order(sql::<sql_types::Text>(BYTE_ORDER))
        .load(conn);
    let rows = rows.map_err(|error| explain(conn, "look for the schemas of tenants", error))?;
    rows.into_iter()
        .map(|(row, now_called)| {
            Ok(MissingSchema {
                tenant: row.try_into()?,
                now_called: now_called
                    .map(|name| SchemaName::existing(&name))
                    .transpose()?,
            })
        })
        .collect()
}
