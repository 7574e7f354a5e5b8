//! Serving files of tenants: by a handler that has the tenant of the request.

use actix_web::{
    App, HttpResponse,
    body::MessageBody,
    dev::ServiceResponse,
    http::{StatusCode, header},
    test::{call_service, init_service, read_body},
    web::{self, Data},
};
use boardinghouse_actix::{HostTable, PathPrefix, Tenant, testing::TenantClient};
use boardinghouse_core::{ErrorKind, PgRegistry, TenantStore};

use crate::fixture::Fixture;

/// As in README.
async fn download(
    tenant: Tenant,
    store: Data<TenantStore>,
    path: web::Path<String>,
) -> actix_web::Result<HttpResponse> {
    let files = store.of(&tenant);
    match web::block(move || files.read(&path)).await? {
        Ok(bytes) => Ok(HttpResponse::Ok()
            .content_type("application/octet-stream")
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(bytes)),
        Err(error) => match error.kind() {
            ErrorKind::FileNotFound | ErrorKind::InvalidInput => {
                Ok(HttpResponse::NotFound().finish())
            }
            _ => Err(boardinghouse_actix::Error::from(error).into()),
        },
    }
}

async fn seen<B: MessageBody>(response: ServiceResponse<B>) -> (StatusCode, String) {
    let status = response.status();
    let body = read_body(response).await;
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[actix_web::test]
async fn a_tenant_gets_its_own_files_and_nobody_elses_whatever_the_path() {
    let fixture = Fixture::new();
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("secret.txt"), "OUTSIDE").unwrap();
    let store = TenantStore::open(root.path().join("files")).unwrap();
    let registry = PgRegistry::new(fixture.pool.clone());
    let [acme, globex] = ["acme", "globex"].map(|id| registry.get(&id.parse().unwrap()).unwrap());
    store.of(&acme).write("in/both.txt", b"acme's").unwrap();
    store.of(&globex).write("in/both.txt", b"globex's").unwrap();
    store.of(&globex).write("only.txt", b"globex's").unwrap();
    store.shared().write("logo.svg", b"shared").unwrap();

    let tenancy = fixture
        .tenancy()
        .resolver(PathPrefix::new("/t"))
        .resolver(HostTable);
    let app = App::new()
        .wrap(tenancy.middleware())
        .app_data(Data::new(store.clone()))
        .route("/files/{path:.*}", web::get().to(download));
    let app = init_service(app).await;
    for client in [
        TenantClient::by_host("acme.test"),
        TenantClient::by_path(&acme, "/t"),
    ] {
        let get =
            async |path: &str| seen(call_service(&app, client.get(path).to_request()).await).await;
        assert_eq!(
            get("/files/in/both.txt").await,
            (StatusCode::OK, "acme's".into())
        );
        let there = store.of(&globex).directory();
        let number = there.file_name().unwrap().to_str().unwrap();
        for of_others in [
            "only.txt".to_owned(),
            "logo.svg".to_owned(),
            format!("../{number}/only.txt"),
            format!("..%2f{number}%2fonly.txt"),
            format!("..%2F{number}%2Fonly.txt"),
            format!("%2e%2e/{number}/only.txt"),
            format!("%2e%2e%2f{number}%2fonly.txt"),
            format!("in/../../{number}/only.txt"),
            format!("..%5c{number}%5conly.txt"),
            format!("{number}/only.txt"),
            format!("tenants/{number}/only.txt"),
            format!("/{}/only.txt", there.display()),
            format!("%2f{}/only.txt", there.display()),
            "../../../secret.txt".to_owned(),
            "%00".to_owned(),
            "only.txt%00.png".to_owned(),
            "in".to_owned(),
            String::new(),
            "x".repeat(300),
        ] {
            let answer = get(&format!("/files/{of_others}")).await;
            assert_eq!(
                answer,
                (StatusCode::NOT_FOUND, String::new()),
                "{of_others}"
            );
        }
    }
}
