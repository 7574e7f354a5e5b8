CREATE TABLE users (id serial PRIMARY KEY, email text NOT NULL UNIQUE);
INSERT INTO users (email) VALUES ('ann@example.com'), ('bob@example.com');

-- The bait: whoever reads `notes` and sees PUBLIC has leaked into the shared schema.
CREATE TABLE notes (id serial PRIMARY KEY, body text NOT NULL, author int);
INSERT INTO notes (body) VALUES ('PUBLIC');
