//! Switching in a session.

use boardinghouse_actix::{Header, OnSwitch};
use boardinghouse_core::{NewTenant, PgRegistry, Provisioner};
use serde_json::json;

use super::{
    browser::Browser,
    site::{Site, id, new_switch, people, tenancy},
};
use crate::{client::until, fixture::Fixture};

fn site(fixture: &Fixture) -> Site {
    people(fixture);
    Site::new(tenancy(fixture))
}

#[test]
fn a_user_of_two_tenants_switches_between_them_and_the_session_has_their_names() {
    let fixture = Fixture::new();
    fixture
        .execute("UPDATE boardinghouse.tenants SET display_name = 'Acme Inc.' WHERE id = 'acme'");
    let site = site(&fixture);
    let ada = site.user("ada");
    ada.get("/notes")
        .is(409, r#"{"error":"no tenant was chosen"}"#);
    ada.switch("acme")
        .is(200, r#"{"name":"Acme Inc.","page":"/","tenant":"acme"}"#);
    assert_eq!(site.store.value("tenant"), Some(json!("acme")));
    assert_eq!(site.store.value("tenant_display"), Some(json!("Acme Inc.")));
    ada.get("/notes").is(200, "from-acme");
    assert_eq!(ada.switch("globex").status, 200);
    ada.get("/notes").is(200, "from-globex");
    ada.get("/me").is(200, "ada globex");
    // Out of it.
    ada.switch("")
        .is(200, r#"{"name":null,"page":"/","tenant":null}"#);
    assert_eq!(ada.get("/notes").status, 409);
    assert_eq!(site.store.value("tenant"), None);
    assert_eq!(site.store.value("tenant_display"), None);
    ada.get("/me").is(200, "ada nowhere");
}

#[test]
fn a_switch_without_the_right_leaves_the_session_as_it_was() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let bob = site.user("bob");
    assert_eq!(bob.switch("acme").status, 200);
    let (before, writes) = (site.store.only(), site.store.writes());
    for tenant in [
        "globex",
        "nobody",
        "__template__",
        "public",
        "1",
        "ACME",
        "%2e%2e",
    ] {
        bob.switch(tenant).is(403, "");
    }
    assert_eq!(site.store.only(), before);
    assert_eq!(site.store.writes(), writes);
    bob.get("/notes").is(200, "from-acme");
}

#[test]
fn switching_to_the_same_tenant_writes_nothing_and_to_another_nothing_else() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let ada = site.user("ada");
    ada.switch("acme");
    site.store.set("cart", &json!(["anvil"]));
    let writes = site.store.writes();
    assert_eq!(ada.switch("acme").status, 200);
    assert_eq!(site.store.writes(), writes);
    ada.switch("globex");
    assert_eq!(site.store.writes(), writes + 1);
    assert_eq!(site.store.value("cart"), Some(json!(["anvil"])));
    ada.switch("");
    assert_eq!(site.store.value("cart"), Some(json!(["anvil"])));
    let writes = site.store.writes();
    ada.switch("");
    assert_eq!(site.store.writes(), writes);
    // Nor do requests write.
    ada.switch("acme");
    let writes = site.store.writes();
    ada.get("/notes").is(200, "from-acme");
    assert_eq!(site.store.writes(), writes);
}

#[test]
fn a_switch_must_come_from_this_site_with_the_token_of_its_session() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let (ada, bob) = (site.user("ada"), site.user("bob"));
    let token = ada.token();
    let form = format!("token={token}");
    for (form, headers) in [
        ("", &[][..]),
        ("token=", &[]),
        (&format!("token={}", bob.token()), &[]),
        (&format!("token={}", "0".repeat(64)), &[]),
        (&form, &["Origin: https://evil.test"]),
        (&form, &["Origin: null"]),
        (&form, &["Sec-Fetch-Site: cross-site"]),
        (&form, &["Sec-Fetch-Site: same-site"]),
        (&form, &["Referer: https://evil.test/"]),
    ] {
        ada.send_form("/__tenant__/acme", form, headers).is(403, "");
    }
    assert_eq!(ada.get("/notes").status, 409);
    // A token of the time before the login is none.
    ada.log_in("ada");
    assert_eq!(ada.post("/__tenant__/acme", &form).status, 403);
    let header = format!("X-Tenant-Token: {}", ada.token());
    let by_header = ada.ask("POST", "/__tenant__/acme", &[&header], "");
    assert_eq!(by_header.status, 200);
    ada.get("/notes").is(200, "from-acme");
}

#[test]
fn only_post_switches_unless_get_is_let() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    for method in ["GET", "PUT", "DELETE", "HEAD"] {
        let own = ["Sec-Fetch-Site: same-origin"];
        let answer = ada.ask(method, "/__tenant__/acme", &own, "");
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get, post"), "{answer:?}");
    }
    let site = Site::new(tenancy(&fixture).switching(new_switch().by_get(true)));
    let ada = site.user("ada");
    let ask = |headers: &[&str]| ada.ask("GET", "/__tenant__/acme", headers, "");
    for headers in [
        &[][..],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &["Referer: https://evil.test/"],
        &["Origin: https://evil.test", "Sec-Fetch-Site: none"],
    ] {
        ask(headers).is(403, "");
    }
    assert_eq!(ada.get("/notes").status, 409);
    assert_eq!(ask(&["Sec-Fetch-Site: none"]).status, 200);
    ada.get("/notes").is(200, "from-acme");
    let back = ada.ask(
        "GET",
        "/__tenant__/globex",
        &["Referer: http://app.test/notes/7", "Accept: text/html"],
        "",
    );
    assert_eq!(back.status, 303);
    assert_eq!(back.header("location").as_deref(), Some("/notes"));
    ada.get("/notes").is(200, "from-globex");
}

/// To where a browser is sent that switches to globex.
#[track_caller]
fn goes_to(browser: &Browser, fields: &str, headers: &[&str]) -> String {
    let mut all = vec!["Accept: text/html"];
    all.extend(headers);
    let form = format!("token={}&tenant=globex{fields}", browser.token());
    let answer = browser.send_form("/__tenant__/", &form, &all);
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.header("location").unwrap()
}

#[test]
fn a_browser_goes_on_to_a_page_that_makes_sense_in_the_other_tenant() {
    let fixture = Fixture::new();
    people(&fixture);
    let switch = new_switch()
        .page("/help/{page:.*}", OnSwitch::Stay)
        .page("/invoices/{id}", OnSwitch::To("/billing".to_owned()))
        .page("/odd", OnSwitch::To("https://evil.test/".to_owned()));
    let site = Site::new(tenancy(&fixture).switching(switch));
    let ada = site.user("ada");
    let to = |fields: &str| goes_to(&ada, fields, &[]);
    assert_eq!(to("&from=/photos/223"), "/photos");
    assert_eq!(to("&from=/photos/223/edit%3Fx=1"), "/photos");
    assert_eq!(to("&from=/photos"), "/photos");
    assert_eq!(to("&from=/help/7%3Fq=x"), "/help/7?q=x");
    assert_eq!(to("&from=/invoices/7"), "/billing");
    assert_eq!(to("&from=/odd"), "/");
    assert_eq!(to(""), "/");
    assert_eq!(to("&from=/photos/223&next=/start%3Fx=1"), "/start?x=1");
    let referer = |url: &str| goes_to(&ada, "", &[&format!("Referer: {url}")]);
    assert_eq!(referer("https://app.test/photos/223"), "/photos");
    // No other site.
    for outside in [
        "//evil.test",
        "https://evil.test/",
        "/%5Cevil.test",
        "%5C/evil.test",
        "/%09/evil.test",
        "evil.test",
        "javascript:alert(1)",
        "/%0d%0aSet-Cookie:x=1",
    ] {
        assert_eq!(to(&format!("&next={outside}")), "/", "{outside}");
        assert_eq!(to(&format!("&from={outside}")), "/", "{outside}");
    }
}

#[test]
fn in_acme_at_a_note_that_globex_does_not_have_the_switch_leads_to_its_notes() {
    let fixture = Fixture::new();
    fixture.execute("INSERT INTO acme.notes (body) VALUES ('second')");
    let site = site(&fixture);
    let ada = site.user("ada");
    ada.switch("acme");
    ada.get("/notes/2").is(200, "second");
    let page = goes_to(&ada, "&from=/notes/2", &[]);
    ada.get(&page).is(200, "from-globex");
    assert_eq!(ada.get("/notes/2").status, 404);
}

#[test]
fn nobody_switches_on_a_page_that_says_so() {
    let fixture = Fixture::new();
    people(&fixture);
    let switch = new_switch().page("/locked/{id}", OnSwitch::Refuse);
    let site = Site::new(tenancy(&fixture).switching(switch));
    let ada = site.user("ada");
    ada.switch("acme");
    let menu = ada.see("/locked/7").body;
    assert!(
        menu.contains("<select name=\"tenant\" aria-label=\"Tenant\" disabled>"),
        "{menu}"
    );
    assert!(!ada.see("/menu").body.contains("disabled"));
    let form = format!("token={}", ada.token());
    let referer = ["Referer: http://app.test/locked/7"];
    for (form, headers) in [
        (format!("{form}&from=/locked/7"), &[][..]),
        (form.clone(), &referer[..]),
        // A form that says it is on another page.
        (format!("{form}&from=/notes&next=/notes"), &referer[..]),
    ] {
        ada.send_form("/__tenant__/globex", &form, headers)
            .is(409, "");
        ada.send_form("/__tenant__/", &form, headers).is(409, "");
    }
    ada.get("/notes").is(200, "from-acme");
}

#[test]
fn a_header_names_the_tenant_of_one_request_for_who_may_enter_it() {
    let fixture = Fixture::new();
    people(&fixture);
    let header = Header::new("x-tenant").unwrap().from_anybody();
    let tenancy = fixture
        .tenancy()
        .resolver(header)
        .resolver(boardinghouse_actix::SessionTenant)
        .users(boardinghouse_actix::SessionUser::new())
        .access(boardinghouse_core::Access::new(
            boardinghouse_core::ByMembership,
        ))
        .switching(new_switch())
        .unknown(boardinghouse_actix::Unknown::SharedSite);
    let site = Site::new(tenancy);
    let (ada, bob) = (site.user("ada"), site.user("bob"));
    ada.switch("acme");
    let write = |who: &Browser| who.ask("POST", "/notes", &["X-Tenant: globex"], "by-header");
    write(&ada).is(201, "");
    write(&bob).is(403, "");
    write(&site.browser()).is(403, "");
    // For that one request.
    ada.get("/notes").is(200, "from-acme");
    ada.switch("globex");
    ada.get("/notes").is(200, "from-globex,by-header");
}

#[test]
fn who_may_enter_one_tenant_is_in_it_where_that_is_wanted() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture).switching(new_switch().auto_single(true)));
    let bob = site.user("bob");
    bob.get("/notes").is(200, "from-acme");
    assert_eq!(site.store.value("tenant"), Some(json!("acme")));
    let (ada, carol, anybody) = (site.user("ada"), site.user("carol"), site.browser());
    for who in [&ada, &carol, &anybody] {
        assert_eq!(who.get("/notes").status, 409);
    }
    // One of two is suspended.
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'");
    until(200, || ada.get("/notes")).is(200, "from-globex");
}

#[test]
fn a_tenant_that_is_gone_leaves_the_session_and_one_that_got_its_id_is_not_taken_for_it() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let provisioner = Provisioner::new(fixture.pool.clone());
    let registry = PgRegistry::new(fixture.pool.clone());
    let (ada, tab) = (site.user("ada"), site.user("ada"));
    for browser in [&ada, &tab] {
        browser.switch("acme");
        browser.get("/notes").is(200, "from-acme");
    }
    provisioner.rename(&id("acme"), &id("renamed")).unwrap();
    let chooser = until(302, || ada.see("/notes"));
    assert_eq!(chooser.header("location").as_deref(), Some("/choose"));
    ada.see("/choose").is(200, "nowhere: 2 tenants");
    // The other session has not noticed, and there is another acme now.
    let new = NewTenant::new(id("acme"));
    provisioner.create(&new).unwrap();
    registry.add_member("ada", &id("acme"), "admin").unwrap();
    tab.get("/notes")
        .is(409, r#"{"error":"no tenant was chosen"}"#);
    // Deleted and created anew.
    assert_eq!(until(200, || tab.switch("acme")).status, 200);
    tab.get("/notes").is(200, "");
    provisioner.delete(&id("acme")).unwrap();
    provisioner.create(&new).unwrap();
    registry.add_member("ada", &id("acme"), "admin").unwrap();
    assert_eq!(until(409, || tab.get("/notes")).status, 409);
    assert_eq!(until(200, || tab.switch("acme")).status, 200);
    tab.get("/notes").is(200, "");
}

#[test]
fn what_a_session_says_is_no_right_and_what_is_no_id_names_nothing() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let bob = site.user("bob");
    bob.switch("acme");
    for odd in [
        json!("__template__"),
        json!("public"),
        json!(1),
        json!("ACME"),
        json!(["acme"]),
    ] {
        site.store.set("tenant", &odd);
        assert_eq!(bob.get("/notes").status, 409, "{odd}");
        assert_eq!(site.store.value("tenant"), None, "{odd}");
        bob.switch("acme");
    }
    // Of another tenant, the incarnation of which is not known.
    site.store.set("tenant", &json!("globex"));
    assert_eq!(bob.get("/notes").status, 409);
    let globex = PgRegistry::new(fixture.pool.clone())
        .get(&id("globex"))
        .unwrap();
    bob.switch("acme");
    site.store.set("tenant", &json!("globex"));
    site.store
        .set("tenant_incarnation", &json!(globex.incarnation()));
    bob.get("/notes").is(403, "");
    assert_eq!(site.store.value("tenant"), None);
}
