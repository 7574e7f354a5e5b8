-- What each tenant has of its own. It runs in the template and in every tenant's schema, so the
-- table has no schema in its name; a shared table has.
CREATE TABLE notes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL CHECK (char_length(body) BETWEEN 1 AND 10000),
    author_id integer REFERENCES public.users (id),
    created_at timestamptz NOT NULL DEFAULT now()
);
