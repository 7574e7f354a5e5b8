CREATE TABLE notes (
    id serial PRIMARY KEY,
    body text NOT NULL,
    author int REFERENCES public.users (id)
);
