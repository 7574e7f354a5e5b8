//! Names: what is a tenant, and that every accepted name is the one that PostgreSQL gets.

use boardinghouse_core::{ErrorKind, Layout, SchemaName, TenantId};
use boardinghouse_tests::{TestDb, value};
use proptest::prelude::*;

/// T03, T04, A04.
#[test]
fn the_table_of_names() {
    use ErrorKind::{InvalidName, ReservedName};
    let long = |n: usize| "a".repeat(n);
    let table: Vec<(String, Result<&str, ErrorKind>)> = vec![
        ("acme".into(), Ok("acme")),
        ("a".into(), Ok("a")),
        ("blue-whale".into(), Ok("blue_whale")),
        ("a1-2".into(), Ok("a1_2")),
        ("select".into(), Ok("select")),
        ("user".into(), Ok("user")),
        ("template".into(), Ok("template")),
        (
            long(63),
            Ok("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ),
        (long(64), Err(InvalidName)),
        ("".into(), Err(InvalidName)),
        ("-".into(), Err(InvalidName)),
        ("-a".into(), Err(InvalidName)),
        ("a-".into(), Err(InvalidName)),
        ("a_b".into(), Err(InvalidName)),
        ("_a".into(), Err(InvalidName)),
        ("1a".into(), Err(InvalidName)), // a label, but no schema name
        ("Acme".into(), Err(InvalidName)),
        ("ACME".into(), Err(InvalidName)),
        ("abc\n".into(), Err(InvalidName)),
        ("a b".into(), Err(InvalidName)),
        ("a.b".into(), Err(InvalidName)),
        ("a/b".into(), Err(InvalidName)),
        ("a\0b".into(), Err(InvalidName)),
        ("a\"; drop schema public; --".into(), Err(InvalidName)),
        ("it's".into(), Err(InvalidName)),
        ("é".repeat(40), Err(InvalidName)),
        ("$user".into(), Err(InvalidName)),
        ("pg_x".into(), Err(InvalidName)),
        ("PG_x".into(), Err(InvalidName)),
        ("pg-x".into(), Err(ReservedName)),
        ("public".into(), Err(ReservedName)),
        ("information_schema".into(), Err(InvalidName)),
        ("information-schema".into(), Err(ReservedName)),
        ("boardinghouse".into(), Err(ReservedName)),
        ("__template__".into(), Err(InvalidName)),
    ];
    let layout = Layout::default();
    for (name, expected) in table {
        let got = TenantId::parse(&name).and_then(|id| layout.schema_for(&id));
        let got = got
            .as_ref()
            .map(SchemaName::as_str)
            .map_err(boardinghouse_core::Error::kind);
        assert_eq!(got, expected, "{name:?}");
    }
}

#[test]
fn a_configured_name_is_reserved_whatever_its_role() {
    let name = |name: &str| SchemaName::existing(name).unwrap();
    let id = |id: &str| -> TenantId { id.parse().unwrap() };
    let layout = Layout::default()
        .with_shared(name("core"))
        .unwrap()
        .with_template(name("tpl0"))
        .unwrap()
        .with_extra([name("extensions")])
        .unwrap()
        .with_reserved([id("www")]);
    for taken in ["core", "tpl0", "extensions", "www", "boardinghouse"] {
        let error = layout.schema_for(&id(taken)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReservedName, "{taken}");
    }
    assert!(layout.schema_for(&id("acme")).is_ok());
    assert!(Layout::default().with_template(name("public")).is_err());
    assert!(Layout::default().with_extra([name("public")]).is_err());
    assert!(
        Layout::default()
            .with_shared(name("boardinghouse"))
            .is_err()
    );
    assert!(Layout::default().with_prefix("T_").is_err());
    assert!(Layout::default().with_prefix("pg_").is_err());
}

/// The table above sees the two checks together, where the one hides what the other lets through.
#[test]
fn an_id_and_the_name_of_a_schema_are_each_checked() {
    use ErrorKind::{InvalidName, ReservedName};
    let long = |n: usize| "a".repeat(n);
    let id = |text: &str| TenantId::parse(text).map(drop).map_err(|e| e.kind());
    assert_eq!(id(&long(63)), Ok(()));
    assert_eq!(id(&long(64)), Err(InvalidName));
    assert_eq!(id("public"), Err(ReservedName));
    let name = |text: &str| SchemaName::parse(text).map(drop).map_err(|e| e.kind());
    assert_eq!(name(&long(63)), Ok(()));
    assert_eq!(name(&long(64)), Err(InvalidName));
    assert_eq!(name("public"), Err(ReservedName));
    let existing = |text: &str| SchemaName::existing(text).map(drop).map_err(|e| e.kind());
    assert_eq!(existing(&"é".repeat(31)), Ok(()));
    assert_eq!(existing(&"é".repeat(32)), Err(InvalidName));
    assert_eq!(existing("$user"), Err(ReservedName));

    // PostgreSQL would cut the name, and two tenants could have one schema.
    let layout = Layout::default().with_prefix("t_").unwrap();
    let schema = |n: usize| layout.schema_for(&long(n).parse().unwrap());
    assert_eq!(schema(61).unwrap().as_str().len(), 63);
    assert_eq!(schema(62).unwrap_err().kind(), InvalidName);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_id_is_never_more_than_a_dns_label(text in ".{0,70}") {
        if let Ok(id) = TenantId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!(text.len() <= 63 && !text.starts_with('-') && !text.ends_with('-'));
            prop_assert!(text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        }
    }

    #[test]
    fn two_ids_never_share_a_schema(one in "[a-z][a-z0-9-]{0,8}[a-z0-9]", two in "[a-z][a-z0-9-]{0,8}[a-z0-9]") {
        let schema = |id: &str| TenantId::parse(id).and_then(|id| Layout::default().schema_for(&id));
        if let (Ok(first), Ok(second)) = (schema(&one), schema(&two)) {
            prop_assert_eq!(first == second, one == two);
        }
    }
}

/// T02: every name that PostgreSQL allows survives the way into SQL text and back: as an identifier, as a
/// constant, in the path, and in the comment of each statement.
#[test]
fn every_name_that_is_accepted_is_the_one_that_postgresql_gets() {
    let db = TestDb::new();
    let pool = db.pool(1);
    let mut names: Vec<String> = [
        "a\"b",
        "it's",
        "back\\slash",
        "*/ x /*",
        "sp ace",
        "ü",
        "select",
        "UPPER",
        "--",
        "$1",
        "a;b",
        "%I",
        "\t\n",
        "null",
    ]
    .map(String::from)
    .to_vec();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let any = proptest::string::string_regex("[^\0]{1,20}").unwrap();
    for _ in 0..60 {
        use proptest::strategy::{Strategy, ValueTree};
        names.push(any.new_tree(&mut runner).unwrap().current());
    }
    for name in names {
        let Ok(schema) = SchemaName::existing(&name) else {
            continue;
        };
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        db.sql(&format!("CREATE SCHEMA IF NOT EXISTS {quoted}"));
        let tenant = boardinghouse_core::Tenant::new("x".parse().unwrap(), schema);
        if pool.layout().tenant_schema(tenant.schema()).is_err() {
            continue;
        }
        let mut conn = pool.get(&tenant).unwrap();
        assert_eq!(value(&mut conn, "SELECT current_schema()"), name);
    }
}

/// A backslash is one, whatever the database says of strings.
#[test]
fn a_backslash_in_a_name_does_not_end_a_string() {
    let db = TestDb::new();
    db.sql(
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET standard_conforming_strings TO off',
             current_database()); END $$",
    );
    let pool = db.pool(1);
    for name in ["back\\slash", "back\\"] {
        db.sql(&format!("CREATE SCHEMA \"{name}\""));
        let schema = SchemaName::existing(name).unwrap();
        let tenant = boardinghouse_core::Tenant::new("x".parse().unwrap(), schema);
        let mut conn = pool.get(&tenant).unwrap();
        assert_eq!(value(&mut conn, "SELECT current_schema()"), name);
        let strings = "SELECT current_setting('standard_conforming_strings')";
        assert_eq!(value(&mut conn, strings), "off");
    }
}
