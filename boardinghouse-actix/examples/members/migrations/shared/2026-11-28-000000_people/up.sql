-- Who there is, for all tenants. Who belongs to which is in `boardinghouse.members`.
CREATE TABLE people (
    name text PRIMARY KEY,
    about text NOT NULL
);

INSERT INTO people (name, about) VALUES
    ('ada', 'owns Acme, and works for Globex'),
    ('grace', 'owns Globex'),
    ('linus', 'belongs to nobody yet');
