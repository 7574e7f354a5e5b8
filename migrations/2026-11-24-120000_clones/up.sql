-- Plans into which schemas were compiled, so that a process that has just begun need not compile again.
CREATE TABLE boardinghouse.clone_plans (
    schema_name text NOT NULL CHECK (octet_length(schema_name) BETWEEN 1 AND 63),
    -- For whom it was compiled: what a clone's owner and privileges need depends on who creates it.
    role_name text NOT NULL,
    -- Of the schema as it was, by the library as it was.
    fingerprint text NOT NULL,
    plan jsonb NOT NULL,
    compiled_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schema_name, role_name)
);

-- Clones of the template that are no tenant's yet. One is claimed by deleting its row, renaming the schema
-- and registering the tenant in one transaction.
CREATE TABLE boardinghouse.ready_schemas (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name text NOT NULL UNIQUE CHECK (octet_length(schema_name) BETWEEN 1 AND 63),
    -- Of the template when it was cloned.
    fingerprint text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE boardinghouse.clone_plans IS 'How to clone a schema, as it was when it was last read.';
COMMENT ON TABLE boardinghouse.ready_schemas IS 'Clones of the template that wait for a tenant.';
