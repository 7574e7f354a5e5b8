//! What a request costs of the registry, and how soon a change of it is heard of.

use std::time::Duration;

use boardinghouse_actix::{HostTable, PathPrefix, Subdomain};
use boardinghouse_core::{NewTenant, PgRegistry, Provisioner, TenantPool};

use crate::{
    app::serve,
    client::{Answer, get, post, until},
    fixture::Fixture,
};

#[test]
fn in_steady_state_the_registry_is_not_asked() {
    // A listener that the machine keeps waiting does not make a test of the cache fail.
    let pool = TenantPool::builder().registry_ttl(Duration::from_secs(60));
    let fixture = Fixture::with_pool(pool);
    let tenancy = fixture.tenancy().resolver(HostTable);
    let tenancy = tenancy.resolver(PathPrefix::new("/t"));
    while !fixture.pool.state().listening {
        std::thread::yield_now();
    }
    let server = serve(tenancy.clone(), 2);
    let round = || {
        get(server.at, "acme.test", "/target").is(200, "/target <- /target");
        get(server.at, "nobody.test", "/target").is(404, "");
        get(server.at, "x.test", "/t/globex/target").is(200, "/target <- /t/globex/target");
        get(server.at, "x.test", "/t/nobody/target").is(404, "");
    };
    round();
    let loads = tenancy.cache().stats().loads;
    assert_eq!(
        loads, 8,
        "three hosts, each and its folders, two ids, and no more"
    );
    for _ in 0..500 {
        round();
    }
    assert_eq!(tenancy.cache().stats().loads, loads);
}

#[test]
fn who_wants_a_name_that_is_taken_does_not_take_its_owner_out_of_the_cache() {
    let pool = TenantPool::builder().registry_ttl(Duration::from_secs(60));
    let fixture = Fixture::with_pool(pool);
    let tenancy = fixture.tenancy().exempt("/signup/acme");
    let tenancy = tenancy.resolver(HostTable);
    while !fixture.pool.state().listening {
        std::thread::yield_now();
    }
    let server = serve(tenancy.clone(), 1);
    let ask = || get(server.at, "acme.test", "/target").is(200, "/target <- /target");
    ask();
    post(server.at, "x.test", "/signup/acme", "").is(409, "");
    ask();
    let loads = tenancy.cache().stats().loads;
    for _ in 0..10 {
        ask();
    }
    assert_eq!(tenancy.cache().stats().loads, loads);
}

#[test]
fn names_that_are_made_up_do_not_grow_memory() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(HostTable);
    let cache = tenancy.cache().clone().with_capacity(50);
    let tenancy = boardinghouse_actix::Tenancy::new(cache.clone()).resolver(HostTable);
    let server = serve(tenancy, 1);
    for n in 0..500 {
        get(server.at, &format!("h{n}.test"), "/notes").is(404, "");
        get(server.at, "acme.test", "/notes").is(200, "from-acme");
    }
    let entries = cache.stats().entries;
    assert!(entries <= 5 * 50, "{entries}");
}

/// Two servers that share nothing but the database stand for two processes.
#[test]
fn a_change_is_heard_of_everywhere() {
    let fixture = Fixture::new();
    let other = TenantPool::builder();
    let other = boardinghouse_actix::Tenancy::new(PgRegistry::new(fixture.pool(other)));
    let resolvers = |tenancy: boardinghouse_actix::Tenancy| {
        let tenancy = tenancy.resolver(HostTable);
        serve(tenancy.resolver(Subdomain::of("localhost").unwrap()), 1)
    };
    let servers = [resolvers(fixture.tenancy()), resolvers(other)];
    let everywhere = |status: u16, host: &str| -> Vec<Answer> {
        let asked = servers
            .iter()
            .map(|s| until(status, || get(s.at, host, "/notes")));
        asked.collect()
    };
    let provisioner = Provisioner::new(fixture.pool.clone());
    everywhere(404, "new.test");
    everywhere(404, "new.localhost");
    let new = NewTenant::new("new".parse().unwrap()).domain("new.test".parse().unwrap());
    provisioner.create(&new).unwrap();
    // Who created it knows at once.
    get(servers[0].at, "new.test", "/notes").is(200, "");
    get(servers[0].at, "new.localhost", "/notes").is(200, "");
    everywhere(200, "new.test");
    everywhere(200, "new.localhost");
    provisioner.suspend(new.id()).unwrap();
    get(servers[0].at, "new.test", "/notes").is(403, "");
    everywhere(403, "new.test");
    provisioner.resume(new.id()).unwrap();
    everywhere(200, "new.localhost");
    let newer = "newer".parse().unwrap();
    provisioner.rename(new.id(), &newer).unwrap();
    get(servers[0].at, "new.localhost", "/notes").is(404, "");
    everywhere(404, "new.localhost");
    everywhere(200, "newer.localhost");
    everywhere(200, "new.test");
    provisioner.delete(&newer).unwrap();
    get(servers[0].at, "new.test", "/notes").is(404, "");
    everywhere(404, "new.test");
    everywhere(404, "newer.localhost");
    // By hand: a domain that goes to another tenant.
    everywhere(200, "acme.test");
    fixture.execute(
        "UPDATE boardinghouse.domains SET domain = 'x.' || domain WHERE tenant_id = 'globex';
         UPDATE boardinghouse.domains SET tenant_id = 'globex', is_primary = false
             WHERE tenant_id = 'acme'",
    );
    for server in &servers {
        let moved = || {
            let mut answer = get(server.at, "acme.test", "/notes");
            answer.status = if answer.body == "from-globex" { 1 } else { 0 };
            answer
        };
        until(1, moved);
    }
}

#[test]
fn a_listener_that_is_killed_comes_back_and_nothing_was_missed() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
    for _ in 0..3 {
        fixture.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = 'boardinghouse listener' AND datname = current_database();
             UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'",
        );
        until(403, || get(server.at, "acme.test", "/notes"));
        fixture.execute("UPDATE boardinghouse.tenants SET status = 'ready' WHERE id = 'acme'");
        until(200, || get(server.at, "acme.test", "/notes")).is(200, "from-acme");
    }
}
