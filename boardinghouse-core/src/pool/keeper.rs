//! Looks after idle sessions: none stays parked, idle or alive for too long.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use super::{Inner, checkout::Turn, shelf::Conn};
use crate::session::PARKED;

/// How often idle sessions are looked at.
const EVERY: Duration = Duration::from_millis(100);

/// After how many rounds the tenants that nobody asks for are forgotten.
const FORGET_EVERY: u32 = 600;

/// Runs until the pool is gone.
#[expect(clippy::needless_pass_by_value, reason = "the thread's own")]
pub(super) fn run(pool: Weak<Inner>, end: Receiver<()>) {
    let mut rounds = 0_u32;
    while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let Some(inner) = pool.upgrade() else { return };
        // Whatever panics, a subscriber's code or a borrower's instrumentation, the next session is looked
        // after all the same.
        let tidied = catch_unwind(AssertUnwindSafe(|| tidy(&inner)));
        if tidied.is_err() {
            let _ =
                catch_unwind(|| tracing::error!("a panic while idle sessions were looked after"));
        }
        rounds = rounds.wrapping_add(1);
        if rounds.is_multiple_of(FORGET_EVERY) {
            inner.known.tidy();
        }
    }
}

fn tidy(inner: &Arc<Inner>) {
    let now = Instant::now();
    let old = |idle: Duration, age: Duration| {
        inner.idle_timeout.is_some_and(|most| idle >= most)
            || inner.max_lifetime.is_some_and(|most| age >= most)
    };
    while let Some(mut turn) = take(inner, |conn, idle| old(idle, conn.age(now))) {
        if let Some(conn) = &mut turn.conn {
            conn.spoiled = true;
        }
    }
    unpark(inner, |_, idle| idle >= PARKED);
    inner.keep_ready();
}

/// Takes an idle session with its turn, which ends whatever happens to it.
fn take(inner: &Arc<Inner>, wanted: impl Fn(&Conn, Duration) -> bool) -> Option<Turn> {
    let conn = inner.shelf.take_if(wanted)?;
    Some(Turn {
        conn: Some(conn),
        heat: 0,
        inner: Arc::clone(inner),
    })
}

/// Takes parked sessions off the path that they are on.
fn unpark(inner: &Arc<Inner>, wanted: impl Fn(&Conn, Duration) -> bool) {
    while let Some(mut turn) = take(inner, |conn, idle| conn.is_parked() && wanted(conn, idle)) {
        if turn.conn.as_mut().is_some_and(|conn| !conn.clean()) {
            inner.counters.closed();
        }
    }
}

#[cfg(feature = "testing")]
impl super::TenantPool {
    /// Takes the idle sessions that are on a schema off it, without waiting for their time.
    pub(crate) fn leave(&self, schema: &crate::names::SchemaName) {
        unpark(&self.0, |conn, _| conn.was_on(schema));
    }
}

impl Inner {
    /// Opens sessions until enough of them are idle.
    pub(super) fn keep_ready(&self) {
        let idle = || {
            let (kept, _) = self.shelf.counts();
            u32::try_from(kept).unwrap_or(u32::MAX)
        };
        while idle() + self.shelf.r2d2().state().idle_connections < self.min_idle {
            let Some(conn) = self.shelf.open_another(EVERY) else {
                return;
            };
            self.shelf.give_back(Some(conn), 0);
        }
    }
}
