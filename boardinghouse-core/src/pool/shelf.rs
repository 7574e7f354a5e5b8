//! Whose turn it is, and the idle sessions.
//!
//! r2d2 opens sessions, closes them, and sees to it that there are not too many. It hands out the one
//! that was returned last, to whoever comes first. So idle sessions are kept here, where one that is on
//! the right tenant can be found, and turns are given in the order in which they were asked for. Each turn
//! is the right to one session: there are as many as r2d2 may open.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Manager;
use crate::{names::SchemaName, session::Session};

pub(crate) type Conn = r2d2::PooledConnection<Manager>;

pub(super) struct Shelf {
    pool: r2d2::Pool<Manager>,
    max_tenants: usize,
    state: Mutex<State>,
}

struct State {
    /// Turns that nobody has.
    free: u32,
    /// How many of those who have a turn wait for r2d2 to open a session.
    opening: u32,
    /// The one that was returned last comes last.
    idle: VecDeque<Idle>,
    waiting: VecDeque<Arc<Waiter>>,
}

struct Idle {
    conn: Conn,
    since: Instant,
    /// How often the tenant that it is on has been asked for.
    heat: u64,
}

/// A thread in the queue; it is handed a turn, with a session where there is one.
#[derive(Default)]
struct Waiter {
    handed: Mutex<Option<Option<Conn>>>,
    ready: Condvar,
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Refused {
    /// Nobody's turn ended in time.
    NoTurn,
    /// None could be opened in time.
    NotOpened(r2d2::Error),
}

impl Shelf {
    pub(super) fn new(pool: r2d2::Pool<Manager>, max_tenants: usize) -> Self {
        let state = State {
            free: pool.max_size(),
            opening: 0,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
        };
        Self {
            pool,
            max_tenants,
            state: Mutex::new(state),
        }
    }

    pub(super) fn r2d2(&self) -> &r2d2::Pool<Manager> {
        &self.pool
    }

    /// How many idle sessions and how many waiting threads there are.
    pub(super) fn counts(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.idle.len(), state.waiting.len())
    }

    /// Takes a turn; waits in line for one. A session may come with it, and the time at which that was.
    pub(super) fn turn(
        &self,
        now: Instant,
        deadline: Instant,
    ) -> Result<(Option<Conn>, Instant), Refused> {
        let waiter = {
            let mut state = lock(&self.state);
            if state.waiting.is_empty() && state.free > 0 {
                state.free -= 1;
                return Ok((None, now));
            }
            let waiter = Arc::new(Waiter::default());
            state.waiting.push_back(Arc::clone(&waiter));
            waiter
        };
        if let Some(handed) = waiter.wait(deadline) {
            return Ok((handed, Instant::now()));
        }
        lock(&self.state)
            .waiting
            .retain(|other| !Arc::ptr_eq(other, &waiter));
        // Whoever took it out of the line before has handed it its turn by now, or is about to: both
        // happen under the lock that was just held.
        let handed = lock(&waiter.handed).take().ok_or(Refused::NoTurn)?;
        Ok((handed, Instant::now()))
    }

    /// A session for someone who has a turn: an idle one, by preference one that is on the schema, else
    /// one that was, else one that has room for another; or a new one.
    pub(super) fn session(&self, schema: &SchemaName, deadline: Instant) -> Result<Conn, Refused> {
        if let Some(conn) = lock(&self.state).choose(schema, self.max_tenants) {
            return Ok(conn);
        }
        self.another(deadline)
    }

    /// A session from r2d2, for someone who has a turn: as a rule a new one.
    pub(super) fn another(&self, deadline: Instant) -> Result<Conn, Refused> {
        lock(&self.state).opening += 1;
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        let opened = self.pool.get_timeout(left);
        lock(&self.state).opening -= 1;
        opened.map_err(Refused::NotOpened)
    }

    /// Ends a turn, and keeps the session for others.
    pub(super) fn give_back(&self, conn: Option<Conn>, heat: u64) {
        // r2d2 closes what is in doubt.
        let mut conn = conn.filter(|conn| !conn.is_doubtful());
        {
            let mut state = lock(&self.state);
            if let Some(waiter) = state.waiting.pop_front() {
                waiter.hand(conn);
                return;
            }
            state.free += 1;
            if state.opening == 0 {
                if let Some(conn) = conn {
                    let since = Instant::now();
                    state.idle.push_back(Idle { conn, since, heat });
                }
                return;
            }
        }
        // Someone waits for r2d2 to open a session, and is as well served with this one.
        if let Some(parked) = conn.as_mut().filter(|conn| conn.is_parked()) {
            parked.clean();
        }
    }

    /// Takes the first idle session of which `wanted` says so by its idle time, with a turn.
    pub(super) fn take_if(&self, wanted: impl Fn(&Conn, Duration) -> bool) -> Option<Conn> {
        let mut state = lock(&self.state);
        if state.free == 0 {
            return None;
        }
        let found = |idle: &Idle| wanted(&idle.conn, idle.since.elapsed());
        let position = state.idle.iter().position(found)?;
        state.free -= 1;
        state.idle.remove(position).map(|idle| idle.conn)
    }

    /// Opens another session, with a turn, if one is free.
    pub(super) fn open_another(&self, patience: Duration) -> Option<Conn> {
        {
            let mut state = lock(&self.state);
            if state.free == 0 || !state.waiting.is_empty() {
                return None;
            }
            state.free -= 1;
        }
        let opened = self.pool.get_timeout(patience).ok();
        if opened.is_none() {
            self.give_back(None, 0);
        }
        opened
    }
}

impl State {
    /// The best idle session for a schema. Of several that are as good the one whose tenant is asked for the
    /// least, so that those on busy tenants stay there; and of these the one that was used last, whose server
    /// process is the warmest, so that those that are not needed come of age.
    fn choose(&mut self, schema: &SchemaName, max_tenants: usize) -> Option<Conn> {
        let rank = |session: &Session| {
            let fit = if session.knows(schema) {
                0
            } else if session.schemas_seen() < max_tenants {
                2
            } else {
                4
            };
            fit + u8::from(session.is_parked())
        };
        let hit = self.idle.iter().rposition(|idle| idle.conn.was_on(schema));
        let position = hit.or_else(|| {
            let best = |(_, idle): &(usize, &Idle)| (rank(&idle.conn), idle.heat);
            let all = self.idle.iter().enumerate().rev();
            all.min_by_key(best).map(|(position, _)| position)
        })?;
        self.idle.remove(position).map(|idle| idle.conn)
    }
}

impl Waiter {
    fn hand(&self, conn: Option<Conn>) {
        *lock(&self.handed) = Some(conn);
        self.ready.notify_one();
    }

    fn wait(&self, deadline: Instant) -> Option<Option<Conn>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let handed = lock(&self.handed);
        let (mut handed, _) = self
            .ready
            .wait_timeout_while(handed, left, |handed| handed.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        handed.take()
    }
}

/// No code panics while it holds one of these locks.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
