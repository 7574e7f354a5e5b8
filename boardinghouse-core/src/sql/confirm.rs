//! What a pool asks before it believes that a tenant is what it was.

/// Whether nothing that a plain select can reach by a name hides in the schemas `$names`: no view, no
/// foreign table, no policy; no function but those that only triggers call, or that are not code of a
/// person's; no operator with such a function; no domain, whose checks run functions. Nor a cast with such
/// a function anywhere: casts are found by their types, in no schema (16384 is the first number that is not
/// PostgreSQL's own).
///
/// What a schema holds is found by the index on what depends on it: `pg_class` has none by schema.
/// Languages 12 and 13 are `internal` and `c`.
macro_rules! open {
    ($names:literal) => {
        concat!(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS s \
             JOIN pg_catalog.pg_depend AS d ON d.refobjid = s.oid \
                 AND d.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass \
             WHERE s.nspname = ANY (",
            $names,
            ") AND CASE d.classid \
             WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN EXISTS \
                 (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = d.objid \
                  AND (c.relkind IN ('v', 'f') OR c.relrowsecurity)) \
             WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN EXISTS \
                 (SELECT FROM pg_catalog.pg_proc AS p WHERE p.oid = d.objid \
                  AND p.prorettype NOT IN ('pg_catalog.trigger'::pg_catalog.regtype, \
                                           'pg_catalog.event_trigger'::pg_catalog.regtype) \
                  AND (p.prokind = 'a' OR p.prolang NOT IN (12, 13))) \
             WHEN 'pg_catalog.pg_operator'::pg_catalog.regclass THEN EXISTS \
                 (SELECT FROM pg_catalog.pg_operator AS o \
                  JOIN pg_catalog.pg_proc AS p ON p.oid = o.oprcode \
                  WHERE o.oid = d.objid AND p.prolang NOT IN (12, 13)) \
             WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN EXISTS \
                 (SELECT FROM pg_catalog.pg_type AS t WHERE t.oid = d.objid AND t.typtype = 'd') \
             ELSE d.classid NOT IN ('pg_catalog.pg_extension'::pg_catalog.regclass, \
                 'pg_catalog.pg_default_acl'::pg_catalog.regclass, \
                 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, \
                 'pg_catalog.pg_opclass'::pg_catalog.regclass, \
                 'pg_catalog.pg_opfamily'::pg_catalog.regclass, \
                 'pg_catalog.pg_collation'::pg_catalog.regclass) END) \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast AS k \
                 JOIN pg_catalog.pg_proc AS p ON p.oid = k.castfunc \
                 WHERE k.castfunc >= '16384'::pg_catalog.oid AND p.prolang NOT IN (12, 13))"
        )
    };
}

/// The number of the table in which Diesel remembers the migrations of schema `n`.
macro_rules! table_of {
    () => {
        "(SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relnamespace = n.oid \
          AND c.relname = '__diesel_schema_migrations' AND c.relkind = 'r') AS table_oid, "
    };
}

/// What is true of the tenant whose incarnation is `$2`; `$1` are the other schemas on its path. The
/// number of the schema is read as of the same moment as the row.
pub(crate) const CONFIRM_TENANT: &str = concat!(
    "SELECT tenant.id, tenant.schema_name, tenant.status, tenant.epoch, n.oid AS schema_oid, ",
    table_of!(),
    open!("pg_catalog.array_append($1, tenant.schema_name)::pg_catalog.name[]"),
    " AS open FROM boardinghouse.tenants AS tenant \
     LEFT JOIN pg_catalog.pg_namespace AS n ON n.nspname = tenant.schema_name::pg_catalog.name \
     WHERE tenant.incarnation = $2"
);

/// The same of a schema, named `$2`, that the registry knows nothing of.
pub(crate) const CONFIRM_SCHEMA: &str = concat!(
    "SELECT NULL::pg_catalog.text AS id, n.nspname::pg_catalog.text AS schema_name, \
     'ready'::pg_catalog.text AS status, 0::pg_catalog.int8 AS epoch, n.oid AS schema_oid, ",
    table_of!(),
    open!("pg_catalog.array_append($1, $2)::pg_catalog.name[]"),
    " AS open FROM pg_catalog.pg_namespace AS n WHERE n.nspname = $2::pg_catalog.name"
);
