-- What the main site has of its own. No tenant has such a table.
CREATE TABLE posts (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    title text NOT NULL,
    body text NOT NULL
);

INSERT INTO posts (title, body) VALUES
    ('We are open', 'Every account lives in a folder of this domain, and in a schema of its own.'),
    ('Nothing to configure', 'This page is a tenant, too: one that boardinghouse.toml names.');
