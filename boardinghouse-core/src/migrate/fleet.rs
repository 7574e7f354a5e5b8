//! Many tenants at once: workers that take them from a queue, each on a connection of its own.

use std::{
    sync::{Mutex, mpsc},
    time::Duration,
};

use super::{
    Migrator, OnError,
    apply::{Batch, BatchFailure, Failure, Holder, Worker},
    ledger::LockBudget,
    queue::{Item, Limits, Queue, Work},
    report::{Outcome, ReportEntry},
    set::{SetName, Sets},
};
use crate::session::Session;

/// How a part of the fleet is to be migrated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) jobs: usize,
    pub(super) on_error: OnError,
    pub(super) max_failures: Option<usize>,
}

/// What became of a part of the fleet.
pub(super) struct Finished {
    /// Why it ended before it was through.
    pub(super) stopped: Option<String>,
    /// What was not visited.
    pub(super) rest: Vec<Item>,
}

/// Migrates tenants. `tell` gets each as it is done, with its place.
pub(super) fn migrate(
    migrator: &Migrator,
    sets: &Sets,
    guard: &Mutex<Session>,
    budget: LockBudget,
    items: Vec<Item>,
    pace: Pace,
    mut tell: impl FnMut(usize, ReportEntry),
) -> Finished {
    let jobs = pace.jobs.clamp(1, items.len().max(1));
    let limits = Limits {
        batch: match budget.plain_strings {
            true => migrator.batch_size,
            false => 1,
        },
        failures: match pace.on_error {
            OnError::Stop => 1,
            OnError::Continue => pace.max_failures.map_or(usize::MAX, |most| most + 1),
        },
        gentle: !migrator.pace.is_zero(),
        patience: migrator.lock_wait,
    };
    let queue = Queue::new(items, limits, &migrator.stop);
    let room =
        (budget.capacity / 2 - budget.taken).max(0) / i64::try_from(jobs).unwrap_or(i64::MAX);
    std::thread::scope(|scope| {
        let (to, from) = mpsc::channel();
        for _ in 0..jobs {
            let (to, queue) = (to.clone(), &queue);
            scope.spawn(move || {
                let hand = Hand {
                    worker: Worker::new(migrator, sets),
                    sets,
                    guard,
                    queue,
                    pause: migrator.pace,
                    room,
                    to,
                };
                hand.work();
            });
        }
        drop(to);
        for (place, entry) in from {
            tell(place, entry);
        }
    });
    let (stopped, rest) = queue.into_rest();
    Finished { stopped, rest }
}

/// One worker thread.
struct Hand<'a> {
    worker: Worker<'a>,
    sets: &'a Sets,
    guard: &'a Mutex<Session>,
    queue: &'a Queue<'a>,
    pause: Duration,
    /// How many locks this one may hold.
    room: i64,
    to: mpsc::Sender<(usize, ReportEntry)>,
}

impl Hand<'_> {
    fn work(mut self) {
        while let Some(work) = self.queue.take() {
            match work {
                Work::One(item) => self.one(item),
                Work::Batch { items, measure } => self.batch(items, measure),
            }
            if !self.pause.is_zero() {
                self.queue.pause(self.pause);
            }
        }
    }

    fn one(&mut self, mut item: Item) {
        let span = tracing::info_span!("migrate", target = %item.visit.target);
        let result = span.in_scope(|| {
            let holder = Holder::Each(self.guard);
            self.worker.visit(&item.visit, holder, &mut item.done)
        });
        match result {
            Ok(()) => self.tell(item, None),
            Err(failure) if failure.passing => {
                let lost = failure.error.kind() == crate::ErrorKind::ConnectionFailed;
                if let Some(item) = self.queue.again(item, lost) {
                    self.tell(item, Some(failure));
                }
            }
            Err(failure) => self.tell(item, Some(failure)),
        }
    }

    fn batch(&mut self, items: Vec<Item>, measure: bool) {
        let begun = std::time::Instant::now();
        let set = &self.sets[&SetName::Tenants];
        let route = items[0]
            .route
            .clone()
            .expect("what is in a batch has a route");
        let visits = items.iter().map(|item| &item.visit).collect();
        let batch = Batch::new(set, &route.steps, &route.before, visits);
        let result = match measure {
            true => self.worker.measured_batch(&batch).map(Some),
            false => self.worker.batch(&batch).map(|()| None),
        };
        match result {
            Ok(locks) => {
                if let Some(locks) = locks {
                    let each = locks.max(1) / i64::try_from(items.len()).unwrap_or(1);
                    let most = self.room / each.max(1);
                    self.queue.limit_size(usize::try_from(most).unwrap_or(1));
                }
                self.queue.learn(items.len(), begun.elapsed());
                for mut item in items {
                    item.done = route.steps.iter().map(|step| step.describe(set)).collect();
                    self.tell(item, None);
                }
            }
            // Whether it was committed, each of them says itself.
            Err(BatchFailure::Lost) => self.queue.part(items, true),
            Err(BatchFailure::Failed) => self.queue.part(items, false),
        }
    }

    fn tell(&self, item: Item, failure: Option<Failure>) {
        let failed = failure.is_some();
        let (outcome, details) = match failure {
            None => (Outcome::Done, None),
            Some(failure) => {
                let error = match item.visit.target.tenant_id() {
                    Some(id) => failure.error.with_tenant(id),
                    None => failure.error,
                };
                (Outcome::Failed(error), failure.details)
            }
        };
        let elapsed = item.elapsed();
        let entry = ReportEntry {
            target: item.visit.target,
            applied: item.done,
            outcome,
            failed: details,
            elapsed,
        };
        // Whoever listens does so until all of us are done.
        let _ = self.to.send((item.place, entry));
        self.queue.done(1, failed);
    }
}
