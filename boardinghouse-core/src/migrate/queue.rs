//! What is still to be done, for workers that take it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    apply::{Progress, Visit},
    goal::Step,
};

/// How long a batch keeps its tenants locked, about: for as long their requests wait.
const BATCH_TIME: Duration = Duration::from_millis(100);
/// The same where the run is to go easy.
const SHORT_BATCH_TIME: Duration = Duration::from_millis(10);

/// How many tenants the first batches hold: they show what a tenant takes.
const FIRST_SIZE: usize = 8;

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often a connection may be lost over one tenant.
const MOST_LOSSES: u32 = 5;

/// How often an external stop is looked for by who waits.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// Steps that many tenants need who have the same.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) before: Arc<BTreeSet<String>>,
    pub(super) steps: Vec<Step>,
    /// Whether tenants can share a transaction.
    pub(super) shares: bool,
}

/// A tenant that is to be migrated.
#[derive(Debug)]
pub(super) struct Item {
    /// Its place in the report.
    pub(super) place: usize,
    pub(super) visit: Visit,
    /// `None` where it is visited alone, and asked what it has.
    pub(super) route: Option<Arc<Route>>,
    pub(super) progress: Progress,
    pub(super) begun: Option<Instant>,
    /// Whether it was tried on a session that had seen no other schema.
    pub(super) on_fresh_session: bool,
    /// Whether it was looked for under another name.
    pub(super) sought: bool,
    attempts: u32,
    losses: u32,
    not_before: Option<Instant>,
}

/// Why a tenant is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// Somebody holds a lock.
    Locked,
    /// The connection was lost.
    Lost,
    /// It went well when it was looked into.
    Once,
    /// Something about it is known better now.
    AtOnce,
}

impl Item {
    pub(super) fn new(place: usize, visit: Visit, route: Option<Arc<Route>>) -> Self {
        Self {
            place,
            visit,
            route,
            progress: Progress::default(),
            begun: None,
            on_fresh_session: false,
            sought: false,
            attempts: 0,
            losses: 0,
            not_before: None,
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| begun.elapsed())
    }
}

/// Something to do.
pub(super) enum Work {
    One(Box<Item>),
    Batch {
        items: Vec<Item>,
        /// Whether its locks are to be counted.
        measure: bool,
    },
}

struct State {
    waiting: VecDeque<Item>,
    /// Parts of batches that failed.
    parts: Vec<Vec<Item>>,
    in_work: usize,
    /// How many workers there are, and since when the last of them has no connection.
    workers: usize,
    cut_off: Option<Instant>,
    stopped: Option<String>,
    size: usize,
    /// Whether some batch counts its locks, or has.
    measured: bool,
    most: usize,
    failures: usize,
}

/// The limits of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many tenants a batch holds at the most.
    pub(super) batch: usize,
    /// How many tenants may fail before the rest is left.
    pub(super) failures: usize,
    /// Whether batches are to be short.
    pub(super) gentle: bool,
    /// For how long a tenant is tried again while somebody holds what it needs.
    pub(super) patience: Duration,
}

/// A queue of tenants. Nothing is handed out in advance: whoever is free takes what is next.
pub(super) struct Queue<'a> {
    state: Mutex<State>,
    changed: Condvar,
    stop: &'a AtomicBool,
    limits: Limits,
}

impl<'a> Queue<'a> {
    pub(super) fn new(
        items: Vec<Item>,
        workers: usize,
        limits: Limits,
        stop: &'a AtomicBool,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: items.into(),
                parts: Vec::new(),
                in_work: 0,
                workers,
                cut_off: None,
                stopped: None,
                size: FIRST_SIZE,
                measured: false,
                most: limits.batch.max(1),
                failures: 0,
            }),
            changed: Condvar::new(),
            stop,
            limits,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next thing to do; waits while others may still give something back. `None` when it is over.
    pub(super) fn take(&self) -> Option<Work> {
        let mut state = self.state();
        loop {
            if self.stop.load(Relaxed) {
                state
                    .stopped
                    .get_or_insert_with(|| "the run was interrupted".into());
            }
            if state.stopped.is_some() {
                return None;
            }
            if let Some(work) = state.next() {
                let count = match &work {
                    Work::One(_) => 1,
                    Work::Batch { items, .. } => items.len(),
                };
                state.in_work += count;
                return Some(work);
            }
            if state.in_work == 0 && state.waiting.is_empty() {
                return None;
            }
            let (next, _) = self
                .changed
                .wait_timeout(state, LOOK.min(FIRST_PAUSE))
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
        }
    }

    /// Ends the run early.
    pub(super) fn stop(&self, reason: String) {
        self.state().stopped.get_or_insert(reason);
        self.changed.notify_all();
    }

    /// Gives work back that was not begun, by a worker that has no connection. Says whether it is to go on:
    /// it is not needed where others have one.
    pub(super) fn without_connection(&self, work: Work, error: &str) -> bool {
        let items = match work {
            Work::One(item) => vec![*item],
            Work::Batch { items, measure } => {
                if measure {
                    self.state().measured = false;
                }
                items
            }
        };
        let mut state = self.state();
        state.in_work -= items.len();
        for item in items.into_iter().rev() {
            state.waiting.push_front(item);
        }
        let others = state.workers > 1;
        if others {
            state.workers -= 1;
        } else {
            let since = *state.cut_off.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.limits.patience {
                state
                    .stopped
                    .get_or_insert_with(|| format!("no connection can be opened: {error}"));
            }
        }
        drop(state);
        self.changed.notify_all();
        if !others {
            self.pause(LONGEST_PAUSE.min(self.limits.patience));
        }
        !others
    }

    /// Notes that a worker has a connection.
    pub(super) fn connected(&self) {
        self.state().cut_off = None;
    }

    /// Notes that as many tenants are done, well or not.
    pub(super) fn done(&self, count: usize, failed: bool) {
        let mut state = self.state();
        state.in_work -= count;
        if failed {
            state.failures += 1;
            if state.failures >= self.limits.failures {
                let text = match state.failures {
                    1 => "a tenant failed".to_owned(),
                    count => format!("{count} tenants failed"),
                };
                state.stopped.get_or_insert(text);
            }
        }
        self.changed.notify_all();
    }

    /// Learns from a batch that went well how large the next ones should be.
    pub(super) fn learn(&self, count: usize, took: Duration) {
        let time = match self.limits.gentle {
            true => SHORT_BATCH_TIME,
            false => BATCH_TIME,
        };
        let mut state = self.state();
        let each = took / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        let fits = time.as_nanos() / each.as_nanos().max(1);
        let fits = usize::try_from(fits).unwrap_or(usize::MAX);
        // One measurement is no more than that: not many times as many as before.
        state.size = fits.clamp(1, (count * 4).max(state.size)).min(state.most);
    }

    /// Bounds batches by how many locks there is room for.
    pub(super) fn limit_size(&self, most: usize) {
        let mut state = self.state();
        state.most = most.clamp(1, self.limits.batch.max(1));
        state.size = state.size.clamp(1, state.most);
    }

    /// Gives the items of a batch back that was not migrated: in two parts, or to be visited alone.
    pub(super) fn part(&self, mut items: Vec<Item>, alone: bool) {
        let mut state = self.state();
        state.in_work -= items.len();
        if alone || items.len() == 1 {
            for mut item in items.into_iter().rev() {
                // What a lost connection has left of it, the schema says.
                if let Some(route) = item.route.take() {
                    item.progress.left = Some(route.steps.iter().cloned().collect());
                }
                state.waiting.push_front(item);
            }
        } else {
            let rest = items.split_off(items.len() / 2);
            state.parts.push(rest);
            state.parts.push(items);
        }
        self.changed.notify_all();
    }

    /// Gives an item back that may go well the next time; itself where it was tried often enough.
    pub(super) fn again(&self, mut item: Item, why: Again) -> Option<Item> {
        item.attempts += 1;
        item.losses += u32::from(why == Again::Lost);
        let over = match why {
            Again::Lost => item.losses >= MOST_LOSSES,
            Again::Locked => item.elapsed() >= self.limits.patience,
            Again::Once => item.attempts > 1,
            Again::AtOnce => false,
        };
        if over {
            return Some(item);
        }
        if why != Again::AtOnce {
            let pause = FIRST_PAUSE * 2_u32.pow(item.attempts.min(8));
            item.not_before = Some(Instant::now() + pause.min(LONGEST_PAUSE));
        }
        item.route = None;
        let mut state = self.state();
        state.in_work -= 1;
        match why {
            Again::AtOnce => state.waiting.push_front(item),
            _ => state.waiting.push_back(item),
        }
        self.changed.notify_all();
        None
    }

    /// Waits, unless the run is stopped.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut state = self.state();
        while state.stopped.is_none() && !self.stop.load(Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let (next, _) = self
                .changed
                .wait_timeout(state, left.min(LOOK))
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
        }
    }

    /// Why it was stopped, and what is left.
    pub(super) fn into_rest(self) -> (Option<String>, Vec<Item>) {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let parts = state.parts.into_iter().flatten();
        (
            state.stopped,
            state.waiting.into_iter().chain(parts).collect(),
        )
    }
}

impl State {
    fn next(&mut self) -> Option<Work> {
        if let Some(items) = self.parts.pop() {
            return Some(Work::Batch {
                items,
                measure: false,
            });
        }
        let now = Instant::now();
        let due = |item: &Item| item.not_before.is_none_or(|time| time <= now);
        let at = self.waiting.iter().position(due)?;
        let mut first = self.waiting.remove(at)?;
        first.begun.get_or_insert(now);
        let Some(route) = first.route.clone().filter(|route| route.shares) else {
            return Some(Work::One(Box::new(first)));
        };
        let measure = !std::mem::replace(&mut self.measured, true);
        let size = self.size.clamp(1, self.most);
        let mut items = vec![first];
        while items.len() < size {
            let same = self
                .waiting
                .front()
                .and_then(|item| item.route.as_ref())
                .is_some_and(|other| Arc::ptr_eq(other, &route));
            let Some(mut item) = same.then(|| self.waiting.pop_front()).flatten() else {
                break;
            };
            item.begun.get_or_insert(now);
            items.push(item);
        }
        Some(Work::Batch { items, measure })
    }
}
