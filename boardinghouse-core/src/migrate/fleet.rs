//! Many tenants at once: workers that take them from a queue, each on a connection of its own.

use std::{
    sync::{Mutex, mpsc},
    time::{Duration, Instant},
};

use diesel::connection::SimpleConnection;

use super::{
    Migrator, OnError,
    apply::{Holder, Worker, lock_session},
    batch::{Batch, BatchFailure},
    failure::Passing,
    ledger::{self, LockBudget},
    plan::Target,
    queue::{Again, Item, Limits, Queue, Work},
    report::{FailedMigration, Outcome, ReportEntry},
    set::Sets,
};
use crate::{error::ErrorKind, session::Session};

/// How often it is looked whether the connection is there that keeps other migrators away.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What is told where it is not.
pub(super) const LOST: &str =
    "the connection that keeps other migrators away was lost, and they may run now";

/// Whether the run's own connection is there.
pub(super) fn is_alive(guard: &Mutex<Session>) -> bool {
    lock_session(guard).pg.batch_execute("SELECT 1").is_ok()
}

/// How a part of the fleet is to be migrated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) jobs: usize,
    pub(super) on_error: OnError,
    pub(super) max_failures: Option<usize>,
    /// How many tenants have failed before.
    pub(super) failed: usize,
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
        batch: match budget.can_share {
            true => migrator.batch_size,
            false => 1,
        },
        failures: match pace.on_error {
            OnError::Stop => 1,
            OnError::Continue => pace.max_failures.map_or(usize::MAX, |most| {
                most.saturating_sub(pace.failed).saturating_add(1)
            }),
        },
        gentle: !migrator.pace.is_zero(),
        patience: migrator.lock_wait,
    };
    let queue = Queue::new(items, jobs, limits, &migrator.stop);
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
        let mut asked = Instant::now();
        loop {
            match from.recv_timeout(HEARTBEAT) {
                Ok((place, entry)) => tell(place, entry),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if asked.elapsed() >= HEARTBEAT {
                asked = Instant::now();
                if !is_alive(guard) {
                    queue.stop(LOST.to_owned());
                }
            }
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
            if let Err(error) = self.worker.session() {
                match self.queue.without_connection(work, &error.chain()) {
                    true => continue,
                    false => return,
                }
            }
            self.queue.connected();
            match work {
                Work::One(item) => self.one(*item),
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
            self.worker.visit(&item.visit, holder, &mut item.progress)
        });
        let failure = match result {
            Ok(()) => return self.tell(item, Outcome::Done, None),
            Err(failure) => failure,
        };
        let again = match (failure.passing, failure.error.kind()) {
            (Passing::Yes, ErrorKind::ConnectionFailed) => Some(Again::Lost),
            (Passing::Yes, _) => Some(Again::Locked),
            (Passing::Once, _) => Some(Again::Once),
            (Passing::No, ErrorKind::SchemaUnavailable) if !item.sought => {
                item.sought = true;
                match self.seek(&mut item) {
                    Sought::Elsewhere => Some(Again::AtOnce),
                    Sought::Gone => {
                        let reason = "the tenant was deleted meanwhile".to_owned();
                        return self.tell(item, Outcome::Skipped(reason), None);
                    }
                    Sought::There => None,
                }
            }
            // What the session has learned of other schemas, such as their types, may be in the way.
            (Passing::No, ErrorKind::Migration) if !item.on_fresh_session => {
                item.on_fresh_session = true;
                self.worker.forget().then_some(Again::AtOnce)
            }
            (Passing::No, _) => None,
        };
        let given_up = match again {
            Some(why) => self.queue.again(item, why),
            None => Some(item),
        };
        if let Some(item) = given_up {
            let error = match item.visit.target.tenant_id() {
                Some(id) => failure.error.with_tenant(id),
                None => failure.error,
            };
            self.tell(item, Outcome::Failed(error), failure.details);
        }
    }

    /// Looks for a tenant whose schema was not where it should be: it may have been renamed.
    fn seek(&mut self, item: &mut Item) -> Sought {
        let Some((incarnation, oid)) = item.visit.member else {
            return Sought::There;
        };
        let found = self
            .worker
            .session()
            .and_then(|session| ledger::whereabouts(&mut session.pg, incarnation));
        match found {
            Ok(None) => Sought::Gone,
            Ok(Some((schema, Some(now)))) if (&schema, now) != (&item.visit.schema, oid) => {
                if let Target::Tenant { schema: named, .. } = &mut item.visit.target {
                    named.clone_from(&schema);
                }
                item.visit.schema = schema;
                item.visit.member = Some((incarnation, now));
                Sought::Elsewhere
            }
            _ => Sought::There,
        }
    }

    fn batch(&mut self, items: Vec<Item>, measure: bool) {
        let begun = Instant::now();
        // Who shares a route has the same set.
        let set = &self.sets[&items[0].visit.set];
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
                    item.progress.done = route.steps.iter().map(|s| s.describe(set)).collect();
                    self.tell(item, Outcome::Done, None);
                }
            }
            // Whether it was committed, each of them says itself.
            Err(BatchFailure::Lost) => self.queue.part(items, true),
            Err(BatchFailure::Failed) => self.queue.part(items, false),
        }
    }

    fn tell(&self, item: Item, outcome: Outcome, failed: Option<FailedMigration>) {
        let is_failure = matches!(outcome, Outcome::Failed(_));
        let elapsed = item.elapsed();
        let entry = ReportEntry {
            target: item.visit.target,
            applied: item.progress.done,
            outcome,
            failed,
            elapsed,
        };
        // Whoever listens does so until all of us are done.
        let _ = self.to.send((item.place, entry));
        self.queue.done(1, is_failure);
    }
}

/// Where a tenant is that was not where it should be.
enum Sought {
    There,
    Elsewhere,
    Gone,
}
