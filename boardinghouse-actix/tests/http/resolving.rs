//! Resolvers of the application, and tenants that are not served.

use actix_web::http::StatusCode;
use boardinghouse_actix::{BoxError, HostTable, Incoming, Resolution, Subdomain};
use boardinghouse_core::{PgRegistry, TenantId};

use crate::{
    app::serve,
    client::{Answer, get, get_with, until},
    fixture::Fixture,
};

/// As from a token: `Authorization: tenant <id>`.
pub(crate) fn claim(request: &Incoming<'_>) -> Result<Resolution, BoxError> {
    let Some(header) = request.headers().get("authorization") else {
        return Ok(Resolution::Pass);
    };
    let claim = header.to_str()?;
    if claim == "key server down" {
        return Err("could not fetch the keys".into());
    }
    Ok(match claim.strip_prefix("tenant ").map(TenantId::parse) {
        Some(Ok(id)) => Resolution::Tenant(id),
        _ => Resolution::Refuse(StatusCode::UNAUTHORIZED),
    })
}

#[test]
fn a_claim_names_the_tenant_or_leaves_it_to_the_next_resolver_or_is_refused() {
    let fixture = Fixture::new();
    let next = Subdomain::of("localhost").unwrap();
    let server = serve(fixture.tenancy().resolver(claim).resolver(next), 1);
    let ask = |claim: &str| {
        let claim = format!("Authorization: {claim}");
        get_with(server.at, "/notes", &["Host: globex.localhost", &claim])
    };
    ask("tenant acme").is(200, "from-acme");
    get(server.at, "globex.localhost", "/notes").is(200, "from-globex");
    ask("tenant Not-An-Id").is(401, "");
    ask("forged").is(401, "");
    ask("tenant nobody").is(404, "");
    later(&ask("key server down"));
}

#[track_caller]
fn later(answer: &Answer) {
    answer.is(503, "");
    assert!(answer.head.contains("\r\nretry-after: "), "{answer:?}");
}

#[test]
fn a_host_that_the_table_does_not_know_is_left_to_the_next_resolver() {
    let fixture = Fixture::new();
    let next = Subdomain::of("localhost").unwrap();
    let server = serve(fixture.tenancy().resolver(HostTable).resolver(next), 1);
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
    get(server.at, "globex.localhost", "/notes").is(200, "from-globex");
}

#[test]
fn a_tenant_that_is_not_ready_is_not_served() {
    let fixture = Fixture::new();
    let server = serve(fixture.tenancy().resolver(HostTable), 1);
    let set = |status: &str| {
        fixture.execute(&format!(
            "UPDATE boardinghouse.tenants SET status = '{status}' WHERE id = 'acme'"
        ));
    };
    let acme = || get(server.at, "acme.test", "/target");
    set("suspended");
    acme().is(403, "");
    for status in ["pending", "failed", "dropping"] {
        set("suspended");
        until(403, acme).is(403, "");
        set(status);
        later(&until(503, acme));
        get(server.at, "globex.test", "/notes").is(200, "from-globex");
    }
    set("ready");
    until(200, acme);
    get(server.at, "acme.test", "/notes").is(200, "from-acme");
}

#[test]
fn a_row_written_by_hand_does_not_make_a_tenant_of_the_template() {
    let fixture = Fixture::new();
    fixture.execute(
        "INSERT INTO boardinghouse.tenants (id, schema_name, display_name, status) \
         VALUES ('trick', '__template__', 'Trick', 'ready'); \
         INSERT INTO boardinghouse.domains (domain, tenant_id) VALUES ('trick.test', 'trick')",
    );
    let tenancy = fixture.tenancy().resolver(HostTable);
    let server = serve(tenancy.resolver(Subdomain::of("localhost").unwrap()), 1);
    get(server.at, "trick.test", "/target").is(404, "");
    get(server.at, "trick.localhost", "/target").is(404, "");
}

#[test]
fn a_database_without_a_registry_cannot_tell_and_does_not_say_not_found() {
    let fixture = Fixture::new();
    fixture.execute("DROP SCHEMA boardinghouse CASCADE");
    let registry = PgRegistry::new(fixture.pool.clone());
    let tenancy = boardinghouse_actix::Tenancy::new(registry).resolver(HostTable);
    let server = serve(tenancy, 1);
    later(&get(server.at, "acme.test", "/notes"));
}
