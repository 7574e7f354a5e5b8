//! Which schemas have the same structure, before and after.

use std::collections::{BTreeMap, HashMap};

use diesel::PgConnection;

use super::{look::Look, refused};
use crate::{drift, error::Result, names::SchemaName};

/// The schemas of the fleet, in groups of those that have the same structure.
pub(super) fn groups(conn: &mut PgConnection, look: &Look) -> Result<Vec<Vec<SchemaName>>> {
    let schemas: Vec<SchemaName> = look.fleet.schemas().into_iter().cloned().collect();
    let found = fingerprints(conn, &schemas)?;
    let mut groups: BTreeMap<Option<&String>, Vec<SchemaName>> = BTreeMap::new();
    for schema in schemas {
        let group = groups.entry(found.get(schema.as_str())).or_default();
        group.push(schema);
    }
    Ok(groups.into_values().collect())
}

fn fingerprints(
    conn: &mut PgConnection,
    schemas: &[SchemaName],
) -> Result<HashMap<String, String>> {
    let names: Vec<&str> = schemas.iter().map(SchemaName::as_str).collect();
    let found = drift::fingerprints_of(conn, &names)?.into_iter();
    Ok(found
        .map(|one| (one.schema_name, one.fingerprint))
        .collect())
}

/// Fails unless schemas that were alike still are.
pub(super) fn check(
    conn: &mut PgConnection,
    groups: &[Vec<SchemaName>],
    table: &str,
) -> Result<()> {
    let all: Vec<SchemaName> = groups.iter().flatten().cloned().collect();
    let found = fingerprints(conn, &all)?;
    let mut odd = Vec::new();
    for group in groups {
        let hash_of = |schema: &SchemaName| found.get(schema.as_str());
        let right = group.first().and_then(hash_of);
        let others = group.iter().filter(|schema| hash_of(schema) != right);
        odd.extend(others.map(|schema| {
            format!(
                "schema {schema} would not be like its template any more, as it is now, with or without \
                 table {table}"
            )
        }));
    }
    refused(odd)
}
