//! From options to the types of `boardinghouse-core`.

use std::{
    cell::OnceCell,
    path::{Path, PathBuf},
};

use boardinghouse_core::{
    Address, Error, ErrorKind, Layout, Migrator, ObjectKind, PgRegistry, Result, StaticTenants,
    Template, TenantId, TenantPool,
};
use diesel_migrations::{FileBasedMigrations, MigrationError};

use crate::{args::Globals, config::Config, exit::Failure};

/// Where migrations are looked for.
const MIGRATIONS: &str = "migrations";
pub(crate) const FOLDERS: [&str; 2] = [SHARED, TENANT];
const SHARED: &str = "shared";
const TENANT: &str = "tenant";

/// For how many tenants something is done at once, each on a connection of its own.
const JOBS: u32 = 4;

/// Where Diesel remembers which migrations it has run.
const DIESELS_TABLE: &str = "__diesel_schema_migrations";

/// Which migrations a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// And what static tenants have of their own.
    Both,
    Shared,
    Tenants,
    /// Neither: what static tenants have of their own.
    Static,
}

/// What the options say. Nothing is connected to before it is needed.
#[derive(Debug)]
pub(crate) struct Context {
    globals: Globals,
    config: Config,
    layout: Layout,
    statics: StaticTenants,
    pool: OnceCell<TenantPool>,
}

impl Context {
    /// Options and variables win over the configuration file.
    pub(crate) fn new(globals: Globals) -> Result<Self, Failure> {
        let config = Config::load(globals.config.as_deref())?;
        let mut names = config.layout.clone();
        names.shared = globals.shared_schema.clone().or(names.shared);
        names.template = globals.template_schema.clone().or(names.template);
        names.prefix = globals.schema_prefix.clone().or(names.prefix);
        if !globals.extra_schema.is_empty() {
            names.extra.clone_from(&globals.extra_schema);
        }
        if !globals.reserved.is_empty() {
            names.reserved.clone_from(&globals.reserved);
        }
        let layout = names.layout()?;
        let statics = match &config.file {
            Some(file) => StaticTenants::load(file, &layout)?,
            None => StaticTenants::default(),
        };
        Ok(Self {
            layout: layout.with_static(&statics)?,
            statics,
            globals,
            config,
            pool: OnceCell::new(),
        })
    }

    /// What the configuration file says.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The tenants that the configuration file names.
    pub(crate) fn statics(&self) -> &StaticTenants {
        &self.statics
    }

    /// Fails for an address that leads to a tenant of the configuration file: it would to no other.
    pub(crate) fn must_not_be_static(&self, address: &Address) -> Result<()> {
        let statics = self.statics();
        let found = statics
            .by_address(&address.domain, address.folder.as_ref())
            .or_else(|| {
                let whole = address.folder.is_none();
                whole.then(|| statics.fallback_for(&address.domain))?
            });
        match found {
            None => Ok(()),
            Some(found) => Err(Error::new(
                ErrorKind::TenantExists,
                format!(
                    "domain {address} leads to static tenant {} already",
                    found.tenant.id()
                ),
            )),
        }
    }

    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// The database's URL.
    pub(crate) fn url(&self) -> Result<&str> {
        let url = self.globals.database_url.as_deref();
        // For libpq an empty string means some database.
        let url = url.filter(|url| !url.trim().is_empty()).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidInput,
                "no database: set DATABASE_URL, or pass --database-url",
            )
        })?;
        // libpq would take another kind of URL for a connection string, and print it in its error.
        if let Some((scheme, _)) = url.split_once("://")
            && !["postgres", "postgresql"].contains(&scheme)
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the database URL begins with {scheme}://, not with postgres://"),
            ));
        }
        Ok(url)
    }

    /// The pool; connects when it is first asked for.
    pub(crate) fn pool(&self) -> Result<TenantPool> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool.clone());
        }
        let pool = TenantPool::builder()
            .layout(self.layout.clone())
            .max_size(JOBS)
            // One command is over before it would hear of anything.
            .without_listener()
            .build(self.url()?)?;
        Ok(self.pool.get_or_init(|| pool).clone())
    }

    /// For how many tenants something is done at once.
    pub(crate) fn jobs(&self) -> usize {
        JOBS as usize
    }

    pub(crate) fn registry(&self) -> Result<PgRegistry> {
        self.pool().map(PgRegistry::new)
    }

    /// A migrator with the migrations that are needed, which must be there.
    pub(crate) fn migrator(&self, need: Need) -> Result<Migrator> {
        let dir = self.migrations_dir();
        if need == Need::Static && self.statics.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "there is no static tenant: boardinghouse.toml names them, in sections such as [static.www]",
            ));
        }
        let shared = matches!(need, Need::Both | Need::Shared)
            .then(|| source(dir, SHARED))
            .transpose()?;
        let tenants = matches!(need, Need::Both | Need::Tenants)
            .then(|| source(dir, TENANT))
            .transpose()?;
        let mut migrator = Migrator::new(self.pool()?);
        if let Some(source) = shared {
            migrator = migrator.shared(source);
        }
        if let Some(source) = tenants {
            migrator = migrator.tenants(source);
            for (kind, dir) in &self.config.kinds {
                migrator = migrator.kind(kind, kind_source(kind, dir)?)?;
            }
        }
        if matches!(need, Need::Both | Need::Static) {
            migrator = migrator.static_tenants(&self.statics)?;
        }
        Ok(migrator)
    }

    /// Whether there are static tenants, and no migrations of anybody else.
    pub(crate) fn has_static_tenants_alone(&self) -> bool {
        let named = self.globals.migrations.is_some() || self.config.migrations.is_some();
        let usual = FOLDERS.map(|folder| Path::new(MIGRATIONS).join(folder));
        let others = named || !self.config.kinds.is_empty();
        !self.statics.is_empty() && !others && !usual.iter().any(|path| path.is_dir())
    }

    /// The migrations whose tables are printed, shared ones first: those of tenants are the ones that all have,
    /// and what kinds have besides.
    pub(crate) fn printed_sources(&self) -> Result<[Vec<FileBasedMigrations>; 2]> {
        let dir = self.migrations_dir();
        let shared = source(dir, SHARED)?;
        let mut tenants = vec![source(dir, TENANT)?];
        let printed = self.config.print_schema.kinds.as_ref();
        let is_printed = |kind: &String| printed.is_none_or(|printed| printed.contains(kind));
        for (kind, dir) in self
            .config
            .kinds
            .iter()
            .filter(|(kind, _)| is_printed(kind))
        {
            tenants.push(kind_source(kind, dir)?);
        }
        Ok([vec![shared], tenants])
    }

    /// The shared migrations, where there are any, and those of a static tenant.
    pub(crate) fn static_sources(&self, id: &TenantId) -> Result<[Vec<FileBasedMigrations>; 2]> {
        let own = migrations_in(&self.static_migrations(id)?)?;
        let shared = match self.has_static_tenants_alone() {
            true => Vec::new(),
            false => vec![source(self.migrations_dir(), SHARED)?],
        };
        Ok([shared, vec![own]])
    }

    /// The folder of a static tenant's migrations, whether it is there or not.
    pub(crate) fn static_migrations(&self, id: &TenantId) -> Result<PathBuf> {
        let found = self.statics.get(id).ok_or_else(|| {
            let message = format!(
                "there is no static tenant {id}: boardinghouse.toml names them, in sections such as [static.www]"
            );
            Error::new(ErrorKind::TenantNotFound, message).with_tenant(id)
        })?;
        found.migrations.clone().ok_or_else(|| {
            let message = format!("static tenant {id} names no `migrations` in boardinghouse.toml");
            Error::new(ErrorKind::InvalidInput, message).with_tenant(id)
        })
    }

    /// The two folders of migrations, the shared one first.
    pub(crate) fn folders(&self) -> Result<[PathBuf; 2]> {
        let dir = self.migrations_dir();
        Ok([folder(dir, SHARED)?, folder(dir, TENANT)?])
    }

    /// A migrator with all migrations; `None` where no directory was named and the usual one does
    /// not hold both folders: it may be there for something else.
    pub(crate) fn migrator_if_any(&self) -> Result<Option<Migrator>> {
        let usual = || FOLDERS.map(|folder| Path::new(MIGRATIONS).join(folder));
        let named = self.globals.migrations.is_some() || self.config.migrations.is_some();
        if !named && !usual().iter().all(|path| path.is_dir()) {
            return Ok(None);
        }
        self.migrator(Need::Both).map(Some)
    }

    /// Whether tenants that are cloned now get tables, other than Diesel's.
    pub(crate) fn template_has_tables(&self) -> Result<bool> {
        let template = Template::new(self.layout.template().clone());
        let plan = template.compile(&mut *self.pool()?.get_shared()?)?;
        let mut tables = plan
            .steps()
            .iter()
            .filter(|s| s.object == ObjectKind::Table);
        Ok(tables.any(|step| !plan.statement(step, plan.source()).contains(DIESELS_TABLE)))
    }

    /// What a person may have meant by the id of a tenant that is not there.
    pub(crate) fn suggest(&self, id: &TenantId) -> Option<String> {
        let near = self.registry().and_then(|r| r.nearest(id)).ok()?;
        let names: Vec<String> = near.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
    }

    /// The directory of migrations, whether it is there or not.
    pub(crate) fn migrations_dir(&self) -> &Path {
        let dir = self.globals.migrations.as_deref();
        dir.or(self.config.migrations.as_deref())
            .unwrap_or(Path::new(MIGRATIONS))
    }
}

/// One of the two folders, which must be there.
fn folder(dir: &Path, folder: &str) -> Result<PathBuf> {
    let path = dir.join(folder);
    if !path.is_dir() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "there is no folder {}: migrations are expected in {} for the shared schema and in {} \
                 for the tenants; create both, or say with --migrations where they are",
                path.display(),
                dir.join(SHARED).display(),
                dir.join(TENANT).display(),
            ),
        ));
    }
    Ok(path)
}

fn source(dir: &Path, name: &str) -> Result<FileBasedMigrations> {
    migrations_in(&folder(dir, name)?)
}

fn kind_source(kind: &str, path: &Path) -> Result<FileBasedMigrations> {
    if !path.is_dir() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!(
                "there is no folder {}, which the configuration names for the migrations of kind {kind}",
                path.display()
            ),
        ));
    }
    migrations_in(path)
}

fn migrations_in(path: &Path) -> Result<FileBasedMigrations> {
    FileBasedMigrations::from_path(path).map_err(|error| {
        let message = match &error {
            MigrationError::UnknownMigrationFormat(entry) => {
                format!("{} is no migration", entry.display())
            }
            _ => format!("could not read the migrations in {}", path.display()),
        };
        Error::new(ErrorKind::InvalidInput, message).with_source(error)
    })
}
