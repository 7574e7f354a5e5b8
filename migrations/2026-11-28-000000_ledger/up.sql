-- Which tenant has which migrations: what each schema's own `__diesel_schema_migrations` says, in one place,
-- so that finding out who is behind is one query for any number of tenants. A row is written in the
-- transaction that changes the schema's own table. A tenant without a row, or whose schema is another one
-- now, is asked itself.
CREATE TABLE boardinghouse.ledger (
    incarnation bigint PRIMARY KEY
        REFERENCES boardinghouse.tenants (incarnation) ON DELETE CASCADE,
    -- Of which schema it was true: one that was dropped and created anew has another number.
    schema_oid oid NOT NULL,
    -- In the order of their bytes.
    versions text[] NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Templates with rows, from which tenants can be cloned. They are migrated with the fleet.
CREATE TABLE boardinghouse.named_templates (
    schema_name text PRIMARY KEY CHECK (octet_length(schema_name) BETWEEN 1 AND 63),
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE boardinghouse.ledger IS 'Which tenant has which migrations.';
COMMENT ON TABLE boardinghouse.named_templates IS 'Templates with rows, which are migrated with the fleet.';
