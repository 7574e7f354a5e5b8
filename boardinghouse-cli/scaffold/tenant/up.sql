-- Runs in the template and in the schema of every tenant. Its own tables stay unqualified; shared ones are
-- written in full.
CREATE TABLE notes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    author integer NOT NULL REFERENCES public.users (id),
    body text NOT NULL
);
