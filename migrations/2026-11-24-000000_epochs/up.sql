-- Which tenant this is, for good: `epoch` grows, this never changes. A tenant that was deleted and
-- created anew under the same id has another one.
ALTER TABLE boardinghouse.tenants
    ADD COLUMN incarnation bigint GENERATED ALWAYS AS IDENTITY UNIQUE;

-- Other processes hold what they read of a tenant. What is written by hand must reach them, too, so it
-- is the server that advances the epoch. SECURITY DEFINER, because whoever may write the table need not
-- have rights on its sequence.
CREATE FUNCTION boardinghouse.tenants_before_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NEW.incarnation <> OLD.incarnation THEN
        RAISE EXCEPTION 'the incarnation of tenant % never changes', OLD.id
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF NEW.epoch = OLD.epoch
        AND (NEW.id, NEW.schema_name, NEW.status) IS DISTINCT FROM (OLD.id, OLD.schema_name, OLD.status)
    THEN
        NEW.epoch := nextval(pg_get_serial_sequence('boardinghouse.tenants', 'epoch'));
    END IF;
    IF NEW.updated_at = OLD.updated_at THEN
        NEW.updated_at := now();
    END IF;
    RETURN NEW;
END
$$;

-- Channel `boardinghouse`: the id of each tenant whose row changed, both ids where it changed; `*` stands
-- for all of them, so that a migration of the whole fleet is one notification. They are sent when the
-- transaction commits (PostgreSQL manual, SQL command NOTIFY).
CREATE FUNCTION boardinghouse.tenants_notify() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text[] := '{*}';
BEGIN
    -- Each table of rows is there for its own operations alone.
    CASE TG_OP
        WHEN 'INSERT' THEN changed := ARRAY(SELECT id FROM rows_after);
        WHEN 'UPDATE' THEN changed := ARRAY(SELECT id FROM rows_before UNION SELECT id FROM rows_after);
        WHEN 'DELETE' THEN changed := ARRAY(SELECT id FROM rows_before);
        WHEN 'TRUNCATE' THEN NULL;
    END CASE;
    IF cardinality(changed) > 100 THEN
        changed := '{*}';
    END IF;
    PERFORM pg_notify('boardinghouse', tenant) FROM unnest(changed) AS tenant;
    RETURN NULL;
END
$$;

-- The same, where a tenant's domains changed.
CREATE FUNCTION boardinghouse.domains_notify() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    changed text[] := '{*}';
BEGIN
    CASE TG_OP
        WHEN 'INSERT' THEN changed := ARRAY(SELECT DISTINCT tenant_id FROM rows_after);
        WHEN 'UPDATE' THEN changed :=
            ARRAY(SELECT tenant_id FROM rows_before UNION SELECT tenant_id FROM rows_after);
        WHEN 'DELETE' THEN changed := ARRAY(SELECT DISTINCT tenant_id FROM rows_before);
        WHEN 'TRUNCATE' THEN NULL;
    END CASE;
    IF cardinality(changed) > 100 THEN
        changed := '{*}';
    END IF;
    PERFORM pg_notify('boardinghouse', tenant) FROM unnest(changed) AS tenant;
    RETURN NULL;
END
$$;

-- Triggers fire whoever writes; nobody else is to call these.
REVOKE ALL ON FUNCTION boardinghouse.tenants_before_update() FROM PUBLIC;
REVOKE ALL ON FUNCTION boardinghouse.tenants_notify() FROM PUBLIC;
REVOKE ALL ON FUNCTION boardinghouse.domains_notify() FROM PUBLIC;

CREATE TRIGGER before_update BEFORE UPDATE ON boardinghouse.tenants
    FOR EACH ROW EXECUTE FUNCTION boardinghouse.tenants_before_update();

CREATE TRIGGER notify_insert AFTER INSERT ON boardinghouse.tenants
    REFERENCING NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.tenants_notify();
CREATE TRIGGER notify_update AFTER UPDATE ON boardinghouse.tenants
    REFERENCING OLD TABLE AS rows_before NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.tenants_notify();
CREATE TRIGGER notify_delete AFTER DELETE ON boardinghouse.tenants
    REFERENCING OLD TABLE AS rows_before
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.tenants_notify();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON boardinghouse.tenants
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.tenants_notify();

CREATE TRIGGER notify_insert AFTER INSERT ON boardinghouse.domains
    REFERENCING NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.domains_notify();
CREATE TRIGGER notify_update AFTER UPDATE ON boardinghouse.domains
    REFERENCING OLD TABLE AS rows_before NEW TABLE AS rows_after
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.domains_notify();
CREATE TRIGGER notify_delete AFTER DELETE ON boardinghouse.domains
    REFERENCING OLD TABLE AS rows_before
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.domains_notify();
CREATE TRIGGER notify_truncate AFTER TRUNCATE ON boardinghouse.domains
    FOR EACH STATEMENT EXECUTE FUNCTION boardinghouse.domains_notify();
