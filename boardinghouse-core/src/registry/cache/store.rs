//! Answers of one kind, each with what it is about.

use std::{
    borrow::Borrow,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{CacheStats, changes::Changes};
use crate::{
    error::{Error, Result},
    pool::Subject,
};

/// What was read, and what it depends on.
pub(super) struct Read<V> {
    value: V,
    subjects: Box<[Subject]>,
}

impl<V> Read<V> {
    pub(super) fn of(value: V, subjects: impl Into<Box<[Subject]>>) -> Self {
        Self {
            value,
            subjects: subjects.into(),
        }
    }
}

struct Kept<V> {
    read: Result<Read<V>, Error>,
    at: Instant,
    /// At how many changes it was last seen that none concerned it.
    current_at: AtomicU64,
}

impl<V> Kept<V> {
    fn believed(&self, changes: &Changes, belief: Duration) -> Option<&V> {
        let read = self.read.as_ref().ok()?;
        if self.at.elapsed() >= belief {
            return None;
        }
        // First, so that a change that comes meanwhile is found the next time.
        let (seen, now) = (self.current_at.load(SeqCst), changes.count());
        if seen != now || changes.are_expected() {
            if changes.since(seen, &read.subjects) {
                return None;
            }
            self.current_at.fetch_max(now, SeqCst);
        }
        Some(&read.value)
    }
}

pub(super) struct Store<K, V> {
    kept: Cache<K, Arc<Kept<V>>>,
    loads: AtomicU64,
    capacity: u64,
}

impl<K, V> Store<K, V>
where
    K: Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            kept: Cache::new(capacity),
            loads: AtomicU64::new(0),
            capacity,
        }
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.kept.entry_count(),
            loads: self.loads.load(SeqCst),
        }
    }

    /// What is known and believed.
    pub(super) fn peek<Q>(&self, key: &Q, changes: &Changes, belief: Duration) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let kept = self.kept.get(key)?;
        kept.believed(changes, belief).cloned()
    }

    /// Whether such a value was read the last time, believed or not.
    pub(super) fn remembers<Q>(&self, key: &Q, is: impl FnOnce(&V) -> bool) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let kept = self.kept.get(key);
        kept.is_some_and(|kept| kept.read.as_ref().is_ok_and(|read| is(&read.value)))
    }

    /// What is known and believed; else read: by one of those who want it at the same time.
    pub(super) fn get<Q>(
        &self,
        key: &Q,
        changes: &Changes,
        belief: Duration,
        read: impl Fn() -> Result<Read<V>>,
    ) -> Result<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized + ToOwned<Owned = K>,
    {
        let load = || {
            self.loads.fetch_add(1, SeqCst);
            // Before it is read: what changes meanwhile makes it doubtful, and it may be as old as that.
            let (current_at, at) = (AtomicU64::new(changes.count()), Instant::now());
            Arc::new(Kept {
                read: read(),
                at,
                current_at,
            })
        };
        let doubtful = |kept: &Arc<Kept<V>>| kept.believed(changes, belief).is_none();
        let ask = || {
            let entry = self.kept.entry_by_ref(key);
            entry.or_insert_with_if(load, doubtful)
        };
        let mut entry = ask();
        // Somebody else's answer may have been read before a change that was heard of before this one asked.
        // The next one is read after that, whoever reads it.
        if !entry.is_fresh() && entry.value().read.is_ok() && doubtful(entry.value()) {
            entry = ask();
        }
        let kept = entry.into_value();
        match &kept.read {
            Ok(read) => Ok(read.value.clone()),
            Err(error) => {
                let error = error.same();
                self.kept.invalidate(key);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, atomic::AtomicUsize};

    use super::*;
    use crate::{error::ErrorKind, pool::Watcher as _};

    const LONG: Duration = Duration::from_secs(3600);

    fn tenant(id: &str) -> Subject {
        Subject::Tenant(id.to_owned())
    }

    struct Fixture {
        store: Store<String, usize>,
        changes: Changes,
        reads: AtomicUsize,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                store: Store::new(100),
                changes: Changes::default(),
                reads: AtomicUsize::new(0),
            }
        }

        /// How often there was something read, this time included.
        fn get(&self, key: &str) -> usize {
            let read = || {
                let reads = self.reads.fetch_add(1, SeqCst) + 1;
                Ok(Read::of(reads, [tenant(key)]))
            };
            self.store.get(key, &self.changes, LONG, read).unwrap()
        }
    }

    #[test]
    fn what_is_known_is_not_read_again_until_it_changes() {
        let f = Fixture::new();
        assert_eq!(f.store.peek("a", &f.changes, LONG), None);
        assert_eq!((f.get("a"), f.get("a"), f.get("b")), (1, 1, 2));
        assert_eq!(f.store.peek("a", &f.changes, LONG), Some(1));
        f.changes.changed(Some(tenant("b")));
        f.changes.changed(Some(Subject::User("a".to_owned())));
        assert_eq!((f.get("a"), f.get("b")), (1, 3));
        f.changes.changed(Some(tenant("a")));
        assert_eq!(f.store.peek("a", &f.changes, LONG), None);
        assert_eq!(f.get("a"), 4);
        f.changes.changed(None);
        assert_eq!((f.get("a"), f.get("b")), (5, 6));
        assert_eq!(f.store.stats().loads, 6);
    }

    #[test]
    fn what_is_too_old_is_read_again() {
        let f = Fixture::new();
        f.get("a");
        assert_eq!(f.store.peek("a", &f.changes, Duration::ZERO), None);
    }

    #[test]
    fn what_is_not_believed_any_more_is_remembered() {
        let f = Fixture::new();
        let remembers = |key: &str| f.store.remembers(key, |reads| *reads == 1);
        assert!(!remembers("a"));
        assert_eq!((f.get("a"), f.get("b")), (1, 2));
        f.changes.changed(None);
        assert_eq!(f.store.peek("a", &f.changes, LONG), None);
        assert!(remembers("a") && !remembers("b"));
    }

    #[test]
    fn what_changes_while_it_is_read_is_not_believed() {
        let f = Fixture::new();
        let read = || {
            f.changes.changed(Some(tenant("a")));
            Ok(Read::of(7, [tenant("a")]))
        };
        assert_eq!(f.store.get("a", &f.changes, LONG, read).unwrap(), 7);
        assert_eq!(f.store.peek("a", &f.changes, LONG), None);
    }

    #[test]
    fn what_is_about_to_change_is_not_believed_until_it_has() {
        let f = Fixture::new();
        assert_eq!((f.get("a"), f.get("b")), (1, 2));
        f.changes.expect(tenant("a"));
        assert_eq!((f.get("a"), f.get("a"), f.get("b")), (3, 4, 2));
        f.changes.changed(Some(tenant("a")));
        assert_eq!((f.get("a"), f.get("a")), (5, 5));
    }

    #[test]
    fn an_error_is_not_kept() {
        let f = Fixture::new();
        let fail = || Err(Error::new(ErrorKind::PoolTimeout, "busy"));
        let error = f.store.get("a", &f.changes, LONG, fail).unwrap_err();
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (ErrorKind::PoolTimeout, "busy")
        );
        assert_eq!(f.get("a"), 1);
    }

    #[test]
    fn of_many_who_ask_at_once_one_reads() {
        let f = Fixture::new();
        let start = Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    assert_eq!(f.get("a"), 1);
                });
            }
        });
    }

    #[test]
    fn who_asks_after_a_change_does_not_get_what_was_read_before_it() {
        let f = Fixture::new();
        for _ in 0..200 {
            f.changes.changed(None);
            let (reading, late) = (Barrier::new(2), Barrier::new(2));
            let before = || {
                let old = f.reads.fetch_add(1, SeqCst) + 1;
                reading.wait();
                late.wait();
                // The other one is to find this one still reading.
                (0..100).for_each(|_| std::thread::yield_now());
                Ok(Read::of(old, [tenant("a")]))
            };
            std::thread::scope(|scope| {
                let first = scope.spawn(|| f.store.get("a", &f.changes, LONG, before).unwrap());
                reading.wait();
                f.changes.changed(Some(tenant("a")));
                late.wait();
                let seen = f.get("a");
                assert!(seen > first.join().unwrap(), "{seen}");
            });
        }
    }

    #[test]
    fn names_that_are_made_up_are_not_all_kept() {
        let f = Fixture::new();
        for n in 0..10_000 {
            f.get(&n.to_string());
        }
        f.store.kept.run_pending_tasks();
        assert!(f.store.stats().entries <= 100);
    }
}
