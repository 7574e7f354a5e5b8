//! What is not a table: types, functions, operators, views and the like.
//!
//! Read while `search_path` begins with the schema: the server then writes names in it bare, and
//! others as far as they need it, so that the text means the same in any schema that is first on
//! the path. Our own queries name every function and type in full, and operators of PostgreSQL's
//! cannot be hidden: the schema was refused if it has the like.

mod queries;

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, Bool, Nullable, Oid, Text},
};

use self::queries::{
    AGGREGATES, CASTS, CLASSES, COLLATIONS, COMPOSITES, CONFIGURATIONS, CONVERSIONS, DICTIONARIES,
    DOMAINS, ENUMS, FAMILIES, LOOSE, MAPPINGS, OPERATORS, PARSERS, POLICIES, RANGES, ROUTINES,
    RULE_STATES, RULES, STATISTICS, STATISTICS_TARGETS, TEMPLATES, TRIGGER_STATES, TRIGGERS, VIEWS,
};
use super::Members;
use crate::error::{Error, Result};

/// An object and the statement that creates it.
#[derive(Debug, QueryableByName)]
pub(crate) struct Defined {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) sql: String,
}

impl Defined {
    /// The name without the types of arguments.
    pub(crate) fn bare_name(&self) -> &str {
        let name = self.name.split('(').next().unwrap_or_default();
        name.trim_matches('"')
    }
}

/// A function or procedure.
#[derive(Debug, QueryableByName)]
pub(crate) struct Routine {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    /// With the types of its arguments.
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Text)]
    pub(crate) bare_name: String,
    #[diesel(sql_type = Text)]
    pub(crate) language: String,
    /// Everything up to its settings.
    #[diesel(sql_type = Text)]
    pub(crate) head: String,
    /// As `pg_proc.proconfig`: `name=value`.
    #[diesel(sql_type = Array<Text>)]
    pub(crate) settings: Vec<String>,
    #[diesel(sql_type = Text)]
    pub(crate) body: String,
    /// The file of a function in C.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) file: Option<String>,
    /// The body that the server has parsed (`BEGIN ATOMIC`), instead of text.
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) parsed_body: Option<String>,
}

/// A view or materialised view.
#[derive(Debug, QueryableByName)]
pub(crate) struct View {
    #[diesel(sql_type = Oid)]
    pub(crate) oid: u32,
    #[diesel(sql_type = Text)]
    pub(crate) name: String,
    #[diesel(sql_type = Bool)]
    pub(crate) materialized: bool,
    /// From the options on to the last word of the query.
    #[diesel(sql_type = Text)]
    pub(crate) definition: String,
    /// The same columns, all NULL: what stands in for the view until what it uses is there.
    #[diesel(sql_type = Text)]
    pub(crate) stand_in: String,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Defines {
    pub(crate) collations: Vec<Defined>,
    pub(crate) enums: Vec<Defined>,
    pub(crate) composites: Vec<Defined>,
    pub(crate) domains: Vec<Defined>,
    pub(crate) ranges: Vec<Defined>,
    pub(crate) routines: Vec<Routine>,
    pub(crate) aggregates: Vec<Defined>,
    pub(crate) operators: Vec<Defined>,
    pub(crate) families: Vec<Defined>,
    /// Members of families that belong to no class.
    pub(crate) loose: Vec<Defined>,
    pub(crate) classes: Vec<Defined>,
    pub(crate) casts: Vec<Defined>,
    pub(crate) conversions: Vec<Defined>,
    pub(crate) parsers: Vec<Defined>,
    pub(crate) templates: Vec<Defined>,
    pub(crate) dictionaries: Vec<Defined>,
    pub(crate) configurations: Vec<Defined>,
    pub(crate) mappings: Vec<Defined>,
    pub(crate) views: Vec<View>,
    pub(crate) statistics: Vec<Defined>,
    pub(crate) statistics_targets: Vec<Defined>,
    pub(crate) triggers: Vec<Defined>,
    pub(crate) trigger_states: Vec<Defined>,
    pub(crate) rules: Vec<Defined>,
    pub(crate) rule_states: Vec<Defined>,
    pub(crate) policies: Vec<Defined>,
}

struct Reader<'a> {
    conn: &'a mut PgConnection,
    schema: u32,
}

impl Reader<'_> {
    fn load<T>(&mut self, sql: &str, oids: &[u32]) -> Result<Vec<T>>
    where
        T: QueryableByName<diesel::pg::Pg> + 'static,
    {
        if oids.is_empty() {
            return Ok(Vec::new());
        }
        sql_query(sql)
            .bind::<Array<Oid>, _>(oids)
            .bind::<Oid, _>(self.schema)
            .load(self.conn)
            .map_err(|error| Error::database("read the definitions in the schema", error))
    }
}

/// Reads the definitions of what is not a table.
pub(crate) fn read(
    conn: &mut PgConnection,
    schema: u32,
    version: i32,
    members: &Members,
) -> Result<Defines> {
    let mut reader = Reader { conn, schema };
    let types = members.of("pg_type");
    let routines = members.of("pg_proc");
    let operators = members.of("pg_operator");
    let classes = members.of("pg_opclass");
    let families = members.of("pg_opfamily");
    let configurations = members.of("pg_ts_config");
    let statistics = members.of("pg_statistic_ext");
    let triggers = members.of("pg_trigger");
    let rules = members.of("pg_rewrite");
    let parsed = match version < 140_000 {
        true => "NULL",
        false => "pg_catalog.pg_get_function_sqlbody(p.oid)",
    };
    Ok(Defines {
        collations: reader.load(COLLATIONS, &members.of("pg_collation"))?,
        enums: reader.load(ENUMS, &types)?,
        composites: reader.load(COMPOSITES, &types)?,
        domains: reader.load(DOMAINS, &types)?,
        ranges: reader.load(RANGES, &types)?,
        routines: reader.load(&ROUTINES.replace("{parsed}", parsed), &routines)?,
        aggregates: reader.load(AGGREGATES, &routines)?,
        operators: reader.load(OPERATORS, &operators)?,
        families: reader.load(FAMILIES, &families)?,
        loose: reader.load(LOOSE, &families)?,
        classes: reader.load(CLASSES, &classes)?,
        casts: reader.load(CASTS, &types)?,
        conversions: reader.load(CONVERSIONS, &members.of("pg_conversion"))?,
        parsers: reader.load(PARSERS, &members.of("pg_ts_parser"))?,
        templates: reader.load(TEMPLATES, &members.of("pg_ts_template"))?,
        dictionaries: reader.load(DICTIONARIES, &members.of("pg_ts_dict"))?,
        configurations: reader.load(CONFIGURATIONS, &configurations)?,
        mappings: reader.load(MAPPINGS, &configurations)?,
        views: reader.load(VIEWS, &members.relations(&["v", "m"]))?,
        statistics: reader.load(STATISTICS, &statistics)?,
        statistics_targets: reader.load(STATISTICS_TARGETS, &statistics)?,
        triggers: reader.load(TRIGGERS, &triggers)?,
        trigger_states: reader.load(TRIGGER_STATES, &triggers)?,
        rules: reader.load(RULES, &rules)?,
        rule_states: reader.load(RULE_STATES, &rules)?,
        policies: reader.load(POLICIES, &members.of("pg_policy"))?,
    })
}

/// What a cast is about is known by its types; a cast is in no schema itself.
pub(crate) fn casts_of(conn: &mut PgConnection, members: &Members) -> Result<Vec<u32>> {
    #[derive(QueryableByName)]
    struct Cast {
        #[diesel(sql_type = Oid)]
        oid: u32,
    }
    sql_query(
        "SELECT c.oid FROM pg_catalog.pg_cast c
         WHERE c.castsource = ANY ($1) OR c.casttarget = ANY ($1) ORDER BY 1",
    )
    .bind::<Array<Oid>, _>(members.of("pg_type"))
    .load::<Cast>(conn)
    .map(|rows| rows.into_iter().map(|row| row.oid).collect())
    .map_err(|error| Error::database("read the casts of the schema's types", error))
}
