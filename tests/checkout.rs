//! What a checkout proves: that it is on its tenant, or that there is none.

use std::time::Duration;

use boardinghouse_core::{
    Error, ErrorKind, Layout, PathMode, SchemaName, Tenant, TenantConnection, TenantPool,
    TenantStatus,
};
use boardinghouse_tests::{BAIT, TestDb, add_note, bodies, tenant, until, value};
use diesel::{connection::SimpleConnection, prelude::*};

fn whoami(conn: &mut TenantConnection) -> String {
    value(conn, "SELECT current_schema()")
}

/// The server's own word for the path, not ours.
fn path(conn: &mut TenantConnection) -> String {
    value(conn, "SELECT current_setting('search_path')")
}

fn pid(conn: &mut TenantConnection) -> String {
    value(conn, "SELECT pg_backend_pid()")
}

/// T32, C01.
#[test]
fn the_path_is_the_tenant_then_the_shared_schema_then_temporary_tables() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    assert_eq!(
        path(&mut conn),
        r#""a", "public", pg_temp"#.replace("\"a\"", "a").replace("\"public\"", "public")
    );
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
    assert_eq!(value(&mut conn, "SELECT count(*) FROM users"), "2");
}

#[test]
fn a_path_without_the_shared_schema_makes_a_missing_table_an_error() {
    let db = TestDb::new();
    db.sql("DROP TABLE a.notes");
    let pool = db.pool_with(|b| b.path_mode(PathMode::TenantOnly));
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    assert_eq!(path(&mut conn), "a, pg_temp");
    assert!(bodies(&mut conn).is_err(), "the bait must not be found");
    assert!(
        diesel::sql_query("SELECT * FROM users")
            .execute(&mut conn)
            .is_err()
    );
    assert_eq!(value(&mut conn, "SELECT count(*) FROM public.users"), "2");
    drop(conn);
    assert_eq!(bodies(&mut pool.get_shared().unwrap()).unwrap(), [BAIT]);
}

#[test]
fn extra_schemas_come_last_on_the_path() {
    let db = TestDb::new();
    db.sql("CREATE SCHEMA \"Ex tensions\"; CREATE FUNCTION \"Ex tensions\".helper() RETURNS int LANGUAGE sql AS 'SELECT 7'");
    let extra = SchemaName::existing("Ex tensions").unwrap();
    let pool = db.pool_for(Layout::default().with_extra([extra]).unwrap());
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    assert_eq!(path(&mut conn), r#"a, public, "Ex tensions", pg_temp"#);
    assert_eq!(value(&mut conn, "SELECT helper()"), "7");
    assert_eq!(bodies(&mut conn).unwrap(), ["from-a"]);
}

/// T28, D01.
#[test]
fn a_pool_of_one_serves_alternating_tenants_a_thousand_times() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let mut pids = std::collections::HashSet::new();
    for _ in 0..500 {
        for (tenant, expected) in [(&a, "from-a"), (&b, "from-b")] {
            let mut conn = pool.get(tenant).unwrap();
            assert_eq!(bodies(&mut conn).unwrap(), [expected]);
            pids.insert(pid(&mut conn));
        }
    }
    assert_eq!(
        pids.len(),
        1,
        "one connection is enough: it is cleaned, not closed"
    );
}

#[test]
fn current_tenant_of_library_and_server_agree() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for id in ["a", "b"] {
        let mut conn = pool.get(&tenant(&pool, id)).unwrap();
        assert_eq!(conn.tenant().id().as_str(), id);
        assert_eq!(whoami(&mut conn), id);
    }
}

/// T05, C06.
#[test]
fn a_missing_schema_is_an_error_and_not_the_shared_schema() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    assert_eq!(
        bodies(&mut pool.get(&tenant(&pool, "b")).unwrap()).unwrap(),
        ["from-b"]
    );
    db.sql("DROP SCHEMA a CASCADE");
    for _ in 0..3 {
        let error = pool.get(&a).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SchemaUnavailable, "{error:?}");
        assert_eq!(error.tenant().unwrap().as_str(), "a");
    }
    // The others are served all the same.
    assert_eq!(
        bodies(&mut pool.get(&tenant(&pool, "b")).unwrap()).unwrap(),
        ["from-b"]
    );
}

#[test]
fn a_renamed_schema_is_an_error_at_the_next_checkout() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    drop(pool.get(&a).unwrap());
    db.sql("ALTER SCHEMA a RENAME TO z");
    assert_eq!(
        pool.get(&a).unwrap_err().kind(),
        ErrorKind::SchemaUnavailable
    );
}

#[test]
fn a_schema_without_the_usage_privilege_is_an_error_and_not_the_shared_schema() {
    let db = TestDb::new();
    let role = format!("limited_{}", std::process::id());
    db.sql(&format!(
        "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN;
         GRANT USAGE ON SCHEMA boardinghouse, a TO {role};
         GRANT SELECT ON ALL TABLES IN SCHEMA boardinghouse, a, b, public TO {role}"
    ));
    let url = db.url().replace("postgres@", &format!("{role}@"));
    let pool = TenantPool::builder().max_size(1).build(&url).unwrap();
    assert_eq!(
        bodies(&mut pool.get(&tenant(&pool, "a")).unwrap()).unwrap(),
        ["from-a"]
    );
    let error = pool.get(&tenant(&pool, "b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaUnavailable, "{error:?}");
    drop(pool);
    db.disconnect_everybody();
    db.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

/// T01.
#[test]
fn an_error_while_the_path_is_set_never_shows_the_rows_of_the_tenant_before() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    for _ in 0..20 {
        assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
        // Every way of failing that a bind can meet: the schema goes, the privilege goes, the
        // backend goes.
        db.sql("ALTER SCHEMA b RENAME TO hidden");
        assert_eq!(
            pool.get(&b).unwrap_err().kind(),
            ErrorKind::SchemaUnavailable
        );
        db.sql("ALTER SCHEMA hidden RENAME TO b");
        assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
        db.disconnect_everybody();
        assert_eq!(bodies(&mut pool.get(&b).unwrap()).unwrap(), ["from-b"]);
    }
}

#[test]
fn a_fresh_connection_sees_neither_a_tenant_nor_a_shared_table() {
    let db = TestDb::new();
    let pool = db.pool(1);
    drop(pool.get(&tenant(&pool, "a")).unwrap());
    let neutral = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND query LIKE '%DISCARD SEQUENCES; EXECUTE boardinghouse_unlock'";
    // A session whose borrower left nothing behind stays where it is, but not for long.
    until(|| db.value(neutral) == "1");
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(db.value(locks), "0");
}

#[test]
fn a_tenant_that_is_not_ready_is_refused_before_anything_is_sent() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let a = tenant(&pool, "a");
    let statuses = [
        TenantStatus::Pending,
        TenantStatus::Suspended,
        TenantStatus::Dropping,
        TenantStatus::Failed,
    ];
    for status in statuses {
        let error = pool.get(&a.clone().with_status(status)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TenantUnavailable);
        assert!(error.to_string().contains(status.as_str()), "{error}");
    }
}

#[test]
fn the_shared_schema_the_template_and_the_registry_are_no_tenants() {
    let db = TestDb::new();
    let pool = db.pool(1);
    for name in ["public", "__template__", "boardinghouse"] {
        let forged = Tenant::new(
            "forged".parse().unwrap(),
            SchemaName::existing(name).unwrap(),
        );
        assert_eq!(
            pool.get(&forged).unwrap_err().kind(),
            ErrorKind::ReservedName,
            "{name}"
        );
    }
    assert_eq!(
        "public"
            .parse::<boardinghouse_core::TenantId>()
            .unwrap_err()
            .kind(),
        ErrorKind::ReservedName
    );
}

#[test]
fn a_shared_checkout_sees_shared_tables_only() {
    let db = TestDb::new();
    let pool = db.pool(1);
    drop(pool.get(&tenant(&pool, "a")).unwrap());
    let mut conn = pool.get_shared().unwrap();
    assert_eq!(bodies(&mut conn).unwrap(), [BAIT]);
    assert_eq!(
        value(&mut conn, "SELECT current_schemas(false)"),
        "{public}"
    );
}

/// T12, C09.
#[test]
fn nested_checkouts_keep_their_tenants_through_errors_and_panics() {
    let db = TestDb::new();
    let pool = db.pool(3);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    pool.with(&a, |outer| {
        let failed: Result<(), Error> = pool.with(&b, |middle| {
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.with(&a, |inner| -> Result<(), Error> {
                    assert_eq!(whoami(inner), "a");
                    panic!("on purpose");
                })
            }));
            assert!(panicked.is_err());
            assert_eq!(whoami(middle), "b");
            Err(diesel::result::Error::NotFound.into())
        });
        assert!(failed.is_err());
        assert_eq!(whoami(outer), "a");
        assert_eq!(bodies(outer)?, ["from-a"]);
        Ok::<_, Error>(())
    })
    .unwrap();
    for (tenant, expected) in [(&a, "from-a"), (&b, "from-b")] {
        assert_eq!(bodies(&mut pool.get(tenant).unwrap()).unwrap(), [expected]);
    }
}

/// T06, T07.
#[test]
fn rollbacks_and_savepoints_do_not_move_the_path() {
    let db = TestDb::new();
    let pool = db.pool(1);
    drop(pool.get(&tenant(&pool, "b")).unwrap());
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    let conn = &mut conn;
    let fails = Err::<(), _>(diesel::result::Error::RollbackTransaction);
    let outer: QueryResult<()> = conn.transaction(|conn| {
        add_note(conn, "lost")?;
        let inner: QueryResult<()> = conn.transaction(|conn| {
            add_note(conn, "lost too")?;
            // An error on the server leaves the transaction aborted until the savepoint.
            assert!(conn.batch_execute("SELECT 1/0").is_err());
            Err(diesel::result::Error::RollbackTransaction)
        });
        assert!(inner.is_err());
        assert_eq!(value(conn, "SELECT current_schema()"), "a");
        assert_eq!(bodies(conn)?, ["from-a", "lost"]);
        fails
    });
    assert!(outer.is_err());
    assert_eq!(whoami(conn), "a");
    assert_eq!(bodies(conn).unwrap(), ["from-a"]);
}

#[test]
fn dead_connections_are_replaced_without_the_caller_noticing() {
    let db = TestDb::new();
    let pool = db.pool(8);
    let a = tenant(&pool, "a");
    for _ in 0..3 {
        drop((0..8).map(|_| pool.get(&a).unwrap()).collect::<Vec<_>>());
        db.disconnect_everybody();
        assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
    }
}

#[test]
fn an_exhausted_pool_times_out_with_the_numbers() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.checkout_timeout(Duration::from_millis(500)));
    let a = tenant(&pool, "a");
    let held = pool.get(&a).unwrap();
    let error = pool.get(&a).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PoolTimeout);
    assert!(error.to_string().contains("500ms") && error.to_string().contains("1 of at most 1"));
    drop(held);
    assert_eq!(bodies(&mut pool.get(&a).unwrap()).unwrap(), ["from-a"]);
}

#[test]
fn a_connection_is_recycled_after_its_share_of_tenants() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.max_tenants_per_connection(2));
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    let first = pid(&mut pool.get(&a).unwrap()); // the shared schema, then a
    assert_eq!(
        pid(&mut pool.get(&a).unwrap()),
        first,
        "a tenant that it knows costs nothing"
    );
    let second = pid(&mut pool.get(&b).unwrap());
    assert_ne!(first, second);
    assert_eq!(bodies(&mut pool.get(&b).unwrap()).unwrap(), ["from-b"]);
}

#[test]
fn an_unreachable_server_is_an_error_that_says_so_at_once() {
    let error = TenantPool::builder()
        .build("postgres://nobody@127.0.0.1:1/none")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionFailed);
    assert!(error.chain().contains("127.0.0.1"), "{}", error.chain());
}

#[test]
fn a_server_that_goes_away_is_named_instead_of_a_timeout() {
    let db = TestDb::new();
    let pool = db.pool_with(|b| b.checkout_timeout(Duration::from_millis(200)));
    let a = tenant(&pool, "a");
    db.refuse_connections();
    db.disconnect_everybody();
    let error = pool.get(&a).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionFailed, "{error:?}");
}
