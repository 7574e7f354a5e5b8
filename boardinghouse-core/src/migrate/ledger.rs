//! Who has which migrations: the ledger, and each schema's own table where that says nothing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use diesel::{prelude::*, sql_types};

use super::{filter::TenantFilter, report::LockUse};
use crate::{
    error::{Error, ErrorKind, Result},
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
    Versions(Arc<BTreeSet<String>>),
    /// Nothing is known.
    Unknown,
    /// It could not be read: why.
    Unreadable(String),
}

/// A tenant of the fleet.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) id: TenantId,
    pub(super) schema: SchemaName,
    pub(super) status: TenantStatus,
    pub(super) kind: Option<String>,
    pub(super) incarnation: i64,
    /// The number of the schema; `None` where it is missing.
    pub(super) schema_oid: Option<u32>,
    pub(super) known: Known,
}

impl Member {
    /// Why no run visits the tenant as it is now.
    pub(super) fn why_skipped(&self) -> Option<String> {
        match self.status {
            TenantStatus::Ready | TenantStatus::Suspended => None,
            TenantStatus::Pending | TenantStatus::Failed => Some(format!(
                "the tenant is {}: `boardinghouse provision` makes its schema",
                self.status
            )),
            TenantStatus::Dropping => Some(format!("the tenant is {}", self.status)),
        }
    }
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
        #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
        kind: Option<String>,
        #[diesel(sql_type = sql_types::BigInt)]
        incarnation: i64,
        #[diesel(sql_type = sql_types::Nullable<sql_types::Oid>)]
        schema_oid: Option<u32>,
        #[diesel(sql_type = sql_types::Bool)]
        is_current: bool,
        #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
        hash: Option<String>,
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
        .bind::<sql_types::Array<sql_types::Jsonb>, _>(&filter.attributes)
        .bind::<sql_types::Nullable<sql_types::Text>, _>(attribute)
        .bind::<sql_types::Bool, _>(descending)
        .load(conn)
        .map_err(|error| registry::explain(conn, "list the tenants", error))?;
    // Each list of versions is held once, however many have it.
    let lists = match rows.iter().any(|row| row.hash.is_some()) {
        true => lists(conn, current)?,
        false => HashMap::new(),
    };
    let mut members: Vec<Member> = rows
        .into_iter()
        .map(|row| {
            Ok(Member {
                id: TenantId::parse(&row.id)?,
                schema: SchemaName::existing(&row.schema_name)?,
                status: row.status.parse()?,
                kind: row.kind,
                incarnation: row.incarnation,
                schema_oid: row.schema_oid,
                known: match row.hash.and_then(|hash| lists.get(&hash)) {
                    _ if row.is_current => Known::Current,
                    Some(versions) => Known::Versions(Arc::clone(versions)),
                    None => Known::Unknown,
                },
            })
        })
        .collect::<Result<_>>()?;
    if let Some(limit) = filter.limit {
        members.truncate(limit.of(members.len()));
    }
    Ok(members)
}

fn lists<C: registry::PgQueries>(
    conn: &mut C,
    current: &[String],
) -> Result<HashMap<String, Arc<BTreeSet<String>>>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql_types::Text)]
        hash: String,
        #[diesel(sql_type = sql_types::Array<sql_types::Text>)]
        versions: Vec<String>,
    }
    let rows: Vec<Row> = diesel::sql_query(fleet::VERSIONS)
        .bind::<sql_types::Array<sql_types::Text>, _>(current)
        .load(conn)
        .map_err(|error| registry::explain(conn, "read the ledger", error))?;
    let list = |row: Row| (row.hash, Arc::new(row.versions.into_iter().collect()));
    Ok(rows.into_iter().map(list).collect())
}

/// Where a tenant is now, by its incarnation: its schema, and the number of that; `None` where there is no
/// such tenant any more.
pub(super) fn whereabouts(
    conn: &mut PgConnection,
    incarnation: i64,
) -> Result<Option<(SchemaName, Option<u32>)>> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = sql_types::Text)]
        schema_name: String,
        #[diesel(sql_type = sql_types::Nullable<sql_types::Oid>)]
        schema_oid: Option<u32>,
    }
    let row: Option<Row> = diesel::sql_query(fleet::WHEREABOUTS)
        .bind::<sql_types::BigInt, _>(incarnation)
        .get_result(conn)
        .optional()
        .map_err(|error| Error::database("look for the tenant", error))?;
    row.map(|row| Ok((SchemaName::existing(&row.schema_name)?, row.schema_oid)))
        .transpose()
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
    let mut lists: HashMap<Vec<String>, Arc<BTreeSet<String>>> = HashMap::new();
    for member in members.iter_mut().filter(|member| asked(member)) {
        let history = histories.remove(&member.schema);
        // One that came in its place is not the one that is known by this number.
        let own = history.filter(|history| Some(history.oid) == member.schema_oid);
        let Some(own) = own else {
            member.known = Known::Unknown;
            continue;
        };
        match own.versions {
            Err(error) => member.known = Known::Unreadable(error.chain()),
            Ok(versions) => {
                let list = lists
                    .entry(versions.clone())
                    .or_insert_with(|| Arc::new(versions.iter().cloned().collect()));
                member.known = Known::Versions(Arc::clone(list));
                found.push(LookedUp {
                    member: (member.incarnation, own.oid),
                    versions,
                });
            }
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
pub(crate) struct LockBudget {
    /// What the configuration promises.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) capacity: i64,
    /// The setting `max_locks_per_transaction`.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) per_transaction: i64,
    /// By everybody.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) taken: i64,
    /// By this session.
    #[diesel(sql_type = sql_types::BigInt)]
    pub(crate) held: i64,
    /// Whether a backslash in a constant is one, else texts cannot be parted safely; and no event trigger
    /// runs code beside what they define.
    #[diesel(sql_type = sql_types::Bool)]
    pub(crate) can_share: bool,
}

impl LockBudget {
    /// What a transaction that takes so many locks in all leaves of the room; fails where there is none, with
    /// what `why` makes of the room and of the `max_locks_per_transaction` that would do.
    pub(crate) fn foretell(
        &self,
        predicted: i64,
        why: impl FnOnce(i64, i64) -> String,
    ) -> Result<LockUse> {
        let others = self.taken - self.held;
        let room = self.capacity - others;
        if predicted > room {
            let connections = (self.capacity / self.per_transaction.max(1)).max(1);
            let setting = predicted.saturating_add(others) / connections + 1;
            return Err(Error::new(ErrorKind::InvalidInput, why(room, setting)));
        }
        Ok(LockUse {
            predicted,
            held: 0,
            room,
        })
    }

    pub(crate) fn read(conn: &mut PgConnection) -> Result<Self> {
        diesel::sql_query(fleet::LOCK_BUDGET)
            .get_result(conn)
            .map_err(|error| Error::database("count locks", error))
    }
}

/// What a schema's own table of migrations says.
pub(super) struct History {
    /// The number of the schema.
    pub(super) oid: u32,
    /// In the order of their bytes; an error where the table cannot be read.
    pub(super) versions: Result<Vec<String>>,
}

#[derive(QueryableByName)]
struct Existence {
    #[diesel(sql_type = sql_types::Text)]
    schema_name: String,
    #[diesel(sql_type = sql_types::Oid)]
    oid: u32,
    /// `None` where the role may not look.
    #[diesel(sql_type = sql_types::Nullable<sql_types::Bool>)]
    has_history: Option<bool>,
}

#[derive(QueryableByName)]
struct HistoryRow {
    #[diesel(sql_type = sql_types::Text)]
    schema_name: String,
    #[diesel(sql_type = sql_types::Text)]
    version: String,
}

/// The versions that schemas have. A schema that does not exist is left out. Nothing is
/// created for it, which Diesel's own harness would do.
pub(super) fn read_histories(
    pg: &mut PgConnection,
    schemas: &[SchemaName],
) -> Result<HashMap<SchemaName, History>> {
    let failed = |error| Error::database("read which migrations are applied", error);
    let names: Vec<&str> = schemas.iter().map(SchemaName::as_str).collect();
    let existing: Vec<Existence> = diesel::sql_query(
        "SELECT s.name AS schema_name, n.oid, \
         CASE WHEN pg_catalog.has_schema_privilege(n.oid, 'USAGE') THEN pg_catalog.to_regclass( \
             pg_catalog.quote_ident(s.name) || '.__diesel_schema_migrations') IS NOT NULL END AS has_history \
         FROM pg_catalog.unnest($1) AS s (name) \
         JOIN pg_catalog.pg_namespace AS n ON n.nspname = s.name::pg_catalog.name",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(names)
    .load(pg)
    .map_err(failed)?;
    let known: HashMap<&str, &SchemaName> = schemas.iter().map(|s| (s.as_str(), s)).collect();
    let mut histories = HashMap::new();
    let mut with_history = Vec::new();
    for row in &existing {
        let Some(&schema) = known.get(row.schema_name.as_str()) else {
            continue;
        };
        let versions = match row.has_history {
            Some(true) => {
                with_history.push(schema);
                Ok(Vec::new())
            }
            Some(false) => Ok(Vec::new()),
            None => Err(Error::new(
                ErrorKind::SchemaUnavailable,
                format!("this role has no USAGE privilege on schema {schema}"),
            )),
        };
        let oid = row.oid;
        histories.insert(schema.clone(), History { oid, versions });
    }
    for some in with_history.chunks(HISTORIES_A_QUERY) {
        match load_histories(pg, some) {
            Ok(rows) => add(&mut histories, &known, rows),
            // One of them is at fault: each is asked alone.
            Err(_) if some.len() > 1 => {
                for schema in some {
                    match load_histories(pg, std::slice::from_ref(schema)) {
                        Ok(rows) => add(&mut histories, &known, rows),
                        Err(error) => fail(&mut histories, schema, failed(error)),
                    }
                }
            }
            Err(error) => fail(&mut histories, some[0], failed(error)),
        }
    }
    for history in histories.values_mut() {
        if let Ok(versions) = &mut history.versions {
            versions.sort_unstable();
        }
    }
    Ok(histories)
}

fn load_histories(pg: &mut PgConnection, schemas: &[&SchemaName]) -> QueryResult<Vec<HistoryRow>> {
    diesel::sql_query(sql::histories(schemas.iter().copied())).load(pg)
}

fn add(
    histories: &mut HashMap<SchemaName, History>,
    known: &HashMap<&str, &SchemaName>,
    rows: Vec<HistoryRow>,
) {
    for row in rows {
        let history = known
            .get(row.schema_name.as_str())
            .and_then(|schema| histories.get_mut(*schema));
        if let Some(Ok(versions)) = history.map(|history| &mut history.versions) {
            versions.push(row.version);
        }
    }
}

fn fail(histories: &mut HashMap<SchemaName, History>, schema: &SchemaName, error: Error) {
    if let Some(history) = histories.get_mut(schema) {
        history.versions = Err(error);
    }
}
