//! Which tenant answers.

use boardinghouse_actix::{Header, HostTable, PathPrefix, Subdomain};
use serde_json::{Value, json};

use crate::{
    app::serve,
    client::{Answer, get, get_with, post},
    fixture::Fixture,
};

fn json_of(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn each_host_of_the_table_gets_its_own_rows() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
    get(server.at, "globex.test", "/notes").is(200, "from-globex");
    get(server.at, "ACME.Test.:8080", "/notes").is(200, "from-acme");
    get(server.at, "acme.test:8080.", "/notes").is(200, "from-acme");
    get_with(server.at, "http://acme.test/notes", &["Host: acme.test"]).is(200, "from-acme");
    get_with(server.at, "http://globex.test/notes", &["Host: acme.test"]).is(400, "");
    for unknown in [
        "acme",
        "sub.acme.test",
        "acme.test.evil.org",
        "[::1]:8080",
        "127.0.0.1",
    ] {
        get(server.at, unknown, "/notes").is(404, "");
    }
}

#[test]
fn who_signs_up_on_an_exempt_path_is_a_tenant_from_then_on() {
    let fixture = Fixture::new();
    fixture.execute("CREATE TABLE signups (tenant text PRIMARY KEY)");
    let tenancy = fixture.tenancy().exempt("/signup/*");
    let server = serve(tenancy.resolver(Subdomain::of("test").unwrap()), 1);
    get(server.at, "new.test", "/notes").is(404, "");
    post(server.at, "test", "/signup/new", "").is(201, "new");
    get(server.at, "new.test", "/notes").is(200, "");
    post(server.at, "test", "/signup/new", "").is(409, "");
    // The application's own row fails: there is no tenant either.
    fixture.execute("INSERT INTO signups VALUES ('half')");
    post(server.at, "test", "/signup/half", "").is(500, "");
    get(server.at, "half.test", "/notes").is(404, "");
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
}

#[test]
fn an_unknown_host_is_not_found_and_the_answer_names_nothing() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(HostTable);
    let tenancy = tenancy.resolver(Subdomain::of("localhost").unwrap());
    let server = serve(tenancy, 1);
    for host in [
        "nobody.localhost",
        "nobody.test",
        "public.localhost",
        "localhost",
    ] {
        let answer = get(server.at, host, "/notes");
        answer.is(404, "");
        for name in ["nobody", "acme", "globex", "public", "boardinghouse"] {
            assert!(!answer.head.contains(name), "{answer:?}");
        }
    }
}

#[test]
fn a_malformed_host_is_a_bad_request() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    let long = format!("Host: {}", "a".repeat(300));
    for headers in [
        &["Host:"][..],
        &["Host: a b"],
        &["Host: acme.test", "Host: globex.test"],
        &[&long],
        &[],
    ] {
        get_with(server.at, "/notes", headers).is(400, "");
    }
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
}

#[test]
fn a_path_below_the_prefix_is_rewritten_before_it_is_routed() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(PathPrefix::new("/t")), 1);
    let path = |path: &str| get(server.at, "localhost", path);
    path("/t/acme/notes").is(200, "from-acme");
    path("/t/globex/notes").is(200, "from-globex");
    path("/t/acme/notes/1").is(200, "from-acme");
    path("/t/acme/target?a=/t/globex").is(200, "/target?a=/t/globex <- /t/acme/target?a=/t/globex");
    // Known tenant, no such route.
    for unrouted in [
        "/t/acme",
        "/t/acme/",
        "/t/acme//notes",
        "/t/acme/../globex/notes",
    ] {
        path(unrouted).is(404, "");
    }
    for unknown in [
        "/notes",
        "/tacme/notes",
        "/t/%61cme/notes",
        "/t/acme%2Fnotes",
        "/t//acme/notes",
        "//t/acme/notes",
        "/t/ACME/notes",
        "/t/public/notes",
        "/t/ac/notes",
        "/t/acmee/notes",
        "/%74/acme/notes",
        "/t/acme/t/globex/notes",
    ] {
        path(unknown).is(404, "");
    }
    // Exempt is the path as it was sent: below a tenant it is the tenant's.
    path("/healthz").is(200, "ok");
    path("/t/acme/healthz").is(200, "tenant acme");
}

#[test]
fn the_first_segment_is_the_tenant_where_there_is_no_prefix() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(PathPrefix::new("/")), 1);
    get(server.at, "tenants.test", "/acme/notes").is(200, "from-acme");
    get(server.at, "tenants.test", "/globex/notes").is(200, "from-globex");
    get(server.at, "tenants.test", "/notes").is(404, "");
    get(server.at, "tenants.test", "//acme/notes").is(404, "");
}

#[test]
fn a_header_counts_only_from_a_trusted_peer() {
    let fixture = Fixture::new();
    let trusting = Header::new("x-tenant").unwrap();
    let trusting = trusting.trust([server_peer()]);
    let fallback = || Subdomain::of("localhost").unwrap();
    let ask = |at, tenant: &str| {
        let header = format!("X-Tenant: {tenant}");
        get_with(at, "/notes", &["Host: globex.localhost", &header])
    };

    let tenancy = fixture.tenancy().resolver(trusting).resolver(fallback());
    let server = serve(tenancy, 1);
    ask(server.at, "acme").is(200, "from-acme");
    for other in ["1", "public", "__template__", "ACME", "nobody"] {
        ask(server.at, other).is(404, "");
    }
    get(server.at, "globex.localhost", "/notes").is(200, "from-globex");

    let tenancy = fixture.tenancy().resolver(Header::new("x-tenant").unwrap());
    let server = serve(tenancy.resolver(fallback()), 1);
    ask(server.at, "acme").is(200, "from-globex");
}

fn server_peer() -> std::net::IpAddr {
    std::net::Ipv4Addr::LOCALHOST.into()
}

#[test]
fn a_request_knows_its_tenant_and_how_it_was_routed() {
    let fixture = Fixture::new();
    let tenancy = fixture
        .tenancy()
        .resolver(PathPrefix::new("/t"))
        .resolver(Header::new("x-tenant").unwrap().trust([server_peer()]))
        .resolver(HostTable)
        .resolver(Subdomain::of("localhost").unwrap())
        .resolver(crate::resolving::claim);
    let server = serve(tenancy, 1);
    let expected = |tenant: &str, routed_by: &str, base_path: &str| {
        json!({
            "tenant": tenant, "schema": tenant, "routed_by": routed_by, "base_path": base_path,
        })
    };
    let whoami = |target: &str, headers: &[&str]| json_of(&get_with(server.at, target, headers));
    assert_eq!(
        whoami("/whoami", &["Host: acme.test"]),
        expected("acme", "host", "")
    );
    assert_eq!(
        whoami("/whoami", &["Host: ACME.localhost:8080."]),
        expected("acme", "subdomain", "")
    );
    assert_eq!(
        whoami("/t/globex/whoami", &["Host: acme.test"]),
        expected("globex", "path", "/t/globex")
    );
    assert_eq!(
        whoami("/whoami", &["Host: acme.test", "X-Tenant: globex"]),
        expected("globex", "header", "")
    );
    assert_eq!(
        whoami(
            "/whoami",
            &["Host: other.org", "Authorization: tenant globex"]
        ),
        expected("globex", "custom", "")
    );
}
