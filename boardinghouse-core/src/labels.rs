//! Tenants as labels of metrics, of which there are not too many.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{names::TenantId, tenant::Tenant};

/// Labels for metrics by tenant: the ids of the first so many that are seen, and [`OTHER`](Self::OTHER) for all
/// the rest, so that a monitoring system, which keeps a series for each label, is not filled by ten thousand
/// tenants.
///
/// Cheap to clone; clones are the same labels. A tenant keeps its label for as long as the process lives. The
/// next process may see others first: name those that always matter with [`always`](Self::always).
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{Tenant, TenantLabels};
///
/// let tenant = |id: &str| Ok::<_, boardinghouse_core::Error>(Tenant::new(id.parse()?, "x".parse()?));
/// let labels = TenantLabels::new(2).always(["big".parse()?]);
/// assert_eq!(labels.of(&tenant("acme")?), "acme");
/// assert_eq!(labels.of(&tenant("globex")?), TenantLabels::OTHER);
/// assert_eq!(labels.of(&tenant("big")?), "big");
/// assert_eq!(labels.of(&tenant("acme")?), "acme");
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone)]
pub struct TenantLabels {
    most: usize,
    known: Arc<RwLock<HashSet<TenantId>>>,
}

impl TenantLabels {
    /// The label of tenants that have none of their own. No tenant's id has an underscore.
    pub const OTHER: &'static str = "_other";

    /// Labels of their own for up to so many tenants.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            known: Arc::default(),
        }
    }

    /// Gives these tenants a label of their own, as far as there is room, before any is seen. Defaults to none.
    #[must_use]
    pub fn always(self, ids: impl IntoIterator<Item = TenantId>) -> Self {
        for id in ids {
            self.has_room_for(&id);
        }
        self
    }

    /// The label of a tenant.
    #[must_use]
    pub fn of<'t>(&self, tenant: &'t Tenant) -> &'t str {
        match self.has_room_for(tenant.id()) {
            true => tenant.id().as_str(),
            false => Self::OTHER,
        }
    }

    fn has_room_for(&self, id: &TenantId) -> bool {
        // A set is right after whatever panic.
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.contains(id) || known.len() >= self.most {
            return known.contains(id);
        }
        drop(known);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.most {
            known.insert(id.clone());
        }
        known.contains(id)
    }
}

impl fmt::Debug for TenantLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("TenantLabels")
            .field("most", &self.most)
            .field("known", &known.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(n: usize) -> Tenant {
        Tenant::new(format!("t{n}").parse().unwrap(), "x".parse().unwrap())
    }

    #[test]
    fn ten_thousand_tenants_have_few_labels_and_each_keeps_its_own() {
        let labels = TenantLabels::new(100);
        let round = || -> Vec<String> {
            let all = (0..10_000).map(|n| labels.of(&tenant(n)).to_owned());
            all.collect()
        };
        let first = round();
        let different: HashSet<&String> = first.iter().collect();
        assert_eq!(different.len(), 101);
        assert_eq!(first[..2], ["t0", "t1"]);
        assert_eq!(first, round());
        assert_eq!(TenantLabels::new(0).of(&tenant(0)), "_other");
    }

    #[test]
    fn there_are_no_more_where_many_are_seen_at_once() {
        let labels = TenantLabels::new(10);
        let labels = &labels;
        let own = std::thread::scope(|scope| {
            let of = |thread: usize| {
                let mine = (0..100).map(move |n| tenant(thread * 100 + n));
                mine.filter(|tenant| labels.of(tenant) != TenantLabels::OTHER)
                    .count()
            };
            let threads: Vec<_> = (0..8)
                .map(|thread| scope.spawn(move || of(thread)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .sum::<usize>()
        });
        assert_eq!(own, 10);
    }
}
