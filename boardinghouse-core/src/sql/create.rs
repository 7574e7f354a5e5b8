//! Creating a tenant: its row, and its schema as a clone or one that was made before.

use std::time::Duration;

use super::{drop_schema, has_number, proof, prove_that};
use crate::{lock, names::SchemaName};

/// Begins the transaction in which `target` becomes a clone of one of `templates`: under `settings`, with a
/// path that sees none of them. Fails with a proof unless it gets the right to write to the one, and to read
/// the others.
pub(crate) fn begin_clone(
    templates: &[&SchemaName],
    target: &SchemaName,
    lock_timeout: Duration,
    settings: &str,
) -> String {
    let try_lock = |function: &str, schema: &SchemaName| {
        format!(
            "pg_catalog.{function}({}, pg_catalog.hashtext({}))",
            lock::SCHEMA,
            schema.literal()
        )
    };
    let readable: String = templates
        .iter()
        .map(|template| {
            let locked = try_lock("pg_try_advisory_xact_lock_shared", template);
            format!("WHEN NOT {locked} THEN 0 ")
        })
        .collect();
    let locked = format!(
        "CASE {readable}WHEN {} THEN 1 ELSE 0 END",
        try_lock("pg_try_advisory_xact_lock", target),
    );
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; {settings} SET LOCAL lock_timeout TO {}; \
         SET LOCAL search_path TO pg_catalog, pg_temp; SELECT {}",
        lock_timeout.as_millis().max(1),
        proof(&locked)
    )
}

/// Registers a tenant and its domains, takes a schema that waits for one, if there is one of the template as
/// it is, and answers. `fingerprint` is an expression. The path must begin with `pg_catalog`.
pub(crate) fn register_tenant(fingerprint: &str) -> String {
    with_ready_schema(
        "tenant AS (
             INSERT INTO boardinghouse.tenants
                 (id, schema_name, display_name, status, attributes, adopted, kind)
             VALUES ($1, $2, $3, $4, $5, $6, $9) RETURNING id, epoch, incarnation
         ), named AS (
             INSERT INTO boardinghouse.domains (domain, folder, tenant_id, is_primary)
             SELECT n.domain, n.folder, tenant.id, n.position = 1
             FROM tenant, unnest($7, $8) WITH ORDINALITY AS n (domain, folder, position)
         )",
        fingerprint,
    )
}

/// The same of a tenant that is registered already, and has no schema yet: it is ready then. No row where it
/// is not, or no longer, so.
pub(crate) fn claim_tenant(fingerprint: &str) -> String {
    with_ready_schema(
        "tenant AS (
             UPDATE boardinghouse.tenants SET status = 'ready', adopted = false
             WHERE incarnation = $1 AND schema_name = $2 AND status IN ('pending', 'failed')
               AND kind IS NOT DISTINCT FROM $3
             RETURNING epoch, incarnation
         )",
        fingerprint,
    )
}

/// The same of a tenant whose schema has gone missing. No row where it is there, or is known to have another
/// name.
pub(crate) fn reclaim_tenant(fingerprint: &str) -> String {
    with_ready_schema(
        "tenant AS (
             UPDATE boardinghouse.tenants SET epoch = DEFAULT
             WHERE incarnation = $1 AND schema_name = $2 AND status IN ('ready', 'suspended')
               AND kind IS NOT DISTINCT FROM $3 AND NOT adopted
               AND to_regnamespace(quote_ident($2)) IS NULL
               AND NOT EXISTS (SELECT FROM boardinghouse.ledger l
                               JOIN pg_namespace n ON n.oid = l.schema_oid WHERE l.incarnation = $1)
             RETURNING epoch, incarnation
         )",
        fingerprint,
    )
}

/// Drops a schema that waits for a tenant, if it still has this number; fails with a proof otherwise. What it is
/// called now is decided by the statement that locks it.
pub(crate) fn drop_ready_schema(schema: &SchemaName, number: u32) -> String {
    format!(
        "COMMENT ON SCHEMA {} IS NULL; {} {}",
        schema.quoted(),
        prove_that(&has_number(schema, number)),
        drop_schema(schema)
    )
}

/// `tenant` is a query that writes a tenant's row; `$2` is its schema. None is taken where the first that would do
/// is named by a tenant's row, whoever wrote it: to ask that of all that wait takes as long as all tenants.
fn with_ready_schema(tenant: &str, fingerprint: &str) -> String {
    format!(
        "WITH {tenant}, template AS MATERIALIZED (
             SELECT ({fingerprint}) AS fingerprint
         ), taken AS (
             DELETE FROM boardinghouse.ready_schemas WHERE id = (
                 SELECT r.id FROM boardinghouse.ready_schemas r
                 WHERE r.fingerprint = (SELECT fingerprint FROM template)
                   AND EXISTS (SELECT FROM tenant)
                   AND r.schema_name = '__ready_' || r.id
                   AND to_regnamespace(r.schema_name)::oid = r.schema_oid
                 ORDER BY r.id LIMIT 1 FOR UPDATE SKIP LOCKED)
               AND NOT EXISTS (SELECT FROM boardinghouse.tenants t
                               WHERE lower(t.schema_name) = lower(ready_schemas.schema_name))
             RETURNING schema_name
         )
         SELECT epoch, incarnation, to_regnamespace(quote_ident($2)) IS NOT NULL AS schema_exists,
             template.fingerprint, (SELECT schema_name FROM taken) AS ready
         FROM tenant, template"
    )
}
