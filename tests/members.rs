//! Which users belong to which tenants. I01.

use boardinghouse_core::{ErrorKind, Membership, PgRegistry, Provisioner, TenantId, TenantStatus};
use boardinghouse_tests::TestDb;

fn id(text: &str) -> TenantId {
    text.parse().unwrap()
}

fn shown(memberships: &[Membership]) -> Vec<String> {
    let shown = |m: &Membership| format!("{} {} {}", m.tenant.id(), m.role, m.tenant.status());
    memberships.iter().map(shown).collect()
}

#[test]
fn a_user_belongs_to_several_tenants_and_what_becomes_of_them_is_seen() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let registry = PgRegistry::new(pool.clone());
    for (user, tenant, role) in [
        ("ann", "b", "member"),
        ("ann", "a", "owner"),
        ("bob", "b", "guest"),
        ("ann", "b", "admin"),
    ] {
        registry.add_member(user, &id(tenant), role).unwrap();
    }
    let of = |user: &str| shown(&registry.memberships(user).unwrap());
    assert_eq!(of("ann"), ["a owner ready", "b admin ready"]);
    assert_eq!(of("bob"), ["b guest ready"]);
    for nobody in ["", "eve", "Ann", &"x".repeat(256), "a\0"] {
        assert_eq!(of(nobody), [""; 0]);
    }
    assert_eq!(registry.member_count(&id("b")).unwrap(), 2);
    assert_eq!(registry.member_count(&id("nobody")).unwrap(), 0);
    let members = registry.members(&id("b")).unwrap();
    assert_eq!(
        members,
        [
            ("ann".to_owned(), "admin".to_owned()),
            ("bob".to_owned(), "guest".to_owned())
        ]
    );
    // Whoever lets users in sees that it is not served.
    let provisioner = Provisioner::new(pool);
    provisioner.suspend(&id("b")).unwrap();
    assert_eq!(of("ann"), ["a owner ready", "b admin suspended"]);
    let served = registry.memberships("ann").unwrap().into_iter();
    let served: Vec<Membership> = served
        .filter(|m| m.tenant.status() == TenantStatus::Ready)
        .collect();
    assert_eq!(shown(&served), ["a owner ready"]);
    // A membership follows its tenant, and ends with it.
    provisioner.rename(&id("a"), &id("c")).unwrap();
    assert_eq!(of("ann"), ["c owner ready", "b admin suspended"]);
    provisioner.delete(&id("b")).unwrap();
    assert_eq!(of("ann"), ["c owner ready"]);
    assert_eq!(of("bob"), [""; 0]);
    assert!(registry.remove_member("ann", &id("c")).unwrap());
    assert!(!registry.remove_member("ann", &id("c")).unwrap());
    let error = registry.add_member("ann", &id("b"), "owner").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantNotFound);
    for (user, role) in [("", "owner"), ("a\0", "owner"), ("ann", ""), ("ann", "\0")] {
        let error = registry.add_member(user, &id("c"), role).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
