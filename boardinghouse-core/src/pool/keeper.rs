//! Looks after idle sessions: none stays parked, idle or alive for too long.

use std::{
    sync::{
        Weak,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use super::Inner;
use crate::session::PARKED;

/// How often idle sessions are looked at.
const EVERY: Duration = Duration::from_millis(100);

/// Runs until the pool is gone.
#[expect(clippy::needless_pass_by_value, reason = "the thread's own")]
pub(super) fn run(pool: Weak<Inner>, end: Receiver<()>) {
    while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
        let Some(inner) = pool.upgrade() else { return };
        inner.tidy();
    }
}

impl Inner {
    fn tidy(&self) {
        let old = |idle: Duration, age: Duration| {
            self.idle_timeout.is_some_and(|most| idle >= most)
                || self.max_lifetime.is_some_and(|most| age >= most)
        };
        while let Some(mut conn) = self.shelf.take_if(|conn, idle| old(idle, conn.age())) {
            conn.spoiled = true;
            self.shelf.give_back(Some(conn));
        }
        while let Some(mut conn) = self
            .shelf
            .take_if(|conn, idle| conn.is_parked() && idle >= PARKED)
        {
            if !conn.clean() {
                self.counters.closed();
            }
            self.shelf.give_back(Some(conn));
        }
        self.keep_ready();
    }

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
