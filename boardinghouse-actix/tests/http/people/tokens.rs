//! A login at one domain that is finished at another.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    web::{self, ServiceConfig},
};
use boardinghouse_actix::{Error, HostTable, LoginToken};
use boardinghouse_core::{NewTenant, PgRegistry, Provisioner};

use super::{
    browser::Browser,
    site::{Site, id, people, tenancy},
};
use crate::fixture::Fixture;

pub(super) fn routes(app: &mut ServiceConfig) {
    app.route("/issue/{user}/{tenant}/{seconds}", web::post().to(issue))
        .route("/enter/{token}", web::post().to(enter));
}

async fn issue(
    request: HttpRequest,
    registry: web::Data<PgRegistry>,
    path: web::Path<(String, String, u64)>,
) -> Result<String, Error> {
    let (user, tenant, seconds) = path.into_inner();
    let tenant = web::block(move || registry.get(&id(&tenant))).await??;
    LoginToken::issue(&request, &tenant, &user, Duration::from_secs(seconds)).await
}

async fn enter(request: HttpRequest, token: web::Path<String>) -> Result<String, Error> {
    Ok(LoginToken::redeem(&request, &token).await?.to_string())
}

fn at(browser: &Browser, tenant: &str, method: &str, target: &str) -> String {
    let answer = browser.ask(method, target, &[&format!("Host: {tenant}.test")], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn enter_at(browser: &Browser, tenant: &str, token: &str) -> String {
    at(browser, tenant, "POST", &format!("/enter/{token}"))
}

#[test]
fn a_token_logs_in_once_at_its_tenant_for_a_time() {
    let fixture = Fixture::new();
    people(&fixture);
    let site = Site::new(tenancy(&fixture).resolver(HostTable));
    let other = Site::new(tenancy(&fixture).resolver(HostTable));
    let central = site.browser();
    let issue = |tenant: &str, seconds: u64| {
        let answer = central.post(&format!("/issue/ada/{tenant}/{seconds}"), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    };
    let token = issue("acme", 600);
    let browser = other.browser();
    // Only at its tenant, which is not a try.
    assert_eq!(enter_at(&browser, "globex", &token), "false");
    for wrong in [&"0".repeat(64), "x", &token.to_uppercase()] {
        assert_eq!(enter_at(&browser, "acme", wrong), "false");
    }
    assert_eq!(at(&browser, "acme", "GET", "/me"), "nobody acme");
    // At no tenant there is nobody to ask.
    assert_eq!(browser.post(&format!("/enter/{token}"), "").status, 409);
    assert_eq!(enter_at(&browser, "acme", &token), "true");
    assert_eq!(at(&browser, "acme", "GET", "/me"), "ada acme");
    // Once, in whatever process.
    for site in [&site, &other] {
        let thief = site.browser();
        assert_eq!(enter_at(&thief, "acme", &token), "false");
        assert_eq!(at(&thief, "acme", "GET", "/me"), "nobody acme");
    }
    // For a time.
    let old = issue("acme", 0);
    assert_eq!(enter_at(&site.browser(), "acme", &old), "false");
    // The digest does not log in.
    let left = issue("acme", 600);
    fixture.execute(&format!(
        "DO $$ BEGIN ASSERT (SELECT count(*) FROM boardinghouse.logins) = 1; \
         ASSERT (SELECT digest = sha256('{left}') FROM boardinghouse.logins); END $$"
    ));
    // And no later tenant of the same id.
    let provisioner = Provisioner::new(fixture.pool.clone());
    provisioner.delete(&id("acme")).unwrap();
    let new = NewTenant::new(id("acme")).domain("acme.test".parse().unwrap());
    provisioner.create(&new).unwrap();
    let registry = PgRegistry::new(fixture.pool.clone());
    assert!(registry.find(&id("acme")).unwrap().is_some());
    let again = || enter_at(&site.browser(), "acme", &left);
    assert_eq!(again(), "false");
}
