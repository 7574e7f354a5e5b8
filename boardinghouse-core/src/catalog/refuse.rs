//! What cannot be cloned, and why: the whole list, before anything is created.

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, Integer, Oid, Text},
};

use super::{Members, Reference};
use crate::error::{Error, Result};

/// The words for an object's kind when that kind cannot be cloned; `None` when it can.
///
/// `parent` is the catalog of the object that it is a part of.
pub(super) fn kind(class: &str, relkind: &str, parent: &str) -> Option<&'static str> {
    Some(match (class, relkind) {
        // Tables and sequences are in the schema; of the rest, each is part of one of those, unless
        // it names the schema in an expression.
        ("pg_class", "i") | ("pg_attrdef" | "pg_constraint" | "pg_trigger", _)
            if parent == "pg_namespace" =>
        {
            "expressions that name the schema"
        }
        ("pg_class", "r" | "S" | "i" | "t") | ("pg_attrdef" | "pg_constraint", _) => return None,
        // Row types and their array types; other types are in the schema themselves.
        ("pg_type", _) if parent != "pg_namespace" => return None,
        // These make a foreign key work.
        ("pg_trigger", _) if parent == "pg_constraint" => return None,
        ("pg_class", "v") => "views",
        ("pg_class", "m") => "materialized views",
        ("pg_class", "p" | "I") => "partitioned tables",
        ("pg_class", "f") => "foreign tables",
        ("pg_type", _) => "types and domains",
        ("pg_proc", _) => "functions, procedures and aggregates",
        ("pg_operator", _) => "operators",
        ("pg_opclass" | "pg_opfamily", _) => "operator classes and families",
        ("pg_collation", _) => "collations",
        ("pg_conversion", _) => "conversions",
        ("pg_statistic_ext", _) => "extended statistics",
        ("pg_ts_config" | "pg_ts_dict" | "pg_ts_parser" | "pg_ts_template", _) => {
            "text search objects"
        }
        ("pg_extension", _) => "extensions",
        ("pg_trigger", _) => "triggers",
        ("pg_rewrite", _) => "rules",
        ("pg_policy", _) => "row-level security policies",
        ("pg_publication_rel" | "pg_publication_namespace", _) => "publications",
        ("pg_default_acl", _) => "default privileges",
        _ => "objects of this kind",
    })
}

#[derive(QueryableByName)]
struct Finding {
    #[diesel(sql_type = Text)]
    object: String,
    #[diesel(sql_type = Text)]
    what: String,
}

/// One line for each thing in the schema that cannot be cloned faithfully.
pub(crate) fn refusals(
    conn: &mut PgConnection,
    schema: u32,
    version: i32,
    members: &Members,
    references: &[Reference],
) -> Result<Vec<String>> {
    // Objects as parallel arrays: catalog, oid, the words for what cannot be cloned about it.
    let (mut classes, mut objects, mut what) = (Vec::new(), Vec::new(), Vec::new());
    let mut found = |class: &str, object: u32, words: &str| {
        classes.push(class.to_owned());
        objects.push(object);
        what.push(words.to_owned());
    };
    for ((class, object), words) in &members.refused {
        found(class, *object, words);
    }
    for reference in references {
        let words = match (reference.target_class.as_str(), reference.kind.as_str()) {
            ("pg_extension", "e" | "x") => "membership of an extension",
            ("pg_type", "n") if uses_row_type(members, reference) => {
                "the use of a table's row type"
            }
            _ => continue,
        };
        found(&reference.class, reference.object, words);
    }
    let relations = [
        &members.tables[..],
        &members.sequences[..],
        &members.indexes[..],
    ]
    .concat();
    let silent: Vec<u32> = members
        .known
        .iter()
        .filter(|(class, _)| !matches!(class.as_str(), "pg_class" | "pg_constraint"))
        .map(|(_, oid)| *oid)
        .collect();
    let mut lines: Vec<String> = sql_query(PROPERTIES)
        .bind::<Array<Text>, _>(classes)
        .bind::<Array<Oid>, _>(objects)
        .bind::<Array<Text>, _>(what)
        .bind::<Array<Oid>, _>(relations)
        .bind::<Oid, _>(schema)
        .bind::<Integer, _>(version)
        .bind::<Array<Oid>, _>(silent)
        .load::<Finding>(conn)
        .map_err(|error| Error::database("check what the template holds", error))?
        .into_iter()
        .map(|finding| format!("{}: {} cannot be cloned yet", finding.object, finding.what))
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}

/// Whether a member other than the table itself uses the row type of one of the tables: the clone's
/// tables would have to be created in the order of that use.
fn uses_row_type(members: &Members, reference: &Reference) -> bool {
    let inside = (reference.target_class.clone(), reference.target);
    members.known.contains(&inside) && reference.class != "pg_type"
}

/// Unites what the caller found (`$1` to `$3`) with the properties of relations `$4` and of schema
/// `$5` that cannot be cloned, and describes each object. `$6` is the server's version; `$7` are
/// the parts of relations on which nobody comments: row types, defaults, triggers.
const PROPERTIES: &str = r#"
SELECT pg_catalog.pg_describe_object(f.class, f.object, f.sub) AS object, f.what
FROM (
    SELECT u.class::pg_catalog.regclass::pg_catalog.oid AS class, u.object, 0 AS sub, u.what
    FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))
         AS u (class, object, what)
  UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0, p.what
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = $5
    LEFT JOIN pg_catalog.pg_am am ON am.oid = c.relam
    CROSS JOIN LATERAL (VALUES
        (c.relnamespace <> n.oid, 'a place in another schema'),
        (c.relrowsecurity OR c.relforcerowsecurity, 'row-level security'),
        (c.relispartition, 'a partition'),
        (c.relkind = 'r' AND c.relreplident <> 'd', 'a replica identity'),
        (c.reloftype <> 0, 'a typed table'),
        (c.reltablespace <> 0, 'a tablespace'),
        (c.relkind = 'r' AND am.amname <> 'heap', 'a table access method'),
        (c.relpersistence = 't', 'a temporary relation'),
        (c.relowner <> n.nspowner, 'an owner other than that of the schema'),
        (c.relacl <> pg_catalog.acldefault(
            (CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END)::"char", c.relowner), 'a grant'),
        (EXISTS (SELECT FROM pg_catalog.pg_class s WHERE s.relname = c.relname
                 AND s.relnamespace = 'pg_catalog'::pg_catalog.regnamespace),
         'a name that hides behind a system catalog'),
        (EXISTS (SELECT FROM pg_catalog.pg_inherits i
                 WHERE i.inhrelid = c.oid OR i.inhparent = c.oid), 'inheritance'),
        (EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid
                 AND t.tgisinternal AND t.tgenabled <> 'O'), 'a disabled constraint trigger')
    ) AS p (found, what)
    WHERE c.oid = ANY ($4) AND p.found
  UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 0, p.what
    FROM pg_catalog.pg_index i
    CROSS JOIN LATERAL (VALUES
        (NOT (i.indisvalid AND i.indisready AND i.indislive), 'an invalid index'),
        (i.indisclustered, 'a CLUSTER setting'),
        (i.indisreplident, 'a replica identity')
    ) AS p (found, what)
    WHERE i.indexrelid = ANY ($4) AND p.found
  UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, a.attrelid, a.attnum, p.what
    FROM pg_catalog.pg_attribute a
    CROSS JOIN LATERAL (VALUES
        (a.attacl IS NOT NULL, 'a grant'),
        (a.attoptions IS NOT NULL, 'an option of a column')
    ) AS p (found, what)
    WHERE a.attrelid = ANY ($4) AND NOT a.attisdropped AND p.found
  UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0, p.what
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_sequence s ON s.seqrelid = c.oid
    JOIN pg_catalog.pg_depend d
      ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
     AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a', 'i')
    JOIN pg_catalog.pg_class t ON t.oid = d.refobjid
    JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    CROSS JOIN LATERAL (VALUES
        (d.deptype = 'i' AND s.seqtypid <> a.atttypid,
         'an identity whose sequence has another type'),
        (d.deptype = 'i' AND c.relpersistence <> CASE WHEN $6 < 150000 THEN 'p'
                                                     ELSE t.relpersistence END,
         'an identity whose sequence is logged unlike its table'),
        (t.relnamespace <> c.relnamespace, 'an owner in another schema')
    ) AS p (found, what)
    WHERE c.oid = ANY ($4) AND p.found
  UNION ALL
    SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, 0, 'a grant'
    FROM pg_catalog.pg_namespace n
    WHERE n.oid = $5 AND n.nspacl <> pg_catalog.acldefault('n'::"char", n.nspowner)
  UNION ALL
    SELECT l.classoid, l.objoid, l.objsubid, 'a security label'
    FROM pg_catalog.pg_seclabel l
    WHERE l.objoid = $5 AND l.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
       OR l.objoid = ANY ($4) AND l.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
  UNION ALL
    SELECT c.classoid, c.objoid, c.objsubid, 'a comment'
    FROM pg_catalog.pg_description c
    WHERE c.objoid = ANY ($7)
      AND c.classoid IN ('pg_catalog.pg_type'::pg_catalog.regclass,
                         'pg_catalog.pg_trigger'::pg_catalog.regclass)
) AS f
"#;
