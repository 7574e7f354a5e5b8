//! Keys of a cache that all tenants share.

use std::fmt::Write as _;

use crate::tenant::Tenant;

/// The key of something that belongs to `tenant`, in a cache that all tenants share.
///
/// Different tenants or different parts never give the same key, whatever the parts hold: each is written
/// with its length before it. The key begins with what [`tenant_key`] gives for no parts at all; no other
/// tenant's does, so that all of a tenant's can be found, and dropped, by that.
///
/// A tenant keeps its keys when it is renamed. One that was deleted, and created anew under the same id, has
/// others: what the cache still holds of the old one is not the new one's. That is what
/// [`Tenant::incarnation`] is for, which is counted in each database by itself: applications that share a
/// cache need a prefix of their own.
///
/// The parts are taken as they are, and a key is as long as they are together: hash it where the cache wants
/// short keys, or none with spaces.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{Tenant, tenant_key};
///
/// let acme = Tenant::new("acme".parse()?, "acme".parse()?);
/// let globex = Tenant::new("globex".parse()?, "globex".parse()?);
/// assert_ne!(tenant_key(&acme, ["user", "17"]), tenant_key(&globex, ["user", "17"]));
/// assert_ne!(tenant_key(&acme, ["user:1", "7"]), tenant_key(&acme, ["user", "1:7"]));
/// assert!(tenant_key(&acme, ["user", "17"]).starts_with(&tenant_key::<&str>(&acme, [])));
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[must_use]
pub fn tenant_key<P: AsRef<str>>(tenant: &Tenant, parts: impl IntoIterator<Item = P>) -> String {
    let mut key = identity(tenant);
    key.push(';');
    for part in parts {
        let part = part.as_ref();
        // Writing to a String cannot fail.
        let _ = write!(key, "{}:{part}", part.len());
    }
    key
}

/// Which tenant it is, for as long as it is there, in letters, digits and hyphens.
///
/// For one that is not from the registry nothing is known but its id. That is no number.
pub(crate) fn identity(tenant: &Tenant) -> String {
    match tenant.incarnation() {
        0 => format!("id-{}", tenant.id()),
        incarnation => incarnation.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn numbered(incarnation: i64) -> Tenant {
        Tenant::new("acme".parse().unwrap(), "acme".parse().unwrap()).with_incarnation(incarnation)
    }

    /// So few that what could be mixed up is drawn together.
    fn some_tenant() -> impl Strategy<Value = Tenant> {
        let named = |id: &str| Tenant::new(id.parse().unwrap(), "acme".parse().unwrap());
        let mut few = ["1", "11", "a", "id-1"].map(named).to_vec();
        few.extend([1, 11, i64::MAX].map(numbered));
        proptest::sample::select(few)
    }

    fn some_parts() -> impl Strategy<Value = Vec<String>> {
        vec("[:;1]{0,2}", 0..3)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn different_tenants_or_parts_never_share_a_key(
            (one, its) in (some_tenant(), some_parts()),
            (other, others) in (some_tenant(), some_parts()),
        ) {
            let same = one == other && its == others;
            prop_assert_eq!(tenant_key(&one, &its) == tenant_key(&other, &others), same);
            prop_assert_eq!(
                tenant_key(&one, &its).starts_with(&tenant_key::<&str>(&other, [])),
                one == other
            );
        }

        #[test]
        fn the_parts_can_be_read_back(parts in vec("\\PC{0,4}", 0..5)) {
            let key = tenant_key(&numbered(7), &parts);
            let mut rest = key.strip_prefix("7;").unwrap();
            let mut read = Vec::new();
            while !rest.is_empty() {
                let (length, after) = rest.split_once(':').unwrap();
                let (part, after) = after.split_at(length.parse().unwrap());
                read.push(part.to_owned());
                rest = after;
            }
            prop_assert_eq!(read, parts);
        }
    }

    #[test]
    fn a_renamed_tenant_keeps_its_keys_and_a_successor_has_others() {
        let acme = numbered(7);
        let renamed = acme.clone().moved(
            &"blue-whale".parse().unwrap(),
            &"blue_whale".parse().unwrap(),
            3,
        );
        assert_eq!(tenant_key(&renamed, ["x"]), tenant_key(&acme, ["x"]));
        assert_ne!(tenant_key(&numbered(8), ["x"]), tenant_key(&acme, ["x"]));
    }
}
