-- 140000
ALTER TABLE tmpl.notes ALTER title SET COMPRESSION pglz;
-- 150000
CREATE UNLOGGED SEQUENCE tmpl.unlogged_seq;
CREATE UNIQUE INDEX notes_nulls ON tmpl.notes (parent, id) NULLS NOT DISTINCT;
ALTER TABLE tmpl."Order" ADD CONSTRAINT nulls UNIQUE NULLS NOT DISTINCT (note);
ALTER TABLE tmpl."we ird" ADD many integer, ADD FOREIGN KEY (id, many) REFERENCES tmpl."user" (a, b) ON DELETE SET NULL (many);
-- 180000
ALTER TABLE tmpl.notes ADD virtual integer GENERATED ALWAYS AS (id + 1) VIRTUAL;
ALTER TABLE tmpl.notes ADD CONSTRAINT "named not null" NOT NULL body;
ALTER TABLE tmpl.notes ADD CONSTRAINT later_not_null NOT NULL tags NOT VALID;
ALTER TABLE tmpl.zebra ADD CONSTRAINT mine_only NOT NULL id NO INHERIT;
ALTER TABLE tmpl."Order" RENAME CONSTRAINT "Order_Id_not_null" TO "renamed identity";
ALTER TABLE tmpl.zebra ADD CONSTRAINT not_enforced CHECK (id > 5) NOT ENFORCED;
ALTER TABLE tmpl.zebra ADD note integer, ADD CONSTRAINT loose FOREIGN KEY (note) REFERENCES tmpl.notes NOT ENFORCED;
CREATE TABLE tmpl.booked (id int4range, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS));
CREATE TABLE tmpl.part (id int4range, at daterange, FOREIGN KEY (id, PERIOD at) REFERENCES tmpl.booked (id, PERIOD at));
COMMENT ON CONSTRAINT "named not null" ON tmpl.notes IS 'never null';
