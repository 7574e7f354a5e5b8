//! What needs no database must work without one: this pool leads nowhere.

use actix_web::{
    App, HttpMessage as _, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{Service as _, ServiceResponse},
    http::{StatusCode, header::HOST},
    test::{TestRequest, call_service, init_service, read_body},
    web,
};
use boardinghouse_actix::{
    Claim, Header, HostTable, Incoming, PathPrefix, Resolution, SharedDb, Subdomain, Tenancy,
    Tenant, TenantDb, TenantUrls as _, Visitor, guard,
};
use boardinghouse_core::{PgRegistry, TenantPool};

fn pool() -> TenantPool {
    TenantPool::builder()
        .checkout_timeout(std::time::Duration::from_millis(50))
        .build_unchecked("postgres://nobody@127.0.0.1:1/nothing")
}

fn tenancy(pool: &TenantPool) -> Tenancy {
    Tenancy::new(PgRegistry::new(pool.clone()))
}

async fn answer(tenancy: &Tenancy, request: TestRequest) -> (u16, String) {
    let app = App::new()
        .wrap(tenancy.middleware())
        .route("/healthz", web::get().to(async || "ok"))
        .route("/assets/{name}", web::get().to(async || "asset"))
        .route(
            "/optional",
            web::get().to(async |tenant: Option<Tenant>| format!("{}", tenant.is_some())),
        )
        .route("/tenant", web::get().to(async |_: Tenant| "a tenant"))
        .route("/db", web::get().to(async |_: TenantDb| "a database"))
        .route("/shared", web::get().to(async |_: SharedDb| "shared"));
    let app = init_service(app).await;
    seen(call_service(&app, request.to_request()).await).await
}

async fn seen<B: MessageBody>(response: ServiceResponse<B>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = read_body(response).await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn get(path: &str) -> TestRequest {
    TestRequest::with_uri(path)
}

fn empty(status: u16) -> (u16, String) {
    (status, String::new())
}

#[actix_web::test]
async fn an_exempt_path_is_served_while_the_database_is_down() {
    let pool = pool();
    let tenancy = tenancy(&pool)
        .resolver(HostTable)
        .exempt("/healthz")
        .exempt("/assets/*")
        .exempt("/ten*"); // no prefix: it does not end in a slash and a star
    let ok = |text: &str| (200, text.to_owned());
    let host = |path| get(path).insert_header((HOST, "acme.example.com"));
    assert_eq!(answer(&tenancy, host("/healthz")).await, ok("ok"));
    assert_eq!(answer(&tenancy, get("/healthz")).await, ok("ok"));
    assert_eq!(answer(&tenancy, get("/healthz?x=1")).await, ok("ok"));
    assert_eq!(answer(&tenancy, get("/assets/a.css")).await, ok("asset"));
    let broken = get("/healthz").insert_header((HOST, "a b"));
    assert_eq!(answer(&tenancy, broken).await, ok("ok"));
    assert_eq!(pool.state().connections, 0);

    assert_eq!(answer(&tenancy, host("/tenant")).await, empty(503));
    for not_exempt in [
        "/healthz/",
        "/healthz/x",
        "/health%7a",
        "/assets",
        "/HEALTHZ",
    ] {
        assert_eq!(answer(&tenancy, host(not_exempt)).await, empty(503));
    }
}

#[actix_web::test]
async fn a_malformed_host_is_a_bad_request_and_costs_no_query() {
    let pool = pool();
    let tenancy = tenancy(&pool)
        .resolver(HostTable)
        .resolver(Subdomain::of("example.com").unwrap());
    let long = format!("{}.example.com", "a".repeat(300));
    for hosts in [
        &[][..],
        &[""],
        &["a b"],
        &["acme.example.com", "globex.example.com"],
        &[long.as_str()],
        &["acme.example.com:80:80"],
        &["[::1"],
    ] {
        let request = hosts
            .iter()
            .fold(get("/tenant"), |r, host| r.append_header((HOST, *host)));
        assert_eq!(answer(&tenancy, request).await, empty(400), "{hosts:?}");
    }
    assert_eq!(pool.state().connections, 0);
}

#[actix_web::test]
async fn names_that_no_tenant_can_have_are_not_looked_up() {
    let pool = pool();
    let by_header = Header::new("x-tenant").unwrap();
    let tenancy = tenancy(&pool)
        .resolver(by_header.trust(["127.0.0.1".parse::<std::net::IpAddr>().unwrap()]))
        .resolver(PathPrefix::new("/t"))
        .resolver(Subdomain::of("example.com").unwrap());
    for name in [
        "public",
        "__template__",
        "boardinghouse",
        "information-schema",
        "pg-catalog",
    ] {
        let by_header = get("/tenant")
            .peer_addr("127.0.0.1:4711".parse().unwrap())
            .insert_header(("x-tenant", name));
        assert_eq!(answer(&tenancy, by_header).await, empty(404), "{name}");
        let by_path = get(&format!("/t/{name}/tenant"));
        assert_eq!(answer(&tenancy, by_path).await, empty(404), "{name}");
        let by_host = get("/tenant").insert_header((HOST, format!("{name}.example.com")));
        assert_eq!(answer(&tenancy, by_host).await, empty(404), "{name}");
    }
    assert_eq!(pool.state().connections, 0);
}

#[actix_web::test]
async fn the_first_resolver_with_an_opinion_decides() {
    let refuse = |header: &'static str, status: StatusCode| {
        move |request: &Incoming<'_>| {
            Ok(if request.headers().contains_key(header) {
                Resolution::Refuse(status)
            } else {
                Resolution::Pass
            })
        }
    };
    let tenancy = tenancy(&pool())
        .resolver(refuse("first", StatusCode::UNAUTHORIZED))
        .resolver(|request: &Incoming<'_>| {
            if request.headers().contains_key("broken") {
                return Err("the session store is down".into());
            }
            Ok(Resolution::Pass)
        })
        .resolver(refuse("second", StatusCode::IM_A_TEAPOT))
        .unknown(StatusCode::GONE);
    let with = |headers: &[&'static str]| {
        let add = |request: TestRequest, name: &&'static str| request.append_header((*name, "1"));
        headers.iter().fold(get("/tenant"), add)
    };
    assert_eq!(
        answer(&tenancy, with(&["second", "first"])).await,
        empty(401)
    );
    assert_eq!(answer(&tenancy, with(&["second"])).await, empty(418));
    assert_eq!(
        answer(&tenancy, with(&["second", "broken"])).await,
        empty(503)
    );
    assert_eq!(
        answer(&tenancy, with(&["broken", "first"])).await,
        empty(401)
    );
    assert_eq!(answer(&tenancy, with(&[])).await, empty(410));
}

#[actix_web::test]
async fn without_a_resolver_nothing_but_exempt_paths_is_served() {
    let tenancy = tenancy(&pool()).exempt("/healthz");
    assert_eq!(answer(&tenancy, get("/tenant")).await, empty(404));
    assert_eq!(answer(&tenancy, get("/nowhere")).await, empty(404));
    assert_eq!(answer(&tenancy, get("/healthz")).await.0, 200);
}

#[actix_web::test]
async fn an_exempt_path_has_no_tenant() {
    let tenancy = tenancy(&pool())
        .exempt("/optional")
        .exempt("/tenant")
        .exempt("/db")
        .exempt("/shared");
    let body = |text: &str| (200, text.to_owned());
    assert_eq!(answer(&tenancy, get("/optional")).await, body("false"));
    assert_eq!(answer(&tenancy, get("/shared")).await, body("shared"));
    assert_eq!(answer(&tenancy, get("/tenant")).await, empty(404));
    assert_eq!(answer(&tenancy, get("/db")).await, empty(404));
}

#[actix_web::test]
async fn without_the_middleware_extractors_fail_and_do_not_panic() {
    let app = App::new()
        .route("/tenant", web::get().to(async |_: Tenant| "a tenant"))
        .route("/db", web::get().to(async |_: TenantDb| "a database"))
        .route("/shared", web::get().to(async |_: SharedDb| "shared"));
    let app = init_service(app).await;
    for path in ["/tenant", "/db", "/shared"] {
        let response = call_service(&app, get(path).to_request()).await;
        let error = response.response().error().unwrap().to_string();
        assert!(error.contains("tenancy.middleware()"), "{error}");
        assert_eq!(seen(response).await, empty(500), "{path}");
    }
}

#[actix_web::test]
async fn a_resolver_reads_what_outer_middleware_left_in_the_extensions() {
    #[derive(Clone)]
    struct Claim(StatusCode);

    let tenancy = tenancy(&pool()).resolver(|request: &Incoming<'_>| {
        let claim = request.extensions().get::<Claim>().cloned();
        Ok(claim.map_or(Resolution::Pass, |claim| Resolution::Refuse(claim.0)))
    });
    let app = App::new()
        .route("/", web::get().to(HttpResponse::Ok))
        .wrap(tenancy.middleware())
        .wrap_fn(|request, next| {
            request
                .extensions_mut()
                .insert(Claim(StatusCode::UNAUTHORIZED));
            next.call(request)
        });
    let app = init_service(app).await;
    let response = call_service(&app, get("/").to_request()).await;
    assert_eq!(seen(response).await, empty(401));
}

#[actix_web::test]
async fn a_claim_is_read_from_what_outer_middleware_has_verified() {
    struct Claims(Option<&'static str>);

    let tenancy = tenancy(&pool())
        .resolver(Claim::new(|claims: &Claims| claims.0))
        .unknown(StatusCode::GONE);
    let app = App::new()
        .wrap(tenancy.middleware())
        .wrap_fn(|request, next| {
            let claim = match request.path() {
                "/none" => None,
                "/bad" => Some("Not an id"),
                "/public" => Some("public"),
                _ => Some("acme"),
            };
            if request.path() != "/unverified" {
                request.extensions_mut().insert(Claims(claim));
            }
            next.call(request)
        });
    let app = init_service(app).await;
    for (path, status) in [
        ("/unverified", 410), // left to the next resolver, of which there is none
        ("/none", 410),
        ("/bad", 401),
        ("/public", 401),
        ("/acme", 503), // looked up, while the database is down
    ] {
        let response = call_service(&app, get(path).to_request()).await;
        assert_eq!(seen(response).await, empty(status), "{path}");
    }
}

#[actix_web::test]
async fn without_the_middleware_guards_match_nothing_and_there_are_no_links() {
    let app = App::new()
        .route(
            "/site",
            web::get().guard(guard::shared_site()).to(async || "site"),
        )
        .route(
            "/tenant",
            web::get().guard(guard::tenant()).to(async || "tenant"),
        )
        .route(
            "/kind",
            web::get()
                .guard(guard::tenant_kind("x"))
                .to(async || "kind"),
        )
        .route("/who", web::get().to(async |_: Visitor| "somebody"))
        .service(
            web::resource("/link")
                .name("link")
                .to(async |request: HttpRequest| request.tenant_url_for("link", [""; 0])),
        );
    let app = init_service(app).await;
    for (path, status) in [
        ("/site", 404),
        ("/tenant", 404),
        ("/kind", 404),
        ("/who", 500),
        ("/link", 500),
    ] {
        let response = call_service(&app, get(path).to_request()).await;
        assert_eq!(seen(response).await, empty(status), "{path}");
    }
}

#[actix_web::test]
async fn who_sent_a_request_may_be_hard_to_tell() {
    let tenancy = tenancy(&pool())
        .users(
            |request: &Incoming<'_>| match request.headers().get("x-user") {
                Some(_) => Err("the key server is down".into()),
                None => Ok(None),
            },
        )
        .unknown(StatusCode::GONE);
    assert_eq!(answer(&tenancy, get("/tenant")).await, empty(410));
    let request = get("/tenant").insert_header(("x-user", "ada"));
    assert_eq!(answer(&tenancy, request).await, empty(503));
}
