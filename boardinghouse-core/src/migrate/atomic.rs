//! All or none: the templates and the tenants in one transaction.

use std::collections::{BTreeSet, HashSet};

use diesel::connection::SimpleConnection;

use super::{
    apply::{Visit, Worker},
    batch::Batch,
    filter::TenantFilter,
    goal::Step,
    ledger::{self, Known, LockBudget},
    plan::Target,
    report::{LockUse, Outcome, ReportEntry},
    run::Run,
    set::{Code, Sets},
    tenants::tenant,
    transaction::in_transaction_by,
};
use crate::{
    error::{Error, ErrorKind, Result},
    lock,
    sql::fleet,
};

/// How many schemas are done before it is foretold how many locks all of them take.
const SAMPLE: usize = 4;
/// How many open what all of them share: a template, and the first tenant, which also opens the registry.
const FIRST: usize = 2;

/// One schema that has something to be done.
struct Part {
    visit: Visit,
    before: BTreeSet<String>,
    steps: Vec<Step>,
}

/// Why the transaction was not committed.
struct Broken {
    /// At which part; `None` where it is the whole.
    at: Option<usize>,
    error: Error,
}

impl Run<'_> {
    /// Takes the templates, and the tenants that a filter lets through, to the goal, or none of them.
    pub(super) fn all_or_none(&mut self, filter: &TenantFilter, templates: bool) -> Result<()> {
        let sets = self.sets;
        let mut entries = Vec::new();
        let mut parts = Vec::new();
        let template = self.migrator.template_target().schema();
        if templates {
            // Whoever is being cloned from it is seen afterwards.
            let (wait, stop) = (self.migrator.lock_wait, &self.migrator.stop);
            lock::schema_for_session(&mut self.guard().pg, &template, wait, stop)?;
            let mut own = vec![self.migrator.template_target()];
            own.extend(self.ready_kinds()?.iter().map(|kind| kind.target()));
            let named = ledger::named_templates(&mut self.guard().pg)?;
            self.read_own(&named)?;
            own.extend(named.into_iter().map(|schema| Target::Template { schema }));
            for target in own {
                let visit = Visit {
                    schema: target.schema(),
                    set: self.migrator.set_of(&target),
                    target,
                    member: None,
                };
                let has = self.has(&visit.schema).cloned();
                part(sets, visit, has, &mut entries, &mut parts);
            }
        }
        let current: BTreeSet<String> = self.current().into_iter().collect();
        for member in self.members(filter, &mut HashSet::new())? {
            match self.readied(&member) {
                Ok(visit) => {
                    let has = match member.known {
                        Known::Current => current.clone(),
                        Known::Versions(versions) => versions.as_ref().clone(),
                        Known::Unknown => BTreeSet::new(),
                        Known::Unreadable(reason) => {
                            let error = Error::new(ErrorKind::Database, reason);
                            let outcome = Outcome::Failed(error.with_tenant(&member.id));
                            entries.push(ReportEntry::unvisited(visit.target, outcome));
                            continue;
                        }
                    };
                    part(sets, visit, Ok(has), &mut entries, &mut parts);
                }
                Err(outcome) => entries.push(ReportEntry::unvisited(tenant(&member), outcome)),
            }
        }
        let blocked = entries
            .iter()
            .any(|entry| matches!(entry.outcome, Outcome::Failed(_)));
        check_that_all_is_text(sets, &parts)?;
        let finish = self.finish_all();
        let result = match blocked {
            true => Err(Broken {
                at: Some(parts.len()),
                error: Error::new(ErrorKind::Migration, "another schema is in the way"),
            }),
            false if parts.is_empty() && finish.is_empty() => Ok(()),
            false => self.in_one_transaction(&parts, &finish),
        };
        if templates {
            lock::release_schema(&mut self.guard().pg, &template)?;
        }
        let (failed_at, mut error) = match result {
            Ok(()) => (None, None),
            Err(Broken { at: None, error }) => return Err(error),
            Err(Broken { at, error }) => (at, Some(error)),
        };
        for (at, part) in parts.into_iter().enumerate() {
            let outcome = match failed_at {
                None => Outcome::Done,
                Some(failed) if failed == at => error.take().map_or(Outcome::Done, Outcome::Failed),
                Some(_) => Outcome::Skipped("all or none: another schema failed".into()),
            };
            let mut entry = ReportEntry::unvisited(part.visit.target, outcome);
            if matches!(entry.outcome, Outcome::Done) {
                let set = &sets[&part.visit.set];
                entry.applied = part.steps.iter().map(|step| step.describe(set)).collect();
            }
            entries.push(entry);
        }
        entries.into_iter().for_each(|entry| self.report(entry));
        Ok(())
    }

    fn in_one_transaction(&mut self, parts: &[Part], finish: &str) -> Result<(), Broken> {
        let whole = |error| Broken { at: None, error };
        let migrator = self.migrator;
        let sets = self.sets;
        let mut worker = Worker::new(migrator, self.sets);
        let session = worker.session().map_err(whole)?;
        session.lend();
        let mut at = None;
        let mut foretold = None;
        let begin = fleet::begin_visits([], migrator.lock_timeout);
        let done = in_transaction_by(&mut session.pg, &begin, |pg| {
            let mut first = None;
            for (number, part) in parts.iter().enumerate() {
                at = Some(number);
                if part.visit.schema != *migrator.pool.layout().template() {
                    lock::schema_for_transaction(pg, &part.visit.schema, migrator.lock_wait)?;
                }
                let set = &sets[&part.visit.set];
                let batch = Batch::new(set, &part.steps, &part.before, vec![&part.visit]);
                let text = fleet::HEAR.to_owned() + &batch.body(migrator);
                pg.batch_execute(&text).map_err(|error| {
                    let message = format!("migrating {} failed", part.visit.target);
                    Error::new(ErrorKind::Migration, message).with_source(error)
                })?;
                at = None;
                if number + 1 == FIRST {
                    first = Some(LockBudget::read(pg)?);
                }
                if number + 1 == SAMPLE.min(parts.len())
                    && let Some(first) = &first
                {
                    let now = LockBudget::read(pg)?;
                    foretold = Some(foretell(first, now, number + 1, parts)?);
                }
            }
            if !finish.is_empty() {
                pg.batch_execute(finish)
                    .map_err(|error| Error::database("finish the templates of kinds", error))?;
            }
            Ok(LockBudget::read(pg)?.held)
        });
        match done {
            Ok(held) => {
                self.unfinished.clear();
                self.locks = foretold.map(|foretold: LockUse| LockUse { held, ..foretold });
                Ok(())
            }
            Err(error) => Err(Broken { at, error }),
        }
    }
}

/// Notes what there is to do in a schema, or that there is nothing, or why it cannot be done.
fn part(
    sets: &Sets,
    visit: Visit,
    has: Result<BTreeSet<String>>,
    entries: &mut Vec<ReportEntry>,
    parts: &mut Vec<Part>,
) {
    let set = &sets[&visit.set];
    let steps = has.and_then(|before| Ok((set.steps(&before)?, before)));
    match steps {
        Ok((steps, _)) if steps.is_empty() => {
            entries.push(ReportEntry::unvisited(visit.target, Outcome::Done));
        }
        Ok((steps, before)) => parts.push(Part {
            visit,
            before,
            steps,
        }),
        Err(error) => entries.push(ReportEntry::unvisited(visit.target, Outcome::Failed(error))),
    }
}

/// Foretells how many locks the whole transaction takes, and refuses what the server has no room for.
///
/// `first` is what there was after those that opened what all of them share.
fn foretell(first: &LockBudget, now: LockBudget, done: usize, parts: &[Part]) -> Result<LockUse> {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let since = (now.held - first.held).max(0);
    let left = count(parts.len() - done);
    let predicted = now
        .held
        .saturating_add(since.saturating_mul(left) / count(done - FIRST).max(1));
    now.foretell(predicted, |room, setting| {
        format!(
            "all {} schemas in one transaction take about {predicted} locks, and the server has room for \
             {room}: set max_locks_per_transaction to {setting} or more and restart it, or migrate without \
             `atomic`. Nothing was changed",
            parts.len()
        )
    })
}

/// What is written in Rust, and what runs without a transaction, cannot be part of one.
fn check_that_all_is_text(sets: &Sets, parts: &[Part]) -> Result<()> {
    let steps = parts.iter().flat_map(|part| {
        let set = &sets[&part.visit.set];
        part.steps.iter().map(move |step| (set, step))
    });
    for (set, step) in steps {
        let Some(entry) = step.entry(set) else {
            continue;
        };
        let ends =
            |text: &str| crate::scan::ends_transaction(text) || !crate::scan::is_closed(text);
        let reason = match (&entry.code, step.script(set)) {
            _ if !entry.in_transaction => "runs without a transaction",
            (Code::Coded(_) | Code::Opaque, _) => "is no file of SQL",
            (_, Some(script)) if ends(&script.text) => "ends its transaction",
            _ => continue,
        };
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "migration {} {reason}: it cannot be part of one transaction for all",
                entry.name
            ),
        ));
    }
    Ok(())
}
