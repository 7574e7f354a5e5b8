DROP TABLE boardinghouse.members;
DROP FUNCTION boardinghouse.members_notify();
DROP TRIGGER notify_of_truncate ON boardinghouse.domains;
DROP TRIGGER notify_of_delete ON boardinghouse.domains;
DROP TRIGGER notify_of_update ON boardinghouse.domains;
DROP TRIGGER notify_of_insert ON boardinghouse.domains;
DROP FUNCTION boardinghouse.addresses_notify();
-- A folder has no place in the table as it was.
DELETE FROM boardinghouse.domains WHERE folder <> '';
ALTER TABLE boardinghouse.domains
    DROP CONSTRAINT domains_pkey,
    DROP CONSTRAINT domains_primary_does_not_redirect,
    DROP COLUMN folder,
    DROP COLUMN redirect_to_primary,
    ADD CONSTRAINT domains_pkey PRIMARY KEY (domain);
ALTER TABLE boardinghouse.tenants DROP COLUMN kind;
