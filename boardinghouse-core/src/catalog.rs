//! What a schema holds, read from PostgreSQL's catalogs.
//!
//! Nothing here writes, and nothing scans a catalog by schema: at thousands of tenants that costs a
//! hundred milliseconds a query, because no index leads with the namespace. Members are found
//! through the reference index of `pg_depend` instead, and everything else by oid.

use std::collections::{HashMap, HashSet};

use diesel::{
    OptionalExtension, PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, Integer, Oid, Text},
};

use crate::{
    error::{Error, Result},
    names::SchemaName,
};

pub(crate) mod address;
pub(crate) mod data;
pub(crate) mod define;
pub(crate) mod fingerprint;
pub(crate) mod fleet;
pub(crate) mod pointers;
pub(crate) mod refuse;
pub(crate) mod relocate;
pub(crate) mod tables;

/// An object, as `pg_depend` names it: the name of its catalog, and its oid there.
pub(crate) type Object = (String, u32);

/// What the object `used.class`, `used.object` uses, as a lateral query: views and tables by their rules, everything
/// else by itself.
const USES: &str = "
            SELECT d.refclassid AS class, d.refobjid AS object, d.deptype
            FROM pg_catalog.pg_depend d
            WHERE used.class <> 'pg_catalog.pg_class'::pg_catalog.regclass
              AND d.classid = used.class AND d.objid = used.object
            UNION ALL
            SELECT d.refclassid, d.refobjid, d.deptype
            FROM pg_catalog.pg_rewrite w
            JOIN pg_catalog.pg_depend d ON d.objid = w.oid
             AND d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
            WHERE used.class = 'pg_catalog.pg_class'::pg_catalog.regclass AND w.ev_class = used.object
            OFFSET 0";

/// One object that would disappear with the schema.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) class: String,
    pub(crate) oid: u32,
    /// As `pg_class.relkind`; empty for what is no relation.
    pub(crate) relkind: String,
    /// What it is a part of.
    pub(crate) parent: Object,
}

/// Everything that would disappear with the schema.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// What can be cloned, and what comes with it: defaults, row types, TOAST tables.
    pub(crate) list: Vec<Member>,
    pub(crate) known: HashSet<Object>,
    /// What cannot be cloned, with the words for its kind.
    pub(crate) refused: Vec<(Object, &'static str)>,
}

impl Members {
    /// The members in one catalog.
    pub(crate) fn of(&self, class: &str) -> Vec<u32> {
        let members = self.list.iter().filter(|member| member.class == class);
        members.map(|member| member.oid).collect()
    }

    /// The relations of some kinds, which are those of `pg_class.relkind`.
    pub(crate) fn relations(&self, kinds: &[&str]) -> Vec<u32> {
        let members = self.list.iter();
        members
            .filter(|member| kinds.contains(&member.relkind.as_str()))
            .map(|member| member.oid)
            .collect()
    }

    /// Adds the casts, which are in no schema.
    pub(crate) fn add_casts(&mut self, casts: &[u32]) {
        for &oid in casts {
            self.known.insert(("pg_cast".to_owned(), oid));
            self.list.push(Member {
                class: "pg_cast".to_owned(),
                oid,
                relkind: String::new(),
                parent: ("pg_cast".to_owned(), oid),
            });
        }
    }
}

/// That `object` uses `target`, in the way that `kind` says (`pg_depend.deptype`).
#[derive(Debug, QueryableByName)]
pub(crate) struct Reference {
    #[diesel(sql_type = Text)]
    pub(crate) class: String,
    #[diesel(sql_type = Oid)]
    pub(crate) object: u32,
    #[diesel(sql_type = Text)]
    pub(crate) target_class: String,
    #[diesel(sql_type = Oid)]
    pub(crate) target: u32,
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
}

#[derive(QueryableByName)]
struct OidRow {
    #[diesel(sql_type = Oid)]
    oid: u32,
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Edge {
    #[diesel(sql_type = Text)]
    class: String,
    #[diesel(sql_type = Oid)]
    object: u32,
    #[diesel(sql_type = Text)]
    parent_class: String,
    #[diesel(sql_type = Oid)]
    parent: u32,
    #[diesel(sql_type = Text)]
    relkind: String,
}

/// The members of schema `$1`: what is in it, then what is part of that, and so on.
///
/// Whatever names the schema in an expression depends on it, too, and need not be in it; so those
/// that can hold an expression are asked where they are.
///
/// `OFFSET 0` keeps the planner from turning the look-up of each object's parts into a join that
/// reads all of `pg_depend`. What is not among them is told by `NOT IN`, which is looked up in a hash; of `NOT
/// EXISTS` PostgreSQL 18 makes a loop over all of them for each.
const MEMBERS: &str = "
    WITH RECURSIVE member (class, object, parent_class, parent) AS (
        SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid,
               $1::pg_catalog.oid, 0::pg_catalog.oid, 0::pg_catalog.oid
        UNION
        SELECT part.classid, part.objid, member.class, member.object
        FROM member CROSS JOIN LATERAL (
            SELECT d.classid, d.objid
            FROM pg_catalog.pg_depend d
            WHERE d.refclassid = member.class AND d.refobjid = member.object
              AND (d.deptype IN ('a', 'i', 'P', 'S')
                   OR member.class = 'pg_catalog.pg_namespace'::pg_catalog.regclass)
              AND CASE WHEN member.class <> 'pg_catalog.pg_namespace'::pg_catalog.regclass THEN true
                  ELSE CASE d.classid
                      WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN EXISTS (
                          SELECT FROM pg_catalog.pg_class c WHERE c.oid = d.objid
                          AND c.relnamespace = $1 AND c.relkind NOT IN ('i', 'I'))
                      WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN EXISTS (
                          SELECT FROM pg_catalog.pg_proc p WHERE p.oid = d.objid
                          AND p.pronamespace = $1)
                      WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN EXISTS (
                          SELECT FROM pg_catalog.pg_type t WHERE t.oid = d.objid
                          AND t.typnamespace = $1)
                      WHEN 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass THEN EXISTS (
                          SELECT FROM pg_catalog.pg_statistic_ext x WHERE x.oid = d.objid
                          AND x.stxnamespace = $1)
                      WHEN 'pg_catalog.pg_attrdef'::pg_catalog.regclass THEN false
                      WHEN 'pg_catalog.pg_constraint'::pg_catalog.regclass THEN false
                      WHEN 'pg_catalog.pg_rewrite'::pg_catalog.regclass THEN false
                      WHEN 'pg_catalog.pg_policy'::pg_catalog.regclass THEN false
                      WHEN 'pg_catalog.pg_trigger'::pg_catalog.regclass THEN false
                      ELSE true END END
            OFFSET 0
        ) part
    )";

/// What outside a schema depends on something in it, in words.
pub(crate) fn dependents_outside(conn: &mut PgConnection, schema: u32) -> Result<Vec<String>> {
    sql_query(format!(
        "{MEMBERS}
         SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid) AS text
         FROM member m CROSS JOIN LATERAL (
             SELECT d.classid, d.objid, d.objsubid
             FROM pg_catalog.pg_depend d
             WHERE d.refclassid = m.class AND d.refobjid = m.object
             OFFSET 0
         ) d
         WHERE (d.classid, d.objid) NOT IN (SELECT x.class, x.object FROM member x)
         ORDER BY 1"
    ))
    .bind::<Oid, _>(schema)
    .load::<TextRow>(conn)
    .map(|rows| rows.into_iter().map(|row| row.text).collect())
    .map_err(|error| Error::database("list what depends on a schema", error))
}

/// The oid of `schema`, if it is there.
pub(crate) fn schema_oid(conn: &mut PgConnection, schema: &SchemaName) -> Result<Option<u32>> {
    sql_query("SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1")
        .bind::<Text, _>(schema.as_str())
        .get_result::<OidRow>(conn)
        .optional()
        .map(|row| row.map(|row| row.oid))
        .map_err(|error| Error::database("look a schema up", error))
}

/// The version of the server, as `server_version_num` writes it: 150018 is 15.18.
pub(crate) fn server_version(conn: &mut PgConnection) -> Result<i32> {
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = Integer)]
        version: i32,
    }
    sql_query("SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS version")
        .get_result::<Version>(conn)
        .map(|row| row.version)
        .map_err(|error| Error::database("read the version of the server", error))
}

/// Everything in the schema, sorted into what can be cloned and what cannot.
///
/// Complete by construction: an object of a kind that this function has never heard of is refused.
pub(crate) fn members(conn: &mut PgConnection, schema: u32) -> Result<Members> {
    let edges: Vec<Edge> = sql_query(format!(
        "{MEMBERS}
         SELECT m.class::pg_catalog.regclass::pg_catalog.text AS class, m.object,
                m.parent_class::pg_catalog.regclass::pg_catalog.text AS parent_class, m.parent,
                coalesce(c.relkind::pg_catalog.text, '') AS relkind
         FROM member m
         LEFT JOIN pg_catalog.pg_class c
           ON c.oid = m.object AND m.class = 'pg_catalog.pg_class'::pg_catalog.regclass
         WHERE m.parent <> 0"
    ))
    .bind::<Oid, _>(schema)
    .load(conn)
    .map_err(|error| Error::database("list what the template holds", error))?;

    let mut parts: HashMap<Object, Vec<&Edge>> = HashMap::new();
    for edge in &edges {
        let parent = (edge.parent_class.clone(), edge.parent);
        parts.entry(parent).or_default().push(edge);
    }
    let mut members = Members::default();
    let mut seen = HashSet::new();
    // Their indexes are as much the server's own as they are.
    let mut toast = HashSet::new();
    let mut open: Vec<Object> = vec![("pg_namespace".to_owned(), schema)];
    while let Some(parent) = open.pop() {
        for edge in parts.get(&parent).into_iter().flatten() {
            let object = (edge.class.clone(), edge.object);
            if !seen.insert(object.clone()) {
                continue;
            }
            if let Some(kind) = refuse::kind(edge.class.as_str(), edge.relkind.as_str()) {
                // Its parts go with it: they would only repeat the message.
                members.refused.push((object, kind));
                continue;
            }
            if edge.relkind == "t" {
                toast.insert(object.clone());
            } else if !toast.contains(&parent) {
                members.list.push(Member {
                    class: edge.class.clone(),
                    oid: edge.object,
                    relkind: edge.relkind.clone(),
                    parent: parent.clone(),
                });
            }
            members.known.insert(object.clone());
            open.push(object);
        }
    }
    Ok(members)
}

/// What the known members use, inside the schema and elsewhere.
pub(crate) fn references(conn: &mut PgConnection, members: &Members) -> Result<Vec<Reference>> {
    let (classes, objects): (Vec<&str>, Vec<u32>) = members
        .known
        .iter()
        .map(|(class, oid)| (class.as_str(), *oid))
        .unzip();
    sql_query(
        "SELECT m.class, m.object,
                d.refclassid::pg_catalog.regclass::pg_catalog.text AS target_class,
                d.refobjid AS target, d.deptype::pg_catalog.text AS kind
         FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS m (class, object)
         CROSS JOIN LATERAL (
             SELECT * FROM pg_catalog.pg_depend d
             WHERE d.classid = m.class::pg_catalog.regclass AND d.objid = m.object
             OFFSET 0
         ) d",
    )
    .bind::<Array<Text>, _>(classes)
    .bind::<Array<Oid>, _>(objects)
    .load(conn)
    .map_err(|error| Error::database("read what the template uses", error))
}

/// What in schema `target` uses anything in schema `source`, described for people.
pub(crate) fn leaks(
    conn: &mut PgConnection,
    target: &SchemaName,
    source: &SchemaName,
) -> Result<Vec<String>> {
    let Some(target) = schema_oid(conn, target)? else {
        return Ok(Vec::new());
    };
    sql_query(format!(
        "{MEMBERS}
         SELECT DISTINCT pg_catalog.format('%s uses %s',
                pg_catalog.pg_describe_object(used.classid, used.objid, used.objsubid),
                pg_catalog.pg_describe_object(used.refclassid, used.refobjid, used.refobjsubid)
                ) AS text
         FROM (
             SELECT d.* FROM member m CROSS JOIN LATERAL (
                 SELECT * FROM pg_catalog.pg_depend d
                 WHERE d.classid = m.class AND d.objid = m.object
                 OFFSET 0
             ) d
             WHERE (d.refclassid, d.refobjid) NOT IN (SELECT x.class, x.object FROM member x)
             OFFSET 0
         ) used
         CROSS JOIN LATERAL
             pg_catalog.pg_identify_object(used.refclassid, used.refobjid, 0) AS named
         WHERE named.schema = pg_catalog.quote_ident($2)
            OR (used.refclassid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
                AND named.name = pg_catalog.quote_ident($2))
         ORDER BY 1"
    ))
    .bind::<Oid, _>(target)
    .bind::<Text, _>(source.as_str())
    .load::<TextRow>(conn)
    .map(|rows| rows.into_iter().map(|row| row.text).collect())
    .map_err(|error| Error::database("check that the clone stands alone", error))
}
