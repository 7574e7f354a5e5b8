//! Parts of the fleet that are migrated before the rest.

use std::{fmt, time::Duration};

use super::filter::TenantFilter;

/// What is asked before the next group is begun.
type Gate = dyn Fn(&str) -> Result<(), String> + Send + Sync;

/// What happens when a tenant fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// The others are migrated.
    #[default]
    Continue,
    /// What is being worked on is finished, the rest is left.
    Stop,
}

/// A part of the fleet that is migrated before the rest, for example the canaries.
///
/// Groups come in their order; a tenant is in the first one that it fits. What is not set is as for the
/// whole run.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use boardinghouse_core::{Group, OnError, TenantFilter};
/// use serde_json::json;
///
/// let canaries = Group::new("canaries", TenantFilter::new().attributes(json!({ "canary": true }))?)
///     .on_error(OnError::Stop)
///     .bake(Duration::from_secs(600))
///     .gate(|group| match std::process::Command::new("./healthy").arg(group).status() {
///         Ok(status) if status.success() => Ok(()),
///         other => Err(format!("./healthy said {other:?}")),
///     });
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
pub struct Group {
    pub(super) name: String,
    pub(super) filter: TenantFilter,
    pub(super) jobs: Option<usize>,
    pub(super) on_error: Option<OnError>,
    pub(super) max_failures: Option<usize>,
    pub(super) bake: Duration,
    pub(super) gate: Option<Box<Gate>>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("name", &self.name)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

impl Group {
    /// The tenants that a filter lets through.
    #[must_use]
    pub fn new(name: impl Into<String>, filter: TenantFilter) -> Self {
        Self {
            name: name.into(),
            filter,
            jobs: None,
            on_error: None,
            max_failures: None,
            bake: Duration::ZERO,
            gate: None,
        }
    }

    /// As [`Migrator::jobs`](crate::Migrator::jobs).
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = Some(jobs);
        self
    }

    /// As [`Migrator::on_error`](crate::Migrator::on_error).
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = Some(on_error);
        self
    }

    /// As [`Migrator::max_failures`](crate::Migrator::max_failures).
    #[must_use]
    pub fn max_failures(mut self, most: usize) -> Self {
        self.max_failures = Some(most);
        self
    }

    /// How long to wait when the group is done, before the next one. Also where it had nothing to do, as in a
    /// run that goes on with one that was interrupted; not where nothing is left for the others.
    #[must_use]
    pub fn bake(mut self, wait: Duration) -> Self {
        self.bake = wait;
        self
    }

    /// What is asked, with the group's name, when the group is done and baked. An error stops the run, with
    /// that reason. Not asked where nothing is left for the others.
    #[must_use]
    pub fn gate(
        mut self,
        gate: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.gate = Some(Box::new(gate));
        self
    }
}
