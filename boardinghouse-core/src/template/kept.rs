//! A plan that is used again for as long as the template stays as it is.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use diesel::PgConnection;

use super::{ClonePlan, MOST_TRIES, Template};
use crate::{
    catalog::{
        fingerprint::{self, Fingerprint, Question},
        tables,
    },
    error::{Error, ErrorKind, Result},
    names::SchemaName,
};

/// A plan, and what the template was like when it was made.
#[derive(Debug)]
pub(crate) struct Known {
    plan: ClonePlan,
    fingerprint: Fingerprint,
    /// Whether a clone by this plan was seen to stand alone. They are all alike.
    proven: AtomicBool,
}

impl Known {
    pub(crate) fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == *fingerprint
    }

    /// As [`ClonePlan::apply`], in a transaction of ours that has the settings of
    /// [`Template::settings`], and that ends when this fails.
    pub(crate) fn create(&self, conn: &mut PgConnection, target: &SchemaName) -> Result<()> {
        self.plan.create(conn, target)?;
        if !self.proven.load(Ordering::Relaxed) {
            self.plan.prove(conn, target)?;
            self.proven.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(crate) fn apply(&self, conn: &mut PgConnection, target: &SchemaName) -> Result<()> {
        self.plan.apply(conn, target)
    }

    pub(super) fn plan(&self) -> &ClonePlan {
        &self.plan
    }
}

/// The plan that was last used.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptPlan(Arc<Mutex<Option<Arc<Known>>>>);

impl KeptPlan {
    pub(crate) fn known(&self) -> Option<Arc<Known>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The plan for the template as it is, made anew only if it has changed.
    pub(crate) fn current(
        &self,
        conn: &mut PgConnection,
        template: &Template,
    ) -> Result<Arc<Known>> {
        if let Some(known) = self.known() {
            // It may ask for a table that is gone: then the template has changed.
            let now = fingerprint::read(conn, &template.fingerprint_of(Some(&known)));
            if now.is_ok_and(|now| known.is_of(&now)) {
                return Ok(known);
            }
        }
        self.renew(conn, template)
    }

    /// Makes the plan anew. The fingerprint is the older of the two, so that a plan is taken for too old
    /// rather than for good.
    pub(crate) fn renew(&self, conn: &mut PgConnection, template: &Template) -> Result<Arc<Known>> {
        for _ in 0..MOST_TRIES {
            let filled = tables::filled(conn, template.schema())?;
            let question = Question::new(template.schema(), &filled);
            let fingerprint = fingerprint::read(conn, &question)?;
            let plan = template.compile(conn)?;
            if *plan.filled() != filled {
                continue;
            }
            let known = Arc::new(Known {
                plan,
                fingerprint,
                proven: AtomicBool::new(false),
            });
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&known));
            return Ok(known);
        }
        let message = format!(
            "schema {:?} was changed again and again: try again later",
            template.schema().as_str()
        );
        Err(Error::new(ErrorKind::Locked, message))
    }
}
