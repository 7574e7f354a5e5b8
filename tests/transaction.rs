//! `PathMode::Transaction` on PostgreSQL itself: what holds there, statement for statement, holds
//! behind a pooler, which hands out whole transactions. (D05; behind a pooler: `pooler.rs`.)

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
};

use boardinghouse_core::{
    Doctor, Error, ErrorKind, Migrator, NewTenant, PathMode, PgRegistry, Provisioner, Selection,
    Tenant, TenantConnection, TenantPool,
};
use boardinghouse_tests::{BAIT, TestDb, add_note, bodies, tenant, try_value, value};
use diesel::{
    connection::{InstrumentationEvent, SimpleConnection},
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
};

fn pool(db: &TestDb) -> TenantPool {
    db.pool_with(|builder| builder.path_mode(PathMode::Transaction))
}

fn fixture() -> (TestDb, TenantPool, Tenant, Tenant) {
    let db = TestDb::new();
    let pool = pool(&db);
    let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
    (db, pool, a, b)
}

/// One value, read by whoever has the server process next.
fn next(pool: &TenantPool, query: &str) -> String {
    try_next(pool, query).unwrap()
}

fn try_next(pool: &TenantPool, query: &str) -> Result<String, Error> {
    pool.shared_transaction(|conn| try_value(conn, query).map_err(Error::from))
}

/// What text does to the connection.
type Act = fn(&mut TenantConnection) -> QueryResult<()>;

thread_local! {
    static SENT: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Writes down what this thread's connections send.
fn record() {
    diesel::connection::set_default_instrumentation(|| {
        Some(Box::new(|event: InstrumentationEvent<'_>| match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                SENT.with_borrow_mut(|sent| sent.push(query.to_string()));
            }
            InstrumentationEvent::CommitTransaction { depth, .. } => {
                SENT.with_borrow_mut(|sent| sent.push(format!("-- commit at {depth}")));
            }
            InstrumentationEvent::RollbackTransaction { depth, .. } => {
                SENT.with_borrow_mut(|sent| sent.push(format!("-- roll back at {depth}")));
            }
            InstrumentationEvent::CacheQuery { sql, .. } => {
                SENT.with_borrow_mut(|sent| sent.push(format!("PREPARED: {sql}")));
            }
            _ => {}
        }))
    })
    .unwrap();
}

#[test]
fn nothing_is_sent_before_begin_nor_after_commit() {
    let db = TestDb::new();
    record();
    let pool = db.pool_with(|builder| {
        let long = std::time::Duration::from_secs(3600);
        builder.path_mode(PathMode::Transaction).registry_ttl(long)
    });
    let a = tenant(&pool, "a");
    SENT.take();
    // What the registry says of the tenant is asked once, in a transaction too.
    pool.transaction(&a, |_| Ok::<_, Error>(())).unwrap();
    let mut sent = SENT.take();
    sent.retain(|one| !one.starts_with("-- "));
    let [begin, confirm, commit, ..] = &sent[..] else {
        panic!("{sent:#?}");
    };
    assert_eq!((begin.as_str(), commit.as_str()), ("BEGIN", "COMMIT"));
    assert!(confirm.contains("boardinghouse.tenants"), "{confirm}");
    let rows = pool.transaction(&a, |conn| {
        add_note(conn, "second")?;
        bodies(conn).map_err(Error::from)
    });
    assert_eq!(rows.unwrap(), ["from-a", "second"]);
    let failed: Result<(), Error> =
        pool.transaction(&a, |_| Err(DieselError::RollbackTransaction.into()));
    failed.unwrap_err();
    let sent = SENT.take();
    let [
        begin,
        insert,
        select,
        event,
        commit,
        begin_again,
        back,
        rollback,
    ] = &sent[..]
    else {
        panic!("{sent:#?}");
    };
    assert_eq!([event, back], ["-- commit at 1", "-- roll back at 1"]);
    for begin in [begin, begin_again] {
        assert!(begin.starts_with("BEGIN; SET LOCAL "), "{begin}");
        assert!(
            begin.contains(r#"SET LOCAL search_path TO "a", "public", pg_temp"#),
            "{begin}"
        );
    }
    assert!(insert.contains("INSERT"), "{insert}");
    assert!(select.contains("SELECT"), "{select}");
    assert!(commit.ends_with("; COMMIT"), "{commit}");
    assert!(rollback.starts_with("ROLLBACK; "), "{rollback}");
}

#[test]
fn a_transaction_commits_on_ok_and_rolls_back_on_err_in_every_mode() {
    for mode in [
        PathMode::TenantThenShared,
        PathMode::TenantOnly,
        PathMode::Transaction,
    ] {
        let db = TestDb::new();
        let pool = db.pool_with(|builder| builder.path_mode(mode));
        let (a, b) = (tenant(&pool, "a"), tenant(&pool, "b"));
        pool.transaction(&a, |conn| add_note(conn, "kept").map_err(Error::from))
            .unwrap();
        let error = pool
            .transaction(&a, |conn| {
                add_note(conn, "lost")?;
                Err::<(), _>(Error::new(ErrorKind::InvalidInput, "mine"))
            })
            .unwrap_err();
        assert_eq!(error.to_string(), "mine", "{mode:?}");
        catch_unwind(AssertUnwindSafe(|| {
            pool.transaction(&a, |conn| -> Result<(), Error> {
                add_note(conn, "lost")?;
                std::panic::resume_unwind(Box::new("on purpose"))
            })
        }))
        .unwrap_err();
        for (tenant, expected) in [(&a, &["from-a", "kept"][..]), (&b, &["from-b"])] {
            let rows = pool.with(tenant, |conn| bodies(conn).map_err(Error::from));
            assert_eq!(rows.unwrap(), expected, "{mode:?}");
        }
        let users = pool.shared_transaction(|conn| bodies(conn).map_err(Error::from));
        assert_eq!(users.unwrap(), [BAIT], "{mode:?}");
        assert_eq!(pool.state().idle, pool.state().connections, "{mode:?}");
    }
}

#[test]
fn a_failed_statement_that_the_work_swallows_is_told_at_the_commit_in_every_mode() {
    for mode in [PathMode::TenantThenShared, PathMode::Transaction] {
        let db = TestDb::new();
        let pool = db.pool_with(|builder| builder.path_mode(mode));
        let a = tenant(&pool, "a");
        let error = pool
            .transaction(&a, |conn| {
                add_note(conn, "lost")?;
                conn.batch_execute("SELECT 1/0").unwrap_err();
                Ok::<_, Error>(())
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Database, "{mode:?}");
        assert_eq!(error.tenant(), Some(a.id()));
        assert_eq!(db.value("SELECT count(*) FROM a.notes"), "1", "{mode:?}");
    }
}

#[test]
fn a_transaction_inside_is_a_savepoint() {
    let (db, pool, a, _) = fixture();
    pool.transaction(&a, |conn| {
        add_note(conn, "outer")?;
        let inner = conn.transaction(|conn| {
            add_note(conn, "inner")?;
            conn.batch_execute("SELECT 1/0")
        });
        inner.unwrap_err();
        conn.transaction(|conn| add_note(conn, "second"))?;
        Ok::<_, Error>(())
    })
    .unwrap();
    let notes = "SELECT string_agg(body, ',' ORDER BY id) FROM a.notes";
    assert_eq!(db.value(notes), "from-a,outer,second");
}

#[test]
fn sessions_are_refused_with_a_word_on_what_to_use() {
    let (db, pool, a, _) = fixture();
    for error in [
        pool.get(&a).map(drop).unwrap_err(),
        pool.get_shared().map(drop).unwrap_err(),
        Provisioner::new(pool.clone())
            .create(&NewTenant::new("c".parse().unwrap()))
            .map(drop)
            .unwrap_err(),
        Provisioner::new(pool.clone())
            .delete(a.id())
            .map(drop)
            .unwrap_err(),
        Migrator::new(pool.clone()).run().map(drop).unwrap_err(),
        Migrator::new(pool.clone()).init().map(drop).unwrap_err(),
        Migrator::new(pool.clone())
            .plan(&Selection::All)
            .map(drop)
            .unwrap_err(),
        Doctor::new(pool.clone()).check().map(drop).unwrap_err(),
        pool.transaction(&a, |conn| {
            boardinghouse_core::console::query(conn, "SELECT 1").map(drop)
        })
        .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NeedsSession);
        let message = error.to_string();
        assert!(message.contains("TenantPool::transaction"), "{message}");
        assert!(message.contains("PostgreSQL directly"), "{message}");
    }
    assert_eq!(db.tables("a"), "__diesel_schema_migrations,notes");
}

#[test]
fn the_registry_works_and_says_when_it_is_missing() {
    let (db, pool, a, _) = fixture();
    let registry = PgRegistry::new(pool.clone());
    assert_eq!(registry.list().unwrap().len(), 2);
    assert_eq!(registry.domains(a.id()).unwrap(), []);
    assert_eq!(
        registry.nearest(&"aa".parse().unwrap()).unwrap(),
        [a.id().clone()]
    );
    db.sql("DROP SCHEMA boardinghouse CASCADE");
    assert!(!registry.is_initialized().unwrap());
    for error in [
        registry.find(a.id()).map(drop).unwrap_err(),
        registry.list().map(drop).unwrap_err(),
        registry.domains(a.id()).map(drop).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::RegistryMissing, "{error}");
    }
}

#[test]
fn a_schema_that_is_gone_or_going_is_an_error_and_not_the_bait() {
    let (db, pool, a, b) = fixture();
    db.sql("DROP SCHEMA a CASCADE");
    let error = pool
        .transaction(&a, |conn| bodies(conn).map_err(Error::from))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SchemaUnavailable);
    assert_eq!(error.tenant(), Some(a.id()));
    // The lock that says the schema is in use holds the deletion up, and the deletion a newcomer.
    let provisioner = Provisioner::new(db.pool(1)).lock_wait(std::time::Duration::from_millis(50));
    pool.transaction(&b, |_| {
        let error = provisioner.delete(b.id()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        Ok::<_, Error>(())
    })
    .unwrap();
    provisioner.delete(b.id()).unwrap();
}

/// Each of these survives a transaction, unless it is removed.
const LEFTOVERS: [&str; 9] = [
    "SET search_path TO b",
    "SELECT set_config('search_path', 'b', false)",
    "SET ROLE pg_read_all_stats",
    "SET statement_timeout TO 12345",
    "CREATE TEMP TABLE leftover (id int)",
    "LISTEN leftover",
    "DECLARE leftover CURSOR WITH HOLD FOR SELECT 1",
    "SELECT pg_advisory_lock(815), pg_advisory_lock_shared(816)",
    "INSERT INTO notes (body) VALUES ('x') RETURNING lastval()",
];

/// What the next one sees of them.
const TRACES: &str = "SELECT concat_ws(' ', session_user, current_user, \
     current_setting('statement_timeout'), \
     (SELECT reset_val = current_setting('search_path') OR current_setting('boardinghouse.bound', true) = 'yes' \
      FROM pg_settings WHERE name = 'search_path'), \
     (SELECT count(*) FROM pg_class WHERE relname = 'leftover'), \
     (SELECT count(*) FROM pg_listening_channels()), \
     (SELECT count(*) FROM pg_cursors WHERE name = 'leftover'), \
     (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid IN (815, 816)), \
     (SELECT count(*) FROM pg_settings WHERE name = 'TimeZone' AND setting = 'UTC'))";

/// Runs each of the leftovers, ended by a commit and by a rollback, and compares what `look` sees.
pub(crate) fn nothing_is_left(
    pool: &TenantPool,
    tenant: &Tenant,
    look: &dyn Fn(&str) -> Option<String>,
) {
    let clean = look(TRACES).unwrap();
    let lastval = "SELECT CASE WHEN lastval() IS NULL THEN '' END";
    for leftover in LEFTOVERS {
        for keep in [true, false] {
            let done = pool.transaction(tenant, |conn| {
                conn.batch_execute(leftover)?;
                if keep {
                    return Ok(());
                }
                Err(Error::new(ErrorKind::InvalidInput, "mine"))
            });
            assert_eq!(done.is_ok(), keep, "{leftover}: {done:?}");
            // Before anything that could clean it.
            assert_eq!(look(lastval), None, "{leftover}, kept: {keep}");
            assert_eq!(look(TRACES).unwrap(), clean, "{leftover}, kept: {keep}");
        }
    }
}

#[test]
fn nothing_of_a_borrower_is_left_in_the_session() {
    let (_db, pool, a, _) = fixture();
    let pid = next(&pool, "SELECT pg_backend_pid()");
    nothing_is_left(&pool, &a, &|query| try_next(&pool, query).ok());
    assert_eq!(next(&pool, "SELECT pg_backend_pid()"), pid);
}

/// The session's own path, which transactions of ours never see, is also as it was.
#[test]
fn the_path_outside_of_transactions_is_the_servers_own() {
    let (_db, pool, a, _) = fixture();
    let path = |conn: &mut TenantConnection| {
        let bare: &mut PgConnection = conn;
        // Reverts what was set for the transaction alone.
        bare.batch_execute("COMMIT").unwrap();
        let path = value(bare, "SELECT current_setting('search_path')");
        bare.batch_execute("BEGIN").unwrap();
        Ok::<_, Error>(path)
    };
    let mut seen = String::new();
    pool.transaction(&a, |conn| {
        conn.batch_execute("SET search_path TO b")
            .map_err(Error::from)
    })
    .unwrap();
    let error = pool
        .transaction(&a, |conn| {
            seen = path(conn)?;
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionEnded);
    assert_eq!(seen, "\"$user\", public");
}

/// The message that names the schema is read before it can set the encoding.
#[test]
fn a_name_beyond_ascii_is_found_again_where_the_servers_own_encoding_is_another() {
    let db = TestDb::new();
    let name: String = db.value("SELECT current_database()");
    db.sql(&format!(
        "ALTER SCHEMA a RENAME TO \"größe\"; UPDATE boardinghouse.tenants SET schema_name = 'größe' \
         WHERE id = 'a'; ALTER DATABASE {name} SET client_encoding TO 'LATIN1'"
    ));
    let pool = pool(&db);
    let a = tenant(&pool, "a");
    for _ in 0..2 {
        let rows = pool.transaction(&a, |conn| bodies(conn).map_err(Error::from));
        assert_eq!(rows.unwrap(), ["from-a"]);
    }
}

#[test]
fn deferred_triggers_run_on_the_tenants_path() {
    let (db, pool, a, _) = fixture();
    db.sql(
        "CREATE TABLE a.audit (what text); CREATE TABLE public.audit (what text); \
         CREATE FUNCTION a.note() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN INSERT INTO audit VALUES (NEW.body); RETURN NULL; END $$; \
         CREATE CONSTRAINT TRIGGER note AFTER INSERT ON a.notes \
         DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION a.note()",
    );
    pool.transaction(&a, |conn| add_note(conn, "x").map_err(Error::from))
        .unwrap();
    assert_eq!(db.value("SELECT count(*) FROM a.audit"), "1");
    assert_eq!(db.value("SELECT count(*) FROM public.audit"), "0");
}

#[test]
fn a_constraint_that_is_checked_at_the_commit_is_told_by_its_name() {
    let (db, pool, a, _) = fixture();
    db.sql("ALTER TABLE a.notes ADD CONSTRAINT one UNIQUE (body) DEFERRABLE INITIALLY DEFERRED");
    let error = pool
        .transaction(&a, |conn| {
            conn.batch_execute("SELECT pg_advisory_lock(815)")?;
            add_note(conn, "from-a").map_err(Error::from)
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Database);
    assert!(matches!(
        error.as_diesel(),
        Some(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info))
            if info.constraint_name() == Some("one")
    ));
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 815";
    assert_eq!(next(&pool, locks), "0");
}

#[test]
fn what_ends_the_transaction_by_text_is_refused_and_so_is_what_follows() {
    let (db, pool, a, _) = fixture();
    let acts: [Act; 6] = [
        |conn| conn.batch_execute("COMMIT"),
        |conn| conn.batch_execute("SELECT 1; COMMIT; INSERT INTO notes (body) VALUES ('astray')"),
        |conn| conn.batch_execute("ROLLBACK; BEGIN"),
        |conn| diesel::sql_query("/* x */ COMMIT").execute(conn).map(drop),
        |conn| {
            use diesel::connection::{AnsiTransactionManager, TransactionManager};
            AnsiTransactionManager::commit_transaction(conn)
        },
        |conn| {
            let bare: &mut PgConnection = conn;
            bare.batch_execute("ROLLBACK")?;
            add_note(conn, "astray").map(drop)
        },
    ];
    for act in acts {
        let mut refused = None;
        let done = pool.transaction(&a, |conn| {
            refused = Some(act(conn).unwrap_err());
            Ok::<_, Error>(())
        });
        let refused = refused.unwrap();
        match refused {
            // What was refused has done no harm.
            DieselError::QueryBuilderError(_) => done.unwrap(),
            DieselError::RollbackErrorOnCommit { .. } => {
                assert_eq!(done.unwrap_err().kind(), ErrorKind::ConnectionFailed);
            }
            DieselError::NotInTransaction => {
                assert_eq!(done.unwrap_err().kind(), ErrorKind::TransactionEnded);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(db.value("SELECT count(*) FROM notes"), "1");
    assert_eq!(db.value("SELECT count(*) FROM a.notes"), "1");
}

#[test]
fn who_ends_the_transaction_on_the_bare_connection_is_told_and_loses_it() {
    let (db, pool, a, b) = fixture();
    for (text, keep) in [
        ("COMMIT", true),
        ("COMMIT", false),
        ("ROLLBACK", true),
        ("COMMIT; BEGIN", true),
        ("COMMIT; BEGIN; SET LOCAL search_path TO b", true),
    ] {
        let before = next(&pool, "SELECT pg_backend_pid()");
        let error = pool
            .transaction(&a, |conn| {
                let bare: &mut PgConnection = conn;
                bare.batch_execute(text)?;
                if keep {
                    return Ok(());
                }
                Err(Error::new(ErrorKind::InvalidInput, "mine"))
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TransactionEnded, "{text}");
        assert_eq!(error.tenant(), Some(a.id()));
        assert_ne!(next(&pool, "SELECT pg_backend_pid()"), before, "{text}");
    }
    let rows = pool.transaction(&b, |conn| bodies(conn).map_err(Error::from));
    assert_eq!(rows.unwrap(), ["from-b"]);
    assert_eq!(db.value("SELECT count(*) FROM a.notes"), "1");
}

#[test]
fn another_connection_in_place_of_the_lent_one_is_closed() {
    let (db, pool, a, _) = fixture();
    let mut other = db.connect();
    let error = pool
        .transaction(&a, |conn| {
            std::mem::swap::<PgConnection>(conn, &mut other);
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TransactionEnded);
}

#[test]
fn dead_connections_are_replaced_before_the_work_runs_and_never_after() {
    let (db, pool, a, _) = fixture();
    db.disconnect_everybody();
    let mut runs = 0;
    let rows = pool.transaction(&a, |conn| {
        runs += 1;
        bodies(conn).map_err(Error::from)
    });
    assert_eq!((rows.unwrap(), runs), (vec!["from-a".to_owned()], 1));
    let mut runs = 0;
    let error = pool
        .transaction(&a, |conn| {
            runs += 1;
            add_note(conn, "lost")?;
            // The work does not notice.
            db.disconnect_everybody();
            let _ = bodies(conn);
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!((error.kind(), runs), (ErrorKind::ConnectionFailed, 1));
    assert_eq!(db.value("SELECT count(*) FROM a.notes"), "1");
}

#[test]
fn a_commit_whose_answer_is_lost_has_an_unknown_outcome() {
    for mode in [PathMode::TenantThenShared, PathMode::Transaction] {
        let db = TestDb::new();
        let pool = db.pool_with(|builder| builder.path_mode(mode));
        let a = tenant(&pool, "a");
        let error = pool
            .transaction(&a, |conn| {
                add_note(conn, "perhaps")?;
                db.disconnect_everybody();
                Ok::<_, Error>(())
            })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{mode:?}");
        let rows = pool.with(&a, |conn| bodies(conn).map_err(Error::from));
        assert_eq!(rows.unwrap(), ["from-a"], "{mode:?}");
    }
}

#[test]
fn the_name_and_the_time_zone_of_the_client_hold_in_every_transaction() {
    let db = TestDb::new();
    let url = format!("{}?application_name=it's \\mine", db.url()).replace(' ', "%20");
    let pool = TenantPool::builder()
        .path_mode(PathMode::Transaction)
        .max_size(1)
        .build(&url)
        .unwrap();
    for _ in 0..2 {
        let seen = "SELECT current_setting('application_name') || ' ' || current_setting('TimeZone') \
                    || ' ' || current_setting('client_encoding')";
        assert_eq!(next(&pool, seen), "it's \\mine UTC UTF8");
    }
}
