//! Whether a schema is still what it was when it was last read.
//!
//! Each row of a catalog knows the transaction that wrote it (`xmin`, PostgreSQL manual, 5.5 "System
//! Columns"), and where it is (`ctid`), which changes also where one transaction writes it twice. A hash of
//! those, over every row that a plan is made of, is another as soon as anybody changes anything about the
//! schema; to take it costs a fraction of reading the definitions.

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    pg::Pg,
    result::Error as DieselError,
    sql_query,
    sql_types::{Oid, Text},
};

use super::{
    USES,
    data::{Contents, sequence_positions, versions_of_rows},
};
use crate::{
    error::{Error, Result},
    names::SchemaName,
    sql::Literal,
};

#[derive(QueryableByName)]
struct Hash {
    #[diesel(sql_type = Text)]
    fingerprint: String,
}

/// What tells one state of a schema from every other that it had or will have in its database: a database
/// that is taken back to an earlier point in time goes on in another time line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fingerprint(pub(crate) String);

/// The question for the fingerprint of a schema.
#[derive(Debug)]
pub(crate) struct Question {
    /// An expression.
    pub(crate) sql: String,
}

/// What the objects of a schema depend on that is not in it, and what that depends on. It is part of what a look at
/// the schema asks for, so that a look need not search for it: as long as none of these is another, they depend on
/// the same.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outside {
    /// Each with the catalog that it is in.
    objects: Vec<(u32, u32)>,
    roles: Vec<u32>,
    /// Those of the objects that consist of more than their names: relations, types and functions.
    relations: Vec<u32>,
    types: Vec<u32>,
    functions: Vec<u32>,
}

impl Outside {
    pub(crate) fn read(
        conn: &mut PgConnection,
        schema: &SchemaName,
        holds: &Contents,
    ) -> Result<Self> {
        #[derive(QueryableByName)]
        struct Used {
            #[diesel(sql_type = Oid)]
            class: u32,
            #[diesel(sql_type = Oid)]
            oid: u32,
            #[diesel(sql_type = Text)]
            catalog: String,
            /// That of a type which has columns.
            #[diesel(sql_type = Oid)]
            relation: u32,
        }
        let sql = objects(schema, holds) + &OUTSIDE.replace("{uses}", USES);
        let used: Vec<Used> = ask(conn, &sql, "look what the template uses")?;
        let mut outside = Self::default();
        for one in used {
            match one.catalog.as_str() {
                "pg_authid" => {
                    outside.roles.push(one.oid);
                    continue;
                }
                "pg_class" => outside.relations.push(one.oid),
                "pg_type" => outside.types.push(one.oid),
                "pg_proc" => outside.functions.push(one.oid),
                _ => {}
            }
            if one.relation != 0 {
                outside.relations.push(one.relation);
            }
            outside.objects.push((one.class, one.oid));
        }
        Ok(outside)
    }

    /// A query for the rows that those objects consist of.
    fn rows(&self) -> String {
        let attributes = "r.attnum::int";
        let of_domains = " AND r.conrelid = 0";
        let parts = [
            ("pg_attribute", "attrelid", attributes, &self.relations, ""),
            ("pg_rewrite", "ev_class", "0", &self.relations, ""),
            ("pg_type", "oid", "0", &self.types, ""),
            ("pg_enum", "enumtypid", "0", &self.types, ""),
            ("pg_constraint", "contypid", "0", &self.types, of_domains),
            ("pg_proc", "oid", "0", &self.functions, ""),
        ];
        let rows: Vec<String> = parts
            .iter()
            .filter(|(.., oids, _)| !oids.is_empty())
            .map(|(catalog, oid, sub, oids, only)| {
                let own = format!("r.{oid} = ANY ('{}'::oid[]){only}", list(*oids));
                versions(catalog, oid, sub, &format!("{catalog} r WHERE {own}"))
            })
            .collect();
        match rows.is_empty() {
            true => "SELECT * FROM line WHERE false".to_owned(),
            false => rows.join("\n  UNION ALL "),
        }
    }
}

impl Question {
    /// `holds` is what the schema held when it was last read, and `outside` what it used. A table without rows
    /// must not get its first page, and no other catalog an object of it.
    pub(crate) fn new(schema: &SchemaName, holds: &Contents, outside: &Outside) -> Self {
        let rows = versions_of_rows(schema, &holds.tables);
        let positions = sequence_positions(schema, &holds.sequences);
        let data = [rows, positions].concat();
        let data = match data.is_empty() {
            true => "NULL".to_owned(),
            false => format!("ARRAY[{}]", data.join(", ")),
        };
        let answer = ANSWER
            .replace("{library}", &Literal(env!("CARGO_PKG_VERSION")).to_string())
            .replace("{schema}", &schema.literal().to_string())
            .replace(
                "{classes}",
                &list(outside.objects.iter().map(|(class, _)| class)),
            )
            .replace("{oids}", &list(outside.objects.iter().map(|(_, oid)| oid)))
            .replace("{roles}", &list(&outside.roles))
            .replace("{data}", &data);
        let sql = format!(
            "{}, {DESCRIBED}, {BELONGS}, elsewhere (class, oid, sub, version) AS MATERIALIZED (\n  {}\n){answer}",
            objects(schema, holds),
            outside.rows()
        );
        Self { sql }
    }
}

/// The answer. The path and everything else in the session stay as they were.
pub(crate) fn read(conn: &mut PgConnection, question: &Question) -> Result<Fingerprint> {
    let sql = format!("SELECT ({}) AS fingerprint", question.sql);
    let task = "look whether the template has changed";
    let mut rows: Vec<Hash> = ask(conn, &sql, task)?;
    rows.pop()
        .map(|row| Fingerprint(row.fingerprint))
        .ok_or_else(|| Error::database(task, DieselError::NotFound))
}

/// What a query says on the path of the catalogs, which it leaves again.
fn ask<R>(conn: &mut PgConnection, sql: &str, task: &'static str) -> Result<Vec<R>>
where
    R: QueryableByName<Pg> + 'static,
{
    let mut answer = Vec::new();
    // Ended by a rollback, which takes the path back.
    let ended = conn.transaction::<(), DieselError, _>(|conn| {
        conn.batch_execute("SET LOCAL search_path TO pg_catalog, pg_temp; SET LOCAL jit TO off")?;
        answer = sql_query(sql).load(conn)?;
        Err(DieselError::RollbackTransaction)
    });
    match ended {
        Err(DieselError::RollbackTransaction) => Ok(answer),
        ended => Err(Error::database(
            task,
            ended.err().unwrap_or(DieselError::NotFound),
        )),
    }
}

/// The rows `r` of a catalog: whose each is, which part of it, and the version.
fn versions(catalog: &str, oid: &str, sub: &str, from: &str) -> String {
    format!(
        "SELECT '{catalog}'::regclass, r.{oid}, {sub}, r.xmin::text || r.ctid::text FROM {from}"
    )
}

/// The oids, as the inside of the literal of an array.
fn list<'a>(oids: impl IntoIterator<Item = &'a u32>) -> String {
    let oids: Vec<String> = oids.into_iter().map(u32::to_string).collect();
    format!("{{{}}}", oids.join(","))
}

/// The beginning of a query: all rows of the catalogs that a plan is made of, as `line` and `part`, and the
/// objects among them.
fn objects(schema: &SchemaName, holds: &Contents) -> String {
    let tables = holds.tables.iter();
    let tables: Vec<String> = tables.map(|t| Literal(t).to_string()).collect();
    let others = OTHERS
        .iter()
        .filter(|(of, ..)| holds.catalogs.iter().any(|held| held == of))
        .map(|(_, catalog, oid, sub, own)| {
            let from = format!("more, {catalog} r WHERE {own}");
            format!("\n  UNION ALL {}", versions(catalog, oid, sub, &from))
        });
    OBJECTS
        .replace("{others}", &others.collect::<String>())
        .replace("{schema}", &schema.literal().to_string())
        .replace("{tables}", &tables.join(", "))
}

/// Rows that are only asked for where the schema has such objects: the catalog that the objects are in, that of
/// the rows, its columns for the object and the part of it, and which rows are the schema's.
#[rustfmt::skip]
const OTHERS: [(&str, &str, &str, &str, &str); 17] = [
    ("pg_type", "pg_constraint", "oid", "0", "r.conrelid = 0 AND r.contypid = ANY (more.types)"),
    ("pg_type", "pg_enum", "oid", "0", "r.enumtypid = ANY (more.types)"),
    ("pg_type", "pg_range", "rngtypid", "0", "r.rngtypid = ANY (more.types)"),
    ("pg_proc", "pg_proc", "oid", "0", "r.oid = ANY (more.procs)"),
    ("pg_proc", "pg_aggregate", "aggfnoid", "0", "r.aggfnoid = ANY (more.procs)"),
    ("pg_operator", "pg_operator", "oid", "0", "r.oid = ANY (more.own) AND r.oprnamespace = (SELECT oid FROM schema)"),
    ("pg_opclass", "pg_opclass", "oid", "0", "r.oid = ANY (more.own) AND r.opcnamespace = (SELECT oid FROM schema)"),
    ("pg_opfamily", "pg_opfamily", "oid", "0", "r.oid = ANY (more.families)"),
    ("pg_opfamily", "pg_amop", "oid", "0", "r.amopfamily = ANY (more.families)"),
    ("pg_opfamily", "pg_amproc", "oid", "0", "r.amprocfamily = ANY (more.families)"),
    ("pg_collation", "pg_collation", "oid", "0", "r.oid = ANY (more.own) AND r.collnamespace = (SELECT oid FROM schema)"),
    ("pg_conversion", "pg_conversion", "oid", "0", "r.oid = ANY (more.own) AND r.connamespace = (SELECT oid FROM schema)"),
    ("pg_ts_config", "pg_ts_config", "oid", "0", "r.oid = ANY (more.configurations)"),
    ("pg_ts_config", "pg_ts_config_map", "mapcfg", "mapseqno", "r.mapcfg = ANY (more.configurations)"),
    ("pg_ts_dict", "pg_ts_dict", "oid", "0", "r.oid = ANY (more.own) AND r.dictnamespace = (SELECT oid FROM schema)"),
    ("pg_ts_parser", "pg_ts_parser", "oid", "0", "r.oid = ANY (more.own) AND r.prsnamespace = (SELECT oid FROM schema)"),
    ("pg_ts_template", "pg_ts_template", "oid", "0", "r.oid = ANY (more.own) AND r.tmplnamespace = (SELECT oid FROM schema)"),
];

/// What has no rows has no pages, or never had any.
///
/// The oids of several catalogs may be the same number, which makes a hash depend on a row too many, never on
/// one too few. Sums do not depend on the order of the rows, which need not be sorted then; that other rows
/// come to the same two has a chance of one in 2^128. Only what is an object, and so among the `line`s, can be
/// described, owned, or depend on something.
const OBJECTS: &str = "
WITH RECURSIVE schema AS MATERIALIZED (
    SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname = {schema}
), own AS MATERIALIZED (
    SELECT d.classid AS class, d.objid AS oid
    FROM pg_catalog.pg_depend d
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid = (SELECT oid FROM schema)
), arrays AS MATERIALIZED (
    SELECT ARRAY(SELECT oid FROM own) AS own,
        ARRAY(SELECT oid FROM own WHERE class = 'pg_class'::regclass) AS rels,
        ARRAY(SELECT oid FROM own WHERE class = 'pg_type'::regclass) AS types,
        ARRAY(SELECT oid FROM own WHERE class = 'pg_proc'::regclass) AS procs,
        ARRAY(SELECT oid FROM own WHERE class = 'pg_opfamily'::regclass) AS families,
        ARRAY(SELECT oid FROM own WHERE class = 'pg_ts_config'::regclass) AS configurations
), more AS MATERIALIZED (
    SELECT a.*,
        ARRAY(SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = ANY (a.rels)) AS indexes,
        ARRAY(SELECT t.typrelid FROM pg_type t WHERE t.oid = ANY (a.types) AND t.typrelid <> 0)
            AS composites,
        ARRAY(SELECT c.reltype FROM pg_class c WHERE c.oid = ANY (a.rels) AND c.reltype <> 0)
            AS row_types
    FROM arrays a
), line (class, oid, sub, version) AS MATERIALIZED (
    SELECT 'pg_namespace'::regclass::oid, n.oid, 0, n.xmin::text || n.ctid::text FROM pg_namespace n, schema
    WHERE n.oid = schema.oid
  UNION ALL SELECT 'pg_class'::regclass, r.oid, CASE WHEN r.relkind = 'r' AND r.relname <> ALL (ARRAY[{tables}]::text[])
                   THEN pg_relation_size(r.oid) END::int, r.xmin::text || r.ctid::text FROM more, pg_class r
    WHERE r.oid = ANY (more.rels || more.indexes || more.composites)
  UNION ALL SELECT 'pg_class'::regclass, t.oid, 0, t.reloptions::text FROM more, pg_class r, pg_class t
    WHERE r.oid = ANY (more.rels) AND t.oid = r.reltoastrelid AND t.reloptions IS NOT NULL
  UNION ALL SELECT 'pg_attrdef'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_attrdef r
    WHERE r.adrelid = ANY (more.rels)
  UNION ALL SELECT 'pg_constraint'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_constraint r
    WHERE r.conrelid = ANY (more.rels)
  UNION ALL SELECT 'pg_trigger'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_trigger r
    WHERE r.tgrelid = ANY (more.rels)
  UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_rewrite r
    WHERE r.ev_class = ANY (more.rels)
  UNION ALL SELECT 'pg_policy'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_policy r
    WHERE r.polrelid = ANY (more.rels)
  UNION ALL SELECT 'pg_statistic_ext'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_statistic_ext r
    WHERE r.stxrelid = ANY (more.rels) OR r.oid = ANY (more.own)
  UNION ALL SELECT 'pg_type'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_type r
    WHERE r.oid = ANY (more.types || more.row_types)
  UNION ALL SELECT 'pg_cast'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_cast r
    WHERE r.castsource = ANY (more.types || more.row_types)
       OR r.casttarget = ANY (more.types || more.row_types)
  UNION ALL SELECT 'pg_default_acl'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM pg_default_acl r
    WHERE r.defaclnamespace = 0 OR r.defaclnamespace = (SELECT oid FROM schema)
  UNION ALL SELECT 'pg_publication_rel'::regclass, r.oid, 0, r.xmin::text || r.ctid::text FROM more, pg_publication_rel r
    WHERE r.prrelid = ANY (more.rels){others}
), part (class, oid, sub, version) AS MATERIALIZED (
    SELECT 'pg_class'::regclass, r.attrelid, r.attnum, r.xmin::text || r.ctid::text FROM more, pg_attribute r
    WHERE r.attrelid = ANY (more.rels || more.indexes || more.composites) AND r.attnum > 0
  UNION ALL SELECT 'pg_index'::regclass, r.indexrelid, 0, r.xmin::text || r.ctid::text FROM more, pg_index r
    WHERE r.indexrelid = ANY (more.indexes)
  UNION ALL SELECT 'pg_inherits'::regclass, r.inhrelid, r.inhseqno, r.xmin::text || r.ctid::text FROM more, pg_inherits r
    WHERE r.inhrelid = ANY (more.rels || more.indexes)
  UNION ALL SELECT 'pg_partitioned_table'::regclass, r.partrelid, 0, r.xmin::text || r.ctid::text
    FROM more, pg_partitioned_table r WHERE r.partrelid = ANY (more.rels)
  UNION ALL SELECT 'pg_sequence'::regclass, r.seqrelid, 0, r.xmin::text || r.ctid::text FROM more, pg_sequence r
    WHERE r.seqrelid = ANY (more.rels)
), object AS MATERIALIZED (
    SELECT class, oid FROM line
)";

const DESCRIBED: &str = "described AS MATERIALIZED (
    SELECT l.class, l.oid, d.objsubid AS sub, d.version
    FROM (
        SELECT d.classoid, d.objoid, d.objsubid, d.xmin::text || d.ctid::text AS version FROM pg_description d
        WHERE d.objoid = ANY (ARRAY(SELECT oid FROM object)) OFFSET 0) d
    JOIN object l ON l.oid = d.objoid AND l.class = d.classoid
  UNION ALL
    SELECT l.class, l.oid, s.objsubid, s.label FROM pg_seclabel s
    JOIN object l ON s.objoid = l.oid AND s.classoid = l.class
)";

/// What the objects use that is not in the schema, and what that uses. Who belongs to an extension is asked at every
/// look. Nothing depends on the role that was there first, which is always asked for.
const OUTSIDE: &str = ", outside AS (
    SELECT d.refclassid AS class, d.refobjid AS object
    FROM object l, more, LATERAL (
        SELECT d.* FROM pg_depend d WHERE d.classid = l.class AND d.objid = l.oid
        AND d.deptype NOT IN ('e', 'x') OFFSET 0) d
    WHERE d.refobjid <> ALL (more.own || more.indexes || more.row_types || more.composites)
      AND (d.refclassid, d.refobjid) NOT IN (SELECT x.class, x.oid FROM object x)
  UNION
    SELECT next.class, next.object
    FROM outside used CROSS JOIN LATERAL ({uses}) next
    WHERE next.deptype NOT IN ('e', 'x')
)
SELECT used.class, used.object AS oid, c.relname::text AS catalog, coalesce(t.typrelid, 0) AS relation
FROM outside used
JOIN pg_class c ON c.oid = used.class
LEFT JOIN pg_type t ON used.class = 'pg_type'::regclass AND t.oid = used.object
UNION
SELECT r.refclassid, r.refobjid, 'pg_authid', 0
FROM object l, LATERAL (
    SELECT r.* FROM pg_shdepend r
    WHERE r.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND r.classid = l.class AND r.objid = l.oid AND r.refclassid = 'pg_authid'::regclass
    OFFSET 0) r
ORDER BY 1, 2";

/// Extensions that an object of the schema belongs to, or depends on: `ALTER EXTENSION … ADD` and
/// `… DEPENDS ON EXTENSION` write in no other row than this.
const BELONGS: &str = "belongs AS MATERIALIZED (
    SELECT l.class, l.oid, d.deptype, e.extname
    FROM pg_extension e
    JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
     AND d.deptype IN ('e', 'x')
    JOIN object l ON l.class = d.classid AND l.oid = d.objid
)";

const ANSWER: &str = "
SELECT encode(sha256(convert_to(concat_ws(' ',
    current_database(), current_user, current_setting('server_version_num'),
    (SELECT timeline_id FROM pg_control_checkpoint()), {library}, {schema},
    (SELECT concat_ws(' ', count(*),
         sum(hashtextextended(version, (class::bigint << 32) + oid::bigint)),
         sum(hashtextextended(version, (oid::bigint << 32) + coalesce(sub, -1))))
     FROM (SELECT * FROM line UNION ALL SELECT * FROM part UNION ALL SELECT * FROM described
           UNION ALL SELECT * FROM elsewhere) l),
    (SELECT string_agg(concat_ws(' ', class, oid, deptype, extname), ',' ORDER BY class, oid, deptype, extname)
     FROM belongs),
    (SELECT string_agg(concat_ws(' ', class, used.oid, i.identity), ',' ORDER BY class, used.oid)
     FROM unnest('{classes}'::oid[], '{oids}'::oid[]) used (class, oid),
          pg_identify_object(used.class, used.oid, 0) i),
    (SELECT string_agg(concat_ws(' ', rolname, oid), ',' ORDER BY oid) FROM pg_roles
     WHERE oid = ANY ('{roles}'::oid[]) OR oid = 10),
    (SELECT string_agg(concat_ws(' ', spcname, oid), ',' ORDER BY oid) FROM pg_tablespace),
    (SELECT string_agg(DISTINCT class::text, ' ') FROM own),
    (SELECT string_agg(item, ',') FROM unnest({data}::text[]) item)
), 'UTF8')), 'hex')";
