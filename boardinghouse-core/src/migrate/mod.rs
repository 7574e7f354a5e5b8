//! Migrations of the fleet: registry, shared schema, template, then every tenant.

mod apply;
mod plan;
mod report;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    rc::Rc,
    time::Duration,
};

use diesel::{
    migration::{Migration, MigrationSource},
    pg::Pg,
};
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use self::{
    apply::{Run, read_histories},
    plan::SetName,
};
pub use self::{
    plan::{MigrationPlan, PlannedTarget, Selection, Target},
    report::{MigrationReport, Outcome, ReportEntry},
};
use crate::{
    error::{Error, ErrorKind, Result},
    names::{SchemaName, TenantId},
    pool::TenantPool,
    registry::PgRegistry,
    tenant::Tenant,
};

/// The registry's own tables.
const REGISTRY: EmbeddedMigrations = embed_migrations!("migrations");

/// What Diesel's table of migrations has room for.
const LONGEST_VERSION: usize = 50;

type Source = Box<dyn MigrationSource<Pg> + Send + Sync>;

/// What was read from the sources.
type Sources = HashMap<SetName, Rc<Vec<Box<dyn Migration<Pg>>>>>;

/// Runs two sets of [`diesel_migrations`]: one on the shared schema, one on the template and every
/// tenant.
///
/// Each migration runs in a transaction together with the row that remembers it, unless its
/// `metadata.toml` says `run_in_transaction = false`. The search_path during a migration is exactly
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
    lock_wait: Duration,
}

impl fmt::Debug for Migrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Migrator")
            .field("shared", &self.shared.is_some())
            .field("tenants", &self.tenants.is_some())
            .finish_non_exhaustive()
    }
}

impl Migrator {
    /// A migrator that knows no migrations yet but the registry's own.
    ///
    /// It opens a connection of its own for each run: migrations run for minutes and leave much
    /// behind in a session.
    #[must_use]
    pub fn new(pool: TenantPool) -> Self {
        Self {
            pool,
            registry: Box::new(REGISTRY),
            shared: None,
            tenants: None,
            lock_wait: Duration::from_secs(60),
        }
    }

    /// Sets the migrations of the shared schema. Defaults to none.
    #[must_use]
    pub fn shared(mut self, source: impl MigrationSource<Pg> + Send + Sync + 'static) -> Self {
        self.shared = Some(Box::new(source));
        self
    }

    /// Sets the migrations of the template and of every tenant. Defaults to none.
    #[must_use]
    pub fn tenants(mut self, source: impl MigrationSource<Pg> + Send + Sync + 'static) -> Self {
        self.tenants = Some(Box::new(source));
        self
    }

    /// Sets how long to wait for another migrator, or for tenants that are just being created, to
    /// finish. Defaults to 60 seconds.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Makes a database ready: the registry, the shared schema and an empty template. Does nothing
    /// where they are there.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionFailed`], [`ErrorKind::Locked`], [`ErrorKind::Migration`] when the
    /// registry cannot be created, and [`ErrorKind::Database`].
    pub fn init(&self) -> Result<MigrationReport> {
        let progress = &mut |_: &ReportEntry| {};
        let mut run = Run::start(self, self.read(&[SetName::Registry])?, progress)?;
        run.create_own_schemas()?;
        run.visit(Target::Registry);
        Ok(run.into_report())
    }

    /// Finds out what is pending. Writes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`] when a tenant of the selection is not registered,
    /// [`ErrorKind::Migration`] when the migrations cannot be read,
    /// [`ErrorKind::ConnectionFailed`] and [`ErrorKind::Database`].
    pub fn plan(&self, selection: &Selection) -> Result<MigrationPlan> {
        let targets = self.targets(selection)?;
        let mut conn = self.pool.get_shared()?;
        let schemas: Vec<SchemaName> = targets.iter().map(Target::schema).collect();
        let histories = read_histories(&mut conn, &schemas)?;
        let names: HashMap<SetName, Vec<(String, String)>> = self
            .read(&SetName::ALL)?
            .into_iter()
            .map(|(set, migrations)| {
                let names = migrations
                    .iter()
                    .map(|m| (version(&**m), m.name().to_string()));
                (set, names.collect())
            })
            .collect();
        let targets = targets
            .into_iter()
            .zip(schemas)
            .map(|(target, schema)| {
                let (exists, applied) = histories
                    .get(&schema)
                    .map_or((false, Vec::new()), |versions| (true, versions.clone()));
                let all = names
                    .get(&SetName::of(&target))
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                let pending = all.iter().filter(|(version, _)| !applied.contains(version));
                let pending = pending.map(|(_, name)| name.clone()).collect();
                let known: HashSet<&str> =
                    all.iter().map(|(version, _)| version.as_str()).collect();
                let unknown = applied.iter().filter(|v| !known.contains(v.as_str()));
                let unknown = unknown.cloned().collect();
                PlannedTarget {
                    target,
                    exists,
                    applied,
                    pending,
                    unknown,
                }
            })
            .collect();
        Ok(MigrationPlan {
            targets,
            selection: selection.clone(),
        })
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

    /// Does what a plan says. What happened since it was made is taken into account: tenants that
    /// were created meanwhile join, and what is applied already is not applied again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Locked`] when another migrator runs, [`ErrorKind::TenantNotFound`] when a
    /// tenant of the selection is gone, [`ErrorKind::ConnectionFailed`] and
    /// [`ErrorKind::Database`]. What goes wrong in one schema is in the report instead.
    pub fn apply(&self, plan: &MigrationPlan) -> Result<MigrationReport> {
        self.apply_with(&plan.selection, &mut |_| {})
    }

    /// As [`run_selected`](Self::run_selected), telling `progress` about each schema when it is
    /// done.
    ///
    /// # Errors
    ///
    /// Those of [`apply`](Self::apply).
    pub fn apply_with(
        &self,
        selection: &Selection,
        progress: &mut dyn FnMut(&ReportEntry),
    ) -> Result<MigrationReport> {
        // All sources are read before anything is written, and once for all schemas.
        let mut run = Run::start(self, self.read(&SetName::ALL)?, progress)?;
        let registry = PgRegistry::new(self.pool.clone());
        match selection {
            Selection::All => {
                run.create_own_schemas()?;
                if run.visit(Target::Registry) && run.visit(self.shared_target()) {
                    self.template_then_tenants(&mut run, &registry)?;
                }
            }
            Selection::Shared => {
                run.create_own_schemas()?;
                if run.visit(Target::Registry) {
                    run.visit(self.shared_target());
                }
            }
            Selection::Tenants => {
                registry.require()?;
                self.template_then_tenants(&mut run, &registry)?;
            }
            Selection::Only(ids) => run.visit_tenants(&self.named(ids)?),
        }
        Ok(run.into_report())
    }

    /// The tenants are listed when the template is done: whoever was cloned from it before is in the
    /// list, whoever is cloned later is at the newest version.
    fn template_then_tenants(&self, run: &mut Run<'_>, registry: &PgRegistry) -> Result<()> {
        let migrated = run.visit(self.template_target());
        let tenants = registry.list()?;
        if migrated {
            run.look_at_template();
            run.visit_tenants(&tenants);
        } else {
            for tenant in &tenants {
                run.skip(
                    Target::tenant(tenant),
                    "the template could not be migrated".into(),
                );
            }
        }
        Ok(())
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

    fn named(&self, ids: &[TenantId]) -> Result<Vec<Tenant>> {
        let registry = PgRegistry::new(self.pool.clone());
        ids.iter().map(|id| registry.get(id)).collect()
    }

    fn targets(&self, selection: &Selection) -> Result<Vec<Target>> {
        let registry = PgRegistry::new(self.pool.clone());
        let all = || -> Result<Vec<Target>> {
            if !registry.is_initialized()? {
                return Ok(Vec::new());
            }
            let schemas = registry.schemas()?.into_iter();
            Ok(schemas
                .map(|(id, schema)| Target::Tenant { id, schema })
                .collect())
        };
        Ok(match selection {
            Selection::All => {
                let mut targets = vec![
                    Target::Registry,
                    self.shared_target(),
                    self.template_target(),
                ];
                targets.extend(all()?);
                targets
            }
            Selection::Shared => vec![Target::Registry, self.shared_target()],
            Selection::Tenants => std::iter::once(self.template_target())
                .chain(all()?)
                .collect(),
            Selection::Only(ids) => self.named(ids)?.iter().map(Target::tenant).collect(),
        })
    }

    /// The migrations of several sets.
    fn read(&self, sets: &[SetName]) -> Result<Sources> {
        sets.iter()
            .map(|&set| Ok((set, Rc::new(self.migrations(set)?))))
            .collect()
    }

    /// The migrations of a set, in the order of their versions.
    fn migrations(&self, set: SetName) -> Result<Vec<Box<dyn Migration<Pg>>>> {
        let source = match set {
            SetName::Registry => Some(&self.registry),
            SetName::Shared => self.shared.as_ref(),
            SetName::Tenants => self.tenants.as_ref(),
        };
        let Some(source) = source else {
            return Ok(Vec::new());
        };
        let mut migrations = source.migrations().map_err(|error| {
            Error::new(
                ErrorKind::Migration,
                format!("could not read the {set} migrations"),
            )
            .with_source(error)
        })?;
        migrations.sort_unstable_by_key(|migration| version(&**migration));
        let long = migrations
            .iter()
            .find(|migration| version(migration.as_ref()).len() > LONGEST_VERSION);
        if let Some(migration) = long {
            return Err(Error::new(
                ErrorKind::Migration,
                format!(
                    "the version of {set} migration {} is longer than {LONGEST_VERSION} characters, \
                     and could not be remembered",
                    migration.name()
                ),
            ));
        }
        let twice = migrations
            .windows(2)
            .find(|pair| version(&*pair[0]) == version(&*pair[1]));
        if let Some(pair) = twice {
            return Err(Error::new(
                ErrorKind::Migration,
                format!(
                    "two {set} migrations have one version: {}, {}",
                    pair[0].name(),
                    pair[1].name()
                ),
            ));
        }
        Ok(migrations)
    }
}

fn version(migration: &dyn Migration<Pg>) -> String {
    migration.name().version().to_string()
}
