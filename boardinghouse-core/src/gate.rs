//! Whether the tenants have what this program's `table!` definitions need.

mod require;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use serde::{Deserialize, Serialize};

pub use self::require::{RequiredColumn, RequiredColumns, RequiredType, Requirement, Requirements};
use crate::{
    catalog::fleet,
    error::{Error, ErrorKind, Result},
    kinds,
    migrate::Target,
    names::SchemaName,
    pool::TenantPool,
    registry::PgRegistry,
    session::Session,
    template::prepare_to_read,
};

/// Compares what a program needs with what the fleet has, before the program serves anybody.
///
/// One query for any number of tenants; tenants whose tables are alike are judged once. Tables that the shared
/// schema has, and the template has not, are looked for there; those that only the template of a
/// [kind](crate::Migrator::kind) has, in the tenants of that kind. What a schema has more is no fault.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{Gate, TenantPool, require_tables};
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// let pool = TenantPool::builder().build("postgres://localhost/app")?;
/// let report = Gate::new(pool).check(&require_tables!(notes))?;
/// for not_ready in &report.not_ready {
///     for lack in &not_ready.lacks {
///         eprintln!("{} tenants: {lack}", not_ready.targets.len());
///     }
/// }
/// assert!(report.is_ready());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    pool: TenantPool,
}

/// What [`Gate::check`] found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct GateReport {
    /// How many tables were looked for.
    pub tables: usize,
    /// How many schemas have what is needed.
    pub ready: usize,
    /// The schemas that have not, those together that lack the same; the largest group first.
    pub not_ready: Vec<NotReady>,
}

impl GateReport {
    /// Whether every schema has what is needed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.not_ready.is_empty()
    }
}

/// Schemas that lack the same.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NotReady {
    /// The schemas.
    pub targets: Vec<Target>,
    /// What they lack.
    pub lacks: Vec<Lack>,
}

/// One thing that is not as a `table!` says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Lack {
    /// The schema is not there.
    Schema,
    /// There is no such table or view.
    Table {
        /// Its name.
        table: String,
    },
    /// The table has no such column.
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The column is of another type.
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What the `table!` says.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The column can be NULL, and the `table!` does not say so.
    Nullable {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema => f.write_str("the schema is missing"),
            Self::Table { table } => write!(f, "table {table} is missing"),
            Self::Column { table, column } => write!(f, "column {table}.{column} is missing"),
            Self::Type {
                table,
                column,
                expected,
                found,
            } => write!(f, "column {table}.{column} is {found}, not {expected}"),
            Self::Nullable { table, column } => {
                write!(f, "column {table}.{column} can be NULL")
            }
        }
    }
}

type Tables = HashMap<String, HashMap<String, Found>>;

/// A column as it is.
#[derive(Debug, Deserialize)]
struct Found {
    #[serde(rename = "type")]
    type_name: String,
    /// Of PostgreSQL's own types alone.
    oid: Option<u32>,
    /// Views do not tell.
    nullable: Option<bool>,
}

impl Gate {
    /// A gate before the pool's database.
    #[must_use]
    pub fn new(pool: TenantPool) -> Self {
        Self { pool }
    }

    /// Compares the fleet with `requirements`. Who is not ready is in the report; an error says that it could
    /// not be made.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] when nothing is required. [`ErrorKind::NeedsSession`] on a pool without
    /// sessions. [`ErrorKind::RegistryMissing`], [`ErrorKind::ConnectionFailed`] and
    /// [`ErrorKind::Database`].
    pub fn check(&self, requirements: &Requirements) -> Result<GateReport> {
        if requirements.tables().is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "there is no table to look for",
            ));
        }
        self.pool.require_sessions()?;
        let mut tenants = PgRegistry::new(self.pool.clone()).list()?;
        // Who has no schema yet gets one like the template.
        tenants.retain(|tenant| tenant.status().has_schema());
        let layout = self.pool.layout();
        let (shared, template) = (layout.shared(), layout.template());
        let mut session = Session::connect(self.pool.url(), layout)?;
        let of_kinds = kinds::finished_of(&mut session.pg, layout, &tenants)?;
        let own = [shared, template].into_iter().chain(&of_kinds);
        let schemas = own.chain(tenants.iter().map(|tenant| tenant.schema()));
        let schemas: Vec<&str> = schemas.map(SchemaName::as_str).collect();
        let names = requirements.tables().iter();
        let names: Vec<&str> = names.map(|table| table.name.as_str()).collect();
        let found = session.pg.build_transaction().read_only().run(|conn| {
            prepare_to_read(conn)?;
            fleet::tables(conn, &schemas, &names)
        })?;
        let mut shapes: Vec<Tables> = Vec::new();
        let mut shape_of: HashMap<String, usize> = HashMap::new();
        for group in found {
            let tables = group.tables.as_deref().unwrap_or("{}");
            let tables = serde_json::from_str(tables).map_err(|error| {
                Error::new(
                    ErrorKind::Database,
                    "could not read the tables of the fleet",
                )
                .with_source(error)
            })?;
            let schemas = group.schemas.into_iter();
            shape_of.extend(schemas.map(|schema| (schema, shapes.len())));
            shapes.push(tables);
        }
        let tables_of = |schema: &SchemaName| {
            let number = shape_of.get(schema.as_str())?;
            shapes.get(*number)
        };
        let has = |schema: &SchemaName, table: &str| {
            tables_of(schema).is_some_and(|tables| tables.contains_key(table))
        };
        let (of_shared, of_tenants): (Vec<_>, Vec<_>) =
            requirements.tables().iter().partition(|table| {
                let mut templates = std::iter::once(template).chain(&of_kinds);
                has(shared, &table.name) && !templates.any(|own| has(own, &table.name))
            });
        let shared_target = Target::Shared {
            schema: shared.clone(),
        };
        let template_target = Target::Template {
            schema: template.clone(),
        };
        // What only templates of kinds have is required of their tenants alone.
        let (of_kinds_alone, of_tenants): (Vec<_>, Vec<_>) =
            of_tenants.into_iter().partition(|table| {
                !has(template, &table.name) && of_kinds.iter().any(|own| has(own, &table.name))
            });
        let required_of = |kind_template: &SchemaName| -> Vec<&Requirement> {
            let of_kind = of_kinds_alone.iter().copied();
            let of_kind = of_kind.filter(|table| has(kind_template, &table.name));
            of_tenants.iter().copied().chain(of_kind).collect()
        };
        let required_of: HashMap<&SchemaName, Vec<&Requirement>> =
            of_kinds.iter().map(|own| (own, required_of(own))).collect();
        let kind_targets = of_kinds.iter().map(|own| {
            let target = Target::Template {
                schema: own.clone(),
            };
            (target, Some(own))
        });
        let tenants = tenants.iter().map(|tenant| {
            let target = Target::Tenant {
                id: tenant.id().clone(),
                schema: tenant.schema().clone(),
            };
            let own = kinds::template_of(layout, tenant);
            let own = own.and_then(|own| of_kinds.iter().find(|template| **template == own));
            (target, own)
        });
        let targets = [(shared_target, None), (template_target, None)].into_iter();
        let targets = targets.chain(kind_targets).chain(tenants);
        let mut judged: HashMap<(usize, Option<&SchemaName>), Vec<Lack>> = HashMap::new();
        let mut lacking: BTreeMap<Vec<Lack>, Vec<Target>> = BTreeMap::new();
        let mut ready = 0;
        for (target, kind_template) in targets {
            let required = kind_template.and_then(|own| required_of.get(own));
            let required = required.unwrap_or(&of_tenants);
            let number = shape_of.get(target.schema().as_str());
            let lacks = match (&target, number) {
                (_, None) => vec![Lack::Schema],
                (Target::Shared { .. }, Some(&number)) => lacks(&of_shared, &shapes[number]),
                (_, Some(&number)) => judged
                    .entry((number, kind_template))
                    .or_insert_with(|| lacks(required, &shapes[number]))
                    .clone(),
            };
            match lacks.is_empty() {
                true => ready += 1,
                false => lacking.entry(lacks).or_default().push(target),
            }
        }
        let lacking = lacking.into_iter();
        let mut not_ready: Vec<NotReady> = lacking
            .map(|(lacks, targets)| NotReady { targets, lacks })
            .collect();
        not_ready.sort_by_key(|group| usize::MAX - group.targets.len());
        Ok(GateReport {
            tables: requirements.tables().len(),
            ready,
            not_ready,
        })
    }
}

fn lacks(required: &[&Requirement], tables: &Tables) -> Vec<Lack> {
    let mut lacks = Vec::new();
    for requirement in required {
        let table = requirement.name.clone();
        let Some(columns) = tables.get(&table) else {
            lacks.push(Lack::Table { table });
            continue;
        };
        for required in &requirement.columns {
            let (table, column) = (table.clone(), required.name.clone());
            let Some(found) = columns.get(&column) else {
                lacks.push(Lack::Column { table, column });
                continue;
            };
            if let Some(kind) = &required.kind
                && !kind.takes(&found.type_name, found.oid)
            {
                lacks.push(Lack::Type {
                    table: table.clone(),
                    column: column.clone(),
                    expected: kind.to_string(),
                    found: found.type_name.clone(),
                });
            }
            if found.nullable == Some(true) && !required.nullable {
                lacks.push(Lack::Nullable { table, column });
            }
        }
    }
    lacks
}
