//! The middleware of sessions is missing, or runs too late: a sentence, and 500.

use std::time::Duration;

use actix_session::{SessionMiddleware, storage::CookieSessionStore};
use actix_web::{
    App, HttpRequest,
    cookie::Key,
    test::{TestRequest, call_service, init_service, read_body},
    web,
};
use boardinghouse_actix::{
    Error, FormToken, HostTable, LoginToken, SessionTenant, SessionUser, Tenant, TenantForm,
    TenantMenu, Unknown,
};
use boardinghouse_core::{Access, PgRegistry};
use sha2::{Digest as _, Sha256};

use super::site::{new_switch, people, routes, tenancy};
use crate::fixture::Fixture;

/// The status and the error of each request, on an application that is made like this.
macro_rules! answers {
    ($app:expr, $($method:ident $path:expr),+) => {{
        let app = init_service($app).await;
        let mut answers = Vec::new();
        $(
            let request = TestRequest::$method().uri($path).insert_header(("host", "app.test"));
            let response = call_service(&app, request.to_request()).await;
            let error = response.response().error();
            let error = error.and_then(|error| error.as_error::<Error>());
            let error = error.map(|error| boardinghouse_core::error_chain(error).to_string());
            answers.push((response.status().as_u16(), error.unwrap_or_default()));
        )+
        answers
    }};
}

#[actix_web::test]
async fn without_the_middleware_of_sessions_nothing_is_served_but_exempt_paths() {
    let fixture = Fixture::new();
    let tenancy = tenancy(&fixture).exempt("/login/ada");
    let app = || App::new().wrap(tenancy.middleware()).configure(routes);
    let late = || {
        let sessions = SessionMiddleware::new(CookieSessionStore::default(), Key::from(&[3; 64]));
        App::new()
            .wrap(sessions)
            .wrap(tenancy.middleware())
            .configure(routes)
    };
    for (is_late, answers) in [
        (
            false,
            answers!(app(), get "/me", get "/notes", get "/choose", get "/__tenant__/",
                post "/__tenant__/acme", get "/me?__tenant=x"),
        ),
        (
            true,
            answers!(late(), get "/me", get "/notes", get "/choose", get "/__tenant__/",
                post "/__tenant__/acme", get "/me?__tenant=x"),
        ),
    ] {
        for (status, error) in answers {
            assert_eq!(status, 500, "late: {is_late}");
            assert!(error.contains("SessionMiddleware"), "{error}");
        }
    }
    let answers = answers!(app(), get "/healthz", post "/login/ada");
    assert_eq!(answers[0].0, 200);
    assert_eq!(answers[1].0, 500);
    assert!(
        answers[1].1.contains("SessionMiddleware"),
        "{}",
        answers[1].1
    );
}

/// Also for those that would not come to the resolver that reads it, so that it is seen at once.
#[actix_web::test]
async fn what_needs_sessions_serves_nothing_without_them_whoever_asks() {
    let fixture = Fixture::new();
    let by_host = || fixture.tenancy().resolver(HostTable);
    let needy = [
        by_host().resolver(SessionTenant),
        by_host().switching(new_switch()),
    ];
    for tenancy in needy {
        let app = App::new().wrap(tenancy.middleware()).configure(routes);
        let app = init_service(app).await;
        let get = |host: &str, path: &str| {
            let request = TestRequest::get().uri(path);
            request.insert_header(("host", host)).to_request()
        };
        for host in ["acme.test", "nobody.test"] {
            let response = call_service(&app, get(host, "/notes")).await;
            assert_eq!(response.status(), 500, "{host}");
            let error = response.response().error().unwrap().to_string();
            assert!(error.contains("SessionMiddleware"), "{error}");
        }
        let exempt = call_service(&app, get("acme.test", "/healthz")).await;
        assert_eq!(exempt.status(), 200);
    }
}

#[actix_web::test]
async fn a_session_without_who_may_enter_is_an_error_and_lets_nobody_in() {
    let fixture = Fixture::new();
    people(&fixture);
    let tenancy = fixture
        .tenancy()
        .resolver(HostTable)
        .users(SessionUser::new())
        .unknown(Unknown::SharedSite)
        .switching(new_switch());
    let sessions = || SessionMiddleware::new(CookieSessionStore::default(), Key::from(&[3; 64]));
    let app = App::new()
        .wrap(tenancy.middleware())
        .wrap(sessions())
        .configure(routes);
    let answers = answers!(app, get "/__tenant__/", get "/menu");
    for (status, error) in answers {
        assert_eq!(status, 500);
        assert!(error.contains("Tenancy::access"), "{error}");
    }
}

#[actix_web::test]
async fn a_token_is_not_used_up_where_nobody_can_be_logged_in() {
    let fixture = Fixture::new();
    let registry = PgRegistry::new(fixture.pool.clone());
    let acme = registry.get(&"acme".parse().unwrap()).unwrap();
    let tenancy = fixture.tenancy().resolver(HostTable);
    async fn issue(request: HttpRequest, tenant: Tenant) -> Result<String, Error> {
        LoginToken::issue(&request, &tenant, "ada", Duration::from_secs(600)).await
    }
    async fn enter(request: HttpRequest, token: web::Path<String>) -> Result<String, Error> {
        Ok(LoginToken::redeem(&request, &token).await?.to_string())
    }
    let app = App::new()
        .wrap(tenancy.middleware())
        .route("/issue", web::get().to(issue))
        .route("/enter/{token}", web::post().to(enter));
    let app = init_service(app).await;
    let at_acme = |request: TestRequest| request.insert_header(("host", "acme.test")).to_request();
    let token = call_service(&app, at_acme(TestRequest::get().uri("/issue"))).await;
    let token = String::from_utf8(read_body(token).await.to_vec()).unwrap();
    let request = TestRequest::post().uri(&format!("/enter/{token}"));
    assert_eq!(call_service(&app, at_acme(request)).await.status(), 500);
    let digest = Sha256::digest(&token).into();
    let login = registry.take_login(&digest, &acme).unwrap();
    assert_eq!(login.as_deref(), Some("ada"));
    assert_eq!(registry.take_login(&digest, &acme).unwrap(), None);
}

#[actix_web::test]
async fn menus_and_forms_say_what_they_need() {
    let fixture = Fixture::new();
    let tenancy = fixture
        .tenancy()
        .resolver(HostTable)
        .unknown(Unknown::SharedSite)
        .access(Access::new(boardinghouse_core::ByMembership));
    async fn tokens(_: FormToken) -> String {
        String::new()
    }
    async fn forms(_: TenantForm<Vec<(String, String)>>) -> String {
        String::new()
    }
    async fn menus(_: TenantMenu) -> String {
        String::new()
    }
    async fn log_out(request: HttpRequest) -> Result<String, Error> {
        SessionUser::log_out(&request)?;
        Ok(String::new())
    }
    let routes = |app: &mut web::ServiceConfig| {
        app.route("/token", web::get().to(tokens))
            .route("/form", web::post().to(forms))
            .route("/menu", web::get().to(menus))
            .route("/out", web::post().to(log_out));
    };
    let sessions = || SessionMiddleware::new(CookieSessionStore::default(), Key::from(&[3; 64]));
    let no_switch = App::new()
        .wrap(tenancy.middleware())
        .wrap(sessions())
        .configure(routes);
    for (status, error) in answers!(no_switch, get "/token", post "/form", get "/menu") {
        assert_eq!(status, 500);
        assert!(error.contains("Tenancy::switching"), "{error}");
    }
    let no_session = App::new().wrap(tenancy.middleware()).configure(routes);
    for (status, error) in
        answers!(no_session, get "/token", post "/form", get "/menu", post "/out")
    {
        assert_eq!(status, 500);
        assert!(error.contains("SessionMiddleware"), "{error}");
    }
    let no_tenancy = App::new().wrap(sessions()).configure(routes);
    for (status, error) in answers!(no_tenancy, get "/token", post "/form", get "/menu") {
        assert_eq!(status, 500);
        assert!(error.contains("no `Tenancy`"), "{error}");
    }
}
