//! Where things are kept, and by what: tablespaces and access methods of tables.

use crate::{assert_alike, assert_cloned, database::Database};

/// Two tablespaces. They belong to the server, so that they go after the database.
struct Spaces {
    db: Option<Database>,
    names: [String; 2],
}

impl Spaces {
    /// `None` where the server cannot make one inside its own directory: PostgreSQL below 15 can by its
    /// later releases alone.
    fn new(name: &str) -> Option<Self> {
        let mut db = Database::with_sink(name);
        let names =
            ["fast disk", "slow"].map(|kind| format!("{kind} {name} {}", std::process::id()));
        if db.value("SELECT current_setting('allow_in_place_tablespaces', true)") == "NULL" {
            eprintln!("this server cannot make a tablespace in place");
            return None;
        }
        db.run("SET allow_in_place_tablespaces TO on");
        for name in &names {
            db.run(&format!("CREATE TABLESPACE \"{name}\" LOCATION ''"));
        }
        Some(Self {
            db: Some(db),
            names,
        })
    }

    /// Runs what names them `fast` and `slow`.
    fn run(&mut self, sql: &str) {
        let [fast, slow] = &self.names;
        let sql = sql
            .replace("{fast}", &format!("\"{fast}\""))
            .replace("{slow}", &format!("\"{slow}\""));
        self.db().run(&sql);
    }

    fn db(&mut self) -> &mut Database {
        self.db.as_mut().unwrap()
    }
}

impl Drop for Spaces {
    fn drop(&mut self) {
        self.db = None;
        for name in &self.names {
            crate::database::admin(&format!("DROP TABLESPACE \"{name}\""));
        }
    }
}

/// Every kind of relation that has a tablespace, of its own, by default, and handed down by what it is a part
/// of; and such as have another than what they belong to.
const IN_SPACES: &str = "
    CREATE SCHEMA stored;
    SET search_path TO stored;
    CREATE TABLE plain (id serial PRIMARY KEY, body text, n int) TABLESPACE {fast};
    CREATE INDEX in_slow ON plain (n) TABLESPACE {slow};
    CREATE INDEX in_default ON plain (body);
    CREATE TABLE home (id int, plain int REFERENCES plain,
        PRIMARY KEY (id) USING INDEX TABLESPACE {slow},
        UNIQUE NULLS {not} (plain) INCLUDE (id) WITH (fillfactor = 70) USING INDEX TABLESPACE {fast},
        EXCLUDE USING btree (id WITH =) WITH (fillfactor = 60) USING INDEX TABLESPACE {slow} WHERE (id > 0));
    CREATE UNLOGGED TABLE quick (id int GENERATED ALWAYS AS IDENTITY, b text) WITH (fillfactor = 50) TABLESPACE {slow};
    CREATE MATERIALIZED VIEW seen TABLESPACE {fast} AS SELECT id FROM plain;
    CREATE UNIQUE INDEX seen_once ON seen (id) TABLESPACE {slow};
    CREATE TABLE parted (id int, at date NOT NULL, PRIMARY KEY (id, at) USING INDEX TABLESPACE {fast})
        PARTITION BY RANGE (at) TABLESPACE {slow};
    CREATE TABLE handed_down PARTITION OF parted FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE elsewhere PARTITION OF parted FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') TABLESPACE {fast};
    CREATE TABLE at_home PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
        PARTITION BY LIST (id);
    ALTER TABLE at_home SET TABLESPACE pg_default;
    CREATE TABLE below PARTITION OF at_home DEFAULT;
    CREATE INDEX parted_at ON parted (at) TABLESPACE {slow};
    ALTER TABLE elsewhere SET TABLESPACE {slow};
    ALTER INDEX elsewhere_pkey SET TABLESPACE {slow};
    ALTER TABLE handed_down SET TABLESPACE pg_default;
    ALTER INDEX handed_down_at_idx SET TABLESPACE pg_default;
    CREATE TABLE with_toast (body text STORAGE EXTERNAL) TABLESPACE {fast};
    CLUSTER plain USING in_slow;
    ALTER TABLE plain REPLICA IDENTITY USING INDEX plain_pkey;
    INSERT INTO plain (body) VALUES ('row'); INSERT INTO parted VALUES (1, '2024-02-02'), (1, '2026-02-02');
    RESET search_path";

#[test]
fn a_clone_is_in_the_tablespaces_of_its_source() {
    let Some(mut spaces) = Spaces::new("spaces") else {
        return;
    };
    let distinct = match spaces.db().version >= 150_000 {
        true => "NOT DISTINCT",
        false => "",
    };
    let script = IN_SPACES
        .replace(
            "NULLS {not}",
            match distinct {
                "" => "",
                _ => "NULLS {not}",
            },
        )
        .replace("{not}", distinct);
    // STORAGE in CREATE TABLE is younger.
    let script = script.replace("body text STORAGE EXTERNAL", "body text");
    spaces.run(&script);
    assert_cloned(spaces.db(), "stored", "acme");
    let used = "SELECT count(*) FROM pg_class WHERE relnamespace = 'acme'::regnamespace AND reltablespace <> 0";
    assert!(spaces.db().value(used).parse::<i32>().unwrap() > 12);
    // What a session or a database has for its default is not where a clone goes.
    let [fast, slow] = spaces.names.clone();
    spaces.run("SET default_tablespace TO {slow}");
    assert_cloned(spaces.db(), "stored", "beta");
    spaces.run("RESET default_tablespace");
    let plan = spaces.db().compile("beta");
    spaces.db().run("DROP SCHEMA stored CASCADE");
    spaces.db().apply(&plan, "we ird");
    assert_alike(spaces.db(), "acme", "we ird");
    let shown = serde_json::to_string(plan.steps()).unwrap();
    assert!(shown.contains(&fast) && shown.contains(&slow));
}

/// A tablespace that only some indexes of a partitioned table have, and the database's own.
#[test]
fn the_tablespace_of_the_database_is_nobodys() {
    let Some(mut spaces) = Spaces::new("database") else {
        return;
    };
    spaces.run(
        "CREATE SCHEMA own;
         CREATE TABLE own.t (id int PRIMARY KEY, b text) TABLESPACE pg_default;
         CREATE TABLE own.p (id int) PARTITION BY LIST (id) TABLESPACE {fast};
         ALTER TABLE own.p SET TABLESPACE pg_default;
         CREATE TABLE own.p1 PARTITION OF own.p FOR VALUES IN (1) TABLESPACE {fast};
         CREATE TABLE own.p2 PARTITION OF own.p FOR VALUES IN (2)",
    );
    assert_cloned(spaces.db(), "own", "acme");
    let used = "SELECT string_agg(relname, ' ') FROM pg_class WHERE relnamespace = 'acme'::regnamespace AND reltablespace <> 0";
    assert_eq!(spaces.db().value(used), "p1");
}

/// The method itself is PostgreSQL's heap under another name.
#[test]
fn a_clone_has_the_access_methods_of_its_source() {
    let mut db = Database::with_sink("methods");
    db.run(
        "CREATE ACCESS METHOD \"Heap 2\" TYPE TABLE HANDLER heap_tableam_handler;
         CREATE ACCESS METHOD \"Hash 2\" TYPE INDEX HANDLER hashhandler;
         CREATE OPERATOR CLASS public.numbers DEFAULT FOR TYPE int USING \"Hash 2\" AS
             OPERATOR 1 =, FUNCTION 1 hashint4(int);
         CREATE SCHEMA stored;
         SET search_path TO stored;
         CREATE TABLE plain (id serial PRIMARY KEY, b text) USING \"Heap 2\" WITH (fillfactor = 40);
         CREATE TABLE usual (id int);
         CREATE INDEX odd ON usual USING \"Hash 2\" (id);
         CREATE MATERIALIZED VIEW seen USING \"Heap 2\" AS SELECT id FROM plain;
         CREATE TABLE parted (id int) PARTITION BY LIST (id);
         CREATE TABLE part PARTITION OF parted FOR VALUES IN (1) USING \"Heap 2\";
         CREATE TABLE part_2 PARTITION OF parted FOR VALUES IN (2);
         CREATE TABLE heir (more int) INHERITS (plain) USING \"Heap 2\";
         CREATE TYPE pair AS (x int, y int);
         CREATE TABLE typed OF pair USING \"Heap 2\";
         RESET search_path",
    );
    if db.version >= 170_000 {
        db.run(
            "CREATE TABLE stored.parted_2 (id int) PARTITION BY LIST (id) USING \"Heap 2\";
             CREATE TABLE stored.handed_down PARTITION OF stored.parted_2 FOR VALUES IN (1);
             CREATE TABLE stored.heap PARTITION OF stored.parted_2 FOR VALUES IN (2) USING heap;
             CREATE TABLE stored.below PARTITION OF stored.parted_2 FOR VALUES IN (3) PARTITION BY LIST (id) USING heap;
             CREATE TABLE stored.lowest PARTITION OF stored.below DEFAULT",
        );
    }
    assert_cloned(&mut db, "stored", "acme");
    db.run("SET default_table_access_method TO \"Heap 2\"");
    assert_cloned(&mut db, "stored", "beta");
    db.run("RESET default_table_access_method");
    let used = "SELECT count(*) FROM pg_class WHERE relnamespace = 'beta'::regnamespace
        AND relam = (SELECT oid FROM pg_am WHERE amname = 'Heap 2')";
    assert!(db.value(used).parse::<i32>().unwrap() >= 5);
}
