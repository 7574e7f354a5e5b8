//! Eight kinds of users and six of tenants: who gets what, each time they ask.

use actix_web::HttpResponse;
use boardinghouse_actix::{Header, SessionTenant, SessionUser, Unknown};
use boardinghouse_core::{
    Access, ByMembership, Decision, PgRegistry, Superusers, TenantStatus, User, Visit,
};

use super::{
    browser::Browser,
    site::{Site, id, new_switch},
};
use crate::{client::Answer, fixture::Fixture};

const TENANTS: [&str; 6] = [
    "acme",
    "suspended",
    "pending",
    "gone",
    "__template__",
    "public-catalogue",
];

/// 200: served. 403: no right, or none that anybody could have. 1403: the page of the suspended.
/// 503: not yet.
const SUSPENDED: u16 = 1403;

/// A suspended tenant is not served to a superuser either, who sees its page: the pool hands out no
/// connection for one.
const TABLE: [(&str, [u16; 6]); 8] = [
    ("anonymous", [403, 403, 403, 403, 403, 200]),
    ("stranger", [403, 403, 403, 403, 403, 200]),
    ("member", [200, SUSPENDED, 503, 403, 403, 200]),
    ("member of another", [403, 403, 403, 403, 403, 200]),
    ("former member", [403, 403, 403, 403, 403, 200]),
    (
        "user of another tenant's own",
        [403, 403, 403, 403, 403, 200],
    ),
    ("banned member", [403, 403, 403, 403, 403, 403]),
    ("superuser", [200, SUSPENDED, 503, 403, 403, 200]),
];

fn site(fixture: &Fixture) -> Site {
    for tenant in ["suspended", "pending", "public-catalogue", "gone"] {
        let schema = tenant.replace('-', "_");
        fixture.execute(&format!(
            "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
             VALUES ('{tenant}', '{schema}', '{tenant}', 'ready'); \
             CREATE SCHEMA {schema} CREATE TABLE notes (id int, body text)"
        ));
    }
    let registry = PgRegistry::new(fixture.pool.clone());
    for tenant in ["acme", "suspended", "pending", "gone"] {
        for user in ["member", "former", "banned", "1"] {
            registry.add_member(user, &id(tenant), "reader").unwrap();
        }
    }
    registry
        .add_member("neighbour", &id("globex"), "reader")
        .unwrap();
    fixture.execute(
        "DELETE FROM boardinghouse.members WHERE user_id = 'former'; \
         UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'suspended'; \
         UPDATE boardinghouse.tenants SET status = 'pending' WHERE id = 'pending'; \
         DELETE FROM boardinghouse.tenants WHERE id = 'gone'; DROP SCHEMA gone CASCADE",
    );
    let banned = |visit: &Visit<'_>| match visit.user {
        Some(user) if user.id == "banned" => Decision::Deny,
        _ => Decision::Abstain,
    };
    let public = |visit: &Visit<'_>| match visit.tenant.id().as_str() {
        "public-catalogue" => Decision::Allow,
        _ => Decision::Abstain,
    };
    let tenancy = fixture
        .tenancy()
        .resolver(boardinghouse_actix::HostTable)
        .resolver(Header::new("x-tenant").unwrap().from_anybody())
        .resolver(SessionTenant)
        .users(SessionUser::new().superusers(|user: &User| user.id == "root"))
        .access(
            Access::new(banned)
                .or(public)
                .or(Superusers)
                .or(ByMembership),
        )
        .switching(new_switch().offer([id("public-catalogue")]))
        .unknown(Unknown::SharedSite)
        .status_page(|_, tenant| match tenant.status() {
            TenantStatus::Suspended => Some(HttpResponse::Forbidden().body("closed")),
            _ => None,
        });
    Site::new(tenancy)
}

fn user(site: &Site, kind: &str) -> Browser {
    let browser = site.browser();
    match kind {
        "anonymous" => {}
        "stranger" => browser.log_in("carol"),
        "member" => browser.log_in("member"),
        "member of another" => browser.log_in("neighbour"),
        "former member" => browser.log_in("former"),
        "user of another tenant's own" => {
            let host = ["Host: globex.test"];
            browser.ask("POST", "/local/1", &host, "").is(200, "");
        }
        "banned member" => browser.log_in("banned"),
        "superuser" => browser.log_in("root"),
        _ => unreachable!("{kind}"),
    }
    browser
}

fn seen(answer: &Answer) -> u16 {
    match (answer.status, answer.body.as_str()) {
        (403, "closed") => SUSPENDED,
        (403 | 503, body) => {
            assert_eq!(body, "");
            answer.status
        }
        (status, _) => status,
    }
}

#[test]
fn each_kind_of_user_gets_from_each_kind_of_tenant_what_the_table_says() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    for (kind, row) in TABLE {
        for (tenant, expected) in TENANTS.into_iter().zip(row) {
            let browser = user(&site, kind);
            let answer = browser.switch(tenant);
            assert_eq!(seen(&answer), expected, "{kind} switches to {tenant}");
            // What was refused is not in the session.
            let whoami = browser.get("/me").body;
            let is_in = whoami.ends_with(&format!(" {tenant}"));
            assert_eq!(is_in, expected == 200, "{kind} in {tenant}: {whoami}");
            if expected == 200 {
                assert_eq!(browser.get("/notes").status, 200, "{kind} in {tenant}");
            }
            // The same by a header, for one request; what can be no id names nothing there.
            let header = format!("X-Tenant: {tenant}");
            let answer = user(&site, kind).ask("GET", "/notes", &[&header], "");
            let by_header = match tenant {
                "__template__" => 404,
                _ => expected,
            };
            assert_eq!(seen(&answer), by_header, "{kind} asks {tenant}");
        }
    }
}

/// Who may enter them, and until when, is told anew on every request.
#[test]
fn a_session_that_is_in_a_tenant_gets_what_the_table_says_when_the_tenant_changes() {
    let fixture = Fixture::new();
    let site = site(&fixture);
    for kind in ["member", "superuser"] {
        for (change, expected) in [
            (
                "UPDATE boardinghouse.tenants SET status = 'suspended' WHERE id = 'acme'",
                SUSPENDED,
            ),
            (
                "UPDATE boardinghouse.tenants SET status = 'pending' WHERE id = 'acme'",
                503,
            ),
        ] {
            fixture.execute("UPDATE boardinghouse.tenants SET status = 'ready' WHERE id = 'acme'");
            let browser = user(&site, kind);
            crate::client::until(200, || browser.switch("acme"));
            fixture.execute(change);
            let status = if expected == SUSPENDED { 403 } else { expected };
            let answer = crate::client::until(status, || browser.get("/notes"));
            assert_eq!(seen(&answer), expected, "{kind}");
        }
    }
}
