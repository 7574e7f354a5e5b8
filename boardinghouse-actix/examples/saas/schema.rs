//! The tables, as `diesel print-schema` writes them: none has a schema in its name. Which tenant's
//! `notes` a query means is decided by the connection it runs on.

diesel::table! {
    notes (id) {
        id -> Integer,
        body -> Text,
        author_id -> Nullable<Integer>,
    }
}

diesel::table! {
    plans (id) {
        id -> Integer,
        name -> Text,
        price_cents -> Integer,
    }
}

diesel::table! {
    users (id) {
        id -> Integer,
        email -> Text,
    }
}

diesel::joinable!(notes -> users (author_id));
diesel::allow_tables_to_appear_in_same_query!(notes, users, plans);
