//! The tables: tenants have `notes`, the main site has `posts`.

diesel::table! {
    notes (id) {
        id -> Integer,
        body -> Text,
    }
}

diesel::table! {
    posts (id) {
        id -> Integer,
        title -> Text,
        body -> Text,
    }
}
