//! When what changed.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use crate::pool::{Subject, Watcher, lock};

/// Of how many subjects it is remembered when they changed. With more, all count as changed.
const MOST: usize = 100_000;

/// For how long a change that was announced is waited for: a transaction that takes longer is heard of by
/// its notification alone.
const EXPECTED: Duration = Duration::from_secs(10);

/// The changes that were notified of, counted.
#[derive(Default)]
pub(super) struct Changes {
    count: AtomicU64,
    /// How many are expected.
    expected: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many there had been when anything may have changed.
    all: u64,
    /// The same for what changed since.
    of: HashMap<Subject, u64>,
    /// What somebody's transaction is about to change, and until when that is waited for.
    expected: HashMap<Subject, Instant>,
}

impl Changes {
    /// How many there have been: to be asked before something is read.
    pub(super) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    /// Whether any change is announced, so that counting them does not tell what is current.
    pub(super) fn are_expected(&self) -> bool {
        self.expected.load(SeqCst) > 0
    }

    /// Whether any of the subjects changed since there had been so many, or may at any moment.
    pub(super) fn since(&self, count: u64, subjects: &[Subject]) -> bool {
        let mut state = lock(&self.state);
        if !state.expected.is_empty() {
            let now = Instant::now();
            state.expected.retain(|_, until| *until > now);
            self.expected.store(state.expected.len(), SeqCst);
        }
        let newer = |at: &u64| *at > count;
        newer(&state.all)
            || subjects.iter().any(|subject| {
                state.of.get(subject).is_some_and(newer) || state.expected.contains_key(subject)
            })
    }
}

impl Watcher for Changes {
    fn changed(&self, subject: Option<Subject>) {
        let mut state = lock(&self.state);
        let count = self.count.load(SeqCst) + 1;
        match subject {
            Some(subject) if state.of.len() < MOST => {
                state.expected.remove(&subject);
                state.of.insert(subject, count);
            }
            _ => {
                state.all = count;
                state.of.clear();
            }
        }
        self.expected.store(state.expected.len(), SeqCst);
        self.count.store(count, SeqCst);
    }

    fn expect(&self, subject: Subject) {
        let mut state = lock(&self.state);
        state.expected.insert(subject, Instant::now() + EXPECTED);
        self.expected.store(state.expected.len(), SeqCst);
    }
}
