//! The rows of all tenants as those of one table.

use diesel::{connection::SimpleConnection, prelude::*, sql_query, sql_types};

use super::{look::Count, look::Look, report::MoveConflict};
use crate::{
    catalog::relocate as catalog,
    error::{Error, ErrorKind, Result},
    names::SchemaName,
    sql::relocate::{Key, Marks, OwnSequence, enter},
};

/// How many keys are told of, and how many of those that have one.
const MOST: usize = 100;
const MOST_HOLDERS: usize = 10;
/// How many schemas one query asks for a sequence.
const A_QUERY: usize = 200;

/// The rows of all schemas, in a table of the session's own, until the transaction ends.
pub(super) struct Merged {
    /// How many there are.
    pub(super) rows: i64,
    pub(super) conflicts: Vec<MoveConflict>,
    pub(super) all_conflicts: i64,
    /// What writes them into the table.
    pub(super) write: String,
    /// The sequences, with where they are to go on.
    pub(super) sequences: Vec<(OwnSequence, Option<i64>)>,
}

#[derive(QueryableByName)]
struct ConflictRow {
    #[diesel(sql_type = sql_types::Text)]
    key: String,
    #[diesel(sql_type = sql_types::Array<sql_types::BigInt>)]
    places: Vec<i64>,
    #[diesel(sql_type = sql_types::BigInt)]
    holders: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    number: i64,
}

impl Merged {
    pub(super) fn read(conn: &mut PgConnection, look: &Look, table: &str) -> Result<Self> {
        let failed = |error| Error::database("put the rows together", error);
        let (template, oid) = &look.pattern;
        let columns = catalog::columns(conn, *oid)?;
        let all: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let written = columns.into_iter().filter(|column| !column.generated);
        let written: Vec<String> = written.map(|column| column.name).collect();
        if written.is_empty() {
            let message = format!("table {table} has no column whose values could be put together");
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let marks = Marks::unlike(&all);
        conn.batch_execute(&marks.create(template, table, &all))
            .map_err(failed)?;
        for (place, member) in look.fleet.members.iter().enumerate() {
            conn.batch_execute(&marks.add(place, &member.schema, table, &all))
                .map_err(|error| {
                    let what = format!("read the rows of schema {}", member.schema);
                    Error::database(&what, error)
                })?;
        }
        let count: Count = sql_query(marks.count()).get_result(conn).map_err(failed)?;

        // Its columns are named in expressions as they are here.
        conn.batch_execute(&enter(template)).map_err(failed)?;
        let uniques = catalog::uniques(conn, *oid)?;
        let (mut conflicts, mut all_conflicts) = (Vec::new(), 0);
        for unique in uniques {
            let collations = unique.collation_schemas.into_iter().zip(unique.collations);
            let keys: Vec<Key> = unique
                .keys
                .iter()
                .zip(collations)
                .map(|(text, (schema, name))| Key {
                    text: text.clone(),
                    collation: schema.zip(name),
                })
                .collect();
            let found: Vec<ConflictRow> = sql_query(marks.conflicts(
                &keys,
                unique.predicate.as_deref(),
                unique.nulls_are_equal,
                MOST,
                MOST_HOLDERS,
            ))
            .load(conn)
            .map_err(failed)?;
            all_conflicts += found.first().map_or(0, |one| one.number);
            let label = |place: &i64| {
                let member = usize::try_from(*place).ok();
                let member = member.and_then(|place| look.fleet.members.get(place));
                member.map_or_else(String::new, super::fleet::Member::label)
            };
            conflicts.extend(found.iter().map(|one| MoveConflict {
                index: unique.name.clone(),
                columns: unique.keys.join(", "),
                key: one.key.clone(),
                holders: one.places.iter().map(label).collect(),
                all_holders: one.holders,
            }));
        }
        conflicts.truncate(MOST);
        super::fleet::apart(conn)?;
        Ok(Self {
            rows: count.number,
            conflicts,
            all_conflicts,
            write: marks.write(table, &written),
            sequences: sequences(conn, look)?,
        })
    }

    /// The error that says which rows differ.
    pub(super) fn refusal(&self, table: &str) -> Error {
        let lines = self.conflicts.iter().map(|one| {
            format!(
                "({})=({}) of {}: {}{}",
                one.columns,
                one.key,
                one.index,
                one.holders.join(", "),
                match usize::try_from(one.all_holders) {
                    Ok(all) if all > one.holders.len() =>
                        format!(" and {} more", all - one.holders.len()),
                    _ => String::new(),
                }
            )
        });
        let lines: Vec<String> = lines.collect();
        Error::new(
            ErrorKind::Conflict,
            format!(
                "table {table} was not moved: {} keys have rows that differ\n{}",
                self.all_conflicts,
                lines.join("\n")
            ),
        )
    }

    /// Lets the sequences of the shared table go on after the largest of all.
    pub(super) fn go_on(
        &self,
        conn: &mut PgConnection,
        shared: &SchemaName,
        table: &str,
    ) -> Result<()> {
        for (sequence, after) in &self.sequences {
            conn.batch_execute(&sequence.go_on(shared, table, *after))
                .map_err(|error| {
                    let what = format!("let sequence {} go on", sequence.name);
                    Error::database(&what, error)
                })?;
        }
        Ok(())
    }
}

fn sequences(conn: &mut PgConnection, look: &Look) -> Result<Vec<(OwnSequence, Option<i64>)>> {
    let mut all = Vec::new();
    for found in catalog::sequences(conn, look.pattern.1)? {
        let sequence = OwnSequence {
            name: found.name,
            column: found.column,
            counts: found.counts,
            increment: found.increment,
            least: found.least,
            most: found.most,
        };
        let mut outermost: Option<i64> = None;
        for some in look.fleet.schemas().chunks(A_QUERY) {
            let value = catalog::number(conn, &sequence.positions(some))?;
            outermost = match (outermost, value) {
                (Some(one), Some(other)) if sequence.increment < 0 => Some(one.min(other)),
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other),
            };
        }
        all.push((sequence, outermost));
    }
    Ok(all)
}
