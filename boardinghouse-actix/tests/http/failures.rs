//! What goes wrong behind a handler, and what clients see of it.

use std::time::Duration;

use actix_web::{
    App,
    test::{TestRequest, call_service, init_service},
    web,
};
use boardinghouse_actix::{HostTable, PathPrefix, Tenancy};
use boardinghouse_core::{PathMode, PgRegistry, TenantPool};

use crate::{
    app::{routes, serve},
    client::{get, post},
    fixture::Fixture,
};

#[test]
fn while_the_database_is_down_exempt_paths_answer_and_tenants_are_told_to_come_back() {
    let fixture = Fixture::new();
    let builder = TenantPool::builder().checkout_timeout(Duration::from_millis(200));
    let registry = PgRegistry::new(fixture.pool(builder));
    let tenancy = Tenancy::new(registry)
        .resolver(HostTable)
        .exempt("/healthz");
    let server = serve(tenancy, 1);
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
    fixture.take_down();
    for _ in 0..3 {
        let answer = get(server.at, "acme.test", "/notes");
        answer.is(503, "");
        assert!(answer.head.contains("\r\nretry-after: "), "{answer:?}");
        get(server.at, "127.0.0.1", "/healthz").is(200, "ok");
    }
}

#[test]
fn a_panic_in_a_query_is_one_failed_request() {
    let fixture = Fixture::with_pool(TenantPool::builder().max_size(1));
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    for _ in 0..3 {
        get(server.at, "acme.test", "/panics").is(500, "");
        get(server.at, "acme.test", "/notes").is(200, "from-acme");
        get(server.at, "globex.test", "/notes").is(200, "from-globex");
    }
}

#[test]
fn a_failed_query_shows_clients_a_status_and_nothing_else() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    let answer = get(server.at, "acme.test", "/broken");
    answer.is(500, "");
    assert!(!answer.head.contains("no_such_table"), "{answer:?}");
}

#[test]
fn an_error_of_the_application_rolls_back_and_is_answered_by_it() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    post(server.at, "acme.test", "/notes", "second").is(201, "");
    post(server.at, "acme.test", "/notes", "third").is(409, "");
    get(server.at, "acme.test", "/notes").is(200, "from-acme,second");
    fixture.execute("DROP TABLE acme.notes, public.notes");
    post(server.at, "acme.test", "/notes", "fourth").is(500, "");
}

#[test]
fn each_run_is_a_transaction_where_there_are_no_sessions() {
    let fixture = Fixture::new();
    let builder = TenantPool::builder()
        .path_mode(PathMode::Transaction)
        .max_size(1);
    let registry = PgRegistry::new(fixture.pool(builder));
    let server = serve(Tenancy::new(registry).resolver(HostTable), 1);
    for _ in 0..2 {
        get(server.at, "acme.test", "/notes").is(200, "from-acme");
        get(server.at, "globex.test", "/notes").is(200, "from-globex");
        get(server.at, "acme.test", "/shared").is(200, "public PUBLIC");
        get(server.at, "acme.test", "/broken").is(500, "");
        get(server.at, "acme.test", "/panics").is(500, "");
    }
    post(server.at, "acme.test", "/notes", "second").is(201, "");
    post(server.at, "acme.test", "/notes", "third").is(409, "");
    get(server.at, "acme.test", "/notes").is(200, "from-acme,second");
    post(server.at, "acme.test", "/signup/initech", "").is(500, "");
}

#[test]
fn a_missing_schema_is_an_error_and_not_the_shared_schema() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
    fixture.execute("DROP SCHEMA acme CASCADE");
    let answer = get(server.at, "acme.test", "/notes");
    answer.is(503, "");
    assert!(answer.head.contains("\r\nretry-after: "), "{answer:?}");
    get(server.at, "globex.test", "/notes").is(200, "from-globex");
}

#[actix_web::test]
async fn a_path_cannot_be_rewritten_when_a_scope_is_wrapped() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(PathPrefix::new("/api/t"));
    let scope = web::scope("/api")
        .wrap(tenancy.middleware())
        .configure(routes);
    let app = init_service(App::new().service(scope)).await;
    let request = TestRequest::with_uri("/api/t/acme/notes").to_request();
    let response = call_service(&app, request).await;
    assert_eq!(response.status(), 500);
    let error = response.response().error().unwrap().to_string();
    assert!(error.contains("wrap the `App`"), "{error}");
    assert_eq!(response.status(), 500);
}

#[actix_web::test]
async fn a_scope_can_be_wrapped_where_no_path_is_rewritten() {
    let fixture = Fixture::new();
    let tenancy = fixture.tenancy().resolver(HostTable);
    let scope = web::scope("/api")
        .wrap(tenancy.middleware())
        .configure(routes);
    let app = init_service(App::new().service(scope)).await;
    let request = TestRequest::with_uri("/api/notes").insert_header(("host", "acme.test"));
    let response = call_service(&app, request.to_request()).await;
    assert_eq!(actix_web::test::read_body(response).await, "from-acme");
}
