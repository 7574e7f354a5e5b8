//! The barest checkout there can be that is proven: one message, no pool, no clean.

use diesel::{
    connection::SimpleConnection as _, dsl::sql, pg::PgConnection, prelude::*, sql_types::Oid,
};

/// Prepares the proof of each schema, all of which have a table `notes`: the lock of the checkout before is given
/// back, the lock of this one taken, and where the path leads is asked.
pub(crate) fn prepare(conn: &mut PgConnection, schemas: &[String]) {
    for schema in schemas {
        let oid = sql::<Oid>(&format!("'{schema}.notes'::regclass::oid"));
        let oid: u32 = diesel::select(oid).get_result(conn).unwrap();
        let proof = format!(
            "SET search_path TO {schema}, public; PREPARE proof_{schema} AS SELECT WHERE CASE \
             WHEN pg_advisory_unlock_all() IS NULL THEN false \
             WHEN pg_try_advisory_lock_shared(1, hashtext('{schema}')) THEN pg_table_is_visible({oid}) END"
        );
        conn.batch_execute(&proof).unwrap();
    }
}

/// Sets the path and proves it.
pub(crate) fn bind(conn: &mut PgConnection, schema: &str) -> QueryResult<()> {
    conn.batch_execute(&format!(
        "SET search_path TO {schema}, public; EXECUTE proof_{schema}"
    ))
}
