-- Logins that were begun at one domain, and are finished at another, once. The token is not here: only its
-- digest, so that who reads the table cannot log in.
CREATE TABLE boardinghouse.logins (
    digest bytea PRIMARY KEY CHECK (octet_length(digest) = 32),
    incarnation bigint NOT NULL
        REFERENCES boardinghouse.tenants (incarnation) ON DELETE CASCADE,
    user_id text NOT NULL CHECK (octet_length(user_id) BETWEEN 1 AND 255),
    expires_at timestamptz NOT NULL
);

CREATE INDEX logins_incarnation_idx ON boardinghouse.logins (incarnation);
CREATE INDEX logins_expires_at_idx ON boardinghouse.logins (expires_at);

COMMENT ON TABLE boardinghouse.logins IS 'Logins that wait to be finished at a tenant''s own domain.';
