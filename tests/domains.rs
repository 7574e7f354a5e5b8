//! Where tenants are found: many addresses, one of them the primary one, whoever changes them at once.

use std::sync::{Barrier, Mutex};

use boardinghouse_core::{
    Address, Domain, DomainUse, ErrorKind, PgRegistry, Provisioner, TenantId,
};
use boardinghouse_tests::TestDb;

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn id(text: &str) -> TenantId {
    text.parse().unwrap()
}

/// The addresses of a tenant, `*` in front of the primary one, `>` in front of those that lead there.
fn domains(registry: &PgRegistry, tenant: &str) -> String {
    let shown = |domain: &Domain| {
        let mark = match (domain.is_primary, domain.redirect_to_primary) {
            (true, false) => "*",
            (false, true) => ">",
            (false, false) => "",
            (true, true) => panic!("{domain:?}"),
        };
        let folder = domain.folder.as_ref().map(|folder| format!("/{folder}"));
        format!("{mark}{}{}", domain.name, folder.unwrap_or_default())
    };
    let all: Vec<String> = registry
        .domains(&id(tenant))
        .unwrap()
        .iter()
        .map(shown)
        .collect();
    all.join(" ")
}

#[test]
fn a_tenant_with_addresses_has_one_primary_one() {
    let db = TestDb::new();
    let registry = PgRegistry::new(db.pool(1));
    let add = |text: &str, usage| {
        registry
            .add_domain(&id("a"), &address(text), usage)
            .unwrap()
    };
    // The first one, whatever it is to be used for.
    let first = add("A1.Test.:8080", DomainUse::Redirect);
    assert!(first.is_primary && !first.redirect_to_primary);
    assert_eq!(domains(&registry, "a"), "*a1.test");
    add("shared.test/a", DomainUse::Alias);
    add("old.test", DomainUse::Redirect);
    assert_eq!(domains(&registry, "a"), "*a1.test >old.test shared.test/a");
    add("new.test", DomainUse::Primary);
    assert_eq!(
        domains(&registry, "a"),
        "*new.test a1.test >old.test shared.test/a"
    );
    let primary = registry.set_primary_domain(&address("old.test")).unwrap();
    assert!(primary.is_primary && !primary.redirect_to_primary);
    assert_eq!(
        domains(&registry, "a"),
        "*old.test a1.test new.test shared.test/a"
    );
    let again = registry.set_primary_domain(&address("old.test")).unwrap();
    assert_eq!(again, primary);
    // Who was primary sends nobody on, and whoever is cannot.
    registry.set_redirect(&address("a1.test"), true).unwrap();
    registry.set_redirect(&address("new.test"), true).unwrap();
    let forced = registry.set_redirect(&address("old.test"), true).unwrap();
    assert!(!forced.redirect_to_primary, "{forced:?}");
    registry.set_redirect(&address("new.test"), false).unwrap();
    assert_eq!(
        domains(&registry, "a"),
        "*old.test >a1.test new.test shared.test/a"
    );
    let route = registry.find_by_address(&address("a1.test")).unwrap();
    assert_eq!(route.unwrap().redirect_to, Some(address("old.test")));
    // One that is not primary goes without consequences; after the primary one, the oldest is it.
    let removed = registry.remove_domain(&address("new.test")).unwrap();
    assert_eq!(removed, Some(id("a")));
    assert_eq!(domains(&registry, "a"), "*old.test >a1.test shared.test/a");
    registry.remove_domain(&address("old.test")).unwrap();
    assert_eq!(domains(&registry, "a"), "*a1.test shared.test/a");
    registry.remove_domain(&address("a1.test")).unwrap();
    assert_eq!(domains(&registry, "a"), "*shared.test/a");
    registry.remove_domain(&address("shared.test/a")).unwrap();
    assert_eq!(domains(&registry, "a"), "");
    assert_eq!(registry.remove_domain(&address("a1.test")).unwrap(), None);
}

#[test]
fn addresses_that_are_taken_or_lead_nowhere_are_told_and_change_nothing() {
    let db = TestDb::new();
    let registry = PgRegistry::new(db.pool(1));
    let add = |tenant: &str, text: &str| {
        registry.add_domain(&id(tenant), &address(text), DomainUse::Primary)
    };
    add("a", "a1.test").unwrap();
    add("a", "a2.test").unwrap();
    add("b", "b.test").unwrap();
    for (tenant, text) in [("b", "A1.test"), ("b", "a2.test"), ("a", "a1.test")] {
        let error = add(tenant, text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TenantExists, "{error:?}");
        assert_eq!(error.tenant(), Some(&id(tenant)));
        let named = address(text).to_string();
        assert!(error.to_string().contains(&named), "{error}");
    }
    assert_eq!(domains(&registry, "a"), "*a2.test a1.test");
    assert_eq!(domains(&registry, "b"), "*b.test");
    // The same name in a folder is another address.
    add("b", "a1.test/b").unwrap();
    let error = add("nobody", "n.test").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantNotFound);
    assert_eq!(error.tenant(), Some(&id("nobody")));
    let nowhere = address("nowhere.test");
    let primary = registry.set_primary_domain(&nowhere).unwrap_err();
    let redirect = registry.set_redirect(&nowhere, true).unwrap_err();
    for error in [primary, redirect] {
        assert_eq!(error.kind(), ErrorKind::TenantNotFound);
        assert!(error.to_string().contains("nowhere.test"), "{error}");
    }
    let empty = TestDb::empty();
    let registry = PgRegistry::new(empty.pool(1));
    let error = registry.add_domain(&id("a"), &nowhere, DomainUse::Alias);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::RegistryMissing);
}

#[test]
fn many_who_change_the_primary_address_at_once_leave_one() {
    let db = TestDb::new();
    let registry = PgRegistry::new(db.pool(4));
    let [first, second, third] = ["1.test", "2.test", "3.test"].map(address);
    for address in [&first, &second] {
        let usage = DomainUse::Alias;
        registry.add_domain(&id("a"), address, usage).unwrap();
    }
    // Nobody panics while others wait for him.
    let wrong = Mutex::new(Vec::new());
    let note = |what: String| wrong.lock().unwrap().push(what);
    let barrier = Barrier::new(3);
    std::thread::scope(|scope| {
        for address in [&first, &second] {
            let (registry, barrier, note) = (registry.clone(), &barrier, &note);
            scope.spawn(move || {
                for _ in 0..100 {
                    barrier.wait();
                    if let Err(error) = registry.set_primary_domain(address) {
                        note(error.chain());
                    }
                    barrier.wait();
                }
            });
        }
        for _ in 0..100 {
            barrier.wait();
            // Comes as the primary one, and goes as what it is by then.
            let gone = registry
                .add_domain(&id("a"), &third, DomainUse::Primary)
                .and_then(|_| registry.remove_domain(&third));
            if !matches!(&gone, Ok(Some(_))) {
                note(format!("{gone:?}"));
            }
            barrier.wait();
            let all = registry.domains(&id("a"));
            match all.as_deref() {
                Ok([one, other]) if one.is_primary && !other.is_primary => {}
                _ => note(format!("{all:?}")),
            }
        }
    });
    assert_eq!(wrong.into_inner().unwrap(), Vec::<String>::new());
}

#[test]
fn an_address_whose_tenant_is_renamed_is_found_all_the_same() {
    let db = TestDb::new();
    let pool = db.pool(2);
    let registry = PgRegistry::new(pool.clone());
    for text in ["1.test", "2.test"] {
        let usage = DomainUse::Alias;
        registry
            .add_domain(&id("a"), &address(text), usage)
            .unwrap();
    }
    let (from, to) = (id("a"), id("c"));
    let provisioner = Provisioner::new(pool);
    let barrier = Barrier::new(2);
    let wrong = std::thread::scope(|scope| {
        let renamed = scope.spawn(|| {
            let mut wrong = Vec::new();
            for _ in 0..10 {
                barrier.wait();
                wrong.extend(provisioner.rename(&from, &to).err());
                barrier.wait();
                wrong.extend(provisioner.rename(&to, &from).err());
            }
            wrong
        });
        let mut wrong = Vec::new();
        for _ in 0..10 {
            for text in ["2.test", "1.test"] {
                barrier.wait();
                wrong.extend(registry.set_primary_domain(&address(text)).err());
            }
        }
        wrong.extend(renamed.join().unwrap());
        wrong
    });
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(domains(&registry, "a"), "*1.test 2.test");
}

#[test]
fn a_tenants_url_is_that_of_its_primary_address() {
    let db = TestDb::new();
    let registry = PgRegistry::new(db.pool(1));
    let url = |path: &str| registry.url(&id("a"), path).unwrap();
    assert_eq!(url("/notes"), None);
    assert_eq!(registry.url(&id("nobody"), "/notes").unwrap(), None);
    for (at, path, expected) in [
        ("a.test", "/notes", "//a.test/notes"),
        ("a.test", "notes", "//a.test/notes"),
        ("a.test", "", "//a.test/"),
        ("a.test", "//evil.test/x", "//a.test/evil.test/x"),
        ("shared.test/a", "/notes?q=1", "//shared.test/a/notes?q=1"),
        ("shared.test/a", "", "//shared.test/a/"),
        ("[::1]", "/notes", "//[::1]/notes"),
    ] {
        let address = address(at);
        registry.remove_domain(&address).unwrap();
        let usage = DomainUse::Primary;
        registry.add_domain(&id("a"), &address, usage).unwrap();
        assert_eq!(url(path).as_deref(), Some(expected));
    }
}
