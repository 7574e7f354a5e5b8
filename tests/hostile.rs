//! Attacks that once succeeded, by a hostile reviewer.

use std::time::{Duration, Instant};

use boardinghouse_core::{
    DomainName, Layout, Migrator, NewTenant, Outcome, Provisioner, Selection, TenantPool,
};
use boardinghouse_tests::{BAIT, SHARED, TestDb, add_note, bodies, tenant};
use diesel::{connection::SimpleConnection, prelude::*};
use diesel_migrations::FileBasedMigrations;

fn new(id: &str) -> NewTenant {
    NewTenant::new(id.parse().unwrap())
}

/// Tenant migrations: the fixture's first, then these, in order.
fn folder(ups: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let first = include_str!("migrations/tenant/2026-01-01-000000_first/up.sql");
    for (number, up) in std::iter::once(&first).chain(ups).enumerate() {
        let name = match number {
            0 => "2026-01-01-000000_first".to_owned(),
            n => format!("2026-01-02-{n:06}_more"),
        };
        let dir = folder.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("up.sql"), up).unwrap();
        std::fs::write(dir.join("down.sql"), "SELECT 1;").unwrap();
    }
    folder
}

fn migrator(pool: &TenantPool, folder: &tempfile::TempDir) -> Migrator {
    Migrator::new(pool.clone())
        .shared(SHARED)
        .tenants(FileBasedMigrations::from_path(folder.path()).unwrap())
}

#[test]
fn deleting_a_tenant_does_not_turn_a_checkout_in_use_to_the_shared_schema() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    let deleter = Provisioner::new(pool.clone()).lock_wait(Duration::from_millis(100));
    let _ = deleter.delete(&"a".parse().unwrap());
    let read = bodies(&mut conn).unwrap_or_default();
    let _ = add_note(&mut conn, "lost to the shared schema");
    let shared = db.value("SELECT string_agg(body, ',') FROM public.notes");
    assert!(
        read != [BAIT] && shared == BAIT,
        "read {read:?}, shared {shared}"
    );
}

#[test]
fn creating_a_tenant_again_does_not_turn_a_checkout_in_use_to_it() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    let provisioner = Provisioner::new(pool.clone()).lock_wait(Duration::from_millis(100));
    let _ = provisioner.delete(&"a".parse().unwrap());
    if provisioner.create(&new("a")).is_ok() {
        db.sql("INSERT INTO a.notes (body) VALUES ('of another customer')");
    }
    let read = bodies(&mut conn).unwrap_or_default();
    assert_ne!(read, ["of another customer"]);
}

#[test]
fn forgotten_prepared_statements_do_not_break_the_next_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for text in ["DEALLOCATE ALL", "DISCARD ALL"] {
        let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
        bodies(&mut pool.get(&b).unwrap()).unwrap();
        pool.get(&a).unwrap().batch_execute(text).unwrap();
        for _ in 0..3 {
            let seen = pool.get(&b).and_then(|mut conn| Ok(bodies(&mut conn)?));
            assert_eq!(seen.unwrap(), ["from-b"], "{text}");
        }
    }
}

#[test]
fn a_connection_that_the_borrower_put_in_place_does_not_stay() {
    let db = TestDb::new();
    let other = TestDb::new();
    other.sql("UPDATE b.notes SET body = 'of another database'");
    let pool = db.pool(1);
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    *conn = PgConnection::establish(other.url()).unwrap();
    drop(conn);
    let b = tenant(&db.pool(1), "b");
    let seen = bodies(&mut pool.get(&b).unwrap()).unwrap();
    drop(pool);
    assert_eq!(seen, ["from-b"]);
}

#[test]
fn a_server_that_never_answers_does_not_hold_a_checkout_past_its_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "postgres://postgres@{}/none?sslmode=disable",
        silent.local_addr().unwrap()
    );
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let pool = TenantPool::builder()
            .checkout_timeout(Duration::from_millis(200))
            .build_unchecked(&url);
        let started = Instant::now();
        drop(pool.get_shared());
        let _ = tell.send(started.elapsed());
    });
    let elapsed = told.recv_timeout(Duration::from_secs(30));
    assert!(elapsed.is_ok(), "still waiting");
}

#[test]
fn waiting_for_ever_is_no_panic() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    let patient = db.pool_with(|builder| builder.checkout_timeout(Duration::MAX));
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| patient.get(&a).is_ok()));
    let provisioner = Provisioner::new(pool.clone()).lock_wait(Duration::MAX);
    let created = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        provisioner.create(&new("c"))
    }));
    assert!(seen.is_ok(), "checkout_timeout(Duration::MAX) panics");
    assert!(created.is_ok(), "lock_wait(Duration::MAX) panics");
}

#[test]
fn rows_that_a_tenant_migration_writes_are_in_every_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = folder(&[
        "CREATE TABLE settings (name text PRIMARY KEY); INSERT INTO settings VALUES ('theme')",
    ]);
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(db.value("SELECT count(*) FROM a.settings"), "1");
    // Either it is refused, or the rows are there.
    if Provisioner::new(pool).create(&new("late")).is_ok() {
        assert_eq!(db.value("SELECT count(*) FROM late.settings"), "1");
    }
}

#[test]
fn what_one_migration_leaves_in_the_session_does_not_reach_the_next_migration() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = folder(&[
        "SET session_replication_role TO replica; SET default_transaction_isolation TO serializable; \
         SET check_function_bodies TO off",
        "CREATE TABLE seen AS SELECT current_setting('session_replication_role') AS value",
    ]);
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(db.value("SELECT value FROM a.seen"), "origin");
}

#[test]
fn a_role_that_one_migration_takes_does_not_own_the_next_ones_tables() {
    let db = TestDb::new();
    let role = format!("owner_{}", std::process::id());
    db.sql(&format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} SUPERUSER"
    ));
    let pool = db.pool(1);
    let take = format!("SET ROLE {role}");
    let folder = folder(&[&take, "CREATE TABLE seen (id int)"]);
    migrator(&pool, &folder)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    let owner =
        db.value("SELECT tableowner FROM pg_tables WHERE schemaname = 'a' AND tablename = 'seen'");
    drop(pool);
    db.sql(&format!(
        "REASSIGN OWNED BY {role} TO postgres; DROP ROLE {role}"
    ));
    assert_eq!(owner, "postgres");
}

#[test]
fn deleting_a_tenant_does_not_drop_columns_of_shared_tables() {
    let db = TestDb::new();
    db.sql(
        "CREATE DOMAIN a.mail AS text; ALTER TABLE public.users ADD contact a.mail DEFAULT 'kept';
         CREATE VIEW public.report AS SELECT body FROM a.notes UNION ALL SELECT body FROM b.notes;
         CREATE TABLE b.links (note int REFERENCES a.notes)",
    );
    let _ = Provisioner::new(db.pool(1)).delete(&"a".parse().unwrap());
    let left = "SELECT concat_ws(' ', \
                (SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.users'::regclass \
                 AND attname = 'contact'), \
                to_regclass('public.report'), \
                (SELECT count(*) FROM pg_constraint WHERE conrelid = 'b.links'::regclass AND contype = 'f'))";
    assert_eq!(db.value(left), "1 report 1");
}

/// Whether `work` ends while a transaction holds a lock, rather than when it lets go.
fn ends_while(db: &TestDb, hold: &str, work: impl FnOnce() + Send + 'static) -> bool {
    let mut holder = db.connect();
    holder.batch_execute(hold).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = tell.send(());
    });
    let ended = told.recv_timeout(Duration::from_secs(30)).is_ok();
    holder.batch_execute("ROLLBACK").unwrap();
    worker.join().unwrap();
    ended
}

#[test]
fn creating_a_tenant_waits_no_longer_than_it_was_told_to() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1)).lock_wait(Duration::from_millis(100));
    let seen = ends_while(
        &db,
        "BEGIN; INSERT INTO public.users (email) VALUES ('slow@example.com')",
        move || drop(provisioner.create(&new("acme"))),
    );
    assert!(seen, "waited for the lock");
}

#[test]
fn deleting_a_tenant_waits_no_longer_than_it_was_told_to() {
    let db = TestDb::new();
    let provisioner = Provisioner::new(db.pool(1)).lock_wait(Duration::from_millis(100));
    let seen = ends_while(
        &db,
        "BEGIN; INSERT INTO a.notes (body, author) VALUES ('slow', 1)",
        move || drop(provisioner.delete(&"a".parse().unwrap())),
    );
    assert!(seen, "waited for the lock");
}

/// A shared migration, by the library itself.
fn migrate_shared(pool: &TenantPool, up: &str) {
    let shared = tempfile::tempdir().unwrap();
    let dir = shared.path().join("2026-02-01-000000_more");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("up.sql"), up).unwrap();
    std::fs::write(dir.join("down.sql"), "SELECT 1").unwrap();
    Migrator::new(pool.clone())
        .shared(FileBasedMigrations::from_path(shared.path()).unwrap())
        .run_selected(&Selection::Shared)
        .unwrap()
        .into_result()
        .unwrap();
}

#[test]
fn a_migrated_shared_schema_leaves_its_old_plans_behind() {
    use boardinghouse_tests::schema::users;
    let db = TestDb::new();
    let pool = db.pool(1);
    let emails = || users::table.select(users::email);
    let read = || -> Vec<QueryResult<Vec<String>>> {
        let a = tenant(&pool, "a");
        vec![emails().load(&mut pool.get(&a).unwrap())]
    };
    assert!(read().iter().all(Result::is_ok));
    migrate_shared(&pool, "ALTER TABLE users ALTER email TYPE varchar(200)");
    let seen = read();
    assert!(seen.iter().all(Result::is_ok), "{seen:?}");
}

#[test]
fn a_type_of_the_shared_schema_that_was_made_anew_is_looked_up_anew() {
    use crate::statements::{Mood, feelings};
    let db = TestDb::new();
    let make = "CREATE TYPE public.mood AS ENUM ('glad', 'sad'); \
                CREATE TABLE public.feelings (id serial PRIMARY KEY, mood public.mood)";
    db.sql(make);
    let pool = db.pool(1);
    let insert = || {
        diesel::insert_into(feelings::table)
            .values(feelings::mood.eq(Mood::Sad))
            .execute(&mut pool.get(&tenant(&pool, "a")).unwrap())
    };
    insert().unwrap();
    let again = format!("DROP TABLE public.feelings; DROP TYPE public.mood; {make}");
    migrate_shared(&pool, &again);
    let seen = insert();
    assert!(seen.is_ok(), "{seen:?}");
}

#[test]
fn types_are_those_of_the_tenant_after_connections_were_exchanged() {
    use crate::statements::{Mood, feelings};
    let db = TestDb::new();
    for schema in ["a", "b"] {
        db.sql(&format!(
            "SET search_path TO {schema}; CREATE TYPE mood AS ENUM ('glad', 'sad'); \
             CREATE TABLE feelings (id serial PRIMARY KEY, mood mood)"
        ));
    }
    let pool = db.pool(2);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let insert = |conn: &mut boardinghouse_core::TenantConnection| {
        diesel::insert_into(feelings::table)
            .values(feelings::mood.eq(Mood::Sad))
            .execute(conn)
    };
    let (mut one, mut two) = (pool.get(&a).unwrap(), pool.get(&b).unwrap());
    insert(&mut one).unwrap();
    insert(&mut two).unwrap();
    std::mem::swap(&mut *one, &mut *two);
    drop((one, two));
    let seen: Vec<_> = [&a, &b, &b, &a, &a, &b]
        .map(|tenant| insert(&mut pool.get(tenant).unwrap()))
        .into();
    assert!(seen.iter().all(Result::is_ok), "{seen:?}");
}

#[test]
fn a_migration_cannot_let_go_of_the_lock_on_its_schema() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let count = |table: &str| {
        format!(
            "CREATE TABLE {table} AS SELECT count(*)::int AS n FROM pg_locks \
             WHERE locktype = 'advisory' AND classid = x'62680001'::int AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    };
    let folder = folder(&[
        &count("before"),
        "SELECT pg_catalog.pg_advisory_unlock_all()",
        &count("since"),
    ]);
    migrator(&pool, &folder)
        .jobs(1)
        .run()
        .unwrap()
        .into_result()
        .unwrap();
    assert_eq!(db.value("SELECT n FROM a.before"), "1");
    assert_eq!(db.value("SELECT n FROM a.since"), "1");
}

#[test]
fn a_row_written_by_hand_does_not_have_an_old_schema_dropped() {
    let db = TestDb::new();
    db.sql(
        "CREATE SCHEMA legacy; CREATE TABLE legacy.kept (id int);
         INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status)
         VALUES ('legacy', 'legacy', 'Legacy', 'ready')",
    );
    let _ = Provisioner::new(db.pool(1)).delete(&"legacy".parse().unwrap());
    assert_eq!(db.value("SELECT to_regclass('legacy.kept')"), "legacy.kept");
}

#[test]
fn migrations_cannot_run_on_a_path_that_holds_the_shared_schema() {
    use diesel_migrations::MigrationHarness;
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = folder(&["ALTER TABLE users ADD tenants_own text"]);
    let source = FileBasedMigrations::from_path(folder.path()).unwrap();
    let _ = pool
        .get(&tenant(&pool, "a"))
        .unwrap()
        .run_pending_migrations(source);
    assert_eq!(
        db.value(
            "SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.users'::regclass \
             AND attname = 'tenants_own'"
        ),
        "0"
    );
}

#[test]
fn a_domain_that_can_be_parsed_can_be_registered() {
    let db = TestDb::new();
    let created = Provisioner::new(db.pool(1))
        .create(&new("acme").domain(DomainName::parse("[::1]").unwrap()));
    assert!(created.is_ok(), "{created:?}");
}

#[test]
fn two_dots_at_the_end_are_no_host() {
    assert!(DomainName::parse("acme.example.com..").is_err());
}

#[test]
fn a_version_that_cannot_be_remembered_is_refused_before_it_runs() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let folder = folder(&[]);
    let name = format!("{}_long", "2026".repeat(13));
    let dir = folder.path().join(name);
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("up.sql"), "CREATE TABLE half (id int)").unwrap();
    std::fs::write(dir.join("down.sql"), "SELECT 1").unwrap();
    std::fs::write(dir.join("metadata.toml"), "run_in_transaction = false").unwrap();
    let report =
        migrator(&pool, &folder).run_selected(&Selection::Only(vec!["a".parse().unwrap()]));
    if let Ok(report) = report {
        assert!(matches!(report.entries[0].outcome, Outcome::Failed(_)));
    }
    assert_eq!(db.value("SELECT to_regclass('a.half')"), "NULL");
}

#[test]
fn a_template_that_is_changed_after_the_snapshot_is_not_cloned_as_it_was() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let mut conn = pool.get_shared().unwrap();
    let created = conn.build_transaction().repeatable_read().run(|conn| {
        assert_eq!(bodies(conn)?, [BAIT]);
        let folder = folder(&["ALTER TABLE notes ADD later text"]);
        migrator(&pool, &folder).run()?.into_result()?;
        provisioner.create_in(conn, &new("acme"))
    });
    if created.is_ok() {
        assert_eq!(
            db.value(
                "SELECT count(*) FROM information_schema.columns \
                      WHERE table_schema = 'acme' AND column_name = 'later'"
            ),
            "1"
        );
    }
}

#[test]
fn tenant_migrations_never_run_in_the_shared_schema() {
    let db = TestDb::new();
    db.sql(
        "CREATE SCHEMA common;
         INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status)
         VALUES ('trick', 'common', 'Trick', 'ready')",
    );
    let common = boardinghouse_core::SchemaName::parse("common").unwrap();
    let pool = db.pool_for(Layout::default().with_shared(common).unwrap());
    let folder = folder(&["CREATE TABLE of_tenants (id int)"]);
    let tenants = FileBasedMigrations::from_path(folder.path()).unwrap();
    let _ = Migrator::new(pool).tenants(tenants).run();
    assert_eq!(db.value("SELECT to_regclass('common.of_tenants')"), "NULL");
}

#[test]
fn deleting_a_tenant_does_not_deadlock_with_its_own_writer() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let a = tenant(&pool, "a");
    let mut conn = pool.get(&a).unwrap();
    conn.batch_execute("BEGIN; INSERT INTO users (email) VALUES ('new@example.com')")
        .unwrap();
    let deleter = {
        let provisioner = Provisioner::new(pool.clone()).lock_wait(Duration::from_millis(100));
        let id = a.id().clone();
        std::thread::spawn(move || provisioner.delete(&id))
    };
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let started = Instant::now();
    while db.value(waits) == "0" && started.elapsed() < Duration::from_secs(5) {
        std::thread::yield_now();
    }
    let written = conn.batch_execute("INSERT INTO notes (body, author) VALUES ('mine', 1)");
    let _ = conn.batch_execute("COMMIT");
    let deleted = deleter.join().unwrap().map_err(|error| error.chain());
    let text = format!("{written:?} {deleted:?}");
    assert!(!text.contains("deadlock"), "{text}");
}

#[test]
fn a_tenant_is_created_in_the_database_of_the_provisioner() {
    let (db, other) = (TestDb::new(), TestDb::new());
    let provisioner = Provisioner::new(db.pool(1));
    let foreign = other.pool(1);
    let created = provisioner.create_in(&mut foreign.get_shared().unwrap(), &new("acme"));
    assert!(
        created.is_err() || !db.tables("acme").is_empty(),
        "{created:?}"
    );
}
