//! What a schema does: its triggers, keys, checks, policies and functions use what is in it.

use crate::{
    compare::{quoted, shape},
    database::Database,
};

/// What is refused, and the words of the refusal.
const REFUSED: &[(&str, &str)] = &[
    (
        "INSERT INTO notes (parent) VALUES (99)",
        "notes_parent_fkey",
    ),
    // Deferred: refused at the end of the transaction.
    ("INSERT INTO notes (author) VALUES (99)", "notes_author"),
    ("INSERT INTO notes (price) VALUES (-1)", "notes_price_check"),
    ("INSERT INTO notes (amount) VALUES (3)", "even_only"),
    (
        "INSERT INTO notes (title) VALUES ('For bidden')",
        "it's a \\ check",
    ),
    ("UPDATE \"Order\" SET \"select\" = 1", "Order uq"),
    (
        "INSERT INTO parted (region, day, id) VALUES ('eu', '2020-05-01', -1)",
        "old_only",
    ),
    (
        "INSERT INTO to_parted VALUES (2, 'eu', '2024-05-01', 2, 1)",
        "to parted",
    ),
    (
        "INSERT INTO child (id, size, name) VALUES (1, -1, 'x')",
        "child_only",
    ),
    ("INSERT INTO mother (id) VALUES (-1)", "both_have"),
    (
        "INSERT INTO clustered VALUES (5); INSERT INTO clustered VALUES (5)",
        "clustered_pkey",
    ),
    (
        "SET ROLE sink_writer; INSERT INTO secret (id) VALUES (500)",
        "row-level security",
    ),
    (
        "SET ROLE sink_reader; INSERT INTO secret (id) VALUES (1)",
        "permission denied for table secret",
    ),
    (
        "SET ROLE sink_reader; CALL add_note('x')",
        "permission denied for procedure",
    ),
];

/// Each function and what it must give, for a schema with one note.
const CALLED: &[(&str, &str)] = &[
    ("add(1)", "11"),
    ("add('a', 'b')", "ait's \\ b"),
    ("slug('A b')", "a-b"),
    ("\"F un\\c's\"()", "Hello You"),
    ("(SELECT count(*) FROM all_notes())", "1"),
    ("(SELECT max(\"we ird\") FROM as_table(0))", "Hello You"),
    ("with_out(1, 'x')", "(2,x,red)"),
    ("many(1, 2)", "3"),
    ("first_of(ARRAY[1])", "1"),
    ("(SELECT of_row(n) FROM notes n)", "Hello Youwe ird"),
    ("secure()", "1"),
    ("secure_too()", "1"),
    ("qualified()", "1"),
    ("(SELECT count(*) FROM supported(1, 3))", "3"),
    ("allowed(100)", "false"),
    ("!# 4", "true"),
    ("ROW(1, 'a', 2)::typed_row::\"Pa ir\"", "(1,a,{},0.000)"),
    ("ROW(7, 'a', '{}', 2)::\"Pa ir\"::integer", "7"),
    ("ROW(7, 'a', '{}', 2)::\"Pa ir\" <# 8", "true"),
    ("(SELECT rank_of() OVER () FROM notes)", "1"),
    ("(SELECT total(price) FROM notes)", "total 0.10"),
    ("(SELECT smallest(pair) FROM notes)", "(5,y,{},1.000)"),
    ("(SELECT how_many(*) FROM notes)", "1"),
    ("(SELECT average(1.5))", "1.5"),
    ("(SELECT internal_sum(2))", "2"),
    (
        "(SELECT middle(0.5) WITHIN GROUP (ORDER BY author) FROM (VALUES (3), (4)) v (author))",
        "3",
    ),
    (
        "(SELECT my_rank(1) WITHIN GROUP (ORDER BY author) FROM (VALUES (3), (4)) v (author))",
        "1",
    ),
    (
        "(SELECT collected(n) FROM generate_series(1, 2) n)",
        "{1,2}",
    ),
    ("to_tsvector('conf', 'Häuser at sea')", "'haus':1 'sea':3"),
    ("(SELECT words FROM circular)", "Hello You1"),
    (
        "(SELECT string_agg(i::text, ',') FROM (SELECT id FROM grouped) g (i))",
        "1",
    ),
];

const CALLED_SINCE_14: &[(&str, &str)] = &[
    ("standard(1)", "6"),
    ("(SELECT count(*) FROM atomic(0))", "1"),
    ("empty_body()", "NULL"),
    ("(SELECT s FROM uses_atomic)", "6"),
];

/// What the triggers wrote down.
const FIRED: &str = "before_row INSERT ROW, on_always INSERT ROW, after_rows1, deferred_one INSERT ROW, \
    before_row INSERT ROW, on_always INSERT ROW, after_rows1, deferred_one INSERT ROW, \
    after\\st's DELETE STATEMENT, before_row UPDATE ROW, changed_rows1, of_partition INSERT ROW, \
    parted_row INSERT ROW, parted_row INSERT ROW, parted_all INSERT STATEMENT";

/// Fills a schema that is as new, and looks whether all that follows happens in it.
pub(crate) fn assert_works(db: &mut Database, schema: &str) {
    db.run(&format!("SET search_path TO {}", quoted(schema)));
    db.run("INSERT INTO notes (body) VALUES ('Hello You')");
    let numbers =
        "SELECT concat_ws(' ', id, small, number, late, early, doubled, summed) FROM notes";
    assert_eq!(db.value(numbers), "1 1 7 10 1 2 2");
    assert_eq!(db.value("SELECT words FROM notes"), "'hello':1 'you':2");
    db.run("INSERT INTO seen (\"B o dy\") VALUES ('through the view')");
    db.run("DELETE FROM seen WHERE \"B o dy\" = 'through the view'");
    db.run("UPDATE notes SET pair = ROW(5, 'y', '{}', 1), title = 'A Title'");
    db.run(
        "INSERT INTO parted (region, day, id)
         VALUES ('eu', '2024-05-01', 1), ('us', '2020-01-01', 2), ('it''s', '2020-01-01', 3)",
    );
    let fired = "SELECT string_agg(what, ', ' ORDER BY id) FROM fired";
    assert_eq!(db.value(fired), FIRED);
    assert_eq!(
        db.value("SELECT array_to_string(arguments, '|') FROM fired ORDER BY id LIMIT 1"),
        "it's|\\ \"x\"||1"
    );
    db.run("INSERT INTO to_parted VALUES (1, 'eu', '2024-05-01', 1, 1)");
    db.run("INSERT INTO \"Order\" (\"select\", note) VALUES (2, 1)");
    assert_eq!(db.value("SELECT max(\"Id\") FROM \"Order\""), "115");
    // A rule of replicas.
    db.run(
        "INSERT INTO \"q\"\"uote\" VALUES (7); SET session_replication_role TO replica;
         INSERT INTO \"q\"\"uote\" VALUES (6); RESET session_replication_role",
    );
    assert_eq!(db.value("SELECT part FROM scratch"), "6");

    for (sql, words) in REFUSED {
        let said = db.fails(sql);
        db.run("RESET ROLE");
        assert!(said.contains(words), "{sql}: {said}");
    }
    db.run("SET ROLE sink_writer; INSERT INTO secret (id, shade) VALUES (1, 'green'), (2, 'red')");
    assert_eq!(db.value("SELECT count(*) FROM secret"), "1");
    db.run("RESET ROLE");
    assert_calls(db, schema);
}

/// Calls everything, and reads all views, afresh.
fn assert_calls(db: &mut Database, schema: &str) {
    db.run(&format!("SET search_path TO {}", quoted(schema)));
    let newer = CALLED_SINCE_14.iter().filter(|_| db.version >= 140_000);
    for (call, expected) in CALLED.iter().chain(newer).copied().collect::<Vec<_>>() {
        assert_eq!(db.value(&format!("SELECT {call}")), expected, "{call}");
    }
    let tables = "SELECT 'notes'::regclass::oid || '1' || '\"Order\"'::regclass::oid";
    assert_eq!(db.value("SELECT by_regclass()"), db.value(tables));
    let next = db.value("SELECT next_number() + 1");
    assert_eq!(db.value("SELECT nextval('moved_seq')"), next);
    db.run("BEGIN; CALL add_note('from a procedure'); CALL \"do it\"()");
    assert_eq!(db.value("SELECT count(*) FROM notes"), "2");
    db.run("REFRESH MATERIALIZED VIEW kept; REFRESH MATERIALIZED VIEW \"not kept\"");
    assert_eq!(db.value("SELECT count(*) FROM \"not kept\""), "2");
    db.run(
        "DO $$ DECLARE one regclass; BEGIN
             FOR one IN SELECT oid FROM pg_class
                 WHERE relkind IN ('v', 'm') AND relnamespace = current_schema()::regnamespace
             LOOP EXECUTE 'SELECT count(t) FROM ' || one || ' t'; END LOOP;
         END $$; ROLLBACK",
    );
    db.run("RESET search_path");
}

#[test]
fn the_kitchen_sink_works() {
    let mut db = Database::with_sink("works");
    assert_works(&mut db, "tmpl");
}

#[test]
fn a_clone_works_without_its_source() {
    let mut db = Database::with_sink("alone");
    let source = shape(&mut db.conn, "tmpl");
    let plan = db.compile("tmpl");
    db.apply(&plan, "acme");
    assert_works(&mut db, "acme");

    // Sequences included, nothing happened in the source; nor in the shared schema.
    assert_eq!(source, shape(&mut db.conn, "tmpl"));
    for (table, rows) in [
        ("notes", "0"),
        ("fired", "0"),
        ("\"Order\"", "1"),
        ("secret", "0"),
    ] {
        assert_eq!(
            db.value(&format!("SELECT count(*) FROM tmpl.{table}")),
            rows,
            "{table}"
        );
    }
    let bait = "SELECT string_agg(body, ',') FROM public.notes";
    assert_eq!(db.value(bait), "SHARED");

    let clone = shape(&mut db.conn, "acme");
    db.run("DROP SCHEMA tmpl CASCADE");
    assert_eq!(clone, shape(&mut db.conn, "acme"));
    assert_calls(&mut db, "acme");
    // One by one: a deferred trigger fires when a message ends.
    for sql in [
        "SET search_path TO acme",
        "INSERT INTO notes (body) VALUES ('later')",
        "RESET search_path",
    ] {
        db.run(sql);
    }
    assert_eq!(db.value("SELECT count(*) FROM acme.notes"), "2");
    assert_eq!(
        db.value("SELECT max(late) - max(number) FROM acme.notes"),
        "3"
    );
    assert_eq!(db.value(bait), "SHARED");
}
