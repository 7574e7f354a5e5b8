//! What the tests of an application use: tenants of their own, and one for all with rollback.

use std::{
    collections::HashSet,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Barrier, Mutex, mpsc},
    thread,
};

use boardinghouse_core::{
    ErrorKind, NewTenant, PgRegistry, Provisioner, Result, SchemaName, TenantPool,
    testing::{OnceTenant, TestTenant},
};
use boardinghouse_tests::{TestDb, add_note, bodies, tenant, value};
use diesel::{connection::SimpleConnection, prelude::*};

/// The schemas and rows that tests could have left behind.
fn left(db: &TestDb) -> String {
    db.value(
        "SELECT concat_ws(',', (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'test%'), \
                               (SELECT count(*) FROM boardinghouse.tenants WHERE id NOT IN ('a', 'b')), \
                               (SELECT count(*) FROM boardinghouse.domains))",
    )
}

#[test]
fn fifty_tests_at_once_have_a_tenant_each_and_leave_nothing() {
    let db = TestDb::new();
    let pool = db.pool(8);
    let all_are_there = Barrier::new(50);
    let schemas: HashSet<SchemaName> = thread::scope(|scope| {
        let tests: Vec<_> = (0..50)
            .map(|number| {
                let (pool, all_are_there) = (&pool, &all_are_there);
                scope.spawn(move || {
                    let own = TestTenant::new(pool).unwrap();
                    all_are_there.wait();
                    add_note(&mut own.connect().unwrap(), &format!("test {number}")).unwrap();
                    let seen = bodies(&mut own.connect().unwrap()).unwrap();
                    assert_eq!(seen, [format!("test {number}")]);
                    own.schema().clone()
                })
            })
            .collect();
        tests.into_iter().map(|test| test.join().unwrap()).collect()
    });
    assert_eq!(schemas.len(), 50);
    assert_eq!(left(&db), "0,0,0");
}

#[test]
fn a_test_tenant_is_cloned_from_the_template_as_in_production() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let produced = Provisioner::new(pool.clone())
        .create(&NewTenant::new("produced".parse().unwrap()))
        .unwrap();
    let own = TestTenant::new(&pool).unwrap();
    let tables = db.tables("__template__");
    assert!(tables.contains("notes"));
    assert_eq!(db.tables(own.schema().as_str()), tables);
    let history = |schema: &SchemaName| {
        db.value(&format!(
            "SELECT string_agg(version, ',' ORDER BY version) FROM {schema}.__diesel_schema_migrations"
        ))
    };
    assert_eq!(history(own.schema()), history(produced.schema()));
    assert_eq!(history(own.schema()), "20260101000000");
}

#[test]
fn a_schema_that_is_ready_becomes_a_test_tenants_too() {
    let db = TestDb::new();
    let pool = db.pool(2);
    Provisioner::new(pool.clone()).keep_ready(1).unwrap();
    let count = || db.value("SELECT count(*) FROM boardinghouse.ready_schemas");
    assert_eq!(count(), "1");
    let own = TestTenant::new(&pool).unwrap();
    assert_eq!(count(), "0");
    add_note(&mut own.connect().unwrap(), "mine").unwrap();
}

#[test]
fn a_test_tenant_is_what_the_test_asks_for() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let own = TestTenant::with(&pool, |new| {
        let domain = format!("{}.example.test", new.id()).parse().unwrap();
        new.display_name("Acme Inc.")
            .domain(domain)
            .attribute("seats", 5)
    })
    .unwrap();
    assert_eq!(own.display_name(), "Acme Inc.");
    assert_eq!(own.attribute::<u32>("seats").unwrap(), Some(5));
    let domain = format!("{}.example.test", own.id()).parse().unwrap();
    let found = PgRegistry::new(pool.clone()).find_by_domain(&domain);
    assert_eq!(found.unwrap().as_ref(), Some(own.tenant()));

    let copy = TestTenant::with(&pool, |new| new.copy_of("a".parse().unwrap())).unwrap();
    assert_eq!(bodies(&mut copy.connect().unwrap()).unwrap(), ["from-a"]);
    copy.delete().unwrap();
    drop(own);
    assert_eq!(left(&db), "0,0,0");
}

#[test]
fn a_test_that_panics_leaves_no_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let own = TestTenant::new(&pool).unwrap();
        let mut conn = own.connect().unwrap();
        conn.batch_execute("BEGIN").unwrap();
        add_note(&mut conn, "half").unwrap();
        panic!("on purpose");
    }));
    panicked.unwrap_err();
    assert_eq!(left(&db), "0,0,0");
}

#[test]
fn a_test_tenant_is_deleted_under_whatever_name_it_has_and_nobody_else_is() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let own = TestTenant::new(&pool).unwrap();
    provisioner
        .rename(own.id(), &"renamed".parse().unwrap())
        .unwrap();
    // Somebody else has the name by now.
    let successor = provisioner
        .create(&NewTenant::new(own.id().clone()))
        .unwrap();
    drop(own);
    assert_eq!(db.tables("renamed"), "");
    add_note(&mut pool.get(&successor).unwrap(), "still there").unwrap();
    provisioner.delete(successor.id()).unwrap();

    // One that the test has deleted itself is no failure.
    let own = TestTenant::new(&pool).unwrap();
    provisioner.delete(own.id()).unwrap();
    own.delete().unwrap();
    assert_eq!(left(&db), "0,0,0");
}

#[test]
fn a_test_tenant_that_cannot_be_deleted_is_logged_and_fails_no_test() {
    let db = TestDb::new();
    let own = TestTenant::new(&db.pool(1)).unwrap();
    db.sql(&format!(
        "CREATE VIEW public.theirs AS SELECT * FROM {}.notes",
        own.schema()
    ));
    let id = own.id().clone();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    tracing::subscriber::with_default(subscriber.finish(), || drop(own));
    let log = log.text();
    for part in [id.as_str(), "view theirs", "boardinghouse tenant delete"] {
        assert!(log.contains(part), "{log}");
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_pool_without_sessions_makes_no_test_tenants() {
    let db = TestDb::new();
    let pool = db.pool_with(|builder| builder.path_mode(boardinghouse_core::PathMode::Transaction));
    let kind = |error: boardinghouse_core::Error| error.kind();
    assert_eq!(
        TestTenant::new(&pool).map(drop).map_err(kind),
        Err(ErrorKind::NeedsSession)
    );
    assert_eq!(
        OnceTenant::new(&pool).map(drop).map_err(kind),
        Err(ErrorKind::NeedsSession)
    );
}

#[test]
fn what_one_test_writes_no_other_sees() {
    let db = TestDb::new();
    let pool = db.pool(8);
    let once = OnceTenant::new(&pool).unwrap();
    pool.with(&once, |conn| -> Result<_> {
        Ok(add_note(conn, "for all")?)
    })
    .unwrap();
    let both_wrote = Barrier::new(2);
    thread::scope(|scope| {
        for number in 0..2 {
            let (once, both_wrote) = (&once, &both_wrote);
            scope.spawn(move || {
                let mut test = once.begin().unwrap();
                let conn = &mut *test;
                conn.transaction(|conn| add_note(conn, &format!("test {number}")))
                    .unwrap();
                both_wrote.wait();
                assert_eq!(
                    bodies(conn).unwrap(),
                    ["for all".to_owned(), format!("test {number}")]
                );
                both_wrote.wait();
            });
        }
    });
    for _ in 0..100 {
        let mut test = once.begin().unwrap();
        assert_eq!(bodies(&mut *test).unwrap(), ["for all"]);
        add_note(&mut *test, "gone").unwrap();
    }
    // Rolled back, not closed.
    assert_eq!(pool.state().counters.closed_on_doubt, 0);
    drop(once);
    assert_eq!(left(&db), "0,0,0");
}

#[test]
fn a_test_that_fails_in_any_way_is_rolled_back() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let once = OnceTenant::new(&pool).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let mut test = once.begin().unwrap();
        add_note(&mut *test, "half").unwrap();
        panic!("on purpose");
    }));
    panicked.unwrap_err();
    {
        let mut test = once.begin().unwrap();
        add_note(&mut *test, "half").unwrap();
        // The statement fails, and the transaction with it.
        test.batch_execute("SELECT 1 / 0").unwrap_err();
        bodies(&mut *test).unwrap_err();
    }
    {
        let mut test = once.begin().unwrap();
        let failed = test.transaction(|conn| conn.batch_execute("SELECT 1 / 0"));
        failed.unwrap_err();
        // That was a savepoint.
        add_note(&mut *test, "half").unwrap();
        assert_eq!(bodies(&mut *test).unwrap(), ["half"]);
    }
    {
        let mut test = once.begin().unwrap();
        add_note(&mut *test, "half").unwrap();
        let pid = value(&mut *test, "SELECT pg_backend_pid()");
        db.sql(&format!("SELECT pg_terminate_backend({pid})"));
    }
    assert_eq!(bodies(&mut *once.begin().unwrap()).unwrap(), [""; 0]);
}

#[test]
fn a_test_that_ends_its_transaction_is_told_of_by_name() {
    for end in ["COMMIT", "ROLLBACK"] {
        let db = TestDb::new();
        let pool = db.pool(1);
        let once = OnceTenant::new(&pool).unwrap();
        thread::scope(|scope| {
            let ends = || {
                let mut test = once.begin().unwrap();
                add_note(&mut *test, "here to stay").unwrap();
                test.batch_execute(end).unwrap();
            };
            let thread = thread::Builder::new().name("the_culprit".into());
            thread.spawn_scoped(scope, ends).unwrap();
        });
        let error = once.begin().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{end}");
        assert!(error.to_string().contains("the_culprit"), "{error}");
    }
}

#[test]
fn what_a_process_left_behind_the_next_one_deletes_and_what_is_used_it_does_not() {
    let db = TestDb::new();
    let pool = db.pool(2);
    // As a static does, which is never dropped. Of one the process has ended, of the other it lives.
    let living = OnceTenant::new(&pool).unwrap();
    let dead = OnceTenant::new(&pool).unwrap();
    let (name, schema) = (dead.id().clone(), dead.schema().clone());
    std::mem::forget(dead);
    let beside = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = \
                  (hashtext('{}')::bigint & 4294967295)::oid AND mode = 'ShareLock'";
    let pid = db.value(&beside.replace("{}", schema.as_str()));
    db.sql(&format!("SELECT pg_terminate_backend({pid})"));
    // Neither of these was made by a OnceTenant, whatever they are called.
    let provisioner = Provisioner::new(pool.clone());
    let named = provisioner
        .create(&NewTenant::new("test-once-mine".parse().unwrap()))
        .unwrap();
    let marked = NewTenant::new("mine".parse().unwrap()).attribute("boardinghouse.once", true);
    let marked = provisioner.create(&marked).unwrap();

    let registry = PgRegistry::new(pool.clone());
    assert!(registry.find(&name).unwrap().is_some());
    let next = OnceTenant::new(&pool).unwrap();
    assert_eq!(registry.find(&name).unwrap(), None);
    assert_eq!(db.tables(schema.as_str()), "");
    for kept in [
        living.tenant(),
        next.tenant(),
        &named,
        &marked,
        &tenant(&pool, "a"),
    ] {
        bodies(&mut pool.get(kept).unwrap()).unwrap();
    }
}

#[test]
fn once_tenants_of_several_processes_are_made_at_the_same_time() {
    let db = TestDb::new();
    let pools: Vec<TenantPool> = (0..4).map(|_| db.pool(2)).collect();
    let (made, are_made) = mpsc::channel();
    thread::scope(|scope| {
        for pool in &pools {
            let made = made.clone();
            scope.spawn(move || {
                for _ in 0..5 {
                    let once = OnceTenant::new(pool).unwrap();
                    add_note(&mut *once.begin().unwrap(), "mine").unwrap();
                    made.send(once).unwrap();
                }
            });
        }
        drop(made);
    });
    let all: Vec<OnceTenant> = are_made.iter().collect();
    assert_eq!(all.len(), 20);
    for once in &all {
        assert_eq!(bodies(&mut *once.begin().unwrap()).unwrap(), [""; 0]);
    }
    drop(all);
    assert_eq!(left(&db), "0,0,0");
}
