//! Counters of a pool, and the view of them that others get.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::Serialize;

/// The upper bounds of the wait histogram's buckets; the last bucket has none.
const BOUNDS: [Duration; 7] = [
    Duration::from_micros(10),
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
];

#[derive(Debug, Default)]
pub(super) struct Counters {
    gets: AtomicU64,
    hits: AtomicU64,
    binds: AtomicU64,
    confirmations: AtomicU64,
    retries: AtomicU64,
    timeouts: AtomicU64,
    refused: AtomicU64,
    cleans: AtomicU64,
    recycled: AtomicU64,
    closed: AtomicU64,
    waits: [AtomicU64; BOUNDS.len() + 1],
}

macro_rules! count {
    ($($name:ident)*) => {
        $(pub(super) fn $name(&self) { self.$name.fetch_add(1, Relaxed); })*
    };
}

impl Counters {
    count! { gets hits binds confirmations retries timeouts refused cleans recycled closed }

    pub(super) fn waited(&self, wait: Duration) {
        let bucket = BOUNDS.iter().position(|bound| wait <= *bound);
        self.waits[bucket.unwrap_or(BOUNDS.len())].fetch_add(1, Relaxed);
    }

    pub(super) fn read(&self) -> PoolCounters {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        let bounds = BOUNDS.iter().copied().map(Some).chain([None]);
        PoolCounters {
            gets: read(&self.gets),
            hits: read(&self.hits),
            binds: read(&self.binds),
            confirmations: read(&self.confirmations),
            retries: read(&self.retries),
            timeouts: read(&self.timeouts),
            refused: read(&self.refused),
            cleans: read(&self.cleans),
            recycled: read(&self.recycled),
            closed_on_doubt: read(&self.closed),
            waits: bounds
                .zip(&self.waits)
                .map(|(up_to, count)| WaitBucket {
                    up_to,
                    count: read(count),
                })
                .collect(),
        }
    }
}

/// A moment's view of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolState {
    /// Open connections, in use or idle. The listener's own is not among them.
    pub connections: u32,
    /// Connections that wait to be checked out.
    pub idle: u32,
    /// Threads that wait for a connection to be returned.
    pub waiting: u32,
    /// Whether what other processes change in the registry is heard at once. Where it is not, the pool
    /// asks the registry about each tenant again every
    /// [`registry_ttl`](crate::TenantPoolBuilder::registry_ttl).
    pub listening: bool,
    /// What happened since the pool was built.
    pub counters: PoolCounters,
}

/// What happened in a pool since it was built. All of it only grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolCounters {
    /// Checkouts that were asked for.
    pub gets: u64,
    /// Checkouts whose connection was on the tenant already.
    pub hits: u64,
    /// Checkouts whose connection was put on the tenant's path, or the shared one.
    pub binds: u64,
    /// Times that the registry was asked whether a tenant is still what it was.
    pub confirmations: u64,
    /// Connections that turned out to be dead or not idle, and were replaced by another.
    pub retries: u64,
    /// Checkouts that failed because no connection became free, or none could be opened, in time.
    pub timeouts: u64,
    /// Checkouts that failed for another reason: the tenant is gone or not ready, the schema is missing,
    /// the hook refused.
    pub refused: u64,
    /// Returns that cost a round trip, to remove what the borrower can have left.
    pub cleans: u64,
    /// Connections that were closed for their age, or because they had served
    /// [`max_tenants_per_connection`](crate::TenantPoolBuilder::max_tenants_per_connection).
    pub recycled: u64,
    /// Connections that were closed because it was not certain that nothing was left in them.
    pub closed_on_doubt: u64,
    /// For how long checkouts waited for a connection: how many waited up to each bound and longer than
    /// the one before.
    pub waits: Vec<WaitBucket>,
}

/// One bar of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WaitBucket {
    /// The longest wait that is counted here; `None` for any.
    pub up_to: Option<Duration>,
    /// How many.
    pub count: u64,
}
