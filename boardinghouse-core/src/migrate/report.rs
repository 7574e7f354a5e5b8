//! What a run did, as data.

use std::time::Duration;

use serde::Serialize;

use super::{goal::Goal, plan::Target};
use crate::error::{Error, ErrorKind, Result};

/// What a run did. Failures are part of it: what fails, fails alone.
#[derive(Debug, Serialize)]
#[must_use = "schemas that failed are in the report: look at `failures`, or call `into_result`"]
#[non_exhaustive]
pub struct MigrationReport {
    /// One entry for each schema that was visited, in order.
    pub entries: Vec<ReportEntry>,
    /// Why the run ended before it was through; running it again goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// What to ask for to go on, where the run did not get through and its goal counts from where a schema is:
    /// asking for the same again would take back more.
    #[serde(skip)]
    pub resume: Option<Goal>,
    /// What the one transaction took, where the run was [`atomic`](super::Migrator::atomic).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locks: Option<LockUse>,
    /// What went well and will be in the way later, such as a template that cannot be cloned any
    /// more.
    pub warnings: Vec<String>,
}

/// What a run did to one schema.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct ReportEntry {
    /// The schema.
    pub target: Target,
    /// What was done, in order: the names of the migrations that were applied, or as
    /// [`PlannedTarget::pending`](super::PlannedTarget::pending) has it.
    pub applied: Vec<String>,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Which migration failed, and how, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedMigration>,
    /// How long it took, in seconds.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
}

/// The locks of a transaction that migrates everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LockUse {
    /// How many were foretold after the first schemas.
    pub predicted: i64,
    /// How many there were at the end.
    pub held: i64,
    /// For how many the server has room, by its configuration, beside those of others.
    pub room: i64,
}

/// Which migration failed, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FailedMigration {
    /// Its name.
    pub migration: String,
    /// What the server called it (PostgreSQL manual, appendix A "PostgreSQL Error Codes"), where that could
    /// be found out: the migration is run once more for it, and taken back.
    pub sqlstate: Option<String>,
    /// The statement that failed, where that could be found out.
    pub statement: Option<String>,
}

/// What a run tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunEvent<'a> {
    /// Tenants are about to be visited.
    Tenants {
        /// The group that they are in; `None` for those that are in none.
        group: Option<&'a str>,
        /// How many there are.
        all: usize,
        /// How many of them have something to be done.
        behind: usize,
    },
    /// A schema is done. Those that needed nothing come at once, when their number is known.
    Done(&'a ReportEntry),
    /// The next group is waited for.
    Baking {
        /// The group that was done last.
        group: &'a str,
        /// For how long.
        wait: Duration,
    },
}

fn seconds<S: serde::Serializer>(elapsed: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(elapsed.as_secs_f64())
}

/// How the visit to one schema ended.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", content = "error", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// At the newest version. It may have been so before.
    Done,
    /// Not visited, because something before it failed or because it is not ready; says why.
    Skipped(String),
    /// A migration failed. Those before it stay; it left no trace itself, unless it ran without a
    /// transaction or ended its own.
    #[serde(serialize_with = "error_text")]
    Failed(Error),
}

fn error_text<S: serde::Serializer>(error: &Error, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&error.chain())
}

impl ReportEntry {
    /// One of a schema in which nothing was done.
    pub(super) fn unvisited(target: Target, outcome: Outcome) -> Self {
        Self {
            target,
            applied: Vec::new(),
            outcome,
            failed: None,
            elapsed: Duration::ZERO,
        }
    }

    /// Why the visit failed or was skipped; empty where it was neither.
    #[must_use]
    pub fn error_message(&self) -> String {
        match &self.outcome {
            Outcome::Done => String::new(),
            Outcome::Skipped(reason) => reason.clone(),
            Outcome::Failed(error) => error.chain(),
        }
    }
}

impl MigrationReport {
    /// Whether no migration failed.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The schemas where a migration failed.
    pub fn failures(&self) -> impl Iterator<Item = &ReportEntry> {
        self.entries
            .iter()
            .filter(|entry| matches!(entry.outcome, Outcome::Failed(_)))
    }

    /// Turns the first failure into an error, for callers that want all or an error.
    ///
    /// # Errors
    ///
    /// The first failure, if there is one; [`ErrorKind::MigrationsPending`] where the run was stopped.
    pub fn into_result(self) -> Result<()> {
        if self.is_success()
            && let Some(reason) = &self.stopped
        {
            let message = format!("the run was stopped: {reason}");
            return Err(Error::new(ErrorKind::MigrationsPending, message));
        }
        self.entries
            .into_iter()
            .try_for_each(|entry| match entry.outcome {
                Outcome::Failed(error) => Err(error),
                Outcome::Done | Outcome::Skipped(_) => Ok(()),
            })
    }
}
