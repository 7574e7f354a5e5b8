//! What a schema is, as lines that can be compared: written for the tests alone, from the catalogs, and
//! without a look at how clones are compiled.

use std::collections::BTreeMap;

use diesel::{
    Connection, PgConnection, QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    result::Error,
    sql_query,
    sql_types::{BigInt, Text},
};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    object: String,
    #[diesel(sql_type = Text)]
    property: String,
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct Own {
    #[diesel(sql_type = BigInt)]
    oid: i64,
    #[diesel(sql_type = BigInt)]
    version: i64,
}

/// Everything about a schema, sorted, as `object: property = value`, in which its own name does not occur
/// and those of other schemas do.
pub(crate) fn shape(conn: &mut PgConnection, schema: &str) -> Vec<String> {
    let mut lines = Vec::new();
    // Rolled back, so that the path is what it was.
    let done: QueryResult<()> = conn.transaction(|conn| {
        lines = read(conn, schema)?;
        Err(Error::RollbackTransaction)
    });
    assert_eq!(done, Err(Error::RollbackTransaction), "{schema}");
    lines.sort();
    lines
}

fn read(conn: &mut PgConnection, schema: &str) -> QueryResult<Vec<String>> {
    let path = quoted(schema);
    conn.batch_execute(&format!(
        "SET LOCAL search_path TO {path}, pg_catalog, pg_temp"
    ))?;
    let own: Own = sql_query(
        "SELECT oid::bigint, current_setting('server_version_num')::bigint AS version
         FROM pg_namespace WHERE nspname = $1",
    )
    .bind::<Text, _>(schema)
    .get_result(conn)?;
    let mut lines = Vec::new();
    for statement in include_str!("shape.sql").split(";\n") {
        let since = statement.lines().find_map(|line| {
            let version = line.strip_prefix("-- ")?;
            version.parse::<i64>().ok()
        });
        if statement.trim().is_empty() || since.is_some_and(|since| since > own.version) {
            continue;
        }
        let statement = statement.replace("{own}", &own.oid.to_string());
        lines.extend(properties(conn, &statement)?);
    }
    lines.extend(sequences(conn, own.oid)?);
    Ok(lines
        .into_iter()
        .map(|line| line.normalised(schema))
        .collect())
}

/// The objects and properties that a statement finds, one line a property. `OFFSET 0` has the objects
/// described once, and not for each of their properties.
fn properties(conn: &mut PgConnection, statement: &str) -> QueryResult<Vec<Line>> {
    sql_query(format!(
        "SELECT o AS object, key AS property, coalesce(value, 'NULL') AS value
         FROM ({statement} OFFSET 0) AS q (o, p), jsonb_each_text(p)"
    ))
    .load(conn)
}

/// Where the sequences stand, which only they themselves tell.
fn sequences(conn: &mut PgConnection, schema: i64) -> QueryResult<Vec<Line>> {
    let found = properties(
        conn,
        &format!(
            "SELECT oid::regclass::text, '{{\"kind\": \"sequence\"}}'::jsonb FROM pg_class
             WHERE relkind = 'S' AND relnamespace = {schema}"
        ),
    )?;
    let mut lines = Vec::new();
    for Line { object: name, .. } in found {
        lines.extend(properties(
            conn,
            &format!(
                "SELECT pg_describe_object('pg_class'::regclass, tableoid, 0),
                     jsonb_build_object('last_value', last_value, 'is_called', is_called)
                 FROM {name}"
            ),
        )?);
    }
    Ok(lines)
}

impl Line {
    /// Text that the catalogs keep as text may name the schema of its own accord.
    fn normalised(self, schema: &str) -> String {
        let Self {
            object,
            property,
            value,
        } = self;
        let value = match property.as_str() {
            "prosrc" => unnamed(&value, schema, "<own>"),
            "default" | "definition" | "using" | "check" | "sql body" | "arguments" => {
                unnamed_in_literals(&value, schema)
            }
            path if path.ends_with(" search_path") => unnamed_in_path(&value, schema),
            _ => value,
        };
        format!("{object}: {property} = {value}")
    }
}

/// What is in one and not in the other, as `- line` and `+ line`. Both are sorted.
pub(crate) fn differences(one: &[String], other: &[String]) -> Vec<String> {
    let mut counts: BTreeMap<&String, i32> = BTreeMap::new();
    for line in one {
        *counts.entry(line).or_default() -= 1;
    }
    for line in other {
        *counts.entry(line).or_default() += 1;
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .map(|(line, count)| format!("{} {line}", if count < 0 { '-' } else { '+' }))
        .collect()
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn is_part_of_name(c: char) -> bool {
    c.is_alphanumeric() || "_$".contains(c)
}

/// A schema as SQL may write it before a dot: quoted or, where that is the same, bare; and inside a string.
fn spellings(schema: &str) -> Vec<String> {
    let mut all = vec![quoted(schema)];
    if schema
        .chars()
        .all(|c| is_part_of_name(c) && !c.is_uppercase())
    {
        all.push(schema.to_owned());
    }
    let in_string = quoted(schema).replace('\'', "''");
    all.push(in_string.replace('\\', "\\\\"));
    all.push(in_string);
    all
}

/// Puts `by` where the schema is named before a dot, in the body of a function.
pub(crate) fn unnamed(text: &str, schema: &str, by: &str) -> String {
    let spellings = spellings(schema);
    let mut out = String::new();
    let mut rest = text;
    'text: while let Some(next) = rest.chars().next() {
        let goes_on = out.ends_with(|c| is_part_of_name(c) || c == '"' || c == '.');
        for name in spellings.iter().filter(|_| !goes_on) {
            if let Some(after) = rest.strip_prefix(name.as_str())
                && after.starts_with('.')
            {
                out.push_str(by);
                rest = after;
                continue 'text;
            }
        }
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out
}

/// The same in what was deparsed, where a name before a dot may also be an alias: only at the start of a
/// string is it that of the schema.
fn unnamed_in_literals(text: &str, schema: &str) -> String {
    spellings(schema)
        .iter()
        .fold(text.to_owned(), |text, name| {
            // A name with a backslash alone makes it a string of that kind.
            let escaped = format!("E'{name}.");
            let text = text.replace(escaped.as_str(), "'<own>.");
            text.replace(&format!("'{name}."), "'<own>.")
        })
}

/// The same in a search path, whose names are quoted where they have to be.
fn unnamed_in_path(text: &str, schema: &str) -> String {
    let mut inside = false;
    let names = text.split(|c| {
        inside ^= c == '"';
        c == ',' && !inside
    });
    let names: Vec<_> = names
        .map(str::trim)
        .map(|name| {
            if spellings(schema).iter().any(|own| own == name) {
                "<own>"
            } else {
                name
            }
        })
        .collect();
    names.join(", ")
}

#[test]
fn only_the_name_of_the_schema_itself_is_left_out() {
    let body = "SELECT s.x, ss.y, 's.z', \"s\".a, t.s.b, \"o s\".c FROM s";
    let expected = "SELECT <own>.x, ss.y, '<own>.z', <own>.a, t.s.b, \"o s\".c FROM s";
    assert_eq!(unnamed(body, "s", "<own>"), expected);
    let odd = "It's \"q\\";
    let body = "SELECT \"It's \"\"q\\\".x, '\"It''s \"\"q\\\".x', E'\"It''s \"\"q\\\\\".x'";
    let expected = "SELECT <own>.x, '<own>.x', E'<own>.x'";
    assert_eq!(unnamed(body, odd, "<own>"), expected);
    assert_eq!(unnamed_in_literals("a.b || 'a.b'", "a"), "a.b || '<own>.b'");
    let default = "nextval((E'\"It''s \"\"q\\\\\".x'::text)::regclass)";
    let expected = "nextval(('<own>.x'::text)::regclass)";
    assert_eq!(unnamed_in_literals(default, odd), expected);
    let path = "\"we, ird\", \"$user\", we";
    assert_eq!(unnamed_in_path(path, "we, ird"), "<own>, \"$user\", we");
    let (one, other) = (["a", "b", "b"], ["a", "b", "c"]);
    let lines = |of: [&str; 3]| of.map(str::to_owned);
    assert_eq!(differences(&lines(one), &lines(other)), ["- b", "+ c"]);
}
