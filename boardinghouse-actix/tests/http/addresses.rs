//! Domains with folders, redirects and the many ways to write a host or a path.

use boardinghouse_actix::{HostTable, PathPrefix, Subdomain};

use crate::{
    app::serve,
    client::{get, get_with, post, until},
    fixture::Fixture,
};

/// On top of the fixture's: `shared.test/acme`, `shared.test/gx` and the domain itself, for `main`.
fn with_folders() -> Fixture {
    let fixture = Fixture::new();
    fixture.add("main");
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, folder, tenant_id) VALUES
         ('shared.test', 'acme', 'acme'), ('shared.test', 'gx', 'globex'),
         ('shared.test', '', 'main'), ('tenants.test', 'acme', 'acme')",
    );
    fixture
}

#[test]
fn several_domains_and_folders_lead_to_one_tenant() {
    let fixture = with_folders();
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, tenant_id) VALUES ('a2.test', 'acme')",
    );
    let tenancy = fixture.tenancy();
    let tenancy = tenancy.resolver(Subdomain::of("localhost").unwrap());
    let tenancy = tenancy.resolver(HostTable);
    let server = serve(tenancy.resolver(PathPrefix::new("/clients")), 1);
    for (host, path) in [
        ("acme.localhost", "/notes"),
        ("acme.test", "/notes"),
        ("a2.test", "/notes"),
        ("shared.test", "/acme/notes"),
        ("tenants.test", "/acme/notes"),
        ("other.test", "/clients/acme/notes"),
    ] {
        get(server.at, host, path).is(200, "from-acme");
    }
    get(server.at, "shared.test", "/gx/notes").is(200, "from-globex");
    get(server.at, "shared.test", "/notes").is(200, "from-main");
    // A domain of its own is not divided, and a domain of folders has no site of its own.
    get(server.at, "acme.test", "/gx/notes").is(404, "");
    get(server.at, "tenants.test", "/notes").is(404, "");
}

#[test]
fn a_folder_is_the_first_segment_as_it_was_sent() {
    let fixture = with_folders();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    let target = |path: &str| get(server.at, "shared.test", path);
    // Of the folder's tenant, and routed without it.
    for (path, seen) in [
        ("/acme/target", "/target <- /acme/target"),
        ("/acme/target?x=/gx", "/target?x=/gx <- /acme/target?x=/gx"),
        ("/gx/target", "/target <- /gx/target"),
    ] {
        target(path).is(200, seen);
    }
    // The folder's tenant has no such page.
    for path in [
        "/acme",
        "/acme/",
        "/acme//notes",
        "/acme/../gx/notes",
        "/acme/./notes",
        "/acme/..%2fgx/notes",
        "/acme/gx/notes",
        "/acme/%2e%2e/gx/notes",
    ] {
        target(path).is(404, "");
    }
    // Nobody's folder: the whole path is the page of who has the domain, who has none of these.
    for path in [
        "/ac/notes",
        "/acmee/notes",
        "/ACME/notes",
        "/%61cme/notes",
        "/acme%2fnotes",
        "/acme%00/notes",
        "//acme/notes",
        "/./acme/notes",
        "/../acme/notes",
        "/notes/../acme/notes",
        "/acme;x/notes",
        "/-acme/notes",
    ] {
        target(path).is(404, "");
    }
    target("/notes").is(200, "from-main");
    target("/notes?folder=acme").is(200, "from-main");
}

#[test]
fn a_host_is_the_same_however_it_is_written() {
    let fixture = Fixture::new();
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, tenant_id) VALUES
         ('[::1]', 'acme'), ('127.0.0.1', 'globex')",
    );
    let server = serve(fixture.tenancy().resolver(HostTable).ignore_www(), 1);
    for host in [
        "acme.test",
        "ACME.TEST",
        "acme.test.",
        "acme.test:8080",
        "acme.test.:8080",
        "WWW.Acme.Test.:8080",
        "www.acme.test",
        "[::1]",
        "[::1]:8080",
        "[0:0::1]:8080",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
    ] {
        get(server.at, host, "/notes").is(200, "from-acme");
    }
    get(server.at, "127.0.0.1:8080", "/notes").is(200, "from-globex");
    for unknown in [
        "www.www.acme.test",
        "wwww.acme.test",
        "wwwacme.test",
        "www.test",
        "[::2]:8080",
        "acme",
        "xacme.test",
    ] {
        get(server.at, unknown, "/notes").is(404, "");
    }
    let long = "a".repeat(300);
    for bad in [
        "",
        ".",
        "..",
        "acme..test",
        "acme.test..",
        "acme.test:80:80",
        "acme.test:http",
        "a b",
        "[::1",
        "::1",
        "[::1]x",
        "[::g]",
        "acme.test/notes",
        "acme%2etest",
        "user@acme.test",
        "acme.test?x",
        "acme.test#x",
        "acme.test,globex.test",
        &long,
    ] {
        get(server.at, bad, "/notes").is(400, "");
    }
    let two = ["Host: acme.test", "Host: acme.test"];
    get_with(server.at, "/notes", &two).is(400, "");
    get_with(server.at, "/notes", &[]).is(400, "");
}

#[test]
fn www_is_looked_up_as_it_is_unless_it_is_to_be_ignored() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    get(server.at, "www.acme.test", "/notes").is(404, "");
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, tenant_id) VALUES ('www.acme.test', 'globex')",
    );
    // A name of its own comes first.
    let server = serve(fixture.tenancy().resolver(HostTable).ignore_www(), 1);
    get(server.at, "www.acme.test", "/notes").is(200, "from-globex");
}

#[test]
fn an_address_that_redirects_keeps_path_query_and_method() {
    let fixture = with_folders();
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, folder, tenant_id, redirect_to_primary) VALUES
         ('old.test', '', 'acme', true), ('shared.test', 'old', 'acme', true),
         ('gone.test', '', 'globex', true)",
    );
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    let to = |answer: crate::client::Answer| {
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (308, ""),
            "{answer:?}"
        );
        answer.header("location").unwrap()
    };
    let at = |host: &str, target: &str| to(get(server.at, host, target));
    assert_eq!(at("old.test", "/x?q=1&r=/a"), "//acme.test/x?q=1&r=/a");
    assert_eq!(at("old.test", "/"), "//acme.test/");
    assert_eq!(
        at("old.test:8080", "//evil.test/x"),
        "//acme.test:8080/evil.test/x"
    );
    assert_eq!(at("shared.test", "/old/x?q"), "//acme.test/x?q");
    assert_eq!(at("shared.test", "/old"), "//acme.test/");
    assert_eq!(
        to(post(server.at, "old.test", "/notes", "x")),
        "//acme.test/notes"
    );
    get(server.at, "acme.test", "/notes").is(200, "from-acme");

    // The primary address becomes a folder of another domain.
    fixture.execute(
        "UPDATE boardinghouse.domains SET is_primary = false WHERE tenant_id = 'acme';
         UPDATE boardinghouse.domains SET is_primary = true
             WHERE domain = 'shared.test' AND folder = 'acme'",
    );
    let moved = || {
        let mut answer = get(server.at, "old.test", "/x?q=1");
        let is_new = answer.header("location").as_deref() == Some("//shared.test/acme/x?q=1");
        answer.status = if is_new { 1 } else { 0 };
        answer
    };
    until(1, moved);
    // Without a primary address there is nowhere to send anybody.
    fixture.execute("UPDATE boardinghouse.domains SET is_primary = false");
    until(200, || get(server.at, "old.test", "/notes")).is(200, "from-acme");
}
