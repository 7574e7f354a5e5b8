//! Tenants that the configuration names.

use actix_web::web;
use boardinghouse_actix::{
    BoxError, Error, Header, HostTable, Incoming, PathPrefix, Tenancy, Tenant, TenantDb, guard,
};
use boardinghouse_core::{Access, ByMembership, PgRegistry, StaticTenants, User};
use diesel::{QueryResult, RunQueryDsl as _, dsl::sql, sql_types::Text};

use crate::{
    app::serve_routes,
    client::{get, get_with},
    fixture::Fixture,
};

const CONFIGURATION: &str = r#"
    [static.www]
    domains = ["my.test"]
    fallback = true
    [static.www.attributes]
    theme = "dark"

    [static.blog]
    domains = ["blog.test", "my.test/blog"]
    kind = "site"
"#;

fn routes(app: &mut web::ServiceConfig) {
    async fn about(tenant: Tenant, db: TenantDb) -> Result<String, Error> {
        let query = diesel::select(sql::<Text>(
            "(SELECT current_schema()::text || ' ' || string_agg(body, ',') FROM notes)",
        ));
        let seen = db
            .run(|conn| -> QueryResult<String> { query.get_result(conn) })
            .await?;
        let theme = tenant.attribute::<String>("theme")?.unwrap_or_default();
        Ok(format!(
            "{} {seen} {} {theme}",
            tenant.id(),
            tenant.routed_by()
        ))
    }
    app.route("/about", web::get().to(about))
        .route(
            "/",
            web::get()
                .guard(guard::tenant_kind("site"))
                .to(async || "a site"),
        )
        .route(
            "/",
            web::get()
                .guard(guard::tenant_id("www"))
                .to(async || "the company"),
        )
        .route(
            "/",
            web::get().guard(guard::tenant()).to(async || "a tenant"),
        );
}

fn add_static_schemas(fixture: &Fixture) {
    for id in ["www", "blog"] {
        fixture.execute(&format!(
            "CREATE SCHEMA {id}; CREATE TABLE {id}.notes (id serial PRIMARY KEY, body text);
             INSERT INTO {id}.notes (body) VALUES ('from-{id}')"
        ));
    }
}

fn with_statics(fixture: &Fixture) -> Tenancy {
    add_static_schemas(fixture);
    let statics = StaticTenants::from_toml(CONFIGURATION, fixture.pool.layout()).unwrap();
    fixture.tenancy().statics(statics)
}

#[test]
fn each_has_its_own_domains_folders_schema_and_routes() {
    let fixture = Fixture::new();
    fixture.execute(
        "INSERT INTO boardinghouse.domains (domain, folder, tenant_id) VALUES
         ('my.test', 'acme', 'acme'), ('my.test', 'blog', 'globex'), ('blog.test', '', 'globex')",
    );
    let server = serve_routes(with_statics(&fixture).resolver(HostTable), 1, routes);
    let about = |host: &str, path: &str, expected: &str| {
        get(server.at, host, path).is(200, expected);
    };
    about("my.test", "/about", "www www from-www static dark");
    about("blog.test", "/about", "blog blog from-blog static ");
    about("my.test", "/blog/about", "blog blog from-blog static ");
    about("my.test", "/acme/about", "acme acme from-acme folder ");
    about("acme.test", "/about", "acme acme from-acme host ");
    get(server.at, "my.test", "/").is(200, "the company");
    get(server.at, "my.test", "/blog/").is(200, "a site");
    get(server.at, "acme.test", "/").is(200, "a tenant");
    get(server.at, "nobody.test", "/about").is(404, "");
}

#[test]
fn a_fallback_serves_what_no_tenant_has_below_a_prefix() {
    let fixture = Fixture::new();
    let tenancy = with_statics(&fixture).resolver(PathPrefix::new("/").optional());
    let server = serve_routes(tenancy, 1, routes);
    get(server.at, "my.test", "/acme/about").is(200, "acme acme from-acme path ");
    get(server.at, "my.test", "/about").is(200, "www www from-www static dark");
    get(server.at, "www.my.test", "/about").is(404, "");
}

#[test]
fn www_is_ignored_where_that_is_said() {
    let fixture = Fixture::new();
    let tenancy = with_statics(&fixture).resolver(HostTable).ignore_www();
    let server = serve_routes(tenancy, 1, routes);
    get(server.at, "www.my.test", "/about").is(200, "www www from-www static dark");
    get(server.at, "www.blog.test", "/about").is(200, "blog blog from-blog static ");
    get(server.at, "www.my.test", "/blog/about").is(200, "blog blog from-blog static ");
    get(server.at, "www.acme.test", "/about").is(200, "acme acme from-acme host ");
}

#[test]
fn without_resolvers_the_registry_need_not_be_there() {
    let fixture = Fixture::new();
    fixture.execute("DROP SCHEMA boardinghouse CASCADE");
    add_static_schemas(&fixture);
    let statics = StaticTenants::from_toml(CONFIGURATION, fixture.pool.layout()).unwrap();
    let tenancy = Tenancy::new(PgRegistry::new(fixture.pool.clone())).statics(statics);
    let server = serve_routes(tenancy, 1, routes);
    get(server.at, "blog.test", "/about").is(200, "blog blog from-blog static ");
    get(server.at, "nobody.test", "/about").is(404, "");
}

/// Somebody who could take the id or the schema of a static tenant, because the pool's layout does not know
/// of it, gets neither its rights nor its rows.
#[test]
fn a_tenant_of_the_registry_is_not_taken_for_the_static_one_of_its_id_or_schema() {
    fn user(request: &Incoming<'_>) -> Result<Option<User>, BoxError> {
        let user = request.headers().get("x-user");
        Ok(user.map(|user| User::new(user.to_str().unwrap_or_default())))
    }
    let fixture = Fixture::new();
    let tenancy = with_statics(&fixture);
    fixture.execute(
        "INSERT INTO boardinghouse.tenants (id, schema_name, status, display_name) VALUES
         ('blog', 'other', 'ready', 'x'), ('thief', 'www', 'ready', 'x');
         INSERT INTO boardinghouse.domains (domain, tenant_id, is_primary) VALUES
         ('thief.test', 'thief', true);
         INSERT INTO boardinghouse.members (user_id, tenant_id) VALUES
         ('eve', 'blog'), ('eve', 'thief')",
    );
    let tenancy = tenancy
        .resolver(Header::new("x-tenant").unwrap().from_anybody())
        .resolver(HostTable)
        .users(user)
        .access(Access::new(ByMembership));
    let server = serve_routes(tenancy.clone(), 1, routes);
    for tenant in ["blog", "www", "thief"] {
        let tenant = format!("X-Tenant: {tenant}");
        get_with(
            server.at,
            "/about",
            &["Host: x.test", "X-User: eve", &tenant],
        )
        .is(403, "");
    }
    get_with(server.at, "/about", &["Host: thief.test", "X-User: eve"]).is(404, "");
    let server = serve_routes(tenancy.restricted(), 1, routes);
    get_with(server.at, "/about", &["Host: blog.test", "X-User: eve"]).is(403, "");
}
