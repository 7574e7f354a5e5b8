//! Migrations of the fleet: registry, shared schema, static tenants, templates, then every tenant.

mod apply;
mod atomic;
mod batch;
mod coded;
mod diagnose;
mod failure;
mod filter;
mod fleet;
mod goal;
mod group;
mod kinds;
mod ledger;
mod plan;
mod planning;
mod queue;
mod report;
mod run;
mod set;
mod statics;
mod tenants;
mod text;
mod transaction;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use diesel::{PgConnection, migration::MigrationSource, pg::Pg};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

pub(crate) use self::ledger::LockBudget;
pub(crate) use self::set::Several;
pub use self::{
    coded::{MigrationContext, TenantMigration},
    filter::{Limit, TenantFilter},
    goal::Goal,
    group::{Group, OnError},
    plan::{MigrationPlan, PlannedTarget, Selection, Target},
    report::{FailedMigration, LockUse, MigrationReport, Outcome, ReportEntry, RunEvent},
};
use self::{
    kinds::KindSet,
    run::Run,
    set::{Set, SetName, Sets, Source},
    statics::StaticSet,
};
use crate::{
    error::{Error, ErrorKind, Result},
    lock,
    names::TenantId,
    pool::TenantPool,
    registry,
    statics::StaticTenants,
    tenant::Tenant,
};

/// The registry's own tables.
const REGISTRY: EmbeddedMigrations = embed_migrations!("migrations");

/// How many tenants a batch holds at the most.
const BATCH_SIZE: usize = 32;

/// How long a batch waits for a lock: meanwhile, all of its tenants are locked.
const BATCH_LOCK_TIMEOUT: Duration = Duration::from_millis(100);

/// What the application runs around the migrations of a schema.
type Hook = dyn Fn(&mut PgConnection, &MigrationContext<'_>) -> Result<()> + Send + Sync;

/// The ids of the tenants that a filter lets through, in its order.
pub(crate) fn matching<C: registry::PgQueries>(
    conn: &mut C,
    filter: &TenantFilter,
) -> Result<Vec<TenantId>> {
    ledger::check_names(conn, filter)?;
    let members = ledger::members(conn, filter, &[])?;
    Ok(members.into_iter().map(|member| member.id).collect())
}

#[derive(Default)]
struct Hooks {
    before: Option<Box<Hook>>,
    after: Option<Box<Hook>>,
}

impl Hooks {
    fn any(&self) -> bool {
        self.before.is_some() || self.after.is_some()
    }
}

/// Runs two sets of [`diesel_migrations`]: one on the shared schema, one on the template and every
/// tenant.
///
/// Each migration runs in a transaction together with the row that remembers it, unless its
/// `metadata.toml` says `run_in_transaction = false`. Migrations that are files of SQL, and that leave
/// nothing in the session, are sent for several tenants at once, in one transaction: if it fails, they are
/// tried in two parts, and at last alone, so that what fails, fails alone.
///
/// Who has which migrations is read from the ledger, a table in the registry, in one query for any number
/// of tenants; where it says nothing about a tenant, the tenant's own table is asked. The search_path during a migration is exactly
/// the one schema and the layout's extra schemas, and is proven: nothing can fall through to the
/// shared schema. Unqualified names are right for every tenant; a shared table is written as
/// `public.users`.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{Migrator, TenantPool};
/// use diesel_migrations::FileBasedMigrations;
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let report = Migrator::new(pool)
///     .shared(FileBasedMigrations::from_path("migrations/shared")?)
///     .tenants(FileBasedMigrations::from_path("migrations/tenant")?)
///     .run()?;
/// for failed in report.failures() {
///     eprintln!("{}: {}", failed.target, failed.error_message());
/// }
/// report.into_result()?; // or go on without them
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Migrator {
    pool: TenantPool,
    registry: Source,
    shared: Option<Source>,
    tenants: Option<Source>,
    kinds: Vec<KindSet>,
    statics: Vec<StaticSet>,
    coded: Vec<Arc<dyn TenantMigration>>,
    lock_wait: Duration,
    lock_timeout: Duration,
    jobs: usize,
    batch_size: usize,
    on_error: OnError,
    max_failures: Option<usize>,
    pace: Duration,
    order_by: Option<String>,
    goal: Goal,
    reconcile: bool,
    atomic: bool,
    groups: Vec<Group>,
    hooks: Hooks,
    stop: Arc<AtomicBool>,
}

impl fmt::Debug for Migrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migrator")
            .field("shared", &self.shared.is_some())
            .field("tenants", &self.tenants.is_some())
            .field("kinds", &self.kinds.len())
            .field("statics", &self.statics.len())
            .field("goal", &self.goal)
            .finish_non_exhaustive()
    }
}

impl Migrator {
    /// A migrator that knows no migrations yet but the registry's own.
    ///
    /// It opens connections of its own for each run, one for each job and one more: migrations run for
    /// minutes and leave much behind in a session.
    #[must_use]
    pub fn new(pool: TenantPool) -> Self {
        Self {
            pool,
            registry: Source::new(REGISTRY),
            shared: None,
            tenants: None,
            kinds: Vec::new(),
            statics: Vec::new(),
            coded: Vec::new(),
            lock_wait: Duration::from_secs(60),
            lock_timeout: Duration::from_millis(500),
            jobs: 4,
            batch_size: BATCH_SIZE,
            on_error: OnError::default(),
            max_failures: None,
            pace: Duration::ZERO,
            order_by: None,
            goal: Goal::default(),
            reconcile: false,
            atomic: false,
            groups: Vec::new(),
            hooks: Hooks::default(),
            stop: Arc::default(),
        }
    }

    /// Sets the migrations of the shared schema. Defaults to none.
    #[must_use]
    pub fn shared(mut self, source: impl MigrationSource<Pg> + Send + Sync + 'static) -> Self {
        self.shared = Some(Source::new(source));
        self
    }

    /// Sets the migrations of the templates and of every tenant. Defaults to none.
    ///
    /// Those of [`EmbeddedMigrations`] and
    /// [`FileBasedMigrations`](diesel_migrations::FileBasedMigrations) are known to be text, and can share
    /// a transaction; those of any other source are run one tenant at a time on each connection.
    #[must_use]
    pub fn tenants(mut self, source: impl MigrationSource<Pg> + Send + Sync + 'static) -> Self {
        self.tenants = Some(Source::new(source));
        self
    }

    /// Adds migrations that only tenants of a [kind](crate::Tenant::kind) get, besides those of all tenants: both
    /// in the order of their versions, of which none may be in both sets. Tenants of no kind, and of a kind
    /// without migrations, get those of all tenants alone.
    ///
    /// The kind has a template of its own, [`Layout::kind_template`](crate::Layout::kind_template). A run of
    /// everything, or of all tenants, makes it from the migrations where it is missing, and from then on tenants
    /// of the kind are cloned from it. Clones that [wait for tenants](crate::Provisioner::keep_ready) are of the
    /// template of everybody, and are not for tenants of the kind.
    ///
    /// A tenant whose kind was changed gets what it lacks of the new kind's. What it had of the old one stays,
    /// and is [told of](PlannedTarget::of_other_kinds). What is called alike replaces what was added before.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::kind_template`](crate::Layout::kind_template), for a kind that cannot have a template.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Migrator, TenantPool};
    /// use diesel_migrations::FileBasedMigrations;
    ///
    /// let pool = TenantPool::builder().build("postgres://localhost/app")?;
    /// Migrator::new(pool)
    ///     .tenants(FileBasedMigrations::from_path("migrations/tenant")?)
    ///     .kind("shop", FileBasedMigrations::from_path("migrations/shop")?)?
    ///     .kind("clinic", FileBasedMigrations::from_path("migrations/clinic")?)?
    ///     .run_at_start()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kind(
        mut self,
        kind: &str,
        source: impl MigrationSource<Pg> + Send + Sync + 'static,
    ) -> Result<Self> {
        let template = self.pool.layout().kind_template(kind)?;
        self.put_kind(KindSet {
            name: kind.into(),
            template,
            source: Source::new(source),
        });
        Ok(self)
    }

    /// Adds a [tenant of the configuration](crate::StaticTenants) with its own migrations. They run after those of the
    /// shared schema, on a path that is its schema alone, which is created where it is missing. Runs of
    /// everything visit it, and those of [`Selection::Static`]; those of the tenants do not.
    ///
    /// What is called alike replaces what was added before. Nothing is done to a schema that is that of a
    /// tenant of the registry, or of another role.
    ///
    /// A static tenant has no epoch that a migration could advance: an application that changes the types of
    /// columns that it has read is to be started anew, as with the shared schema.
    #[must_use]
    pub fn static_tenant(
        mut self,
        tenant: &Tenant,
        source: impl MigrationSource<Pg> + Send + Sync + 'static,
    ) -> Self {
        self.put_static(StaticSet::new(tenant, Some(Source::new(source))));
        self
    }

    /// Adds all tenants of the configuration. Their migrations are read from the directories that it names;
    /// the schema of one that has none is created, and left as it is.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when a directory is missing, or holds what is no migration.
    pub fn static_tenants(mut self, statics: &StaticTenants) -> Result<Self> {
        for tenant in statics {
            self.put_static(StaticSet::read(tenant)?);
        }
        Ok(self)
    }

    /// Adds a migration that is written in Rust to those of the tenants.
    #[must_use]
    pub fn tenant_migration(mut self, migration: impl TenantMigration + 'static) -> Self {
        self.coded.push(Arc::new(migration));
        self
    }

    /// Sets how long to wait for another migrator, or for tenants that are just being created, to
    /// finish; and for how long a tenant is tried again while somebody holds a lock that its migration
    /// needs. Defaults to 60 seconds.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Sets how long one statement of a migration waits for a lock (PostgreSQL manual, 20.11.1
    /// "Statement Behavior": `lock_timeout`), after which the tenant is tried again later. Whoever uses the
    /// table after that statement waits as long. Defaults to 500 milliseconds: less than after what the
    /// server looks for deadlocks, so that it is never a request that is cancelled for one. Not for
    /// migrations without a transaction: one that is interrupted may leave half of its work behind.
    #[must_use]
    pub fn lock_timeout(mut self, wait: Duration) -> Self {
        self.lock_timeout = wait;
        self
    }

    /// Sets how many tenants, or batches of them, are migrated at once, each on a connection of its own.
    /// At least 1. Defaults to 4.
    #[must_use]
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }

    /// Sets how many tenants one transaction may migrate at the most. Fewer do where the server has not
    /// room for that many locks, or where it would take longer than about a tenth of a second. At least 1.
    /// Defaults to 32.
    #[must_use]
    pub fn batch_size(mut self, tenants: usize) -> Self {
        self.batch_size = tenants.max(1);
        self
    }

    /// Sets what happens when a tenant fails. Defaults to going on.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// Stops when more than this many tenants have failed. Defaults to never.
    #[must_use]
    pub fn max_failures(mut self, most: usize) -> Self {
        self.max_failures = Some(most);
        self
    }

    /// Makes each job wait after each batch, and batches short, so that requests are held up less.
    /// Defaults to no pause.
    #[must_use]
    pub fn pace(mut self, pause: Duration) -> Self {
        self.pace = pause.min(lock::LONGEST_WAIT);
        self
    }

    /// Sets the order in which all tenants are visited, as [`TenantFilter::order_by`] does for some.
    /// Defaults to that of their ids.
    #[must_use]
    pub fn order_by(mut self, attribute: impl Into<String>) -> Self {
        self.order_by = Some(attribute.into());
        self
    }

    /// The filter that lets all tenants through.
    fn everybody(&self) -> TenantFilter {
        let filter = TenantFilter::new();
        match &self.order_by {
            Some(attribute) => filter.order_by(attribute),
            None => filter,
        }
    }

    /// Sets what schemas are brought to. Defaults to the newest version.
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goal = goal;
        self
    }

    /// Asks every schema itself what it has, and writes the ledger anew, for when somebody has changed a
    /// schema's table of migrations by hand. Defaults to false.
    #[must_use]
    pub fn reconcile(mut self, reconcile: bool) -> Self {
        self.reconcile = reconcile;
        self
    }

    /// Migrates the templates and all tenants of the selection in one transaction: all of them, or none. The
    /// registry and the shared schema come before that, each for itself.
    ///
    /// Every table that a migration changes stays locked, in all tenants, until all of them are done. The
    /// server must have room for the locks: that is foretold after the first few schemas, and the run is
    /// refused with [`ErrorKind::InvalidInput`] where there is not. Groups, jobs and hooks have no effect;
    /// only migrations that are files of SQL and run in a transaction can take part. Defaults to false.
    #[must_use]
    pub fn atomic(mut self, atomic: bool) -> Self {
        self.atomic = atomic;
        self
    }

    /// Adds a group that is migrated before the rest, and after the groups that were added before.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.groups.push(group);
        self
    }

    /// Sets what is run before the migrations of each schema that has something to be done, in a transaction
    /// of its own, on a path that is that schema alone. An error keeps the schema as it is. With a hook,
    /// tenants share no transaction.
    #[must_use]
    pub fn before_each(
        mut self,
        hook: impl Fn(&mut PgConnection, &MigrationContext<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.before = Some(Box::new(hook));
        self
    }

    /// As [`before_each`](Self::before_each), after the migrations, for example to refresh materialised
    /// views. An error is reported; the migrations stay.
    #[must_use]
    pub fn after_each(
        mut self,
        hook: impl Fn(&mut PgConnection, &MigrationContext<'_>) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.hooks.after = Some(Box::new(hook));
        self
    }

    /// A switch that ends this migrator's runs early, from another thread or a signal handler: set it to `true`. What is
    /// being worked on is finished, the rest is left, and running again goes on there.
    #[must_use]
    pub fn stop_switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Makes a database ready: the registry, the shared schema and an empty template. Does nothing
    /// where they are there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionFailed`], [`ErrorKind::Locked`], [`ErrorKind::Migration`] when the
    /// registry cannot be created, and [`ErrorKind::Database`].
    pub fn init(&self) -> Result<MigrationReport> {
        let sets = self.read_sets()?;
        let mut tell = |_: &RunEvent<'_>| {};
        let mut run = Run::start(self, &sets, Run::lock(self)?, &mut tell);
        run.init()?;
        Ok(run.into_report())
    }

    /// Finds out what is pending. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`] when a tenant of the selection is not registered,
    /// [`ErrorKind::InvalidInput`] when the goal is a version that there is none of,
    /// [`ErrorKind::Migration`] when the migrations cannot be read,
    /// [`ErrorKind::ConnectionFailed`] and [`ErrorKind::Database`].
    pub fn plan(&self, selection: &Selection) -> Result<MigrationPlan> {
        self.plan_by(selection, self.reconcile)
    }

    /// Makes the database ready and brings everything to the newest version.
    ///
    /// `Ok` says that the run took place, not that every schema was migrated: what failed is in the
    /// report. [`MigrationReport::into_result`] makes an error of the first failure.
    ///
    /// # Errors
    ///
    /// Those of [`init`](Self::init), [`plan`](Self::plan) and [`apply`](Self::apply). A tenant that
    /// fails is in the report.
    pub fn run(&self) -> Result<MigrationReport> {
        self.run_selected(&Selection::All)
    }

    /// As [`run`](Self::run), for a part of the fleet.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run).
    pub fn run_selected(&self, selection: &Selection) -> Result<MigrationReport> {
        self.apply_with(selection, &mut |_| {})
    }

    /// For an application that migrates when it starts: several processes may do so at once. One does the
    /// work, the others wait for it, as long as [`lock_wait`](Self::lock_wait) allows, and then find
    /// nothing to do. Fails when any schema could not be migrated.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), and the first failure of the run.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{Migrator, TenantPool};
    /// # use diesel_migrations::FileBasedMigrations;
    /// # use std::time::Duration;
    /// # fn start(pool: TenantPool, tenant: FileBasedMigrations) -> Result<(), boardinghouse_core::Error> {
    /// let migrator = Migrator::new(pool).tenants(tenant).lock_wait(Duration::from_secs(600));
    /// migrator.run_at_start()?; // or, where another program migrates: migrator.require_current()?
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_at_start(&self) -> Result<()> {
        self.run()?.into_result()
    }

    /// For an application that must not start on schemas that are behind: fails unless everything is at the
    /// newest version. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::MigrationsPending`], with the number of schemas that are behind and the first of them,
    /// and those of [`plan`](Self::plan).
    pub fn require_current(&self) -> Result<()> {
        let plan = self.plan(&Selection::All)?;
        let mut behind = plan.targets.iter().filter(|planned| !planned.is_done());
        let Some(first) = behind.next() else {
            return Ok(());
        };
        let others = behind.count();
        let what = first.pending.first().map_or("its schema", String::as_str);
        let more = match others {
            0 => String::new(),
            count => format!(", and {count} more schemas are behind"),
        };
        Err(Error::new(
            ErrorKind::MigrationsPending,
            format!(
                "{} lacks {what}{more}: run `boardinghouse migrate` first",
                first.target
            ),
        ))
    }

    /// Does what a plan says. What happened since it was made is taken into account: tenants that
    /// were created meanwhile join, and what is applied already is not applied again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`] when another migrator runs, [`ErrorKind::TenantNotFound`] when a
    /// tenant of the selection is gone, [`ErrorKind::InvalidInput`] when the plan was made for another goal,
    /// [`ErrorKind::ConnectionFailed`] and [`ErrorKind::Database`]. What goes wrong in one schema is in the
    /// report instead.
    pub fn apply(&self, plan: &MigrationPlan) -> Result<MigrationReport> {
        if plan.goal != self.goal {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "the plan was made for another goal than this migrator has",
            ));
        }
        self.apply_with(&plan.selection, &mut |_| {})
    }

    /// As [`run_selected`](Self::run_selected), telling what happens while it goes on.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Self::apply).
    pub fn apply_with(
        &self,
        selection: &Selection,
        tell: &mut dyn FnMut(&RunEvent<'_>),
    ) -> Result<MigrationReport> {
        // All sources are read before anything is written.
        let mut sets = self.read_sets()?;
        self.check_goal(selection, &sets)?;
        let mut guard = Run::lock(self)?;
        let resume = self.take_aim(&mut guard.pg, selection, &mut sets)?;
        let mut run = Run::start(self, &sets, guard, tell);
        run.resume = resume;
        run.over(selection)?;
        Ok(run.into_report())
    }

    fn batch_lock_timeout(&self) -> Duration {
        self.lock_timeout.min(BATCH_LOCK_TIMEOUT)
    }

    fn shared_target(&self) -> Target {
        Target::Shared {
            schema: self.pool.layout().shared().clone(),
        }
    }

    fn template_target(&self) -> Target {
        Target::Template {
            schema: self.pool.layout().template().clone(),
        }
    }

    /// Where the migrations of a set come from, other than those that are written in Rust.
    fn sources(&self, set: &SetName) -> Vec<&Source> {
        let tenants = self.tenants.as_ref();
        let (one, other) = match set {
            SetName::Registry => (Some(&self.registry), None),
            SetName::Shared => (self.shared.as_ref(), None),
            SetName::Tenants => (tenants, None),
            SetName::Kind(kind) => (tenants, self.kind_set(kind).map(|set| &set.source)),
            SetName::Static(id) => (
                self.static_set(id).and_then(|set| set.source.as_ref()),
                None,
            ),
        };
        one.into_iter().chain(other).collect()
    }

    fn read_sets(&self) -> Result<Sets> {
        let statics = self.statics.iter();
        let mut sets = SetName::ALL
            .into_iter()
            .chain(statics.map(|set| SetName::Static(set.id.clone())))
            .map(|name| {
                let coded = match name {
                    SetName::Tenants => self.coded.as_slice(),
                    _ => &[],
                };
                let set = Set::read(&name, self.sources(&name).pop(), coded)?;
                Ok((name, set))
            })
            .collect::<Result<Sets>>()?;
        for kind in &self.kinds {
            let name = SetName::Kind(Arc::clone(&kind.name));
            let set = sets[&SetName::Tenants].with_kinds_own(&name, &kind.source)?;
            sets.insert(name, set);
        }
        Ok(sets)
    }
}
