//! What one borrower can leave for the next: nothing.

use boardinghouse_core::{TenantConnection, TenantPool};
use boardinghouse_tests::{TestDb, add_note, bodies, tenant, until, value};
use diesel::{
    connection::{InstrumentationEvent, SimpleConnection},
    prelude::*,
};

/// Lets tenant `a` do something, then looks at the session as tenant `b`; says whether the physical
/// connection is the same.
fn after(
    pool: &TenantPool,
    leave: impl FnOnce(&mut TenantConnection),
    look: impl FnOnce(&mut TenantConnection),
) -> bool {
    let pid = |conn: &mut TenantConnection| value(conn, "SELECT pg_backend_pid()");
    let (a, b) = (tenant(pool, "a"), tenant(pool, "b"));
    // The pool has asked about both before, so that nothing but the bind stands between them.
    drop(pool.get(&a).unwrap());
    drop(pool.get(&b).unwrap());
    let before = {
        let mut conn = pool.get(&a).unwrap();
        let before = pid(&mut conn);
        leave(&mut conn);
        before
    };
    let mut conn = pool.get(&b).unwrap();
    look(&mut conn);
    assert_eq!(bodies(&mut conn).unwrap(), ["from-b"]);
    before == pid(&mut conn)
}

/// Whose sessions cannot start on the neutral path.
fn url_with_options(db: &TestDb) -> String {
    format!("{}?options=-c%20work_mem%3D3MB", db.url())
}

/// Pools of one connection: one whose sessions start on the neutral path, and one whose user has options
/// of his own, so that they cannot.
fn both(db: &TestDb) -> [TenantPool; 2] {
    let own = TenantPool::builder()
        .max_size(1)
        .build(&url_with_options(db))
        .unwrap();
    let mut conn = own.get_shared().unwrap();
    assert_eq!(
        value(&mut conn, "SELECT current_setting('work_mem')"),
        "3MB"
    );
    drop(conn);
    [db.pool(1), own]
}

fn run(statements: &'static str) -> impl FnOnce(&mut TenantConnection) {
    move |conn| conn.batch_execute(statements).unwrap()
}

fn sees(query: &'static str, expected: &'static str) -> impl FnOnce(&mut TenantConnection) {
    move |conn| assert_eq!(value(conn, query), expected, "{query}")
}

/// T26, D02.
#[test]
fn a_temporary_table_does_not_shadow_the_next_tenant() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave =
        "CREATE TEMP TABLE notes (id int, body text); INSERT INTO pg_temp.notes VALUES (1, 'temp')";
    assert!(after(
        &pool,
        run(leave),
        sees("SELECT to_regclass('pg_temp.notes')", "NULL")
    ));
}

#[test]
fn a_temporary_table_does_not_shadow_the_tenant_itself() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    conn.batch_execute("CREATE TEMP TABLE notes (id int, body text)")
        .unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
}

#[test]
fn roles_are_reset() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for leave in [
        "SET ROLE pg_read_all_stats",
        "SET SESSION AUTHORIZATION pg_read_all_stats",
    ] {
        let me = sees(
            "SELECT current_user || ' ' || session_user",
            "postgres postgres",
        );
        assert!(after(&pool, run(leave), me), "{leave}");
    }
}

#[test]
fn settings_are_reset_and_those_of_diesel_are_kept() {
    let db = TestDb::new();
    let leave = "SET statement_timeout = '1h'; SET app.tenant = 'a'; SET TIME ZONE 'Asia/Tokyo'; \
                 SET client_encoding TO 'LATIN1'; SET default_transaction_read_only TO on; \
                 SET session_replication_role TO replica; SET standard_conforming_strings TO off";
    let look = "SELECT concat_ws(' ', current_setting('statement_timeout'), \
                '<' || coalesce(current_setting('app.tenant', true), '') || '>', \
                current_setting('TimeZone'), current_setting('client_encoding'), \
                current_setting('default_transaction_read_only'), \
                current_setting('session_replication_role'), \
                current_setting('standard_conforming_strings'))";
    for pool in both(&db) {
        assert!(after(
            &pool,
            run(leave),
            sees(look, "0 <> UTC UTF8 off origin on")
        ));
    }
}

#[test]
fn a_path_set_by_hand_does_not_reach_the_next_tenant() {
    let db = TestDb::new();
    for pool in both(&db) {
        for leave in [
            "SET search_path TO public",
            "SET search_path TO a, b",
            "SET search_path TO ''",
            "RESET search_path",
            "SELECT set_config('search_path', 'a', false)",
        ] {
            assert!(
                after(&pool, run(leave), sees("SELECT current_schema()", "b")),
                "{leave}"
            );
        }
    }
}

#[test]
fn an_idle_session_is_on_a_path_that_sees_no_tenant_and_not_the_shared_schema() {
    let db = TestDb::new();
    // The clean of one resets the path to what the session started with, that of the other sets it.
    for (pool, sets) in both(&db).into_iter().zip([false, true]) {
        let pid = {
            let mut conn = pool.get_shared().unwrap();
            conn.batch_execute("SET app.x = 'y'").unwrap();
            value(&mut conn, "SELECT pg_backend_pid()")
        };
        let last = db.value(&format!(
            "SELECT query FROM pg_stat_activity WHERE pid = {pid}"
        ));
        assert!(last.ends_with("EXECUTE boardinghouse_unlock"), "{last}");
        assert_eq!(last.contains("SET search_path"), sets, "{last}");
    }
}

#[test]
fn a_new_connection_is_on_a_path_that_sees_no_tenant_and_not_the_shared_schema() {
    let db = TestDb::new();
    for url in [
        format!("{}?application_name=new", db.url()),
        format!("{}&application_name=new", url_with_options(&db)),
    ] {
        let pool = TenantPool::builder()
            .max_size(1)
            .min_idle(1)
            .without_listener()
            .build_unchecked(&url);
        until(|| pool.state().idle == 1);
        let last = db.value("SELECT query FROM pg_stat_activity WHERE application_name = 'new'");
        assert!(
            last.starts_with("SET search_path TO pg_catalog,pg_temp;"),
            "{last}"
        );
    }
}

/// Where the sessions start on the neutral path, a `RESET` does not lead to the shared schema.
#[test]
fn a_reset_by_hand_leads_to_nothing() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for reset in [
        "RESET search_path",
        "RESET ALL",
        "SET search_path TO DEFAULT",
    ] {
        let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
        conn.batch_execute(reset).unwrap();
        let read = bodies(&mut conn);
        assert!(
            read.is_err_and(|error| error.to_string().contains("does not exist")),
            "{reset}"
        );
    }
}

#[test]
fn advisory_locks_are_released_on_return() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave = "SELECT pg_advisory_lock(42); SELECT pg_advisory_lock_shared(7, 7)";
    drop(
        pool.get(&tenant(&pool, "a"))
            .map(|mut conn| conn.batch_execute(leave).unwrap()),
    );
    // Seen from elsewhere, while the connection lies idle in the pool.
    assert_eq!(
        db.value("SELECT pg_try_advisory_lock(42) AND pg_try_advisory_lock(7, 7)"),
        "true"
    );
}

#[test]
fn cursors_are_closed() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave = "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT body FROM notes; COMMIT";
    assert!(after(
        &pool,
        run(leave),
        sees("SELECT count(*) FROM pg_cursors WHERE name <> ''", "0")
    ));
}

#[test]
fn subscriptions_end_and_what_they_received_is_gone() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave = |conn: &mut TenantConnection| {
        conn.batch_execute("LISTEN gossip").unwrap();
        db.sql("NOTIFY gossip, 'secret of a'");
        // Makes libpq read the notification while `a` has the connection.
        conn.batch_execute("SELECT 1").unwrap();
    };
    let look = |conn: &mut TenantConnection| {
        assert_eq!(conn.notifications_iter().count(), 0);
        assert_eq!(
            value(conn, "SELECT count(*) FROM pg_listening_channels()"),
            "0"
        );
    };
    assert!(after(&pool, leave, look));
}

#[test]
fn sequence_state_is_forgotten() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let look = |conn: &mut TenantConnection| {
        let lastval = diesel::sql_query("SELECT lastval()").execute(conn);
        assert!(lastval.unwrap_err().to_string().contains("lastval"));
    };
    assert!(after(
        &pool,
        |conn| assert_eq!(add_note(conn, "x"), Ok(1)),
        look
    ));
}

/// T27, D03.
#[test]
fn a_transaction_opened_by_text_closes_the_connection() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave =
        "BEGIN; INSERT INTO notes (body) VALUES ('uncommitted'); SET LOCAL search_path TO a";
    assert!(!after(
        &pool,
        run(leave),
        sees("SELECT count(*) FROM a.notes", "1")
    ));
}

#[test]
fn an_aborted_transaction_closes_the_connection() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave = |conn: &mut TenantConnection| {
        conn.batch_execute("BEGIN").unwrap();
        assert!(conn.batch_execute("SELECT 1/0").is_err());
    };
    assert!(!after(&pool, leave, |_| {}));
}

#[test]
fn a_test_transaction_closes_the_connection() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave = |conn: &mut TenantConnection| {
        conn.begin_test_transaction().unwrap();
        add_note(conn, "only for the test").unwrap();
    };
    assert!(!after(
        &pool,
        leave,
        sees("SELECT count(*) FROM a.notes", "1")
    ));
}

#[test]
fn a_panic_closes_the_connection() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    let mut before = String::new();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut conn = pool.get(&a).unwrap();
        before = value(&mut conn, "SELECT pg_backend_pid()");
        conn.batch_execute("BEGIN; SET LOCAL search_path TO public")
            .unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    let mut conn = pool.get(&tenant(&pool, "b")).unwrap();
    assert_ne!(value(&mut conn, "SELECT pg_backend_pid()"), before);
    assert_eq!(bodies(&mut conn).unwrap(), ["from-b"]);
}

/// T63.
#[test]
fn a_panic_that_the_borrower_catches_leaves_nothing_either() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave = |conn: &mut TenantConnection| {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            conn.batch_execute("BEGIN; INSERT INTO notes (body) VALUES ('half')")
                .unwrap();
            panic!("on purpose");
        }));
        assert!(caught.is_err());
    };
    assert!(!after(
        &pool,
        leave,
        sees("SELECT count(*) FROM a.notes", "1")
    ));
}

#[test]
fn instrumentation_of_one_borrower_does_not_watch_the_next() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let record = {
        let seen = seen.clone();
        move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                seen.lock().unwrap().push(query.to_string());
            }
        }
    };
    let leave = |conn: &mut TenantConnection| {
        conn.set_instrumentation(record);
        assert_eq!(bodies(conn).unwrap(), ["from-a"]);
    };
    assert!(after(&pool, leave, sees("SELECT 4711", "4711")));
    let seen = seen.lock().unwrap();
    assert!(seen.iter().any(|query| query.contains("notes")), "{seen:?}");
    assert!(!seen.iter().any(|query| query.contains("4711")), "{seen:?}");
}

#[test]
fn a_statement_cache_that_was_switched_off_closes_the_connection() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let leave = |conn: &mut TenantConnection| {
        conn.set_prepared_statement_cache_size(diesel::connection::CacheSize::Disabled);
        assert_eq!(bodies(conn).unwrap(), ["from-a"]);
    };
    assert!(!after(&pool, leave, |_| {}));
}

/// T29.
#[test]
fn prepared_statements_survive_the_clean() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    for _ in 0..3 {
        for (tenant, expected) in [(&a, "from-a"), (&b, "from-b")] {
            assert_eq!(bodies(&mut pool.get(tenant).unwrap()).unwrap(), [expected]);
        }
    }
    let mut conn = pool.get(&a).unwrap();
    let count = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%\"notes\"%'";
    assert_eq!(
        value(&mut conn, count),
        "2",
        "one a tenant, however often it is used"
    );
}
