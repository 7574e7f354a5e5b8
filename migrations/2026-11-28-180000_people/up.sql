-- What kind of tenant it is: which routes serve it.
ALTER TABLE boardinghouse.tenants ADD COLUMN kind text
    CONSTRAINT tenants_kind_is_a_label CHECK (kind ~ '^[a-z]([a-z0-9_-]{0,61}[a-z0-9])?$');

-- A tenant can live in a folder of a domain that it shares with others. An empty one is the whole domain,
-- as far as nobody has the folder that is asked for.
ALTER TABLE boardinghouse.domains
    ADD COLUMN folder text NOT NULL DEFAULT ''
        CONSTRAINT domains_folder_is_a_label CHECK (folder ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$'),
    ADD COLUMN redirect_to_primary boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT domains_primary_does_not_redirect CHECK (NOT (is_primary AND redirect_to_primary)),
    DROP CONSTRAINT domains_pkey,
    ADD CONSTRAINT domains_pkey PRIMARY KEY (domain, folder);

-- Channel `boardinghouse_domains`: each domain that changed, in whatever folder; empty for all of them.
CREATE FUNCTION boardinghouse.addresses_notify() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text[] := '{""}';
BEGIN
    -- Each table of rows is there for its own operations alone.
    CASE TG_OP
        WHEN 'INSERT' THEN changed := ARRAY(SELECT DISTINCT domain FROM rows_after);
        WHEN 'UPDATE' THEN changed :=
            ARRAY(SELECT domain FROM rows_before UNION SELECT domain FROM rows_after);
        WHEN 'DELETE' THEN changed := ARRAY(SELECT DISTINCT domain FROM rows_before);
        WHEN 'TRUNCATE' THEN NULL;
    END CASE;
    IF cardinality(changed) > 100 THEN
        changed := '{""}';
    END IF;
    PERFORM pg_notify('boardinghouse_domains', domain) FROM unnest(changed) AS domain;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION boardinghouse.addresses_notify() FROM PUBLIC;

CREATE TRIGGER notify_of_insert AFTER INSERT ON boardinghouse.domains
    REFERENCING NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.addresses_notify();
CREATE TRIGGER notify_of_update AFTER UPDATE ON boardinghouse.domains
    REFERENCING OLD TABLE AS rows_before NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.addresses_notify();
CREATE TRIGGER notify_of_delete AFTER DELETE ON boardinghouse.domains
    REFERENCING OLD TABLE AS rows_before
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.addresses_notify();
CREATE TRIGGER notify_of_truncate AFTER TRUNCATE ON boardinghouse.domains
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.addresses_notify();

-- People, by whatever id the application has for them, and the tenants that they belong to.
CREATE TABLE boardinghouse.members (
    user_id text CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    tenant_id text REFERENCES boardinghouse.tenants (id) ON UPDATE CASCADE ON DELETE CASCADE,
    role text NOT NULL DEFAULT 'member' CHECK (octet_length(role) BETWEEN 1 AND 63),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, tenant_id)
);

CREATE INDEX members_tenant_id_idx ON boardinghouse.members (tenant_id);

-- Channel `boardinghouse_members`: the id of each user whose memberships changed; empty for all of them,
-- which is no user's id.
CREATE FUNCTION boardinghouse.members_notify() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text[] := '{""}';
BEGIN
    -- Each table of rows is there for its own operations alone.
    CASE TG_OP
        WHEN 'INSERT' THEN changed := ARRAY(SELECT DISTINCT user_id FROM rows_after);
        WHEN 'UPDATE' THEN changed :=
            ARRAY(SELECT user_id FROM rows_before UNION SELECT user_id FROM rows_after);
        WHEN 'DELETE' THEN changed := ARRAY(SELECT DISTINCT user_id FROM rows_before);
        WHEN 'TRUNCATE' THEN NULL;
    END CASE;
    IF cardinality(changed) > 100 THEN
        changed := '{""}';
    END IF;
    PERFORM pg_notify('boardinghouse_members', user_id) FROM unnest(changed) AS user_id;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION boardinghouse.members_notify() FROM PUBLIC;

CREATE TRIGGER notify_insert AFTER INSERT ON boardinghouse.members
    REFERENCING NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.members_notify();
CREATE TRIGGER notify_update AFTER UPDATE ON boardinghouse.members
    REFERENCING OLD TABLE AS rows_before NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.members_notify();
CREATE TRIGGER notify_delete AFTER DELETE ON boardinghouse.members
    REFERENCING OLD TABLE AS rows_before
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.members_notify();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON boardinghouse.members
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.members_notify();

COMMENT ON TABLE boardinghouse.members IS 'Which users belong to which tenants, and as what.';
