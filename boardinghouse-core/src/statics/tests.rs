use super::*;

fn parsed(text: &str) -> StaticTenants {
    StaticTenants::from_toml(text, &Layout::default()).unwrap()
}

fn refusal(text: &str) -> String {
    match StaticTenants::from_toml(text, &Layout::default()) {
        Ok(statics) => panic!("{statics:?}"),
        Err(error) => error.chain(),
    }
}

fn id(statics: Option<&StaticTenant>) -> Option<&str> {
    statics.map(|found| found.tenant.id().as_str())
}

#[test]
fn what_is_not_a_static_tenant_is_not_looked_at() {
    assert!(parsed("").is_empty());
    assert!(parsed("migrations = 'db'\n[layout]\nprefix = 't_'\n[[group]]\nname = 'a'").is_empty());
}

#[test]
fn everything_that_can_be_said_is_read() {
    let statics = StaticTenants::from_toml(
        r#"
        [static.www]
        domains = ["Example.com.:8080", "example.com/about"]
        fallback = true
        schema = "Company site"
        migrations = "migrations/www"
        kind = "site"
        display_name = "The company"
        [static.www.attributes]
        theme = "dark"
        seats = 5
        [static.blog]
        "#,
        &Layout::default().with_prefix("t_").unwrap(),
    )
    .unwrap();
    let [blog, www] = statics.iter().as_slice() else {
        panic!("{statics:?}");
    };
    assert_eq!(blog.tenant.schema().as_str(), "t_blog");
    assert_eq!(blog.tenant.display_name(), "blog");
    assert_eq!((blog.addresses.len(), blog.fallback), (0, false));
    assert_eq!((blog.migrations.as_deref(), blog.url("/x")), (None, None));
    assert_eq!(www.tenant.schema().as_str(), "Company site");
    assert_eq!(www.tenant.kind(), Some("site"));
    assert_eq!(www.tenant.display_name(), "The company");
    assert_eq!(www.tenant.attribute("seats").unwrap(), Some(5));
    assert_eq!(www.tenant.incarnation(), 0);
    assert_eq!(www.tenant.status(), TenantStatus::Ready);
    assert_eq!(www.migrations.as_deref(), Some(Path::new("migrations/www")));
    assert_eq!(www.url("/x").as_deref(), Some("//example.com/x"));
    assert_eq!(statics.get(&"www".parse().unwrap()), Some(www));
    assert_eq!(statics.get(&"other".parse().unwrap()), None);
}

#[test]
fn a_folder_is_found_before_the_domain_and_a_fallback_is_not_found_at_all() {
    let statics = parsed(
        "[static.main]\ndomains = ['my.test', 'my.test/about']\nfallback = true\n\
         [static.blog]\ndomains = ['my.test/blog', 'blog.test']",
    );
    let domain = |name: &str| DomainName::parse(name).unwrap();
    let at = |name: &str, folder: Option<&str>| {
        let folder = folder.map(|folder| FolderName::parse(folder).unwrap());
        id(statics.by_address(&domain(name), folder.as_ref()))
    };
    assert_eq!(at("my.test", Some("blog")), Some("blog"));
    assert_eq!(at("my.test", Some("about")), Some("main"));
    assert_eq!(at("my.test", Some("a")), None);
    assert_eq!(at("my.test", None), None);
    assert_eq!(at("blog.test", None), Some("blog"));
    assert_eq!(at("blog.test", Some("blog")), None);
    assert_eq!(at("other.test", None), None);
    assert_eq!(id(statics.fallback_for(&domain("my.test"))), Some("main"));
    assert_eq!(id(statics.fallback_for(&domain("blog.test"))), None);
    assert_eq!(id(statics.fallback_for(&domain("other.test"))), None);
    let has = |name| statics.has_folders(&domain(name));
    assert!(has("my.test") && !has("blog.test") && !has("other.test"));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, expected) in [
        ("\nstatic = 5", "line 2: invalid type"),
        ("[static.Www]", "line 1: \"Www\" is not a tenant id"),
        ("[static.public]", "line 1: \"public\" cannot be a tenant"),
        ("[static.a]\ndomain = 'x'", "line 2: unknown field `domain`"),
        (
            "[static.a]\n\ndomains = ['a b']",
            "line 3: \"a b\" is not a host name",
        ),
        (
            "[static.a]\ndomains = [\n'x',\n'x/y/z']",
            "line 2: \"y/z\" is not a folder",
        ),
        (
            "[static.a]\nkind = 'Shop'",
            "line 2: \"Shop\" is not a kind",
        ),
        (
            "[static.a]\ndisplay_name = ' '",
            "line 2: `display_name` is empty",
        ),
        (
            "[static.a]\nschema = 'pg_x'",
            "line 2: \"pg_x\" cannot be used",
        ),
        (
            "[static.a]\nschema = 'public'",
            "line 1: schema public cannot be a tenant's",
        ),
        (
            "[static.a]\nschema = '__template__'",
            "line 1: schema __template__ cannot be",
        ),
        (
            "[static.a]\nschema = 'boardinghouse'",
            "line 1: schema boardinghouse cannot be",
        ),
        (
            "\n[static.1a]",
            "line 2: \"1a\" cannot name a tenant's schema",
        ),
        (
            "[static.a]\nattributes = { a = [2030-01-01] }",
            "line 2: attributes are JSON, which has no dates",
        ),
        (
            "[static.a]\ndomains = ['x.test']\n[static.b]\ndomains = ['X.test']",
            "line 3: x.test leads to two",
        ),
        (
            "[static.a]\ndomains = ['x.test/f']\n[static.b]\ndomains = ['x.test/f']",
            "line 3: x.test/f leads to two",
        ),
        (
            "[static.a]\ndomains = ['x.test']\n[static.b]\nfallback = true\ndomains = ['x.test']",
            "line 3: x.test leads to two",
        ),
        (
            "[static.a]\nschema = 'B'\n[static.b]",
            "line 3: schema b is that of two",
        ),
        (
            "[static.a]\nfallback = true\ndomains = ['x.test/f']",
            "line 1: static tenant a is a fallback",
        ),
        ("[static.a]\n[static.a]", "line 2: "),
    ] {
        let refusal = refusal(text);
        assert!(refusal.starts_with(expected), "{text}\n{refusal}");
    }
}

#[test]
fn what_is_made_in_code_is_checked_alike() {
    let tenant = |id: &str| {
        let id: TenantId = id.parse().unwrap();
        let schema = Layout::default().schema_for(&id).unwrap();
        StaticTenant::new(Tenant::new(id, schema))
    };
    let layout = Layout::default().with_reserved(["www".parse().unwrap()]);
    let new = |tenants: Vec<StaticTenant>| {
        StaticTenants::new(tenants, &layout)
            .map(|statics| statics.iter().count())
            .map_err(|error| error.kind())
    };
    let refused = Err(ErrorKind::InvalidInput);
    assert_eq!(new(vec![tenant("www"), tenant("blog")]), Ok(2));
    assert_eq!(new(vec![tenant("www"), tenant("www")]), refused);
    let mut suspended = tenant("www");
    suspended.tenant = suspended.tenant.with_status(TenantStatus::Suspended);
    assert_eq!(new(vec![suspended]), refused);
    let mut registered = tenant("www");
    registered.tenant = registered.tenant.with_incarnation(5);
    assert_eq!(new(vec![registered]), refused);
    assert_eq!(new(vec![tenant("www").as_fallback(true)]), refused);
    let error = StaticTenants::load("/nowhere/boardinghouse.toml", &layout).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
