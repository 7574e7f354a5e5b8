//! Many requests at once, and one after another.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use boardinghouse_actix::HostTable;
use boardinghouse_core::TenantPool;
use diesel::{
    RunQueryDsl as _,
    connection::SimpleConnection as _,
    dsl::sql,
    select,
    sql_types::{BigInt, Text},
};

use crate::{
    app::serve,
    client::{get, send},
    fixture::Fixture,
};

const CONNECTIONS: u32 = 8;

#[test]
fn two_hundred_slow_queries_of_two_tenants_do_not_mix_and_do_not_stop_the_workers() {
    let fixture = Fixture::with_pool(TenantPool::builder().max_size(CONNECTIONS));
    let server = serve(fixture.tenancy().resolver(HostTable), 2);
    let mut lock = fixture.connect();
    lock.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    let answered = AtomicUsize::new(0);
    thread::scope(|scope| {
        for number in 0..200 {
            let (answered, at) = (&answered, server.at);
            let id = ["acme", "globex"][number % 2];
            scope.spawn(move || {
                let answer = get(at, &format!("{id}.test"), "/slow");
                answered.fetch_add(1, Ordering::SeqCst);
                answer.is(200, &format!("from-{id}"));
            });
        }
        // Every connection is inside a query that waits for the lock.
        while waiting(&fixture) < i64::from(CONNECTIONS) {
            thread::sleep(Duration::from_millis(10));
        }
        for _ in 0..20 {
            get(server.at, "127.0.0.1", "/healthz").is(200, "ok");
        }
        assert_eq!(answered.load(Ordering::SeqCst), 0);
        lock.batch_execute("SELECT pg_advisory_unlock(1)").unwrap();
    });
    assert_eq!(answered.load(Ordering::SeqCst), 200);
}

pub(crate) fn waiting(fixture: &Fixture) -> i64 {
    select(sql::<BigInt>(
        "(SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database \
         WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted)",
    ))
    .get_result(&mut fixture.connect())
    .unwrap()
}

#[test]
fn nothing_of_a_tenant_is_left_after_its_request() {
    let fixture = Fixture::with_pool(TenantPool::builder().max_size(1));
    let tenancy = fixture.tenancy().resolver(HostTable).exempt("/shared");
    let server = serve(tenancy, 1);
    for id in ["acme", "globex", "acme"] {
        let host = format!("{id}.test");
        // On one connection to one worker, so that what actix-web recycles is recycled.
        let requests: String = ["/notes", "/healthz", "/shared"]
            .map(|path| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .concat();
        let last = "GET /nowhere HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n";
        let answers = send(server.at, &format!("{requests}{last}"));
        let mut rest = format!("{}{}", answers.head, answers.body);
        for expected in [&format!("from-{id}"), "ok", "public PUBLIC", "404"] {
            let (_, after) = rest
                .split_once(expected)
                .unwrap_or_else(|| panic!("{rest}"));
            rest = after.to_owned();
        }

        get(server.at, &host, "/notes").is(200, &format!("from-{id}"));
        // Sessions of the test itself may take a moment to end, and a parked one to be cleaned.
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let sessions = idle(&fixture);
            let cleaned = "DISCARD SEQUENCES; EXECUTE boardinghouse_unlock";
            if sessions.len() == 1 && sessions[0].ends_with(cleaned) {
                break;
            }
            assert!(Instant::now() < deadline, "{sessions:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The last statement of each idle session that a pool has.
fn idle(fixture: &Fixture) -> Vec<String> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        query: String,
    }
    diesel::sql_query(
        "SELECT query FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() \
         AND backend_type = 'client backend' AND state = 'idle' \
         AND application_name <> 'boardinghouse listener'",
    )
    .load::<Row>(&mut fixture.connect())
    .unwrap()
    .into_iter()
    .map(|row| row.query)
    .collect()
}
