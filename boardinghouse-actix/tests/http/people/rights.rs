//! Rights are checked on every request, whatever the session says.

use boardinghouse_actix::HostTable;
use boardinghouse_core::{NewTenant, PgRegistry, Provisioner, TenantPool};

use super::site::{Site, id, new_switch, people, tenancy, tenancy_on};
use crate::{client::until, fixture::Fixture};

#[test]
fn who_was_a_member_is_refused_in_two_processes_and_the_tenant_leaves_the_session() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let other = Site::with_store(
        tenancy_on(fixture.pool(TenantPool::builder())),
        site.store.clone(),
    );
    let (ada, elsewhere) = (site.user("ada"), other.user("ada"));
    for browser in [&ada, &elsewhere] {
        browser.switch("globex");
        browser.get("/notes").is(200, "from-globex");
    }
    // Neither process does it itself.
    fixture.execute("DELETE FROM boardinghouse.members WHERE tenant_id = 'globex'");
    for browser in [&ada, &elsewhere] {
        until(403, || browser.get("/notes")).is(403, "");
        assert_eq!(browser.get("/notes").status, 409);
        browser.switch("globex").is(403, "");
        assert_eq!(browser.switch("acme").status, 200);
        browser.get("/notes").is(200, "from-acme");
    }
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'");
    for browser in [&ada, &elsewhere] {
        until(403, || browser.get("/notes")).is(403, "");
    }
}

#[test]
fn a_role_is_that_in_the_tenant_of_the_request() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    ada.switch("acme");
    ada.get("/admin").is(200, "yes");
    ada.switch("globex");
    ada.get("/admin").is(403, "");
    fixture.execute("UPDATE boardinghouse.members SET role = 'admin'");
    until(200, || ada.get("/admin")).is(200, "yes");
}

#[test]
fn a_user_of_one_tenants_own_is_nobody_in_another_nor_in_a_later_one_of_the_same_id() {
    let fixture = Fixture::new();
    // User 1 of acme is a member there, and happens to have the id of a member of globex.
    let registry = PgRegistry::new(fixture.pool.clone());
    for tenant in ["acme", "globex"] {
        registry.add_member("1", &id(tenant), "admin").unwrap();
    }
    let site = Site::new(tenancy(&fixture).resolver(HostTable));
    let visitor = site.browser();
    let at = |host: &str, method: &str, target: &str| {
        visitor.ask(method, target, &[&format!("Host: {host}.test")], "")
    };
    at("acme", "POST", "/local/1").is(200, "");
    at("acme", "GET", "/me").is(200, "1 acme");
    at("acme", "GET", "/admin").is(200, "yes");
    at("globex", "GET", "/me").is(200, "nobody globex");
    at("globex", "GET", "/admin").is(403, "");
    visitor.get("/me").is(200, "nobody nowhere");
    let menu = visitor.menu("");
    assert_eq!(menu["tenants"].as_array().unwrap().len(), 1, "{menu}");
    visitor.switch("globex").is(403, "");
    let provisioner = Provisioner::new(fixture.pool.clone());
    provisioner.delete(&id("acme")).unwrap();
    let new = NewTenant::new(id("acme")).domain("acme.test".parse().unwrap());
    provisioner.create(&new).unwrap();
    registry.add_member("1", &id("acme"), "admin").unwrap();
    until(200, || at("acme", "GET", "/notes")).is(200, "");
    at("acme", "GET", "/me").is(200, "nobody acme");
    at("acme", "GET", "/admin").is(403, "");
}

#[test]
fn a_login_gives_the_session_another_key_and_leaves_nothing_of_the_user_before() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    ada.switch("acme");
    // Somebody who knew the key, or has put it there.
    let planted = ada.stolen();
    planted.get("/me").is(200, "ada acme");
    ada.log_in("ada");
    assert_ne!(*ada.cookie.borrow(), *planted.cookie.borrow());
    planted.get("/me").is(200, "nobody nowhere");
    ada.get("/me").is(200, "ada acme");
    ada.log_in("bob");
    ada.get("/me").is(200, "bob nowhere");
    ada.switch("acme");
    let stolen = ada.stolen();
    ada.post("/logout", "").is(200, "");
    stolen.get("/me").is(200, "nobody nowhere");
}

#[test]
fn what_needs_a_tenant_and_has_none_costs_no_query_of_one_in_whatever_language() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    for target in ["/notes", "/notes/1", "/admin"] {
        let page = ada.see(target);
        page.is(302, "");
        assert_eq!(page.header("location").as_deref(), Some("/choose"));
        ada.get(target)
            .is(409, r#"{"error":"no tenant was chosen"}"#);
    }
    // There is nothing that could be asked: the answer does not come from the database.
    fixture.execute("DROP SCHEMA acme, globex CASCADE; DROP TABLE public.notes");
    for target in ["/notes", "/notes/1", "/admin"] {
        ada.see(target).is(302, "");
        ada.get(target)
            .is(409, r#"{"error":"no tenant was chosen"}"#);
    }
}

#[test]
fn a_user_of_a_former_tenant_is_not_put_into_the_one_that_has_its_id_now() {
    let fixture = Fixture::new();
    let registry = PgRegistry::new(fixture.pool.clone());
    registry.add_member("1", &id("acme"), "admin").unwrap();
    let tenancy = tenancy(&fixture).switching(new_switch().auto_single(true));
    let site = Site::new(tenancy.resolver(HostTable));
    let login = ["Host: acme.test"];
    let (early, late) = (site.browser(), site.browser());
    for browser in [&early, &late] {
        browser.ask("POST", "/local/1", &login, "").is(200, "");
    }
    early.get("/me").is(200, "1 acme");
    let provisioner = Provisioner::new(fixture.pool.clone());
    provisioner.delete(&id("acme")).unwrap();
    provisioner.create(&NewTenant::new(id("acme"))).unwrap();
    registry.add_member("1", &id("acme"), "admin").unwrap();
    until(200, || site.user("1").get("/notes")).is(200, "");
    late.get("/me").is(200, "nobody nowhere");
    assert_eq!(late.get("/notes").status, 409);
    assert_eq!(early.get("/notes").status, 409);
    late.switch("acme").is(403, "");
}
