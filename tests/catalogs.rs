//! No catalog is read from end to end on a hot path: with thousands of tenants that takes a tenth of a second.

use boardinghouse_core::{
    Migrator, NewTenant, PgRegistry, Provisioner, TenantId, TenantPool, embedded::Server,
};
use diesel::{connection::SimpleConnection, prelude::*};

use boardinghouse_tests::{SHARED, TENANT, schema::notes, until, value};

/// What grows with the number of tenants.
const CATALOGS: &str =
    "pg_class,pg_attribute,pg_depend,pg_type,pg_index,pg_constraint,pg_attrdef,pg_sequence";

/// How many rows of the catalogs were read by scans of whole tables, once nobody but the one who asks is connected.
fn rows_scanned(server: &Server, marks: &mut u32) -> i64 {
    let mut conn = PgConnection::establish(server.url()).unwrap();
    // What a session did is told when it ends, and before version 15 arrives in the order in which it was told.
    let others = "SELECT count(*) FROM pg_stat_activity \
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    until(|| value(&mut conn, others) == "0");
    *marks += 1;
    PgConnection::establish(server.url())
        .unwrap()
        .batch_execute("SELECT * FROM public.mark")
        .unwrap();
    // Not by the views, which scan catalogs themselves.
    let told = "SELECT pg_stat_get_numscans('public.mark'::regclass)";
    until(|| value(&mut conn, told) == marks.to_string());
    let scanned = format!(
        "SELECT sum(pg_stat_get_tuples_returned(name::regclass)) \
         FROM unnest('{{{CATALOGS}}}'::text[]) AS name"
    );
    value(&mut conn, &scanned).parse().unwrap()
}

/// Guarantee 6 of the design.
#[test]
fn no_catalog_is_read_from_end_to_end_on_a_hot_path() {
    let server = Server::builder()
        .setting("autovacuum", "off")
        .start()
        .unwrap();
    let pool = || {
        let pool = TenantPool::builder().max_size(2).without_listener();
        pool.build(server.url()).unwrap()
    };
    let run = Migrator::new(pool()).shared(SHARED).tenants(TENANT).run();
    assert!(run.unwrap().is_success());
    let new = |id: &str| NewTenant::new(id.parse().unwrap());
    // The template is compiled, and kept.
    Provisioner::new(pool()).create(&new("a")).unwrap();
    // Among a thousand tables of others.
    let mut conn = PgConnection::establish(server.url()).unwrap();
    conn.batch_execute(
        "CREATE TABLE public.mark ();
         DO $$ BEGIN FOR n IN 1..100 LOOP
             EXECUTE format('CREATE SCHEMA other%s', n);
             FOR t IN 1..10 LOOP
                 EXECUTE format('CREATE TABLE other%s.t%s (id serial PRIMARY KEY)', n, t);
             END LOOP;
         END LOOP; END $$",
    )
    .unwrap();
    conn.batch_execute("VACUUM ANALYZE").unwrap();
    drop(conn);

    let mut marks = 0;
    let before = rows_scanned(&server, &mut marks);
    {
        let pool = pool();
        let registry = PgRegistry::new(pool.clone());
        let provisioner = Provisioner::new(pool.clone());
        let a: TenantId = "a".parse().unwrap();
        for _ in 0..3 {
            let tenant = registry.get(&a).unwrap();
            let mut conn = pool.get(&tenant).unwrap();
            let count: i64 = notes::table.count().get_result(&mut conn).unwrap();
            assert_eq!(count, 0);
            // As text, so that the session is cleaned.
            conn.batch_execute("SELECT 1").unwrap();
        }
        provisioner.create(&new("b")).unwrap();
        provisioner.create(&new("c")).unwrap();
        provisioner.keep_ready(1).unwrap();
        provisioner.create(&new("d")).unwrap();
    }
    assert_eq!(rows_scanned(&server, &mut marks) - before, 0);

    // It would be seen.
    let tables = "SELECT FROM pg_class WHERE relnamespace = 'a'::regnamespace";
    let mut conn = PgConnection::establish(server.url()).unwrap();
    conn.batch_execute(tables).unwrap();
    drop(conn);
    assert!(rows_scanned(&server, &mut marks) - before > 3_000);
}
