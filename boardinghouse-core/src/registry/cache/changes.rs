//! When what changed.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use crate::pool::{Subject, Watcher, lock};

/// Of how many subjects it is remembered when they changed. With more, all count as changed.
const MOST: usize = 100_000;

/// The changes that were notified of, counted.
#[derive(Default)]
pub(super) struct Changes {
    count: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many there had been when anything may have changed.
    all: u64,
    /// The same for what changed since.
    of: HashMap<Subject, u64>,
}

impl Changes {
    /// How many there have been: to be asked before something is read.
    pub(super) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    /// Whether any of the subjects changed since there had been so many.
    pub(super) fn since(&self, count: u64, subjects: &[Subject]) -> bool {
        let state = lock(&self.state);
        let newer = |at: &u64| *at > count;
        newer(&state.all) || subjects.iter().any(|s| state.of.get(s).is_some_and(newer))
    }
}

impl Watcher for Changes {
    fn changed(&self, subject: Option<Subject>) {
        let mut state = lock(&self.state);
        let count = self.count.load(SeqCst) + 1;
        match subject {
            Some(subject) if state.of.len() < MOST => {
                state.of.insert(subject, count);
            }
            _ => {
                state.all = count;
                state.of.clear();
            }
        }
        self.count.store(count, SeqCst);
    }
}
