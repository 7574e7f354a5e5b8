//! Drift: what tenants' schemas are, beside what they should be.

use std::{collections::BTreeSet, fs};

use boardinghouse_core::{
    Change, Drift, DriftReport, ErrorKind, Migrator, NewTenant, PartKind, Provisioner, Selection,
    TenantPool,
};
use boardinghouse_tests::{SHARED, TestDb};
use diesel_migrations::FileBasedMigrations;

const FIRST: &str = r#"
CREATE TYPE status AS ENUM ('draft', 'sent', 'paid');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE TYPE address AS (street text, town text);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.changed := now(); RETURN NEW; END $$;
CREATE FUNCTION label(s status) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'is ' || s::text $$;
CREATE TABLE notes (
    id serial PRIMARY KEY,
    body text NOT NULL,
    kind status NOT NULL DEFAULT 'draft',
    author integer REFERENCES public.users,
    mail email,
    home address,
    amount numeric(10, 2) DEFAULT 0 CHECK (amount >= 0),
    twice numeric GENERATED ALWAYS AS (amount * 2) STORED,
    changed timestamptz DEFAULT now()
) WITH (fillfactor = 90, toast.autovacuum_enabled = false);
CREATE TABLE old (gone integer, kept text, wide varchar(20));
CREATE TABLE tags (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    note integer NOT NULL REFERENCES notes ON DELETE CASCADE,
    name text,
    UNIQUE (note, name)
);
CREATE SEQUENCE numbers INCREMENT BY 5 CACHE 2;
CREATE INDEX notes_body ON notes (lower(body)) WHERE kind <> 'paid'::status;
CREATE INDEX tags_name ON tags (name);
CREATE VIEW sent AS SELECT id, body, label(kind) AS label FROM notes WHERE kind = 'sent';
CREATE MATERIALIZED VIEW counts AS SELECT kind, count(*) AS number FROM notes GROUP BY kind;
CREATE TRIGGER touch BEFORE UPDATE ON notes FOR EACH ROW
    WHEN (OLD.kind IS DISTINCT FROM NEW.kind) EXECUTE FUNCTION touch();
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (EXISTS (SELECT FROM tags WHERE tags.note = notes.id));
CREATE RULE keep AS ON DELETE TO tags DO INSTEAD NOTHING;
CREATE STATISTICS both_of (dependencies) ON kind, author FROM notes;
ALTER TABLE notes ALTER COLUMN body SET STATISTICS 500;
GRANT SELECT ON notes TO PUBLIC;
COMMENT ON TABLE notes IS 'what was written';
COMMENT ON COLUMN notes.body IS 'the text';
COMMENT ON INDEX notes_body IS 'for the search';
COMMENT ON FUNCTION touch() IS 'keeps time';
"#;

const SECOND: &str = r#"
ALTER TABLE old DROP COLUMN gone;
ALTER TABLE old ADD COLUMN added integer DEFAULT 3;
ALTER TABLE old ADD CHECK (added > 0);
CREATE INDEX ON old (added);
"#;

const THIRD: &str = "ALTER TABLE tags ADD COLUMN colour text";

/// A fleet whose template has some of the migrations.
struct Fleet {
    db: TestDb,
    pool: TenantPool,
    folder: tempfile::TempDir,
}

impl Fleet {
    fn new() -> Self {
        let db = TestDb::empty();
        let pool = db.pool(2);
        let fleet = Self {
            db,
            pool,
            folder: tempfile::tempdir().unwrap(),
        };
        fleet.add("2026-01-01-000000_first", FIRST);
        fleet.migrate(&Selection::All);
        fleet
    }

    fn add(&self, name: &str, up: &str) {
        let dir = self.folder.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("up.sql"), up).unwrap();
        fs::write(dir.join("down.sql"), "SELECT 1").unwrap();
    }

    fn migrate(&self, selection: &Selection) {
        let migrator = Migrator::new(self.pool.clone())
            .shared(SHARED)
            .tenants(FileBasedMigrations::from_path(self.folder.path()).unwrap());
        let plan = migrator.plan(selection).unwrap();
        migrator.apply(&plan).unwrap().into_result().unwrap();
    }

    fn create(&self, ids: impl Iterator<Item = usize>) {
        let provisioner = Provisioner::new(self.pool.clone());
        for id in ids {
            let new = NewTenant::new(format!("t{id}").parse().unwrap());
            provisioner.create(&new).unwrap();
        }
    }

    /// A schema that somebody else has made by the same statements.
    fn adopt(&self, id: usize, up: &str, versions: &[&str]) {
        let versions: Vec<_> = versions.iter().map(|v| format!("('{v}')")).collect();
        self.db.sql(&format!(
            "CREATE SCHEMA t{id}; SET search_path TO t{id};
             CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL,
                 run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
             INSERT INTO __diesel_schema_migrations (version) VALUES {}; {up}",
            versions.join(", ")
        ));
        let new = NewTenant::new(format!("t{id}").parse().unwrap())
            .adopt(format!("t{id}").parse().unwrap());
        Provisioner::new(self.pool.clone()).create(&new).unwrap();
    }

    fn check(&self) -> DriftReport {
        Drift::new(self.pool.clone()).check().unwrap()
    }

    fn change(&self, id: usize, sql: &str) {
        self.db
            .sql(&format!("SET search_path TO t{id}, public; {sql}"));
    }
}

/// The whole report in a few lines.
fn lines(report: &DriftReport) -> Vec<String> {
    let drifted = report.drifted.iter().flat_map(|drifted| {
        let differences = drifted.differences.iter();
        differences.map(|one| {
            format!(
                "{}: {:?} {} {}",
                drifted.tenant, one.change, one.kind, one.name
            )
        })
    });
    let others = report.incomparable.iter();
    drifted
        .chain(others.map(|one| format!("{}: {}", one.tenant, one.reasons)))
        .collect()
}

type Drifted = (&'static str, PartKind, &'static str, Change);

/// What is done to a tenant, and what is to be found.
const DRIFTS: &[Drifted] = &[
    (
        "ALTER TABLE notes ADD COLUMN extra integer DEFAULT 3",
        PartKind::Column,
        "notes.extra",
        Change::Added,
    ),
    (
        "ALTER TABLE tags DROP COLUMN name CASCADE",
        PartKind::Column,
        "tags.name",
        Change::Missing,
    ),
    (
        "ALTER TABLE old ALTER COLUMN wide TYPE varchar(40)",
        PartKind::Column,
        "old.wide",
        Change::Changed,
    ),
    (
        "ALTER TABLE notes ALTER COLUMN amount SET DEFAULT 1",
        PartKind::Default,
        "notes.amount",
        Change::Changed,
    ),
    (
        "ALTER TABLE old ALTER COLUMN kept SET NOT NULL",
        PartKind::Nullability,
        "old.kept",
        Change::Added,
    ),
    (
        "ALTER TABLE tags ALTER COLUMN id SET GENERATED BY DEFAULT",
        PartKind::Identity,
        "tags.id",
        Change::Changed,
    ),
    (
        "ALTER TABLE notes DROP CONSTRAINT notes_amount_check; ALTER TABLE notes ADD CONSTRAINT notes_amount_check \
      CHECK (amount >= 0) NOT VALID",
        PartKind::Constraint,
        "notes_amount_check on notes",
        Change::Changed,
    ),
    (
        "ALTER TABLE tags DROP CONSTRAINT tags_note_fkey",
        PartKind::ForeignKey,
        "tags_note_fkey on tags",
        Change::Missing,
    ),
    (
        "DROP INDEX notes_body; CREATE INDEX notes_body ON notes (upper(body)) WHERE kind <> 'paid'::status",
        PartKind::Index,
        "notes_body",
        Change::Changed,
    ),
    (
        "ALTER SEQUENCE numbers INCREMENT BY 7",
        PartKind::Sequence,
        "numbers",
        Change::Changed,
    ),
    (
        "ALTER TABLE notes DISABLE TRIGGER touch",
        PartKind::State,
        "trigger touch on notes",
        Change::Added,
    ),
    (
        "CREATE TRIGGER more BEFORE INSERT ON tags FOR EACH ROW EXECUTE FUNCTION touch()",
        PartKind::Trigger,
        "more on tags",
        Change::Added,
    ),
    (
        "CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
        PartKind::Function,
        "touch()",
        Change::Changed,
    ),
    (
        "CREATE OR REPLACE VIEW sent AS SELECT id, body, label(kind) AS label FROM notes WHERE kind = 'paid'",
        PartKind::View,
        "sent",
        Change::Changed,
    ),
    (
        "DROP POLICY own ON notes; CREATE POLICY own ON notes USING (true)",
        PartKind::Policy,
        "own on notes",
        Change::Changed,
    ),
    (
        "ALTER TABLE notes DISABLE ROW LEVEL SECURITY",
        PartKind::RowSecurity,
        "notes",
        Change::Missing,
    ),
    (
        "GRANT INSERT ON notes TO PUBLIC",
        PartKind::Privilege,
        "INSERT on TABLE notes to PUBLIC",
        Change::Added,
    ),
    (
        "ALTER TABLE tags OWNER TO pg_monitor",
        PartKind::Owner,
        "TABLE tags",
        Change::Added,
    ),
    (
        "COMMENT ON COLUMN notes.body IS 'something else'",
        PartKind::Comment,
        "COLUMN notes.body",
        Change::Changed,
    ),
    (
        "ALTER TYPE status ADD VALUE 'lost' BEFORE 'paid'",
        PartKind::Type,
        "status",
        Change::Changed,
    ),
    (
        "ALTER DOMAIN email DROP CONSTRAINT email_check",
        PartKind::Constraint,
        "email_check on email",
        Change::Missing,
    ),
    (
        "ALTER TYPE address ADD ATTRIBUTE land text",
        PartKind::Type,
        "address",
        Change::Changed,
    ),
    (
        "ALTER TABLE notes SET (fillfactor = 70)",
        PartKind::Storage,
        "notes options",
        Change::Changed,
    ),
    (
        "ALTER TABLE notes RESET (toast.autovacuum_enabled)",
        PartKind::Storage,
        "notes options",
        Change::Changed,
    ),
    (
        "ALTER TABLE notes ALTER COLUMN body SET STATISTICS 100",
        PartKind::Statistics,
        "notes.body",
        Change::Changed,
    ),
    (
        "DROP STATISTICS both_of",
        PartKind::Statistics,
        "both_of",
        Change::Missing,
    ),
    (
        "DROP RULE keep ON tags",
        PartKind::Rule,
        "keep on tags",
        Change::Missing,
    ),
    (
        "ALTER TABLE old DROP COLUMN kept; ALTER TABLE old ADD COLUMN kept text",
        PartKind::ColumnOrder,
        "old",
        Change::Changed,
    ),
    (
        "DROP TABLE tags CASCADE",
        PartKind::Table,
        "tags",
        Change::Missing,
    ),
    (
        "CREATE TABLE more (id serial PRIMARY KEY, body text NOT NULL)",
        PartKind::Table,
        "more",
        Change::Added,
    ),
    (
        "ALTER TABLE old ALTER COLUMN kept SET STORAGE EXTERNAL",
        PartKind::Storage,
        "old.kept storage",
        Change::Added,
    ),
    (
        "DROP MATERIALIZED VIEW counts",
        PartKind::MaterializedView,
        "counts",
        Change::Missing,
    ),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA CURRENT GRANT SELECT ON TABLES TO PUBLIC",
        PartKind::Privilege,
        "default for role",
        Change::Added,
    ),
    (
        "ALTER TABLE old SET UNLOGGED",
        PartKind::Storage,
        "old logging",
        Change::Added,
    ),
    (
        "DROP FUNCTION label CASCADE",
        PartKind::Function,
        "label(status)",
        Change::Missing,
    ),
];

/// What no statement undoes.
const BY_HAND: &[PartKind] = &[PartKind::ColumnOrder, PartKind::Type];

#[test]
fn a_healthy_fleet_has_no_drift_and_every_drift_is_found_and_can_be_undone() {
    let fleet = Fleet::new();
    fleet.create(0..60);
    fleet.adopt(60, FIRST, &["20260101000000"]);
    fleet.add("2026-02-01-000000_second", SECOND);
    fleet.migrate(&Selection::All);
    fleet.create(61..195);
    let both = ["20260101000000", "20260201000000"];
    for id in 195..199 {
        // Whoever made these had other attempts in between.
        let up = format!(
            "{FIRST}; {SECOND}; ALTER TABLE tags ADD COLUMN tried integer; ALTER TABLE tags DROP COLUMN tried;
             GRANT INSERT ON tags TO PUBLIC; REVOKE INSERT ON tags FROM PUBLIC;"
        );
        fleet.adopt(id, &up, &both);
    }
    fleet.db.sql(
        "SET search_path TO t7; INSERT INTO notes (body) VALUES ('one'); SELECT nextval('numbers')",
    );
    fleet.create(199..200);
    let report = fleet.check();
    assert_eq!(lines(&report), [""; 0], "{report:?}");
    assert!(report.is_healthy());
    assert_eq!(report.tenants, 200);
    assert_eq!(report.shapes.len(), 1);
    assert_eq!(report.shapes[0].tenants.len(), 200);
    // Clones, those that were migrated, the two kinds of adopted ones: not one hash a tenant.
    assert!(report.read_in_full <= 4, "{}", report.read_in_full);

    for (number, (sql, ..)) in DRIFTS.iter().enumerate() {
        let id = number * 5 + 1;
        fleet.change(id, &sql.replace("CURRENT", &format!("t{id}")));
    }
    let report = fleet.check();
    assert_eq!(report.drifted.len(), DRIFTS.len(), "{:#?}", lines(&report));
    for (number, (sql, kind, name, change)) in DRIFTS.iter().enumerate() {
        let id = format!("t{}", number * 5 + 1);
        let drifted = report.drifted.iter().find(|one| one.tenant.as_str() == id);
        let drifted = drifted.unwrap_or_else(|| panic!("{sql}"));
        let not_null = fleet
            .db
            .value("SELECT current_setting('server_version_num')::int >= 180000")
            == "true";
        let (kind, name) = match (kind, not_null) {
            (PartKind::Nullability, true) => (PartKind::Constraint, "old_kept_not_null on old"),
            _ => (*kind, *name),
        };
        assert!(
            drifted
                .differences
                .iter()
                .any(|one| one.kind == kind && one.name.starts_with(name) && one.change == *change),
            "{sql}: {:#?}",
            drifted.differences
        );
        let alone = !sql.contains("CASCADE") && kind != PartKind::Table;
        assert!(
            !alone || drifted.differences.len() <= 2,
            "{sql}: {:#?}",
            drifted.differences
        );
    }
    let kinds: BTreeSet<String> = DRIFTS.iter().map(|drift| drift.1.to_string()).collect();
    assert!(kinds.len() >= 20, "{kinds:?}");
    for drifted in &report.drifted {
        if let Err(error) = diesel::connection::SimpleConnection::batch_execute(
            &mut fleet.db.connect(),
            &drifted.repair,
        ) {
            panic!("{}: {error}\n{}", drifted.tenant, drifted.repair);
        }
    }
    let report = fleet.check();
    let undone = DRIFTS.iter().filter(|drift| !BY_HAND.contains(&drift.1));
    let as_one: Vec<usize> = report.shapes.iter().map(|s| s.tenants.len()).collect();
    assert!(
        as_one.contains(&(200 - DRIFTS.len() + undone.count())),
        "{as_one:?}"
    );
    let left: BTreeSet<String> = lines(&report).into_iter().collect();
    let by_hand = |line: &&String| {
        let mut kinds = BY_HAND.iter();
        kinds.any(|kind| line.contains(&format!(" {kind} ")))
    };
    let unexpected: Vec<_> = left.iter().filter(|line| !by_hand(line)).collect();
    assert_eq!(unexpected, [""; 0], "{left:?}");
    assert!(
        report
            .drifted
            .iter()
            .all(|one| one.repair.contains("-- by hand: "))
    );
}

#[test]
fn a_tenant_at_another_version_is_compared_with_its_like() {
    let fleet = Fleet::new();
    fleet.add("2026-02-01-000000_second", SECOND);
    fleet.add("2026-03-01-000000_third", THIRD);
    fleet.migrate(&Selection::All);
    fleet.create(0..2);
    for id in 2..5 {
        fleet.adopt(id, FIRST, &["20260101000000"]);
    }
    fleet.change(3, "DROP INDEX tags_name");
    fleet.adopt(
        5,
        &format!("{FIRST}; {SECOND}"),
        &["20260101000000", "20260201000000"],
    );
    // A row by hand is no reason to call a tenant drifted that is as the template is.
    fleet.change(
        1,
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('20260401000000')",
    );
    let report = fleet.check();
    assert_eq!(lines(&report), ["t3: Missing index tags_name"]);
    let compared_with = report.drifted[0].compared_with.as_str();
    assert!(["t2", "t4"].contains(&compared_with), "{compared_with}");
    let others = report
        .other_versions
        .iter()
        .map(|other| format!("{} {:?} {:?}", other.tenant, other.lacks, other.has_more));
    let lacks = "[\"20260201000000\", \"20260301000000\"]";
    let expected = [
        "t1 [] [\"20260401000000\"]".to_owned(),
        format!("t2 {lacks} []"),
        format!("t3 {lacks} []"),
        format!("t4 {lacks} []"),
        "t5 [\"20260301000000\"] []".into(),
    ];
    assert_eq!(others.collect::<Vec<_>>(), expected);
    assert_eq!(report.shapes.len(), 4, "{:?}", report.shapes);
    assert!(!report.is_healthy());
}

#[test]
fn what_cannot_be_compared_says_why_and_who_is_not_asked_for_is_left_out() {
    let fleet = Fleet::new();
    fleet.create(0..4);
    fleet.change(0, "ALTER TABLE tags DISABLE TRIGGER ALL");
    fleet.change(1, "ALTER TABLE tags ADD COLUMN more text");
    fleet.db.sql("DROP SCHEMA t2 CASCADE");
    let report = fleet.check();
    assert_eq!(report.incomparable.len(), 1);
    assert!(
        report.incomparable[0]
            .reasons
            .contains("a disabled constraint trigger"),
        "{report:?}"
    );
    assert_eq!(report.missing, ["t2".parse().unwrap()]);
    assert_eq!(report.drifted.len(), 1);
    let drift = Drift::new(fleet.pool.clone());
    let report = drift.clone().only(["t3".parse().unwrap()]).check().unwrap();
    assert!(report.is_healthy() && report.tenants == 1, "{report:?}");
    let error = drift.only(["nobody".parse().unwrap()]).check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TenantNotFound);
    fleet.db.sql("DROP SCHEMA __template__ CASCADE");
    let error = Drift::new(fleet.pool.clone()).check().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TemplateMissing);
}

/// Own objects are numbers in the catalogs: that they are others in each schema is no drift, and that two of
/// them change places is one.
#[test]
fn what_a_text_uses_of_its_own_schema_is_told_apart() {
    let fleet = Fleet::new();
    fleet.add(
        "2026-02-01-000000_more",
        "CREATE FUNCTION one(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 1';
         CREATE FUNCTION two(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 2';
         CREATE TABLE pairs (a integer, b integer, CONSTRAINT small CHECK (one(a) < two(b)),
             c integer GENERATED ALWAYS AS (one(a) + two(b)) STORED);
         CREATE INDEX of_one ON pairs (one(a)) WHERE two(b) > 1;
         CREATE VIEW both_of AS SELECT one(a) AS x, two(b) AS y FROM pairs;
         CREATE POLICY p ON pairs USING (one(a) < two(b));
         CREATE TRIGGER t BEFORE UPDATE ON pairs FOR EACH ROW WHEN (one(OLD.a) < two(NEW.b))
             EXECUTE FUNCTION touch();",
    );
    fleet.migrate(&Selection::All);
    fleet.create(0..8);
    let report = fleet.check();
    assert!(
        report.is_healthy() && report.read_in_full == 1,
        "{report:?}"
    );
    let changes = [
        "ALTER TABLE pairs DROP CONSTRAINT small; ALTER TABLE pairs ADD CONSTRAINT small CHECK (two(a) < one(b))",
        "ALTER TABLE pairs DROP COLUMN c; ALTER TABLE pairs ADD c integer GENERATED ALWAYS AS (two(a) + one(b)) STORED",
        "DROP INDEX of_one; CREATE INDEX of_one ON pairs (one(a)) WHERE one(b) > 1",
        "CREATE OR REPLACE VIEW both_of AS SELECT two(a) AS x, one(b) AS y FROM pairs",
        "DROP POLICY p ON pairs; CREATE POLICY p ON pairs USING (two(a) < one(b))",
        "DROP TRIGGER t ON pairs; CREATE TRIGGER t BEFORE UPDATE ON pairs FOR EACH ROW \
         WHEN (two(OLD.a) < one(NEW.b)) EXECUTE FUNCTION touch()",
        "ALTER FUNCTION one(integer) RENAME TO three; ALTER FUNCTION two(integer) RENAME TO one; \
         ALTER FUNCTION three(integer) RENAME TO two",
    ];
    for (id, change) in changes.iter().enumerate() {
        fleet.change(id, change);
    }
    let report = fleet.check();
    for (id, change) in changes.iter().enumerate() {
        let id = format!("t{id}");
        assert!(
            report.drifted.iter().any(|one| one.tenant.as_str() == id),
            "{change}"
        );
    }
    assert_eq!(report.drifted.len(), changes.len());
}
