//! Several resolvers together.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::web;
use boardinghouse_actix::{
    Cookie, Header, HostTable, Incoming, PathPrefix, Resolution, Subdomain, Unknown,
};
use boardinghouse_core::{Access, ByMembership, User};

use crate::{
    app::{serve, serve_routes},
    client::{get, get_with, until},
    fixture::Fixture,
};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn header() -> Header {
    Header::new("x-tenant").unwrap().trust([PEER])
}

#[test]
fn the_first_that_names_a_tenant_decides_unless_conflicts_are_denied() {
    let fixture = Fixture::new();
    let chain = || fixture.tenancy().resolver(HostTable).resolver(header());
    let first = serve(chain(), 1);
    let deny = serve(chain().deny_conflicts(), 1);
    let host = "Host: acme.test";
    get_with(first.at, "/notes", &[host, "X-Tenant: globex"]).is(200, "from-acme");
    get_with(first.at, "/notes", &[host, "X-Tenant: nobody"]).is(200, "from-acme");
    get_with(deny.at, "/notes", &[host, "X-Tenant: globex"]).is(400, "");
    get_with(deny.at, "/notes", &[host, "X-Tenant: nobody"]).is(400, "");
    get_with(deny.at, "/notes", &[host, "X-Tenant: acme"]).is(200, "from-acme");
    get_with(deny.at, "/notes", &[host]).is(200, "from-acme");
    get_with(deny.at, "/notes", &["Host: x.test", "X-Tenant: globex"]).is(200, "from-globex");
    get_with(deny.at, "/notes", &["Host: x.test"]).is(404, "");
}

#[test]
fn a_default_tenant_serves_who_names_none() {
    let fixture = Fixture::new();
    fixture.add("www");
    let tenancy = fixture.tenancy().resolver(HostTable);
    let tenancy = tenancy.resolver(Subdomain::of("localhost").unwrap());
    let server = serve(tenancy.default_tenant("www".parse().unwrap()), 1);
    get(server.at, "nobody.test", "/notes").is(200, "from-www");
    get(server.at, "localhost", "/notes").is(200, "from-www");
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
    // Named, and not there: a slip must not lead into somebody's data.
    get(server.at, "nobody.localhost", "/notes").is(404, "");
    get(server.at, "public.localhost", "/notes").is(404, "");
    get(server.at, "a b", "/notes").is(400, "");
}

#[test]
fn a_default_tenant_that_does_not_exist_is_nobody() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().default_tenant("www".parse().unwrap());
    let server = serve(tenancy, 1);
    get(server.at, "nobody.test", "/notes").is(404, "");
}

#[test]
fn a_prefix_that_is_optional_leaves_pages_to_others() {
    let fixture = Fixture::new();
    fixture.add("main");
    let tenancy = fixture.tenancy().resolver(PathPrefix::new("/").optional());
    let tenancy = tenancy.resolver(HostTable);
    let server = serve(tenancy, 1);
    get(server.at, "main.test", "/acme/notes").is(200, "from-acme");
    get(server.at, "main.test", "/notes").is(200, "from-main");
    get(server.at, "main.test", "/public/notes").is(404, "");
    get(server.at, "nobody.test", "/notes").is(404, "");
}

#[test]
fn a_resolver_may_wait() {
    let fixture = Fixture::new();
    let tenancy = fixture
        .tenancy()
        .async_resolver(async |request: &Incoming<'_>| {
            let Some(key) = request.headers().get("x-api-key") else {
                return Ok(Resolution::Pass);
            };
            let key = key.to_str()?.to_owned();
            actix_web::rt::task::yield_now().await;
            match key.as_str() {
                "down" => Err("the directory is down".into()),
                key => Ok(Resolution::named(key)),
            }
        });
    let server = serve(tenancy.resolver(HostTable), 1);
    let ask = |key: &str| {
        let key = format!("X-Api-Key: {key}");
        get_with(server.at, "/notes", &["Host: acme.test", &key])
    };
    ask("globex").is(200, "from-globex");
    ask("nobody").is(404, "");
    ask("public").is(404, "");
    ask("down").is(503, "");
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
}

#[test]
fn a_proxy_is_believed_only_where_it_is_trusted() {
    let fixture = Fixture::new();
    let tenancy = || fixture.tenancy().resolver(HostTable);
    let trusting = serve(tenancy().trust_proxy([PEER]), 1);
    let wary = serve(
        tenancy().trust_proxy(["10.0.0.1".parse::<IpAddr>().unwrap()]),
        1,
    );
    let forwarded = |at, hosts: &[&str]| {
        let mut headers = vec!["Host: acme.test".to_owned()];
        headers.extend(hosts.iter().map(|host| format!("X-Forwarded-Host: {host}")));
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        get_with(at, "/notes", &headers)
    };
    forwarded(trusting.at, &["GLOBEX.test:443"]).is(200, "from-globex");
    forwarded(trusting.at, &["nobody.test"]).is(404, "");
    forwarded(trusting.at, &[]).is(200, "from-acme");
    forwarded(trusting.at, &["globex.test", "acme.test"]).is(400, "");
    forwarded(trusting.at, &["globex.test, acme.test"]).is(400, "");
    forwarded(trusting.at, &[""]).is(400, "");
    forwarded(wary.at, &["globex.test"]).is(200, "from-acme");
}

#[test]
fn a_redirect_is_to_the_port_that_the_client_used_not_to_the_one_behind_the_proxy() {
    let fixture = Fixture::new();
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, tenant_id, redirect_to_primary)
         VALUES ('old.test', 'acme', true)",
    );
    let tenancy = fixture.tenancy().resolver(HostTable).trust_proxy([PEER]);
    let server = serve(tenancy, 1);
    for (host, location) in [
        ("old.test", "//acme.test/notes?x=1"),
        ("old.test:8443", "//acme.test:8443/notes?x=1"),
    ] {
        let forwarded = format!("X-Forwarded-Host: {host}");
        let headers = ["Host: 10.0.0.7:9000", &forwarded];
        let answer = get_with(server.at, "/notes?x=1", &headers);
        assert_eq!(answer.status, 308);
        assert_eq!(answer.header("location").as_deref(), Some(location));
    }
}

/// Who is in the header is who it is: for tests.
fn user(request: &Incoming<'_>) -> Result<Option<User>, boardinghouse_actix::BoxError> {
    let user = request.headers().get("x-user");
    Ok(user.map(|user| User::new(user.to_str().unwrap_or_default())))
}

#[test]
fn what_anybody_can_write_counts_as_far_as_the_user_has_a_right() {
    let fixture = Fixture::new();
    fixture.execute(
        "INSERT INTO boardinghouse.members VALUES
         ('ada', 'acme', 'editor'), ('bob', 'globex', 'reader')",
    );
    let open = fixture
        .tenancy()
        .resolver(Header::new("x-tenant").unwrap().from_anybody())
        .resolver(Cookie::new("tenant"))
        .resolver(HostTable)
        .users(user);
    let server = serve(open.clone().access(Access::new(ByMembership)), 1);
    let ask = |who: &str, how: &str| {
        let who = format!("X-User: {who}");
        get_with(server.at, "/notes", &["Host: globex.test", &who, how])
    };
    for how in ["X-Tenant: acme", "Cookie: tenant=acme"] {
        let answer = ask("ada", how);
        answer.is(200, "from-acme");
        let named_in = how.split_once(':').map(|(name, _)| name.to_lowercase());
        assert_eq!(answer.header("vary"), named_in);
        ask("bob", how).is(403, "");
        ask("nobody", how).is(403, "");
        get_with(server.at, "/notes", &["Host: globex.test", how]).is(403, "");
    }
    // Whether there is such a tenant cannot be told from a header, nor from a cookie.
    for how in ["X-Tenant: 1", "X-Tenant: nobody", "Cookie: tenant=nobody"] {
        ask("ada", how).is(403, "");
        get_with(server.at, "/notes", &["Host: globex.test", how]).is(403, "");
    }
    // Nor where conflicts are denied.
    let strict = serve(
        open.clone()
            .access(Access::new(ByMembership))
            .deny_conflicts(),
        1,
    );
    for tenant in ["acme", "nobody"] {
        for how in [
            format!("X-Tenant: {tenant}"),
            format!("Cookie: tenant={tenant}"),
        ] {
            let headers = ["Host: globex.test", "X-User: bob", &how];
            get_with(strict.at, "/notes", &headers).is(403, "");
        }
    }
    // A cookie that can be no id is left to the next resolver.
    ask("bob", "Cookie: tenant=No Id").is(200, "from-globex");
    // The host names its tenant whoever asks.
    ask("ada", "X-Other: x").is(200, "from-globex");

    // A right that is taken back, by somebody else, is gone.
    fixture.execute("DELETE FROM boardinghouse.members WHERE user_id = 'ada'");
    until(403, || ask("ada", "X-Tenant: acme")).is(403, "");
    fixture.execute("INSERT INTO boardinghouse.members VALUES ('ada', 'acme', 'reader')");
    until(200, || ask("ada", "X-Tenant: acme")).is(200, "from-acme");

    // Nobody said who may: nobody may.
    let server = serve(open, 1);
    get_with(
        server.at,
        "/notes",
        &["Host: globex.test", "X-User: ada", "X-Tenant: acme"],
    )
    .is(500, "");
    get(server.at, "globex.test", "/notes").is(200, "from-globex");
}

#[test]
fn a_restricted_site_lets_only_members_in_however_they_came() {
    let fixture = Fixture::new();
    fixture.execute("INSERT INTO boardinghouse.members VALUES ('ada', 'acme', 'editor')");
    let tenancy = fixture
        .tenancy()
        .resolver(HostTable)
        .users(user)
        .restricted();
    let server = serve(tenancy.clone().access(Access::new(ByMembership)), 1);
    let ask = |host: &str, who: &str| {
        get_with(
            server.at,
            "/notes",
            &[&format!("Host: {host}"), &format!("X-User: {who}")],
        )
    };
    ask("acme.test", "ada").is(200, "from-acme");
    ask("globex.test", "ada").is(403, "");
    ask("acme.test", "bob").is(403, "");
    get(server.at, "acme.test", "/notes").is(403, "");
    let server = serve(tenancy, 1);
    get(server.at, "acme.test", "/notes").is(500, "");
}

#[test]
fn who_has_the_cookie_of_a_tenant_that_is_gone_can_choose_another() {
    let fixture = Fixture::new();
    let tenancy = fixture
        .tenancy()
        .resolver(Cookie::new("tenant"))
        .users(user)
        .access(Access::new(ByMembership))
        .unknown(Unknown::SharedSite)
        .chooser("/choose");
    let server = serve_routes(tenancy, 1, |app| {
        app.route("/choose", web::get().to(async || "which?"));
    });
    for tenant in ["nobody", "acme"] {
        let cookie = format!("Cookie: tenant={tenant}");
        let headers = ["Host: x.test", "Accept: text/html", &cookie];
        get_with(server.at, "/choose", &headers).is(200, "which?");
    }
}
