//! The menu, for templates and for scripts.

use boardinghouse_actix::{Cookie, Unknown};
use boardinghouse_core::{
    Access, ByMembership, Decision, NewTenant, PgRegistry, Provisioner, Visit,
};
use serde_json::json;

use super::site::{Site, id, new_switch, people, tenancy};
use crate::{client::get_with, fixture::Fixture};

#[test]
fn it_has_the_tenants_that_the_user_may_enter_and_the_one_selected() {
    let fixture = Fixture::new();
    people(&fixture);
    fixture.execute("UPDATE boardinghouse.tenants SET display_name = 'Acme <b>' WHERE id = 'acme'");
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    ada.switch("globex");
    let menu = ada.menu("");
    assert_eq!(
        menu["tenants"],
        json!([
            { "value": "acme", "name": "Acme <b>", "role": "admin" },
            { "value": "globex", "name": "globex", "role": "reader" },
        ])
    );
    assert_eq!(menu["selected"], json!("globex"));
    let html = ada.see("/menu").body;
    for part in [
        "<form class=\"tenant-menu\" method=\"post\" action=\"/__tenant__/\">",
        "<option value=\"acme\">Acme &lt;b&gt;</option>",
        "<option value=\"globex\" selected>globex</option>",
        "<input type=\"hidden\" name=\"from\" value=\"/menu\">",
    ] {
        assert!(html.contains(part), "{html}");
    }
    // What the form sends, without a script.
    let token = menu["token"].as_str().unwrap();
    assert!(html.contains(token), "{html}");
    let answer = ada.submit(
        "/__tenant__/",
        &format!("token={token}&from=/menu&tenant=acme"),
    );
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location").as_deref(), Some("/menu"));
    ada.get("/notes").is(200, "from-acme");
    let html = ada.see("/gallery").body;
    assert!(
        html.contains("name=\"next\" value=\"/start?x=1\""),
        "{html}"
    );
}

#[test]
fn one_who_has_no_choice_sees_none_and_anonymous_visitors_leave_no_session() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let anybody = site.browser();
    assert_eq!(anybody.menu("")["tenants"], json!([]));
    assert_eq!(anybody.menu("")["token"], json!(""));
    anybody.see("/menu").is(200, "");
    assert_eq!(site.store.writes(), 0);
    assert!(anybody.cookie.borrow().is_none());
    let bob = site.user("bob");
    assert!(bob.see("/menu").body.contains("<option value=\"acme\">"));
    bob.switch("acme");
    bob.see("/menu").is(200, "");
}

#[test]
fn of_two_hundred_tenants_a_search_leaves_those_that_match_and_that_the_user_may_enter() {
    let fixture = Fixture::new();
    people(&fixture);
    // Rows are enough: nobody enters them.
    fixture.execute(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
         SELECT 't' || n, 't' || n, CASE WHEN n % 50 = 0 THEN 'ZAC ' ELSE 'Other ' END || n, 'ready' \
         FROM generate_series(1, 200) n; \
         INSERT INTO boardinghouse.members (user_id, tenant_id, role) \
         SELECT 'ada', 't' || n, 'reader' FROM generate_series(1, 150) n; \
         UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 't50'",
    );
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    assert_eq!(ada.menu("")["tenants"].as_array().unwrap().len(), 151);
    let found = |query: &str| -> Vec<String> {
        let menu = ada.menu(query);
        let tenants = menu["tenants"].as_array().unwrap().iter();
        let mut found: Vec<_> = tenants
            .map(|entry| entry["value"].as_str().unwrap().to_owned())
            .collect();
        // The order is that of the server's language.
        found.sort();
        found
    };
    assert_eq!(found("?q=ac"), ["acme", "t100", "t150"]);
    assert_eq!(found("?q=AC"), ["acme", "t100", "t150"]);
    assert_eq!(found("?q=zac+15"), ["t150"]);
    assert_eq!(found("?q=nothing"), [""; 0]);
    assert_eq!(found("?q=%25"), [""; 0]);
    assert_eq!(ada.get("/__tenant__/?q=%ff").status / 100, 2);
}

#[test]
fn a_public_tenant_can_be_chosen_by_who_is_not_known() {
    let fixture = Fixture::new();
    people(&fixture);
    fixture.add("catalogue");
    let public = |visit: &Visit<'_>| match visit.tenant.id().as_str() {
        "catalogue" => Decision::Allow,
        _ => Decision::Abstain,
    };
    let access = Access::new(public).or(ByMembership);
    let offering = new_switch().offer([id("catalogue"), id("globex"), id("nobody")]);
    let site = Site::new(tenancy(&fixture).access(access).switching(offering));
    let anybody = site.browser();
    assert_eq!(anybody.menu("")["tenants"].as_array().unwrap().len(), 1);
    anybody.switch("globex").is(403, "");
    assert_eq!(anybody.switch("catalogue").status, 200);
    anybody.get("/notes").is(200, "from-catalogue");
    anybody.get("/me").is(200, "nobody catalogue");
}

#[test]
fn a_page_for_who_has_chosen_nothing_is_reached_while_the_chosen_tenant_is_suspended() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    ada.switch("acme");
    ada.get("/choose").is(200, "acme: 2 tenants");
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'");
    crate::client::until(403, || ada.get("/notes")).is(403, "");
    assert_eq!(ada.menu("")["selected"], json!(null));
    ada.get("/choose").is(200, "nowhere: 1 tenants");
    assert_eq!(ada.switch("globex").status, 200);
    ada.get("/notes").is(200, "from-globex");
}

#[test]
fn a_page_for_who_has_chosen_nothing_is_reached_with_whatever_cookie() {
    let fixture = Fixture::new();
    people(&fixture);
    let tenancy = fixture
        .tenancy()
        .resolver(Cookie::new("tenant"))
        .access(Access::new(ByMembership))
        .switching(new_switch())
        .unknown(Unknown::SharedSite)
        .chooser("/choose");
    let site = Site::new(tenancy);
    for tenant in ["nobody", "acme", "No Id"] {
        let cookie = format!("Cookie: tenant={tenant}");
        let ask = |target: &str| {
            let headers = ["Host: app.test", "Accept: text/html", &cookie];
            get_with(site.server.at, target, &headers)
        };
        ask("/choose").is(200, "nowhere: 0 tenants");
        assert!([302, 403].contains(&ask("/notes").status), "{tenant}");
    }
}

#[test]
fn members_come_from_the_list_soon_whoever_changes_it() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture));
    let ada = site.user("ada");
    let count = |wanted: usize| {
        let start = std::time::Instant::now();
        while ada.menu("")["tenants"].as_array().unwrap().len() != wanted {
            assert!(start.elapsed() < std::time::Duration::from_secs(120));
        }
    };
    count(2);
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'");
    count(1);
    fixture.execute("UPDATE boardinghouse.tenants SET status = 'ready'");
    count(2);
    fixture.execute("DELETE FROM boardinghouse.members");
    count(0);
    let registry = PgRegistry::new(fixture.pool.clone());
    registry.add_member("ada", &id("globex"), "reader").unwrap();
    count(1);
    Provisioner::new(fixture.pool.clone())
        .delete(&id("globex"))
        .unwrap();
    count(0);
    Provisioner::new(fixture.pool.clone())
        .create(&NewTenant::new(id("third")))
        .unwrap();
    fixture.execute("INSERT INTO boardinghouse.members VALUES ('ada', 'third', 'reader')");
    count(1);
}
