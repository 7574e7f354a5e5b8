//! Requests that nobody would write, and whom they reach.

use actix_web::{
    App, HttpResponse,
    dev::Service as _,
    http::{
        Uri,
        header::{COOKIE, HOST, HeaderName, HeaderValue},
    },
    rt::System,
    test::{TestRequest, init_service, read_body},
    web,
};
use boardinghouse_actix::{
    BoxError, Cookie, Header, HostTable, Incoming, PathPrefix, Subdomain, Tenant,
};
use boardinghouse_core::{Access, ByMembership, TenantPool, User};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use crate::fixture::Fixture;

const TENANTS: [&str; 2] = ["acme", "globex"];

/// What a case sends.
#[derive(Debug, Clone)]
struct Sent {
    target: String,
    hosts: Vec<String>,
    tenant_header: Option<String>,
    cookie: Option<String>,
    user: Option<String>,
    forwarded: Option<String>,
}

/// Pieces that mean something somewhere, and noise.
fn piece() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "acme",
        "globex",
        "ACME",
        "Globex",
        "public",
        "__template__",
        "boardinghouse",
        "shared",
        "test",
        "localhost",
        "t",
        "notes",
        "www",
        "x",
        "1",
        ".",
        "..",
        "/",
        "//",
        ":",
        ":80",
        "@",
        "%61",
        "%2f",
        "%2e",
        "%00",
        "?",
        "#",
        "\\",
        ";",
        ",",
        " ",
        "-",
        "_",
        "[::1]",
        "[",
        "]",
        "$user",
    ]);
    prop_oneof![
        6 => known.prop_map(ToOwned::to_owned),
        1 => "[ -~]{0,3}",
        1 => "\\PC{0,3}",
    ]
}

fn text(pieces: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..pieces).prop_map(|pieces| pieces.concat())
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => prop::sample::select(vec![
            "acme.test", "globex.test", "shared.test", "acme.localhost", "GLOBEX.localhost:80",
            "localhost", "other.test.", "www.acme.test",
        ]).prop_map(ToOwned::to_owned),
        3 => text(5),
    ]
}

fn target() -> impl Strategy<Value = String> {
    let begin = prop::sample::select(vec![
        "/",
        "/t/",
        "/t/acme",
        "/t/globex/",
        "/acme/",
        "//",
        "/gx/",
    ]);
    (begin, text(5)).prop_map(|(begin, rest)| format!("{begin}{rest}"))
}

fn sent() -> impl Strategy<Value = Sent> {
    let optional = |strategy: BoxedStrategy<String>| prop::option::weighted(0.3, strategy);
    (
        target(),
        prop::collection::vec(host(), 0..3),
        optional(text(3).boxed()),
        optional(text(4).boxed()),
        optional(
            prop::sample::select(vec!["ada", "bob", ""])
                .prop_map(str::to_owned)
                .boxed(),
        ),
        optional(host().boxed()),
    )
        .prop_map(
            |(target, hosts, tenant_header, cookie, user, forwarded)| Sent {
                target,
                hosts,
                tenant_header,
                cookie,
                user,
                forwarded,
            },
        )
}

impl Sent {
    /// The request; `None` for one that no client can send.
    fn request(&self) -> Option<TestRequest> {
        let uri: Uri = self.target.parse().ok()?;
        let mut request = TestRequest::default().uri(&uri.to_string());
        let mut add = |name: HeaderName, text: &str| -> Option<()> {
            let value = HeaderValue::from_bytes(text.as_bytes()).ok()?;
            request = std::mem::take(&mut request).append_header((name, value));
            Some(())
        };
        for host in &self.hosts {
            add(HOST, host)?;
        }
        let header = HeaderName::from_static;
        if let Some(value) = &self.tenant_header {
            add(header("x-tenant"), value)?;
        }
        if let Some(value) = &self.cookie {
            add(COOKIE, &format!("tenant={value}"))?;
        }
        if let Some(value) = &self.user {
            add(header("x-user"), value)?;
        }
        if let Some(value) = &self.forwarded {
            add(header("x-forwarded-host"), value)?;
        }
        Some(request)
    }

    /// Whether anything in the request names that tenant, by the plainest of readings.
    fn names(&self, tenant: &str) -> bool {
        let is = |text: &str| text == tenant;
        let path = self.target.split(['?', '#']).next().unwrap_or_default();
        let mut segments = path.split('/').skip(1);
        let (first, second) = (segments.next(), segments.next());
        let by_path = first == Some("t") && second.is_some_and(is);
        let by_header = self
            .tenant_header
            .as_deref()
            .is_some_and(|text| is(text.trim()));
        let member = (self.user.as_deref(), tenant) == (Some("ada"), "acme");
        let by_right = self
            .cookie
            .as_deref()
            .is_some_and(|text| text.contains(tenant))
            && member;
        let by_host = self.hosts.iter().any(|host| {
            let host = host.trim().to_ascii_lowercase();
            let name = host.rsplit_once(':').map_or(host.as_str(), |(name, port)| {
                if port
                    .trim_end_matches('.')
                    .bytes()
                    .all(|b| b.is_ascii_digit())
                {
                    name
                } else {
                    &host
                }
            });
            let name = name.trim_end_matches('.');
            let name = name.strip_prefix("www.").unwrap_or(name);
            let folder = match first {
                Some("acme") => "acme",
                Some("gx") => "globex",
                _ => "",
            };
            name == format!("{tenant}.test")
                || name == format!("{tenant}.localhost")
                || (name == "shared.test" && folder == tenant)
        });
        by_path || (by_header && self.user.as_deref() == Some("ada")) || by_right || by_host
    }
}

fn user(request: &Incoming<'_>) -> Result<Option<User>, BoxError> {
    let user = request
        .headers()
        .get("x-user")
        .and_then(|value| value.to_str().ok());
    Ok(user.filter(|user| !user.is_empty()).map(User::new))
}

/// Many cases with `BOARDINGHOUSE_SOAK` set: 100,000.
#[test]
fn no_request_reaches_a_tenant_that_it_does_not_name() {
    let cases = match std::env::var_os("BOARDINGHOUSE_SOAK") {
        Some(_) => 100_000,
        None => 3_000,
    };
    let fixture = Fixture::with_pool(TenantPool::builder().max_size(2));
    fixture.execute(
        "INSERT INTO boardinghouse.members VALUES ('ada', 'acme', 'editor');
         INSERT INTO boardinghouse.domains (domain, folder, tenant_id)
         VALUES ('shared.test', 'acme', 'acme'), ('shared.test', 'gx', 'globex')",
    );
    let tenancy = fixture
        .tenancy()
        .resolver(Cookie::new("tenant"))
        .resolver(Header::new("x-tenant").unwrap().from_anybody())
        .resolver(PathPrefix::new("/t"))
        .resolver(Subdomain::of("localhost").unwrap())
        .resolver(HostTable)
        .ignore_www()
        .users(user)
        .access(Access::new(ByMembership));
    let system = System::new();
    let app = App::new()
        .wrap(tenancy.middleware())
        .default_service(web::to(async |tenant: Option<Tenant>| {
            HttpResponse::Ok().body(tenant.map_or(String::new(), |tenant| tenant.id().to_string()))
        }));
    let app = system.block_on(init_service(app));
    let reached = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let ran = runner.run(&sent(), |sent| {
        let Some(request) = sent.request() else {
            return Ok(());
        };
        let (status, body) = system.block_on(async {
            let response = app.call(request.to_request()).await.unwrap();
            (response.status().as_u16(), read_body(response).await)
        });
        prop_assert!([200, 400, 403, 404, 409].contains(&status), "{status}");
        if status == 200 {
            let tenant = std::str::from_utf8(&body).unwrap();
            prop_assert!(TENANTS.contains(&tenant), "{tenant:?}");
            prop_assert!(sent.names(tenant), "{tenant:?}");
            reached.set(reached.get() + 1);
        }
        Ok(())
    });
    ran.unwrap();
    // The cases are worth something: some do reach a tenant.
    assert!(reached.get() > cases / 50, "{} of {cases}", reached.get());
}
