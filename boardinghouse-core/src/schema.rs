// @generated automatically by Diesel CLI.

pub mod boardinghouse {
    diesel::table! {
        boardinghouse.domains (domain) {
            domain -> Text,
            tenant_id -> Text,
            is_primary -> Bool,
            created_at -> Timestamptz,
        }
    }

    diesel::table! {
        boardinghouse.tenants (id) {
            id -> Text,
            schema_name -> Text,
            display_name -> Text,
            status -> Text,
            attributes -> Jsonb,
            adopted -> Bool,
            epoch -> Int8,
            created_at -> Timestamptz,
            updated_at -> Timestamptz,
            incarnation -> Int8,
        }
    }

    diesel::joinable!(domains -> tenants (tenant_id));

    diesel::allow_tables_to_appear_in_same_query!(domains, tenants,);
}
