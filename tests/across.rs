//! Work for many tenants at once, and work that waits in a queue.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use boardinghouse_core::{
    AcrossReport, Error, ErrorKind, NewTenant, PgRegistry, Provisioner, Selection, Tenant,
    TenantConnection, TenantJob, Tenanted,
};
use boardinghouse_tests::{
    TestDb, add_note, bodies,
    schema::{notes, users},
    tenant, value,
};
use diesel::{
    connection::{InstrumentationEvent, SimpleConnection, set_default_instrumentation},
    prelude::*,
};

use crate::stacked::DEFAULT_INSTRUMENTATION;

type Result<T, E = Error> = std::result::Result<T, E>;

fn own_bodies(_: &Tenant, conn: &mut TenantConnection) -> Result<Vec<String>> {
    Ok(bodies(conn)?)
}

fn this_thread() -> String {
    format!("{:?}", std::thread::current().id())
}

fn provision(db: &TestDb, ids: impl IntoIterator<Item = String>) {
    let provisioner = Provisioner::new(db.pool(1));
    for id in ids {
        provisioner
            .create(&NewTenant::new(id.parse().unwrap()))
            .unwrap();
        db.sql(&format!(
            "INSERT INTO {id}.notes (body) VALUES ('from-{id}')"
        ));
    }
}

/// N01, T39.
#[test]
fn rows_of_several_tenants_are_one_list_in_which_each_says_whose_it_is() {
    let db = TestDb::new();
    db.sql(
        "INSERT INTO a.notes (body, author) VALUES ('x', 1), ('it''s', 2); \
            INSERT INTO b.notes (body, author) VALUES ('y', 2), ('it''s', 2), ('it''s', 1)",
    );
    let registry = PgRegistry::new(db.pool(2));
    let asked = "it's";
    let report = registry
        .for_each_tenant(&Selection::Tenants, 2, |_, conn| {
            let rows = notes::table
                .inner_join(users::table)
                .filter(notes::body.eq(asked))
                .select((notes::id, users::email))
                .order(notes::id)
                .load::<(i32, String)>(conn);
            rows.map_err(Error::from)
        })
        .unwrap();
    let row = |tenant: &str, id, email: &str| Tenanted {
        tenant: tenant.parse().unwrap(),
        value: (id, email.to_owned()),
    };
    assert_eq!(
        report.into_rows().unwrap(),
        [
            row("a", 3, "bob@example.com"),
            row("b", 3, "bob@example.com"),
            row("b", 4, "ann@example.com"),
        ]
    );
}

/// C12.
#[test]
fn the_same_row_of_two_tenants_is_not_the_same() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let tenants = [tenant(&pool, "a"), tenant(&pool, "b"), tenant(&pool, "a")];
    let ids = pool.try_across(&tenants, 1, |_, conn| -> Result<i32> {
        Ok(notes::table.select(notes::id).first(conn)?)
    });
    let ids = ids.unwrap();
    assert_eq!(ids[0].value, ids[1].value);
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0], ids[2]);
}

#[test]
fn results_come_in_the_order_of_the_tenants_whatever_the_number_of_jobs() {
    let db = TestDb::new();
    provision(&db, (0..12).map(|number| format!("t{number}")));
    let pool = db.pool(4);
    let mut tenants = PgRegistry::new(pool.clone()).list().unwrap();
    tenants.reverse();
    for jobs in [0, 1, 3, 1000] {
        let threads = Mutex::new(BTreeSet::new());
        let report = pool.across(&tenants, jobs, |tenant, conn| {
            threads.lock().unwrap().insert(this_thread());
            own_bodies(tenant, conn)
        });
        assert!(report.is_success());
        let threads = threads.into_inner().unwrap().len();
        assert!(
            threads <= jobs.clamp(1, 4),
            "{threads} threads for {jobs} jobs"
        );
        let rows = report.into_rows().unwrap();
        assert_eq!(rows.len(), 14);
        for (row, tenant) in rows.iter().zip(&tenants) {
            assert_eq!(&row.tenant, tenant.id());
            assert_eq!(row.value, format!("from-{}", tenant.id()));
        }
        assert!(pool.state().connections <= 4);
    }
    assert_eq!(pool.across(&[], 4, own_bodies).entries.len(), 0);
}

#[test]
fn as_many_jobs_run_at_once_as_were_asked_for_and_a_slow_tenant_holds_nobody_up() {
    let db = TestDb::new();
    provision(&db, (0..6).map(|number| format!("t{number}")));
    let pool = db.pool(3);
    let tenants = PgRegistry::new(pool.clone()).list().unwrap();
    let done = AtomicUsize::new(0);
    let threads = Mutex::new(BTreeSet::new());
    let report = pool.across(&tenants, 2, |tenant, conn| -> Result<()> {
        threads.lock().unwrap().insert(this_thread());
        bodies(conn)?;
        if tenant.id().as_str() == "a" {
            // The slow one: it ends when all the others have.
            let deadline = Instant::now() + Duration::from_secs(20);
            while done.load(Ordering::SeqCst) < tenants.len() - 1 {
                assert!(
                    Instant::now() < deadline,
                    "the others wait for the slow one"
                );
                std::thread::yield_now();
            }
        }
        done.fetch_add(1, Ordering::SeqCst);
        Ok(())
    });
    assert!(report.is_success());
    assert_eq!(threads.into_inner().unwrap().len(), 2);
}

#[test]
fn a_tenant_that_fails_or_panics_fails_alone() {
    let db = TestDb::new();
    provision(&db, ["c", "d", "e"].map(str::to_owned));
    db.sql("DROP SCHEMA c CASCADE");
    let pool = db.pool(2);
    let tenants = PgRegistry::new(pool.clone()).list().unwrap();
    let report: AcrossReport<usize> =
        pool.across(&tenants, 2, |tenant, conn| match tenant.id().as_str() {
            "b" => Ok(diesel::sql_query("SELECT 1 / 0").execute(conn)?),
            "d" => {
                add_note(conn, "kept")?;
                diesel::sql_query("BEGIN").execute(conn)?;
                add_note(conn, "lost")?;
                panic!("{} is too much", tenant.id())
            }
            _ => Ok(bodies(conn)?.len()),
        });
    assert!(!report.is_success());
    let failures: Vec<_> = report
        .failures()
        .map(|(tenant, error)| (tenant.id().as_str(), error.kind()))
        .collect();
    assert_eq!(
        failures,
        [
            ("b", ErrorKind::Database),
            ("c", ErrorKind::SchemaUnavailable),
            ("d", ErrorKind::Panicked),
        ]
    );
    let results: Vec<_> = report
        .entries
        .iter()
        .map(|one| one.result.as_ref().ok())
        .collect();
    assert_eq!(results, [Some(&1), None, None, None, Some(&1)]);
    let panicked = report.entries[3].result.as_ref().unwrap_err();
    assert!(panicked.to_string().contains("d is too much"), "{panicked}");
    assert_eq!(panicked.tenant().unwrap().as_str(), "d");
    assert_eq!(
        report.into_results().unwrap_err().kind(),
        ErrorKind::Database
    );
    assert_eq!(
        db.value("SELECT string_agg(body, ',' ORDER BY id) FROM d.notes"),
        "from-d,kept"
    );
    // The pool is whole.
    for id in ["a", "b", "d", "e"] {
        let own = bodies(&mut pool.get(&tenant(&pool, id)).unwrap()).unwrap();
        assert_eq!(own[0], format!("from-{id}"));
    }
}

#[test]
fn work_that_is_all_or_an_error_begins_nothing_after_the_first_failure() {
    let db = TestDb::new();
    provision(&db, ["c", "d"].map(str::to_owned));
    let pool = db.pool(1);
    let tenants = PgRegistry::new(pool.clone()).list().unwrap();
    let error = pool.try_across(&tenants, 1, |tenant, conn| -> Result<()> {
        add_note(conn, "seen")?;
        if tenant.id().as_str() == "b" {
            diesel::sql_query("SELECT 1 / 0").execute(conn)?;
        }
        Ok(())
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Database);
    for (id, seen) in [("a", "1"), ("b", "1"), ("c", "0"), ("d", "0")] {
        let count = format!("SELECT count(*) FROM {id}.notes WHERE body = 'seen'");
        assert_eq!(db.value(&count), seen, "{id}");
    }
    // A tenant that cannot even be checked out stops it, too.
    db.sql("DROP SCHEMA a CASCADE");
    let gone = pool.try_across(&tenants, 1, own_bodies);
    assert_eq!(gone.unwrap_err().kind(), ErrorKind::SchemaUnavailable);
}

#[test]
fn tenants_that_are_not_served_are_skipped_and_said_to_be_unless_they_are_named() {
    let db = TestDb::new();
    provision(&db, ["c".to_owned()]);
    db.sql("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'b'");
    let registry = PgRegistry::new(db.pool(1));
    let all = registry
        .for_each_tenant(&Selection::All, 2, own_bodies)
        .unwrap();
    let skipped: Vec<_> = all.skipped.iter().map(|one| one.id().as_str()).collect();
    assert_eq!(skipped, ["b"]);
    let rows = all.into_rows().unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row.value.as_str())
            .collect::<Vec<_>>(),
        ["from-a", "from-c"]
    );

    let only = |ids: &[&str]| Selection::Only(ids.iter().map(|id| id.parse().unwrap()).collect());
    let named = registry
        .for_each_tenant(&only(&["c", "b", "c"]), 2, own_bodies)
        .unwrap();
    assert_eq!(named.skipped, []);
    let ids: Vec<_> = named
        .entries
        .iter()
        .map(|one| one.tenant.id().as_str())
        .collect();
    assert_eq!(ids, ["c", "b"]);
    assert_eq!(
        named.into_rows().unwrap_err().kind(),
        ErrorKind::TenantUnavailable
    );

    let missing = registry.for_each_tenant(&only(&["a", "nobody"]), 2, |_, _| -> Result<()> {
        panic!("nothing is to be done")
    });
    let missing = missing.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::TenantNotFound);
    assert_eq!(missing.tenant().unwrap().as_str(), "nobody");
    let shared = registry.select(&Selection::Shared).unwrap_err();
    assert_eq!(shared.kind(), ErrorKind::InvalidInput);
}

/// N04.
#[test]
fn a_job_writes_into_its_tenant_wherever_it_is_run() {
    let db = TestDb::new();
    let registry = PgRegistry::new(db.pool(2));
    let queue: Vec<String> = ["a", "b", "a"]
        .iter()
        .enumerate()
        .map(|(number, id)| {
            let tenant = registry.get(&id.parse().unwrap()).unwrap();
            let job = TenantJob::new(&tenant, format!("job {number} of {id}"));
            assert_eq!((job.tenant().as_str(), job.payload().len()), (*id, 10));
            serde_json::to_string(&job).unwrap()
        })
        .collect();
    std::thread::scope(|scope| {
        for message in &queue {
            let registry = registry.clone();
            scope.spawn(move || {
                let job: TenantJob<String> = serde_json::from_str(message).unwrap();
                let schema = job.run(&registry, |conn, text| -> Result<String> {
                    add_note(conn, text)?;
                    Ok(value(conn, "SELECT current_schema()"))
                });
                assert_eq!(schema.unwrap(), job.tenant().as_str());
            });
        }
    });
    assert_eq!(
        db.value("SELECT string_agg(body, ',' ORDER BY body) FROM a.notes WHERE body LIKE 'job%'"),
        "job 0 of a,job 2 of a"
    );
    assert_eq!(
        db.value("SELECT count(*) FROM b.notes WHERE body = 'job 1 of b'"),
        "1"
    );
    assert_eq!(db.value("SELECT count(*) FROM public.notes"), "1");
}

#[test]
fn a_job_whose_tenant_is_suspended_or_gone_or_another_is_refused() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let registry = PgRegistry::new(pool.clone());
    let job = TenantJob::new(&tenant(&pool, "b"), ());
    let run = || {
        let done = job.run(&registry, |conn, ()| -> Result<usize> {
            Ok(add_note(conn, "job")?)
        });
        done.map_err(|error| {
            assert_eq!(error.tenant().unwrap().as_str(), "b");
            error.kind()
        })
    };
    assert_eq!(run(), Ok(1));
    db.sql("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'b'");
    assert_eq!(run(), Err(ErrorKind::TenantUnavailable));
    db.sql("UPDATE boardinghouse.tenants SET status = 'ready' WHERE id = 'b'");
    assert_eq!(run(), Ok(1), "a job can be run again");
    let provisioner = Provisioner::new(pool.clone());
    provisioner.delete(&"b".parse().unwrap()).unwrap();
    assert_eq!(run(), Err(ErrorKind::TenantNotFound));
    provisioner
        .create(&NewTenant::new("b".parse().unwrap()))
        .unwrap();
    assert_eq!(
        run(),
        Err(ErrorKind::TenantNotFound),
        "the successor is not to get it"
    );
    assert_eq!(db.value("SELECT count(*) FROM b.notes"), "0");
}

/// The database in which [`exchange`] is to do its work, once.
static TO_EXCHANGE: Mutex<Option<String>> = Mutex::new(None);

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that Diesel wants"
)]
fn exchange(event: InstrumentationEvent<'_>) {
    let InstrumentationEvent::StartQuery { query, .. } = event else {
        return;
    };
    let text = query.to_string();
    if !text.contains("exchanged") || text.contains("tenants") {
        return;
    }
    if let Some(url) = TO_EXCHANGE.lock().unwrap().take() {
        let another = "DELETE FROM boardinghouse.tenants WHERE id = 'exchanged'; \
                       INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
                       VALUES ('exchanged', 'exchanged', 'another', 'ready')";
        let mut conn = PgConnection::establish(&url).unwrap();
        conn.batch_execute(another).unwrap();
    }
}

#[test]
fn a_tenant_that_is_exchanged_just_before_the_checkout_does_not_get_the_job() {
    let _alone = DEFAULT_INSTRUMENTATION
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let db = TestDb::new();
    provision(&db, ["exchanged".to_owned()]);
    let old = tenant(&db.pool(1), "exchanged");
    // When the library has read the tenant's row and begins to go to its schema, there is another row.
    *TO_EXCHANGE.lock().unwrap() = Some(db.url().to_owned());
    set_default_instrumentation(|| Some(Box::new(exchange))).unwrap();
    let registry = PgRegistry::new(db.pool(1));
    let job = TenantJob::new(&old, ());
    let done = job.run(&registry, |conn, ()| -> Result<usize> {
        Ok(add_note(conn, "job")?)
    });
    set_default_instrumentation(|| None).unwrap();
    assert_eq!(*TO_EXCHANGE.lock().unwrap(), None, "the test did nothing");
    assert_eq!(done.unwrap_err().kind(), ErrorKind::TenantNotFound);
    assert_eq!(
        db.value("SELECT count(*) FROM exchanged.notes WHERE body = 'job'"),
        "0"
    );
}

#[test]
fn a_job_for_a_tenant_that_is_not_from_the_registry_is_refused() {
    let db = TestDb::new();
    let by_hand = Tenant::new("a".parse().unwrap(), "a".parse().unwrap());
    let done = TenantJob::new(&by_hand, ())
        .run(&PgRegistry::new(db.pool(1)), |_, ()| -> Result<()> {
            panic!("not to be run")
        });
    assert_eq!(done.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_job_that_names_no_possible_tenant_cannot_be_read() {
    for message in [
        r#"{"incarnation":1,"payload":1}"#,
        r#"{"tenant":"Not A Label","incarnation":1,"payload":1}"#,
        r#"{"tenant":"a","payload":1}"#,
    ] {
        assert!(
            serde_json::from_str::<TenantJob<i32>>(message).is_err(),
            "{message}"
        );
    }
}
