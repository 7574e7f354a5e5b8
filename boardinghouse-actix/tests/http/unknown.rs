//! Requests that name no tenant, and tenants that are not served.

use std::time::Duration;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
    web,
};
use boardinghouse_actix::{HostTable, PathPrefix, Tenant, Unknown};
use boardinghouse_core::{NewTenant, Provisioner, TenantPool, TenantStatus};

use crate::{
    app::{serve, serve_routes},
    client::{get, get_with, until},
    fixture::Fixture,
};

#[test]
fn the_status_can_be_chosen() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(HostTable);
    let server = serve(tenancy.unknown(StatusCode::BAD_REQUEST), 1);
    get(server.at, "nobody.test", "/notes").is(400, "");
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
}

#[test]
fn the_application_can_answer_itself() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(HostTable);
    let tenancy = tenancy.unknown(Unknown::handler(async |request| {
        HttpResponse::ImATeapot().body(format!("nobody at {}", request.path()))
    }));
    let server = serve(tenancy, 1);
    get(server.at, "nobody.test", "/x").is(418, "nobody at /x");
    get(server.at, "a b", "/x").is(400, "");
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
}

fn site(app: &mut web::ServiceConfig) {
    app.route(
        "/",
        web::get().to(async |tenant: Option<Tenant>| {
            tenant.map_or("the public site".to_owned(), |tenant| {
                tenant.id().to_string()
            })
        }),
    )
    .route("/only", web::get().to(async |_: Tenant| "a tenant"));
}

#[test]
fn the_shared_site_has_no_tenant_and_its_handlers_can_say_that_they_need_one() {
    let fixture = Fixture::new();
    let shared = || {
        fixture
            .tenancy()
            .resolver(HostTable)
            .unknown(Unknown::SharedSite)
    };
    let server = serve_routes(shared(), 1, site);
    get(server.at, "nobody.test", "/").is(200, "the public site");
    get(server.at, "nobody.test", "/only").is(404, "");
    get(server.at, "acme.test", "/").is(200, "acme");
    get(server.at, "acme.test", "/only").is(200, "a tenant");

    let server = serve_routes(shared().chooser("/choose"), 1, site);
    let browser = ["Host: nobody.test", "Accept: text/html,*/*;q=0.8"];
    let answer = get_with(server.at, "/only", &browser);
    assert_eq!(
        (answer.status, answer.header("location").as_deref()),
        (302, Some("/choose"))
    );
    let answer = get_with(
        server.at,
        "/only",
        &["Host: nobody.test", "Accept: application/json"],
    );
    answer.is(409, r#"{"error":"no tenant was chosen"}"#);
}

#[test]
fn below_a_prefix_that_names_nobody_there_is_the_shared_site_and_never_a_tenant() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(PathPrefix::new("/t"));
    let server = serve_routes(tenancy.unknown(Unknown::SharedSite), 1, site);
    get(server.at, "x", "/").is(200, "the public site");
    get(server.at, "x", "/t/acme/").is(200, "acme");
    get(server.at, "x", "/t/public/").is(404, "");
    get(server.at, "x", "/t/__template__/").is(404, "");
}

#[test]
fn a_tenant_that_is_not_ready_has_a_status_and_a_page_of_the_applications() {
    let fixture = Fixture::new();
    let tenancy = fixture
        .tenancy()
        .resolver(HostTable)
        .suspended(StatusCode::GONE);
    let plain = serve(tenancy.clone(), 1);
    let pages = tenancy.status_page(|request, tenant| match tenant.status() {
        TenantStatus::Suspended => Some(
            HttpResponse::PaymentRequired()
                .insert_header((header::RETRY_AFTER, 3600))
                .body(format!("{} at {}", tenant.display_name(), request.path())),
        ),
        _ => None,
    });
    let pages = serve(pages, 1);
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'");
    get(plain.at, "acme.test", "/notes").is(410, "");
    let page = get(pages.at, "acme.test", "/notes");
    page.is(402, "acme at /notes");
    assert_eq!(page.header("retry-after").as_deref(), Some("3600"));
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'pending' WHERE id = 'acme'");
    until(503, || get(pages.at, "acme.test", "/notes")).is(503, "");
    get(pages.at, "globex.test", "/notes").is(200, "from-globex");
}

/// The pool asks for itself, and may know before what remembers the registry for requests.
#[test]
fn the_page_is_the_same_where_the_pool_is_the_first_to_know() {
    let pool = TenantPool::builder().registry_ttl(Duration::from_secs(60));
    let fixture = Fixture::with_pool(pool.without_listener());
    let tenancy = fixture
        .tenancy()
        .resolver(HostTable)
        .suspended(StatusCode::GONE);
    let plain = serve(tenancy.clone(), 1);
    let pages = serve(
        tenancy.status_page(|_, tenant| {
            Some(HttpResponse::PaymentRequired().body(tenant.display_name().to_owned()))
        }),
        1,
    );
    for server in [&plain, &pages] {
        get(server.at, "acme.test", "/target").is(200, "/target <- /target");
    }
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'");
    for server in [&plain, &pages] {
        // It is still remembered as ready.
        get(server.at, "acme.test", "/target").is(200, "/target <- /target");
    }
    get(plain.at, "acme.test", "/notes").is(410, "");
    get(pages.at, "acme.test", "/notes").is(402, "acme");
    // From now on it is known.
    get(plain.at, "acme.test", "/target").is(410, "");
}

#[test]
fn a_request_that_runs_when_its_tenant_is_suspended_finishes() {
    use diesel::connection::SimpleConnection as _;
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 2);
    let mut holder = fixture.connect();
    holder.batch_execute("SELECT pg_advisory_lock(1)").unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| get(server.at, "acme.test", "/slow"));
        while crate::load::waiting(&fixture) == 0 {
            std::thread::yield_now();
        }
        fixture.execute("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'");
        until(403, || get(server.at, "acme.test", "/notes")).is(403, "");
        holder
            .batch_execute("SELECT pg_advisory_unlock(1)")
            .unwrap();
        running.join().unwrap().is(200, "from-acme");
    });
}

#[test]
fn a_tenant_that_is_registered_for_later_is_told_to_come_back_and_shows_nothing() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    let provisioner = Provisioner::new(fixture.pool.clone());
    let new = NewTenant::new("later".parse().unwrap())
        .domain("later.test".parse().unwrap())
        .deferred();
    provisioner.create(&new).unwrap();
    let answer = get(server.at, "later.test", "/notes");
    answer.is(503, "");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    provisioner.provision(new.id()).unwrap();
    until(200, || get(server.at, "later.test", "/notes")).is(200, "");
}
