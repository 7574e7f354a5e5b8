//! A schema that takes more locks to drop than the server has.

use boardinghouse_core::{
    ErrorKind, Migrator, NewTenant, PgRegistry, Provisioner, TenantPool, TenantStatus,
    embedded::Server,
};
use diesel::{Connection, PgConnection, connection::SimpleConnection};

/// E14, T20: more tables than can be dropped at once, at PostgreSQL's own settings.
#[test]
fn a_large_schema_is_dropped_bit_by_bit() {
    let server = Server::builder()
        .setting("max_locks_per_transaction", "64")
        .setting("max_connections", "20")
        .start()
        .unwrap();
    let mut conn = PgConnection::establish(server.url()).unwrap();
    let pool = TenantPool::builder()
        .max_size(2)
        .build(server.url())
        .unwrap();
    assert!(Migrator::new(pool.clone()).init().unwrap().is_success());
    conn.batch_execute("CREATE SCHEMA big; CREATE TABLE public.shared (id int PRIMARY KEY)")
        .unwrap();
    for batch in 0..8 {
        let tables: String = (0..50)
            .map(|number| {
                let number = batch * 50 + number;
                let parent = number / 3;
                format!(
                    "CREATE TABLE big.t{number} (id serial PRIMARY KEY, body text,
                         parent int REFERENCES big.t{parent}, shared int REFERENCES public.shared);"
                )
            })
            .collect();
        conn.batch_execute(&tables).unwrap();
    }
    conn.batch_execute(
        "CREATE TABLE big.parted (id int) PARTITION BY LIST (id);
         CREATE TABLE big.parted_1 PARTITION OF big.parted FOR VALUES IN (1);
         CREATE VIEW big.seen AS SELECT * FROM big.t1",
    )
    .unwrap();
    let error = conn
        .batch_execute("DROP SCHEMA big CASCADE")
        .unwrap_err()
        .to_string();
    assert!(error.contains("shared memory"), "{error}");

    // A tenant that was cloned has the schema; this one is made so by hand.
    let provisioner = Provisioner::new(pool.clone());
    let id = "big".parse().unwrap();
    let adopt = boardinghouse_core::SchemaName::parse("big").unwrap();
    provisioner
        .create(&NewTenant::new("big".parse().unwrap()).adopt(adopt))
        .unwrap();
    conn.batch_execute("UPDATE boardinghouse.tenants SET adopted = false")
        .unwrap();

    // What depends on it from outside stops it half way, and nobody is served from then on.
    conn.batch_execute(
        "CREATE FUNCTION public.spy() RETURNS event_trigger LANGUAGE plpgsql AS
             'BEGIN RAISE EXCEPTION ''stopped''; END';
         CREATE EVENT TRIGGER spy ON sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION public.spy()",
    )
    .unwrap();
    let error = provisioner.delete(&id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    let registry = PgRegistry::new(pool.clone());
    let tenant = registry.get(&id).unwrap();
    assert_eq!(tenant.status(), TenantStatus::Dropping);
    let refused = pool.get(&tenant).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::TenantUnavailable);
    conn.batch_execute("DROP EVENT TRIGGER spy").unwrap();

    // Again, and it goes on where it was.
    assert!(provisioner.delete(&id).unwrap().schema_dropped);
    assert!(registry.find(&id).unwrap().is_none());
    // Nothing else went along.
    conn.batch_execute("SELECT * FROM public.shared").unwrap();
}
