//! Pages of templates, of which tenants have their own.

use std::{fs, path::Path};

use actix_web::{
    App,
    error::ErrorInternalServerError,
    test::{call_service, init_service, read_body},
    web::{self, Data, Html},
};
use boardinghouse_actix::{HostTable, Tenant, testing::TenantClient};
use boardinghouse_core::TenantId;
use minijinja::{Environment, context, path_loader};

use crate::fixture::Fixture;

/// As in README.
fn templates(dir: &Path) -> Environment<'static> {
    let mut templates = Environment::new();
    let (common, own) = (path_loader(dir.join("common")), dir.join("tenants"));
    templates.set_loader(move |key| {
        let Some((tenant, name)) = key.split_once('/') else {
            return Ok(None);
        };
        let id = tenant.split('@').next().unwrap_or_default();
        let Ok(id) = TenantId::parse(id) else {
            return Ok(None);
        };
        match path_loader(own.join(id.as_str()))(name)? {
            None => common(name),
            found => Ok(found),
        }
    });
    templates.set_path_join_callback(|name, parent| match parent.split_once('/') {
        Some((tenant, _)) => format!("{tenant}/{name}").into(),
        None => name.into(),
    });
    templates
}

/// As in README.
async fn hello(tenant: Tenant, templates: Data<Environment<'static>>) -> actix_web::Result<Html> {
    let key = format!("{}@{}/hello.html", tenant.id(), tenant.incarnation());
    let page = templates.get_template(&key).and_then(|page| {
        let name = tenant.display_name();
        page.render(context! { name })
    });
    page.map(Html::new).map_err(ErrorInternalServerError)
}

#[actix_web::test]
async fn a_template_of_a_tenant_is_that_tenants_alone_whoever_came_first() {
    let fixture = Fixture::new();
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "common/hello.html",
        "{% extends 'frame.html' %}{% block body %}Hello {{ name }}{% endblock %}",
    );
    write("common/frame.html", "<{% block body %}{% endblock %}>");
    // One has its own page in the common frame, the other the common page in its own frame.
    write(
        "tenants/acme/hello.html",
        "{% extends 'frame.html' %}{% block body %}Welcome {{ name }}{% endblock %}",
    );
    write(
        "tenants/globex/frame.html",
        "[{% block body %}{% endblock %}]",
    );
    fixture.add("initech");
    let app = App::new()
        .wrap(fixture.tenancy().resolver(HostTable).middleware())
        .app_data(Data::new(templates(dir.path())))
        .route("/", web::get().to(hello));
    let app = init_service(app).await;
    for _ in 0..2 {
        for (id, expected) in [
            ("globex", "[Hello globex]"),
            ("acme", "<Welcome acme>"),
            ("initech", "<Hello initech>"),
        ] {
            let client = TenantClient::by_host(&format!("{id}.test"));
            let response = call_service(&app, client.get("/").to_request()).await;
            assert_eq!(read_body(response).await, expected, "{id}");
        }
    }
    // No name leads to another tenant's, nor out of the directory.
    let templates = templates(dir.path());
    for key in [
        "acme@1/../globex/frame.html",
        "../common@1/hello.html",
        "..@1/common/hello.html",
        "acme@1//etc/passwd",
        "hello.html",
    ] {
        assert!(templates.get_template(key).is_err(), "{key}");
    }
}
