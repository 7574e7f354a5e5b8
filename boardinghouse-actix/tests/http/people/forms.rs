//! Forms that are accepted only where they were rendered.

use boardinghouse_core::{NewTenant, PgRegistry, Provisioner};

use super::{
    browser::Browser,
    site::{Site, id, people, tenancy},
};
use crate::{client::until, fixture::Fixture};

#[track_caller]
fn token(browser: &Browser) -> String {
    let answer = browser.get("/form");
    assert_eq!(answer.status, 200);
    answer.body
}

fn add(browser: &Browser, body: &str, token: &str) -> u16 {
    let form = format!("body={body}&tenant_form={token}");
    browser.post("/form", &form).status
}

#[test]
fn a_form_is_refused_in_another_tenant_than_it_was_rendered_for() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    ada.switch("acme");
    let of_acme = token(&ada);
    assert_eq!(add(&ada, "one", &of_acme), 201);
    // In another tab.
    ada.switch("globex");
    assert_eq!(add(&ada, "two", &of_acme), 409);
    ada.get("/notes").is(200, "from-globex");
    let of_globex = token(&ada);
    assert_eq!(add(&ada, "three", &of_globex), 201);
    ada.switch("acme");
    assert_eq!(add(&ada, "four", &of_globex), 409);
    ada.get("/notes").is(200, "from-acme,one");
    // By a header, from a script.
    let header = format!("X-Tenant-Form: {of_acme}");
    let answer = ada.send_form("/form", "body=five", &[&header]);
    assert_eq!(answer.status, 201);
    ada.get("/notes").is(200, "from-acme,one,five");
}

#[test]
fn a_form_is_refused_in_another_session_and_without_its_token() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let (ada, bob) = (site.user("ada"), site.user("bob"));
    ada.switch("acme");
    bob.switch("acme");
    let of_bob = token(&bob);
    for wrong in ["", "00", &of_bob, &ada.token()] {
        assert_eq!(add(&ada, "forged", wrong), 409, "{wrong}");
    }
    ada.post("/form", "body=forged").is(409, "");
    let of_ada = token(&ada);
    assert_eq!(
        add(&ada, "x", &format!("{of_bob}&tenant_form={of_ada}")),
        409
    );
    ada.log_in("ada");
    assert_eq!(add(&ada, "before-the-login", &of_ada), 409);
    ada.get("/notes").is(200, "from-acme");
    let nobody = site.browser();
    assert_eq!(nobody.post("/form", "body=forged").status, 409);
}

#[test]
fn a_form_is_refused_in_a_tenant_that_was_created_anew_under_the_same_id() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    ada.switch("acme");
    let of_acme = token(&ada);
    let provisioner = Provisioner::new(fixture.pool.clone());
    provisioner.delete(&id("acme")).unwrap();
    provisioner.create(&NewTenant::new(id("acme"))).unwrap();
    let registry = PgRegistry::new(fixture.pool.clone());
    registry.add_member("ada", &id("acme"), "admin").unwrap();
    until(409, || ada.get("/notes"));
    until(200, || ada.switch("acme"));
    assert_eq!(add(&ada, "x", &of_acme), 409);
    ada.get("/notes").is(200, "");
    assert_eq!(add(&ada, "y", &token(&ada)), 201);
}

#[test]
fn what_is_no_such_form_is_a_bad_request() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    ada.switch("acme");
    let token = token(&ada);
    ada.post("/form", &format!("tenant_form={token}"))
        .is(400, "");
    let json = ["Content-Type: application/json"];
    ada.ask("POST", "/form", &json, "{}").is(400, "");
    ada.ask("POST", "/form", &[], "").is(400, "");
    let json = ada.ask("POST", "/__tenant__/acme", &json, "{}");
    json.is(400, "");
}
