//! What another process does to a tenant takes effect here within a second, whatever is held of it.

use std::time::{Duration, Instant};

use boardinghouse_core::{
    Error, ErrorKind, Migrator, NewTenant, Provisioner, Tenant, TenantPool, TenantPoolBuilder,
};
use boardinghouse_tests::{SHARED, TENANT, TestDb, bodies, tenant, until, value};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// The two ways in which a pool learns of a change.
type Way = fn(TenantPoolBuilder) -> TenantPoolBuilder;

/// By the listener alone: what was read is believed for an hour.
fn listening(builder: TenantPoolBuilder) -> TenantPoolBuilder {
    builder.registry_ttl(HOUR)
}

/// By asking again alone.
fn asking(builder: TenantPoolBuilder) -> TenantPoolBuilder {
    builder
        .without_listener()
        .registry_ttl(Duration::from_millis(300))
}

/// A pool that has served `a`, the value of `a` that it holds from then on, and another process.
fn served(db: &TestDb, way: Way) -> (TenantPool, Tenant, Provisioner) {
    let pool = db.pool_with(|builder| way(builder.max_size(2)));
    let a = tenant(&pool, "a");
    let mut conns = [pool.get(&a).unwrap(), pool.get(&a).unwrap()];
    for conn in &mut conns {
        assert_eq!(bodies(conn).unwrap(), ["from-a"]);
    }
    drop(conns);
    until(|| pool.state().listening || pool.state().counters.gets > 0 && !hears(way));
    // So that it is believed.
    drop(pool.get(&a).unwrap());
    (pool, a, Provisioner::new(db.pool(1)))
}

fn hears(way: Way) -> bool {
    std::ptr::fn_addr_eq(way, listening as Way)
}

/// Checks out until it comes to what is wanted; that must be within a second from now. Until then
/// the rows are those of the tenant itself.
fn within_a_second(
    pool: &TenantPool,
    tenant: &Tenant,
    wanted: impl Fn(&Result<Vec<String>, Error>) -> bool,
) {
    let changed = Instant::now();
    loop {
        let rows = pool.get(tenant).map(|mut conn| bodies(&mut conn).unwrap());
        if let Ok(rows) = &rows {
            assert_eq!(*rows, ["from-a"]);
        }
        if wanted(&rows) {
            break;
        }
        assert!(changed.elapsed() <= SECOND, "still {rows:?}");
        std::thread::yield_now();
    }
}

fn fails(kind: ErrorKind) -> impl Fn(&Result<Vec<String>, Error>) -> bool {
    move |rows| rows.as_ref().is_err_and(|error| error.kind() == kind)
}

fn id(id: &str) -> boardinghouse_core::TenantId {
    id.parse().unwrap()
}

#[test]
fn a_tenant_that_was_suspended_elsewhere_is_refused_and_served_again_when_resumed() {
    for way in [listening as Way, asking] {
        let db = TestDb::new();
        let (pool, a, elsewhere) = served(&db, way);
        assert_eq!(pool.state().listening, hears(way));
        for _ in 0..2 {
            elsewhere.suspend(&id("a")).unwrap();
            within_a_second(&pool, &a, fails(ErrorKind::TenantUnavailable));
            elsewhere.resume(&id("a")).unwrap();
            within_a_second(&pool, &a, Result::is_ok);
        }
        // The other one was served all the while.
        let mut other = pool.get(&tenant(&pool, "b")).unwrap();
        assert_eq!(bodies(&mut other).unwrap(), ["from-b"]);
    }
}

#[test]
fn what_is_believed_is_not_asked_for() {
    let db = TestDb::new();
    let (pool, a, elsewhere) = served(&db, listening);
    let before = pool.state().counters.confirmations;
    for _ in 0..50 {
        drop(pool.get(&a).unwrap());
    }
    assert_eq!(pool.state().counters.confirmations, before);
    // A change of one tenant is no reason to ask about another.
    let b = tenant(&pool, "b");
    drop(pool.get(&b).unwrap());
    elsewhere.suspend(&id("b")).unwrap();
    until(|| pool.get(&b).is_err());
    let before = pool.state().counters.confirmations;
    drop(pool.get(&a).unwrap());
    assert_eq!(pool.state().counters.confirmations, before);
}

#[test]
fn a_tenant_that_was_deleted_elsewhere_is_not_found() {
    for way in [listening as Way, asking] {
        let db = TestDb::new();
        let (pool, a, elsewhere) = served(&db, way);
        elsewhere.delete(&id("a")).unwrap();
        within_a_second(&pool, &a, fails(ErrorKind::TenantNotFound));
        for _ in 0..5 {
            assert_eq!(pool.get(&a).unwrap_err().kind(), ErrorKind::TenantNotFound);
        }
    }
}

#[test]
fn a_successor_of_the_same_id_is_never_served_to_who_holds_its_predecessor() {
    for way in [listening as Way, asking] {
        let db = TestDb::new();
        let (pool, a, elsewhere) = served(&db, way);
        elsewhere.delete(&id("a")).unwrap();
        elsewhere.create(&NewTenant::new(id("a"))).unwrap();
        db.sql("INSERT INTO a.notes (body) VALUES ('of the successor')");
        // From the first checkout on: nothing but the predecessor's rows would do.
        within_a_second(&pool, &a, fails(ErrorKind::TenantNotFound));
        let successor = tenant(&pool, "a");
        for _ in 0..5 {
            let mut conn = pool.get(&successor).unwrap();
            assert_eq!(bodies(&mut conn).unwrap(), ["of the successor"]);
            drop(conn);
            assert_eq!(pool.get(&a).unwrap_err().kind(), ErrorKind::TenantNotFound);
        }
    }
}

#[test]
fn a_tenant_that_was_renamed_elsewhere_is_served_under_its_new_name() {
    for way in [listening as Way, asking] {
        let db = TestDb::new();
        let (pool, a, elsewhere) = served(&db, way);
        elsewhere.rename(&id("a"), &id("z")).unwrap();
        // Not after a second, but at once: the schema's number is part of each proof.
        let mut conn = pool.get(&a).unwrap();
        assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
        assert_eq!(conn.tenant().id().as_str(), "z");
        assert_eq!(conn.tenant().schema().as_str(), "z");
        assert_eq!(value(&mut conn, "SELECT current_schema()"), "z");
        drop(conn);
        // Somebody else gets the old name.
        elsewhere.create(&NewTenant::new(id("a"))).unwrap();
        db.sql("INSERT INTO a.notes (body) VALUES ('of somebody else')");
        let deadline = Instant::now() + SECOND;
        while Instant::now() < deadline {
            let mut conn = pool.get(&a).unwrap();
            assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
        }
    }
}

/// A schema that takes the place of the tenant's is not served before the registry was asked anew.
fn exchange(before: fn(&TestDb)) {
    for way in [listening as Way, asking] {
        let db = TestDb::new();
        before(&db);
        let (pool, a, _) = served(&db, way);
        // Nothing is notified, and the name on the path is the same.
        db.sql(
            "ALTER SCHEMA a RENAME TO was_a; CREATE SCHEMA a;
             CREATE TABLE a.notes (id int, body text, author int);
             INSERT INTO a.notes VALUES (1, 'from-a')",
        );
        let confirmed = pool.state().counters.confirmations;
        // The registry says that this is the tenant's schema.
        let mut conn = pool.get(&a).unwrap();
        assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
        assert!(pool.state().counters.confirmations > confirmed);
    }
}

#[test]
fn a_schema_that_was_exchanged_by_hand_is_not_taken_for_the_tenants() {
    exchange(|_| ());
}

/// Where there is no table by which it is known again, it is by its own number.
#[test]
fn a_schema_without_a_table_of_migrations_that_was_exchanged_is_not_taken_for_the_tenants() {
    exchange(|db| db.sql("DROP TABLE a.__diesel_schema_migrations"));
}

#[test]
fn a_migration_elsewhere_ends_what_was_planned_before() {
    for way in [listening as Way, asking] {
        let db = TestDb::new();
        let (pool, a, _) = served(&db, way);
        let epoch = pool.get(&a).unwrap().tenant().epoch();
        // Plans of the old table would fail with "cached plan must not change result type".
        db.sql("ALTER TABLE a.notes ALTER body TYPE varchar(50)");
        db.sql("UPDATE boardinghouse.tenants SET epoch = DEFAULT WHERE id = 'a'");
        let changed = Instant::now();
        until(|| pool.get(&a).unwrap().tenant().epoch() > epoch);
        let took = changed.elapsed();
        assert!(took <= SECOND, "{took:?}");
        assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
        // As the library does it.
        let report = Migrator::new(db.pool(1))
            .shared(SHARED)
            .tenants(TENANT)
            .run();
        report.and_then(|report| report.into_result()).unwrap();
        assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
    }
}

#[test]
fn a_listener_that_was_killed_comes_back_and_what_it_missed_is_known() {
    let db = TestDb::new();
    let (pool, a, elsewhere) = served(&db, listening);
    let listener = "SELECT coalesce(string_agg(pid::text, ' '), '') FROM pg_stat_activity \
                    WHERE application_name = 'boardinghouse listener' \
                    AND datname = current_database()";
    for _ in 0..3 {
        let before = db.value(listener);
        assert_eq!(
            before.split(' ').count(),
            1,
            "one pool has one listener: {before}"
        );
        let kill = format!("SELECT pg_terminate_backend({before})");
        assert_eq!(db.value(&kill), "true");
        // While nobody listens.
        elsewhere.suspend(&id("a")).unwrap();
        until(|| pool.get(&a).is_err());
        until(|| !["", before.as_str()].contains(&db.value(listener).as_str()));
        until(|| pool.state().listening);
        elsewhere.resume(&id("a")).unwrap();
        within_a_second(&pool, &a, Result::is_ok);
        elsewhere.suspend(&id("a")).unwrap();
        within_a_second(&pool, &a, fails(ErrorKind::TenantUnavailable));
        elsewhere.resume(&id("a")).unwrap();
        within_a_second(&pool, &a, Result::is_ok);
    }
}

#[test]
fn a_pool_without_a_listener_opens_no_connection_for_one() {
    let db = TestDb::new();
    let (pool, _, elsewhere) = served(&db, asking);
    drop(elsewhere);
    let others = "SELECT count(*) FROM pg_stat_activity \
                  WHERE application_name = 'boardinghouse listener' AND datname = current_database()";
    assert_eq!(db.value(others), "0");
    assert!(!pool.state().listening);
}
