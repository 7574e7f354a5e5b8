//! A plan that is used again for as long as the template stays as it is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use diesel::{
    OptionalExtension, PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Jsonb, Text},
};

use super::{ClonePlan, MOST_TRIES, Template};
use crate::{
    catalog::{
        data,
        fingerprint::{self, Fingerprint, Outside, Question},
    },
    error::{Error, ErrorKind, Result},
    names::SchemaName,
};

/// A plan, and what the template was like when it was made.
#[derive(Debug)]
pub(crate) struct Known {
    plan: ClonePlan,
    fingerprint: Fingerprint,
    outside: Outside,
    /// Whether the plan was read from the registry, rather than made.
    was_kept: bool,
}

impl Known {
    pub(crate) fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        self.fingerprint == *fingerprint
    }

    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint.0
    }

    /// Fails when a clone holds its own name in text, which a new name would not reach.
    pub(crate) fn can_be_renamed(&self) -> Result<()> {
        let named = self.plan.steps_that_hold_the_name();
        if named.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::TemplateUnsupported,
            format!(
                "clones of schema {:?} cannot be made ahead of time: these hold the name of their schema \
                 in text:\n{}",
                self.plan.source().as_str(),
                named.join("\n")
            ),
        ))
    }

    /// How to ask whether the template is still what it was.
    pub(crate) fn question(&self) -> Question {
        Question::new(self.plan.source(), self.plan.holds(), &self.outside)
    }

    pub(crate) fn plan(&self) -> &ClonePlan {
        &self.plan
    }

    pub(crate) fn was_kept(&self) -> bool {
        self.was_kept
    }
}

/// The plans that were last used, one of each template.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptPlans(Arc<Mutex<HashMap<SchemaName, Arc<Known>>>>);

impl KeptPlans {
    fn plans(&self) -> MutexGuard<'_, HashMap<SchemaName, Arc<Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn known(&self, template: &SchemaName) -> Option<Arc<Known>> {
        self.plans().get(template).cloned()
    }

    /// Forgets the plan of a template, that of the registry too: by one of them, a clone could not be made.
    pub(crate) fn forget(&self, conn: &mut PgConnection, template: &SchemaName) -> Result<()> {
        self.plans().remove(template);
        sql_query(
            "DELETE FROM boardinghouse.clone_plans
             WHERE schema_name = $1 AND role_name = current_user",
        )
        .bind::<Text, _>(template.as_str())
        .execute(conn)
        .map(drop)
        .map_err(|error| Error::database("forget the plan of the template", error))
    }

    /// The plan for the template as it is, made anew only if it has changed.
    pub(crate) fn current(
        &self,
        conn: &mut PgConnection,
        template: &Template,
    ) -> Result<Arc<Known>> {
        if let Some(known) = self.known(template.schema()) {
            // It may ask for a table that is gone: then the template has changed.
            let now = fingerprint::read(conn, &known.question());
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
            let holds = data::contents(conn, template.schema())?;
            let outside = Outside::read(conn, template.schema(), &holds)?;
            let question = Question::new(template.schema(), &holds, &outside);
            let fingerprint = fingerprint::read(conn, &question)?;
            let kept = registry_plan(conn, template.schema(), &fingerprint)?;
            let is_new = kept.is_none();
            let plan = match kept {
                Some(plan) => plan,
                None => template.compile(conn)?,
            };
            if *plan.holds() != holds || Outside::read(conn, template.schema(), &holds)? != outside
            {
                continue;
            }
            if is_new {
                keep_in_registry(conn, &plan, &fingerprint)?;
            }
            let known = Arc::new(Known {
                plan,
                fingerprint,
                outside,
                was_kept: !is_new,
            });
            self.plans()
                .insert(template.schema().clone(), Arc::clone(&known));
            return Ok(known);
        }
        Err(template.restless())
    }
}

#[derive(QueryableByName)]
struct KeptRow {
    #[diesel(sql_type = Jsonb)]
    plan: serde_json::Value,
}

/// The plan that another process has made of the schema as it is. One that cannot be read is of another
/// version of this library, and as good as none.
fn registry_plan(
    conn: &mut PgConnection,
    schema: &SchemaName,
    fingerprint: &Fingerprint,
) -> Result<Option<ClonePlan>> {
    let row: Option<KeptRow> = sql_query(
        "SELECT plan FROM boardinghouse.clone_plans
         WHERE schema_name = $1 AND role_name = current_user AND fingerprint = $2",
    )
    .bind::<Text, _>(schema.as_str())
    .bind::<Text, _>(&fingerprint.0)
    .get_result(conn)
    .optional()
    .map_err(|error| Error::database("read the plan of the template", error))?;
    Ok(row.and_then(|row| serde_json::from_value(row.plan).ok()))
}

fn keep_in_registry(
    conn: &mut PgConnection,
    plan: &ClonePlan,
    fingerprint: &Fingerprint,
) -> Result<()> {
    let text = serde_json::to_value(plan).map_err(|error| {
        Error::new(
            ErrorKind::InvalidInput,
            "the plan of the template cannot be written down",
        )
        .with_source(error)
    })?;
    sql_query(
        "INSERT INTO boardinghouse.clone_plans AS kept (schema_name, role_name, fingerprint, plan)
         VALUES ($1, current_user, $2, $3)
         ON CONFLICT (schema_name, role_name) DO UPDATE
         SET fingerprint = excluded.fingerprint, plan = excluded.plan, compiled_at = now()",
    )
    .bind::<Text, _>(plan.source().as_str())
    .bind::<Text, _>(&fingerprint.0)
    .bind::<Jsonb, _>(text)
    .execute(conn)
    .map(drop)
    .map_err(|error| Error::database("keep the plan of the template", error))
}
