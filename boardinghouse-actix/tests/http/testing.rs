//! The client for tests lands in its tenant, however the application routes.

use std::net::IpAddr;

use actix_web::{
    App, HttpMessage as _, HttpRequest,
    dev::Service as _,
    http::{Method, StatusCode, header},
    test::{call_and_read_body, call_service, init_service},
    web,
};
use boardinghouse_actix::{
    Claim, Cookie, Header, HostTable, Incoming, PathPrefix, Resolution, Subdomain, Tenancy, Tenant,
    testing::TenantClient,
};
use boardinghouse_core::{Access, Decision, TenantId, Visit, testing::TestTenant};
use serde_json::{Value, json};

use crate::{app::routes, fixture::Fixture};

/// A tenant with a domain, and a folder, of its own.
fn tenant(fixture: &Fixture) -> TestTenant {
    TestTenant::with(&fixture.pool, |new| {
        let id = new.id().clone();
        new.domain(format!("{id}.notes.test").parse().unwrap())
            .address(format!("folders.test/{id}").parse().unwrap())
    })
    .unwrap()
}

/// What the application says of who asks. It believes what it is told in `Authorization`.
async fn whoami(tenancy: &Tenancy, client: &TenantClient) -> Value {
    let app = App::new()
        .wrap(tenancy.middleware())
        .configure(routes)
        .wrap_fn(|request, next| {
            if let Some(token) = request.headers().get(header::AUTHORIZATION) {
                let claims = Claims(token.to_str().unwrap().to_owned());
                request.extensions_mut().insert(claims);
            }
            next.call(request)
        });
    let app = init_service(app).await;
    let body = call_and_read_body(&app, client.get("/whoami").to_request()).await;
    serde_json::from_slice(&body).unwrap()
}

struct Claims(String);

#[actix_web::test]
async fn a_request_lands_in_its_tenant_by_each_way_to_route() {
    let fixture = Fixture::new();
    let loopback: IpAddr = [127, 0, 0, 1].into();
    let header = Header::new("x-tenant").unwrap().trust([loopback]);
    let by_own_header = |request: &Incoming<'_>| {
        let named = request.headers().get("x-whose");
        let named = named.and_then(|value| TenantId::parse(value.to_str().ok()?).ok());
        Ok(named.map_or(Resolution::Pass, Resolution::Tenant))
    };
    // All at once: each request takes the way that its client is for.
    let tenancy = fixture
        .tenancy()
        .access(Access::new(|_: &Visit<'_>| Decision::Allow))
        .resolver(PathPrefix::new("/t"))
        .resolver(header)
        .resolver(Cookie::new("tenant"))
        .resolver(Claim::new(|claims: &Claims| Some(claims.0.as_str())))
        .resolver(by_own_header)
        .resolver(Subdomain::of("localhost").unwrap())
        .resolver(HostTable);
    let (one, two) = (tenant(&fixture), tenant(&fixture));
    for own in [&one, &two] {
        let id = own.id();
        let (host, folder) = (format!("{id}.notes.test"), format!("folders.test/{id}"));
        let token = (header::AUTHORIZATION, id.as_str());
        let localhost = TenantClient::by_host("localhost");
        for (client, routed_by, base) in [
            (TenantClient::by_host(&host), "host", String::new()),
            (TenantClient::by_host(&folder), "folder", format!("/{id}")),
            (
                TenantClient::by_subdomain(own, "localhost"),
                "subdomain",
                String::new(),
            ),
            (TenantClient::by_path(own, "/t"), "path", format!("/t/{id}")),
            (
                TenantClient::by_header(own, "X-Tenant"),
                "header",
                String::new(),
            ),
            (
                TenantClient::by_cookie(own, "tenant"),
                "cookie",
                String::new(),
            ),
            (localhost.clone().header(token), "claim", String::new()),
            (
                localhost.header(("x-whose", id.as_str())),
                "custom",
                String::new(),
            ),
        ] {
            let expected = json!({
                "tenant": id, "schema": own.schema(), "routed_by": routed_by, "base_path": base,
            });
            assert_eq!(whoami(&tenancy, &client).await, expected);
        }
    }
}

#[actix_web::test]
async fn the_first_segment_can_be_the_tenant_on_a_host_of_its_own() {
    let fixture = Fixture::new();
    let own = tenant(&fixture);
    let tenancy = fixture.tenancy().resolver(PathPrefix::new("/"));
    let client = TenantClient::by_path(&own, "/").on_host("folders.test");
    let seen = whoami(&tenancy, &client).await;
    assert_eq!(seen["base_path"], format!("/{}", own.id()));
    assert_eq!(seen["tenant"], own.id().as_str());
}

#[actix_web::test]
async fn every_verb_and_its_body_arrive() {
    let fixture = Fixture::new();
    let own = tenant(&fixture);
    let tenancy = fixture.tenancy().resolver(PathPrefix::new("/t"));
    let echo = async |request: HttpRequest, tenant: Tenant, body: String| {
        format!(
            "{} {} {} {body}",
            request.method(),
            request.uri(),
            tenant.id()
        )
    };
    let app = App::new()
        .wrap(tenancy.middleware())
        .route("/echo", web::route().to(echo));
    let app = init_service(app).await;
    let client = TenantClient::by_path(&own, "/t");
    for (method, request) in [
        ("GET", client.get("/echo?x=1")),
        ("POST", client.post("/echo?x=1")),
        ("PUT", client.put("/echo?x=1")),
        ("PATCH", client.patch("/echo?x=1")),
        ("DELETE", client.delete("/echo?x=1")),
        ("HEAD", client.head("/echo?x=1")),
        ("OPTIONS", client.options("/echo?x=1")),
        (
            "PURGE",
            client.request(Method::from_bytes(b"PURGE").unwrap(), "/echo?x=1"),
        ),
    ] {
        let body = call_and_read_body(&app, request.set_payload("body").to_request()).await;
        assert_eq!(body, format!("{method} /echo?x=1 {} body", own.id()));
    }
}

#[actix_web::test]
async fn a_client_does_not_get_in_where_a_real_one_would_not() {
    let fixture = Fixture::new();
    let own = tenant(&fixture);
    let gateway: IpAddr = [10, 0, 0, 1].into();
    let header = Header::new("x-tenant").unwrap().trust([gateway]);
    let tenancy = fixture.tenancy().resolver(header).resolver(HostTable);
    let app = App::new().wrap(tenancy.middleware()).configure(routes);
    let app = init_service(app).await;
    let by_header = TenantClient::by_header(&own, "x-tenant");
    for (client, status) in [
        (by_header.clone(), StatusCode::NOT_FOUND),
        (by_header.from_peer(gateway), StatusCode::OK),
        (TenantClient::by_path(&own, "/t"), StatusCode::NOT_FOUND),
        (
            TenantClient::by_subdomain(&own, "localhost"),
            StatusCode::NOT_FOUND,
        ),
        (TenantClient::by_host("a b"), StatusCode::BAD_REQUEST),
    ] {
        let response = call_service(&app, client.get("/whoami").to_request()).await;
        assert_eq!(response.status(), status, "{client:?}");
    }
}

#[actix_web::test]
async fn what_one_tenant_posts_another_does_not_get() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(PathPrefix::new("/t"));
    let app = App::new().wrap(tenancy.middleware()).configure(routes);
    let app = init_service(app).await;
    let tenants = [tenant(&fixture), tenant(&fixture)];
    for own in &tenants {
        let post = TenantClient::by_path(own, "/t").post("/notes");
        let post = post.set_payload(format!("of {}", own.id())).to_request();
        assert_eq!(call_service(&app, post).await.status(), StatusCode::CREATED);
    }
    for own in &tenants {
        let get = TenantClient::by_path(own, "/t").get("/notes").to_request();
        let body = call_and_read_body(&app, get).await;
        assert_eq!(body, format!("of {}", own.id()));
    }
}
