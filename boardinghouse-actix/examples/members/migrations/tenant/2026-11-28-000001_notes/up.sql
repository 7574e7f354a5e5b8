-- What each tenant has of its own.
CREATE TABLE notes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    body text NOT NULL CHECK (char_length(body) BETWEEN 1 AND 10000),
    author text NOT NULL REFERENCES public.people (name)
);
