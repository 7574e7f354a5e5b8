-- Every kind of object, with every property of it, that a schema of PostgreSQL 13 can hold; newer.sql has
-- what came later. Objects of extensions, foreign tables, base types and publications are left out.

-- Roles belong to the server: tests that run at once may both make them.
DO $$ BEGIN
    CREATE ROLE sink_reader;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE sink_writer;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

-- What the schema uses of its surroundings.
CREATE TYPE public.mood AS ENUM ('sad', 'happy');
CREATE DOMAIN public.positive AS integer CHECK (VALUE > 0);
CREATE COLLATION public.plain (provider = libc, locale = 'C');
CREATE FUNCTION public.twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1';
CREATE FUNCTION public.shared_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TABLE public.users (id bigint PRIMARY KEY, email text UNIQUE, region text, UNIQUE (id, region));
INSERT INTO public.users VALUES (1, 'one@example.com', 'eu');
CREATE TABLE public.base (id integer, shared_column text CONSTRAINT "shared check" CHECK (shared_column <> ''));
CREATE TABLE public.shared_parted (id integer PRIMARY KEY, body text) PARTITION BY RANGE (id);
CREATE TABLE public.shared_parted_1 PARTITION OF public.shared_parted FOR VALUES FROM (0) TO (1000);
INSERT INTO public.shared_parted VALUES (1, 'SHARED');
CREATE SEQUENCE public.shared_seq;
-- Bait: whatever falls through to the shared schema finds this instead.
CREATE TABLE public.notes (id integer PRIMARY KEY, body text);
INSERT INTO public.notes VALUES (1, 'SHARED');

CREATE SCHEMA tmpl;
COMMENT ON SCHEMA tmpl IS 'it''s the \ "template"';
GRANT USAGE, CREATE ON SCHEMA tmpl TO sink_writer WITH GRANT OPTION;
GRANT USAGE ON SCHEMA tmpl TO sink_reader;
SET search_path TO tmpl;

---------------------------------------------------------------------------------------------- collations
CREATE COLLATION plain_c (provider = libc, lc_collate = 'C', lc_ctype = 'C');
CREATE COLLATION "we ird coll" FROM "POSIX";
DO $$ BEGIN
    CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE folded_words (word text COLLATE folded PRIMARY KEY);
EXCEPTION WHEN OTHERS THEN NULL; -- A server built without ICU.
END $$;
CREATE CONVERSION "my conv" FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;

--------------------------------------------------------------------------------------------------- types
CREATE TYPE colour AS ENUM ('red', 'it''s \ "odd"', 'green', 'we ird');
ALTER TYPE colour ADD VALUE 'orange' BEFORE 'green';
CREATE TYPE "Pa ir" AS (x integer, "Y" text COLLATE plain_c, tags text[], price numeric(8, 3));
CREATE TYPE nested AS (pair "Pa ir", pairs "Pa ir"[], shade colour);
CREATE TYPE floats AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TYPE words AS RANGE (subtype = text, collation = "C", subtype_opclass = text_pattern_ops);
CREATE FUNCTION is_even(integer) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1 % 2 = 0';
CREATE DOMAIN even AS integer DEFAULT 2 CONSTRAINT even_only CHECK (is_even(VALUE));
CREATE DOMAIN small_even AS even NOT NULL CHECK (VALUE < 100) CONSTRAINT "not 13" CHECK (VALUE <> 13);
CREATE DOMAIN label AS varchar(20) COLLATE plain_c DEFAULT 'it''s \ "x"';
ALTER DOMAIN label ADD CONSTRAINT label_later CHECK (VALUE <> 'forbidden') NOT VALID;
CREATE DOMAIN evens AS even[] CHECK (cardinality(VALUE) < 10);
CREATE DOMAIN pair_domain AS "Pa ir" CHECK ((VALUE).x > 0);

----------------------------------------------------------------------------------------------- sequences
CREATE SEQUENCE free_seq AS smallint START 7 INCREMENT 3 MINVALUE 1 MAXVALUE 1000 CACHE 5 CYCLE;
CREATE SEQUENCE "down seq" AS integer INCREMENT -1 START -5 MINVALUE -50 MAXVALUE -1;
CREATE SEQUENCE "q""uote\seq";
CREATE SEQUENCE moved_seq;
SELECT setval('moved_seq', 41, true);
CREATE SEQUENCE placed_seq START 10;
SELECT setval('placed_seq', 20, false);
CREATE SEQUENCE owned_seq;

-------------------------------------------------------------------------- functions that tables need first
CREATE FUNCTION add(left_one integer, right_one integer DEFAULT 10) RETURNS integer
    LANGUAGE sql IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE COST 7 AS 'SELECT left_one + right_one';
CREATE FUNCTION add(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT $1 || 'it''s \ ' || $2$$;
CREATE FUNCTION slug(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    -- A comment, a 'quote', a \ and a $dollar$.
    RETURN lower(replace($1, ' ', '-'));
END $$;
CREATE FUNCTION next_number() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN nextval('tmpl.moved_seq'::regclass); END $$;

-------------------------------------------------------------------------------------------------- tables
CREATE TABLE notes (
    id serial PRIMARY KEY,
    small smallserial,
    parent integer REFERENCES notes ON DELETE CASCADE ON UPDATE SET NULL,
    author bigint REFERENCES public.users (id) DEFERRABLE INITIALLY DEFERRED,
    region text,
    mood public.mood DEFAULT 'happy' NOT NULL,
    shade colour DEFAULT 'it''s \ "odd"',
    shades colour[] DEFAULT ARRAY['red', 'we ird']::colour[],
    pair "Pa ir",
    pairs nested[],
    amount even,
    amounts small_even[],
    all_even evens,
    within floats DEFAULT '[1,2)',
    many_within floats[],
    tag label,
    body text COLLATE "C" DEFAULT 'it''s a "note" \ with $$',
    title varchar(40) COLLATE plain_c,
    price numeric(10, 2) DEFAULT 0.10 CHECK (price >= 0),
    fixed bpchar,
    letter character,
    flags bit varying(5) DEFAULT B'101',
    at time(3) with time zone,
    gap interval day to second(2) DEFAULT '1 day 02:03:04',
    tags text[] DEFAULT ARRAY['a', 'b'],
    period tstzrange DEFAULT '["2024-01-01 00:00:00+00",)',
    words tsvector,
    doubled integer GENERATED ALWAYS AS (public.twice(small::integer)) STORED,
    summed integer GENERATED ALWAYS AS (add(id, small::integer)) STORED,
    created timestamptz(3) DEFAULT now(),
    number bigint DEFAULT nextval('free_seq'),
    late bigint DEFAULT nextval('tmpl.free_seq'::text),
    early bigint DEFAULT nextval('"q""uote\seq"'),
    shared_number bigint DEFAULT nextval('public.shared_seq'),
    CONSTRAINT notes_parent_other CHECK (parent IS DISTINCT FROM id) NO INHERIT,
    CONSTRAINT "period ok" EXCLUDE USING gist (period range_ops WITH &&)
        WITH (fillfactor = 80) WHERE (author IS NOT NULL) DEFERRABLE,
    FOREIGN KEY (author, region) REFERENCES public.users (id, region) MATCH FULL ON DELETE SET DEFAULT
) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false, toast.vacuum_truncate = false);
ALTER TABLE notes ADD dropped integer;
ALTER TABLE notes ADD added timestamp DEFAULT '2020-01-01';
ALTER TABLE notes DROP dropped;
ALTER TABLE notes ADD CONSTRAINT notes_title_later CHECK (title <> '') NOT VALID;
ALTER TABLE notes ADD CONSTRAINT "it's a \ check" CHECK (slug(title) <> 'for-bidden' OR shade = 'red');
ALTER TABLE notes ALTER body SET STORAGE EXTERNAL, ALTER body SET STATISTICS 500, ALTER title SET STORAGE MAIN;
ALTER TABLE notes ALTER created SET STATISTICS 0, ALTER title SET (n_distinct = -0.5, n_distinct_inherited = 7);
CREATE INDEX notes_lower ON notes (lower(body) text_pattern_ops DESC NULLS LAST, id ASC NULLS FIRST) WHERE small > 3;
CREATE INDEX notes_tags ON notes USING gin (tags) WITH (fastupdate = off);
CREATE INDEX notes_words ON notes USING gist (words tsvector_ops (siglen = 100)) WITH (buffering = on);
CREATE UNIQUE INDEX "notes \ it's" ON notes (title COLLATE "C", id) INCLUDE (price) WITH (fillfactor = 60, deduplicate_items = off);
CREATE INDEX notes_sum ON notes (add(number::integer, 1), (id + small), slug(title) COLLATE plain_c);
ALTER INDEX notes_sum ALTER COLUMN 2 SET STATISTICS 300;
CREATE INDEX notes_brin ON notes USING brin (created) WITH (pages_per_range = 4, autosummarize = true);
CREATE INDEX notes_hash ON notes USING hash (region);
CREATE INDEX notes_shade ON notes (shade, within);

CREATE TABLE "Order" (
    "Id" bigint GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 5 CACHE 3 MINVALUE 50 MAXVALUE 9999 CYCLE),
    "select" integer NOT NULL,
    "we ird" text,
    "q""uote" text,
    "back\slash" integer,
    "it's" integer,
    note integer REFERENCES notes (id) MATCH FULL,
    CONSTRAINT "Order pk" PRIMARY KEY ("Id") WITH (fillfactor = 50),
    CONSTRAINT "Order uq" UNIQUE ("select") INCLUDE ("we ird") DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT later UNIQUE ("it's", "back\slash") DEFERRABLE INITIALLY IMMEDIATE
);
INSERT INTO "Order" ("select") VALUES (1);
CREATE TABLE "select" (
    id integer GENERATED BY DEFAULT AS IDENTITY (SEQUENCE NAME "odd name" START 5),
    latest bigint,
    a integer,
    b integer,
    PRIMARY KEY (id),
    UNIQUE (a, b),
    CONSTRAINT ab FOREIGN KEY (a, b) REFERENCES "select" (a, b) ON UPDATE RESTRICT ON DELETE NO ACTION
);
CREATE TABLE "we ird" (
    id integer PRIMARY KEY REFERENCES "select" ON DELETE RESTRICT ON UPDATE CASCADE,
    order_id bigint REFERENCES "Order" DEFERRABLE,
    of_table regclass DEFAULT 'notes'::regclass,
    of_user bigint DEFAULT nextval('"odd name"'),
    of_function regprocedure DEFAULT 'is_even(integer)'::regprocedure,
    of_type regtype DEFAULT 'colour'::regtype
);
CREATE TABLE "q""uote" (id integer);
CREATE TABLE "back\slash's" ("col\umn's" text DEFAULT 'x\y');
-- A circle of foreign keys.
ALTER TABLE "select" ADD CONSTRAINT circle FOREIGN KEY (latest) REFERENCES "Order" NOT VALID;
ALTER TABLE "Order" ADD by_user integer REFERENCES "select" DEFERRABLE INITIALLY DEFERRED;
-- Sequences and constraints whose names are no longer those of their table.
CREATE TABLE before_rename (id serial, key integer GENERATED ALWAYS AS IDENTITY, UNIQUE (key));
ALTER TABLE before_rename RENAME TO after_rename;
ALTER SEQUENCE owned_seq OWNED BY after_rename.key;
CREATE UNLOGGED TABLE scratch (id integer GENERATED ALWAYS AS IDENTITY, many money DEFAULT 3.5,
    part float8 DEFAULT '0.1234567890123456789'::float8, raw bytea DEFAULT '\xdeadbeef', day date DEFAULT '2024-02-03');
CREATE TABLE nothing ();
CREATE TABLE replica_full (id integer);
ALTER TABLE replica_full REPLICA IDENTITY FULL;
CREATE TABLE replica_nothing (id integer PRIMARY KEY);
ALTER TABLE replica_nothing REPLICA IDENTITY NOTHING;
CREATE TABLE replica_index (id integer NOT NULL);
CREATE UNIQUE INDEX "replica ix" ON replica_index (id);
ALTER TABLE replica_index REPLICA IDENTITY USING INDEX "replica ix";
CREATE INDEX replica_cluster ON replica_index (id DESC);
ALTER TABLE replica_index CLUSTER ON replica_cluster;
CREATE TABLE clustered (id integer PRIMARY KEY);
ALTER TABLE clustered CLUSTER ON clustered_pkey;
-- An index becomes that of a constraint.
CREATE TABLE adopted (id integer NOT NULL);
CREATE UNIQUE INDEX adopted_ix ON adopted (id) WITH (fillfactor = 55);
ALTER TABLE adopted ADD CONSTRAINT adopted_key UNIQUE USING INDEX adopted_ix;

------------------------------------------------------------------------------------- partitioned tables
CREATE TABLE parted (
    region text NOT NULL,
    day date NOT NULL DEFAULT '2024-01-01',
    id integer NOT NULL,
    body text DEFAULT 'of the parent',
    ref integer REFERENCES notes (id) ON DELETE SET NULL,
    CONSTRAINT parted_body CHECK (body <> ''),
    PRIMARY KEY (region, day, id)
) PARTITION BY LIST (region);
CREATE TABLE parted_eu PARTITION OF parted FOR VALUES IN ('eu', 'it''s') PARTITION BY RANGE (day);
CREATE TABLE parted_eu_old PARTITION OF parted_eu (
    body DEFAULT 'of the partition',
    CONSTRAINT old_only CHECK (id > 0)
) FOR VALUES FROM (MINVALUE) TO ('2024-01-01') WITH (fillfactor = 45);
CREATE TABLE "parted eu new" PARTITION OF parted_eu FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY HASH (id);
CREATE TABLE parted_hash_0 PARTITION OF "parted eu new" FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE UNLOGGED TABLE parted_hash_1 PARTITION OF "parted eu new" FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE parted_eu_rest PARTITION OF parted_eu DEFAULT;
-- Another order of columns, and a hole among them.
CREATE TABLE parted_us (id integer NOT NULL, gone integer, body text DEFAULT 'us', day date NOT NULL, region text NOT NULL, ref integer,
    CONSTRAINT parted_body CHECK (body <> ''), CONSTRAINT us_key PRIMARY KEY (region, day, id));
ALTER TABLE parted_us DROP gone;
ALTER TABLE parted ATTACH PARTITION parted_us FOR VALUES IN ('us', NULL);
CREATE TABLE parted_rest PARTITION OF parted DEFAULT;
CREATE INDEX parted_body_ix ON parted (lower(body), id DESC);
-- An index of a parent only, of which one child's was made apart and attached: it stays invalid.
CREATE INDEX parted_only ON ONLY parted (day);
CREATE INDEX parted_us_day ON parted_us (day) WITH (fillfactor = 66);
ALTER INDEX parted_only ATTACH PARTITION parted_us_day;
-- One that is whole, with a name of its own in one child.
CREATE INDEX "us id" ON parted_us (id, body) WITH (fillfactor = 77);
CREATE INDEX parted_id ON parted (id, body);
CREATE INDEX local_ix ON parted_eu_old (body) WHERE id > 5;
ALTER TABLE parted_eu_old ALTER body SET STATISTICS 77;
ALTER TABLE parted_us ALTER ref SET DEFAULT 5;
-- A foreign key to a partitioned table, one to a shared one, and one of a partition alone.
CREATE TABLE to_parted (id integer PRIMARY KEY, region text, day date, part integer, shared integer REFERENCES public.shared_parted,
    CONSTRAINT "to parted" FOREIGN KEY (region, day, part) REFERENCES parted ON DELETE CASCADE DEFERRABLE);
ALTER TABLE parted_us ADD CONSTRAINT us_only FOREIGN KEY (ref) REFERENCES replica_nothing;
-- Expressions, an operator class and a collation in a partition key; every bound of a range.
CREATE TABLE parted_expr (a text, b integer, c date) PARTITION BY RANGE (lower(a) COLLATE plain_c text_pattern_ops, b, (b + 1));
CREATE TABLE parted_expr_1 PARTITION OF parted_expr FOR VALUES FROM ('a', 1, MINVALUE) TO ('m', MAXVALUE, MAXVALUE);
CREATE TABLE parted_enum (shade colour, id bigint GENERATED BY DEFAULT AS IDENTITY) PARTITION BY LIST (shade);
DO $$ BEGIN
    -- Identity columns of partitions are another thing before version 17.
    IF current_setting('server_version_num')::integer < 170000 THEN
        ALTER TABLE parted_enum ALTER id DROP IDENTITY;
    END IF;
END $$;
CREATE TABLE parted_enum_1 PARTITION OF parted_enum FOR VALUES IN ('red', 'it''s \ "odd"');

--------------------------------------------------------------------------------------------- inheritance
CREATE TABLE mother (id integer NOT NULL, name text DEFAULT 'mother', CONSTRAINT both_have CHECK (id > 0), CONSTRAINT hers CHECK (name <> '') NO INHERIT);
CREATE TABLE father (id integer, size numeric(5, 1) DEFAULT 1.5);
CREATE TABLE child (own text, CONSTRAINT both_have CHECK (id > 0), CONSTRAINT child_only CHECK (size > 0)) INHERITS (mother, father);
ALTER TABLE child ALTER name SET DEFAULT 'child', ALTER size DROP DEFAULT;
CREATE TABLE grandchild (id integer, name text) INHERITS (child);
CREATE TABLE adopted_child (id integer NOT NULL, name text, CONSTRAINT both_have CHECK (id > 0));
ALTER TABLE adopted_child INHERIT mother;
CREATE TABLE no_longer (id integer NOT NULL) INHERITS (mother);
ALTER TABLE no_longer NO INHERIT mother;

-------------------------------------------------------------------------------------------- typed tables
CREATE TYPE typed_row AS (id integer, name text, price numeric);
CREATE TABLE typed OF typed_row (PRIMARY KEY (id), name WITH OPTIONS DEFAULT 'typed' NOT NULL, CHECK (price > 0)) WITH (fillfactor = 33);

------------------------------------------------------------------------------------------------- storage
ALTER TABLE "Order" SET (user_catalog_table = false, parallel_workers = 3);

----------------------------------------------------------------------------------------------- operators
CREATE FUNCTION pair_lt("Pa ir", "Pa ir") RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1.x < $2.x';
CREATE FUNCTION pair_le("Pa ir", "Pa ir") RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1.x <= $2.x';
CREATE FUNCTION pair_eq("Pa ir", "Pa ir") RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1.x = $2.x';
CREATE FUNCTION pair_ne("Pa ir", "Pa ir") RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1.x <> $2.x';
CREATE FUNCTION pair_ge("Pa ir", "Pa ir") RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1.x >= $2.x';
CREATE FUNCTION pair_gt("Pa ir", "Pa ir") RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1.x > $2.x';
CREATE FUNCTION pair_cmp("Pa ir", "Pa ir") RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT btint4cmp($1.x, $2.x)';
CREATE FUNCTION pair_hash("Pa ir") RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT hashint4($1.x)';
CREATE OPERATOR <# (FUNCTION = pair_lt, LEFTARG = "Pa ir", RIGHTARG = "Pa ir", COMMUTATOR = OPERATOR(tmpl.>#), NEGATOR = OPERATOR(tmpl.>=#),
    RESTRICT = scalarltsel, JOIN = scalarltjoinsel);
CREATE OPERATOR <=# (FUNCTION = pair_le, LEFTARG = "Pa ir", RIGHTARG = "Pa ir", COMMUTATOR = OPERATOR(tmpl.>=#), NEGATOR = OPERATOR(tmpl.>#));
CREATE OPERATOR =# (FUNCTION = pair_eq, LEFTARG = "Pa ir", RIGHTARG = "Pa ir", COMMUTATOR = OPERATOR(tmpl.=#), NEGATOR = OPERATOR(tmpl.<>#),
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES);
CREATE OPERATOR <># (FUNCTION = pair_ne, LEFTARG = "Pa ir", RIGHTARG = "Pa ir", COMMUTATOR = OPERATOR(tmpl.<>#), NEGATOR = OPERATOR(tmpl.=#));
CREATE OPERATOR >=# (FUNCTION = pair_ge, LEFTARG = "Pa ir", RIGHTARG = "Pa ir", COMMUTATOR = OPERATOR(tmpl.<=#), NEGATOR = OPERATOR(tmpl.<#));
CREATE OPERATOR ># (FUNCTION = pair_gt, LEFTARG = "Pa ir", RIGHTARG = "Pa ir", COMMUTATOR = OPERATOR(tmpl.<#), NEGATOR = OPERATOR(tmpl.<=#));
CREATE OPERATOR !# (FUNCTION = is_even, RIGHTARG = integer);
CREATE OPERATOR FAMILY pair_family USING btree;
CREATE OPERATOR CLASS pair_ops DEFAULT FOR TYPE "Pa ir" USING btree FAMILY pair_family AS
    OPERATOR 1 <#, OPERATOR 2 <=#, OPERATOR 3 =#, OPERATOR 4 >=#, OPERATOR 5 >#, FUNCTION 1 pair_cmp("Pa ir", "Pa ir");
CREATE OPERATOR CLASS "pair hash" FOR TYPE "Pa ir" USING hash AS OPERATOR 1 =#, FUNCTION 1 pair_hash("Pa ir");
CREATE OPERATOR CLASS backwards FOR TYPE integer USING btree AS
    OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(integer, integer);
-- Loose members of a family.
CREATE FUNCTION pair_int_cmp("Pa ir", integer) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT btint4cmp($1.x, $2)';
CREATE FUNCTION pair_int_lt("Pa ir", integer) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1.x < $2';
CREATE OPERATOR <# (FUNCTION = pair_int_lt, LEFTARG = "Pa ir", RIGHTARG = integer);
ALTER OPERATOR FAMILY pair_family USING btree ADD OPERATOR 1 <# ("Pa ir", integer), FUNCTION 1 pair_int_cmp("Pa ir", integer);
CREATE INDEX notes_pair ON notes (pair);
CREATE INDEX notes_pair_hash ON notes USING hash (pair "pair hash");
CREATE INDEX notes_backwards ON notes (number, parent backwards DESC);
ALTER TABLE notes ADD CHECK (pair OPERATOR(tmpl.=#) pair OR body LIKE '%x' AND tags && '{a}');
ALTER TABLE notes ADD CONSTRAINT no_same_pair EXCLUDE USING btree (pair WITH =#);

--------------------------------------------------------------------------------------------------- casts
CREATE FUNCTION pair_to_int("Pa ir") RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT $1.x';
CREATE FUNCTION typed_to_pair(typed_row) RETURNS "Pa ir" LANGUAGE sql IMMUTABLE STRICT AS $$SELECT ROW($1.id, $1.name, '{}', 0)::"Pa ir"$$;
CREATE CAST ("Pa ir" AS integer) WITH FUNCTION pair_to_int("Pa ir") AS ASSIGNMENT;
CREATE CAST (typed_row AS "Pa ir") WITH FUNCTION typed_to_pair(typed_row) AS IMPLICIT;
CREATE CAST (colour AS nested) WITH INOUT;
CREATE VIEW casts AS SELECT (pair::integer) AS x, ROW(1, 'a', 2)::typed_row::"Pa ir" AS p FROM notes;

------------------------------------------------------------------------------------------------- functions
CREATE FUNCTION "F un\c's"() RETURNS text LANGUAGE sql AS 'SELECT body FROM notes LIMIT 1';
CREATE FUNCTION all_notes() RETURNS SETOF notes LANGUAGE sql STABLE ROWS 17 AS 'SELECT * FROM notes';
CREATE FUNCTION as_table(lower_limit integer DEFAULT 0) RETURNS TABLE (id integer, "we ird" text) LANGUAGE sql STABLE
    AS 'SELECT n.id, n.body FROM notes n WHERE n.id > lower_limit';
CREATE FUNCTION with_out(i integer, OUT doubled integer, INOUT kept text, OUT shade colour) LANGUAGE plpgsql
    AS $$ BEGIN doubled := 2 * i; shade := 'red'; END $$;
CREATE FUNCTION many(VARIADIC numbers integer[] DEFAULT '{}') RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT sum(n) FROM unnest(numbers) n';
CREATE FUNCTION first_of(anyarray, anyelement DEFAULT NULL::integer) RETURNS anyelement LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1[1], $2)';
CREATE FUNCTION of_row(n notes, shade colour DEFAULT 'we ird'::colour) RETURNS text LANGUAGE sql STABLE AS 'SELECT n.body || shade';
CREATE FUNCTION secure() RETURNS integer LANGUAGE sql SECURITY DEFINER VOLATILE PARALLEL RESTRICTED
    SET search_path = tmpl, pg_temp SET work_mem = '5MB' SET "my.setting" = 'it''s \ "x"' SET datestyle = 'ISO, DMY'
    AS 'SELECT count(*)::integer FROM notes';
CREATE FUNCTION secure_too() RETURNS integer LANGUAGE plpgsql SET search_path TO 'tmpl', 'public' AS $$ BEGIN RETURN (SELECT count(*) FROM notes); END $$;
CREATE FUNCTION qualified() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM tmpl.notes JOIN tmpl."Order" ON tmpl.notes.id = note';
CREATE FUNCTION by_regclass() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    RETURN 'tmpl.notes'::regclass::oid::text || (SELECT count(*) FROM tmpl.notes) || 'tmpl."Order"'::regclass::oid;
END $$;
CREATE FUNCTION supported(integer, integer) RETURNS SETOF integer LANGUAGE internal IMMUTABLE STRICT ROWS 50
    SUPPORT generate_series_int4_support AS 'generate_series_int4';
CREATE FUNCTION rank_of() RETURNS bigint LANGUAGE internal WINDOW IMMUTABLE AS 'window_row_number';
CREATE PROCEDURE add_note(body text, INOUT made integer DEFAULT NULL) LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO notes (body) VALUES (add_note.body) RETURNING id INTO made;
END $$;
CREATE PROCEDURE "do it"() LANGUAGE sql SECURITY DEFINER SET search_path = 'tmpl' AS 'UPDATE notes SET body = body';

----------------------------------------------------------------------------------------------- aggregates
CREATE FUNCTION total_step(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) + coalesce($2, 0)';
CREATE FUNCTION total_back(numeric, numeric) RETURNS numeric LANGUAGE sql IMMUTABLE AS 'SELECT coalesce($1, 0) - coalesce($2, 0)';
CREATE FUNCTION total_end(numeric) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'total ' || $1$$;
CREATE FUNCTION pick(anyarray, anyelement) RETURNS anyarray LANGUAGE sql IMMUTABLE AS 'SELECT array_append($1, $2)';
CREATE AGGREGATE total(numeric) (SFUNC = total_step, STYPE = numeric, SSPACE = 64, INITCOND = '0', FINALFUNC = total_end,
    COMBINEFUNC = total_step, PARALLEL = SAFE, MSFUNC = total_step, MINVFUNC = total_back, MSTYPE = numeric, MSSPACE = 128,
    MFINALFUNC = total_end, MINITCOND = '0', FINALFUNC_MODIFY = READ_WRITE, MFINALFUNC_MODIFY = SHAREABLE);
CREATE FUNCTION pair_least("Pa ir", "Pa ir") RETURNS "Pa ir" LANGUAGE sql IMMUTABLE STRICT AS 'SELECT CASE WHEN $1.x < $2.x THEN $1 ELSE $2 END';
CREATE AGGREGATE smallest("Pa ir") (SFUNC = pair_least, STYPE = "Pa ir", SORTOP = OPERATOR(tmpl.<#));
CREATE AGGREGATE average(float8) (SFUNC = float8_accum, STYPE = float8[], INITCOND = '{0,0,0}', FINALFUNC = float8_avg, COMBINEFUNC = float8_combine);
CREATE AGGREGATE internal_sum(numeric) (SFUNC = numeric_avg_accum, STYPE = internal, FINALFUNC = numeric_sum,
    COMBINEFUNC = numeric_avg_combine, SERIALFUNC = numeric_avg_serialize, DESERIALFUNC = numeric_avg_deserialize, PARALLEL = SAFE);
CREATE AGGREGATE how_many(*) (SFUNC = int8inc, STYPE = bigint, INITCOND = '0');
CREATE AGGREGATE middle(float8 ORDER BY anyelement) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_disc_final, FINALFUNC_EXTRA);
CREATE AGGREGATE my_rank(VARIADIC "any" ORDER BY VARIADIC "any") (SFUNC = ordered_set_transition_multi, STYPE = internal, FINALFUNC = rank_final, FINALFUNC_EXTRA, HYPOTHETICAL);
CREATE AGGREGATE collected(anyelement) (SFUNC = pick, STYPE = anyarray, INITCOND = '{}');

-------------------------------------------------------------------------------------------------- views
CREATE VIEW seen (id, "B o dy", shade) AS SELECT id, body, shade FROM notes WHERE id > 0 WITH LOCAL CHECK OPTION;
CREATE VIEW seen_more WITH (security_barrier) AS SELECT * FROM seen WHERE shade <> 'red' WITH CASCADED CHECK OPTION;
ALTER VIEW seen ALTER shade SET DEFAULT 'green', ALTER "B o dy" SET DEFAULT 'of the view';
-- Its columns depend on the primary key.
CREATE VIEW grouped AS SELECT n.id, n.body, n.title, count(o.*) AS orders FROM notes n LEFT JOIN "Order" o ON o.note = n.id GROUP BY n.id;
CREATE RECURSIVE VIEW tree (id, depth) AS SELECT id, 0 FROM notes WHERE parent IS NULL
    UNION ALL SELECT n.id, tree.depth + 1 FROM tree JOIN notes n ON n.parent = tree.id;
CREATE VIEW of_pair AS SELECT (pair).*, n.id, n AS whole FROM notes n;
CREATE VIEW whole_rows AS SELECT n, row_number() OVER w AS r, rank_of() OVER w AS r2 FROM notes n WINDOW w AS (PARTITION BY mood ORDER BY id);
CREATE VIEW mixed AS
    SELECT u.email, "Order".*, add(1), total(n.price) OVER () AS total, n.body COLLATE "we ird coll" AS c, 1 OPERATOR(pg_catalog.+) 1 AS two,
        n.pair <# n.pair AS less, '"Order"'::regclass AS t, nextval('free_seq') AS next_one
    FROM public.users u JOIN notes n ON n.author = u.id JOIN "Order" ON note = n.id JOIN LATERAL as_table(n.id) AS tbl ON true
    WHERE EXISTS (SELECT FROM public.notes WHERE notes.id = n.id) AND n.shade = ANY (ARRAY['red', 'green']::colour[]);
CREATE VIEW renamed_later AS SELECT id AS old_name, 'x'::text AS b FROM replica_full;
ALTER VIEW renamed_later RENAME COLUMN old_name TO "new name";
ALTER TABLE replica_full RENAME id TO "Id now";
CREATE VIEW temp_like AS TABLE notes LIMIT 3;
CREATE VIEW "values" AS VALUES (1, 'it''s \ x'), (2, E'tab\there');
-- A circle: the view calls a function of its own row type.
CREATE VIEW circular AS SELECT 1 AS id, 'x'::text AS words;
CREATE FUNCTION words_of(circular) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1.words || $1.id';
CREATE OR REPLACE VIEW circular AS SELECT n.id, words_of(ROW(n.id, n.body)::circular) AS words FROM notes n;
CREATE MATERIALIZED VIEW kept WITH (fillfactor = 44, autovacuum_enabled = false, toast.autovacuum_enabled = false) AS
    SELECT id, body, shade, words_of(ROW(id, body)::circular) FROM notes WITH DATA;
CREATE UNIQUE INDEX kept_id ON kept (id);
CREATE INDEX "kept \ it's" ON kept (lower(body)) WHERE shade = 'red';
ALTER MATERIALIZED VIEW kept ALTER body SET STATISTICS 33, ALTER body SET STORAGE EXTERNAL;
ALTER MATERIALIZED VIEW kept CLUSTER ON kept_id;
CREATE MATERIALIZED VIEW "not kept" AS SELECT id, k.body, seen."B o dy" FROM kept k JOIN seen USING (id) WITH NO DATA;
CREATE INDEX ON "not kept" (id DESC);
CREATE VIEW over_kept AS SELECT k.id, g.orders FROM kept k JOIN grouped g USING (id);

-------------------------------------------------------------------------------------------------- rules
CREATE RULE seen_delete AS ON DELETE TO seen DO INSTEAD DELETE FROM notes WHERE id = old.id;
CREATE RULE "log it" AS ON INSERT TO "q""uote" WHERE new.id > 5 DO ALSO (INSERT INTO scratch (part) VALUES (new.id); DELETE FROM scratch WHERE part < new.id);
CREATE RULE told AS ON INSERT TO "we ird" DO ALSO NOTIFY "sin\k";
CREATE RULE nothing_else AS ON UPDATE TO "q""uote" DO INSTEAD NOTHING;
ALTER TABLE "q""uote" DISABLE RULE nothing_else;
CREATE RULE always AS ON DELETE TO "q""uote" DO ALSO SELECT old.id;
ALTER TABLE "q""uote" ENABLE ALWAYS RULE always;
ALTER TABLE "q""uote" ENABLE REPLICA RULE "log it";

------------------------------------------------------------------------------------------------ triggers
CREATE TABLE outside (t text, u text);
ALTER TABLE outside ALTER t SET STORAGE EXTERNAL;
CREATE TABLE outside_child () INHERITS (outside);
ALTER TABLE outside ALTER u SET STORAGE MAIN;
CREATE TABLE fired (id bigint GENERATED ALWAYS AS IDENTITY, what text, arguments text[]);
CREATE FUNCTION log_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO fired (what, arguments) VALUES (TG_NAME || ' ' || TG_OP || ' ' || TG_LEVEL, TG_ARGV);
    RETURN coalesce(NEW, OLD);
END $$;
CREATE FUNCTION log_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO fired (what) SELECT TG_NAME || count(*) FROM new_rows;
    RETURN NULL;
END $$;
CREATE FUNCTION seen_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO notes (body) VALUES (NEW."B o dy");
    RETURN NEW;
END $$;
CREATE TRIGGER before_row BEFORE INSERT OR UPDATE OF body, title ON notes FOR EACH ROW
    WHEN (new.body IS DISTINCT FROM 'quiet' AND new.shade <> 'we ird') EXECUTE FUNCTION log_it('it''s', '\ "x"', '', '1');
CREATE TRIGGER "after\st's" AFTER DELETE OR TRUNCATE ON notes FOR EACH STATEMENT EXECUTE FUNCTION log_it();
CREATE TRIGGER after_rows AFTER INSERT ON notes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_rows();
CREATE TRIGGER changed_rows AFTER UPDATE ON notes REFERENCING NEW TABLE AS new_rows OLD TABLE AS "Old rows" FOR EACH STATEMENT EXECUTE FUNCTION log_rows();
CREATE CONSTRAINT TRIGGER deferred_one AFTER INSERT ON notes FROM public.users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (new.id > 0) EXECUTE FUNCTION log_it('deferred');
CREATE CONSTRAINT TRIGGER immediate_one AFTER UPDATE ON "Order" FROM "select" FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TRIGGER by_shared BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION public.shared_trigger();
CREATE TRIGGER off BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TRIGGER on_replica BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TRIGGER on_always BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION log_it();
ALTER TABLE notes DISABLE TRIGGER off, ENABLE REPLICA TRIGGER on_replica, ENABLE ALWAYS TRIGGER on_always;
CREATE TRIGGER instead INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE FUNCTION seen_insert();
CREATE TRIGGER parted_row AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION log_it('parted');
CREATE TRIGGER parted_off AFTER UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION log_it();
CREATE TRIGGER parted_all AFTER INSERT ON parted FOR EACH STATEMENT EXECUTE FUNCTION log_it();
CREATE TRIGGER of_partition BEFORE INSERT ON parted_us FOR EACH ROW EXECUTE FUNCTION log_it('us');
ALTER TABLE parted_us DISABLE TRIGGER parted_row;
ALTER TABLE parted_eu_old ENABLE ALWAYS TRIGGER parted_row;
ALTER TABLE ONLY parted DISABLE TRIGGER parted_off;
-- The triggers of a constraint, too.

-------------------------------------------------------------------------------------- row-level security
CREATE FUNCTION allowed(bigint) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT coalesce($1, 0) < 100';
CREATE TABLE secret (id integer PRIMARY KEY, owner name DEFAULT current_user, shade colour);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON secret USING (owner = current_user) WITH CHECK (allowed(id));
CREATE POLICY "just rea\d's" ON secret AS RESTRICTIVE FOR SELECT TO sink_reader, sink_writer USING (shade <> 'red'::colour);
CREATE POLICY adding ON secret FOR INSERT TO sink_writer WITH CHECK (id IN (SELECT n.id FROM notes n));
CREATE POLICY changing ON secret FOR UPDATE TO CURRENT_USER USING (true) WITH CHECK (EXISTS (SELECT FROM public.users u WHERE u.id = secret.id));
CREATE POLICY removing ON secret FOR DELETE USING (false);
ALTER TABLE mother ENABLE ROW LEVEL SECURITY;
ALTER TABLE father FORCE ROW LEVEL SECURITY;
CREATE POLICY asleep ON clustered USING (id > 0);

--------------------------------------------------------------------------------------------- text search
CREATE TEXT SEARCH DICTIONARY "my dict" (TEMPLATE = simple, stopwords = 'english', accept = false);
CREATE TEXT SEARCH DICTIONARY snow (TEMPLATE = snowball, language = german);
CREATE TEXT SEARCH CONFIGURATION conf (COPY = simple);
ALTER TEXT SEARCH CONFIGURATION conf ALTER MAPPING FOR asciiword, word WITH "my dict", snow, pg_catalog.simple;
ALTER TEXT SEARCH CONFIGURATION conf DROP MAPPING FOR email;
CREATE TEXT SEARCH CONFIGURATION "empty conf" (PARSER = pg_catalog."default");
CREATE TEXT SEARCH TEMPLATE my_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TEXT SEARCH DICTIONARY of_mine (TEMPLATE = my_template);
CREATE TEXT SEARCH PARSER my_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH CONFIGURATION parsed (PARSER = my_parser);
ALTER TEXT SEARCH CONFIGURATION parsed ADD MAPPING FOR asciiword WITH of_mine;
CREATE INDEX notes_search ON notes USING gin (to_tsvector('conf', coalesce(body, '')));
CREATE TRIGGER search_words BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger('words', 'pg_catalog.simple', 'body');

------------------------------------------------------------------------------------- extended statistics
CREATE STATISTICS stats_all ON id, author, body FROM notes;
CREATE STATISTICS "st\at's" (ndistinct) ON mood, author FROM notes;
CREATE STATISTICS stats_deps (dependencies, mcv) ON region, day FROM parted;
ALTER STATISTICS stats_all SET STATISTICS 250;

------------------------------------------------------------------------------------------- owners, grants
ALTER TABLE "back\slash's" OWNER TO sink_writer;
ALTER FUNCTION slug(text) OWNER TO sink_writer;
ALTER TYPE nested OWNER TO sink_writer;
ALTER DOMAIN evens OWNER TO sink_writer;
ALTER VIEW tree OWNER TO sink_writer;
ALTER MATERIALIZED VIEW "not kept" OWNER TO sink_writer;
ALTER SEQUENCE free_seq OWNER TO sink_writer;
ALTER PROCEDURE "do it"() OWNER TO sink_writer;
ALTER AGGREGATE how_many(*) OWNER TO sink_writer;
ALTER COLLATION "we ird coll" OWNER TO sink_writer;
ALTER OPERATOR <# ("Pa ir", integer) OWNER TO sink_writer;
ALTER OPERATOR CLASS backwards USING btree OWNER TO sink_writer;
ALTER OPERATOR FAMILY pair_family USING btree OWNER TO sink_writer;
ALTER STATISTICS "st\at's" OWNER TO sink_writer;
ALTER TEXT SEARCH CONFIGURATION conf OWNER TO sink_writer;
ALTER TEXT SEARCH DICTIONARY snow OWNER TO sink_writer;
ALTER CONVERSION "my conv" OWNER TO sink_writer;
GRANT SELECT ON notes TO sink_reader, PUBLIC;
GRANT INSERT, UPDATE ON notes TO sink_writer WITH GRANT OPTION;
GRANT ALL ON "Order" TO sink_writer;
GRANT UPDATE (body), REFERENCES (id) ON notes TO sink_reader;
GRANT SELECT ("we ird") ON "Order" TO sink_writer WITH GRANT OPTION;
GRANT SELECT ("B o dy") ON seen TO PUBLIC;
GRANT SELECT, DELETE ON seen TO sink_reader;
GRANT SELECT ON kept TO sink_reader WITH GRANT OPTION;
GRANT SELECT ON parted_us TO sink_reader;
GRANT SELECT ON kept, seen TO sink_writer;
GRANT INSERT, SELECT ON fired, secret TO sink_writer;
GRANT USAGE, SELECT ON SEQUENCE free_seq, "odd name" TO sink_reader;
GRANT UPDATE ON SEQUENCE moved_seq TO sink_reader WITH GRANT OPTION;
REVOKE EXECUTE ON FUNCTION secure() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION secure(), add(integer, integer) TO sink_writer WITH GRANT OPTION;
REVOKE ALL ON PROCEDURE add_note(text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION total(numeric) TO sink_reader;
GRANT USAGE ON TYPE colour TO sink_reader WITH GRANT OPTION;
REVOKE USAGE ON TYPE "Pa ir", even FROM PUBLIC;
-- The owner keeps less than all.
REVOKE TRUNCATE, TRIGGER ON father FROM CURRENT_USER;
REVOKE ALL ON scratch FROM CURRENT_USER;
GRANT SELECT ON child TO sink_reader;
REVOKE SELECT ON child FROM sink_reader;
SET ROLE sink_writer;
GRANT INSERT ON notes TO sink_reader;
GRANT SELECT ("we ird") ON "Order" TO sink_reader;
GRANT EXECUTE ON FUNCTION secure() TO sink_reader;
GRANT CREATE ON SCHEMA tmpl TO sink_reader;
RESET ROLE;

------------------------------------------------------------------------------------------------ comments
COMMENT ON TABLE notes IS 'it''s a \ comment of tmpl.notes';
COMMENT ON COLUMN "Order"."select" IS 'a "column"';
COMMENT ON COLUMN seen."B o dy" IS 'of a view';
COMMENT ON COLUMN "Pa ir"."Y" IS 'of a type';
COMMENT ON COLUMN kept.body IS 'of a materialized view';
COMMENT ON CONSTRAINT "Order uq" ON "Order" IS 'unique';
COMMENT ON CONSTRAINT circle ON "select" IS 'round';
COMMENT ON CONSTRAINT parted_body ON parted_us IS 'of a partition';
COMMENT ON CONSTRAINT even_only ON DOMAIN even IS 'of a domain';
COMMENT ON INDEX notes_lower IS 'an index';
COMMENT ON INDEX "Order pk" IS 'an index of a constraint';
COMMENT ON INDEX parted_pkey IS 'of a partitioned one';
COMMENT ON SEQUENCE free_seq IS 'a sequence';
COMMENT ON SEQUENCE "odd name" IS 'of an identity';
COMMENT ON SEQUENCE notes_id_seq IS 'of a serial';
COMMENT ON VIEW seen IS 'a view';
COMMENT ON MATERIALIZED VIEW kept IS 'a materialized view';
COMMENT ON TYPE colour IS 'an enum';
COMMENT ON TYPE "Pa ir" IS 'a pair';
COMMENT ON TYPE floats IS 'a range';
COMMENT ON DOMAIN even IS 'a domain';
COMMENT ON FUNCTION slug(text) IS 'a function';
COMMENT ON FUNCTION floats(float8, float8) IS 'a constructor that came with the range';
COMMENT ON PROCEDURE add_note(text, integer) IS 'a procedure';
COMMENT ON AGGREGATE total(numeric) IS 'an aggregate';
COMMENT ON AGGREGATE middle(float8 ORDER BY anyelement) IS 'an ordered one';
COMMENT ON TRIGGER before_row ON notes IS 'a trigger';
COMMENT ON TRIGGER parted_row ON parted_us IS 'of a partition alone';
COMMENT ON RULE "log it" ON "q""uote" IS 'a rule';
COMMENT ON RULE "_RETURN" ON seen IS 'the rule that is the view';
COMMENT ON POLICY mine ON secret IS 'a policy';
COMMENT ON OPERATOR <# ("Pa ir", "Pa ir") IS 'an operator';
COMMENT ON OPERATOR !# (NONE, integer) IS 'a prefix one';
COMMENT ON OPERATOR CLASS pair_ops USING btree IS 'a class';
COMMENT ON OPERATOR FAMILY pair_family USING btree IS 'a family';
COMMENT ON OPERATOR FAMILY "pair hash" USING hash IS 'a family that came with its class';
COMMENT ON CAST ("Pa ir" AS integer) IS 'a cast';
COMMENT ON COLLATION plain_c IS 'a collation';
COMMENT ON CONVERSION "my conv" IS 'a conversion';
COMMENT ON STATISTICS stats_all IS 'statistics';
COMMENT ON TEXT SEARCH CONFIGURATION conf IS 'a configuration';
COMMENT ON TEXT SEARCH DICTIONARY "my dict" IS 'a dictionary';
COMMENT ON TEXT SEARCH PARSER my_parser IS 'a parser';
COMMENT ON TEXT SEARCH TEMPLATE my_template IS 'a template';
RESET search_path;
