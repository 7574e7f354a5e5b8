//! Several tenants in one transaction and one message.

use std::collections::BTreeSet;

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::{
    Migrator,
    apply::{Visit, Worker},
    goal::Step,
    ledger::LockBudget,
    set::Set,
    text::Sharing,
    transaction::in_transaction_by,
};
use crate::{
    error::ErrorKind,
    sql::{
        self,
        fleet::{self, Versions},
    },
};

/// Why a batch was not migrated. Nothing of it was, unless the connection was lost.
#[derive(Debug)]
pub(super) enum BatchFailure {
    /// One of its tenants is at fault, or somebody holds a lock.
    Failed,
    /// Nobody knows whether it was committed.
    Lost,
}

impl Worker<'_> {
    /// Migrates several tenants that have the same migrations, and need the same steps, in one transaction
    /// and one message. All of it is done, or nothing.
    pub(super) fn batch(&mut self, batch: &Batch<'_>) -> Result<(), BatchFailure> {
        let message = batch.message(self.migrator);
        self.count_visit();
        let Ok(session) = self.session() else {
            return Err(BatchFailure::Failed);
        };
        let sent = session.run_transaction(&message);
        if batch.soils {
            session.lend();
        }
        sent.map_err(|error| match error {
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                _,
            ) => {
                self.forget();
                BatchFailure::Lost
            }
            error => {
                tracing::debug!(error = error.to_string(), "a batch failed");
                BatchFailure::Failed
            }
        })
    }

    /// As [`batch`](Self::batch), but says how many locks it took, for each tenant.
    pub(super) fn measured_batch(&mut self, batch: &Batch<'_>) -> Result<i64, BatchFailure> {
        let message = batch.message_up_to_commit(self.migrator);
        self.count_visit();
        let Ok(session) = self.session() else {
            return Err(BatchFailure::Failed);
        };
        session.lend();
        let measured = in_transaction_by(&mut session.pg, &message, |pg| {
            Ok(LockBudget::read(pg)?.held)
        });
        measured.map_err(|error| match error.kind() {
            ErrorKind::ConnectionFailed => {
                self.forget();
                BatchFailure::Lost
            }
            _ => BatchFailure::Failed,
        })
    }
}

/// Several tenants that need the same steps.
pub(super) struct Batch<'a> {
    set: &'a Set,
    steps: &'a [Step],
    visits: Vec<&'a Visit>,
    /// How many migrations each has.
    count: usize,
    /// What each will have.
    after: Vec<String>,
    versions: (Vec<String>, Vec<String>),
    soils: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        set: &'a Set,
        steps: &'a [Step],
        before: &BTreeSet<String>,
        visits: Vec<&'a Visit>,
    ) -> Self {
        let mut after = before.clone();
        let (mut forgotten, mut remembered) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            let was = after.clone();
            step.note(set, &mut after);
            forgotten.extend(
                was.difference(&after)
                    .filter(|v| before.contains(*v))
                    .cloned(),
            );
            remembered.extend(after.difference(&was).cloned());
        }
        remembered.retain(|version| after.contains(version));
        let soils = steps
            .iter()
            .filter_map(|step| step.script(set))
            .any(|script| script.sharing != Sharing::Freely);
        Self {
            set,
            steps,
            visits,
            count: before.len(),
            after: after.into_iter().collect(),
            versions: (
                forgotten.into_iter().collect(),
                remembered.into_iter().collect(),
            ),
            soils,
        }
    }

    fn message(&self, migrator: &Migrator) -> String {
        self.message_up_to_commit(migrator) + "COMMIT"
    }

    /// Everything but the end of the transaction.
    pub(super) fn message_up_to_commit(&self, migrator: &Migrator) -> String {
        let wait = migrator.batch_lock_timeout();
        let schemas = self.visits.iter().map(|visit| &visit.schema);
        fleet::begin_visits(schemas, wait) + &self.body(migrator)
    }

    /// What is done in each schema, and what is written in the registry.
    pub(super) fn body(&self, migrator: &Migrator) -> String {
        let wait = migrator.batch_lock_timeout();
        let extra = migrator.pool.layout().extra();
        let mut text = String::new();
        let versions = Versions {
            forgotten: &self.versions.0,
            remembered: &self.versions.1,
        };
        let mut changed = false;
        // What only defines is undone if the proof at the end fails. Other text is not let loose before.
        let proof = match self.soils {
            true => String::new(),
            false => fleet::prove(self.visits.iter().filter_map(|visit| {
                let (_, oid) = visit.member?;
                Some((&visit.schema, oid))
            })),
        };
        text += &proof;
        // What is there already cannot be written again; what is not, could be taken back twice.
        let count = (!versions.forgotten.is_empty()).then_some(self.count);
        // Whose table runs code is visited alone: here that would be on the path of the last.
        let at_once = !self.soils && count.is_none() && self.visits.len() > 1;
        if at_once {
            let members = self.visits.iter().filter_map(|visit| visit.member);
            text += &fleet::prove_histories(members.map(|(_, schema)| schema));
        }
        for visit in &self.visits {
            if self.soils {
                text += &fleet::reset_between_visits(wait);
            }
            text += &match visit.member.is_none() || self.soils {
                true => fleet::visit(visit.claim(), extra),
                false => fleet::go(&visit.schema, extra),
            };
            if self.count == 0 {
                text += &sql::create_history(&visit.schema);
                text += ";";
            }
            for step in self.steps {
                changed |= step.entry(self.set).is_some();
                if let Some(script) = step.script(self.set) {
                    text += &script.text;
                    // It may end with a comment, or without a semicolon.
                    text += "\n;";
                }
            }
            if self.soils {
                text += fleet::FIRE;
            }
            if !at_once {
                text += &fleet::note_versions(&visit.schema, versions, count);
                // What was put off there, too, while the path is still this one.
                if !self.soils {
                    text += fleet::FIRE;
                }
            }
        }
        if at_once {
            let schemas = self.visits.iter().map(|visit| &visit.schema);
            text += &fleet::remember_in_all(schemas, versions.remembered);
        }
        text += &proof;
        text += &fleet::same_transaction();
        let members: Vec<(i64, u32)> = self.visits.iter().filter_map(|v| v.member).collect();
        if !members.is_empty() {
            text += &fleet::note_in_ledger(&members, &self.after, changed);
        }
        text
    }
}
