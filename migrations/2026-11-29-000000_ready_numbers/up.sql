-- By what a schema that waits for a tenant is known again, whatever else has its name by then. Without one it is
-- gone.
ALTER TABLE boardinghouse.ready_schemas ADD COLUMN schema_oid oid;
UPDATE boardinghouse.ready_schemas
SET schema_oid = pg_catalog.to_regnamespace(pg_catalog.quote_ident(schema_name));
