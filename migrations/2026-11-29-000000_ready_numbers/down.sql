ALTER TABLE boardinghouse.ready_schemas DROP COLUMN schema_oid;
