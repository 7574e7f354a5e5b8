//! The templates of kinds of tenants: which can be cloned.

use std::collections::{BTreeSet, HashSet};

use diesel::{prelude::*, sql_types};

use crate::{
    error::{Error, Result},
    layout::Layout,
    names::SchemaName,
    sql,
    tenant::Tenant,
};

/// The template of a tenant's kind, whether it is there or not.
pub(crate) fn template_of(layout: &Layout, tenant: &Tenant) -> Option<SchemaName> {
    // A kind without migrations may have a longer name.
    layout.kind_template(tenant.kind()?).ok()
}

/// Those of these templates that are there and finished: with all that they had to have before they could be
/// cloned.
pub(crate) fn finished(
    conn: &mut PgConnection,
    templates: &[SchemaName],
) -> Result<HashSet<SchemaName>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql_types::Text)]
        schema_name: String,
    }
    if templates.is_empty() {
        return Ok(HashSet::new());
    }
    let names: Vec<&str> = templates.iter().map(SchemaName::as_str).collect();
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT n.nspname::pg_catalog.text AS schema_name FROM pg_catalog.pg_namespace AS n \
         WHERE n.nspname OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.name[]) \
         AND NOT coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace') \
             OPERATOR(pg_catalog.=) $2, false)",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(names)
    .bind::<sql_types::Text, _>(sql::UNFINISHED)
    .load(conn)
    .map_err(|error| Error::database("look for the templates of kinds", error))?;
    rows.iter()
        .map(|row| SchemaName::existing(&row.schema_name))
        .collect()
}

/// The finished templates of the kinds of these tenants, in order.
pub(crate) fn finished_of(
    conn: &mut PgConnection,
    layout: &Layout,
    tenants: &[Tenant],
) -> Result<Vec<SchemaName>> {
    let templates: BTreeSet<SchemaName> = tenants
        .iter()
        .filter_map(|tenant| template_of(layout, tenant))
        .collect();
    let templates: Vec<SchemaName> = templates.into_iter().collect();
    let finished = finished(conn, &templates)?;
    Ok(templates
        .into_iter()
        .filter(|template| finished.contains(template))
        .collect())
}
