//! Links that switch.

use std::time::Duration;

use boardinghouse_actix::Switch;
use boardinghouse_core::{PgRegistry, Tenant, User};

use super::site::{Site, id, new_switch, people, tenancy};
use crate::fixture::Fixture;

fn tenant(fixture: &Fixture, name: &str) -> Tenant {
    PgRegistry::new(fixture.pool.clone())
        .get(&id(name))
        .unwrap()
}

fn site(fixture: &Fixture) -> Site {
    people(fixture);
    Site::new(tenancy(fixture))
}

#[test]
fn a_signed_link_switches_and_shows_its_page_with_the_other_parameters() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let ada = site.user("ada");
    ada.switch("acme");
    let link = new_switch().link(&tenant(&fixture, "globex"), "/notes?x=1&y=%20", None);
    let answer = ada.get(&link.unwrap());
    assert_eq!(answer.status, 302, "{answer:?}");
    assert_eq!(
        answer.header("location").as_deref(),
        Some("/notes?x=1&y=%20")
    );
    ada.get("/notes").is(200, "from-globex");
    // Wherever the parameter is.
    let link = new_switch()
        .link(&tenant(&fixture, "acme"), "/notes", None)
        .unwrap();
    let signed = link.strip_prefix("/notes?").unwrap();
    let answer = ada.get(&format!("/notes?x=1&{signed}&&z"));
    assert_eq!(answer.header("location").as_deref(), Some("/notes?x=1&&z"));
    ada.get("/notes").is(200, "from-acme");
}

#[test]
fn a_link_from_the_log_of_acme_shows_its_note_to_who_is_in_globex() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let ada = site.user("ada");
    ada.switch("globex");
    ada.get("/notes/1").is(200, "from-globex");
    let link = new_switch().link(
        &tenant(&fixture, "acme"),
        "/notes/1",
        Some(&User::new("ada")),
    );
    let answer = ada.see(&link.unwrap());
    ada.get(&answer.header("location").unwrap())
        .is(200, "from-acme");
}

#[test]
fn a_link_is_for_one_page_one_tenant_and_one_user() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let (ada, bob) = (site.user("ada"), site.user("bob"));
    let (acme, globex) = (tenant(&fixture, "acme"), tenant(&fixture, "globex"));
    let user = User::new("ada");
    let for_ada = new_switch().link(&globex, "/notes", Some(&user)).unwrap();
    let for_all = new_switch().link(&globex, "/notes", None).unwrap();
    let signed = |link: &str| link.split_once("__tenant=").unwrap().1.to_owned();
    let other_key = Switch::new(&[8; 32]).unwrap();
    let old = new_switch().links_last(Duration::ZERO);
    for refused in [
        "/notes?__tenant=globex".to_owned(),
        "/notes?__tenant=".to_owned(),
        "/notes?__tenant".to_owned(),
        "/notes?__tenant=globex.99999999999.00".to_owned(),
        format!("/me?__tenant={}", signed(&for_all)),
        format!(
            "/notes?__tenant={}",
            signed(&for_all).replace("globex", "acme")
        ),
        format!("{for_all}&__tenant={}", signed(&for_all)),
        format!("{for_all}0"),
        for_all[..for_all.len() - 2].to_owned(),
        other_key.link(&globex, "/notes", None).unwrap(),
        old.link(&globex, "/notes", None).unwrap(),
        // Of a tenant that has or had the same id.
        new_switch()
            .link(
                &Tenant::new(id("globex"), "globex".parse().unwrap()),
                "/notes",
                None,
            )
            .unwrap(),
        new_switch()
            .link(
                &Tenant::new(id("nobody"), "nobody".parse().unwrap()),
                "/notes",
                None,
            )
            .unwrap(),
    ] {
        ada.get(&refused).is(403, "");
    }
    // Others' links, and without the right.
    bob.get(&for_ada).is(403, "");
    site.browser().get(&for_ada).is(403, "");
    bob.get(&for_all).is(403, "");
    site.browser().get(&for_all).is(403, "");
    let of_acme = User::of_tenant("ada", id("globex"));
    let local = new_switch()
        .link(&globex, "/notes", Some(&of_acme))
        .unwrap();
    ada.get(&local).is(403, "");
    assert_eq!(ada.get("/notes").status, 409);
    // Only GET.
    for method in ["POST", "HEAD", "PUT"] {
        assert_eq!(ada.ask(method, &for_ada, &[], "").status, 403, "{method}");
    }
    assert_eq!(ada.get("/notes").status, 409);
    assert_eq!(ada.get(&for_ada).status, 302);
    let acme = new_switch().link(&acme, "/notes", None).unwrap();
    assert_eq!(bob.get(&acme).status, 302);
    bob.get("/notes").is(200, "from-acme");
}

#[test]
fn another_sites_page_can_lead_here_only_by_a_link_that_is_for_the_user() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let ada = site.user("ada");
    let globex = tenant(&fixture, "globex");
    let for_all = new_switch().link(&globex, "/notes", None).unwrap();
    let user = User::new("ada");
    let for_ada = new_switch().link(&globex, "/notes", Some(&user)).unwrap();
    for cross in [
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Referer: https://evil.test/",
        "Origin: null",
    ] {
        ada.ask("GET", &for_all, &[cross], "").is(403, "");
        assert_eq!(ada.get("/notes").status, 409);
    }
    let mail = ada.ask("GET", &for_ada, &["Sec-Fetch-Site: cross-site"], "");
    assert_eq!(mail.status, 302);
    ada.get("/notes").is(200, "from-globex");
}

#[test]
fn a_link_leads_to_no_other_site() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    let ada = site.user("ada");
    let globex = tenant(&fixture, "globex");
    let link = new_switch().link(&globex, "/notes", None).unwrap();
    let signed = link.strip_prefix("/notes").unwrap();
    for path in ["//evil.test/notes", "//evil.test", "/\\evil.test"] {
        assert!(new_switch().link(&globex, path, None).is_err(), "{path}");
        let answer = ada.get(&format!("{path}{signed}"));
        assert!(answer.header("location").is_none(), "{answer:?}");
    }
}
