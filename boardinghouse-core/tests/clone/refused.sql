-- One of everything that cannot be cloned, and a table that can.
CREATE SCHEMA tmpl;
SET search_path TO tmpl, public;
CREATE TABLE good (id integer PRIMARY KEY, body text, tags text[]);
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_available_extensions WHERE name = 'citext') THEN
        CREATE EXTENSION citext SCHEMA tmpl;
    END IF;
END $$;
CREATE FOREIGN DATA WRAPPER far_away;
CREATE SERVER far_away FOREIGN DATA WRAPPER far_away;
CREATE FOREIGN TABLE far (id integer) SERVER far_away;
CREATE TYPE shell;
CREATE FUNCTION same(integer, integer) RETURNS boolean LANGUAGE internal AS 'int4eq';
CREATE OPERATOR tmpl.= (FUNCTION = same, LEFTARG = integer, RIGHTARG = integer);
CREATE TABLE disabled (id integer REFERENCES good); ALTER TABLE disabled DISABLE TRIGGER ALL;
CREATE TABLE published (id integer);
CREATE PUBLICATION pub FOR TABLE published;
CREATE TABLE broken (id integer);
CREATE UNIQUE INDEX broken_key ON broken (id);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken_key'::regclass;
CREATE TABLE public.shared (id integer);
CREATE TABLE child_of_shared () INHERITS (public.shared);
RESET search_path;
