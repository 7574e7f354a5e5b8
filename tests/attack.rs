//! Attacks on the isolation of tenants that the library withstands.

use std::time::Duration;

use boardinghouse_core::{ErrorKind, SchemaName, Tenant, TenantConnection, TenantPool};
use boardinghouse_tests::{BAIT, TestDb, add_note, bodies, tenant, value};
use diesel::{
    connection::{
        AnsiTransactionManager, Connection, InstrumentationEvent, SimpleConnection,
        TransactionManager,
    },
    prelude::*,
};

/// Lets tenant `a` do something, then looks at the same pool of one as tenant `b`.
fn after(
    pool: &TenantPool,
    leave: impl FnOnce(&mut TenantConnection),
    look: impl FnOnce(&mut TenantConnection),
) {
    leave(&mut pool.get(&tenant(pool, "a")).unwrap());
    let mut conn = pool.get(&tenant(pool, "b")).unwrap();
    assert_eq!(value(&mut conn, "SELECT current_schema()"), "b");
    assert_eq!(bodies(&mut conn).unwrap(), ["from-b"]);
    look(&mut conn);
}

/// A role of this process and test, with what the fixture's application needs.
fn role(db: &TestDb, name: &str, options: &str) -> (String, TenantPool) {
    let role = format!("{name}_{}", std::process::id());
    db.sql(&format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN;
         GRANT USAGE ON SCHEMA boardinghouse, a, b, public TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA boardinghouse, a, b, public TO {role};
         {}",
        options.replace("{role}", &role)
    ));
    let url = db.url().replace("postgres@", &format!("{role}@"));
    let pool = TenantPool::builder().max_size(1).build_unchecked(&url);
    (role, pool)
}

fn drop_role(db: &TestDb, role: &str) {
    db.disconnect_everybody();
    db.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_copy_left_in_progress_does_not_reach_the_next_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for leave in [
        "COPY notes (body) FROM STDIN",
        "COPY notes TO STDOUT",
        "COPY (SELECT generate_series(1, 100000)) TO STDOUT",
    ] {
        after(
            &pool,
            |conn| drop(conn.batch_execute(leave)),
            |conn| assert_eq!(value(conn, "SELECT count(*) FROM a.notes"), "1"),
        );
    }
}

#[test]
fn rows_that_nobody_fetched_do_not_reach_the_next_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    after(
        &pool,
        |conn| {
            use boardinghouse_tests::schema::notes;
            let rows = notes::table
                .select(notes::body)
                .load_iter::<String, diesel::pg::PgRowByRowLoadingMode>(conn)
                .unwrap();
            std::mem::forget(rows);
        },
        |_| {},
    );
}

#[test]
fn a_transaction_of_diesel_that_was_ended_by_text_is_healed_or_closed() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for text in ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK; BEGIN"] {
        after(
            &pool,
            |conn| {
                AnsiTransactionManager::begin_transaction(conn).unwrap();
                conn.batch_execute(text).unwrap();
            },
            |conn| {
                conn.transaction(|conn| conn.batch_execute("SELECT 1"))
                    .unwrap()
            },
        );
    }
}

#[test]
fn defaults_of_transactions_end_with_the_checkout() {
    let db = TestDb::new();
    let pool = db.pool(1);
    after(
        &pool,
        |conn| {
            conn.batch_execute(
                "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE \
                 READ ONLY DEFERRABLE",
            )
            .unwrap();
        },
        |conn| {
            let now = "SELECT concat_ws(' ', current_setting('transaction_isolation'), \
                       current_setting('transaction_read_only'), \
                       current_setting('transaction_deferrable'))";
            assert_eq!(value(conn, now), "read committed off off");
            add_note(conn, "written").unwrap();
        },
    );
}

#[test]
fn temporary_functions_types_and_views_end_with_the_checkout() {
    let db = TestDb::new();
    let pool = db.pool(1);
    after(
        &pool,
        |conn| {
            conn.batch_execute(
                "CREATE TEMP VIEW notes AS SELECT 1 AS id, 'temp' AS body, NULL::int AS author; \
                 CREATE TYPE pg_temp.mood AS ENUM ('x'); \
                 CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; \
                 CREATE TEMP SEQUENCE s; SELECT nextval('s')",
            )
            .unwrap();
        },
        |conn| {
            assert_eq!(
                value(
                    conn,
                    "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) \
                     + (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()) \
                     + (SELECT count(*) FROM pg_type WHERE typnamespace = pg_my_temp_schema())"
                ),
                "0"
            );
        },
    );
}

#[test]
fn what_a_tenant_or_the_shared_schema_plants_does_not_fool_the_proof() {
    let db = TestDb::new();
    for schema in ["a", "b", "public"] {
        db.sql(&format!(
            "SET search_path TO {schema}, pg_catalog;
             CREATE FUNCTION {schema}.current_schema() RETURNS name LANGUAGE sql AS $$ SELECT 'z'::name $$;
             CREATE FUNCTION {schema}.name_yes(name, name) RETURNS bool LANGUAGE sql AS 'SELECT true';
             CREATE OPERATOR {schema}.= (FUNCTION = {schema}.name_yes, LEFTARG = name, RIGHTARG = name);
             CREATE FUNCTION {schema}.name_text_yes(name, text) RETURNS bool LANGUAGE sql AS 'SELECT true';
             CREATE OPERATOR {schema}.= (FUNCTION = {schema}.name_text_yes, LEFTARG = name, RIGHTARG = text);
             CREATE DOMAIN {schema}.cardinal_number AS int;
             CREATE FUNCTION {schema}.pg_advisory_unlock_all() RETURNS void LANGUAGE sql AS ''"
        ));
    }
    let pool = db.pool(1);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    assert_eq!(bodies(&mut pool.get(&b).unwrap()).unwrap(), ["from-b"]);
    db.sql("ALTER SCHEMA a RENAME TO z");
    let refused = pool.get(&a).unwrap_err().kind();
    assert_eq!(refused, ErrorKind::SchemaUnavailable);
    assert_eq!(bodies(&mut pool.get(&b).unwrap()).unwrap(), ["from-b"]);
}

#[test]
fn settings_of_the_role_do_not_move_the_path() {
    let db = TestDb::new();
    let (name, pool) = role(
        &db,
        "moved",
        "ALTER ROLE {role} SET search_path TO b, public;
         ALTER ROLE {role} SET default_transaction_read_only TO on;
         ALTER ROLE {role} SET default_transaction_isolation TO 'repeatable read';
         ALTER ROLE {role} SET standard_conforming_strings TO off;
         ALTER ROLE {role} SET client_encoding TO 'LATIN1';
         ALTER ROLE {role} SET statement_timeout TO '60s';
         ALTER ROLE {role} SET lock_timeout TO '60s'",
    );
    for _ in 0..3 {
        let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
        assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
        let mut shared = value(&mut conn, "SELECT current_setting('search_path')");
        shared.retain(|c| c != '"');
        assert_eq!(shared, "a, public, pg_temp");
    }
    drop(pool);
    drop_role(&db, &name);
}

#[test]
fn settings_that_the_borrower_makes_for_later_sessions_do_not_move_the_path() {
    let db = TestDb::new();
    let pool = db.pool(2);
    after(
        &pool,
        |conn| {
            conn.batch_execute(
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path TO a', current_database()); END $$",
            )
            .unwrap();
        },
        |_| {},
    );
    db.disconnect_everybody();
    after(&pool, |_| {}, |_| {});
    let mut shared = pool.get_shared().unwrap();
    assert_eq!(bodies(&mut shared).unwrap(), [BAIT]);
}

#[test]
fn a_role_that_may_not_see_the_information_schema_is_proven_all_the_same() {
    let db = TestDb::new();
    db.sql("REVOKE USAGE ON SCHEMA information_schema FROM PUBLIC");
    let (name, pool) = role(&db, "blind", "");
    let a = Tenant::new("a".parse().unwrap(), SchemaName::parse("a").unwrap());
    assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
    db.sql("ALTER SCHEMA a RENAME TO gone");
    assert!(pool.get(&a).is_err());
    drop(pool);
    drop_role(&db, &name);
}

#[test]
fn a_session_that_the_server_ended_for_being_idle_is_replaced() {
    let db = TestDb::new();
    // The setting is new in PostgreSQL 14.
    if db.value("SELECT current_setting('server_version_num')::int < 140000") == "true" {
        return;
    }
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    db.sql("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET idle_session_timeout TO 20', current_database()); END $$");
    db.disconnect_everybody();
    for _ in 0..3 {
        assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
        let alive = "SELECT count(*) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while db.value(alive) != "0" {
            assert!(std::time::Instant::now() < deadline);
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_panic_of_the_borrowers_instrumentation_closes_the_connection() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut conn = pool.get(&a).unwrap();
        conn.batch_execute("SET search_path TO public").unwrap();
        conn.set_instrumentation(|event: InstrumentationEvent<'_>| {
            assert!(!matches!(event, InstrumentationEvent::StartQuery { .. }));
        });
    }));
    assert!(panicked.is_err());
    after(&pool, |_| {}, |_| {});
}

#[test]
fn connections_that_were_exchanged_come_back_to_their_tenants() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let (mut one, mut two) = (pool.get(&a).unwrap(), pool.get(&b).unwrap());
    std::mem::swap(&mut *one, &mut *two);
    drop((one, two));
    for _ in 0..3 {
        let (mut one, mut two) = (pool.get(&a).unwrap(), pool.get(&b).unwrap());
        assert_eq!(bodies(&mut one).unwrap(), ["from-a"]);
        assert_eq!(bodies(&mut two).unwrap(), ["from-b"]);
    }
}

#[test]
fn names_that_end_strings_identifiers_lists_or_comments_are_only_names() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for evil in [
        "a', 'b",
        "a\", \"b",
        "a\\",
        "\\",
        "a;--",
        "a /* b",
        "*/ b",
        "$1",
        "$$",
        "a, b",
        " a ",
        "A",
        "\n",
        "ä\u{202e}",
        "pg\"_temp",
        "\"$user\"",
    ] {
        let quoted = evil.replace('"', "\"\"");
        db.sql(&format!(
            "SET standard_conforming_strings TO on; CREATE SCHEMA \"{quoted}\"; \
             CREATE TABLE \"{quoted}\".notes (id serial PRIMARY KEY, body text, author int)"
        ));
        let schema = SchemaName::existing(evil).unwrap();
        let tenant = Tenant::new("evil".parse().unwrap(), schema);
        for strings in ["on", "off"] {
            let mut conn = pool.get(&tenant).unwrap();
            assert_eq!(value(&mut conn, "SELECT current_schema()"), evil);
            add_note(&mut conn, strings).unwrap();
            conn.batch_execute("SET standard_conforming_strings TO off")
                .unwrap();
        }
        let mut conn = pool.get(&tenant).unwrap();
        assert_eq!(bodies(&mut conn).unwrap(), ["on", "off"], "{evil:?}");
        drop(conn);
        db.sql(&format!("DROP SCHEMA \"{quoted}\" CASCADE"));
        assert_eq!(
            pool.get(&tenant).unwrap_err().kind(),
            ErrorKind::SchemaUnavailable,
            "{evil:?}"
        );
    }
    assert_eq!(
        db.value("SELECT string_agg(body, ',') FROM public.notes"),
        BAIT
    );
}

#[test]
fn display_names_attributes_and_domains_are_values() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let evil = "'); DROP TABLE public.notes; --\\";
    let created = boardinghouse_core::Provisioner::new(pool.clone())
        .create(
            &boardinghouse_core::NewTenant::new("acme".parse().unwrap())
                .display_name(evil)
                .attribute(evil, evil),
        )
        .unwrap();
    assert_eq!(created.display_name(), evil);
    let read = tenant(&pool, "acme");
    assert_eq!(read.display_name(), evil);
    assert_eq!(read.attribute::<String>(evil).unwrap().unwrap(), evil);
    assert_eq!(
        db.value("SELECT string_agg(body, ',') FROM public.notes"),
        BAIT
    );
}

#[test]
fn a_text_with_a_zero_byte_leaves_no_trace_of_the_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let provisioner = boardinghouse_core::Provisioner::new(pool.clone());
    let new = || boardinghouse_core::NewTenant::new("acme".parse().unwrap());
    for new in [
        new().display_name("\0"),
        new().attribute("a", "\0"),
        new().attribute("\0", "a"),
    ] {
        assert!(provisioner.create(&new).is_err());
        assert_eq!(
            db.value(
                "SELECT (SELECT count(*) FROM boardinghouse.tenants WHERE id = 'acme') \
                      + (SELECT count(*) FROM pg_namespace WHERE nspname = 'acme')"
            ),
            "0"
        );
    }
    provisioner.create(&new()).unwrap();
}

#[test]
fn a_prepared_statement_of_text_follows_the_path() {
    let db = TestDb::new();
    let pool = db.pool(1);
    after(
        &pool,
        |conn| {
            conn.batch_execute("PREPARE mine AS SELECT body FROM notes; EXECUTE mine")
                .unwrap();
        },
        |conn| {
            conn.batch_execute("CREATE TEMP TABLE seen AS EXECUTE mine")
                .unwrap();
            let seen = value(conn, "SELECT string_agg(body, ',') FROM seen");
            assert_eq!(seen, "from-b");
        },
    );
}

#[test]
fn a_role_that_is_set_for_the_login_holds_after_the_first_checkout() {
    let db = TestDb::new();
    let (login, limited) = (
        format!("login_{}", std::process::id()),
        format!("limited2_{}", std::process::id()),
    );
    db.sql(&format!(
        "DROP ROLE IF EXISTS {login}; DROP ROLE IF EXISTS {limited}; CREATE ROLE {limited};
         CREATE ROLE {login} LOGIN IN ROLE {limited}; ALTER ROLE {login} SET role TO {limited};
         GRANT USAGE ON SCHEMA boardinghouse, a, b TO {limited};
         GRANT SELECT ON ALL TABLES IN SCHEMA boardinghouse, a, b TO {limited}"
    ));
    let url = db.url().replace("postgres@", &format!("{login}@"));
    let pool = TenantPool::builder().max_size(1).build(&url).unwrap();
    let users: Vec<String> = (0..3)
        .map(|_| {
            let mut conn = pool.get_shared().unwrap();
            value(&mut conn, "SELECT current_user")
        })
        .collect();
    drop(pool);
    db.disconnect_everybody();
    db.sql(&format!(
        "DROP OWNED BY {limited}; DROP ROLE {login}; DROP ROLE {limited}"
    ));
    assert_eq!(users, [limited.as_str(); 3]);
}

#[test]
fn creating_deleting_and_migrating_at_once_neither_deadlock_nor_leave_halves() {
    use boardinghouse_core::{Migrator, NewTenant, Provisioner};
    use boardinghouse_tests::{SHARED, TENANT};
    let db = TestDb::new();
    let pool = db.pool(8);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let provisioner = Provisioner::new(pool.clone());
                for round in 0..12 {
                    let id: boardinghouse_core::TenantId =
                        format!("t{}", round % 3).parse().unwrap();
                    match provisioner.create(&NewTenant::new(id.clone())) {
                        Ok(_) => {}
                        Err(e) => assert_eq!(e.kind(), ErrorKind::TenantExists, "{e:?}"),
                    }
                    match provisioner.delete(&id) {
                        Ok(_) => {}
                        // Nor is another deleted that came while somebody waited for the first.
                        Err(e) if e.kind() == ErrorKind::Locked => {
                            assert!(e.to_string().contains("created anew meanwhile"), "{e:?}");
                        }
                        Err(e) => assert_eq!(e.kind(), ErrorKind::TenantNotFound, "{e:?}"),
                    }
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..12 {
                let report = Migrator::new(pool.clone())
                    .shared(SHARED)
                    .tenants(TENANT)
                    .run();
                // A tenant that was deleted meanwhile fails alone.
                for failed in report.unwrap().failures() {
                    let message = failed.error_message();
                    assert!(!message.contains("deadlock"), "{message}");
                }
            }
        });
        scope.spawn(|| {
            let a = tenant(&pool, "a");
            for _ in 0..50 {
                let mut conn = pool.get(&a).unwrap();
                conn.batch_execute("INSERT INTO notes (body, author) VALUES ('x', 1)")
                    .unwrap();
            }
        });
    });
    let halves = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname ~ '^t[0-9]$') \
                  + (SELECT count(*) FROM boardinghouse.tenants WHERE id ~ '^t[0-9]$')";
    assert_eq!(db.value(halves), "0");
}

#[test]
fn locks_large_objects_and_subscriptions_of_one_message_end_with_it() {
    let db = TestDb::new();
    let pool = db.pool(1);
    after(
        &pool,
        |conn| {
            let _ = conn.batch_execute(
                "SELECT pg_advisory_xact_lock(1); SELECT lo_create(4711); SELECT lo_open(4711, 131072); \
                 SET LOCAL work_mem TO '64kB'; LISTEN gossip; NOTIFY gossip",
            );
        },
        |conn| {
            let left = "SELECT (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() \
                        AND locktype IN ('advisory', 'object') \
                        AND classid <> x'62680003'::int) \
                        + (SELECT count(*) FROM pg_listening_channels())";
            assert_eq!(value(conn, left), "0");
            assert!(conn.batch_execute("SELECT loread(0, 1)").is_err());
        },
    );
}

#[test]
fn a_migration_that_discards_its_session_is_remembered_and_stays_in_its_tenant() {
    let db = TestDb::new();
    let folder = tempfile::tempdir().unwrap();
    let first = include_str!("migrations/tenant/2026-01-01-000000_first/up.sql");
    for (name, up, metadata) in [
        ("2026-01-01-000000_first", first, ""),
        (
            "2026-01-02-000000_discard",
            "DISCARD ALL",
            "run_in_transaction = false",
        ),
        ("2026-01-03-000000_more", "CREATE TABLE more (id int)", ""),
    ] {
        let dir = folder.path().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("up.sql"), up).unwrap();
        std::fs::write(dir.join("down.sql"), "SELECT 1").unwrap();
        if !metadata.is_empty() {
            std::fs::write(dir.join("metadata.toml"), metadata).unwrap();
        }
    }
    let migrator = boardinghouse_core::Migrator::new(db.pool(1))
        .shared(boardinghouse_tests::SHARED)
        .tenants(diesel_migrations::FileBasedMigrations::from_path(folder.path()).unwrap());
    migrator.run().unwrap().into_result().unwrap();
    assert_eq!(
        db.tables("public"),
        "__diesel_schema_migrations,notes,users"
    );
    for schema in ["__template__", "a", "b"] {
        assert_eq!(db.tables(schema), "__diesel_schema_migrations,more,notes");
    }
}
