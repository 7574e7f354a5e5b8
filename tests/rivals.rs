//! Several who create, rename, delete and provision at once, and what they find when they get their turn.

use std::thread;

use boardinghouse_core::{
    ErrorKind, Migrator, NewTenant, PgRegistry, Provisioner, SchemaName, TenantId, TenantPool,
    TenantStatus, embedded::Server,
};
use boardinghouse_tests::{TestDb, bodies, tenant, until, value};
use diesel::{Connection, PgConnection, connection::SimpleConnection};

fn id(id: &str) -> TenantId {
    id.parse().unwrap()
}

fn new(name: &str) -> NewTenant {
    NewTenant::new(id(name))
}

fn schema(name: &str) -> SchemaName {
    SchemaName::existing(name).unwrap()
}

/// Waits until `n` sessions wait for a lock in the server.
fn until_there_wait(conn: &mut PgConnection, n: usize) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'
        AND datname = current_database()";
    until(|| value(conn, waiting) == n.to_string());
}

/// The lock that whoever writes to a schema has.
fn writers_lock(function: &str, schema: &str) -> String {
    format!("SELECT {function}({}, hashtext('{schema}'))", 0x6268_0001)
}

/// Who drops a large schema bit by bit gives its lock back between the bits. When another has dropped the
/// rest meanwhile, and a third has created a tenant of that id, that one is not deleted.
#[test]
fn a_tenant_that_is_created_while_its_namesake_is_being_dropped_is_kept() {
    // Five tables are more than can be dropped at once.
    let server = Server::builder()
        .setting("max_locks_per_transaction", "10")
        .setting("max_connections", "10")
        .start()
        .unwrap();
    let connect = || PgConnection::establish(server.url()).unwrap();
    let pool = TenantPool::builder()
        .max_size(2)
        .build(server.url())
        .unwrap();
    assert!(Migrator::new(pool.clone()).init().unwrap().is_success());
    let mut conn = connect();
    for number in 0..9 {
        conn.batch_execute(&format!(
            "CREATE TABLE __template__.t{number} (id serial PRIMARY KEY, body text)"
        ))
        .unwrap();
    }
    Provisioner::new(pool.clone()).create(&new("acme")).unwrap();

    // The deleter has the schema's lock, and waits for the row.
    let mut holder = connect();
    holder
        .batch_execute("BEGIN; SELECT FROM boardinghouse.tenants FOR UPDATE")
        .unwrap();
    let deleter = Provisioner::new(pool.clone());
    let deleter = thread::spawn(move || deleter.delete(&id("acme")));
    until_there_wait(&mut conn, 1);
    // Another waits for the schema's lock, and has it when the first bit is done.
    let mut rival = connect();
    let rival = thread::spawn(move || {
        rival
            .batch_execute(&writers_lock("pg_advisory_lock", "acme"))
            .unwrap();
        rival
    });
    until_there_wait(&mut conn, 2);
    holder.batch_execute("COMMIT").unwrap();
    let mut rival = rival.join().unwrap();
    let registry = PgRegistry::new(pool.clone());
    let status = registry.get(&id("acme")).unwrap().status();
    assert_eq!(status, TenantStatus::Dropping);
    // What a deleter and a creator do, who have the lock one after the other.
    for number in 0..9 {
        rival
            .batch_execute(&format!("DROP TABLE acme.t{number}"))
            .unwrap();
    }
    rival
        .batch_execute(
            "DROP SCHEMA acme; DELETE FROM boardinghouse.tenants;
             CREATE SCHEMA acme; CREATE TABLE acme.notes AS SELECT 1 AS id, 'new' AS body;
             INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status, adopted)
                 VALUES ('acme', 'acme', 'another', 'ready', false)",
        )
        .unwrap();
    rival
        .batch_execute(&writers_lock("pg_advisory_unlock", "acme"))
        .unwrap();

    let deleted = deleter.join().unwrap().unwrap();
    assert_eq!(deleted.tenant.display_name(), "acme");
    let acme = registry.get(&id("acme")).unwrap();
    assert_eq!(acme.display_name(), "another");
    assert_eq!(bodies(&mut pool.get(&acme).unwrap()).unwrap(), ["new"]);
}

/// The same between a look at the row and the schema's lock.
#[test]
fn what_was_replaced_while_its_lock_was_waited_for_is_not_taken_for_what_it_was() {
    let db = TestDb::new();
    type Attempt = fn(&Provisioner) -> boardinghouse_core::Result<()>;
    let attempts: [Attempt; 3] = [
        |p| p.delete(&id("a")).map(drop),
        |p| p.rename(&id("a"), &id("z")).map(drop),
        |p| p.provision(&id("old")).map(drop),
    ];
    let mut conn = db.connect();
    conn.batch_execute(
        "CREATE SCHEMA old; CREATE TABLE old.notes AS SELECT 'somebody''s' AS body;
         INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status)
             VALUES ('old', 'old', 'old', 'pending')",
    )
    .unwrap();
    for attempt in attempts {
        let mut holder = db.connect();
        for schema in ["a", "old"] {
            holder
                .batch_execute(&writers_lock("pg_advisory_lock", schema))
                .unwrap();
        }
        let provisioner = Provisioner::new(db.pool(1));
        let attempt = thread::spawn(move || attempt(&provisioner));
        // It has read the row, and asks for the lock again and again.
        let asks =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_try_advisory_xact_lock%'
            AND datname = current_database() AND pid <> pg_backend_pid()";
        until(|| value(&mut conn, asks) == "1");
        holder
            .batch_execute(
                "DELETE FROM boardinghouse.tenants WHERE id IN ('a', 'old');
                 INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status, adopted)
                     VALUES ('a', 'a', 'another', 'ready', false), ('old', 'old', 'another', 'pending', false)",
            )
            .unwrap();
        drop(holder);
        let error = attempt.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked, "{error:?}");
        assert!(error.to_string().contains("try again"), "{error}");
        let pool = db.pool(1);
        let a = tenant(&pool, "a");
        assert_eq!(a.display_name(), "another");
        assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
        assert_eq!(tenant(&pool, "old").status(), TenantStatus::Pending);
        conn.batch_execute("UPDATE boardinghouse.tenants SET adopted = true WHERE id = 'old'")
            .unwrap();
    }
}

/// A schema that waited for a tenant, and that somebody dropped by hand, stops nobody from signing up.
#[test]
fn a_schema_that_waits_and_is_gone_is_not_handed_out() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = Provisioner::new(pool.clone());
    let made = provisioner.keep_ready(2).unwrap().created;
    db.sql(&format!("DROP SCHEMA {} CASCADE", made[0]));
    let ready = provisioner.ready_schemas().unwrap();
    assert_eq!(ready.ready, made[1..]);
    assert_eq!(ready.stale, made[..1]);
    provisioner.create(&new("acme")).unwrap();
    provisioner.create(&new("globex")).unwrap();
    for id in ["acme", "globex"] {
        assert_eq!(db.tables(id), db.tables("__template__"));
    }
    let change = provisioner.keep_ready(1).unwrap();
    assert_eq!((change.created.len(), &change.dropped[..]), (1, &made[..1]));
    assert_eq!(provisioner.keep_ready(1).unwrap().created.len(), 0);
}

/// A transaction that changes the template twice, and creates a tenant each time: it and all later ones are
/// like the template as it is.
#[test]
fn a_template_that_is_changed_twice_in_a_transaction_is_not_cloned_as_it_was_once() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let mut conn = pool.get_shared().unwrap();
    conn.transaction::<_, boardinghouse_core::Error, _>(|conn| {
        conn.batch_execute("ALTER TABLE __template__.notes ADD COLUMN more text")?;
        provisioner.create_in(conn, &new("one"))?;
        conn.batch_execute(
            "ALTER TABLE __template__.notes ALTER COLUMN more SET STORAGE EXTERNAL",
        )?;
        provisioner.create_in(conn, &new("two"))?;
        Ok(())
    })
    .unwrap();
    provisioner.create(&new("three")).unwrap();
    Provisioner::new(db.pool(1)).create(&new("four")).unwrap();
    for (id, wanted) in [("one", "x"), ("two", "e"), ("three", "e"), ("four", "e")] {
        let found = db.value(&format!(
            "SELECT attstorage FROM pg_attribute
             WHERE attrelid = '{id}.notes'::regclass AND attname = 'more'"
        ));
        assert_eq!(found, wanted, "{id}");
    }
}

/// A schema is a named template or a tenant's: what a tenant writes must not be in other tenants.
#[test]
fn a_named_template_does_not_become_a_tenants() {
    let db = TestDb::new();
    db.sql("CREATE SCHEMA demo; CREATE TABLE demo.notes AS SELECT 'demo' AS body");
    let pool = db.pool(2);
    let (provisioner, registry) = (Provisioner::new(pool.clone()), PgRegistry::new(pool));
    registry.add_named_template(&schema("demo")).unwrap();
    let adopt = new("x").adopt(schema("demo"));
    let error = provisioner.create(&adopt).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedName);
    db.sql(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status)
             VALUES ('y', 'demo', 'y', 'pending')",
    );
    let error = provisioner.provision(&id("y")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReservedName);
    db.sql("DELETE FROM boardinghouse.tenants WHERE id = 'y'");
    registry.remove_named_template(&schema("demo")).unwrap();
    provisioner.create(&adopt).unwrap();
    let error = registry.add_named_template(&schema("demo")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantExists);
    provisioner.delete(&id("x")).unwrap();

    // Of two at once one finds what the other has done.
    let mut holder = db.connect();
    holder
        .batch_execute(&writers_lock("pg_advisory_lock", "demo"))
        .unwrap();
    thread::scope(|scope| {
        let adopter = scope.spawn(|| provisioner.create(&adopt).map(drop));
        let adder = scope.spawn(|| registry.add_named_template(&schema("demo")));
        drop(holder);
        let both = [adopter.join().unwrap(), adder.join().unwrap()];
        assert_eq!(
            both.iter().filter(|done| done.is_ok()).count(),
            1,
            "{both:?}"
        );
    });
}

/// Whoever registers a tenant has its row before the schema's lock. Two who have one of them each would wait
/// until one of them gives up.
#[test]
fn a_copy_that_waits_for_a_row_does_not_have_the_lock() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1));
    let mut conn = db.connect();
    let mut rival = db.connect();
    rival
        .batch_execute(
            "BEGIN; INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status)
                 VALUES ('acme', 'acme', 'acme', 'pending')",
        )
        .unwrap();
    let copy = new("acme").copy_of(schema("a"));
    let copy = thread::spawn(move || provisioner.create(&copy));
    until_there_wait(&mut conn, 1);
    let lock = writers_lock("pg_try_advisory_xact_lock", "acme");
    assert_eq!(value(&mut rival, &lock), "true");
    rival.batch_execute("ROLLBACK").unwrap();
    copy.join().unwrap().unwrap();
    let pool = db.pool(1);
    let acme = tenant(&pool, "acme");
    assert_eq!(bodies(&mut pool.get(&acme).unwrap()).unwrap(), ["from-a"]);
}

/// To drop a foreign key takes the strongest lock on the table that it refers to: who waits for that must not
/// make everybody else wait.
#[test]
fn a_deletion_that_waits_for_shared_tables_holds_up_nobody() {
    let db = TestDb::new();
    db.sql(
        "CREATE TABLE public.tariffs (id int PRIMARY KEY); INSERT INTO public.tariffs VALUES (1);
         CREATE TABLE __template__.orders (tariff int REFERENCES public.tariffs)",
    );
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    for id in ["one", "two"] {
        let id = id.parse().unwrap();
        provisioner.create(&NewTenant::new(id)).unwrap();
    }
    for (id, first, second) in [("one", "users", "tariffs"), ("two", "tariffs", "users")] {
        let write = |table: &str| match table {
            "users" => "INSERT INTO public.users (email) SELECT clock_timestamp()::text",
            _ => "INSERT INTO public.tariffs VALUES (nextval('public.users_id_seq') + 1)",
        };
        let mut busy = db.connect();
        busy.batch_execute(&format!("BEGIN; {}", write(first)))
            .unwrap();
        std::thread::scope(|scope| {
            let deleted = scope.spawn(|| provisioner.delete(&id.parse().unwrap()));
            until(|| {
                db.value(
                    "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted
                     AND relation IN ('public.users'::regclass, 'public.tariffs'::regclass)",
                ) != "0"
            });
            // Whoever wants that table has it soon, and in far less than the deletion would wait for it.
            let mut other = db.connect();
            other.batch_execute("SET lock_timeout TO '10s'").unwrap();
            other.batch_execute(write(first)).unwrap();
            // Who uses both is not a deadlock's victim.
            busy.batch_execute(write(second)).unwrap();
            busy.batch_execute("COMMIT").unwrap();
            assert!(deleted.join().unwrap().unwrap().schema_dropped);
        });
    }
    // For as long as it may, and not for ever.
    let mut busy = db.connect();
    busy.batch_execute("BEGIN; LOCK TABLE public.users IN ROW EXCLUSIVE MODE")
        .unwrap();
    let hasty = Provisioner::new(pool.clone()).lock_wait(std::time::Duration::from_millis(300));
    let error = hasty.delete(&"a".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(error.to_string().contains("in use by others"), "{error}");
    assert_eq!(db.tables("a"), db.tables("b"));
    drop(busy);
    hasty.delete(&"a".parse().unwrap()).unwrap();
}

/// What is no lock is not waited for.
#[test]
fn a_deletion_that_fails_for_another_reason_says_so() {
    let db = TestDb::new();
    db.sql(
        "CREATE FUNCTION public.guard() RETURNS event_trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_sleep(0.3); RAISE 'not on my watch'; END $$;
         CREATE EVENT TRIGGER guard ON sql_drop EXECUTE FUNCTION public.guard()",
    );
    let provisioner = Provisioner::new(db.pool(1));
    let error = provisioner.delete(&id("a")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    assert!(
        error.chain().contains("not on my watch"),
        "{}",
        error.chain()
    );
    db.sql("DROP EVENT TRIGGER guard");
    provisioner.delete(&id("a")).unwrap();
}
