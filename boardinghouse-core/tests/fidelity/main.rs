//! Is a clone what its template is, in everything? `TEST_DATABASE_URL` names a database of a superuser.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod behaviour;
mod compare;
mod database;
mod planted;
mod storage;

use compare::{differences, quoted, shape, unnamed};
use database::Database;

/// Names of schemas that are also aliases, keywords, or need every kind of quoting.
const NAMES: [&str; 4] = ["s", "user", "we ird", "It's \"q\\"];

fn assert_same(one: &[String], other: &[String], what: &str) {
    let found = differences(one, other);
    assert!(
        found.is_empty(),
        "{what}: {} differences\n{}",
        found.len(),
        found.join("\n")
    );
}

/// Clones `source` as `target`, and compares them by the catalogs and by `pg_dump`.
fn assert_cloned(db: &mut Database, source: &str, target: &str) {
    let before = shape(&mut db.conn, source);
    let plan = db.compile(source);
    db.apply(&plan, target);
    let after = shape(&mut db.conn, source);
    assert_same(&before, &after, &format!("{source} after it was cloned"));
    assert_alike(db, source, target);
}

/// Compares two schemas by the catalogs and by `pg_dump`.
fn assert_alike(db: &mut Database, source: &str, target: &str) {
    let what = format!("{source} and {target}");
    let (one, other) = (shape(&mut db.conn, source), shape(&mut db.conn, target));
    assert_same(&one, &other, &what);

    let Some(expected) = db.dump(source) else {
        return;
    };
    // Under the same name, so that only what is kept as text can still name the clone.
    db.rename(source, "hidden away");
    db.rename(target, source);
    let cloned = db.dump(source).unwrap();
    db.rename(source, target);
    db.rename("hidden away", source);
    let literal = |name: &str| format!("'{}'", name.replace('\'', "''"));
    let plain = |line: &String, own: &str| {
        let line = unnamed(line, own, "<own>");
        if line.contains("search_path") {
            line.replace(&literal(own), "'<own>'")
        } else {
            line
        }
    };
    let sorted = |lines: Vec<String>| {
        let mut lines = lines;
        lines.sort();
        lines
    };
    let expected = expected.iter().map(|line| plain(line, source)).collect();
    let cloned = cloned
        .iter()
        .map(|line| plain(&plain(line, source), target))
        .collect();
    let what = format!("the dumps of {what}");
    assert_same(&sorted(expected), &sorted(cloned), &what);
}

#[test]
fn two_kitchen_sinks_have_no_differences() {
    let mut one = Database::with_sink("one");
    let mut other = Database::with_sink("other");
    let expected = shape(&mut one.conn, "tmpl");
    assert!(expected.len() > 15_000, "{}", expected.len());
    assert_same(&expected, &shape(&mut other.conn, "tmpl"), "two databases");
    for name in NAMES {
        // What names the schema as text does not follow when it is renamed.
        let still_named = |line: &String| !line.contains("tmpl");
        other.rename("tmpl", name);
        let renamed = shape(&mut other.conn, name);
        other.rename(name, "tmpl");
        let found = differences(&expected, &renamed);
        let found: Vec<_> = found
            .into_iter()
            .filter(|line| !line.contains("<own>") && still_named(line))
            .collect();
        assert!(found.is_empty(), "{name}: {}", found.join("\n"));
    }
}

#[test]
fn the_same_script_under_another_name_makes_a_perfect_clone() {
    let mut db = Database::with_sink("script");
    for name in ["acme", "s"] {
        db.load(name, false);
        assert_alike(&mut db, "tmpl", name);
    }
    db.run("DROP SCHEMA tmpl CASCADE");
    behaviour::assert_works(&mut db, "acme");
}

#[test]
fn every_planted_difference_is_seen() {
    let mut db = Database::with_sink("planted");
    let missed = planted::missed(&mut db);
    assert!(missed.is_empty(), "not seen:\n{}", missed.join("\n"));
}

#[test]
fn every_planted_difference_is_drift() {
    let mut db = Database::with_sink("drift");
    let missed = planted::not_drifted(&mut db);
    assert!(missed.is_empty(), "not seen:\n{}", missed.join("\n"));
}

#[test]
fn a_clone_of_the_kitchen_sink_has_no_differences() {
    let mut db = Database::with_sink("clone");
    assert_cloned(&mut db, "tmpl", "acme");
}

#[test]
fn a_clone_may_have_any_name() {
    let mut db = Database::with_sink("targets");
    for name in NAMES {
        assert_cloned(&mut db, "tmpl", name);
        db.run(&format!("DROP SCHEMA {} CASCADE", quoted(name)));
    }
}

#[test]
fn a_source_may_have_any_name() {
    let mut db = Database::with_sink("sources");
    for name in ["s", "a", "public2", "user", "we ird"] {
        db.rename("tmpl", name);
        assert_cloned(&mut db, name, "acme");
        db.run("DROP SCHEMA acme CASCADE");
        db.rename(name, "tmpl");
    }
}

#[test]
fn a_source_that_its_functions_name_may_have_the_name_of_an_alias() {
    let mut db = Database::with_sink("alias");
    db.run("DROP SCHEMA tmpl CASCADE");
    db.load("s", false);
    assert_cloned(&mut db, "s", "acme");
}

#[test]
fn a_clone_of_a_clone_has_the_same_plan() {
    let mut db = Database::with_sink("again");
    let plan = db.compile("tmpl");
    db.apply(&plan, "acme");
    let again = db.compile("acme");
    assert_eq!(plan.steps(), again.steps());
    db.apply(&again, "we ird");
    let (one, two) = (shape(&mut db.conn, "acme"), shape(&mut db.conn, "we ird"));
    assert_same(&one, &two, "a clone and its clone");
}
