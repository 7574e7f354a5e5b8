//! `boardinghouse domain …` and `boardinghouse member …`

use serde_json::json;

use crate::fixture::{Fixture, Run};

impl Fixture {
    fn domains(&self) -> String {
        self.run(&["domain", "list"]).expect(0).stdout
    }
}

#[test]
fn domains_are_added_changed_and_removed_without_anybody_to_ask() {
    let fixture = Fixture::with_tenants(&["acme", "globex"]);
    assert_eq!(fixture.domains(), "no domains\n");
    // Each with flags alone: stdin is closed.
    let run = |args: &[&str]| -> Run {
        let args = [&["domain"], args, &["--no-input", "--yes"]].concat();
        fixture.run(&args).expect(0)
    };
    let first = run(&["add", "acme", "A1.Test.", "--redirect"]);
    assert!(first.stderr.contains("never sent on"), "{first:?}");
    run(&["add", "acme", "old.test", "--redirect"]);
    run(&["add", "globex", "shared.test/globex"]);
    let added = run(&["add", "acme", "a2.test", "--primary"]);
    insta::assert_snapshot!(added.stdout, @r"
    TENANT  DOMAIN    USE
    acme    a2.test   primary
    acme    a1.test
    acme    old.test  redirect
    ");
    run(&["primary", "a1.test"]);
    run(&["redirect", "a2.test"]);
    run(&["redirect", "old.test", "--off"]);
    let forced = run(&["redirect", "a1.test"]);
    assert!(forced.stderr.contains("never sent on"), "{forced:?}");
    insta::assert_snapshot!(fixture.domains(), @r"
    TENANT  DOMAIN              USE
    acme    a1.test             primary
    acme    a2.test             redirect
    acme    old.test
    globex  shared.test/globex  primary
    ");
    let removed = run(&["remove", "a1.test", "--json"]);
    // The oldest that is left.
    assert_eq!(
        removed.json(),
        json!([
            {
                "tenant": "acme",
                "name": "old.test",
                "folder": null,
                "is_primary": true,
                "redirect_to_primary": false,
            },
            {
                "tenant": "acme",
                "name": "a2.test",
                "folder": null,
                "is_primary": false,
                "redirect_to_primary": true,
            },
        ])
    );
    let globex = run(&["list", "globex", "--json"]).json();
    assert_eq!(globex[0]["folder"], "globex");
    let shown = fixture.run(&["tenant", "show", "acme"]).expect(0).stdout;
    assert!(shown.contains("old.test (primary)"), "{shown}");
    assert!(shown.contains("a2.test (redirect)"), "{shown}");
    let list = fixture.run(&["tenant", "list"]).expect(0);
    insta::assert_snapshot!(list.stdout, @r"
    ID      NAME    STATUS  SCHEMA  DOMAIN
    acme    acme    ready   acme    old.test and 1 more
    globex  globex  ready   globex  shared.test/globex
    ");
}

#[test]
fn what_cannot_be_done_with_a_domain_is_told_and_changes_nothing() {
    let fixture = Fixture::with_tenants(&["acme", "globex"]);
    fixture.run(&["domain", "add", "acme", "a1.test"]).expect(0);
    fixture.run(&["domain", "add", "acme", "a2.test"]).expect(0);
    let before = fixture.domains();
    let refused = |args: &[&str], kind: &str, says: &str| {
        let args = [&["--json", "--no-input", "domain"], args].concat();
        let error = fixture.run(&args).expect(2).error();
        assert_eq!(error["kind"], kind, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(says), "{error}");
    };
    refused(&["add", "globex", "A1.test"], "TenantExists", "a1.test");
    refused(&["add", "nobody", "b.test"], "TenantNotFound", "nobody");
    refused(&["add", "globex", "a b"], "InvalidName", "not a host name");
    refused(
        &["add", "globex", "b.test/A"],
        "InvalidName",
        "not a folder",
    );
    refused(&["add", "globex"], "Usage", "HOST");
    refused(&["add"], "Usage", "TENANT");
    refused(
        &["add", "acme", "b.test", "--primary", "--redirect"],
        "Usage",
        "--redirect",
    );
    refused(&["list", "nobody"], "TenantNotFound", "nobody");
    // Nobody can be asked.
    refused(&["remove", "a1.test"], "InvalidInput", "--yes");
    refused(&["remove"], "Usage", "HOST");
    // What a domain begins with is not it.
    for part in ["a1", "a1.tes", "1.test", "a1.test/a"] {
        refused(&["remove", part, "--yes"], "TenantNotFound", part);
        refused(&["primary", part], "TenantNotFound", part);
        refused(&["redirect", part], "TenantNotFound", part);
    }
    refused(&["primary"], "Usage", "HOST");
    fixture
        .run(&["domain", "list", "acm"])
        .expect(2)
        .says(&["did you mean acme?"]);
    assert_eq!(fixture.domains(), before);
}

#[test]
fn a_domain_must_be_typed_before_it_is_removed() {
    let fixture = Fixture::with_tenants(&["acme"]);
    fixture
        .run(&["domain", "add", "acme", "a.test/x"])
        .expect(0);
    let remove = ["domain", "remove", "A.test/x"];
    for answer in ["no\n", "a.test\n", "\u{4}"] {
        let run = fixture.run_on_terminal(&remove, answer).expect(1);
        assert_eq!(run.stdout, "");
        run.says(&[
            "leads to tenant acme no longer",
            "Type a.test/x to go on",
            "cancelled",
        ]);
    }
    assert!(fixture.domains().contains("a.test/x"));
    fixture.run_on_terminal(&remove, "a.test/x\n").expect(0);
    assert_eq!(fixture.domains(), "no domains\n");
}

#[test]
fn a_tenant_is_created_with_a_kind_and_in_a_folder() {
    let fixture = Fixture::with_tenants(&["plain"]);
    let create = [
        "tenant",
        "create",
        "acme",
        "--kind",
        "shop",
        "--domain",
        "Shared.test/acme",
    ];
    let created = fixture.run(&create).expect(0);
    insta::assert_snapshot!(created.stdout, @r"
    id      acme
    name    acme
    status  ready
    kind    shop
    schema  acme
    domain  shared.test/acme (primary)
    ");
    let list = fixture.run(&["tenant", "list"]).expect(0);
    insta::assert_snapshot!(list.stdout, @r"
    ID     NAME   STATUS  KIND  SCHEMA  DOMAIN
    acme   acme   ready   shop  acme    shared.test/acme
    plain  plain  ready   -     plain   -
    ");
    let list = fixture.run(&["tenant", "list", "--json"]).expect(0).json();
    assert_eq!(list[0]["kind"], "shop");
    assert_eq!(list[0]["domains"][0]["folder"], "acme");
    assert_eq!(list[1]["domains"], json!([]));
    fixture
        .run(&["tenant", "create", "b", "--kind", "Shop"])
        .expect(2)
        .says(&["not a kind of tenants"]);
}

#[test]
fn members_are_added_listed_and_removed() {
    let fixture = Fixture::with_tenants(&["acme", "globex"]);
    let run = |args: &[&str]| {
        let args = [&["member"], args, &["--no-input"]].concat();
        fixture.run(&args)
    };
    assert_eq!(
        run(&["list", "acme"]).expect(0).stdout,
        "nobody is a member\n"
    );
    run(&["add", "acme", "42"]).expect(0);
    run(&["add", "acme", "ann@example.com"]).expect(0);
    run(&["add", "globex", "42", "--role", "guest"]).expect(0);
    let again = run(&["add", "acme", "42", "--role", "owner"]).expect(0);
    insta::assert_snapshot!(again.stdout, @r"
    USER             TENANT  ROLE
    42               acme    owner
    ann@example.com  acme    member
    ");
    let shown = fixture.run(&["--json", "tenant", "show", "acme"]).expect(0);
    assert_eq!(shown.json()["members"], 2);
    let shown = fixture.run(&["tenant", "show", "acme"]).expect(0).stdout;
    assert!(shown.contains("members  2"), "{shown}");
    // A tenant that is not served is listed as what it is.
    fixture.run(&["tenant", "suspend", "globex"]).expect(0);
    let of_user = run(&["list", "--user", "42"]).expect(0);
    insta::assert_snapshot!(of_user.stdout, @r"
    USER  TENANT  ROLE   STATUS
    42    acme    owner  ready
    42    globex  guest  suspended
    ");
    let json = run(&["list", "--user", "42", "--json"]).expect(0).json();
    assert_eq!(
        json[1],
        json!({ "user": "42", "tenant": "globex", "role": "guest", "status": "suspended" })
    );
    run(&["remove", "acme", "42"]).expect(0);
    let left = run(&["list", "acme", "--json"]).expect(0).json();
    assert_eq!(
        left,
        json!([{ "user": "ann@example.com", "tenant": "acme", "role": "member" }])
    );
    for (args, says) in [
        (
            &["remove", "acme", "42"][..],
            "user 42 is no member of tenant acme",
        ),
        (&["remove", "nobody", "42"], "no tenant nobody"),
        (&["add", "nobody", "42"], "no tenant nobody"),
        (&["add", "acme", ""], "a user must have 1 to 255 bytes"),
        (&["add", "acme", "42", "--role", ""], "a role must have"),
        (&["list", "nobody"], "no tenant nobody"),
        (&["list"], "--user"),
        (&["list", "acme", "--user", "42"], "cannot be used with"),
    ] {
        run(args).expect(2).says(&[says]);
    }
}
