//! What cannot be cloned, and why: the whole list, before anything is created.

use std::collections::HashSet;

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, Oid, Text},
};

use super::{Members, Reference, USES};
use crate::error::{Error, Result};

/// The words for an object's kind when that kind cannot be cloned; `None` when it can.
pub(super) fn kind(class: &str, relkind: &str) -> Option<&'static str> {
    Some(match (class, relkind) {
        ("pg_class", "r" | "p" | "S" | "i" | "I" | "t" | "v" | "m" | "c") => return None,
        (
            "pg_attrdef" | "pg_constraint" | "pg_trigger" | "pg_rewrite" | "pg_policy" | "pg_type"
            | "pg_proc" | "pg_operator" | "pg_opclass" | "pg_opfamily" | "pg_amop" | "pg_amproc"
            | "pg_collation" | "pg_statistic_ext" | "pg_ts_config" | "pg_ts_dict" | "pg_ts_parser"
            | "pg_ts_template" | "pg_default_acl" | "pg_cast" | "pg_conversion",
            _,
        ) => return None,
        ("pg_class", "f") => "foreign tables",
        ("pg_extension", _) => "extensions",
        ("pg_publication_rel" | "pg_publication_namespace", _) => {
            "publications, which belong to the database,"
        }
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
    // An extension in the schema stands for all that belongs to it.
    let mut of_extensions = HashSet::new();
    for reference in references {
        if reference.target_class != "pg_extension" || !matches!(&*reference.kind, "e" | "x") {
            continue;
        }
        let extension = ("pg_extension".to_owned(), reference.target);
        of_extensions.insert((reference.class.clone(), reference.object));
        if !members
            .refused
            .iter()
            .any(|(object, _)| *object == extension)
        {
            found(
                &reference.class,
                reference.object,
                "membership of an extension",
            );
        }
    }
    let all: Vec<u32> = members
        .known
        .iter()
        .filter(|object| !of_extensions.contains(object))
        .map(|(_, oid)| *oid)
        .collect();
    let mut lines: Vec<String> = sql_query(PROPERTIES)
        .bind::<Array<Text>, _>(classes)
        .bind::<Array<Oid>, _>(objects)
        .bind::<Array<Text>, _>(what)
        .bind::<Array<Oid>, _>(all)
        .bind::<Oid, _>(schema)
        .load::<Finding>(conn)
        .map_err(|error| Error::database("check what the schema holds", error))?
        .into_iter()
        .map(|finding| format!("{}: {} cannot be cloned", finding.object, finding.what))
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}

/// One line for each thing outside of the schema that something in it uses, and that itself uses something in
/// it: a clone would use that, too.
pub(crate) fn round_about(
    conn: &mut PgConnection,
    schema: u32,
    members: &Members,
    references: &[Reference],
) -> Result<Vec<String>> {
    let outside: HashSet<(&str, u32)> = references
        .iter()
        .filter(|r| r.target >= FIRST_OF_USERS)
        .map(|r| (r.target_class.as_str(), r.target))
        .filter(|(class, oid)| {
            *class != "pg_namespace" && !members.known.contains(&((*class).to_owned(), *oid))
        })
        .collect();
    if outside.is_empty() {
        return Ok(Vec::new());
    }
    let (classes, objects): (Vec<&str>, Vec<u32>) = outside.into_iter().unzip();
    sql_query(ROUND_ABOUT.replace("{uses}", USES))
        .bind::<Array<Text>, _>(classes)
        .bind::<Array<Oid>, _>(objects)
        .bind::<Oid, _>(schema)
        .load::<Finding>(conn)
        .map(|found| {
            let line = |f: Finding| {
                format!(
                    "{}: the schema uses it, and it uses {} of the schema, as it would for a clone",
                    f.object, f.what
                )
            };
            found.into_iter().map(line).collect()
        })
        .map_err(|error| Error::database("look at what the schema uses", error))
}

/// PostgreSQL's own objects have lower numbers (PostgreSQL's source, access/transam.h, `FirstNormalObjectId`).
const FIRST_OF_USERS: u32 = 16_384;

/// Begins at the objects `$1`, `$2`, and goes on to what they use ([`USES`]). What is in schema `$3` is an end.
const ROUND_ABOUT: &str = "
    WITH RECURSIVE used (first_class, first, class, object) AS (
        SELECT c.oid, u.object, c.oid, u.object
        FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS u (class, object)
        JOIN LATERAL (SELECT u.class::pg_catalog.regclass::pg_catalog.oid) AS c (oid) ON true
        UNION
        SELECT used.first_class, used.first, next.class, next.object
        FROM used CROSS JOIN LATERAL ({uses}) next
        WHERE next.object >= 16384
    )
    SELECT DISTINCT pg_catalog.pg_describe_object(used.first_class, used.first, 0) AS object,
           pg_catalog.pg_describe_object(used.class, used.object, 0) AS what
    FROM used
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(used.class, used.object, 0) AS named
    JOIN pg_catalog.pg_namespace n ON n.oid = $3
    WHERE named.schema = pg_catalog.quote_ident(n.nspname)
       OR used.class = 'pg_catalog.pg_namespace'::pg_catalog.regclass AND used.object = n.oid
    ORDER BY 1, 2";

/// Unites what the caller found (`$1` to `$3`) with the properties of the members `$4` and of schema
/// `$5` that cannot be cloned, and describes each object.
///
/// An oid is unique in its catalog only, so that each part asks where the object is. The index of a
/// partitioned table that some partition lacks is invalid, too, and its clone will be.
const PROPERTIES: &str = r#"
SELECT pg_catalog.pg_describe_object(f.class, f.object, f.sub) AS object, f.what
FROM (
    SELECT u.class::pg_catalog.regclass::pg_catalog.oid AS class, u.object, 0 AS sub, u.what
    FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3))
         AS u (class, object, what)
  UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0, p.what
    FROM pg_catalog.pg_class c
    CROSS JOIN LATERAL (VALUES
        (c.relnamespace <> $5 AND c.relkind <> 't'
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i
                         JOIN pg_catalog.pg_class t ON t.oid = i.indrelid AND t.relkind = 't'
                         WHERE i.indexrelid = c.oid), 'a place in another schema'),
        (c.relkind IN ('r', 'p') AND (
            EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class o
                    ON o.oid = i.inhparent AND o.relnamespace <> $5 WHERE i.inhrelid = c.oid)
            OR EXISTS (SELECT FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class o
                       ON o.oid = i.inhrelid AND o.relnamespace <> $5 WHERE i.inhparent = c.oid)),
         'inheritance from or to another schema')
    ) AS p (found, what)
    WHERE c.oid = ANY ($4) AND p.found
  UNION ALL
    SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 0, 'an invalid index'
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
    WHERE i.indexrelid = ANY ($4) AND NOT (i.indisvalid AND i.indisready AND i.indislive)
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
        (d.deptype = 'i' AND c.relpersistence <>
            CASE WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 < 150000
                 THEN 'p' ELSE t.relpersistence END,
         'an identity whose sequence is logged unlike its table')
    ) AS p (found, what)
    WHERE c.oid = ANY ($4) AND p.found
  UNION ALL
    SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid, 0, p.what
    FROM pg_catalog.pg_type t
    CROSS JOIN LATERAL (VALUES
        (t.typtype = 'b' AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid),
         'a base type'),
        (NOT t.typisdefined OR t.typtype = 'p', 'a shell type')
    ) AS p (found, what)
    WHERE t.oid = ANY ($4) AND t.typnamespace = $5 AND p.found
  UNION ALL
    SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, 0,
           'an operator that PostgreSQL has, too,'
    FROM pg_catalog.pg_operator o
    JOIN pg_catalog.pg_operator own ON own.oprname = o.oprname AND own.oprleft = o.oprleft
     AND own.oprright = o.oprright AND own.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace
    WHERE o.oid = ANY ($4) AND o.oprnamespace = $5
  UNION ALL
    SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, 0, 'an operator without a function'
    FROM pg_catalog.pg_operator o
    WHERE o.oid = ANY ($4) AND o.oprnamespace = $5 AND o.oprcode = 0
  UNION ALL
    SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, 0, 'a disabled constraint trigger'
    FROM pg_catalog.pg_trigger t
    WHERE t.oid = ANY ($4) AND t.tgisinternal AND t.tgenabled <> 'O' AND t.tgparentid = 0
  UNION ALL
    SELECT l.classoid, l.objoid, l.objsubid, 'a security label'
    FROM pg_catalog.pg_seclabel l
    WHERE l.objoid = $5 AND l.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
       OR l.objoid = ANY ($4)
) AS f
"#;
