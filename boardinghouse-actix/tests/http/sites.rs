//! Different handlers on one path, by whose site it is.

use actix_web::{HttpResponse, web};
use boardinghouse_actix::{HostTable, TenantUrls as _, Unknown, guard};

use crate::{app::serve_routes, client::get, fixture::Fixture};

fn guarded(app: &mut web::ServiceConfig) {
    let page = |text: &'static str| web::get().to(move || async move { text });
    app.service(
        web::scope("/shop")
            .guard(guard::tenant_kind("shop"))
            .route("/cart", page("the cart")),
    )
    .route("/", page("the public site").guard(guard::shared_site()))
    .route("/", page("globex alone").guard(guard::tenant_id("globex")))
    .route("/", page("a shop").guard(guard::tenant_kind("shop")))
    .route("/", page("a clinic").guard(guard::tenant_kind("clinic")))
    .route("/", page("a tenant").guard(guard::tenant()))
    .default_service(web::to(HttpResponse::NotFound));
}

#[test]
fn a_path_has_other_handlers_on_the_shared_site_for_each_kind_and_for_one_tenant() {
    let fixture = Fixture::new();
    fixture.add("clinic");
    fixture.add("plain");
    fixture.execute(
        "UPDATE boardinghouse.tenants SET kind = 'shop' WHERE id = 'acme';
         UPDATE boardinghouse.tenants SET kind = 'clinic' WHERE id = 'clinic'",
    );
    let tenancy = fixture
        .tenancy()
        .resolver(HostTable)
        .unknown(Unknown::SharedSite);
    let server = serve_routes(tenancy, 1, guarded);
    get(server.at, "nobody.test", "/").is(200, "the public site");
    get(server.at, "acme.test", "/").is(200, "a shop");
    get(server.at, "clinic.test", "/").is(200, "a clinic");
    get(server.at, "globex.test", "/").is(200, "globex alone");
    get(server.at, "plain.test", "/").is(200, "a tenant");
    get(server.at, "acme.test", "/shop/cart").is(200, "the cart");
    get(server.at, "clinic.test", "/shop/cart").is(404, "");
    get(server.at, "nobody.test", "/shop/cart").is(404, "");
}

fn prefixed(app: &mut web::ServiceConfig) {
    async fn login(request: actix_web::HttpRequest) -> Result<String, boardinghouse_actix::Error> {
        request.tenant_url_for("login", [""; 0])
    }
    app.service(
        web::resource("/main/login")
            .name("login")
            .route(web::get().to(login)),
    )
    .route("/mainframe", web::get().to(async || "a tenant's"))
    .route("/login", web::get().to(async || "the tenant's login"));
}

#[test]
fn a_prefix_for_the_shared_site_is_seen_by_nobody() {
    let fixture = Fixture::new();
    let tenancy = fixture
        .tenancy()
        .resolver(HostTable)
        .unknown(Unknown::SharedSite);
    let server = serve_routes(tenancy.site_prefix("main/"), 1, prefixed);
    get(server.at, "nobody.test", "/login").is(200, "/login");
    get(server.at, "nobody.test", "/main/login").is(404, "");
    get(server.at, "nobody.test", "/frame").is(404, "");
    get(server.at, "nobody.test", "/mainframe").is(404, "");
    get(server.at, "nobody.test", "frame").is(400, "");
    get(server.at, "acme.test", "/login").is(200, "the tenant's login");
    get(server.at, "acme.test", "/mainframe").is(200, "a tenant's");
}
