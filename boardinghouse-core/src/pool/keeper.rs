//! Looks after idle sessions: none stays parked, idle or alive for too long.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
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
    let old = |idle: Duration, age: Duration| {
        inner.idle_timeout.is_some_and(|most| idle >= most)
            || inner.max_lifetime.is_some_and(|most| age >= most)
    };
    // Whatever happens to what was taken, its turn ends.
    let take = |wanted: &dyn Fn(&Conn, Duration) -> bool| {
        let conn = inner.shelf.take_if(wanted)?;
        let inner = Arc::clone(inner);
        Some(Turn {
            conn: Some(conn),
            inner,
        })
    };
    while let Some(mut turn) = take(&|conn, idle| old(idle, conn.age())) {
        if let Some(conn) = &mut turn.conn {
            conn.spoiled = true;
        }
    }
    while let Some(mut turn) = take(&|conn, idle| conn.is_parked() && idle >= PARKED) {
        if turn.conn.as_mut().is_some_and(|conn| !conn.clean()) {
            inner.counters.closed();
        }
    }
    inner.keep_ready();
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
            self.shelf.give_back(Some(conn));
        }
    }
}
