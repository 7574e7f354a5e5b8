//! Schemas that wait for a tenant: each is handed out once, and never when it is out of date.

use std::{collections::HashSet, thread, time::Duration};

use boardinghouse_core::{ErrorKind, NewTenant, PgRegistry, Provisioner, SchemaName};
use boardinghouse_tests::{TestDb, add_note, bodies, schema_key, tenant, until_somebody_waits};
use diesel::connection::SimpleConnection;

fn new(id: &str) -> NewTenant {
    NewTenant::new(id.parse().unwrap())
}

fn oid(db: &TestDb, schema: &str) -> String {
    db.value(&format!(
        "SELECT oid FROM pg_namespace WHERE nspname = '{schema}'"
    ))
}

#[test]
fn a_tenant_is_a_schema_that_waited_for_it() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let change = provisioner.keep_ready(2).unwrap();
    assert_eq!(change.created.len(), 2);
    assert_eq!(provisioner.ready_schemas().unwrap().ready, change.created);
    assert!(provisioner.keep_ready(2).unwrap().created.is_empty());
    let waited = oid(&db, change.created[0].as_str());

    // A provisioner that has just begun takes it, too.
    Provisioner::new(pool.clone()).create(&new("acme")).unwrap();
    assert_eq!(oid(&db, "acme"), waited);
    assert_eq!(db.tables("acme"), db.tables("__template__"));
    let mut conn = pool.get(&tenant(&pool, "acme")).unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), [""; 0]);
    add_note(&mut conn, "first").unwrap();
    drop(conn);
    assert_eq!(
        provisioner.ready_schemas().unwrap().ready,
        change.created[1..]
    );

    // A schema that is in the way, and a name that is taken, leave what waits alone.
    db.sql("CREATE SCHEMA taken");
    let error = provisioner.create(&new("taken")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaExists);
    let error = provisioner.create(&new("acme")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantExists);
    assert_eq!(
        provisioner.ready_schemas().unwrap().ready,
        change.created[1..]
    );

    let drained = provisioner.drain_ready().unwrap();
    assert_eq!(drained.dropped, change.created[1..]);
    assert_eq!(
        db.value("SELECT count(*) FROM pg_namespace WHERE nspname LIKE '\\_\\_ready%'"),
        "0"
    );
    provisioner.create(&new("later")).unwrap();
}

#[test]
fn what_is_out_of_date_is_replaced_and_never_handed_out() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    let old = provisioner.keep_ready(3).unwrap().created;
    db.sql("ALTER TABLE __template__.notes ADD later integer");
    let ready = provisioner.ready_schemas().unwrap();
    assert_eq!((ready.ready.len(), &ready.stale), (0, &old));
    provisioner.create(&new("acme")).unwrap();
    assert_eq!(db.tables("acme"), db.tables("__template__"));
    assert_eq!(
        db.value("SELECT count(*) FROM information_schema.columns WHERE table_schema = 'acme' AND column_name = 'later'"),
        "1"
    );
    let change = provisioner.keep_ready(2).unwrap();
    assert_eq!((change.created.len(), change.dropped), (2, old));
}

#[test]
fn a_template_that_names_itself_in_text_cannot_wait() {
    let db = TestDb::new();
    db.sql(
        "CREATE FUNCTION __template__.many() RETURNS bigint LANGUAGE sql
         AS 'SELECT count(*) FROM __template__.notes'",
    );
    let provisioner = Provisioner::new(db.pool(1));
    let error = provisioner.keep_ready(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateUnsupported);
    assert!(error.to_string().contains("many"), "{error}");
    provisioner.create(&new("acme")).unwrap();
    db.sql("INSERT INTO acme.notes (body) VALUES ('x'); INSERT INTO __template__.notes (body) VALUES ('y'), ('z')");
    assert_eq!(db.value("SELECT acme.many()"), "1");
}

/// Who makes them ready is one at a time, and never while the template is written to.
#[test]
fn nobody_makes_schemas_ready_while_another_does_or_writes_to_the_template() {
    let db = TestDb::new();
    let hasty = Provisioner::new(db.pool(1)).lock_wait(Duration::from_millis(20));
    let others = "x'62680004'::int, 0".to_owned();
    for key in [schema_key("__template__"), others] {
        let mut other = db.connect();
        let lock = format!("SELECT pg_advisory_lock({key})");
        other.batch_execute(&lock).unwrap();
        let error = hasty.keep_ready(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{key}");
        assert!(hasty.ready_schemas().unwrap().ready.is_empty());
        other
            .batch_execute("SELECT pg_advisory_unlock_all()")
            .unwrap();
    }
    let made = Provisioner::new(db.pool(1)).keep_ready(1).unwrap();
    assert_eq!(made.created.len(), 1);
}

/// A row that somebody wrote is no reason to drop or to hand out a schema that is not ours.
#[test]
fn a_schema_that_is_not_ours_is_neither_handed_out_nor_dropped() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    provisioner.keep_ready(1).unwrap();
    // With the number of the schema that it names, too.
    db.sql(
        "UPDATE boardinghouse.ready_schemas
         SET schema_name = 'public', schema_oid = 'public'::regnamespace",
    );
    provisioner.create(&new("acme")).unwrap();
    assert_eq!(
        db.value("SELECT count(*) FROM boardinghouse.ready_schemas"),
        "1"
    );
    provisioner.drain_ready().unwrap();
    assert_eq!(
        db.value("SELECT body FROM public.notes"),
        boardinghouse_tests::BAIT
    );
}

/// What waits has no rows of a tenant's, and what has is not dropped: not when it is adopted, and not where a
/// row of the registry says so in spite of that.
#[test]
fn a_tenants_schema_never_waits() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let made = provisioner.keep_ready(1).unwrap().created;
    for name in [made[0].clone(), SchemaName::existing("__ready_77").unwrap()] {
        let error = provisioner.create(&new("x").adopt(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReservedName);
    }
    db.sql(
        "CREATE SCHEMA listed;
         INSERT INTO boardinghouse.ready_schemas (schema_name, fingerprint) VALUES ('listed', '')",
    );
    let listed = SchemaName::existing("listed").unwrap();
    let error = provisioner.create(&new("x").adopt(listed)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedName);

    db.sql(
        "DELETE FROM boardinghouse.ready_schemas WHERE schema_name = 'listed';
         INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status)
             VALUES ('x', '__ready_1', 'x', 'ready');
         INSERT INTO __ready_1.notes (body) VALUES ('secret of x')",
    );
    let y = provisioner.create(&new("y")).unwrap();
    assert_eq!(bodies(&mut pool.get(&y).unwrap()).unwrap(), [""; 0]);
    assert!(provisioner.ready_schemas().unwrap().ready.is_empty());
    assert!(provisioner.drain_ready().unwrap().dropped.is_empty());
    let x = tenant(&pool, "x");
    assert_eq!(bodies(&mut pool.get(&x).unwrap()).unwrap(), ["secret of x"]);

    // Its schema is kept when it goes, and is not handed out then, either.
    provisioner.delete(x.id()).unwrap();
    let z = provisioner.create(&new("z")).unwrap();
    assert_eq!(bodies(&mut pool.get(&z).unwrap()).unwrap(), [""; 0]);
    assert_eq!(db.value("SELECT body FROM __ready_1.notes"), "secret of x");
}

/// A name says nothing: somebody may have made another schema under it.
#[test]
fn a_schema_that_took_the_name_of_one_that_waits_is_left_alone() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let made = provisioner.keep_ready(1).unwrap().created;
    assert_eq!(made, [SchemaName::existing("__ready_1").unwrap()]);
    db.sql(
        "DROP SCHEMA __ready_1 CASCADE; CREATE SCHEMA __ready_1;
         CREATE TABLE __ready_1.notes (LIKE __template__.notes INCLUDING ALL);
         INSERT INTO __ready_1.notes (body) VALUES ('of somebody')",
    );
    assert_eq!(provisioner.ready_schemas().unwrap().stale, made);
    let one = provisioner.create(&new("one")).unwrap();
    assert_eq!(bodies(&mut pool.get(&one).unwrap()).unwrap(), [""; 0]);
    assert_eq!(provisioner.drain_ready().unwrap().dropped, []);
    assert_eq!(db.value("SELECT body FROM __ready_1.notes"), "of somebody");
    // It is told of until somebody has looked.
    assert_eq!(provisioner.ready_schemas().unwrap().stale, made);
    db.sql("DROP SCHEMA __ready_1 CASCADE");
    assert_eq!(provisioner.drain_ready().unwrap().dropped, made);
    assert!(provisioner.ready_schemas().unwrap().stale.is_empty());
}

/// Its name may be another's by the time the lock is there that dropping it needs.
#[test]
fn a_schema_that_takes_the_name_while_it_is_dropped_is_left_alone() {
    for changed in [false, true] {
        let db = TestDb::new();
        let provisioner = Provisioner::new(db.pool(2));
        provisioner.keep_ready(1).unwrap();
        if changed {
            db.sql("ALTER TABLE __template__.notes ADD later int");
        }
        let mut other = db.connect();
        other
            .batch_execute(
                "BEGIN; DROP SCHEMA __ready_1 CASCADE; CREATE SCHEMA __ready_1;
                 CREATE TABLE __ready_1.mine (x int); INSERT INTO __ready_1.mine VALUES (42)",
            )
            .unwrap();
        let done = thread::scope(|scope| {
            let work = || match changed {
                true => provisioner.keep_ready(1).map(|change| change.dropped),
                false => provisioner.drain_ready().map(|change| change.dropped),
            };
            let dropping = scope.spawn(work);
            until_somebody_waits(&db);
            other.batch_execute("COMMIT").unwrap();
            dropping.join().unwrap()
        });
        assert_eq!(done.unwrap(), []);
        assert_eq!(db.value("SELECT x FROM __ready_1.mine"), "42");
    }
}

/// Acceptance: eight claim from a pool of fifty.
#[test]
fn no_schema_is_handed_out_twice() {
    let db = TestDb::new();
    let pool = db.pool(8);
    let made = Provisioner::new(pool.clone())
        .keep_ready(50)
        .unwrap()
        .created;
    assert_eq!(made.len(), 50);
    let waiting: HashSet<String> = made
        .iter()
        .map(|schema| oid(&db, schema.as_str()))
        .collect();
    thread::scope(|scope| {
        for worker in 0..8 {
            let pool = pool.clone();
            scope.spawn(move || {
                let provisioner = Provisioner::new(pool);
                for number in 0..8 {
                    provisioner
                        .create(&new(&format!("w{worker}n{number}")))
                        .unwrap();
                }
            });
        }
    });
    let tenants = PgRegistry::new(pool).list().unwrap();
    let tenants: Vec<_> = tenants
        .iter()
        .filter(|t| t.id().as_str().starts_with('w'))
        .collect();
    assert_eq!(tenants.len(), 64);
    let oids: HashSet<String> = tenants
        .iter()
        .map(|t| oid(&db, t.schema().as_str()))
        .collect();
    assert_eq!(oids.len(), 64);
    assert_eq!(oids.intersection(&waiting).count(), 50);
    assert_eq!(
        db.value("SELECT count(*) FROM boardinghouse.ready_schemas"),
        "0"
    );
}

/// A claim that does not commit is none.
#[test]
fn a_schema_that_was_claimed_in_vain_waits_again() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    let made = provisioner.keep_ready(1).unwrap().created;
    // The last thing that a claim does is to rename.
    db.sql(
        "CREATE FUNCTION public.no() RETURNS event_trigger LANGUAGE plpgsql
             AS 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END';
         CREATE EVENT TRIGGER no ON ddl_command_end WHEN TAG IN ('ALTER SCHEMA')
             EXECUTE FUNCTION public.no()",
    );
    provisioner.create(&new("acme")).unwrap_err();
    let mut conn = pool.get_shared().unwrap();
    conn.batch_execute("DROP EVENT TRIGGER no").unwrap();
    drop(conn);
    assert_eq!(provisioner.ready_schemas().unwrap().ready, made);
    assert_eq!(
        db.value("SELECT count(*) FROM boardinghouse.tenants WHERE id = 'acme'"),
        "0"
    );
    provisioner.create(&new("acme")).unwrap();
    assert!(provisioner.ready_schemas().unwrap().ready.is_empty());
}
