//! The tables, as `diesel print-schema` writes them: none has a schema in its name.

diesel::table! {
    notes (id) {
        id -> Integer,
        body -> Text,
        author -> Text,
    }
}

diesel::table! {
    people (name) {
        name -> Text,
        about -> Text,
    }
}
