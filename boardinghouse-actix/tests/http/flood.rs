//! Many made-up names, and a registry that does not answer.

use std::{thread, time::Duration};

use boardinghouse_actix::{HostTable, PathPrefix, Unknown};
use boardinghouse_core::TenantPool;
use diesel::{
    RunQueryDsl as _, connection::SimpleConnection as _, dsl::sql, select, sql_types::BigInt,
};

use crate::{
    app::serve,
    client::{Answer, get, until},
    fixture::Fixture,
};

/// Requests of a flood, from as many clients at once as there are tens of them.
const FLOOD: usize = 300;

#[test]
fn a_flood_of_made_up_hosts_takes_few_connections_and_known_tenants_stay_served() {
    let pool = TenantPool::builder().max_size(8);
    let fixture = Fixture::with_pool(pool.registry_ttl(Duration::from_secs(60)));
    let tenancy = fixture.tenancy().resolver(PathPrefix::new("/t"));
    let tenancy = tenancy
        .resolver(HostTable)
        .unknown(Unknown::SharedSite)
        .lookup_timeout(Duration::from_millis(300));
    while !fixture.pool.state().listening {
        thread::yield_now();
    }
    let cache = tenancy.cache().clone();
    let server = serve(tenancy, 2);
    let acme = || get(server.at, "acme.test", "/notes");
    let refused = |answer: &Answer| {
        answer.is(503, "");
        assert!(answer.head.contains("\r\nretry-after: "), "{answer:?}");
    };
    acme().is(200, "from-acme");
    get(server.at, "x.test", "/t/acme/notes").is(200, "from-acme");

    let mut lock = fixture.connect();
    lock.batch_execute("BEGIN; LOCK TABLE boardinghouse.domains")
        .unwrap();
    let before = cache.stats().loads;
    thread::scope(|scope| {
        for client in 0..FLOOD / 10 {
            let at = server.at;
            scope.spawn(move || {
                for n in 0..10 {
                    refused(&get(at, &format!("h{client}-{n}.test"), "/whoami"));
                }
            });
        }
        while waiting(&fixture) < 2 {
            thread::yield_now();
        }
        for _ in 0..20 {
            acme().is(200, "from-acme");
            get(server.at, "127.0.0.1", "/healthz").is(200, "ok");
        }
    });
    assert_eq!(waiting(&fixture), 2, "a quarter of the pool, and no more");
    // What was not asked for is not kept, either.
    assert_eq!(cache.stats().loads - before, 2);

    // What was found before does not wait behind what never was.
    cache.clear();
    get(server.at, "x.test", "/t/acme/notes").is(200, "from-acme");
    refused(&get(server.at, "x.test", "/t/globex/notes"));
    refused(&get(server.at, "x.test", "/t/nobody/notes"));
    // But it, too, waits for a registry that does not answer, and not for ever.
    refused(&acme());

    lock.batch_execute("ROLLBACK").unwrap();
    until(200, acme).is(200, "from-acme");
    until(200, || get(server.at, "globex.test", "/notes")).is(200, "from-globex");
    until(404, || get(server.at, "h0-0.test", "/whoami"));
}

/// Who waits for the table.
fn waiting(fixture: &Fixture) -> i64 {
    select(sql::<BigInt>(
        "(SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database \
         WHERE datname = current_database() AND locktype = 'relation' AND NOT granted)",
    ))
    .get_result(&mut fixture.connect())
    .unwrap()
}
