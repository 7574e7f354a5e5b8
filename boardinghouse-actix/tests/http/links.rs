//! Links and redirects, in each way of routing.

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use boardinghouse_actix::{
    Error, HostTable, PathPrefix, Subdomain, Tenancy, Tenant, TenantUrls as _,
};

use crate::{
    app::{Server, serve_routes},
    client::{get, get_with, until},
    fixture::Fixture,
};

async fn links(request: HttpRequest, tenant: Tenant) -> Result<String, Error> {
    let same = request.tenant_url_for("note", ["7", "ä b"])?;
    let other = boardinghouse_core::Tenant::new("globex".parse()?, "globex".parse()?);
    let other = request.url_of(&other, "/notes").await?;
    Ok(format!(
        "{} {same} {}",
        tenant.id(),
        other.unwrap_or_default()
    ))
}

fn routes(app: &mut web::ServiceConfig) {
    let to = |location: &'static str| {
        web::get().to(move || async move {
            HttpResponse::SeeOther()
                .insert_header((header::LOCATION, location))
                .finish()
        })
    };
    app.route("/links", web::get().to(links))
        .service(
            web::resource("/notes/{id}/{name}")
                .name("note")
                .route(web::get().to(async || "a note")),
        )
        .route("/to-path", to("/x?y=1"))
        .route("/to-base", to("/t/acme/x"))
        .route("/to-host", to("https://other.test/x"));
}

fn serve(tenancy: Tenancy) -> Server {
    serve_routes(tenancy, 1, routes)
}

#[test]
fn links_are_right_in_each_way_of_routing() {
    let fixture = Fixture::new();
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, folder, tenant_id)
         VALUES ('shared.test', 'acme', 'acme')",
    );
    let hosts = serve(fixture.tenancy().resolver(HostTable));
    get(hosts.at, "acme.test", "/links").is(200, "acme /notes/7/%C3%A4%20b //globex.test/notes");
    get(hosts.at, "shared.test", "/acme/links")
        .is(200, "acme /acme/notes/7/%C3%A4%20b //globex.test/notes");
    let paths = serve(fixture.tenancy().resolver(PathPrefix::new("/clients")));
    get(paths.at, "x", "/clients/acme/links").is(
        200,
        "acme /clients/acme/notes/7/%C3%A4%20b /clients/globex/notes",
    );
    let below = serve(
        fixture
            .tenancy()
            .resolver(Subdomain::of("localhost").unwrap()),
    );
    get(below.at, "acme.localhost:8080", "/links").is(
        200,
        "acme /notes/7/%C3%A4%20b //globex.localhost:8080/notes",
    );
    // No header of the client's gets into a link.
    let evil = [
        "Host: acme.test",
        "X-Forwarded-Host: evil.test",
        "Forwarded: host=evil.test",
    ];
    get_with(hosts.at, "/links", &evil).is(200, "acme /notes/7/%C3%A4%20b //globex.test/notes");
    // What has no address, and is reached by none.
    fixture.execute("DELETE FROM boardinghouse.domains WHERE tenant_id = 'globex'");
    until(200, || {
        let mut answer = get(hosts.at, "acme.test", "/links");
        answer.status = if answer.body.ends_with("%20b ") {
            200
        } else {
            0
        };
        answer
    });
}

#[test]
fn what_a_link_is_made_of_does_not_make_it_one_to_another_host() {
    let fixture = Fixture::new();
    let server = serve_routes(fixture.tenancy().resolver(HostTable), 1, |app| {
        let page = |request: HttpRequest, name: web::Path<String>| async move {
            request.tenant_url_for("page", [name.as_str()])
        };
        app.service(
            web::resource("/{name:.*}")
                .name("page")
                .route(web::get().to(page)),
        );
    });
    get(server.at, "acme.test", "/x").is(200, "/x");
    for path in ["//evil.test/x", "/%5Cevil.test/x", "/%2Fevil.test/x"] {
        let link = get(server.at, "acme.test", path).body;
        assert!(!link.starts_with("//") && !link.contains('\\'), "{link}");
        assert!(link.starts_with('/'), "{link}");
    }
}

#[test]
fn a_redirect_stays_in_the_tenants_folder() {
    let fixture = Fixture::new();
    let paths = || fixture.tenancy().resolver(PathPrefix::new("/t"));
    let location = |server: &Server, host: &str, path: &str| {
        let answer = get(server.at, host, path);
        assert_eq!(answer.status, 303, "{answer:?}");
        answer.header("location").unwrap()
    };
    let server = serve(paths().resolver(HostTable));
    assert_eq!(location(&server, "x", "/t/acme/to-path"), "/t/acme/x?y=1");
    assert_eq!(location(&server, "x", "/t/acme/to-base"), "/t/acme/x");
    assert_eq!(
        location(&server, "x", "/t/acme/to-host"),
        "https://other.test/x"
    );
    assert_eq!(location(&server, "acme.test", "/to-path"), "/x?y=1");
    let server = serve(paths().keep_locations());
    assert_eq!(location(&server, "x", "/t/acme/to-path"), "/x?y=1");
}

#[test]
fn a_link_is_never_of_another_request() {
    let fixture = Fixture::new();
    let server = serve_routes(
        fixture.tenancy().resolver(PathPrefix::new("/clients")),
        2,
        routes,
    );
    std::thread::scope(|scope| {
        for id in ["acme", "globex"] {
            let at = server.at;
            scope.spawn(move || {
                for _ in 0..500 {
                    let answer = get(at, "x", &format!("/clients/{id}/links"));
                    let own = format!("{id} /clients/{id}/notes/7/");
                    assert!(answer.body.starts_with(&own), "{answer:?}");
                }
            });
        }
    });
}
