-- 140000
ALTER TABLE tmpl.notes ALTER title SET COMPRESSION pglz;
CREATE TYPE tmpl.ints AS RANGE (subtype = integer, multirange_type_name = tmpl."many ints");
CREATE TABLE tmpl.with_ints (id integer, r tmpl.ints, m tmpl."many ints" DEFAULT '{[1,2)}', ms tmpl."many ints"[], f tmpl.floats);
COMMENT ON TYPE tmpl."many ints" IS 'a multirange';
-- 180000
ALTER TABLE tmpl.notes ADD virtual integer GENERATED ALWAYS AS (id + 1) VIRTUAL;
-- 140000
SET search_path TO tmpl
CREATE FUNCTION standard(i integer, shade colour DEFAULT 'red') RETURNS integer LANGUAGE sql STABLE RETURN add(i, 5) + (SELECT count(*)::integer FROM notes n WHERE n.shade = standard.shade);
CREATE FUNCTION atomic(i integer) RETURNS SETOF integer BEGIN ATOMIC SELECT n.* FROM notes n WHERE n.id > i; SELECT every.id FROM all_notes() every WHERE every.body <> 'it''s \ x'; END;
CREATE PROCEDURE atomic_too(t text) BEGIN ATOMIC INSERT INTO notes (body) VALUES (t); UPDATE "Order" SET "we ird" = t WHERE note > 5; DELETE FROM public.notes WHERE id = 77; END;
CREATE PROCEDURE "with out"(i integer, OUT made integer) LANGUAGE plpgsql AS $$ BEGIN made := i + 1; END $$;
CREATE FUNCTION empty_body() RETURNS void BEGIN ATOMIC END;
CREATE VIEW uses_atomic AS SELECT standard(id) AS s FROM notes;
CREATE TABLE uses_standard (id integer DEFAULT standard(1), other integer, CHECK (standard(2) >= 0 OR id > 0));
CREATE STATISTICS stats_expr ON lower(body), (id + small), author FROM notes;
CREATE STATISTICS stats_one ON (add(id, 1)) FROM notes;
CREATE VIEW searched AS WITH RECURSIVE t (id, parent) AS (SELECT n.id, n.parent FROM notes n WHERE n.parent IS NULL UNION ALL SELECT n.id, n.parent FROM notes n JOIN t ON n.parent = t.id) SEARCH DEPTH FIRST BY id SET ordered CYCLE id SET looped USING path SELECT t.id, looped FROM t;
CREATE VIEW cycles AS WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n % 3 + 1 FROM t) CYCLE n SET mark TO 'Y' DEFAULT 'it''s \' USING path SELECT n, mark FROM t;
CREATE VIEW cycles_of_colours AS WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SEARCH DEPTH FIRST BY n SET o CYCLE n SET mark TO colour 'red' DEFAULT NULL USING path SELECT n, mark FROM t;
CREATE VIEW fields AS SELECT EXTRACT('YEAR' FROM now()) AS y, EXTRACT("Epoch" FROM now()) AS e, EXTRACT(day FROM now()) AS d;
CREATE AGGREGATE as_array(anycompatiblearray) (SFUNC = array_cat, STYPE = anycompatiblearray);
CREATE TABLE brin_bloom (id integer, words text);
CREATE INDEX brin_bloom_ix ON brin_bloom USING brin (id int4_minmax_multi_ops (values_per_range = 16), words text_bloom_ops (n_distinct_per_range = 50));
RESET search_path
-- 150000
SET search_path TO tmpl
CREATE UNLOGGED SEQUENCE unlogged_seq;
CREATE UNIQUE INDEX notes_nulls ON notes (parent, id) NULLS NOT DISTINCT;
ALTER TABLE "Order" ADD CONSTRAINT nulls UNIQUE NULLS NOT DISTINCT (note);
ALTER TABLE "we ird" ADD many integer, ADD CONSTRAINT set_one FOREIGN KEY (id, many) REFERENCES "select" (a, b) ON DELETE SET NULL (many);
ALTER TABLE "we ird" ADD CONSTRAINT default_one FOREIGN KEY (many, id) REFERENCES "select" (a, b) ON DELETE SET DEFAULT (many);
CREATE VIEW invoker WITH (security_invoker = true, security_barrier = false) AS SELECT * FROM secret;
CREATE FUNCTION set_at_own_cost() RETURNS integer LANGUAGE sql SET statement_timeout = '5s' AS 'SELECT 1';
RESET search_path
-- 160000
ALTER TABLE tmpl.brin_bloom ALTER words SET STORAGE DEFAULT;
CREATE TABLE tmpl.stored (words text STORAGE EXTERNAL COMPRESSION pglz);
-- 170000
CREATE TABLE tmpl.stat_default (id integer);
ALTER TABLE tmpl.stat_default ALTER id SET STATISTICS DEFAULT;
CREATE COLLATION tmpl.built_in (provider = builtin, locale = 'C.UTF-8');
GRANT MAINTAIN ON tmpl.notes TO sink_writer;
ALTER TABLE tmpl.parted_enum ALTER id SET INCREMENT 7;
-- 180000
SET search_path TO tmpl
ALTER TABLE notes ADD CONSTRAINT "named not null" NOT NULL body;
COMMENT ON CONSTRAINT "named not null" ON notes IS 'never null';
ALTER TABLE notes ADD CONSTRAINT later_not_null NOT NULL tags NOT VALID;
ALTER TABLE nothing ADD id integer CONSTRAINT mine_only NOT NULL NO INHERIT;
ALTER TABLE "Order" RENAME CONSTRAINT "Order_Id_not_null" TO "renamed identity";
ALTER TABLE nothing ADD CONSTRAINT not_enforced CHECK (id > 5) NOT ENFORCED;
ALTER TABLE nothing ADD note integer, ADD CONSTRAINT loose FOREIGN KEY (note) REFERENCES notes NOT ENFORCED;
CREATE TABLE booked (id int4range, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS));
CREATE TABLE booked_once (id int4range, at daterange, CONSTRAINT once UNIQUE (id, at WITHOUT OVERLAPS));
CREATE TABLE part (id int4range, at daterange, FOREIGN KEY (id, PERIOD at) REFERENCES booked (id, PERIOD at));
CREATE TABLE parted_named (id integer CONSTRAINT of_parent NOT NULL, other integer) PARTITION BY LIST (id);
CREATE TABLE parted_named_1 (other integer CONSTRAINT of_child NOT NULL, id integer CONSTRAINT own_name NOT NULL);
ALTER TABLE parted_named ATTACH PARTITION parted_named_1 FOR VALUES IN (1);
CREATE TABLE heir (CONSTRAINT heir_only NOT NULL name) INHERITS (mother);
ALTER TABLE to_parted ADD CONSTRAINT loose_parted FOREIGN KEY (region, day, id) REFERENCES parted NOT ENFORCED;
RESET search_path
-- 130000
ALTER DEFAULT PRIVILEGES IN SCHEMA tmpl GRANT SELECT ON TABLES TO sink_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA tmpl GRANT USAGE ON SEQUENCES TO sink_reader, sink_writer WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE sink_writer IN SCHEMA tmpl GRANT EXECUTE ON FUNCTIONS TO sink_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA tmpl GRANT USAGE ON TYPES TO sink_writer;
