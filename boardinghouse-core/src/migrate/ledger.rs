//! Who has which migrations: the ledger, and each schema's own table where that says nothing.

use std::collections::{BTreeSet, HashMap};

use diesel::{prelude::*, sql_types};

use super::filter::TenantFilter;
use crate::{
    error::{Error, Result},
    names::{SchemaName, TenantId},
    registry,
    sql::{self, fleet},
    tenant::TenantStatus,
};

/// How many schemas one query asks for their migrations.
const HISTORIES_A_QUERY: usize = 200;

/// What a schema is known to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// What the caller said that everybody should have.
    Current,
    Versions(BTreeSet<String>),
    /// Nothing is known.
    Unknown,
}

/// A tenant of the fleet.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: TenantId,
    pub(super) schema: SchemaName,
    pub(super) status: TenantStatus,
    pub(super) incarnation: i64,
    /// The number of the schema; `None` where it is missing.
    pub(super) schema_oid: Option<u32>,
    pub(super) known: Known,
}

/// The tenants that a filter lets through, in its order; `current` is what is called [`Known::Current`].
pub(super) fn members<C: registry::PgQueries>(
    conn: &mut C,
    filter: &TenantFilter,
    current: &[String],
) -> Result<Vec<Member>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql_types::Text)]
        id: String,
        #[diesel(sql_type = sql_types::Text)]
        schema_name: String,
        #[diesel(sql_type = sql_types::Text)]
        status: String,
        #[diesel(sql_type = sql_types::BigInt)]
        incarnation: i64,
        #[diesel(sql_type = sql_types::Nullable<sql_types::Oid>)]
        schema_oid: Option<u32>,
        #[diesel(sql_type = sql_types::Bool)]
        is_current: bool,
        #[diesel(sql_type = sql_types::Nullable<sql_types::Array<sql_types::Text>>)]
        versions: Option<Vec<String>>,
    }
    let ids = |ids: &[TenantId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let only = filter.only.as_deref().map(ids);
    let except = (!filter.except.is_empty()).then(|| ids(&filter.except));
    let (attribute, descending) = match filter.order_by.as_deref() {
        Some(name) => name
            .strip_prefix('-')
            .map_or((Some(name), false), |name| (Some(name), true)),
        None => (None, false),
    };
    type Texts = sql_types::Nullable<sql_types::Array<sql_types::Text>>;
    let rows: Vec<Row> = diesel::sql_query(fleet::MEMBERS)
        .bind::<sql_types::Array<sql_types::Text>, _>(current)
        .bind::<Texts, _>(only)
        .bind::<Texts, _>(except)
        .bind::<sql_types::Nullable<sql_types::Jsonb>, _>(
            filter.attributes.clone().map(serde_json::Value::Object),
        )
        .bind::<sql_types::Nullable<sql_types::Text>, _>(attribute)
        .bind::<sql_types::Bool, _>(descending)
        .load(conn)
        .map_err(|error| registry::explain(conn, "list the tenants", error))?;
    let mut members: Vec<Member> = rows
        .into_iter()
        .map(|row| {
            Ok(Member {
                id: TenantId::parse(&row.id)?,
                schema: SchemaName::existing(&row.schema_name)?,
                status: row.status.parse()?,
                incarnation: row.incarnation,
                schema_oid: row.schema_oid,
                known: match (row.is_current, row.versions) {
                    (true, _) => Known::Current,
                    (false, Some(versions)) => Known::Versions(versions.into_iter().collect()),
                    (false, None) => Known::Unknown,
                },
            })
        })
        .collect::<Result<_>>()?;
    if let Some(limit) = filter.limit {
        members.truncate(limit.of(members.len()));
    }
    Ok(members)
}

/// Fails where the filter names a tenant that there is none of.
pub(super) fn check_names<C: registry::PgQueries>(
    conn: &mut C,
    filter: &TenantFilter,
) -> Result<()> {
    for id in filter.only.iter().flatten().chain(&filter.except) {
        registry::find(conn, id)?.ok_or_else(|| registry::not_found(id))?;
    }
    Ok(())
}

/// What a schema itself said.
pub(super) struct LookedUp {
    /// The incarnation, and the number of the schema.
    pub(super) member: (i64, u32),
    pub(super) versions: Vec<String>,
}

/// Finds out what schemas have where the ledger does not know, or is not to be trusted.
pub(super) fn look_up(
    conn: &mut PgConnection,
    members: &mut [Member],
    distrust: bool,
) -> Result<Vec<LookedUp>> {
    let asked = |member: &Member| {
        member.schema_oid.is_some() && (distrust || member.known == Known::Unknown)
    };
    let schemas: Vec<SchemaName> = members
        .iter()
        .filter(|member| asked(member))
        .map(|member| member.schema.clone())
        .collect();
    if schemas.is_empty() {
        return Ok(Vec::new());
    }
    let mut histories = read_histories(conn, &schemas)?;
    let mut found = Vec::with_capacity(schemas.len());
    for member in members.iter_mut().filter(|member| asked(member)) {
        let versions = histories.remove(&member.schema).unwrap_or_default();
        member.known = Known::Versions(versions.iter().cloned().collect());
        if let Some(oid) = member.schema_oid {
            found.push(LookedUp {
                member: (member.incarnation, oid),
                versions,
            });
        }
    }
    Ok(found)
}

/// The templates with rows, in the order of their names.
pub(super) fn named_templates<C: registry::PgQueries>(conn: &mut C) -> Result<Vec<SchemaName>> {
    use crate::schema::boardinghouse::named_templates::dsl::{named_templates, schema_name};
    let names: Vec<String> = named_templates
        .select(schema_name)
        .order(schema_name)
        .load(conn)
        .map_err(|error| registry::explain(conn, "list the named templates", error))?;
    names
        .iter()
        .map(|name| SchemaName::existing(name))
        .collect()
}

/// How many locks there is room for.
#[derive(Clone, Copy, Debug, QueryableByName)]
pub(super) struct LockBudget {
    /// What the configuration promises.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) capacity: i64,
    /// The setting `max_locks_per_transaction`.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) per_transaction: i64,
    /// By everybody.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) taken: i64,
    /// By this session.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(super) held: i64,
    /// Whether a backslash in a constant is one: else texts cannot be parted safely.
    #[diesel(sql_type = sql_types::Bool)]
    pub(super) plain_strings: bool,
}

impl LockBudget {
    pub(super) fn read(conn: &mut PgConnection) -> Result<Self> {
        diesel::sql_query(fleet::LOCK_BUDGET)
            .get_result(conn)
            .map_err(|error| Error::database("count locks", error))
    }
}

#[derive(QueryableByName)]
struct Existence {
    #[diesel(sql_type = sql_types::Text)]
    schema_name: String,
    #[diesel(sql_type = sql_types::Bool)]
    has_history: bool,
}

#[derive(QueryableByName)]
struct HistoryRow {
    #[diesel(sql_type = sql_types::Text)]
    schema_name: String,
    #[diesel(sql_type = sql_types::Text)]
    version: String,
}

/// The versions that schemas have, in order. A schema that does not exist is left out. Nothing is
/// created for it, which Diesel's own harness would do.
pub(super) fn read_histories(
    pg: &mut PgConnection,
    schemas: &[SchemaName],
) -> Result<HashMap<SchemaName, Vec<String>>> {
    let failed = |error| Error::database("read which migrations are applied", error);
    let names: Vec<&str> = schemas.iter().map(SchemaName::as_str).collect();
    let existing: Vec<Existence> = diesel::sql_query(
        "SELECT name AS schema_name, \
         pg_catalog.to_regclass(pg_catalog.quote_ident(name) || '.__diesel_schema_migrations') \
             IS NOT NULL AS has_history \
         FROM pg_catalog.unnest($1) AS name \
         WHERE pg_catalog.to_regnamespace(pg_catalog.quote_ident(name)) IS NOT NULL",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(names)
    .load(pg)
    .map_err(failed)?;
    let known: HashMap<&str, &SchemaName> = schemas.iter().map(|s| (s.as_str(), s)).collect();
    let mut histories = HashMap::new();
    let mut with_history = Vec::new();
    for row in &existing {
        if let Some(&schema) = known.get(row.schema_name.as_str()) {
            histories.insert(schema.clone(), Vec::new());
            if row.has_history {
                with_history.push(schema);
            }
        }
    }
    for some in with_history.chunks(HISTORIES_A_QUERY) {
        let rows: Vec<HistoryRow> = diesel::sql_query(sql::histories(some.iter().copied()))
            .load(pg)
            .map_err(failed)?;
        for row in rows {
            if let Some(versions) = known
                .get(row.schema_name.as_str())
                .and_then(|schema| histories.get_mut(*schema))
            {
                versions.push(row.version);
            }
        }
    }
    histories
        .values_mut()
        .for_each(|versions| versions.sort_unstable());
    Ok(histories)
}
