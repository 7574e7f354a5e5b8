//! Requests that try to reach a tenant that they do not name.

use boardinghouse_actix::{Header, HostTable, PathPrefix, Subdomain, Unknown};
use boardinghouse_core::{NewTenant, Provisioner};

use crate::{
    app::serve,
    client::{get, get_with, send},
    fixture::Fixture,
};

#[test]
fn forwarded_headers_choose_no_tenant() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(HostTable);
    let server = serve(tenancy.resolver(Header::new("x-tenant").unwrap()), 1);
    for header in [
        "X-Forwarded-Host: globex.test",
        "Forwarded: host=globex.test",
        "X-Original-Host: globex.test",
        "X-Host: globex.test",
        "X-Forwarded-For: 127.0.0.1",
        "X-Original-URL: /t/globex/notes",
        "X-Tenant: globex",
        "x-tenant: globex",
        "X-HTTP-Method-Override: GET",
    ] {
        get_with(server.at, "/notes", &["Host: acme.test", header]).is(200, "from-acme");
        get_with(server.at, "/notes", &["Host: nobody.test", header]).is(404, "");
    }
}

#[test]
fn a_target_that_looks_like_an_authority_is_a_path() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    get(server.at, "acme.test", "//globex.test/notes").is(404, "");
    get(server.at, "acme.test", "/@globex.test/notes").is(404, "");
    get(server.at, "acme.test", "/notes?host=globex.test").is(200, "from-acme");
    get(server.at, "acme.test", "http://acme.test@globex.test/notes").is(400, "");
    get(server.at, "acme.test", "http://globex.test:80/notes").is(400, "");
    get(server.at, "acme.test", "HTTP://ACME.test./notes").is(200, "from-acme");
}

#[test]
fn hosts_that_only_look_like_a_tenants_are_not_its() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(HostTable);
    let server = serve(tenancy.resolver(Subdomain::of("localhost").unwrap()), 1);
    for host in [
        "acme.test#globex.test",
        "acme.test?globex.test",
        "acme.test\\globex.test",
        "acme.test/globex.test",
        "acme.test,globex.test",
        "acme.test globex.test",
        "acme%2etest",
        "acme.test:80:80",
        "acme.test:-1",
        "acme.test:x",
        "[acme.test]",
        "acme..test",
        ".acme.test",
        "acme.localhost.localhost%00",
        "'; DROP TABLE boardinghouse.tenants; --",
    ] {
        let answer = get(server.at, host, "/notes");
        assert!(matches!(answer.status, 400 | 404), "{host}: {answer:?}");
        assert_eq!(answer.body, "", "{host}");
    }
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
}

#[test]
fn old_and_ambiguous_requests_are_refused_where_the_host_decides() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    let sent = |request: &str| send(server.at, request);
    sent("GET /notes HTTP/1.0\r\n\r\n").is(400, "");
    sent("GET /notes HTTP/1.0\r\nHost: acme.test\r\n\r\n").is(200, "from-acme");
    sent(
        "GET /notes HTTP/1.1\r\nConnection: close\r\nHost: acme.test\r\nhOST: globex.test\r\n\r\n",
    )
    .is(400, "");
    sent("GET http://globex.test/notes HTTP/1.0\r\n\r\n").is(200, "from-globex");
    // The second request of a connection has nothing of the first.
    let both = "GET /notes HTTP/1.1\r\nHost: acme.test\r\n\r\n\
                GET /notes HTTP/1.1\r\nHost: globex.test\r\nConnection: close\r\n\r\n";
    let answer = sent(both);
    assert!(answer.body.starts_with("from-acme"), "{answer:?}");
    assert!(answer.body.ends_with("from-globex"), "{answer:?}");
}

#[test]
fn encodings_and_dots_below_a_tenants_path_stay_with_the_tenant() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(PathPrefix::new("/t"));
    let server = serve(tenancy.resolver(HostTable), 1);
    for path in [
        "/t/acme/%2e%2e/globex/notes",
        "/t/acme/..%2fglobex/notes",
        "/t/acme/..\\globex/notes",
        "/t/acme/%2e%2e%2fglobex%2fnotes",
        "/t/acme/t/globex/notes",
        "/t/acme//t/globex/notes",
        "/t/acme/./notes/../../globex/notes",
        "/t/acme;globex/notes",
        "/t/acme%00/notes",
        "/t/globex%20/notes",
        "/t/%67lobex/notes",
        "/t/../t/globex/notes",
        "/./t/globex/notes",
    ] {
        let answer = get(server.at, "acme.test", path);
        assert_ne!(answer.body, "from-globex", "{path}");
        assert_ne!(answer.status, 500, "{path}");
    }
    // What names a tenant in the path is not overruled by the host.
    get(server.at, "acme.test", "/t/globex/notes").is(200, "from-globex");
    get(server.at, "acme.test", "/t/nobody/notes").is(404, "");
}

#[test]
fn a_domain_of_one_tenant_does_not_take_the_subdomain_of_another() {
    let fixture = Fixture::new();
    let subdomains = Subdomain::of("localhost").unwrap();
    let server = serve(
        fixture.tenancy().resolver(subdomains).resolver(HostTable),
        1,
    );
    get(server.at, "globex.localhost", "/notes").is(200, "from-globex");
    let thief =
        NewTenant::new("thief".parse().unwrap()).domain("globex.localhost".parse().unwrap());
    Provisioner::new(fixture.pool.clone())
        .create(&thief)
        .unwrap();
    get(server.at, "globex.localhost", "/notes").is(200, "from-globex");
}

#[test]
fn targets_that_are_no_paths_are_no_failure_of_the_server() {
    let fixture = Fixture::new();
    let tenancy = fixture
        .tenancy()
        .resolver(PathPrefix::new("/").optional())
        .resolver(HostTable)
        .unknown(Unknown::SharedSite)
        .site_prefix("/main");
    let server = serve(tenancy, 1);
    for (line, host) in [
        ("CONNECT x.test:443", "x.test:443"),
        ("CONNECT acme.test:443", "acme.test:443"),
        ("CONNECT acme.test", "acme.test"),
        ("OPTIONS *", "x.test"),
        ("OPTIONS *", "acme.test"),
        ("GET http://x.test", "x.test"),
        ("GET http://acme.test?x", "acme.test"),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = send(server.at, &request);
        assert!((400..500).contains(&answer.status), "{line}: {answer:?}");
    }
}
