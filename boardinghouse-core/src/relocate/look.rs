//! What there is before a table is moved, and why it cannot be.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::{connection::SimpleConnection, prelude::*, sql_query, sql_types};

use super::{MoveTo, TableMove, fleet::Fleet, refused, report::MovedForeignKey};
use crate::{
    catalog::relocate as catalog,
    error::{Error, ErrorKind, Result},
    migrate::{LockBudget, LockUse},
    names::SchemaName,
    sql::relocate as text,
};

/// How many schemas one query asks for their rows.
const A_QUERY: usize = 200;

/// A foreign key of another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) schema: SchemaName,
    pub(super) table: String,
    pub(super) name: String,
    pub(super) oid: u32,
    /// The schema of the table that it leads to.
    pub(super) target: SchemaName,
    /// With the name of that table, without its schema.
    pub(super) definition: String,
    pub(super) comment: Option<String>,
    /// Whether it is of a schema that waits for a tenant, which is not handed out any more.
    pub(super) ends: bool,
    pub(super) indexes: i64,
}

impl Link {
    pub(super) fn drop(&self) -> String {
        crate::sql::drop_constraint(&self.schema, &self.table, &self.name) + ";"
    }

    /// Adds it again; the path says where it leads.
    pub(super) fn add(&self) -> String {
        text::add_foreign_key(
            &self.schema,
            &self.table,
            &self.name,
            &self.definition,
            self.comment.as_deref(),
        )
    }

    pub(super) fn moved(&self, to: MoveTo, shared: &SchemaName) -> MovedForeignKey {
        let leads_to = match to {
            _ if self.ends => None,
            MoveTo::Shared => Some(shared.clone()),
            MoveTo::Tenants => Some(self.schema.clone()),
        };
        MovedForeignKey {
            schema: self.schema.clone(),
            table: self.table.clone(),
            constraint: self.name.clone(),
            leads_to,
        }
    }
}

/// What there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) fleet: Fleet,
    /// The table that the others are made like: the shared one, or the template's.
    pub(super) pattern: (SchemaName, u32),
    pub(super) statistics: Vec<(SchemaName, String)>,
    pub(super) links: Vec<Link>,
    /// The shared tables that foreign keys of the table lead to.
    pub(super) shared_tables: Vec<String>,
    /// How many objects belong to the table, and how many relations.
    parts: i64,
    relations: i64,
}

impl Look {
    /// Reads; fails with a list of all that is in the way.
    pub(super) fn at(conn: &mut PgConnection, wanted: &TableMove, fleet: Fleet) -> Result<Self> {
        let layout = wanted.pool.layout();
        let shared = layout.shared();
        let schemas = fleet.schemas();
        let table = wanted.table.as_str();
        let mut all = schemas.clone();
        all.push(shared);
        let places = catalog::places(conn, &all, table)?;
        let by_name: HashMap<&str, &catalog::Place> = places
            .iter()
            .map(|place| (place.schema_name.as_str(), place))
            .collect();
        let mut lines = Vec::new();
        let mut tables: Vec<(&SchemaName, u32)> = Vec::new();
        for schema in &all {
            let place = by_name.get(schema.as_str());
            let is_source = (*schema == shared) == (wanted.to == MoveTo::Tenants);
            match place {
                None => lines.push(format!("schema {schema} is missing")),
                Some(place) if !is_source => {
                    if place.table.is_some() {
                        lines.push(format!(
                            "schema {schema} has something called {table} already"
                        ));
                    }
                }
                Some(catalog::Place { table: None, .. }) => {
                    lines.push(format!("schema {schema} has no table {table}"));
                }
                Some(place) if place.kind != "r" => {
                    lines.push(format!(
                        "{table} in schema {schema} is no table of the plain kind"
                    ));
                }
                Some(place) if place.inherits => {
                    lines.push(format!(
                        "{table} in schema {schema} is a partition or a child of another table, or has some"
                    ));
                }
                Some(place) if !place.owned => {
                    lines.push(format!(
                        "{table} in schema {schema} belongs to another role"
                    ));
                }
                Some(place) => tables.extend(place.table.map(|oid| (*schema, oid))),
            }
        }
        refused(lines)?;
        let Some(&(pattern_schema, pattern)) = tables.first() else {
            return Err(Error::new(
                ErrorKind::InvalidInput,
                "there is no such table",
            ));
        };

        let mut lines = Vec::new();
        let parts = catalog::parts(conn, pattern)?;
        for refused in parts.iter().filter_map(|part| part.refused.as_ref()) {
            lines.push(format!("{refused}: it cannot be moved"));
        }
        let sources: Vec<&SchemaName> = tables.iter().map(|(schema, _)| *schema).collect();
        lines.extend(catalog::published(conn, &sources)?);
        let names: Vec<&str> = parts
            .iter()
            .filter_map(|part| part.relation.as_deref())
            .collect();
        let targets: Vec<&SchemaName> = match wanted.to {
            MoveTo::Tenants => schemas.clone(),
            MoveTo::Shared => vec![shared],
        };
        for (schema, name) in catalog::taken(conn, &targets, &names)? {
            lines.push(format!(
                "schema {schema} has something called {name} already"
            ));
        }
        for schema in catalog::default_privileges(conn, &targets)? {
            lines.push(format!(
                "schema {schema} gives privileges on new tables by itself (ALTER DEFAULT PRIVILEGES), which the \
                 table does not have: take those back for the while"
            ));
        }
        for used in catalog::used(conn, pattern, &schemas)? {
            lines.push(format!(
                "{} uses {} of schema {}: nothing shared can use what is a tenant's",
                used.part, used.what, used.schema_name
            ));
        }
        if wanted.to == MoveTo::Tenants {
            // Each of them would be the tenant's own afterwards, and what it uses the one of all.
            lines.dedup();
        }
        let shared_tables = catalog::used(conn, pattern, &[shared])?
            .into_iter()
            .filter_map(|used| used.foreign_table);
        let mut shared_tables: Vec<u32> = shared_tables.collect();
        shared_tables.sort_unstable();
        shared_tables.dedup();
        let shared_tables = names_of(conn, &shared_tables)?;
        let statistics = catalog::statistics(conn, pattern)?;

        let by_table: HashMap<u32, &SchemaName> =
            tables.iter().map(|(s, oid)| (*oid, *s)).collect();
        let mut keys = Vec::new();
        let oids: Vec<u32> = tables.iter().map(|(_, oid)| *oid).collect();
        for user in catalog::users(conn, &oids)? {
            match (user.foreign_key, by_table.get(&user.root)) {
                (Some(key), _) => keys.push(key),
                (None, Some(schema)) => lines.push(format!(
                    "{} uses {table} of schema {schema}: drop it first, and create it anew afterwards",
                    user.what
                )),
                (None, None) => lines.push(format!("{} uses {table}", user.what)),
            }
        }
        let own: HashSet<&SchemaName> = schemas.iter().copied().collect();
        let mut links = Vec::new();
        for key in catalog::foreign_keys(conn, &keys)? {
            let schema = SchemaName::existing(&key.schema_name)?;
            let Some(&target) = by_table.get(&key.target) else {
                lines.push(format!(
                    "foreign key {} of {schema} leads elsewhere",
                    key.name
                ));
                continue;
            };
            let called = format!(
                "foreign key {} of table {} in schema {schema}",
                key.name, key.table_name
            );
            let ends = wanted.to == MoveTo::Tenants && fleet.ready.contains(&schema);
            let right = match wanted.to {
                MoveTo::Tenants => ends || own.contains(&schema),
                MoveTo::Shared => schema == *target,
            };
            if !right && schema == *shared {
                lines.push(format!(
                    "{called}: a shared table must not refer to what is a tenant's"
                ));
            } else if !right {
                lines.push(format!(
                    "{called}: the schema is no tenant's, or another one's"
                ));
            } else if !key.owned {
                lines.push(format!("{called}: the table belongs to another role"));
            } else if key.disabled {
                lines.push(format!(
                    "{called}: its triggers are disabled, which would be lost"
                ));
            }
            links.push(Link {
                schema,
                table: key.table_name,
                name: key.name,
                oid: key.oid,
                target: target.clone(),
                definition: String::new(),
                comment: key.comment,
                ends,
                indexes: key.indexes,
            });
        }
        refused(lines)?;
        define(conn, &mut links)?;
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        Ok(Self {
            pattern: (pattern_schema.clone(), pattern),
            statistics,
            links,
            shared_tables,
            parts: count(parts.len()),
            relations: count(names.len()) + 2,
            fleet,
        })
    }

    /// Foretells how many locks the transaction takes, and refuses what the server has no room for.
    ///
    /// Whatever is created takes a lock for each relation; what is dropped one for each object that goes with
    /// it; a foreign key that is dropped, one for itself and each of its four triggers, and one that is added
    /// opens all indexes of both tables.
    pub(super) fn foretell(&self, conn: &mut PgConnection, to: MoveTo) -> Result<LockUse> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let links: i64 = self.links.iter().map(|link| 8 + link.indexes).sum();
        let members = count(self.fleet.members.len());
        // The schema's own lock, and the schema as a place to create in.
        let each = match to {
            MoveTo::Tenants => 4 + self.relations,
            MoveTo::Shared => 4 + self.parts,
        };
        let once = 2 * self.parts + 2 * self.relations + 3 * count(self.shared_tables.len()) + 80;
        let predicted = once
            .saturating_add(members.saturating_mul(each))
            .saturating_add(links);
        LockBudget::read(conn)?.foretell(predicted, |room, setting| {
            format!(
                "to move a table of {members} schemas in one transaction takes about {predicted} locks, and \
                 the server has room for {room}: set max_locks_per_transaction to {setting} or more and \
                 restart it. Nothing was changed"
            )
        })
    }

    /// Takes all locks for which requests are in the way, so that nothing is done before there are all.
    pub(super) fn lock(&self, conn: &mut PgConnection, wanted: &TableMove) -> Result<()> {
        let shared = wanted.pool.layout().shared();
        let mut exclusive: Vec<(&SchemaName, &str)> = match wanted.to {
            MoveTo::Tenants => vec![(shared, &wanted.table)],
            MoveTo::Shared => {
                let schemas = self.fleet.schemas().into_iter();
                schemas
                    .map(|schema| (schema, wanted.table.as_str()))
                    .collect()
            }
        };
        exclusive.extend(
            self.links
                .iter()
                .map(|link| (&link.schema, link.table.as_str())),
        );
        let referred = self
            .shared_tables
            .iter()
            .map(|table| (shared, table.as_str()));
        let mut locks = text::lock_tables(exclusive, true) + &text::lock_tables(referred, false);
        let sources = match wanted.to {
            MoveTo::Tenants => vec![shared],
            MoveTo::Shared => self.fleet.schemas(),
        };
        let sequences = catalog::own_sequences(conn, &sources, &wanted.table)?;
        let sequences = sequences
            .iter()
            .map(|one| (&*one.schema_name, &*one.name, &*one.owner));
        locks += &text::lock_sequences(sequences);
        let busy = format!(
            "table {} could not be locked within {:?}: try again later",
            wanted.table, wanted.lock_timeout
        );
        super::fleet::run_or_busy(conn, &locks, "lock the tables", &busy)
    }

    /// How many rows the table has in each of these schemas.
    pub(super) fn rows(
        conn: &mut PgConnection,
        schemas: &[&SchemaName],
        table: &str,
    ) -> Result<Vec<i64>> {
        let mut rows = vec![0; schemas.len()];
        let places: Vec<(usize, &SchemaName)> = schemas.iter().copied().enumerate().collect();
        for some in places.chunks(A_QUERY) {
            let found: Vec<Count> = sql_query(text::count_rows(some, table))
                .load(conn)
                .map_err(|error| Error::database("count the rows", error))?;
            for one in found {
                if let Some(rows) = usize::try_from(one.place)
                    .ok()
                    .and_then(|at| rows.get_mut(at))
                {
                    *rows = one.number;
                }
            }
        }
        Ok(rows)
    }
}

#[derive(QueryableByName)]
pub(super) struct Count {
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) place: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) number: i64,
}

/// Reads the definitions, each with the schema that it leads to on the path, so that it is not named.
fn define(conn: &mut PgConnection, links: &mut [Link]) -> Result<()> {
    let mut by_target: BTreeMap<SchemaName, Vec<u32>> = BTreeMap::new();
    for link in links.iter() {
        by_target
            .entry(link.target.clone())
            .or_default()
            .push(link.oid);
    }
    let mut found = HashMap::new();
    for (target, oids) in by_target {
        conn.batch_execute(&text::enter(&target))
            .map_err(|error| Error::database("read the foreign keys", error))?;
        for one in catalog::definitions(conn, &oids)? {
            found.insert(one.oid, one.definition);
        }
    }
    super::fleet::apart(conn)?;
    for link in links {
        link.definition = found.remove(&link.oid).unwrap_or_default();
    }
    Ok(())
}

fn names_of(conn: &mut PgConnection, tables: &[u32]) -> Result<Vec<String>> {
    #[derive(QueryableByName)]
    struct Name {
        #[diesel(sql_type = sql_types::Text)]
        name: String,
    }
    let names: Vec<Name> = sql_query(
        "SELECT relname::text AS name FROM pg_catalog.pg_class WHERE oid = ANY ($1) ORDER BY relname",
    )
    .bind::<sql_types::Array<sql_types::Oid>, _>(tables)
    .load(conn)
    .map_err(|error| Error::database("read what the table uses", error))?;
    Ok(names.into_iter().map(|name| name.name).collect())
}
