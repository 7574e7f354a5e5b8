//! Moves a table from the shared schema to the tenants, or back.

mod alike;
mod carry;
mod fleet;
mod look;
mod merge;
mod report;

use std::{fmt, sync::atomic::AtomicBool, time::Duration};

use diesel::{PgConnection, connection::SimpleConnection as _};
use serde::Serialize;

pub use self::report::{MoveConflict, MoveMigration, MovedForeignKey, MovedSchema, TableMovePlan};
use self::{fleet::Fleet, look::Look, merge::Merged};
use crate::{
    catalog,
    error::{Error, ErrorKind, Result},
    lock,
    migrate::LockUse,
    names::SchemaName,
    pool::TenantPool,
    registry,
    session::Session,
    sql,
    template::Template,
};

/// Where Diesel remembers which migrations it has run.
const VERSIONS: &str = "__diesel_schema_migrations";
/// How many reasons are told of.
const MOST_REASONS: usize = 50;
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// Where a table goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MoveTo {
    /// From the templates and all tenants to the shared schema.
    Shared,
    /// From the shared schema to the templates and all tenants.
    Tenants,
}

impl fmt::Display for MoveTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Shared => "shared",
            Self::Tenants => "tenants",
        })
    }
}

/// Moves a table from the shared schema to the tenants, or back, in one transaction.
///
/// The table takes along all that a clone of a schema would have of it: columns, defaults, sequences,
/// constraints, indexes, triggers, policies, rules, statistics, owners, privileges, comments. What cannot be
/// taken along, and whatever uses the table and would lose it, such as a view, is refused, with a list. The
/// bodies of functions are text, and are not read.
///
/// To the tenants: the templates, those of kinds and the named ones too, and every tenant get the table, and
/// with [`copy_to_each`](Self::copy_to_each) tenants and named templates a copy of its rows. Foreign keys of their
/// tables to the shared one lead to their own afterwards. Sequences go on where they are; in a template
/// without rows, they begin anew.
///
/// To the shared schema: the rows of all of them are put together. Rows that say the same are one afterwards;
/// rows that have the same key and do not are a conflict, and the table stays. Foreign keys lead to the shared
/// table afterwards, and sequences go on after the largest value. *Every tenant then sees the rows of all.*
///
/// The tables in which migrations are remembered are not touched: what is to be added to the migrations is in
/// [`TableMovePlan::migrations`], to be marked as applied ([`Goal::MarkApplied`](crate::Goal::MarkApplied)).
/// Static tenants take no part.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{MoveTo, TableMove, TenantPool};
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let wanted = TableMove::new(pool.clone(), "plans", MoveTo::Tenants)?.copy_to_each(true);
/// println!("{} schemas get it", wanted.plan()?.schemas.len());
/// let done = wanted.run()?;
/// for migration in &done.migrations {
///     println!("-- {}\n{}", migration.set, migration.up);
/// }
///
/// // Not a table that could be moved.
/// assert!(TableMove::new(pool, "__diesel_schema_migrations", MoveTo::Shared).is_err());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TableMove {
    pool: TenantPool,
    table: String,
    to: MoveTo,
    copy_to_each: bool,
    lock_wait: Duration,
    lock_timeout: Duration,
}

/// What was done, or would be.
struct Outcome {
    plan: TableMovePlan,
    /// The schemas, in groups of those that had the same structure.
    alike: Vec<Vec<SchemaName>>,
}

impl TableMove {
    /// A move of the table of this name, without a schema, as it is called in the database.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidName`] for what cannot be the name of a table, and [`ErrorKind::ReservedName`] for
    /// the one in which Diesel remembers migrations. Nothing is sent.
    pub fn new(pool: TenantPool, table: impl Into<String>, to: MoveTo) -> Result<Self> {
        let table = table.into();
        if table.is_empty() || table.len() > SchemaName::MAX_LEN || table.contains('\0') {
            let message = format!(
                "{table:?} cannot be the name of a table: use 1 to {} bytes, none of them zero",
                SchemaName::MAX_LEN
            );
            return Err(Error::new(ErrorKind::InvalidName, message));
        }
        if table == VERSIONS {
            let message =
                format!("table {table} stays where it is: it says which migrations the schema has");
            return Err(Error::new(ErrorKind::ReservedName, message));
        }
        Ok(Self {
            pool,
            table,
            to,
            copy_to_each: false,
            lock_wait: Duration::from_secs(60),
            lock_timeout: Duration::from_millis(500),
        })
    }

    /// Gives a copy of the rows to every tenant, and to named templates. Without it, a shared table that has
    /// rows is not moved. Only on the way to the tenants. Defaults to false.
    #[must_use]
    pub fn copy_to_each(mut self, copy: bool) -> Self {
        self.copy_to_each = copy;
        self
    }

    /// Sets how long to wait for a migrator, for tenants that are just being created, and for requests that
    /// use the tables, to finish. Defaults to 60 seconds.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Sets how long one statement waits for a lock, after which everything is let go, and tried again.
    /// Whoever uses the tables waits as long. Defaults to 500 milliseconds.
    #[must_use]
    pub fn lock_timeout(mut self, wait: Duration) -> Self {
        self.lock_timeout = wait;
        self
    }

    /// Finds out what would be done, and what is in the way. Changes nothing.
    ///
    /// The table is read as it will be when it is moved, for which it is locked for a moment, at most as long as
    /// [`lock_timeout`](Self::lock_timeout) and the reading take.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] and [`ErrorKind::TemplateUnsupported`] with a list of what is in the way,
    /// or when the server has no room for the locks; conflicts are in the plan instead. Further
    /// [`ErrorKind::NeedsSession`] on a pool without sessions, [`ErrorKind::Locked`],
    /// [`ErrorKind::RegistryMissing`], [`ErrorKind::ConnectionFailed`] and [`ErrorKind::Database`].
    pub fn plan(&self) -> Result<TableMovePlan> {
        let mut session = self.session()?;
        self.try_for_a_while(|| {
            carry::taken_back(&mut session.pg, |conn| Ok(self.work(conn, false)?.plan))
        })
    }

    /// Moves the table, or fails and leaves everything as it was.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`] when rows differ under one key, and those of [`plan`](Self::plan).
    pub fn run(&self) -> Result<TableMovePlan> {
        let span = tracing::info_span!("move table", table = self.table, to = %self.to);
        let _entered = span.enter();
        let mut session = self.session()?;
        let conn = &mut session.pg;
        lock::migrator_for_session(conn, self.lock_wait, &AtomicBool::new(false))?;
        let done = self.try_for_a_while(|| {
            conn.build_transaction().read_committed().run(|conn| {
                let mut done = self.work(conn, true)?;
                alike::check(conn, &done.alike, &self.table)?;
                registry::advance_all_epochs(conn)
                    .map_err(|error| Error::database("advance the tenants' epochs", error))?;
                done.plan.locks.held = catalog::relocate::locked(conn)?;
                Ok::<_, Error>(done)
            })
        });
        // The lock is free when this returns, not when the server has seen that the session ended.
        session.clean();
        let plan = done?.plan;
        tracing::info!("moved");
        Ok(plan)
    }

    fn session(&self) -> Result<Session> {
        if self.copy_to_each && self.to == MoveTo::Shared {
            let message = "rows are copied to each tenant on the way to the tenants alone";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.pool.require_sessions()?;
        let mut session = Session::connect(self.pool.url(), self.pool.layout())?;
        registry::require(&mut session.pg)?;
        session
            .pg
            .batch_execute(sql::fleet::STAY)
            .map_err(|error| Error::database("prepare the move", error))?;
        Ok(session)
    }

    /// Tries again while somebody holds a lock.
    fn try_for_a_while<T>(&self, attempt: impl FnMut() -> Result<T>) -> Result<T> {
        let again = |error: &Error| {
            tracing::debug!(error = error.chain(), "the move was not made this time");
            error.kind() == ErrorKind::Locked
        };
        lock::try_for(self.lock_wait, PAUSES, attempt, again)
    }

    /// In a transaction: finds out what there is to do, and if it is `real`, does it.
    fn work(&self, conn: &mut PgConnection, real: bool) -> Result<Outcome> {
        let layout = self.pool.layout();
        fleet::settle(conn, &Template::settings(), self.lock_timeout)?;
        if real {
            fleet::hold_registry(conn)?;
        }
        let fleet = Fleet::read(conn, layout)?;
        let look = Look::at(conn, self, fleet)?;
        let locks = look.foretell(conn, self.to)?;
        if real {
            look.fleet.lock(conn, layout.shared())?;
            look.lock(conn, self)?;
            // As of when it was locked.
            let fleet = Fleet::read(conn, layout)?;
            if Look::at(conn, self, fleet)? != look {
                let message = "the schemas were changed meanwhile: try again later";
                return Err(Error::new(ErrorKind::Locked, message));
            }
        }
        match self.to {
            MoveTo::Tenants => self.to_tenants(conn, &look, locks, real),
            MoveTo::Shared => self.to_shared(conn, &look, locks, real),
        }
    }

    fn to_tenants(
        &self,
        conn: &mut PgConnection,
        look: &Look,
        locks: LockUse,
        real: bool,
    ) -> Result<Outcome> {
        let shared = self.pool.layout().shared();
        let rows = Look::rows(conn, &[shared], &self.table)?;
        let rows = rows.first().copied().unwrap_or(0);
        if rows > 0 && !self.copy_to_each {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!(
                    "table {} of the shared schema has {rows} rows, which would be lost: say that each tenant \
                     is to get a copy of them (--copy-to-each), or delete them first",
                    self.table
                ),
            ));
        }
        let alike = alike::groups(conn, look)?;
        let made = match real {
            true => carry::to_tenants(conn, self, look)?,
            false => carry::taken_back(conn, |conn| {
                carry::set_aside(
                    conn,
                    (shared, &self.table),
                    &look.statistics,
                    self.copy_to_each,
                )
            })?,
        };
        let mut plan = self.outline(look, locks, &made);
        plan.shared_rows_before = rows;
        for (member, moved) in look.fleet.members.iter().zip(&mut plan.schemas) {
            moved.rows_after = if member.bare { 0 } else { rows };
        }
        Ok(Outcome { plan, alike })
    }

    fn to_shared(
        &self,
        conn: &mut PgConnection,
        look: &Look,
        locks: LockUse,
        real: bool,
    ) -> Result<Outcome> {
        let table = self.table.as_str();
        carry::check_shapes(conn, look, table)?;
        let rows = Look::rows(conn, &look.fleet.schemas(), table)?;
        let merged = Merged::read(conn, look, table)?;
        if real && merged.all_conflicts > 0 {
            return Err(merged.refusal(table));
        }
        let alike = alike::groups(conn, look)?;
        let (template, _) = &look.pattern;
        let made = match real {
            true => carry::to_shared(conn, self, look, &merged)?,
            false => carry::taken_back(conn, |conn| {
                carry::set_aside(conn, (template, table), &look.statistics, true)
            })?,
        };
        let mut plan = self.outline(look, locks, &made);
        for (rows, moved) in rows.into_iter().zip(&mut plan.schemas) {
            moved.rows_before = rows;
        }
        plan.shared_rows_after = merged.rows;
        plan.conflicts = merged.conflicts;
        plan.all_conflicts = merged.all_conflicts;
        Ok(Outcome { plan, alike })
    }

    fn outline(&self, look: &Look, locks: LockUse, made: &crate::ClonePlan) -> TableMovePlan {
        let shared = self.pool.layout().shared();
        let members = look.fleet.members.iter();
        let links = look.links.iter();
        TableMovePlan {
            table: self.table.clone(),
            to: self.to,
            shared: shared.clone(),
            with_rows: self.copy_to_each || self.to == MoveTo::Shared,
            shared_rows_before: 0,
            shared_rows_after: 0,
            schemas: members
                .map(|member| MovedSchema {
                    schema: member.schema.clone(),
                    tenant: member.tenant.clone(),
                    rows_before: 0,
                    rows_after: 0,
                })
                .collect(),
            foreign_keys: links.map(|link| link.moved(self.to, shared)).collect(),
            conflicts: Vec::new(),
            all_conflicts: 0,
            locks,
            migrations: carry::migrations(self, look, made),
        }
    }
}

/// Fails if there are reasons to.
fn refused(mut reasons: Vec<String>) -> Result<()> {
    if reasons.is_empty() {
        return Ok(());
    }
    let all = reasons.len();
    reasons.truncate(MOST_REASONS);
    if all > MOST_REASONS {
        reasons.push(format!("and {} more", all - MOST_REASONS));
    }
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!(
            "the table cannot be moved, and nothing was changed:\n{}",
            reasons.join("\n")
        ),
    ))
}
