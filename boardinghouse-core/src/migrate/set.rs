//! The sets of migrations, read once before anything is written.

use std::{
    any::TypeId,
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use diesel::{
    migration::{Migration, MigrationSource},
    pg::Pg,
};
use diesel_migrations::{EmbeddedMigrations, FileBasedMigrations};

use super::{
    coded::TenantMigration,
    goal::{Aim, Step},
    text::{Sharing, sharing, talks_to_client},
};
use crate::{
    error::{Error, ErrorKind, Result},
    names::TenantId,
    scan,
    statement::Recorder,
};

/// What Diesel's table of migrations has room for.
const LONGEST_VERSION: usize = 50;

/// One of the sets of migrations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum SetName {
    Registry,
    Shared,
    Tenants,
    /// Of the tenants of a kind that has migrations of its own: those of all tenants, and its own.
    Kind(Arc<str>),
    /// Of a static tenant.
    Static(TenantId),
}

impl SetName {
    pub(super) const ALL: [Self; 3] = [Self::Registry, Self::Shared, Self::Tenants];
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry => f.write_str("registry"),
            Self::Shared => f.write_str("shared"),
            Self::Tenants => f.write_str("tenant"),
            Self::Kind(kind) => write!(f, "kind {kind}'s"),
            Self::Static(id) => write!(f, "static tenant {id}'s"),
        }
    }
}

/// Several sources as one: what is in them runs in the order of the versions.
pub(crate) struct Several<S>(pub(crate) Vec<S>);

impl<S: MigrationSource<Pg>> MigrationSource<Pg> for Several<S> {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        let each: diesel::migration::Result<Vec<_>> =
            self.0.iter().map(MigrationSource::migrations).collect();
        Ok(each?.into_iter().flatten().collect())
    }
}

/// Where migrations come from.
pub(super) struct Source {
    source: Box<dyn MigrationSource<Pg> + Send + Sync>,
    /// Whether all of them are files of SQL: then what they run can be known without running them.
    is_text: bool,
}

impl Source {
    pub(super) fn new<S: MigrationSource<Pg> + Send + Sync + 'static>(source: S) -> Self {
        let text = [
            TypeId::of::<EmbeddedMigrations>(),
            TypeId::of::<FileBasedMigrations>(),
            TypeId::of::<Several<FileBasedMigrations>>(),
        ];
        Self {
            source: Box::new(source),
            is_text: text.contains(&TypeId::of::<S>()),
        }
    }

    /// The migrations, as Diesel hands them out: for one thread.
    pub(super) fn migrations(&self, set: &SetName) -> Result<Vec<Box<dyn Migration<Pg>>>> {
        self.source.migrations().map_err(|error| {
            let message = format!("could not read the {set} migrations");
            Error::new(ErrorKind::Migration, message).with_source(error)
        })
    }

    fn read(&self, set: &SetName) -> Result<Vec<Arc<Entry>>> {
        self.migrations(set)?
            .iter()
            .map(|migration| {
                let code = match self.is_text {
                    true => Code::Text {
                        up: checked(
                            set,
                            &migration.name().to_string(),
                            taken_down(set, migration.as_ref(), |m, to| m.run(to))?,
                        )?,
                        // One that is missing is missed when it is needed.
                        down: taken_down(set, migration.as_ref(), |m, to| m.revert(to))
                            .ok()
                            .filter(|down| !scan::statements(&down.text).is_empty()),
                    },
                    false => Code::Opaque,
                };
                Ok(Arc::new(Entry {
                    version: migration.name().version().to_string(),
                    name: migration.name().to_string(),
                    in_transaction: migration.metadata().run_in_transaction(),
                    code,
                }))
            })
            .collect()
    }
}

type Run = fn(&dyn Migration<Pg>, &mut Recorder) -> diesel::migration::Result<()>;

fn taken_down(set: &SetName, migration: &dyn Migration<Pg>, run: Run) -> Result<Script> {
    let mut recorder = Recorder::default();
    run(migration, &mut recorder).map_err(|error| {
        let message = format!("could not read the {set} migration {}", migration.name());
        Error::new(ErrorKind::Migration, message).with_source(error)
    })?;
    Ok(Script {
        sharing: sharing(&recorder.text),
        text: recorder.text,
    })
}

/// Refuses what could not be applied, before anything is.
fn checked(set: &SetName, name: &str, script: Script) -> Result<Script> {
    if scan::statements(&script.text).is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{set} migration {name} holds no statement: write SQL into its up.sql"),
        ));
    }
    if talks_to_client(&script.text) {
        return Err(Error::new(
            ErrorKind::Migration,
            format!(
                "{set} migration {name} copies from or to the client, which nobody answers: use INSERT, or \
                 a migration in Rust"
            ),
        ));
    }
    Ok(script)
}

/// The text of a migration.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) text: String,
    pub(super) sharing: Sharing,
}

/// What a migration runs.
pub(super) enum Code {
    /// `down` is `None` where there is none.
    Text {
        up: Script,
        down: Option<Script>,
    },
    Coded(Arc<dyn TenantMigration>),
    /// Something of Diesel's that only the thread that read it can run.
    Opaque,
}

/// One migration.
pub(super) struct Entry {
    pub(super) version: String,
    pub(super) name: String,
    pub(super) in_transaction: bool,
    pub(super) code: Code,
}

/// The migrations of one set, in the order of their versions.
#[derive(Default)]
pub(super) struct Set {
    pub(super) entries: Vec<Arc<Entry>>,
    /// What schemas are brought to.
    pub(super) aim: Aim,
}

impl Set {
    /// Reads a set and refuses what could not be remembered.
    pub(super) fn read(
        name: &SetName,
        source: Option<&Source>,
        coded: &[Arc<dyn TenantMigration>],
    ) -> Result<Self> {
        let mut entries = source.map_or_else(|| Ok(Vec::new()), |source| source.read(name))?;
        entries.extend(coded.iter().map(|migration| {
            Arc::new(Entry {
                version: version_of(migration.name()),
                name: migration.name().to_owned(),
                in_transaction: true,
                code: Code::Coded(Arc::clone(migration)),
            })
        }));
        Self::checked(name, entries)
    }

    /// What the tenants of a kind have: the migrations of all tenants, and those of the kind.
    pub(super) fn with_kinds_own(&self, name: &SetName, source: &Source) -> Result<Self> {
        let mut entries = source.read(name)?;
        entries.extend(self.entries.iter().cloned());
        Self::checked(name, entries)
    }

    fn checked(name: &SetName, mut entries: Vec<Arc<Entry>>) -> Result<Self> {
        entries.sort_unstable_by(|a, b| a.version.cmp(&b.version));
        let refused = |message: String| Err(Error::new(ErrorKind::Migration, message));
        if let Some(entry) = entries
            .iter()
            .find(|entry| entry.version.is_empty() || entry.version.len() > LONGEST_VERSION)
        {
            return refused(format!(
                "the version of {name} migration {} is empty, or longer than {LONGEST_VERSION} \
                 characters, and could not be remembered",
                entry.name
            ));
        }
        if let Some(pair) = entries.windows(2).find(|p| p[0].version == p[1].version) {
            return refused(format!(
                "two {name} migrations have one version: {}, {}",
                pair[0].name, pair[1].name
            ));
        }
        Ok(Self {
            entries,
            aim: Aim::default(),
        })
    }

    /// The steps from what a schema has to the aim.
    pub(super) fn steps(&self, has: &BTreeSet<String>) -> Result<Vec<Step>> {
        self.aim.steps(self, has)
    }

    /// The position of the migration with this version.
    pub(super) fn position(&self, version: &str) -> Option<usize> {
        self.entries
            .binary_search_by(|entry| entry.version.as_str().cmp(version))
            .ok()
    }

    /// All versions, in order.
    pub(super) fn versions(&self) -> Vec<String> {
        self.entries.iter().map(|e| e.version.clone()).collect()
    }
}

/// The version that a name begins with, as Diesel reads it.
fn version_of(name: &str) -> String {
    let version = name.split('_').next().unwrap_or_default();
    version.replace('-', "")
}

/// What was read from all sources.
pub(super) type Sets = HashMap<SetName, Set>;
