//! Diesel's whole surface on a checkout, on one connection on which two tenants take turns.

use std::io::BufRead as _;

use boardinghouse_core::TenantConnection;
use boardinghouse_tests::{
    BAIT, TestDb, add_note, bodies,
    schema::{notes, users},
    tenant, value,
};
use diesel::{
    connection::{DefaultLoadingMode, SimpleConnection},
    debug_query,
    dsl::{count_star, exists},
    pg::{CopyFormat, Pg, PgRowByRowLoadingMode},
    prelude::*,
    result::{DatabaseErrorKind, Error as DieselError},
    upsert::excluded,
};

diesel::table! {
    settings (key) {
        key -> Text,
        value -> Jsonb,
        tags -> Array<Text>,
    }
}

diesel::define_sql_function! {
    /// A function that each tenant has in its own words.
    fn greet(name: diesel::sql_types::Text) -> diesel::sql_types::Text;
}

#[derive(Queryable, Selectable, Identifiable, AsChangeset, Clone, Debug, PartialEq)]
#[diesel(table_name = notes, check_for_backend(Pg))]
struct Note {
    id: i32,
    body: String,
    author: Option<i32>,
}

#[derive(Insertable)]
#[diesel(table_name = notes, treat_none_as_default_value = false)]
struct NewNote {
    body: String,
    author: Option<i32>,
}

fn new_notes(of: &str, count: usize) -> Vec<NewNote> {
    let note = |number| NewNote {
        body: format!("{of}-{number}"),
        author: (number % 2 == 0).then_some(1),
    };
    (1..=count).map(note).collect()
}

/// Runs `work` for `a` and `b` in turn, which one connection must serve to the end, and looks whether
/// each saw itself.
pub(crate) fn in_turn(db: &TestDb, mut work: impl FnMut(&str, &mut TenantConnection)) {
    let pool = db.pool(1);
    let mut pids = Vec::new();
    for id in ["a", "b", "a", "a", "b"] {
        let mut conn = pool.get(&tenant(&pool, id)).unwrap();
        pids.push(value(&mut conn, "SELECT pg_backend_pid()"));
        work(id, &mut conn);
        let own = notes::table
            .select(notes::body)
            .order(notes::id)
            .first::<String>(&mut conn);
        assert_eq!(own.unwrap(), format!("from-{id}"));
    }
    pids.dedup();
    assert_eq!(pids.len(), 1, "the connection was closed in between");
    assert_eq!(bodies(&mut pool.get_shared().unwrap()).unwrap(), [BAIT]);
}

fn each(db: &TestDb, statements: &str) {
    for schema in ["a", "b"] {
        db.sql(&format!(
            "SET search_path TO {schema}; {}",
            statements.replace("{}", schema)
        ));
    }
}

#[test]
fn save_changes_writes_to_the_tenant_and_gives_what_it_wrote() {
    let db = TestDb::new();
    in_turn(&db, |_, conn| {
        let mut note: Note = notes::table.first(conn).unwrap();
        note.author = Some(note.author.map_or(1, |author| 3 - author));
        let saved: Note = note.save_changes(conn).unwrap();
        assert_eq!(saved, note);
    });
    assert_eq!(db.value("SELECT author FROM a.notes"), "1");
    assert_eq!(db.value("SELECT author FROM b.notes"), "2");
    assert_eq!(db.value("SELECT author FROM public.notes"), "NULL");
}

#[test]
fn rows_that_are_loaded_one_by_one_can_be_dropped_half_way() {
    let db = TestDb::new();
    each(
        &db,
        "INSERT INTO notes (body) SELECT 'from-{}' FROM generate_series(1, 5000)",
    );
    in_turn(&db, |id, conn| {
        let own = format!("from-{id}");
        let mut rows = notes::table
            .load_iter::<Note, PgRowByRowLoadingMode>(conn)
            .unwrap();
        for _ in 0..2500 {
            assert_eq!(rows.next().unwrap().unwrap().body, own);
        }
        drop(rows);
        assert_eq!(notes::table.count().get_result::<i64>(conn).unwrap(), 5001);
        let rows = notes::table
            .load_iter::<Note, DefaultLoadingMode>(conn)
            .unwrap();
        assert!(rows.map(Result::unwrap).all(|note| note.body == own));
        // And one that is not read to its end before the checkout ends.
        let mut rows = notes::table
            .load_iter::<Note, PgRowByRowLoadingMode>(conn)
            .unwrap();
        assert_eq!(rows.next().unwrap().unwrap().body, own);
    });
}

#[test]
fn joins_boxed_queries_groups_and_subqueries_stay_in_their_tenant() {
    let db = TestDb::new();
    each(
        &db,
        "INSERT INTO notes (body, author) VALUES ('x', 1), ('y', 2), ('z', 2)",
    );
    db.sql("DELETE FROM b.notes WHERE body = 'z'");
    in_turn(&db, |id, conn| {
        let joined: Vec<(String, String)> = notes::table
            .inner_join(users::table)
            .filter(users::email.eq("ann@example.com"))
            .select((notes::body, users::email))
            .load(conn)
            .unwrap();
        assert_eq!(joined, [("x".into(), "ann@example.com".into())]);
        let of_bob = if id == "a" { 2 } else { 1 };
        let grouped: Vec<(String, i64)> = notes::table
            .inner_join(users::table)
            .group_by(users::email)
            .having(count_star().gt(0))
            .select((users::email, count_star()))
            .order(users::email)
            .load(conn)
            .unwrap();
        assert_eq!(grouped[1], ("bob@example.com".into(), of_bob));
        for author in [None, Some(2)] {
            let mut boxed = notes::table.select(notes::id).into_boxed();
            if let Some(author) = author {
                boxed = boxed.filter(notes::author.eq(author));
            }
            let expected = if author.is_some() { of_bob } else { of_bob + 2 };
            assert_eq!(boxed.load::<i32>(conn).unwrap().len() as i64, expected);
        }
        let writes = exists(notes::table.filter(notes::author.eq(users::id.nullable())));
        let writers = users::table
            .filter(writes)
            .select(users::id)
            .order(users::id);
        assert_eq!(writers.load::<i32>(conn).unwrap(), [1, 2]);
        let has_z = diesel::select(exists(notes::table.filter(notes::body.eq("z"))));
        assert_eq!(has_z.get_result::<bool>(conn).unwrap(), id == "a");
        let none = notes::table.find(-1).first::<Note>(conn).optional();
        assert_eq!(none.unwrap(), None);
    });
}

#[test]
fn inserts_in_bulk_updates_and_deletes_return_rows_of_the_tenant() {
    let db = TestDb::new();
    in_turn(&db, |id, conn| {
        let written: Vec<Note> = diesel::insert_into(notes::table)
            .values(new_notes(id, 3))
            .returning(Note::as_returning())
            .get_results(conn)
            .unwrap();
        assert_eq!(written.len(), 3);
        assert!(written.iter().all(|note| note.body.starts_with(id)));
        let last = written.last().unwrap();
        let changed: String = diesel::update(last)
            .set(notes::body.eq(notes::body.concat("!")))
            .returning(notes::body)
            .get_result(conn)
            .unwrap();
        assert_eq!(changed, format!("{id}-3!"));
        let ids: Vec<i32> = written.iter().map(|note| note.id).collect();
        let gone = diesel::delete(notes::table.filter(notes::id.eq_any(ids))).execute(conn);
        assert_eq!(gone.unwrap(), 3);
    });
}

#[test]
fn upserts_arrays_and_jsonb_are_of_the_tenant() {
    let db = TestDb::new();
    each(
        &db,
        "CREATE TABLE settings (key text PRIMARY KEY, value jsonb NOT NULL, tags text[] NOT NULL)",
    );
    let mut rounds = 0;
    in_turn(&db, |id, conn| {
        rounds += 1;
        let row = (
            settings::key.eq("colour"),
            settings::value.eq(serde_json::json!({ "round": rounds, "of": id })),
            settings::tags.eq(vec![id.to_owned(), rounds.to_string()]),
        );
        diesel::insert_into(settings::table)
            .values(&row)
            .on_conflict(settings::key)
            .do_update()
            .set((
                settings::value.eq(excluded(settings::value)),
                settings::tags.eq(excluded(settings::tags)),
            ))
            .execute(conn)
            .unwrap();
        let ignored = diesel::insert_into(settings::table)
            .values(&row)
            .on_conflict_do_nothing()
            .execute(conn);
        assert_eq!(ignored.unwrap(), 0);
        let (found, tags): (serde_json::Value, Vec<String>) = settings::table
            .filter(settings::tags.contains(vec![id]))
            .filter(settings::value.retrieve_as_text("of").eq(id))
            .select((settings::value, settings::tags))
            .get_result(conn)
            .unwrap();
        assert_eq!(found, serde_json::json!({ "round": rounds, "of": id }));
        assert_eq!(tags, [id.to_owned(), rounds.to_string()]);
    });
    assert_eq!(db.value("SELECT value->>'round' FROM a.settings"), "4");
    assert_eq!(db.value("SELECT value->>'round' FROM b.settings"), "5");
}

#[test]
fn functions_statements_of_text_and_plans_are_those_of_the_tenant() {
    let db = TestDb::new();
    each(
        &db,
        "CREATE FUNCTION greet(name text) RETURNS text LANGUAGE sql AS $$ SELECT '{} greets ' || name $$",
    );
    in_turn(&db, |id, conn| {
        let greeting: String = diesel::select(greet("Ann")).get_result(conn).unwrap();
        assert_eq!(greeting, format!("{id} greets Ann"));
        let rows: Vec<NamedNote> = diesel::sql_query("SELECT body FROM notes WHERE body = $1")
            .bind::<diesel::sql_types::Text, _>(format!("from-{id}"))
            .load(conn)
            .unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].body, format!("from-{id}"));
        let query = notes::table.filter(notes::id.eq(1));
        let text = debug_query::<Pg, _>(&query).to_string();
        assert!(text.contains(r#"FROM "notes" WHERE"#), "{text}");
        let plan: Vec<Plan> = diesel::sql_query("EXPLAIN (VERBOSE) SELECT * FROM notes")
            .load(conn)
            .unwrap();
        assert!(
            plan[0].line.contains(&format!("{id}.notes")),
            "{}",
            plan[0].line
        );
    });
}

#[derive(QueryableByName)]
struct NamedNote {
    #[diesel(sql_type = diesel::sql_types::Text)]
    body: String,
}

#[derive(QueryableByName)]
struct Plan {
    #[diesel(sql_type = diesel::sql_types::Text, column_name = "QUERY PLAN")]
    line: String,
}

#[test]
fn copying_in_writes_to_the_tenant() {
    let db = TestDb::new();
    in_turn(&db, |id, conn| {
        let copied = diesel::copy_from(notes::table)
            .from_insertable(&new_notes(id, 100))
            .execute(conn);
        assert_eq!(copied.unwrap(), 100);
        let copied = diesel::copy_from(notes::table)
            .from_raw_data((notes::body, notes::author), |out| {
                writeln!(out, "{id} csv,2\n{id} none,").unwrap();
                QueryResult::Ok(())
            })
            .with_format(CopyFormat::Csv)
            .execute(conn);
        assert_eq!(copied.unwrap(), 2);
        // One that fails in the middle writes nothing, and the connection is used on.
        let failed = diesel::copy_from(notes::table)
            .from_raw_data((notes::body,), |out| {
                writeln!(out, "half").unwrap();
                Err(DieselError::RollbackTransaction)
            })
            .execute(conn);
        assert!(failed.is_err());
        let refused = diesel::copy_from(notes::table)
            .from_insertable(vec![(notes::body.eq("x"), notes::author.eq(Some(-1)))])
            .execute(conn);
        let foreign = DatabaseErrorKind::ForeignKeyViolation;
        assert!(matches!(refused, Err(DieselError::DatabaseError(kind, _)) if kind == foreign));
        let own = notes::table.filter(notes::body.like(format!("{id}%")));
        let others = notes::table.filter(notes::body.eq("half"));
        assert_eq!(others.count().get_result::<i64>(conn).unwrap(), 0);
        assert!(own.count().get_result::<i64>(conn).unwrap() >= 102);
    });
    assert_eq!(
        db.value("SELECT count(*) FROM a.notes WHERE body NOT LIKE '%a%'"),
        "0"
    );
    assert_eq!(db.value("SELECT count(*) FROM a.notes"), "307");
    assert_eq!(db.value("SELECT count(*) FROM b.notes"), "205");
}

#[test]
fn copying_out_reads_the_tenant_and_can_stop_half_way() {
    let db = TestDb::new();
    each(
        &db,
        "INSERT INTO notes (body) SELECT 'from-{}' FROM generate_series(1, 5000)",
    );
    in_turn(&db, |id, conn| {
        let own = format!("from-{id}");
        let rows: Vec<Note> = conn.copy_to(notes::table).load().unwrap();
        assert_eq!(rows.len(), 5001);
        assert!(
            rows.iter()
                .all(|note| note.body == own && note.author.is_none())
        );
        let csv = conn
            .copy_to((notes::body, notes::author))
            .with_format(CopyFormat::Csv)
            .with_header(true)
            .with_delimiter(';')
            .with_quote('\'')
            .with_escape('\'')
            .with_null("nobody")
            .read(|csv| csv.lines().take(2).map(Result::unwrap).collect::<Vec<_>>());
        assert_eq!(
            csv.unwrap(),
            ["body;author".to_owned(), format!("{own};nobody")]
        );
        assert_eq!(notes::table.count().get_result::<i64>(conn).unwrap(), 5001);
        // Half way, and then the connection is used on; also within a transaction.
        conn.transaction(|conn| {
            let mut left = 10;
            let stopped = conn.copy_to(notes::table).for_each(|note: Note| {
                assert_eq!(note.body, own);
                left -= 1;
                if left == 0 {
                    Err(DieselError::RollbackTransaction)
                } else {
                    Ok(())
                }
            });
            assert_eq!(stopped, Err(DieselError::RollbackTransaction));
            assert_eq!(bodies(conn)?.len(), 5001);
            let line = conn.copy_to(notes::table).read(|text| {
                let mut line = String::new();
                text.read_line(&mut line).map(|_| line)
            });
            assert_eq!(line?.unwrap(), format!("1\t{own}\t\\N\n"));
            add_note(conn, "more")?;
            assert_eq!(bodies(conn)?.len(), 5002);
            Err::<(), _>(DieselError::RollbackTransaction)
        })
        .unwrap_err();
        let refused = conn.copy_to(notes::table).with_quote('"').read(|_| ());
        assert!(refused.is_err(), "text has no quotes");
        assert_eq!(bodies(conn).unwrap().len(), 5001);
    });
}

#[test]
fn a_copy_that_the_server_ends_half_way_is_not_taken_for_a_whole_one() {
    let db = TestDb::new();
    db.sql("INSERT INTO a.notes (body) SELECT repeat('x', 500) FROM generate_series(1, 40000)");
    let pool = db.pool(1);
    let mut conn = pool.get(&tenant(&pool, "a")).unwrap();
    let pid = value(&mut conn, "SELECT pg_backend_pid()");
    let mut lines = 0;
    let cut = conn.copy_to(notes::table).read(|text| {
        let mut line = String::new();
        text.read_line(&mut line).unwrap();
        // The server has more to send than fits on the way here, so it cannot have ended.
        assert_eq!(
            db.value(&format!("SELECT pg_cancel_backend({pid})")),
            "true"
        );
        lines = text.lines().map_while(Result::ok).count();
    });
    assert!(lines < 39_999, "{lines} lines: nothing was cut off");
    let message = cut.unwrap_err().to_string();
    assert!(message.contains("not whole"), "{message}");
    assert_eq!(bodies(&mut conn).unwrap().len(), 40_001);
}

#[test]
fn copying_by_the_bare_connection_works_too() {
    let db = TestDb::new();
    in_turn(&db, |id, conn| {
        let rows = diesel::copy_to(notes::table).load::<Note, PgConnection>(conn);
        let rows: Vec<Note> = rows.unwrap().collect::<QueryResult<_>>().unwrap();
        assert_eq!(rows[0].body, format!("from-{id}"));
        // Diesel leaves the copy open: see `CopyTo`.
        conn.batch_execute("SELECT 1").unwrap();
    });
    let pool = db.pool(1);
    let mut shared = pool.get_shared().unwrap();
    let emails = shared
        .copy_to((users::email,))
        .read(|text| text.lines().count());
    assert_eq!(emails, Ok(2));
    let copied = diesel::copy_from(users::table)
        .from_insertable(vec![(users::email.eq("eve@example.com"),)])
        .execute(&mut shared);
    assert_eq!(copied.unwrap(), 1);
}
