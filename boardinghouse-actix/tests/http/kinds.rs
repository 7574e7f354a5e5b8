//! Kinds of tenants: tables and routes of their own. A16.

use std::fs;

use actix_web::{HttpResponse, web};
use boardinghouse_actix::{Error, HostTable, TenantDb, guard};
use boardinghouse_core::{Migrator, NewTenant, Provisioner};
use diesel::{QueryResult, RunQueryDsl as _, dsl::sql, sql_types::Text};
use diesel_migrations::FileBasedMigrations;

use crate::{
    app::serve_routes,
    client::get,
    fixture::{Fixture, TENANT},
};

const KINDS: [(&str, &str); 2] = [("shop", "items"), ("clinic", "patients")];

fn routes(app: &mut web::ServiceConfig) {
    async fn listed(db: TenantDb, table: &'static str) -> Result<String, Error> {
        let names = format!("(SELECT coalesce(string_agg(name, ','), 'none') FROM {table})");
        let query = diesel::select(sql::<Text>(&names));
        db.run(|conn| -> QueryResult<String> { query.get_result(conn) })
            .await
    }
    for (kind, table) in KINDS {
        app.service(
            web::scope(&format!("/{kind}"))
                .guard(guard::tenant_kind(kind))
                .route(
                    "/list",
                    web::get().to(move |db: TenantDb| listed(db, table)),
                ),
        );
    }
    app.default_service(web::to(HttpResponse::NotFound));
}

#[test]
fn each_kind_has_its_own_tables_and_its_own_routes() {
    let fixture = Fixture::new();
    let dir = tempfile::tempdir().unwrap();
    let mut migrator = Migrator::new(fixture.pool.clone()).tenants(TENANT);
    for (kind, table) in KINDS {
        let migration = dir.path().join(kind).join("2026-12-01-000000_first");
        fs::create_dir_all(&migration).unwrap();
        let up = format!("CREATE TABLE {table} (name text)");
        fs::write(migration.join("up.sql"), up).unwrap();
        fs::write(migration.join("down.sql"), format!("DROP TABLE {table}")).unwrap();
        let source = FileBasedMigrations::from_path(dir.path().join(kind)).unwrap();
        migrator = migrator.kind(kind, source).unwrap();
    }
    migrator.run().unwrap().into_result().unwrap();
    let provisioner = Provisioner::new(fixture.pool.clone());
    for (kind, table) in KINDS {
        for id in [kind.to_owned(), format!("other{kind}")] {
            let new = NewTenant::new(id.parse().unwrap()).kind(kind);
            let new = new.domain(format!("{id}.test").parse().unwrap());
            provisioner.create(&new).unwrap();
            fixture.execute(&format!("INSERT INTO {id}.{table} VALUES ('of {id}')"));
        }
    }
    let server = serve_routes(fixture.tenancy().resolver(HostTable), 1, routes);
    get(server.at, "shop.test", "/shop/list").is(200, "of shop");
    get(server.at, "othershop.test", "/shop/list").is(200, "of othershop");
    get(server.at, "clinic.test", "/clinic/list").is(200, "of clinic");
    get(server.at, "otherclinic.test", "/clinic/list").is(200, "of otherclinic");
    for (host, path) in [
        ("clinic.test", "/shop/list"),
        ("shop.test", "/clinic/list"),
        ("acme.test", "/shop/list"),
        ("acme.test", "/clinic/list"),
        ("nobody.test", "/shop/list"),
    ] {
        get(server.at, host, path).is(404, "");
    }
}
