//! One property changed at a time: does the comparison see it?

use boardinghouse_core::{Drift, ErrorKind, PartKind, SchemaName};
use diesel::{Connection, QueryResult, connection::SimpleConnection, result::Error};

use crate::{
    compare::{differences, shape},
    database::Database,
};

/// What is changed, what a line about it mentions, how it is changed, and since which version it can be.
type Plant = (&'static str, &'static str, &'static str, i64);

const PLANTS: &[Plant] = &[
    // The schema.
    (
        "owner of the schema",
        "schema: owner",
        "ALTER SCHEMA tmpl OWNER TO sink_writer",
        0,
    ),
    (
        "grant on the schema",
        "schema: grant of CREATE to sink_reader by",
        "GRANT CREATE ON SCHEMA tmpl TO sink_reader",
        0,
    ),
    (
        "grant option on the schema",
        "schema: grant of USAGE to sink_writer",
        "REVOKE GRANT OPTION FOR USAGE ON SCHEMA tmpl FROM sink_writer CASCADE",
        0,
    ),
    (
        "comment on the schema",
        "schema: comment",
        "COMMENT ON SCHEMA tmpl IS NULL",
        0,
    ),
    (
        "default privileges",
        "default privileges on r",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA tmpl GRANT INSERT ON TABLES TO sink_reader",
        0,
    ),
    (
        "default privileges of another role",
        "of sink_writer",
        "ALTER DEFAULT PRIVILEGES FOR ROLE sink_writer IN SCHEMA tmpl REVOKE EXECUTE ON FUNCTIONS FROM sink_reader",
        0,
    ),
    // Tables.
    (
        "unlogged",
        "table scratch: relpersistence",
        "ALTER TABLE scratch SET LOGGED",
        0,
    ),
    (
        "storage parameter",
        "table notes: reloptions",
        "ALTER TABLE notes SET (fillfactor = 71)",
        0,
    ),
    (
        "storage parameter of the TOAST table",
        "table notes: reltoastrelid",
        "ALTER TABLE notes RESET (toast.vacuum_truncate)",
        0,
    ),
    (
        "replica identity full",
        "table replica_full: relreplident",
        "ALTER TABLE replica_full REPLICA IDENTITY DEFAULT",
        0,
    ),
    (
        "replica identity by an index",
        "index \"replica ix\": indisreplident",
        "ALTER TABLE replica_index REPLICA IDENTITY FULL",
        0,
    ),
    (
        "clustered index",
        "index clustered_pkey: indisclustered",
        "ALTER TABLE clustered SET WITHOUT CLUSTER",
        0,
    ),
    (
        "owner of a table",
        "table notes: relowner",
        "ALTER TABLE notes OWNER TO sink_writer",
        0,
    ),
    (
        "grant on a table",
        "table notes: grant of DELETE",
        "GRANT DELETE ON notes TO sink_reader",
        0,
    ),
    (
        "who granted on a table",
        "table notes: grant of INSERT to sink_reader by sink_writer",
        "SET LOCAL ROLE sink_writer; REVOKE INSERT ON notes FROM sink_reader; RESET ROLE; GRANT INSERT ON notes TO sink_reader",
        0,
    ),
    (
        "right that the owner lacks",
        "table father: grant of TRUNCATE",
        "GRANT TRUNCATE ON father TO CURRENT_USER",
        0,
    ),
    (
        "grant on a column",
        "column body of table notes: grant of UPDATE",
        "REVOKE UPDATE (body) ON notes FROM sink_reader",
        0,
    ),
    (
        "comment on a table",
        "table notes: comment",
        "COMMENT ON TABLE notes IS 'another'",
        0,
    ),
    (
        "row-level security",
        "table mother: relrowsecurity",
        "ALTER TABLE mother DISABLE ROW LEVEL SECURITY",
        0,
    ),
    (
        "forced row-level security",
        "table secret: relforcerowsecurity",
        "ALTER TABLE secret NO FORCE ROW LEVEL SECURITY",
        0,
    ),
    (
        "additional table",
        "table additional",
        "CREATE TABLE additional ()",
        0,
    ),
    ("missing table", "table nothing", "DROP TABLE nothing", 0),
    (
        "type of a typed table",
        "table typed: reloftype",
        "ALTER TABLE typed NOT OF",
        0,
    ),
    // Columns.
    (
        "type modifier",
        "of table father: atttypid",
        "ALTER TABLE father ALTER size TYPE numeric(6, 1)",
        0,
    ),
    (
        "order of columns",
        "of table \"q\"\"uote\": attname",
        "ALTER TABLE \"q\"\"uote\" ADD x integer; ALTER TABLE \"q\"\"uote\" RENAME id TO y; ALTER TABLE \"q\"\"uote\" RENAME x TO id",
        0,
    ),
    (
        "collation of a column",
        "of table \"back\\slash's\": attcollation",
        "ALTER TABLE \"back\\slash's\" ALTER \"col\\umn's\" TYPE text COLLATE plain_c",
        0,
    ),
    (
        "storage",
        "of table notes: attstorage",
        "ALTER TABLE notes ALTER body SET STORAGE MAIN",
        0,
    ),
    (
        "compression",
        "of table notes: attcompression",
        "ALTER TABLE notes ALTER title SET COMPRESSION DEFAULT",
        140_000,
    ),
    (
        "statistics target",
        "of table notes: attstattarget",
        "ALTER TABLE notes ALTER body SET STATISTICS 501",
        0,
    ),
    (
        "attribute option",
        "of table notes: attoptions",
        "ALTER TABLE notes ALTER title RESET (n_distinct_inherited)",
        0,
    ),
    (
        "not null",
        "of table \"q\"\"uote\": attnotnull",
        "ALTER TABLE \"q\"\"uote\" ALTER id SET NOT NULL",
        0,
    ),
    (
        "default",
        "of table notes: default",
        "ALTER TABLE notes ALTER gap SET DEFAULT '1 day 02:03:05'",
        0,
    ),
    (
        "missing default",
        "of table notes: atthasdef",
        "ALTER TABLE notes ALTER gap DROP DEFAULT",
        0,
    ),
    (
        "default that uses the shared sequence",
        "of table notes: default",
        "ALTER TABLE notes ALTER early SET DEFAULT nextval('public.shared_seq')",
        0,
    ),
    (
        "default that is text",
        "of table notes: default",
        "ALTER TABLE notes ALTER late SET DEFAULT nextval('public.free_seq'::text)",
        0,
    ),
    (
        "identity",
        "of table \"select\": attidentity",
        "ALTER TABLE \"select\" ALTER id SET GENERATED ALWAYS",
        0,
    ),
    (
        "generated column",
        "of table notes: attgenerated",
        "ALTER TABLE notes ALTER doubled DROP EXPRESSION",
        0,
    ),
    (
        "comment on a column",
        "comment = a \"column\"",
        "COMMENT ON COLUMN \"Order\".\"select\" IS NULL",
        0,
    ),
    // Sequences.
    (
        "identity option",
        "sequence \"Order_Id_seq\": seqcache",
        "ALTER TABLE \"Order\" ALTER \"Id\" SET CACHE 4",
        0,
    ),
    (
        "sequence's type",
        "sequence free_seq: seqtypid",
        "ALTER SEQUENCE free_seq AS integer",
        0,
    ),
    (
        "sequence's increment",
        "sequence \"down seq\": seqincrement",
        "ALTER SEQUENCE \"down seq\" INCREMENT -2",
        0,
    ),
    (
        "sequence's cycle",
        "sequence free_seq: seqcycle",
        "ALTER SEQUENCE free_seq NO CYCLE",
        0,
    ),
    (
        "sequence's value",
        "sequence moved_seq: last_value",
        "ALTER SEQUENCE moved_seq RESTART 77",
        0,
    ),
    (
        "sequence's owner",
        "sequence owned_seq: goes with",
        "ALTER SEQUENCE owned_seq OWNED BY NONE",
        0,
    ),
    (
        "grant on a sequence",
        "sequence free_seq: grant of USAGE",
        "REVOKE USAGE ON SEQUENCE free_seq FROM sink_reader",
        0,
    ),
    (
        "unlogged sequence",
        "sequence unlogged_seq: relpersistence",
        "ALTER SEQUENCE unlogged_seq SET LOGGED",
        150_000,
    ),
    // Constraints.
    (
        "validated check",
        "constraint notes_title_later on table notes: convalidated",
        "ALTER TABLE notes VALIDATE CONSTRAINT notes_title_later",
        0,
    ),
    (
        "validated foreign key",
        "constraint circle on table \"select\": convalidated",
        "ALTER TABLE \"select\" VALIDATE CONSTRAINT circle",
        0,
    ),
    (
        "name of a constraint",
        "constraint round on table \"select\"",
        "ALTER TABLE \"select\" RENAME CONSTRAINT circle TO round",
        0,
    ),
    (
        "deferrable foreign key",
        "condeferred",
        "ALTER TABLE notes ALTER CONSTRAINT notes_author_fkey DEFERRABLE INITIALLY IMMEDIATE",
        0,
    ),
    (
        "action of a foreign key",
        "confdeltype",
        "ALTER TABLE notes DROP CONSTRAINT notes_parent_fkey, ADD FOREIGN KEY (parent) REFERENCES notes ON DELETE RESTRICT ON UPDATE SET NULL",
        0,
    ),
    (
        "table of a foreign key",
        "confrelid = public.notes",
        "ALTER TABLE notes DROP CONSTRAINT notes_parent_fkey, ADD FOREIGN KEY (parent) REFERENCES public.notes ON DELETE CASCADE ON UPDATE SET NULL",
        0,
    ),
    (
        "column that is set to null",
        "constraint set_one on table \"we ird\": definition",
        "ALTER TABLE \"we ird\" DROP CONSTRAINT set_one, ADD CONSTRAINT set_one FOREIGN KEY (id, many) REFERENCES \"select\" (a, b) ON DELETE SET NULL (id, many)",
        150_000,
    ),
    (
        "check of no heir",
        "constraint notes_parent_other on table notes: connoinherit",
        "ALTER TABLE notes DROP CONSTRAINT notes_parent_other, ADD CONSTRAINT notes_parent_other CHECK (parent IS DISTINCT FROM id)",
        0,
    ),
    (
        "local constraint of an heir",
        "constraint both_have on table child: conislocal",
        "ALTER TABLE mother DROP CONSTRAINT both_have; ALTER TABLE child DROP CONSTRAINT both_have; ALTER TABLE mother ADD CONSTRAINT both_have CHECK (id > 0)",
        0,
    ),
    (
        "nulls not distinct",
        "index nulls: indnullsnotdistinct",
        "ALTER TABLE \"Order\" DROP CONSTRAINT nulls, ADD CONSTRAINT nulls UNIQUE (note)",
        150_000,
    ),
    (
        "comment on a constraint",
        "constraint circle on table \"select\": comment",
        "COMMENT ON CONSTRAINT circle ON \"select\" IS 'flat'",
        0,
    ),
    (
        "disabled foreign key",
        "tgenabled = D",
        "ALTER TABLE to_parted DISABLE TRIGGER ALL",
        0,
    ),
    (
        "name of a NOT NULL",
        "constraint other on table notes",
        "ALTER TABLE notes RENAME CONSTRAINT \"named not null\" TO other",
        180_000,
    ),
    (
        "enforced",
        "constraint not_enforced on table nothing: conenforced",
        "ALTER TABLE nothing DROP CONSTRAINT not_enforced, ADD CONSTRAINT not_enforced CHECK (id > 5)",
        180_000,
    ),
    (
        "period",
        "constraint once on table booked_once: conperiod",
        "ALTER TABLE booked_once DROP CONSTRAINT once, ADD CONSTRAINT once UNIQUE (id, at)",
        180_000,
    ),
    // Indexes.
    (
        "index option",
        "index notes_tags: reloptions",
        "ALTER INDEX notes_tags SET (fastupdate = on)",
        0,
    ),
    (
        "operator class option",
        "index notes_words: ",
        "DROP INDEX notes_words; CREATE INDEX notes_words ON notes USING gist (words tsvector_ops (siglen = 101)) WITH (buffering = on)",
        0,
    ),
    (
        "operator class",
        "index notes_backwards: indclass",
        "DROP INDEX notes_backwards; CREATE INDEX notes_backwards ON notes (number, parent DESC)",
        0,
    ),
    (
        "order of an index",
        "index notes_backwards: indoption",
        "DROP INDEX notes_backwards; CREATE INDEX notes_backwards ON notes (number, parent backwards)",
        0,
    ),
    (
        "collation of an index",
        "index notes_sum: indcollation",
        "DROP INDEX notes_sum; CREATE INDEX notes_sum ON notes (add(number::integer, 1), (id + small), slug(title) COLLATE \"C\")",
        0,
    ),
    (
        "predicate of an index",
        "index local_ix: definition",
        "DROP INDEX local_ix; CREATE INDEX local_ix ON parted_eu_old (body) WHERE id > 6",
        0,
    ),
    (
        "statistics of an expression",
        "of index notes_sum: attstattarget",
        "ALTER INDEX notes_sum ALTER COLUMN 2 SET STATISTICS 301",
        0,
    ),
    (
        "comment on an index",
        "index notes_lower: comment",
        "COMMENT ON INDEX notes_lower IS NULL",
        0,
    ),
    (
        "missing index",
        "index notes_hash",
        "DROP INDEX notes_hash",
        0,
    ),
    // Partitions and heirs.
    (
        "bound of a partition",
        "table parted_us: relpartbound",
        "ALTER TABLE parted DETACH PARTITION parted_us; ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us')",
        0,
    ),
    (
        "default partition",
        "table parted_eu: default partition",
        "ALTER TABLE parted_eu DETACH PARTITION parted_eu_rest",
        0,
    ),
    (
        "index of a partition that is attached",
        "index parted_us_day: parent 1",
        "DROP INDEX parted_only; CREATE INDEX parted_only ON ONLY parted (day); CREATE INDEX parted_us_day ON parted_us (day) WITH (fillfactor = 66)",
        0,
    ),
    (
        "default of a partition",
        "of table parted_us: default",
        "ALTER TABLE parted_us ALTER ref SET DEFAULT 6",
        0,
    ),
    (
        "trigger of a partition",
        "trigger parted_row on table parted_us: tgenabled",
        "ALTER TABLE parted_us ENABLE TRIGGER parted_row",
        0,
    ),
    (
        "order of parents",
        "table child: parent 1",
        "ALTER TABLE child NO INHERIT mother; ALTER TABLE child INHERIT mother",
        0,
    ),
    (
        "inherited column that is local as well",
        "of table grandchild: attislocal",
        "DROP TABLE grandchild; CREATE TABLE grandchild () INHERITS (child)",
        0,
    ),
    // Views.
    (
        "view's option",
        "view seen_more: reloptions",
        "ALTER VIEW seen_more SET (security_barrier = false)",
        0,
    ),
    (
        "security of the invoker",
        "view invoker: reloptions",
        "ALTER VIEW invoker RESET (security_invoker)",
        150_000,
    ),
    (
        "check option",
        "view seen: reloptions",
        "ALTER VIEW seen SET (check_option = cascaded)",
        0,
    ),
    (
        "query of a view",
        "view \"values\": definition",
        "CREATE OR REPLACE VIEW \"values\" AS VALUES (1, 'it''s \\ x'), (3, E'tab\\there')",
        0,
    ),
    (
        "relation of a view",
        "view temp_like: definition",
        "DROP VIEW temp_like; CREATE VIEW temp_like AS SELECT id, body FROM public.notes LIMIT 3",
        0,
    ),
    (
        "default of a view's column",
        "of view seen: default",
        "ALTER VIEW seen ALTER shade SET DEFAULT 'red'",
        0,
    ),
    (
        "populated",
        "materialized view \"not kept\": relispopulated",
        "REFRESH MATERIALIZED VIEW \"not kept\"",
        0,
    ),
    (
        "storage of a materialized view",
        "materialized view kept: reloptions",
        "ALTER MATERIALIZED VIEW kept SET (fillfactor = 45)",
        0,
    ),
    (
        "rule's state",
        "rule nothing_else on table \"q\"\"uote\": ev_enabled",
        "ALTER TABLE \"q\"\"uote\" ENABLE RULE nothing_else",
        0,
    ),
    (
        "rule's action",
        "rule told on table \"we ird\": definition",
        "CREATE OR REPLACE RULE told AS ON INSERT TO \"we ird\" DO ALSO NOTIFY other",
        0,
    ),
    // Triggers.
    (
        "disabled trigger",
        "trigger off on table notes: tgenabled",
        "ALTER TABLE notes ENABLE TRIGGER off",
        0,
    ),
    (
        "trigger of replicas",
        "trigger on_replica on table notes: tgenabled",
        "ALTER TABLE notes ENABLE ALWAYS TRIGGER on_replica",
        0,
    ),
    (
        "trigger's arguments",
        "trigger parted_row on table parted: definition",
        "DROP TRIGGER parted_row ON parted; CREATE TRIGGER parted_row AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION log_it('other')",
        0,
    ),
    (
        "trigger's function",
        "trigger by_shared on table notes: tgfoid",
        "DROP TRIGGER by_shared ON notes; CREATE TRIGGER by_shared BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION log_it()",
        0,
    ),
    (
        "trigger's columns",
        "trigger before_row on table notes: definition",
        "DROP TRIGGER before_row ON notes; CREATE TRIGGER before_row BEFORE INSERT OR UPDATE OF body ON notes FOR EACH ROW WHEN (new.body IS DISTINCT FROM 'quiet' AND new.shade <> 'we ird') EXECUTE FUNCTION log_it('it''s', '\\ \"x\"', '', '1')",
        0,
    ),
    (
        "transition table",
        "trigger after_rows on table notes: tgnewtable",
        "DROP TRIGGER after_rows ON notes; CREATE TRIGGER after_rows AFTER INSERT ON notes REFERENCING NEW TABLE AS newer FOR EACH STATEMENT EXECUTE FUNCTION log_rows()",
        0,
    ),
    (
        "comment on a trigger",
        "trigger before_row on table notes: comment",
        "COMMENT ON TRIGGER before_row ON notes IS NULL",
        0,
    ),
    // Policies.
    (
        "policy's role",
        "policy adding on table secret: roles",
        "ALTER POLICY adding ON secret TO sink_reader",
        0,
    ),
    (
        "policy's condition",
        "policy mine on table secret: using",
        "ALTER POLICY mine ON secret USING (true)",
        0,
    ),
    (
        "policy's check",
        "policy mine on table secret: check",
        "ALTER POLICY mine ON secret WITH CHECK (true)",
        0,
    ),
    (
        "restrictive policy",
        "on table secret: permissive",
        "DROP POLICY \"just rea\\d's\" ON secret; CREATE POLICY \"just rea\\d's\" ON secret FOR SELECT TO sink_reader, sink_writer USING (shade <> 'red'::colour)",
        0,
    ),
    // Functions.
    (
        "function's cost",
        "function add(integer,integer): procost",
        "ALTER FUNCTION add(integer, integer) COST 8",
        0,
    ),
    (
        "function's rows",
        "function all_notes(): prorows",
        "ALTER FUNCTION all_notes() ROWS 18",
        0,
    ),
    (
        "function's volatility",
        "function add(integer,integer): provolatile",
        "ALTER FUNCTION add(integer, integer) STABLE",
        0,
    ),
    (
        "function's strictness",
        "function add(integer,integer): proisstrict",
        "ALTER FUNCTION add(integer, integer) CALLED ON NULL INPUT",
        0,
    ),
    (
        "leakproof",
        "function add(integer,integer): proleakproof",
        "ALTER FUNCTION add(integer, integer) NOT LEAKPROOF",
        0,
    ),
    (
        "parallel",
        "function add(integer,integer): proparallel",
        "ALTER FUNCTION add(integer, integer) PARALLEL RESTRICTED",
        0,
    ),
    (
        "security definer",
        "function secure(): prosecdef",
        "ALTER FUNCTION secure() SECURITY INVOKER",
        0,
    ),
    (
        "support function",
        "function supported(integer,integer): prosupport",
        "ALTER FUNCTION supported(integer, integer) SUPPORT generate_series_int8_support",
        0,
    ),
    (
        "function's setting",
        "function secure(): setting 2 work_mem",
        "ALTER FUNCTION secure() SET work_mem TO '6MB'",
        0,
    ),
    (
        "function's search path",
        "function secure(): setting 1 search_path",
        "ALTER FUNCTION secure() SET search_path TO public, pg_temp",
        0,
    ),
    (
        "function's body",
        "function slug(text): prosrc",
        "CREATE OR REPLACE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lower($1); END'",
        0,
    ),
    (
        "schema in a function's body",
        "function qualified(): prosrc",
        "CREATE OR REPLACE FUNCTION qualified() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.notes'",
        0,
    ),
    (
        "function's standard body",
        "function empty_body(): sql body",
        "CREATE OR REPLACE FUNCTION empty_body() RETURNS void BEGIN ATOMIC SELECT 1; END",
        140_000,
    ),
    (
        "default of an argument",
        "function of_row(notes,colour): arguments",
        "CREATE OR REPLACE FUNCTION of_row(n notes, shade colour DEFAULT 'red'::colour) RETURNS text LANGUAGE sql STABLE AS 'SELECT n.body || shade'",
        0,
    ),
    (
        "function's owner",
        "function allowed(bigint): proowner",
        "ALTER FUNCTION allowed(bigint) OWNER TO sink_writer",
        0,
    ),
    (
        "function that PUBLIC may call",
        "function secure(): grant of EXECUTE to PUBLIC",
        "GRANT EXECUTE ON FUNCTION secure() TO PUBLIC",
        0,
    ),
    (
        "comment on a function",
        "function slug(text): comment",
        "COMMENT ON FUNCTION slug(text) IS NULL",
        0,
    ),
    (
        "aggregate's start",
        "function how_many(): agginitval",
        "CREATE OR REPLACE AGGREGATE how_many(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '5')",
        0,
    ),
    (
        "aggregate's moving part",
        "function total(numeric): aggminitval",
        "CREATE OR REPLACE AGGREGATE total(numeric) (SFUNC = total_step, STYPE = numeric, SSPACE = 64, INITCOND = '0', FINALFUNC = total_end, COMBINEFUNC = total_step, PARALLEL = SAFE, MSFUNC = total_step, MINVFUNC = total_back, MSTYPE = numeric, MSSPACE = 128, MFINALFUNC = total_end, FINALFUNC_MODIFY = READ_WRITE, MFINALFUNC_MODIFY = SHAREABLE)",
        0,
    ),
    // Types.
    (
        "label of an enum",
        "type colour: label 6",
        "ALTER TYPE colour ADD VALUE 'blue'",
        0,
    ),
    (
        "order of labels",
        "type colour: label 1",
        "ALTER TYPE colour RENAME VALUE 'red' TO 'x'; ALTER TYPE colour RENAME VALUE 'green' TO 'red'; ALTER TYPE colour RENAME VALUE 'x' TO 'green'",
        0,
    ),
    (
        "attribute of a composite type",
        "of composite type nested: attname",
        "ALTER TYPE nested RENAME ATTRIBUTE shade TO other",
        0,
    ),
    (
        "default of a domain",
        "type even: typdefault",
        "ALTER DOMAIN even SET DEFAULT 4",
        0,
    ),
    (
        "domain that is not null",
        "type small_even: typnotnull",
        "ALTER DOMAIN small_even DROP NOT NULL",
        0,
    ),
    (
        "check of a domain",
        "constraint even_only of even",
        "ALTER DOMAIN even DROP CONSTRAINT even_only",
        0,
    ),
    (
        "validated check of a domain",
        "constraint label_later of label: convalidated",
        "ALTER DOMAIN label VALIDATE CONSTRAINT label_later",
        0,
    ),
    (
        "owner of a type",
        "type colour: typowner",
        "ALTER TYPE colour OWNER TO sink_writer",
        0,
    ),
    (
        "grant on a type",
        "type colour: grant of USAGE to sink_reader",
        "REVOKE GRANT OPTION FOR USAGE ON TYPE colour FROM sink_reader",
        0,
    ),
    (
        "difference of a range",
        "type floats: rngsubdiff",
        "UPDATE pg_range SET rngsubdiff = 0 WHERE rngtypid = 'floats'::regtype",
        0,
    ),
    (
        "name of a multirange",
        "type other_ints",
        "ALTER TYPE \"many ints\" RENAME TO other_ints",
        140_000,
    ),
    (
        "comment on a type",
        "type \"Pa ir\": comment",
        "COMMENT ON TYPE \"Pa ir\" IS NULL",
        0,
    ),
    // Operators, casts and what follows.
    (
        "operator's estimate",
        "operator <#(\"Pa ir\",\"Pa ir\"): oprrest",
        "ALTER OPERATOR <# (\"Pa ir\", \"Pa ir\") SET (RESTRICT = NONE)",
        0,
    ),
    (
        "operator's owner",
        "operator =#(\"Pa ir\",\"Pa ir\"): oprowner",
        "ALTER OPERATOR =# (\"Pa ir\", \"Pa ir\") OWNER TO sink_writer",
        0,
    ),
    (
        "loose member of a family",
        "pair_int_cmp",
        "ALTER OPERATOR FAMILY pair_family USING btree DROP FUNCTION 1 (\"Pa ir\", integer)",
        0,
    ),
    (
        "operator class's owner",
        "operator class pair_ops for access method btree: owner",
        "ALTER OPERATOR CLASS pair_ops USING btree OWNER TO sink_writer",
        0,
    ),
    (
        "context of a cast",
        "cast from \"Pa ir\" to integer: context",
        "DROP VIEW casts; DROP CAST (\"Pa ir\" AS integer); CREATE CAST (\"Pa ir\" AS integer) WITH FUNCTION pair_to_int(\"Pa ir\")",
        0,
    ),
    (
        "missing cast",
        "cast from colour to nested",
        "DROP CAST (colour AS nested)",
        0,
    ),
    (
        "owner of a collation",
        "collation plain_c: collowner",
        "ALTER COLLATION plain_c OWNER TO sink_writer",
        0,
    ),
    (
        "conversion",
        "conversion other",
        "ALTER CONVERSION \"my conv\" RENAME TO other",
        0,
    ),
    (
        "kinds of statistics",
        "statistics object stats_all: stxkind",
        "DROP STATISTICS stats_all; CREATE STATISTICS stats_all (ndistinct) ON id, author, body FROM notes",
        0,
    ),
    (
        "target of statistics",
        "statistics object stats_all: stxstattarget",
        "ALTER STATISTICS stats_all SET STATISTICS 251",
        0,
    ),
    (
        "expression of statistics",
        "statistics object stats_one: definition",
        "DROP STATISTICS stats_one; CREATE STATISTICS stats_one ON (add(id, 2)) FROM notes",
        140_000,
    ),
    (
        "option of a dictionary",
        "text search dictionary \"my dict\": options",
        "ALTER TEXT SEARCH DICTIONARY \"my dict\" (accept = true)",
        0,
    ),
    (
        "mapping of a configuration",
        "text search configuration conf: mapping",
        "ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR word WITH pg_catalog.simple",
        0,
    ),
];

/// The plants that make no difference that mentions them.
pub(crate) fn missed(db: &mut Database) -> Vec<String> {
    let version = db.version;
    let before = shape(&mut db.conn, "tmpl");
    let mut missed = Vec::new();
    for (what, mentioned, sql, _) in PLANTS.iter().filter(|plant| plant.3 <= version) {
        let mut after = Vec::new();
        let done: QueryResult<()> = db.conn.transaction(|conn| {
            conn.batch_execute(&format!("SET LOCAL search_path TO tmpl; {sql}"))?;
            after = shape(conn, "tmpl");
            Err(Error::RollbackTransaction)
        });
        let found = differences(&before, &after);
        if done != Err(Error::RollbackTransaction) {
            missed.push(format!("{what}: {done:?}"));
        } else if !found.iter().any(|line| line.contains(mentioned)) {
            missed.push(format!("{what}: no line with {mentioned} in {found:#?}"));
        }
    }
    assert_eq!(before, shape(&mut db.conn, "tmpl"), "rolled back");
    missed
}

/// The plants that are no drift from a clone that was made before, or that cannot be compared for a reason that
/// is not theirs.
pub(crate) fn not_drifted(db: &mut Database) -> Vec<String> {
    let version = db.version;
    let plan = db.compile("tmpl");
    db.apply(&plan, "acme");
    let name = |name| SchemaName::existing(name).unwrap();
    let (right, is) = (name("acme"), name("tmpl"));
    let before = Drift::between(&mut db.conn, &right, &is).unwrap();
    assert_eq!(before, [], "the clone");
    let mut missed = Vec::new();
    for (what, _, sql, _) in PLANTS.iter().filter(|plant| plant.3 <= version) {
        let mut found = None;
        let done: QueryResult<()> = db.conn.transaction(|conn| {
            conn.batch_execute(&format!(
                "SET LOCAL search_path TO tmpl; {sql}; SET LOCAL search_path TO DEFAULT"
            ))?;
            found = Some(Drift::between(conn, &right, &is));
            Err(Error::RollbackTransaction)
        });
        let seen = match &found {
            // By what it is, and not only by a statement that another plan has.
            Some(Ok(found)) => {
                !found.is_empty() && found.iter().all(|one| one.kind != PartKind::Other)
            }
            Some(Err(error)) => error.kind() == ErrorKind::TemplateUnsupported,
            None => false,
        };
        // Where a sequence stands is no structure.
        if seen == (*what == "sequence's value") {
            missed.push(format!("{what}: {done:?} {found:?}"));
        }
    }
    missed
}
